"""Assigns samples to parts by labels and the split's seed alone, never by what is in the samples."""

from __future__ import annotations

import math

import numpy as np

from ..spec import DataError, TaskSpec
from .arrays import Raw
from .images import Array


def labels_kept(y: Array, train: Array, task: TaskSpec) -> tuple[Array, Array]:
    """The training rows that keep their label, `task.labeled` of each class, and the rest.

    The split's seed orders each class, and a fraction takes the first samples, so a larger one contains a smaller one.
    """
    if task.labeled is None:
        return train, train[:0]
    random = np.random.RandomState([task.split.seed % 2**32, 1])  # its numbers are the same in every version of numpy
    kept = [random.permutation(train[y[train] == number])[: _kept(y[train], number, task.labeled)] for number in np.unique(y)]
    rows = np.sort(np.concatenate(kept))
    return rows, np.setdiff1d(train, rows)


def _kept(y: Array, number: int, share: float) -> int:
    there = int((y == number).sum())
    kept = round(share * there)
    if kept == 0:
        raise DataError(
            f"task.labeled: {share} of the {there} training samples of class {number} rounds to none; "
            f"use at least {min(1.0, math.ceil(500 / there) / 1000 + 0.001):g}, or add samples of that class"
        )
    return kept


def subset(raw: Raw, rows: Array, samples: int, seed: int) -> Array:
    if samples > len(rows):
        raise DataError(f"task.samples: {samples:,} is more than the {len(rows):,} samples available; lower or remove it")
    return rows if samples == len(rows) else parted(raw, rows, samples, seed, "samples", f"{samples} of {len(rows)}")[1]


def parted(raw: Raw, rows: Array, part: float, seed: int, name: str, label: str) -> tuple[Array, Array]:
    """The rows left and the rows taken, both in their old order; `part` is a fraction or a count, `label` its description."""
    from sklearn.model_selection import train_test_split

    y = raw.y[rows]
    place = "task.samples" if name == "samples" else f"task.split.{name}"
    _check_room(y, part, int(raw.y.max()) + 1, f"{place}: {label}")
    left, taken = train_test_split(rows, test_size=part, stratify=y, random_state=seed % 2**32)
    for side, what in ((left, "left over"), (taken, f"in the {name} part")):
        missing = np.setdiff1d(y, raw.y[side])
        if len(missing) and not (name == "samples" and side is left):
            raise DataError(
                f"{place}: {label} samples leaves no sample of class {missing[0]} {what}; "
                "change the fraction, or add samples of that class"
            )
    return np.sort(left), np.sort(taken)


def _check_room(y: Array, part: float, classes: int, asked: str) -> None:
    """Raises DataError unless both parts can have a sample of each class."""
    counts = np.bincount(y, minlength=classes)
    if counts.min() < 2:
        least = int(counts.argmin())
        raise DataError(
            f"{asked} samples: class {least} has only {counts[least]} of all {len(y)} samples, too few for two parts; "
            "add samples of that class"
        )
    taken = int(part) if part >= 1 else math.ceil(part * len(y))
    if not classes <= taken <= len(y) - classes:
        raise DataError(
            f"{asked} samples makes parts of {taken} and {len(y) - taken} samples for {classes} classes; "
            f"take from {classes} to {len(y) - classes} samples, or add more"
        )
