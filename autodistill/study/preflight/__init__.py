"""Facts and checks that need no training."""
