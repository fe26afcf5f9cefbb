"""Floor 1: who goes on at a rung: a pure decision, the same for every runner.

A trial is never compared with another by accuracy alone: candidates are ordered by nondominated rank of their costs (n, m),
smaller is better, accuracy at the rung first and sizes after it. Within a rank those come first that spread most evenly.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from . import pareto

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def goes_on(costs: npt.ArrayLike, own: int, *, share: float) -> bool:
    """Whether row `own` of all that reached the rung, costs (n, m), is in the best `share` of them (at least one goes on).

    Always for a row that nothing of at most its size beats in accuracy: it may end on the frontier. Asynchronous
    successive halving (Li et al., MLSys 2020) by the order of MO-ASHA (Schmucker et al., arXiv:2106.12639).
    """
    table = np.asarray(costs, dtype=np.float64)
    if _is_unbeaten(table, own):
        return True
    most = max(1, math.ceil(share * len(table)))
    return own in order(table, most)


def _is_unbeaten(costs: Floats, own: int) -> bool:
    """Whether no row of at most its sizes has a better accuracy."""
    smaller = (costs[:, 1:] <= costs[own, 1:]).all(axis=1)
    return not bool((costs[smaller, 0] < costs[own, 0]).any())


def order(costs: npt.ArrayLike, most: int | None = None) -> list[int]:
    """The first `most` rows of costs (n, m), the best first: rank by rank, within a rank by `net`."""
    table = np.asarray(costs, dtype=np.float64)
    left, found = np.arange(len(table)), list[int]()
    while len(left) and (most is None or len(found) < most):
        mask = pareto.nondominated(table[left])
        front = left[mask]
        found += [int(row) for row in front[net(table[front])]]
        left = left[~mask]
    return found[:most]


def net(costs: npt.ArrayLike) -> Indices:
    """Rows (n,) of costs (n, m) so ordered that each is the farthest from all before it: an epsilon-net.

    Salinas et al., "A multi-objective perspective on jointly tuning hardware and hyperparameters", arXiv:2106.05680. The
    first is the best of the first column; distances are between ranks within a column, so that units have no say.
    """
    table = np.asarray(costs, dtype=np.float64)
    if len(table) == 0:
        return np.array([], dtype=np.intp)
    places = np.stack([np.unique(column, return_inverse=True)[1] for column in table.T], axis=1).astype(np.float64)
    places /= np.maximum(places.max(axis=0), 1)
    chosen = [int(np.argmin(table[:, 0]))]
    nearest = np.full(len(table), np.inf)
    while len(chosen) < len(table):
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen, dtype=np.intp)
