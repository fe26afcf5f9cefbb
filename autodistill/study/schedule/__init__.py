"""Which job to run next, which student to stop, and when a search ends."""
