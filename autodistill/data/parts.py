"""Splits by the split's own seed, stratified where there are classes. What training sees never depends on the test samples.

Samples are assigned to parts by labels and the seed alone (of a table also by a column of groups or times, if the task names
one), never by what is in the samples.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from ..spec import DataError, TaskSpec
from ..spec.arrays import Array
from .arrays import Raw
from .columns import ROWS, Columns, X
from .folders import UNKNOWN, common_size
from .images import Images
from .mapped import Mapped
from .orders import newest, whole_groups
from .sources import most_held
from .splits import Memory, Samples, Sealed, Splits

GROUPS_MOST = 50
"""Results on more groups of a table are not reported: they are there to keep groups together."""


def split(raw: Raw, task: TaskSpec) -> Splits:
    """Training, validation, and sealed test samples. Raises DataError if a class would be missing from one of them."""
    rows, test = np.arange(len(raw.y)), np.arange(0)
    whole = len(rows)
    if raw.x_test is None or raw.y_test is None:
        rows, test = parted(raw, rows, task.split.test, task.split.seed, "test", f"{task.split.test} of {whole}")
    if task.samples is not None:
        rows = subset(raw, rows, task.samples, task.split.seed)
        whole = len(rows)
    train, validation = rows, np.arange(0)
    if raw.x_validation is None:
        count = max(1, round(task.split.validation * whole))
        train, validation = parted(raw, rows, count, task.split.seed, "validation", f"{task.split.validation} of {whole}")
    encoded = None if raw.source is None else raw.source.encoded(train)
    if encoded is not None:
        raw = _filled(replace(raw, groups=_reported(raw.groups, test)), encoded.x)
    layout = "texts" if encoded and encoded.text else "a table"
    if encoded is None:
        raw, layout = _shaped(raw, task, np.concatenate([train, validation]))
    train, rest = labels_kept(raw, train, task)
    if raw.x_test is not None and raw.y_test is not None:
        sealed = Samples(x=raw.x_test, y=raw.y_test, groups=raw.groups, names=raw.names)
    else:
        groups = None if raw.groups is None else raw.groups[test]
        sealed = Samples(x=raw.x.take(test), y=raw.y[test], groups=groups, names=raw.names)
    found = Splits(
        train=Samples(x=raw.x.take(train), y=raw.y[train]),
        validation=_validation(raw, validation),
        test=Sealed(sealed),
        layout=layout,
        own_validation=raw.x_validation is not None,
        own_test=raw.x_test is not None,
        unlabeled=_without_labels(raw, rest),
        exact=task.exact,
        kind=raw.kind,
        names=raw.names,
        encoding=encoded.encoding if encoded else None,
        text=encoded.text if encoded else None,
        cautions=encoded.cautions if encoded else (),
        useless=encoded.useless if encoded else {},
    )
    return replace(found, memory=_memory(found, task))


def _filled(raw: Raw, x: Columns) -> Raw:
    """With the encoded rows `x` in place of their numbers. Those of `raw.x` are the first."""
    others = (raw.x_validation, raw.x_test, raw.x_unlabeled)
    x_validation, x_test, x_unlabeled = (None if one is None else x.take(_rows_in(one)) for one in others)
    return replace(raw, x=x, x_validation=x_validation, x_test=x_test, x_unlabeled=x_unlabeled)


def _rows_in(numbers: Columns) -> Array:
    column = numbers[ROWS]
    assert isinstance(column, np.ndarray)
    return column[:, 0]


def _reported(groups: Array | None, test: Array) -> Array | None:
    """The groups, if there are few enough in the test split to report on each."""
    return groups if groups is not None and len(np.unique(groups[test])) <= GROUPS_MOST else None


def _validation(raw: Raw, rows: Array) -> Samples:
    """The data set's own validation samples, or else those at `rows`."""
    if raw.x_validation is not None and raw.y_validation is not None:
        return Samples(x=raw.x_validation, y=raw.y_validation)
    return Samples(x=raw.x.take(rows), y=raw.y[rows])


def _memory(splits: Splits, task: TaskSpec) -> Memory:
    """Decides `auto` for image files: they are held in memory if they fit once decoded. Arrays are already where they will be.
    No key depends on it.
    """
    if splits.train.x.files:
        fits = splits.nbytes <= most_held()
        return ("resident" if fits else "stream") if task.memory == "auto" else task.memory
    return "stream" if any(x.on_disk for x in splits.samples) else "resident"


def _shaped(raw: Raw, task: TaskSpec, rows: Array) -> tuple[Raw, str]:
    """Samples with channels first; image files get the common size of those at `rows`, which training may see.

    Several fields, and samples of different lengths, are taken as they are.
    """
    x, others = raw.x.pixels, (raw.x_validation, raw.x_test, raw.x_unlabeled)
    if x is None:
        if task.layout != "auto":
            fields = ", ".join(raw.x)
            raise DataError(
                f"task.layout: {task.layout} applies to a single array x of one shape, not to {fields}; remove it, and save "
                f"samples with the channels first ({raw.name})"
            )
        return raw, "as given"
    if isinstance(x, Images):
        size, layout = common_size(x.take(rows)) if x.size == UNKNOWN else x.size, "CHW"
        of = partial(_sized, size=size)
    else:
        layout = _guess(x.shape[1:]) if task.layout == "auto" else task.layout
        of = partial(_channels_first, layout=layout, name=raw.name)
    x_validation, x_test, x_unlabeled = (None if one is None else of(one) for one in others)
    return replace(raw, x=of(raw.x), x_validation=x_validation, x_test=x_test, x_unlabeled=x_unlabeled), layout


def _sized(x: Columns, size: tuple[int, int]) -> Columns:
    assert isinstance(x.pixels, Images)
    return Columns({X: replace(x.pixels, size=size)})


def _without_labels(raw: Raw, rows: Array) -> Columns | None:
    """The samples at `rows`, then those that came without labels."""
    parts = [raw.x.take(rows)] if len(rows) else []
    parts += [] if raw.x_unlabeled is None else [raw.x_unlabeled]
    return parts[0].followed_by(parts[1:]) if len(parts) > 1 else next(iter(parts), None)


def _channels_first(columns: Columns, layout: str, name: str) -> Columns:
    """x (N, ...) as (N, D), (N, C, L) or (N, C, H, W)."""
    given = columns.pixels
    assert isinstance(given, np.ndarray | Mapped)
    x = given.array if isinstance(given, Mapped) else given
    if len(layout) != x.ndim - 1 and layout != "D":
        count, shape = len(layout), x.shape[1:]
        raise DataError(
            f"task.layout: {layout} has {count} axes but samples have shape {shape}; remove it, or reshape ({name})"
        )
    if layout == "D":
        x = x.reshape(len(x), -1)
    elif layout == "HW":
        x = x[:, None]
    elif layout == "HWC":
        x = x.transpose(0, 3, 1, 2)
    return Columns({X: replace(given, array=x) if isinstance(given, Mapped) else x})


def _guess(shape: tuple[int, ...]) -> str:
    """Two axes of similar length are a gray image, otherwise a signal; a last axis of 1, 3 or 4 holds the colors."""
    if len(shape) == 2:
        return "HW" if max(shape) <= 4 * min(shape) and min(shape) >= 4 else "CL"
    if len(shape) == 3:
        return "HWC" if shape[-1] in (1, 3, 4) and shape[0] not in (1, 3, 4) else "CHW"
    return "D"


def labels_kept(raw: Raw, train: Array, task: TaskSpec) -> tuple[Array, Array]:
    """The training rows that keep their label, `task.labeled` of each class (if there are none, of all), and the rest.

    The split's seed orders each class, and a fraction takes the first samples, so a larger one contains a smaller one.
    """
    if task.labeled is None:
        return train, train[:0]
    random = np.random.RandomState([task.split.seed % 2**32, 1])  # its numbers are the same in every version of numpy
    y = raw.y if raw.kind == "classification" else np.zeros(len(raw.y), np.int64)
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
    y = raw.y[rows]
    place = "task.samples" if name == "samples" else f"task.split.{name}"
    left, taken = _sides(raw, rows, part, seed, name, f"{place}: {label}")
    if raw.kind != "classification":
        return np.sort(left), np.sort(taken)
    for side, what in ((left, "left over"), (taken, f"in the {name} part")):
        missing = np.setdiff1d(y, raw.y[side])
        if len(missing) and not (name == "samples" and side is left):
            raise DataError(
                f"{place}: {label} samples leaves no sample of class {_called(raw, missing[0])} {what}; "
                "change the fraction, or add samples of that class"
            )
    return np.sort(left), np.sort(taken)


def _sides(raw: Raw, rows: Array, part: float, seed: int, name: str, asked: str) -> tuple[Array, Array]:
    """The rows left and the rows taken: by time or by whole groups if the data have them, otherwise by chance, in each class if
    there are classes.
    """
    from sklearn.model_selection import train_test_split

    y, count = raw.y[rows], _count(part, len(rows))
    if name != "samples" and raw.times is not None:
        left, taken = newest(raw.times[rows], count, asked)
        return rows[left], rows[taken]
    if name != "samples" and raw.source is not None and raw.groups is not None:
        left, taken = whole_groups(raw.groups[rows], y, count, seed, asked)
        return rows[left], rows[taken]
    if raw.kind == "classification":
        _check_room(raw, y, part, asked)
    elif not 2 <= count <= len(rows) - 2:
        raise DataError(f"{asked} samples makes parts of {count:,} and {len(rows) - count:,} samples; each needs at least 2")
    classes = y if raw.kind == "classification" else None
    left, taken = train_test_split(rows, test_size=part, stratify=classes, random_state=seed % 2**32)
    return left, taken


def _count(part: float, of: int) -> int:
    return int(part) if part >= 1 else math.ceil(part * of)


def _called(raw: Raw, number: int) -> str:
    """The number of a class or, of a table or texts, its word."""
    return str(number) if raw.source is None else repr(raw.source.classes[number])


def _check_room(raw: Raw, y: Array, part: float, asked: str) -> None:
    """Raises DataError unless both parts can have a sample of each class."""
    classes = int(raw.y.max()) + 1
    counts = np.bincount(y, minlength=classes)
    if counts.min() < 2:
        least = int(counts.argmin())
        what = f"class {_called(raw, least)} has only {counts[least]} of all {len(y):,} samples, too few for two parts"
        raise DataError(f"{asked} samples: {what}; add samples of that class")
    taken = _count(part, len(y))
    if not classes <= taken <= len(y) - classes:
        raise DataError(
            f"{asked} samples makes parts of {taken:,} and {len(y) - taken:,} samples for {classes:,} classes; "
            f"take from {classes:,} to {len(y) - classes:,} samples, or add more"
        )
