"""Metrics of classifiers.

Shape suffixes: N samples, K classes, B draws, M networks.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..spec.arrays import Array, Floats
from ..spec.measurement import Score
from .base import DRAWS, TEST_DRAWS, Mean, Metric, Outcome, score_of, share_worse
from .intervals import EDGE, exceeds, keeps, wilson
from .moments import LabelF1
from .resampling import Tables


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

    def floor(self, labels: Array, classes: int) -> float:
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
class LogLoss(Mean):
    """Cross-entropy of the labels in nats."""

    def each(self, found: Outcome) -> Floats:
        return found.surprise

    def floor(self, labels: Array, classes: int) -> float:
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
        return score_of(self.value(found), self._drawn([found], classes, DRAWS)[0], len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        return share_worse(self._drawn([found], classes, TEST_DRAWS)[0] - target)

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        drawn = self._drawn([found, teacher], classes, TEST_DRAWS)
        return share_worse(drawn[0] - share * drawn[1])

    def _drawn(self, found: Sequence[Outcome], classes: int, draws: int) -> Floats:
        """(M, B) values."""
        tables = Tables(found[0].labels, [one.predicted for one in found], classes)
        return np.concatenate([self.of(*part) for part in tables.draw(draws, stratified=self.stratified)], axis=1)


@dataclass(frozen=True, kw_only=True)
class BalancedAccuracy(Confusion):
    """The mean over classes of the fraction of a class's samples that are predicted correctly."""

    def of(self, right: Floats, given: Floats, sizes: Floats) -> Floats:
        there = sizes.reshape(-1, sizes.shape[-1]).max(axis=0) > 0
        found: Floats = (right[..., there] / sizes[..., there]).mean(axis=-1)
        return found

    def floor(self, labels: Array, classes: int) -> float:
        return 1 / len(np.unique(labels))


@dataclass(frozen=True, kw_only=True)
class MacroF1(Confusion):
    """The mean over classes of F1, the harmonic mean of precision and recall; 0 for a class that is never predicted.

    For samples with several labels, it is the mean over the labels: see `moments.LabelF1`.
    """

    def of(self, right: Floats, given: Floats, sizes: Floats) -> Floats:
        whole = given + sizes
        there = whole.reshape(-1, whole.shape[-1]).max(axis=0) > 0
        found: Floats = (2 * right[..., there] / np.maximum(whole, 1e-12)[..., there]).mean(axis=-1)
        return found

    def floor(self, labels: Array, classes: int) -> float:
        """Always predicting the most frequent class."""
        if labels.ndim == 2:
            return OF_LABELS.floor(labels, classes)
        share = np.bincount(labels, minlength=classes).max() / len(labels)
        return float(2 * share / (1 + share) / len(np.unique(labels)))

    def value(self, found: Outcome) -> float:
        return super().value(found) if found.kind == "classification" else OF_LABELS.value(found)

    def score(self, found: Outcome, classes: int) -> Score:
        return super().score(found, classes) if found.kind == "classification" else OF_LABELS.score(found, classes)

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        if found.kind == "multilabel":
            return OF_LABELS.misses(found, classes, target)
        return super().misses(found, classes, target)

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        if found.kind == "multilabel":
            return OF_LABELS.loses(found, teacher, classes, share)
        return super().loses(found, teacher, classes, share)


OF_LABELS = LabelF1(name="f1_macro", label="macro F1", percent=False, kinds=("multilabel",))
