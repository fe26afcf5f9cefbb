"""Nondominated rows and the hypervolume that they enclose; all objectives are minimized.

`costs` is an (n, m) array: n candidates, m >= 1 objectives in any units, smaller is better, +inf allowed. A row
dominates another if it is nowhere larger and somewhere smaller (Deb 2001, "Multi-Objective Optimization Using
Evolutionary Algorithms", definition 2.5), so exact duplicates do not dominate each other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..spec.arrays import Floats

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def nondominated(costs: npt.ArrayLike) -> Mask:
    """(n,) mask of the rows that no row dominates; duplicates of such a row are all True. Raises ValueError on NaN."""
    mask, row_of = _first_of_each(_checked(costs))
    return mask[row_of]


def frontier(costs: npt.ArrayLike) -> Indices:
    """Indices of the nondominated rows (only the first of equal rows), sorted by the last column, then the others."""
    table = _checked(costs)
    mask, _ = _first_of_each(table)
    members = np.flatnonzero(mask)
    columns = [table[members, -1], *table[members, :-1].T]
    return members[np.lexsort(columns[::-1])]


def hypervolume(costs: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The volume that is dominated by `costs` and better than the `reference` point (m,), in the columns' units.

    Exact. Zitzler and Thiele, IEEE TEC 1999; for m >= 3 by slicing objectives (While et al., IEEE TEC 2006). Rows that
    are not strictly better than the reference add nothing. Raises ValueError on NaN, -inf or a reference of another
    length.
    """
    table = _checked(costs)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != table.shape[1:] or not np.isfinite(corner).all():
        raise ValueError(f"the reference point is {reference!r}; give {table.shape[1]} finite numbers, one per column")
    if np.isneginf(table).any():
        raise ValueError("the costs contain -inf, so the volume is infinite; give finite costs or +inf")
    return _volume(table[(table < corner).all(axis=1)], corner)


def _checked(costs: npt.ArrayLike) -> Floats:
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] == 0:
        raise ValueError(f"the costs have shape {table.shape}; give (n, m), one row per candidate, m >= 1 columns")
    if np.isnan(table).any():
        row, column = np.argwhere(np.isnan(table))[0]
        raise ValueError(f"the costs have NaN in row {row}, column {column}; leave out rows that were not measured")
    return table


def _first_of_each(costs: Floats) -> tuple[Mask, Indices]:
    """(n,) mask of the first row of each nondominated cost vector; (n,) index of the first row that equals each row."""
    distinct, firsts, places = np.unique(costs, axis=0, return_index=True, return_inverse=True)
    mask = np.zeros(len(costs), dtype=np.bool_)
    mask[firsts[_peel(distinct)]] = True
    return mask, firsts[places.ravel()]


def _peel(distinct: Floats) -> Indices:
    """Nondominated rows of (n, m), distinct and in lexicographic order. O(n * members * m).

    The first remaining row is not dominated: keep it, and drop all rows that it dominates.
    """
    left, members = np.arange(len(distinct)), []
    while len(left):
        members.append(left[0])
        smaller = (distinct[left[1:]] < distinct[left[0]]).any(axis=1)
        left = left[1:][smaller]
    return np.array(members, dtype=np.intp)


def _volume(costs: Floats, corner: Floats) -> float:
    """Of (n, m), all strictly better than the corner (m,)."""
    front = costs[frontier(costs)]
    if len(front) == 0:
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - front[0, 0])
    if len(corner) == 2:
        return _area(front, corner)
    depths = np.diff(front[:, -1], append=corner[-1])
    slices = [(end, depth) for end, depth in enumerate(depths, start=1) if depth > 0]
    return sum((depth * _volume(front[:end, :-1], corner[:-1]) for end, depth in slices), start=0.0)


def _area(front: Floats, corner: Floats) -> float:
    """The hypervolume of a frontier (n, 2), sorted by its second column in ascending order, so that the first one descends."""
    heights = np.diff(front[:, 1], append=corner[1])
    return float((corner[0] - front[:, 0]) @ heights)
