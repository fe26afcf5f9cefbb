"""Splits that are not drawn by chance alone: whole groups, or the newest rows.

Suffixes of shapes: N samples.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from ..spec import DataError
from ..spec.arrays import Array


class Parts(NamedTuple):
    """Positions among the samples, in their order: those left and those taken."""

    left: Array
    taken: Array


def whole_groups(groups_N: Array, y_N: Array, count: int, seed: int, place: str) -> Parts:
    """Takes about `count` samples by whole groups: of scikit-learn's stratified folds by group, the one nearest in size.

    Values of a regression (N, 1) have no classes. Raises DataError unless all classes are in both parts.
    """
    y_N = np.zeros(len(y_N), np.int64) if y_N.dtype.kind == "f" else y_N
    folds, there = max(2, round(len(y_N) / count)), len(np.unique(groups_N))
    if there < 2:
        raise DataError(f"{place}: all samples are of group {str(groups_N[0])!r}, which cannot be split; remove task.groups")
    parts = _folds(min(folds, there), y_N, groups_N, seed)
    classes = len(np.unique(y_N))
    whole = [part for part in parts if all(len(np.unique(y_N[side])) == classes for side in part)]
    if not whole:
        size = f"about {count:,} of {len(y_N):,} samples"
        what = f"no set of whole groups with {size} has all {classes:,} classes ({there:,} groups)"
        raise DataError(f"{place}: {what}; use finer groups in task.groups, a larger part, or remove task.groups")
    return min(whole, key=lambda part: abs(len(part.taken) - count))


def _folds(folds: int, y_N: Array, groups_N: Array, seed: int) -> list[Parts]:
    """scikit-learn warns of small classes, but whether each part has them is checked afterward."""
    from sklearn.model_selection import StratifiedGroupKFold

    folding = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return [Parts(left, taken) for left, taken in folding.split(np.zeros(len(y_N)), y_N, groups_N)]


def newest(times_N: Array, count: int, place: str) -> Parts:
    """Takes about the `count` newest samples: those of one time stay together, on the side where most of them fall.

    Raises DataError if all samples have one time, or if so many have the same time that one part would be empty.
    """
    first = np.sort(times_N)[len(times_N) - count]
    options = [_from(times_N, times_N >= first), _from(times_N, times_N > first)]
    some = [part for part in options if len(part.left) and len(part.taken)]
    if not some:
        what = f"{(times_N == first).sum():,} of {len(times_N):,} samples have the same time, so they cannot be split by it"
        raise DataError(f"{place}: {what}; give finer times, or remove task.split.by")
    return min(some, key=lambda part: abs(len(part.taken) - count))


def _from(times_N: Array, taken_N: Array) -> Parts:
    return Parts(np.flatnonzero(~taken_N), np.flatnonzero(taken_N))
