"""Metrics of how outputs rank samples: the mean over labels or, for classes, over each class against the rest.

Own vectorized code: scikit-learn and torchmetrics take one set of weights at a time, and a bootstrap has thousands.

Shape suffixes: N samples, K labels or classes, B draws, M networks.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..spec.arrays import Array, Floats
from ..spec.measurement import Score
from .base import DRAWS, TEST_DRAWS, Metric, Outcome, score_of, share_worse
from .intervals import warp
from .moments import leaning
from .resampling import weights

MOST_OUTPUTS = 100
"""Ranks are not computed for more classes or labels."""
GROUPS = 100
"""The most groups of samples that a jackknife leaves out, one after the other."""
MANY, FEWER_DRAWS = 200_000, 100
"""Above this many numbers, a standard error uses fewer draws."""


class Ranked(NamedTuple):
    """One label's samples from the largest output to the smallest: `order` (N,), whether each has the label, and the first and
    the last place of the outputs that equal its own.
    """

    order: npt.NDArray[np.intp]
    has: Floats
    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]


def ranked(output_N: Floats, has_N: Array) -> Ranked:
    order = np.argsort(-output_N, kind="stable")
    falling = -output_N[order]
    first, last = np.searchsorted(falling, falling, "left"), np.searchsorted(falling, falling, "right") - 1
    return Ranked(order, has_N[order].astype(np.float64), first, last)


@dataclass(frozen=True, kw_only=True)
class Ranking(Metric):
    """Claims are tested by a paired Bayesian bootstrap. In it, each label gets one more sample with the label and one without,
    on which only the tested network errs: otherwise, a perfect ranking of few samples would seem to be without risk.
    """

    @property
    def method(self) -> str:
        return "an approximate test: a paired Bayesian bootstrap and, for a target, a jackknife"

    @abstractmethod
    def of(self, one: Ranked, weights_BN: Floats, further_B2: Floats, *, errs: bool) -> Floats:
        """(B,) values of one label; `further_B2` are weights of samples with and without it, ranked wrongly if it `errs`."""

    def applies(self, found: Outcome) -> bool:
        if not super().applies(found) or found.outputs is None or found.outputs.shape[1] > MOST_OUTPUTS:
            return False
        return bool((found.labels != found.labels[:1]).any())

    def value(self, found: Outcome) -> float:
        return float(self._of_each(_each(found), np.ones((1, len(found.labels)))).mean())

    def _of_each(self, each: Sequence[Ranked], weights_BN: Floats) -> Floats:
        """(K, B) values of each label, without additional samples."""
        none_B2 = np.zeros((len(weights_BN), 2))
        return np.stack([self.of(one, weights_BN, none_B2, errs=True) for one in each])

    def score(self, found: Outcome, classes: int) -> Score:
        draws = DRAWS if found.outputs is not None and found.outputs.size <= MANY else FEWER_DRAWS
        return score_of(self.value(found), self._drawn([found], draws)[0], len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        """The larger p-value of two: the bootstrap does not see that a value is too high on average, as an average precision is
        on few samples; the jackknife does not see the risk of a perfect ranking.
        """
        return max(share_worse(self._drawn([found], TEST_DRAWS)[0] - target), self._by_jackknife(found, target))

    def _by_jackknife(self, found: Outcome, target: float) -> float:
        """Student's t of the logit, without its bias, both by leaving out groups of samples (Efron 1982, chapters 2 and 3).

        The jackknife's variance is too large rather than too small (Efron and Stein, Annals of Statistics 1981). Each label has
        one degree of freedom less than samples with it, or without it if these are fewer (pooled as by Satterthwaite 1946). A
        group without which a label has no sample says nothing about this label.
        """
        from scipy.stats import t

        each, groups = _each(found), min(GROUPS, len(found.labels))
        group_N = np.random.default_rng(0).permutation(len(found.labels)) % groups
        kept_GN = (group_N != np.arange(groups)[:, None]).astype(np.float64)
        whole_K1 = self._of_each(each, np.ones((1, len(group_N))))
        with np.errstate(invalid="ignore"):
            left_KG = self._of_each(each, kept_GN)
        left_KG = np.where(np.isfinite(left_KG), left_KG, whole_K1)
        value, left_G = float(warp(whole_K1.mean())), warp(left_KG.mean(axis=0))
        distance = value - (groups - 1) * (left_G.mean() - value) - float(warp(target))
        error, of_label_K = _spread(left_G), np.array([_spread(one) for one in left_KG]) ** 2
        if error == 0:
            return float(distance <= 0)
        rare_K = np.array([max(1.0, min(one.has.sum(), len(one.has) - one.has.sum()) - 1) for one in each])
        return float(t.sf(distance / error, of_label_K.sum() ** 2 / (of_label_K**2 / rare_K).sum()))

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        own, theirs = self._drawn([found, teacher], TEST_DRAWS)
        return share_worse(own - share * theirs)

    def _drawn(self, found: Sequence[Outcome], draws: int) -> Floats:
        """(M, B) values."""
        every = [_each(one) for one in found]
        count, wrong = len(every[0]), leaning(len(every[0]))[1]
        parts: list[list[Floats]] = [[] for _ in found]
        for own_BN, more_BE in weights(len(found[0].labels), draws, [wrong] * (2 * count)):
            further_KB2 = more_BE.reshape(len(more_BE), count, 2).transpose(1, 0, 2)
            for place, each in enumerate(every):
                pairs = zip(each, further_KB2, strict=True)
                parts[place].append(np.mean([self.of(one, own_BN, more, errs=place == 0) for one, more in pairs], axis=0))
        return np.stack([np.concatenate(part) for part in parts])


def _each(found: Outcome) -> list[Ranked]:
    """Each label that some but not all samples have; for two classes, only the second."""
    assert found.outputs is not None, "ranks need the outputs"
    has_NK = found.labels
    if found.kind == "classification":
        has_NK = found.labels[:, None] == np.arange(found.outputs.shape[1])
    able = np.flatnonzero(has_NK.any(axis=0) & ~has_NK.all(axis=0))
    if found.kind == "classification" and found.outputs.shape[1] == 2:
        able = able[-1:]
    return [ranked(found.outputs[:, place], has_NK[:, place]) for place in able]


def _spread(left_G: Floats) -> float:
    """The standard error of a value whose values without each of G groups are given."""
    return math.sqrt((len(left_G) - 1) * float(left_G.var()))


@dataclass(frozen=True, kw_only=True)
class AreaUnderROC(Ranking):
    """The probability that a sample with the label has a larger output than one without; ties count one half."""

    def of(self, one: Ranked, weights_BN: Floats, further_B2: Floats, *, errs: bool) -> Floats:
        w_BN = weights_BN[:, one.order]
        with_BN, without_BN = w_BN * one.has, w_BN * (1 - one.has)
        above_BN = np.cumsum(without_BN, axis=1)
        total_B = above_BN[:, -1]
        before_BN = np.concatenate([np.zeros((len(w_BN), 1)), above_BN], axis=1)[:, one.first]
        below_BN = total_B[:, None] - (before_BN + above_BN[:, one.last]) / 2
        with_B = with_BN.sum(axis=1)
        right_B = (with_BN * below_BN).sum(axis=1)
        more_B, less_B = further_B2.T
        whole_B = (with_B + more_B) * (total_B + less_B)
        return np.asarray((right_B if errs else whole_B - with_B * total_B + right_B) / whole_B)

    def floor(self, labels: Array, classes: int) -> float:
        return 0.5


@dataclass(frozen=True, kw_only=True)
class AveragePrecision(Ranking):
    """The mean over the samples with the label of the precision among all that rank at least as high, as in scikit-learn."""

    def of(self, one: Ranked, weights_BN: Floats, further_B2: Floats, *, errs: bool) -> Floats:
        w_BN = weights_BN[:, one.order]
        with_BN = w_BN * one.has
        precision_BN = np.cumsum(with_BN, axis=1)[:, one.last] / np.cumsum(w_BN, axis=1)[:, one.last]
        with_B, total_B, more_B = with_BN.sum(axis=1), w_BN.sum(axis=1), further_B2[:, 0]
        at_end_B = (with_B + more_B) / (total_B + more_B) if errs else np.ones(len(w_BN))
        return np.asarray(((with_BN * precision_BN).sum(axis=1) + more_B * at_end_B) / (with_B + more_B))

    def floor(self, labels: Array, classes: int) -> float:
        """Equal outputs for all samples: how frequent the labels are."""
        share_K = labels.mean(axis=0)
        able_K = share_K[(share_K > 0) & (share_K < 1)]
        return float(able_K.mean()) if len(able_K) else 0.0
