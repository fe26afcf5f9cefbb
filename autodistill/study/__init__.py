"""The search: its space, its sampler, the schedule of its jobs, and its record."""
