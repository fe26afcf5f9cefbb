"""What calls to customers earn: a metric of your own, a number for each sample."""

import numpy as np

EARNED, SPENT = 1.0, 0.3
"""What a customer who buys earns, and what a call costs; who is not called earns and costs nothing."""


def profit(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`outputs` (N, 2) are the probabilities of the classes; who buys with a probability above 0.3 is worth a call."""
    called = outputs[:, 1] > SPENT
    return np.where(called, EARNED * (labels == 1) - SPENT, 0.0)
