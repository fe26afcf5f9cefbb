"""Search for the smallest distilled student."""
