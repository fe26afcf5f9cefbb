"""Which student to try next."""
