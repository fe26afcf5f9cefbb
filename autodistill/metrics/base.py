"""What every metric has: the value, its standard error and interval, and the tests on which claims are based.

Everything that depends on the metric is in these modules: which direction is better, what a network that ignores its input
reaches, and how precise a value is. All other code calls its `Metric`.

Shape suffixes: N samples, K outputs (classes, labels, or values), B draws, M networks.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..spec.arrays import Array, Floats, Ints
from ..spec.kinds import TaskKind
from ..spec.measurement import Score
from .intervals import EDGE, bounded_mean, sampling_error
from .resampling import means
from .scale import Scale

DRAWS = 400
"""Draws for a standard error."""
TEST_DRAWS = 4000
"""Draws for a p-value."""
NOTHING_I, NOTHING_F = np.zeros(0, np.int64), np.zeros(0, np.float64)


class Outcome(NamedTuple):
    """The predictions of a network on N samples.

    For classes, labels (N,): `predicted` (N,) is the class with the largest logit (the first one if several are equal), `rank`
    (N,) how many classes come before the label, `surprise` (N,) -log of the label's probability in nats, and `outputs` (N, K)
    the probabilities. For several labels, each 0 or 1 (N, K): `outputs` are the probabilities, and `predicted` says which are
    above one half. For values (N, K): `outputs` and `predicted` are the values. `outputs` are None if they were not kept.
    """

    labels: Array
    predicted: Array
    rank: Ints = NOTHING_I
    surprise: Floats = NOTHING_F
    outputs: Floats | None = None

    @property
    def kind(self) -> TaskKind:
        return kind_of_labels(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Outcome:
        """The predictions for these samples alone."""
        kept = {name: one[rows] for name, one in self._asdict().items() if one is not None and len(one)}
        return self._replace(**kept)


def kind_of_labels(labels: Array) -> TaskKind:
    """The kind of task that checked labels belong to: see `data.labels`."""
    return "regression" if labels.dtype.kind == "f" else "multilabel" if labels.ndim == 2 else "classification"


def outcome(logits_NK: npt.ArrayLike, labels: npt.ArrayLike) -> Outcome:
    """What the metrics need to know about a network's outputs (N, K), logits or values, and their labels (N,) or (N, K)."""
    z_NK, y = np.asarray(logits_NK, dtype=np.float64), np.asarray(labels)
    kind = kind_of_labels(y)
    if kind == "regression":
        return Outcome(y.astype(np.float64), z_NK, outputs=z_NK)
    if kind == "multilabel":
        return Outcome(y.astype(np.int64), (z_NK > 0).astype(np.int64), outputs=0.5 * (1 + np.tanh(z_NK / 2)))
    y_N = y.astype(np.int64)
    own_N1 = np.take_along_axis(z_NK, y_N[:, None], axis=1)
    before_NK = (z_NK > own_N1) | ((z_NK == own_N1) & (np.arange(z_NK.shape[1]) < y_N[:, None]))
    most_N1 = z_NK.max(axis=1, keepdims=True)
    total_N = np.log(np.exp(z_NK - most_N1).sum(axis=1)) + most_N1[:, 0]
    outputs = np.exp(z_NK - total_N[:, None])
    return Outcome(y_N, z_NK.argmax(axis=1), before_NK.sum(axis=1), total_N - own_N1[:, 0], outputs)


@dataclass(frozen=True, kw_only=True)
class Metric(Scale, ABC):
    """`name` is used in specs and columns, `label` in sentences. `kinds` are the kinds of tasks that the metric applies to."""

    name: str
    label: str
    percent: bool = True
    """Whether values are shown as percentages."""
    natural: bool = False
    """Whether values have an arbitrary scale, such as that of the labels: they are shown with four significant digits."""
    kinds: tuple[TaskKind, ...] = ("classification",)

    @property
    @abstractmethod
    def method(self) -> str:
        """The name of the test on which claims are based."""

    @abstractmethod
    def value(self, found: Outcome) -> float: ...

    @abstractmethod
    def floor(self, labels: Array, classes: int) -> float:
        """The best value of a network that ignores its input."""

    @abstractmethod
    def score(self, found: Outcome, classes: int) -> Score: ...

    @abstractmethod
    def misses(self, found: Outcome, classes: int, target: float) -> float:
        """The p-value of "the metric is worse than `target`"."""

    @abstractmethod
    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        """The p-value of "the network keeps less than `share` of its teacher's value", both measured on the same samples."""

    def clears(self, score: Score, floor: float) -> bool:
        """Whether the 95% interval is better than the floor."""
        return score.low > floor if self.higher else score.high < floor

    def likely_shortfall(self, score: Score) -> float:
        """How far a measured score is from the best value.

        Uses Laplace's rule of succession: no errors on few samples do not mean an error of 0.
        """
        return (score.n * self.shortfall(score.value) + 1) / (score.n + 2) if self.higher else self.shortfall(score.value)

    def noise(self, warped: npt.ArrayLike, like: Score) -> Floats:
        """Standard errors (n,) of warped values of networks that are measured on the samples of `like`.

        Errors of a share are those of a fraction of n samples, with n such that the error at `like` is the measured one; a
        distance from the best possible value has the same relative error everywhere.
        """
        if self.shape == "share":
            return sampling_error(warped, self._effective(like))
        return np.full(np.shape(warped), like.error / (self._slope(like.value) if self.shape == "excess" else 1.0))

    def error(self, value: float, like: Score) -> float:
        """The standard error of a value that is measured on the samples of `like`."""
        if self.shape == "share":
            share = float(self.share(value))
            return (self.high - self.low) * math.sqrt(share * (1 - share) / self._effective(like))
        return like.error if self.shape == "plain" else self._slope(value) * like.error / self._slope(like.value)

    def _slope(self, value: float) -> float:
        return float(self.shortfall(value)) + self.edge

    def _effective(self, like: Score) -> float:
        inner = EDGE + (1 - 2 * EDGE) * float(self.share(like.value))
        return inner * (1 - inner) / max(like.error / (self.high - self.low), 1e-9) ** 2

    @property
    def column(self) -> str:
        """Its name in tables."""
        return self.name

    def applies(self, found: Outcome) -> bool:
        """Whether it can be computed from these predictions."""
        return found.kind in self.kinds

    def text(self, value: float) -> str:
        if self.natural:
            return significant(value)
        return f"{value:.1%}" if self.percent else f"{value:.3f}"


def significant(value: float, digits: int = 4, *, up: bool | None = None) -> str:
    """A number with this many significant digits, without an exponent unless it is very large or small: `12,350`, `3.200`.

    Rounded to the nearest such number or, if `up` is given, up or down.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if not -9 < places < 12:
        return f"{value:.{digits}g}"
    if up is not None:
        ends = math.ceil if up else math.floor
        value = ends(round(value * 10.0**places, 6)) / 10.0**places
    return f"{round(value, places):,.{max(0, places)}f}"


def score_of(value: float, drawn: Floats, n: int) -> Score:
    """A value, with the standard error and the interval of its draws."""
    low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
    return Score(value=value, error=float(drawn.std(ddof=1)), low=min(low, value), high=max(high, value), n=n)


def share_worse(differences: Floats) -> float:
    """The fraction of draws in which the network is worse; at least 1 / (draws + 1)."""
    return float((1 + (differences < 0).sum()) / (1 + len(differences)))


@dataclass(frozen=True, kw_only=True)
class Mean(Metric):
    """The mean of one number per sample, (N,). If the numbers are bounded, claims rest on a finite-sample bound.

    If they are not, `worst` is a value that samples may have although none was observed; None: `stretch` times as far from the
    best value as the worst observed one (for differences from a teacher: the worst observed one).
    """

    worst: float | None = None
    stretch: float = 1.5
    """With 1.5, few claims about means of heavy-tailed errors are false (benchmarks/claims.py --metrics)."""

    @property
    def method(self) -> str:
        return (
            "a bound for every number of samples (Hoeffding-Bentkus, betting)"
            if self.bounded
            else "an approximate test: a paired Bayesian bootstrap"
        )

    @abstractmethod
    def each(self, found: Outcome) -> Floats: ...

    def value(self, found: Outcome) -> float:
        return float(self.each(found).mean())

    def score(self, found: Outcome, classes: int) -> Score:
        return score_of(self.value(found), means(self.each(found)[None], DRAWS)[0], len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        values = self.each(found)
        if self.bounded:
            return self._bound(values, self.low, self.high, target)
        return self._drawn(values, target, self.stretch)

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        own, theirs = self.each(found), self.each(teacher)
        weight = self.keeping(1.0, share)
        if self.bounded:
            ends = self.low - weight * self.high, self.high - weight * self.low
            return self._bound(own - weight * theirs, *ends, 0.0)
        return self._drawn(own - weight * theirs, 0.0, 1.0)

    def _bound(self, values: Floats, low: float, high: float, target: float) -> float:
        losses = (high - values if self.higher else values - low) / (high - low)
        limit = (high - target if self.higher else target - low) / (high - low)
        return bounded_mean(losses.clip(0.0, 1.0), limit)

    def _drawn(self, values_N: Floats, target: float, stretch: float) -> float:
        """The p-value of "the mean of these values is worse than the target", with one more sample of the worst value.

        Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable", 2005.
        Without it, few samples of a skewed loss hide how bad it can be.
        """
        gains_N = self.height(np.append(values_N, 0.0 if self.worst is None else self.worst))
        if self.worst is None:
            gains_N[-1] = gains_N[:-1].max() - stretch * np.ptp(gains_N[:-1])
        gains_N[-1] = gains_N.min()
        return share_worse(means(gains_N[None], TEST_DRAWS)[0] - float(self.height(target)))
