"""What calls to customers earn: a metric of your own, with one number for each sample."""

import numpy as np

EARNED, SPENT = 1.0, 0.3
"""What a customer who buys earns, and what a call costs. Customers who are not called earn and cost nothing."""


def profit(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`outputs` (N, 2) are class probabilities; a customer who buys with a probability above 0.3 is worth a call."""
    called = outputs[:, 1] > SPENT
    return np.where(called, EARNED * (labels == 1) - SPENT, 0.0)
