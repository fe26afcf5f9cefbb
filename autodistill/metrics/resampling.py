"""The Bayesian bootstrap: how a metric varies between samples (Rubin, Annals of Statistics 1981).

Each draw gives every sample a random weight, Dirichlet(1, ..., 1) over the samples of its stratum, and evaluates the metric
with these weights. Networks that were measured on the same samples get the same weights, so their differences are paired.

Shape suffixes: B draws, N samples, C cells (samples that are alike), K classes, M networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..spec.arrays import Floats, Ints

AT_ONCE = 4_000_000
"""How many random numbers are held in memory."""


def means(values_MN: Floats, draws: int, seed: int = 0) -> Floats:
    """(M, B) means of each network's values, drawn with the same weights."""
    random, found = np.random.default_rng(seed), []
    samples = values_MN.shape[1]
    for count in _chunks(draws, samples):
        weights_BN = random.standard_exponential((count, samples))
        found.append(values_MN @ (weights_BN / weights_BN.sum(1, keepdims=True)).T)
    return np.concatenate(found, axis=1)


def weights(samples: int, draws: int, amounts: Sequence[float] = (), seed: int = 0) -> Iterator[tuple[Floats, Floats]]:
    """Yields, for some of the draws at a time, weights (B, N) of the samples, 1 on average, and weights (B, E) of additional
    samples with these amounts.

    The weights are not normalized: they are used only in ratios.
    """
    random, further = np.random.default_rng(seed), np.asarray(amounts, dtype=np.float64)
    for count in _chunks(draws, samples + len(further)):
        yield random.standard_exponential((count, samples)), random.standard_gamma(further, (count, len(further)))


class Tables:
    """Confusion counts of M networks on the same samples.

    Each class gets one more sample, so that a class without an error does not seem to be without risk: partly one that all
    networks predict correctly, partly one on which only the first network errs. With one class, that is an error, which makes
    the drawn recalls those of Clopper and Pearson's bound; with many, half and half (Jeffreys' prior), because the skewness of
    a mean over K classes falls with the root of K.
    """

    def __init__(self, labels: Ints, predicted: Sequence[Ints], classes: int) -> None:
        self.classes = classes
        each, extra = np.arange(classes), np.full(classes, classes)  # the last column: no class at all
        right, wrong = [each] * (1 + len(predicted)), [each, extra, *[each] * (len(predicted) - 1)]
        rows = np.stack([np.concatenate([own, *more]) for own, *more in zip([labels, *predicted], right, wrong, strict=True)])
        lean = 0.5 / math.sqrt(classes)
        amounts = np.concatenate([np.ones(len(labels)), np.full(classes, 0.5 - lean), np.full(classes, 0.5 + lean)])
        cells, place = np.unique(rows, axis=1, return_inverse=True)
        self.labels_C, self.predicted_MC = cells[0], cells[1:]
        self.amounts_C = np.bincount(place.ravel(), weights=amounts)
        self.sizes_K = np.bincount(labels, minlength=classes).astype(np.float64)

    def draw(self, draws: int, *, stratified: bool, seed: int = 0) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Yields, for some of the draws at a time, (M, B, K) correct predictions, (M, B, K) predictions, and (B, K) samples, by
        class.

        `stratified` keeps the size of each class; otherwise, sizes are drawn, too.
        """
        random = np.random.default_rng(seed)
        for count in _chunks(draws, len(self.amounts_C)):
            weights_BC = random.standard_gamma(self.amounts_C, (count, len(self.amounts_C)))
            totals_BK = _added(weights_BC, self.labels_C, self.classes)
            whole_BK = totals_BK * (self.sizes_K.sum() / totals_BK.sum(1, keepdims=True))
            sizes_BK = np.broadcast_to(self.sizes_K, totals_BK.shape) if stratified else whole_BK
            weights_BC *= (sizes_BK / totals_BK)[:, self.labels_C]
            right = [_added(weights_BC * (one == self.labels_C), self.labels_C, self.classes) for one in self.predicted_MC]
            given = [_added(weights_BC, one, self.classes) for one in self.predicted_MC]
            yield np.stack(right), np.stack(given), sizes_BK


def _added(weights_BC: Floats, of_C: Ints, classes: int) -> Floats:
    """(B, K) the weights of each class, added up over its cells."""
    from scipy.sparse import csr_array

    inside = np.flatnonzero(of_C < classes)
    columns_CK = csr_array((np.ones(len(inside)), (inside, of_C[inside])), shape=(len(of_C), classes))
    return np.asarray(weights_BC @ columns_CK)


def _chunks(draws: int, numbers: int) -> Iterator[int]:
    """How many draws to make at a time."""
    size = max(1, AT_ONCE // max(1, numbers))
    for start in range(0, draws, size):
        yield min(size, draws - start)
