"""The search: what may be tried, what is tried next, in which order jobs run, and the record of it."""
