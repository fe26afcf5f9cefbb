"""Which students continue after a rung: a pure decision, the same for every runner, and the values that it compares.

A trial is never compared with another by its metric alone: candidates are ordered by nondominated rank of their costs (n, m),
smaller is better, the metric at the rung first and sizes after it. Within a rank, those that spread most evenly come first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ...metrics.metric import Metric, metric_of
from ...spec.arrays import Floats
from ...spec.measurement import Sized
from ...spec.search import Search
from .. import pareto
from ..record.region import Region
from ..record.rows import costs
from ..sampling.ehvi import predict_end

Indices = npt.NDArray[np.intp]
FEWEST, CERTAIN = 4, 0.95


def continues(costs: npt.ArrayLike, *, share: float, ranks: Indices | None = None, margin: float = 0.0) -> bool:
    """Whether the last of the rows that reached the rung, costs (n, m), is in the best `share` of them (at least one).

    Always True for a row that no row of at most its size beats in the metric by more than `margin`: it may end on the frontier.
    Asynchronous successive halving (Li et al., MLSys 2020) in the order of MO-ASHA (Schmucker et al., arXiv:2106.12639). Of
    equal rows, the last one is last in its rank. The order of the other rows does not matter. `ranks` are their ranks, if
    known.
    """
    table = np.asarray(costs, dtype=np.float64)
    ranks = ranks_of(table) if ranks is None else ranks
    if _is_unbeaten(table, margin):
        return True
    most = max(1, math.ceil(share * len(table)))
    before, front = int((ranks < ranks[-1]).sum()), table[ranks == ranks[-1]]
    if before >= most or before + len(front) <= most:
        return before < most
    if (front[:-1] == front[-1]).all(axis=1).any():
        return False  # the last of a front that does not continue as a whole
    distinct = np.unique(front, axis=0)
    chosen = net(distinct, most - before)
    return bool((distinct[chosen] == front[-1]).all(axis=1).any())


def _is_unbeaten(costs: Floats, margin: float) -> bool:
    """Whether no row of at most the last one's sizes has a metric that is better by more than the margin."""
    return not bool(((costs[:, 0] < costs[-1, 0] - margin) & (costs[:, 1:] <= costs[-1, 1:]).all(axis=1)).any())


def ranks_of(costs: npt.ArrayLike) -> Indices:
    """(n,) nondominated ranks of costs (n, m): 0 where no row dominates, 1 where only such rows do, and so on."""
    table = np.asarray(costs, dtype=np.float64)
    ranks, left, rank = np.zeros(len(table), dtype=np.intp), np.arange(len(table)), 0
    while len(left):
        mask = pareto.nondominated(table[left])
        ranks[left[mask]] = rank
        left, rank = left[~mask], rank + 1
    return ranks


def net(costs: npt.ArrayLike, most: int | None = None) -> Indices:
    """The first `most` rows of distinct costs (n, m), ordered so that each is the farthest from all before it: an epsilon-net.

    Salinas et al., "A multi-objective perspective on jointly tuning hardware and hyperparameters", arXiv:2106.05680. The first
    is the best of the first column; distances are between ranks within a column, so units do not matter.
    """
    table = np.asarray(costs, dtype=np.float64)
    most = len(table) if most is None else min(most, len(table))
    if most == 0:
        return np.array([], dtype=np.intp)
    places = np.stack([np.unique(column, return_inverse=True)[1] for column in table.T], axis=1).astype(np.float64)
    places /= np.maximum(places.max(axis=0), 1)
    chosen = [int(np.argmin(table[:, 0]))]
    nearest = np.full(len(table), np.inf)
    while len(chosen) < most:
        nearest = np.minimum(nearest, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
        nearest[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen, dtype=np.intp)


class Reached:
    """All rows that reached one rung, with up-to-date ranks: a decision over a few thousand rows takes a millisecond."""

    def __init__(self, columns: int) -> None:
        self._costs, self._ranks = np.empty((0, columns)), np.empty(0, dtype=np.intp)

    def enter(self, row: npt.ArrayLike) -> None:
        """Adds a row with costs (m,)."""
        self._costs, self._ranks = np.vstack([self._costs, row]), np.append(self._ranks, 0)
        _rank_last(self._costs, self._ranks)

    def last_continues(self, share: float, margin: float = 0.0) -> bool:
        """Whether the row that was entered last continues."""
        return continues(self._costs, share=share, ranks=self._ranks, margin=margin)


def _rank_last(costs: Floats, ranks: Indices) -> None:
    """Ranks the last row. Rows that it dominates may fall by one rank, and so may the rows that these dominate."""
    row, others = costs[-1], costs[:-1]
    no_worse, no_better = (others <= row).all(axis=1), (others >= row).all(axis=1)
    rank = ranks[-1] = int(ranks[:-1][no_worse & ~no_better].max(initial=-1)) + 1
    below = np.flatnonzero(no_better & ~no_worse)
    falling = below[ranks[below] == rank]
    while len(falling):
        rank += 1
        next_front = below[ranks[below] == rank]
        ranks[falling] = rank
        falling = next_front[_beaten(costs[next_front], costs[falling])]


def _beaten(costs: Floats, by: Floats) -> npt.NDArray[np.bool_]:
    """(n,) whether any row of `by` (k, m) dominates each row of costs (n, m)."""
    no_worse = (by[:, None] <= costs[None]).all(axis=2)
    return np.asarray((no_worse & (by[:, None] < costs[None]).any(axis=2)).any(axis=0))


class Rungs:
    """The rungs of one study, by the key of the stage. A rung is a share of the epochs, whatever their number `of` is.

    `region` is called when a training reports, not before.
    """

    def __init__(self, search: Search, region: Callable[[], Region]) -> None:
        self.search, self.region, self.metric = search, region, metric_of(search)
        self._complete: set[str] = set()
        self._ended: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        """By rung, the values there and at full length of trainings that continued to the end."""
        self._reached = defaultdict[int, Reached](lambda: Reached(len(search.objectives)))
        self._passed: dict[str, list[tuple[int, float]]] = {}

    def passed(self, key: str) -> list[tuple[int, float]]:
        """Epochs and validation metric at each rung so far."""
        return self._passed.get(key, [])

    def enter(self, key: str, sizes: Sized, of: int, passed: Sequence[tuple[int, float]]) -> None:
        """Adds earlier decisions. Known ones stay; epochs that are not rungs of this study are left out."""
        places = self.search.places(of)
        for epochs, value in passed:
            if epochs in places and not self._has(key, epochs):
                self._enter(key, sizes, places[epochs], epochs, value)

    def completed(self, key: str, of: int, value: float) -> None:
        """A training ended: records its final metric for each of its rungs."""
        places = self.search.places(of)
        for epochs, before in self.passed(key) if key not in self._complete else ():
            self._ended[places[epochs]].append((before, value))
        self._complete.add(key)

    def continues(self, key: str, sizes: Sized, of: int, epochs: int, value: float) -> bool:
        """Records the result and decides. A training that was proposed again continues where it was stopped.

        A training that will not reach the region of interest ends, however small; otherwise `halving.continues` decides, which
        treats values within one standard error as equal.
        """
        assert self.search.halving, "without halving no training reports"
        if self._has(key, epochs):
            return True
        rung, region = self.search.places(of)[epochs], self.region()
        self._enter(key, sizes, rung, epochs, value)
        if not region.everything and is_hopeless(self.metric, value, self._ended[rung], region.floor):
            return False
        margin = self.metric.error(value, region.teacher)
        return self._reached[rung].last_continues(self.search.halving.share, margin=margin)

    def _has(self, key: str, epochs: int) -> bool:
        return any(epochs == before for before, _ in self.passed(key))

    def _enter(self, key: str, sizes: Sized, rung: int, epochs: int, value: float) -> None:
        names = self.search.objectives
        self._passed.setdefault(key, []).append((epochs, value))
        self._reached[rung].enter(costs([[value, *(float(getattr(sizes, name)) for name in names[1:])]], names)[0])


def is_hopeless(metric: Metric, value: float, ended: Sequence[tuple[float, float]], floor: float) -> bool:
    """Whether a training with this value of the metric at a rung will, with 95% confidence, end worse than `floor`.

    `ended` are values of others at that rung and at their end. The one-sided t interval is for one more training; False
    while fewer than FEWEST have ended.
    """
    if len(ended) < FEWEST:
        return False
    from scipy.stats import t

    mean, deviation, n = predict_end(metric, float(metric.warp(value)), ended)
    reach = float(t.ppf(CERTAIN, n - 1)) * deviation * math.sqrt(1 + 1 / n)
    return bool(mean + reach < metric.warp(floor))
