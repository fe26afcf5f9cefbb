"""How good and how fast a network is: intervals, tests, latency."""
