"""Floor 0: how sure a count of correct answers makes us; thin over scipy.

scipy.stats takes half a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A confidence interval of an accuracy; both ends are shares from 0 to 1."""

    low: float
    high: float


def wilson(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of the accuracy `correct / n`, which holds 0 <= low <= accuracy <= high <= 1.

    Wilson, JASA 1927, with z the normal quantile of (1 + confidence) / 2 and p = correct / n:
    (p + z^2 / 2n -+ z * sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n). Near 0 and 1 and for few samples it covers
    better than p -+ z * sqrt(p (1 - p) / n) (Brown, Cai and DasGupta 2001). Raises ValueError.
    """
    from scipy.stats import binomtest

    if n < 1:
        raise ValueError(f"n is {n}; an interval needs at least one answer")
    if not 0 <= correct <= n:
        raise ValueError(f"correct is {correct}; it counts answers, so give 0 to {n} (n)")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a share strictly between 0 and 1, such as 0.95")
    found = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


def kendall(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of pairs: 1 where both sides order alike, -1 where one reverses the other.

    Kendall 1938, with ties as of 1945. None where a side does not vary.
    """
    from scipy.stats import kendalltau

    if any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return None
    return float(kendalltau(*zip(*pairs, strict=True)).statistic)
