"""Metrics of classifiers: the value, its standard error and interval, and the tests on which claims are based.

Everything that depends on which metric is used is here: which direction is better, what a network that ignores its input gets,
and how sure a value is. All other code asks its `Metric`.

Shape suffixes: N samples, K classes, B draws, M networks.
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..spec import UsageError
from ..spec.measurement import Score
from ..spec.search import Search
from .intervals import EDGE, exceeds, hoeffding_bentkus, keeps, sampling_error, unwarp, warp, wilson
from .resampling import Floats, Ints, Tables, means

DRAWS = 400
"""Draws for a standard error."""
TEST_DRAWS = 4000
"""Draws for a p-value."""


class Outcome(NamedTuple):
    """The predictions of a network on N samples, each (N,).

    `predicted` is the class with the largest logit (of equal ones, the first), `rank` how many classes come before the label,
    and `surprise` -log of the label's probability in nats.
    """

    labels: Ints
    predicted: Ints
    rank: Ints
    surprise: Floats


def outcome(logits_NK: npt.ArrayLike, labels: npt.ArrayLike) -> Outcome:
    """What the metrics need to know about logits (N, K) and their labels (N,)."""
    z_NK, y_N = np.asarray(logits_NK, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    own_N1 = np.take_along_axis(z_NK, y_N[:, None], axis=1)
    before_NK = (z_NK > own_N1) | ((z_NK == own_N1) & (np.arange(z_NK.shape[1]) < y_N[:, None]))
    most_N1 = z_NK.max(axis=1, keepdims=True)
    total_N = np.log(np.exp(z_NK - most_N1).sum(axis=1)) + most_N1[:, 0]
    return Outcome(y_N, z_NK.argmax(axis=1), before_NK.sum(axis=1), total_N - own_N1[:, 0])


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """`name` is used in specs and columns, `label` in sentences. The value is between `low` and `high`."""

    name: str
    label: str
    higher: bool = True
    low: float = 0.0
    high: float = 1.0
    percent: bool = True
    """Whether values are shown as percentages."""

    @property
    @abstractmethod
    def method(self) -> str:
        """The name of the test on which claims are based."""

    @abstractmethod
    def value(self, found: Outcome) -> float: ...

    @abstractmethod
    def floor(self, labels: Ints, classes: int) -> float:
        """The best value of a network that ignores its input."""

    @abstractmethod
    def score(self, found: Outcome, classes: int) -> Score: ...

    @abstractmethod
    def misses(self, found: Outcome, classes: int, target: float) -> float:
        """The p-value of "the metric is worse than `target`"."""

    @abstractmethod
    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        """The p-value of "the network keeps less than `share` of what its teacher has", both measured on the same samples."""

    def reaches(self, value: float, target: float) -> bool:
        return value >= target if self.higher else value <= target

    def cost(self, value: float) -> float:
        """In units in which smaller is better."""
        return -value if self.higher else value

    def height(self, values: npt.ArrayLike) -> Floats:
        """Values (n,) in units in which larger is better: themselves, or minus a loss. Its own inverse."""
        found = np.asarray(values, dtype=np.float64)
        return found if self.higher else -found

    def clears(self, score: Score, floor: float) -> bool:
        """Whether the 95 % interval is better than the floor."""
        return score.low > floor if self.higher else score.high < floor

    def shortfall(self, value: float) -> float:
        """How far a value is from the best possible one."""
        return self.high - value if self.higher else value - self.low

    def likely_shortfall(self, score: Score) -> float:
        """The same of a measured score. By Laplace's rule of succession, no errors on few samples do not mean an error of 0."""
        return (score.n * self.shortfall(score.value) + 1) / (score.n + 2) if self.higher else self.shortfall(score.value)

    def keeping(self, teacher: float, share: float) -> float:
        """The value that keeps `share` of the teacher's. A loss may be 1 / share times as large."""
        return teacher * share if self.higher else teacher / share

    def kept(self, value: float, teacher: float) -> float:
        """The share of the teacher's value that is kept."""
        of, whole = (value, teacher) if self.higher else (teacher, value)
        return of / max(whole, 1e-12)

    def warp(self, values: npt.ArrayLike) -> Floats:
        """Values (n,) on a scale on which larger is better and noise is similar everywhere: the logit, or -log of a loss."""
        return warp(values) if self.higher else -np.log(np.asarray(values, dtype=np.float64) + EDGE)

    def unwarp(self, values: npt.ArrayLike) -> Floats:
        """The inverse of `warp`, never outside the bounds."""
        if self.higher:
            return unwarp(values)
        return np.clip(np.exp(-np.asarray(values, dtype=np.float64)) - EDGE, self.low, self.high)

    def noise(self, warped: npt.ArrayLike, like: Score) -> Floats:
        """Standard errors (n,) of warped values of networks that are measured on the samples of `like`.

        As if the value were a fraction of so many samples that its error at `like` is the measured one; a loss has the same
        relative error everywhere.
        """
        if not self.higher:
            return np.full(np.shape(warped), like.error / (like.value + EDGE))
        return sampling_error(warped, self._effective(like))

    def error(self, value: float, like: Score) -> float:
        """The standard error of a value that is measured on the samples of `like`."""
        if not self.higher:
            return (value + EDGE) * like.error / (like.value + EDGE)
        return math.sqrt(value * (1 - value) / self._effective(like))

    def _effective(self, like: Score) -> float:
        inner = EDGE + (1 - 2 * EDGE) * like.value
        return inner * (1 - inner) / max(like.error, 1e-9) ** 2

    def text(self, value: float) -> str:
        return f"{value:.1%}" if self.percent else f"{value:.3f}"


@dataclass(frozen=True, kw_only=True)
class TopK(Metric):
    """The fraction of samples whose label is among the `top` classes with the largest logits."""

    top: int = 1

    @property
    def method(self) -> str:
        return "an exact binomial test, or a score test for paired proportions"

    def right(self, found: Outcome) -> npt.NDArray[np.bool_]:
        return found.rank < self.top

    def value(self, found: Outcome) -> float:
        return float(self.right(found).mean())

    def floor(self, labels: Ints, classes: int) -> float:
        """Always guessing the most frequent classes."""
        return float(np.sort(np.bincount(labels, minlength=classes))[-self.top :].sum() / len(labels))

    def score(self, found: Outcome, classes: int) -> Score:
        correct, n = int(self.right(found).sum()), len(found.rank)
        inner = EDGE + (1 - 2 * EDGE) * correct / n
        low, high = wilson(correct, n)
        return Score(value=correct / n, error=math.sqrt(inner * (1 - inner) / n), low=low, high=high, n=n)

    def likely_shortfall(self, score: Score) -> float:
        return (score.n - round(score.value * score.n) + 1) / (score.n + 2)

    def _effective(self, like: Score) -> float:
        return like.n

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        return exceeds(int(self.right(found).sum()), len(found.rank), target)

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        own, theirs = self.right(found), self.right(teacher)
        both, alone, lost = (int(part.sum()) for part in (own & theirs, own & ~theirs, ~own & theirs))
        return keeps(both, alone, lost, len(own), share) if both + alone + lost else 1.0


@dataclass(frozen=True, kw_only=True)
class Mean(Metric):
    """The mean of a number per sample, (N,). If it is bounded, claims rest on a finite-sample bound.

    If it is not, `worst` is a value that samples may have even if none has been seen to.
    """

    worst: float = math.nan

    @property
    def method(self) -> str:
        bounded = math.isfinite(self.low) and math.isfinite(self.high)
        return "a Hoeffding-Bentkus bound" if bounded else "an approximate test: a paired Bayesian bootstrap"

    @abstractmethod
    def each(self, found: Outcome) -> Floats: ...

    def value(self, found: Outcome) -> float:
        return float(self.each(found).mean())

    def score(self, found: Outcome, classes: int) -> Score:
        return _score(self.value(found), means(self.each(found)[None], DRAWS)[0], len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        values = self.each(found)
        if math.isfinite(self.low) and math.isfinite(self.high):
            return self._bound(values, self.low, self.high, target)
        return self._drawn(values, target)

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        own, theirs = self.each(found), self.each(teacher)
        weight = share if self.higher else 1 / share
        if math.isfinite(self.low) and math.isfinite(self.high):
            ends = self.low - weight * self.high, self.high - weight * self.low
            return self._bound(own - weight * theirs, *ends, 0.0)
        return self._drawn(own - weight * theirs, 0.0)

    def _bound(self, values: Floats, low: float, high: float, target: float) -> float:
        losses = (high - values if self.higher else values - low) / (high - low)
        limit = (high - target if self.higher else target - low) / (high - low)
        return hoeffding_bentkus(float(losses.mean()), len(losses), limit)

    def _drawn(self, values_N: Floats, target: float) -> float:
        """The p-value of "the mean of these values is worse than the target", with one more sample of the worst value.

        Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable", 2005.
        Without it, few samples of a skewed loss hide how bad it can be.
        """
        gains_N = self.height(np.append(values_N, self.worst))
        gains_N[-1] = gains_N.min()
        return _share(means(gains_N[None], TEST_DRAWS)[0] - float(self.height(target)))


@dataclass(frozen=True, kw_only=True)
class LogLoss(Mean):
    """Cross-entropy of the labels in nats."""

    def each(self, found: Outcome) -> Floats:
        return found.surprise

    def floor(self, labels: Ints, classes: int) -> float:
        """Always giving the frequencies of the classes as probabilities: their entropy."""
        shares = np.bincount(labels, minlength=classes) / len(labels)
        return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


@dataclass(frozen=True, kw_only=True)
class Confusion(Metric):
    """A function of the confusion counts: not a mean over samples.

    `stratified`: it does not depend on how frequent the classes are, so their sizes are kept when samples are drawn.
    """

    stratified: bool

    @property
    def method(self) -> str:
        return f"an approximate test: a paired Bayesian bootstrap{', stratified by class' if self.stratified else ''}"

    @abstractmethod
    def of(self, right: Floats, given: Floats, sizes: Floats) -> Floats:
        """The values (...) of counts (..., K): correct predictions, predictions, and samples of each class."""

    def value(self, found: Outcome) -> float:
        classes = int(max(found.labels.max(), found.predicted.max())) + 1
        right = np.bincount(found.labels[found.labels == found.predicted], minlength=classes)
        given, sizes = (np.bincount(one, minlength=classes) for one in (found.predicted, found.labels))
        return float(self.of(right.astype(np.float64), given.astype(np.float64), sizes.astype(np.float64)))

    def score(self, found: Outcome, classes: int) -> Score:
        return _score(self.value(found), self._drawn([found], classes, DRAWS)[0], len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        return _share(self._drawn([found], classes, TEST_DRAWS)[0] - target)

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        drawn = self._drawn([found, teacher], classes, TEST_DRAWS)
        return _share(drawn[0] - share * drawn[1])

    def _drawn(self, found: Sequence[Outcome], classes: int, draws: int) -> Floats:
        """(M, B) values."""
        tables = Tables(found[0].labels, [one.predicted for one in found], classes)
        return np.concatenate([self.of(*part) for part in tables.draw(draws, stratified=self.stratified)], axis=1)


@dataclass(frozen=True, kw_only=True)
class BalancedAccuracy(Confusion):
    """The mean over classes of the fraction of their samples that is predicted correctly."""

    def of(self, right: Floats, given: Floats, sizes: Floats) -> Floats:
        there = sizes.reshape(-1, sizes.shape[-1]).max(axis=0) > 0
        found: Floats = (right[..., there] / sizes[..., there]).mean(axis=-1)
        return found

    def floor(self, labels: Ints, classes: int) -> float:
        return 1 / len(np.unique(labels))


@dataclass(frozen=True, kw_only=True)
class MacroF1(Confusion):
    """The mean over classes of F1, the harmonic mean of precision and recall; 0 for a class that is never predicted."""

    def of(self, right: Floats, given: Floats, sizes: Floats) -> Floats:
        whole = given + sizes
        there = whole.reshape(-1, whole.shape[-1]).max(axis=0) > 0
        found: Floats = (2 * right[..., there] / np.maximum(whole, 1e-12)[..., there]).mean(axis=-1)
        return found

    def floor(self, labels: Ints, classes: int) -> float:
        """Always predicting the most frequent class."""
        share = np.bincount(labels, minlength=classes).max() / len(labels)
        return float(2 * share / (1 + share) / len(np.unique(labels)))


def _score(value: float, drawn: Floats, n: int) -> Score:
    low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
    return Score(value=value, error=float(drawn.std(ddof=1)), low=min(low, value), high=max(high, value), n=n)


def _share(differences: Floats) -> float:
    """The fraction of draws in which the network is worse; at least 1 / (draws + 1)."""
    return float((1 + (differences < 0).sum()) / (1 + len(differences)))


ACCURACY = TopK(name="accuracy", label="accuracy")
METRICS: dict[str, Metric] = {
    one.name: one
    for one in (
        ACCURACY,
        TopK(name="top5", label="top-5 accuracy", top=5),
        BalancedAccuracy(name="balanced_accuracy", label="balanced accuracy", stratified=True),
        MacroF1(name="f1_macro", label="macro F1", percent=False, stratified=False),
        LogLoss(name="log_loss", label="log loss", higher=False, high=math.inf, percent=False, worst=10.0),
    )
}
"""All metrics by name: to add one, write its class above and list it here."""


def named(name: str, place: str = "task.metric") -> Metric:
    """The metric of that name. Raises UsageError, with `place`, the place of the name in the spec, if there is none."""
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1)
        way = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(METRICS)}"
        raise UsageError(f"{place}: {name!r} is not a metric; {way}")
    return METRICS[name]


def metric_of(search: Search) -> Metric:
    """The metric that a search trades off against size: its first objective."""
    return named(search.objectives[0])


def floors(labels: Ints, classes: int) -> dict[str, float]:
    """By metric, the best value of a network that ignores its input, for labels (N,)."""
    return {name: metric.floor(labels, classes) for name, metric in METRICS.items()}


def scores(found: Outcome, classes: int) -> dict[str, Score]:
    """The score of every metric."""
    return {name: metric.score(found, classes) for name, metric in METRICS.items()}


def values(found: Outcome) -> dict[str, float]:
    """The value of every metric."""
    return {name: metric.value(found) for name, metric in METRICS.items()}
