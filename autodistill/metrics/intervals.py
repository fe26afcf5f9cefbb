"""Confidence intervals and tests for counts of correct predictions, as thin wrappers around scipy; the logit of accuracies.

scipy.stats takes half a second to import, so it is imported where it is used.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..spec.arrays import Floats, Ints

EDGE = 0.005
"""How far from 0 and 1 accuracies are kept before the logit: the first and last half percent are within the noise."""
ORDERS, BET = 20, 0.05
"""Of a bet on a mean: how many orders of the samples are tried, and the p-value that the stakes aim at."""
NARROW = 1e-9
"""An interval this narrow comes from values that happen to be equal."""
Effect = Literal["gain", "loss", "not_significant", "unknown"]


class Interval(NamedTuple):
    """A confidence interval of an accuracy, with ends from 0 to 1, or of a difference."""

    low: float
    high: float


def effect(interval: Interval | None) -> Effect:
    """What the interval of a difference shows: `gain` or `loss` if it excludes 0, else `not_significant`.

    `unknown` without an interval, or with one of no width, as for two seeds with equal results.
    """
    if interval is None or interval.high - interval.low < NARROW:
        return "unknown"
    return "gain" if interval.low > 0 else "loss" if interval.high < 0 else "not_significant"


@cache
def wilson(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of the accuracy `correct / n`, with 0 <= low <= accuracy <= high <= 1.

    Wilson, JASA 1927, with z the normal quantile of (1 + confidence) / 2 and p = correct / n:
    (p + z^2 / 2n -+ z * sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n). Near 0 and 1 and for few samples it covers
    better than p -+ z * sqrt(p (1 - p) / n) (Brown, Cai and DasGupta 2001). Raises ValueError.
    """
    from scipy.stats import binomtest

    if n < 1:
        raise ValueError(f"n is {n}; an interval needs at least one prediction")
    if not 0 <= correct <= n:
        raise ValueError(f"correct is {correct}; it counts predictions, so use 0 to {n} (n)")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; use a number strictly between 0 and 1, such as 0.95")
    found = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


def kendall(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of pairs: 1 if both sides have the same order, -1 if one reverses the other.

    Kendall 1938, with ties as in Kendall 1945. None if one side is constant.
    """
    from scipy.stats import kendalltau

    if any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return None
    return float(kendalltau(*zip(*pairs, strict=True)).statistic)


def exceeds(correct: int, n: int, target: float) -> float:
    """The p-value of "the accuracy is below `target`" for `correct` correct predictions of n: P(X >= correct | target).

    Exact (Clopper and Pearson 1934): if the accuracy is below the target, the p-value is at most alpha with a probability
    of at most alpha. Raises ValueError.
    """
    from scipy.stats import binom

    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} predictions cannot be correct; use 0 to n, and an n of at least 1")
    return float(binom.sf(correct - 1, n, min(1.0, max(0.0, target))))


def enough(n: int, target: float, alpha: float) -> int | None:
    """The fewest correct predictions of n at which `exceeds` is at most alpha; None if even all n are too few."""
    found = bisect_left(range(n + 1), True, key=lambda correct: exceeds(correct, n, target) <= alpha)  # scipy's isf rounds
    return found if found <= n else None


def keeps(both: int, student_only: int, teacher_only: int, n: int, share: float) -> float:
    """The p-value of "the student's accuracy is below `share` of the teacher's", both measured on the same n samples.

    Counts are of samples that both, only the student, or only the teacher predict correctly. The score test of the ratio of
    paired proportions (Nam and Blackwelder, Statistics in Medicine 2002): T = (s - share * t) / sqrt(n v), with s and t correct
    predictions and v the variance of a sample's difference under the likeliest parameters at which the ratio is `share`.
    Raises ValueError for invalid counts.
    """
    from scipy.stats import norm

    if min(both, student_only, teacher_only) < 0 or not 0 < both + student_only + teacher_only <= n or share <= 0:
        raise ValueError(
            f"{both}, {student_only} and {teacher_only} are not valid counts of {n} samples with a share of {share}"
        )
    difference = both + student_only - share * (both + teacher_only)
    variance = n * _variance(both / n, student_only / n, teacher_only / n, share)
    return float(norm.sf(difference / math.sqrt(variance))) if variance > 0 else 1.0


def _variance(both: float, student: float, teacher: float, share: float) -> float:
    """The variance of s - share * t on one sample, if the ratio is `share`.

    With m the fraction of samples that either predicts correctly, q of those that only the student does, the constraint
    leaves teacher only = share * q + (1 - share) * m and both = share * m - (1 + share) * q; the likelihood is largest at
    the larger root of a q^2 + b q + c.
    """
    m = both + student + teacher
    a = -(1 + share) * share * m
    b = m * (share**2 * (student + teacher) - (1 + share) * (1 - share) * (both + student))
    c = student * share * (1 - share) * m**2
    q = min((-b - math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a), share * m / (1 + share))
    return share * ((1 + share) * (share * q + (1 - share) * m) - (1 - share) * (share * m - (1 + share) * q))


def hoeffding_bentkus(loss: float, n: int, limit: float) -> float:
    """The p-value of "the mean of a loss from 0 to 1 is above `limit`", for its mean `loss` over n independent samples.

    Bates et al., JACM 2021, proposition 3 (used by Angelopoulos et al., "Learn then test", 2021): the smaller of Hoeffding's
    exp(-n KL(min(loss, limit) || limit)) and Bentkus' e * P(Binomial(n, limit) <= ceil(n * loss)). Valid for every n.
    """
    from scipy.special import rel_entr
    from scipy.stats import binom

    if not 0 < limit < 1:
        return float(loss > limit or limit <= 0)
    least = min(loss, limit)
    divergence = float(rel_entr(least, limit) + rel_entr(1 - least, 1 - limit))
    bentkus = math.e * float(binom.cdf(math.ceil(n * loss - 1e-9), n, limit))
    return min(1.0, math.exp(-n * divergence), bentkus)


def betting(losses: Floats, limit: float) -> float:
    """The p-value of "the mean of a loss from 0 to 1 is above `limit`", for losses (N,) of independent samples.

    One over the capital of a player who bets that losses are smaller, and whose stakes depend on the variance of the losses
    before (Waudby-Smith and Ramdas, JRSS-B 2024, section 4.1; the stakes are those of Bates et al., JACM 2021, proposition 5).
    Valid for every N: if the mean is above the limit, the expected capital is at most 1. Its mean over ORDERS random orders of
    the samples depends little on how these are stored.
    """
    if not 0 < limit < 1:
        return float(losses.mean() > limit or limit <= 0)
    return min(1.0, 1 / float(np.mean([_capital(losses[order], limit) for order in orders(len(losses))])))


def orders(n: int) -> list[Ints]:
    """ORDERS random orders of n samples, always the same."""
    random = np.random.default_rng(0)
    return [random.permutation(n) for _ in range(ORDERS)]


def _capital(losses: Floats, limit: float) -> float:
    count = np.arange(2, len(losses) + 2)
    mean = (0.5 + np.cumsum(losses)) / count
    variance = (0.25 + np.cumsum((losses - mean) ** 2)) / count
    before = np.concatenate([[0.25], variance[:-1]])
    stake = np.minimum(1.0, np.sqrt(2 * math.log(1 / BET) / (len(losses) * before)))
    return float(np.exp(np.minimum(700.0, np.log1p(stake * (limit - losses)).sum())))


def bounded_mean(losses: Floats, limit: float) -> float:
    """The p-value of "the mean of a loss from 0 to 1 is above `limit`", for losses (N,); valid for every N.

    Twice the smaller one of two (Bonferroni): the first is better for losses of 0 and 1, the second for all others.
    """
    return min(1.0, 2 * min(hoeffding_bentkus(float(losses.mean()), len(losses), limit), betting(losses, limit)))


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Student's t interval of a mean (Student 1908). For fractions, the ends may be outside 0 to 1.

    None for fewer than two values, and for equal values, which do not tell how much others would differ.
    """
    from statistics import fmean, stdev

    from scipy.stats import t

    if len(values) < 2 or max(values) - min(values) < 1e-9:
        return None
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return Interval(fmean(values) - reach, fmean(values) + reach)


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 15) -> float:
    """The expected calibration error: the mean, over samples, of |accuracy - confidence| of their bin of equal width.

    Guo et al., ICML 2017, equation 3; `confidences` are the largest of each sample's probabilities.
    """
    sure, is_right = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=is_right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))


def warp(accuracy: npt.ArrayLike) -> Floats:
    """The logit of accuracies (n,), so that noise is similar at 40% and at 99%."""
    inner = EDGE + (1 - 2 * EDGE) * np.asarray(accuracy, dtype=np.float64)
    return np.log(inner / (1 - inner))


def unwarp(value: npt.ArrayLike) -> Floats:
    """The inverse of `warp`, never outside [0, 1]."""
    inner = 1 / (1 + np.exp(-np.asarray(value, dtype=np.float64)))
    return np.clip((inner - EDGE) / (1 - 2 * EDGE), 0.0, 1.0)


def sampling_error(value: npt.ArrayLike, samples: float) -> Floats:
    """(n,) standard errors of warped accuracies that were measured on that many samples: binomial, by the delta method."""
    inner = 1 / (1 + np.exp(-np.asarray(value, dtype=np.float64)))
    inner = np.clip(inner, EDGE, 1 - EDGE)
    return np.asarray((1 - 2 * EDGE) / np.sqrt(samples * inner * (1 - inner)))
