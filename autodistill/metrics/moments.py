"""Metrics that are functions of means over samples, such as a root of a mean or a ratio of counts.

Shape suffixes: N samples, K labels or values, R numbers of a sample, B draws, M networks, E further samples.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spec.arrays import Array, Floats
from ..spec.kinds import TaskKind
from ..spec.measurement import Score
from .base import DRAWS, TEST_DRAWS, Mean, Metric, Outcome, score_of, share_worse
from .resampling import weights

STRETCH = 2.0
"""With it, few claims about squares of heavy-tailed errors are false (benchmarks/claims.py --metrics)."""


@dataclass(frozen=True, kw_only=True)
class Moments(Metric):
    """A function of the means of R numbers per sample.

    Claims are tested by a paired Bayesian bootstrap, to which `worse` adds samples on which only the tested network errs.
    """

    @property
    def method(self) -> str:
        return "an approximate test: a paired Bayesian bootstrap"

    @abstractmethod
    def numbers(self, found: Outcome) -> Floats:
        """(N, R)."""

    @abstractmethod
    def of(self, means: Floats) -> Floats:
        """The values (...) of means (..., R)."""

    @abstractmethod
    def worse(self, numbers_NR: Floats, *, tested: bool, paired: bool) -> tuple[Floats, Sequence[float]]:
        """(E, R) numbers of further samples, on which only the tested network errs, and their amounts.

        `paired`: the network is compared with a teacher, whose numbers get such samples, too.
        """

    def value(self, found: Outcome) -> float:
        return float(self.of(self.numbers(found).mean(axis=0)))

    def score(self, found: Outcome, classes: int) -> Score:
        return score_of(self.value(found), self._drawn([found], DRAWS)[0], len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        return share_worse(self.height(self._drawn([found], TEST_DRAWS)[0]) - float(self.height(target)))

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        own, theirs = self._drawn([found, teacher], TEST_DRAWS)
        return share_worse(self.height(own) - self.height(self.keeping(theirs, share)))

    def _drawn(self, found: Sequence[Outcome], draws: int) -> Floats:
        """(M, B) values."""
        tables = [self.numbers(one) for one in found]
        further = [self.worse(table, tested=place == 0, paired=len(found) > 1) for place, table in enumerate(tables)]
        parts = []
        for own_BN, more_BE in weights(len(tables[0]), draws, further[0][1]):
            total_B1 = own_BN.sum(axis=1, keepdims=True) + more_BE.sum(axis=1, keepdims=True)
            pairs = zip(tables, further, strict=True)
            parts.append(np.stack([self.of((own_BN @ table + more_BE @ extra[0]) / total_B1) for table, extra in pairs]))
        return np.concatenate(parts, axis=1)


def leaning(count: int) -> tuple[float, float]:
    """Amounts of the samples that are right and wrong, of one more for each of `count` labels: see `resampling.Tables`."""
    lean = 0.5 / np.sqrt(count)
    return 0.5 - lean, 0.5 + lean


@dataclass(frozen=True, kw_only=True)
class LabelF1(Moments):
    """F1 of predictions above one half, the harmonic mean of precision and recall: the mean over labels or, if `micro`, of the
    counts of all labels together. 0 for a label that is neither predicted nor present.
    """

    micro: bool = False

    def numbers(self, found: Outcome) -> Floats:
        """Whether each label is predicted correctly, and half of how often it is predicted or present: (N, 2 K), or (N, 2)."""
        right_NK = (found.predicted * found.labels).astype(np.float64)
        there_NK = (found.predicted + found.labels) / 2
        if self.micro:
            right_NK, there_NK = right_NK.sum(axis=1, keepdims=True), there_NK.sum(axis=1, keepdims=True)
        return np.concatenate([right_NK, there_NK], axis=1)

    def of(self, means: Floats) -> Floats:
        right, there = np.split(means, 2, axis=-1)
        ratio = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
        return np.asarray(ratio.mean(axis=-1))

    def worse(self, numbers_NR: Floats, *, tested: bool, paired: bool) -> tuple[Floats, Sequence[float]]:
        """For each label a sample that has it, partly predicted by all networks, partly not by the tested one.

        For the counts of all labels together, a sample with as many labels as any sample has or is predicted to have.
        """
        count = numbers_NR.shape[1] // 2
        one, none = np.diag(np.maximum(1.0, numbers_NR[:, count:].max(axis=0))), np.zeros((count, count))
        right = np.concatenate([one, one], axis=1)
        wrong = np.concatenate([none, one / 2], axis=1) if tested else right
        amounts = [amount for amount in leaning(count) for _ in range(count)]
        return np.concatenate([right, wrong]), amounts

    def floor(self, labels: Array, classes: int) -> float:
        """Always predicting the most frequent labels, as many as are best."""
        share_K = np.sort(labels.mean(axis=0))[::-1]
        if not self.micro:
            return float((2 * share_K / (1 + share_K)).mean())
        found = np.cumsum(share_K) / ((np.arange(1, len(share_K) + 1) + share_K.sum()) / 2)
        return float(found.max())


@dataclass(frozen=True, kw_only=True)
class Errors(Moments):
    """A function of squared errors (and of the spread of the values), the mean over the values of a sample.

    Nothing bounds an error, so one more sample has an error that is STRETCH times the largest observed one (compared with a
    teacher: as large as the largest observed one).
    """

    percent: bool = False
    natural: bool = True
    kinds: tuple[TaskKind, ...] = ("regression",)

    def numbers(self, found: Outcome) -> Floats:
        """Squared errors, values without their mean, and their squares: (N, 3 K)."""
        y_NK = np.where(np.ptp(found.labels, axis=0) > 0, found.labels - found.labels.mean(axis=0), 0.0)
        return np.concatenate([(found.outputs - found.labels) ** 2, y_NK, y_NK**2], axis=1)

    def worse(self, numbers_NR: Floats, *, tested: bool, paired: bool) -> tuple[Floats, Sequence[float]]:
        errors_NK, _, square_NK = np.split(numbers_NR, 3, axis=1)
        error_K = errors_NK.mean(axis=0)
        if tested:
            error_K = (1.0 if paired else STRETCH**2) * errors_NK.max(axis=0)
        return np.concatenate([error_K, np.zeros(len(error_K)), square_NK.mean(axis=0)])[None], (1.0,)

    def score(self, found: Outcome, classes: int) -> Score:
        """Without the additional sample, which would shift the interval of a value that is not tested."""
        numbers, value = self.numbers(found), self.value(found)
        drawn = [self.of(own_BN @ numbers / own_BN.sum(axis=1, keepdims=True)) for own_BN, _ in weights(len(numbers), DRAWS)]
        return score_of(value, np.concatenate(drawn), len(numbers))


@dataclass(frozen=True, kw_only=True)
class RootMeanSquare(Errors):
    """The root of the mean squared error, in units of the labels."""

    def of(self, means: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(np.split(means, 3, axis=-1)[0], 0.0)).mean(axis=-1))

    def floor(self, labels: Array, classes: int) -> float:
        """Always predicting the mean."""
        return float(labels.astype(np.float64).std(axis=0).mean())


@dataclass(frozen=True, kw_only=True)
class Explained(Errors):
    """R squared: 1 minus the mean squared error over the variance of the labels.

    Of a value that is the same in all samples, 1 without any error, else 0.
    """

    def of(self, means: Floats) -> Floats:
        error, mean, square = np.split(means, 3, axis=-1)
        variance = square - mean**2
        return np.asarray((1 - np.divide(error, variance, out=(error > 0) * 1.0, where=variance > 0)).mean(axis=-1))

    def floor(self, labels: Array, classes: int) -> float:
        """Always predicting the mean."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class AbsoluteError(Mean):
    """The mean absolute error, in units of the labels."""

    percent: bool = False
    natural: bool = True
    kinds: tuple[TaskKind, ...] = ("regression",)

    def each(self, found: Outcome) -> Floats:
        return np.asarray(np.abs(found.outputs - found.labels).mean(axis=1))

    def floor(self, labels: Array, classes: int) -> float:
        """Always predicting the median."""
        return float(np.abs(labels - np.median(labels, axis=0)).mean())
