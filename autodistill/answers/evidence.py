"""How strong the evidence of the test samples is, and how many more samples would decide."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..metrics.base import Mean
from ..metrics.intervals import exceeds
from ..metrics.metric import TopK
from .confirm.confirmation import Confirmation, FrozenNetwork, Member
from .wanted import Wanted

FARTHEST = 10**6
"""So many times the test samples are considered at most."""
REPEATED = 50_000
"""Samples up to which a test is repeated."""


class Tested(NamedTuple):
    """A member with its p-value, and whether it passed; None if the sequence of tests ended before it."""

    member: Member
    p: float
    passed: bool | None


def p_value(found: Confirmation, key: str, wanted: Wanted) -> float:
    """The p-value of "the network does not have what is wanted", from its predictions on the test samples."""
    outcome, metric, classes = found.outcomes[key], wanted.measure, found.test.classes
    if wanted.target is not None:
        return metric.misses(outcome, classes, wanted.target)
    assert wanted.retain is not None
    return metric.loses(outcome, found.outcomes[found.teacher.chosen], classes, wanted.retain)


def reaches(found: Confirmation, one: FrozenNetwork, wanted: Wanted) -> bool:
    """Whether the measured value on the test samples is what is wanted, whatever chance may have added."""
    metric = wanted.measure
    return metric.reaches(one.test.scores[metric.name].value, required(found, wanted))


def required(found: Confirmation, wanted: Wanted) -> float:
    """The value that is wanted: the target, or a share of the teacher's measured value."""
    metric = wanted.measure
    if wanted.target is not None:
        return wanted.target
    assert wanted.retain is not None
    return metric.keeping(found.teacher.test.scores[metric.name].value, wanted.retain)


def misses(found: Confirmation, one: FrozenNetwork, wanted: Wanted, p: float) -> bool:
    """Whether the test samples show that a network does not have what is wanted: if it had, so bad a result would be rarer
    than 1 - confidence. A bound for the mean of a bounded metric tests only the other direction: the 95% interval decides.
    """
    metric = wanted.measure
    if isinstance(metric, Mean) and metric.bounded:
        score, needed = one.test.scores[metric.name], required(found, wanted)
        return not any(metric.reaches(end, needed) for end in (score.low, score.high))
    return p >= wanted.confidence


def more_samples(found: Confirmation, one: FrozenNetwork, wanted: Wanted, p: float) -> int | None:
    """How many more test samples would decide, if the results on them are like those on the samples there are.

    To decide is to prove that the network has what is wanted if it `reaches` it, else to show that it `misses` it. For a target
    of correct predictions, the smallest number of samples at which the exact test decides, with as large a share of correct
    ones. Otherwise n (z(a) / z(p))^2 - n, with z the normal quantile of 1 - p: a z-statistic grows with the square root of n.
    Tests with a p-value of one half although the value is reached get the samples several times. Rounded up to two digits. None
    if no number of samples decides, because the value is the required one, or if it is not known.
    """
    has_it, alpha, n = reaches(found, one, wanted), 1 - wanted.confidence, found.test.n
    if wanted.target is not None and isinstance(wanted.measure, TopK):
        correct = int(wanted.measure.right(found.outcomes[one.chosen]).sum())
        total = _of_counts(correct, n, wanted.target, alpha, has_it)
        return None if total is None else up(total - n)
    times = 1
    while has_it and p >= 0.5 and 2 * times * n <= REPEATED:
        times *= 2
        p = p_value(_repeated(found, (one.chosen, found.teacher.chosen), times), one.chosen, wanted)
    z = _quantile(p)
    if z == 0 or (z > 0) != has_it or not math.isfinite(z):
        return None
    return up(max(1, math.ceil(times * n * (_quantile(alpha) / z) ** 2) - n))


def _of_counts(correct: int, n: int, target: float, alpha: float, has_it: bool) -> int | None:
    """The number of samples at which the binomial test decides; shares are rounded against the decision."""
    sizes = range(FARTHEST * n)
    if has_it:
        total = bisect_left(sizes, True, lo=n, key=lambda size: exceeds(correct * size // n, size, target) <= alpha)
    else:
        total = bisect_left(sizes, True, lo=n, key=lambda size: exceeds(-(-correct * size // n), size, target) >= 1 - alpha)
    return total if total < len(sizes) else None


def _repeated(found: Confirmation, keys: Sequence[str], times: int) -> Confirmation:
    """As if the predictions on the test samples had been seen so many times."""
    rows = np.tile(np.arange(found.test.n), times)
    return found.model_copy(update={"outcomes": {key: found.outcomes[key].take(rows) for key in keys}})


def _quantile(p: float) -> float:
    from scipy.stats import norm

    return float(norm.isf(p))


def up(number: int) -> int:
    """Rounded up to two digits: about so many."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // step) * step
