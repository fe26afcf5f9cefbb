"""Invented scores of a metric, as if it had been measured."""

from __future__ import annotations

from autodistill.spec.measurement import Measurement, Score, Sizes
from benchmarks.replay.replay import measurement


def score(accuracy: float, n: int) -> Score:
    """The score of an accuracy on n samples."""
    return measured(accuracy, n, Sizes(0, 0, 0)).scores["accuracy"]


def measured(accuracy: float, n: int, sizes: Sizes, seconds: float = 1.0) -> Measurement:
    return measurement(accuracy, sizes, n).model_copy(update={"seconds": seconds})
