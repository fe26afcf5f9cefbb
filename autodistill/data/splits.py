"""Stratified splits by the split's own seed. What training sees never depends on the test samples' values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ..spec import DataError, Task, TaskSpec
from .arrays import Raw
from .folders import UNKNOWN, common_size, fingerprint_of
from .images import Array, Images, Pixels, joined, spread
from .parts import labels_kept, parted, subset
from .sources import most_held

Memory = Literal["resident", "stream"]
SCALED = 2048
"""How many image files are used for mean and standard deviation."""


PART = 4096


@dataclass(frozen=True, kw_only=True)
class Samples:
    """x (N, *shape) channels first, uint8 or float32, or still in image files; y (N,) int64.

    Only for test samples, to report on their parts: groups (N,), and the names of the classes.
    """

    x: Pixels
    y: Array
    groups: Array | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.y)


class Sealed:
    """The test split. Its size may be known; only `confirm` may unseal it."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def unseal(self) -> Samples:
        return self._samples


@dataclass(frozen=True, kw_only=True)
class Splits:
    """`unlabeled` (U, *shape) are training samples whose labels are never used; `memory` says where workers find samples."""

    train: Samples
    validation: Samples
    test: Sealed
    layout: str
    own_test: bool
    unlabeled: Pixels | None = None
    memory: Memory = "resident"
    exact: bool = False

    @property
    def classes(self) -> int:
        return int(self.train.y.max()) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.train.x.shape[1:]

    @property
    def rows(self) -> int:
        """Training samples with and without labels."""
        return len(self.train) + (0 if self.unlabeled is None else len(self.unlabeled))

    @property
    def nbytes(self) -> int:
        """The decoded size of training and validation samples in bytes."""
        return sum(x.nbytes for x in (self.train.x, self.validation.x, self.unlabeled) if x is not None)

    @property
    def chance(self) -> float:
        """The fraction of the majority class among the validation samples: the accuracy of guessing it."""
        return float(np.bincount(self.validation.y).max() / len(self.validation))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over training and validation data, in order: over dtype, shape and bytes, or over image files."""
        parts: list[tuple[Pixels, Array | None]] = [(part.x, part.y) for part in (self.train, self.validation)]
        parts += [] if self.unlabeled is None else [(self.unlabeled, None)]
        files = [(x, y) for x, y in parts if isinstance(x, Images)]
        if files:
            return fingerprint_of(files, self.exact)
        found = hashlib.sha256()
        for array in (array for pair in parts for array in pair if array is not None):
            found.update(f"{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def scale(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the training data by channel (of all numbers if a sample is a flat vector).

        Includes samples without labels. Of image files, uses 2,048, evenly spaced, whether or not they are streamed.
        """
        x = _few(self.train.x, self.unlabeled)
        axes = (0, 1) if x.ndim == 2 else (0, *range(2, x.ndim))
        mean = np.atleast_1d(x.mean(axes, np.float64))
        wide = mean.reshape(-1, *[1] * (x.ndim - 2))
        parts = [((x[start : start + PART] - wide) ** 2).sum(axes) for start in range(0, len(x), PART)]  # not all at once
        deviation = np.sqrt(np.atleast_1d(sum(parts)) / (x.size / len(mean)))
        return mean.tolist(), np.where(deviation > 0, deviation, 1.0).tolist()

    def task(self, spec: TaskSpec) -> Task:
        return Task(data=self.fingerprint, split=spec.split, samples=spec.samples, metric=spec.metric)


def _few(x: Pixels, unlabeled: Pixels | None) -> Array:
    if isinstance(x, Images):
        whole = joined([x, unlabeled]) if isinstance(unlabeled, Images) else x
        return whole[spread(len(whole), SCALED)]
    return x if unlabeled is None else np.concatenate([x, np.asarray(unlabeled)])


def split(raw: Raw, task: TaskSpec) -> Splits:
    """Training, validation and sealed test samples. Raises DataError if a class would be missing from one of them."""
    rows = np.arange(len(raw.y))
    whole = len(rows)
    test = None
    if raw.x_test is None or raw.y_test is None:
        rows, test = parted(raw, rows, task.split.test, task.split.seed, "test", f"{task.split.test} of {whole}")
    if task.samples is not None:
        rows = subset(raw, rows, task.samples, task.split.seed)
        whole = len(rows)
    count = max(1, round(task.split.validation * whole))
    train, validation = parted(raw, rows, count, task.split.seed, "validation", f"{task.split.validation} of {whole}")
    raw, layout = _shaped(raw, task, np.concatenate([train, validation]))
    train, rest = labels_kept(raw.y, train, task)
    if raw.x_test is not None and raw.y_test is not None:
        sealed = Samples(x=raw.x_test, y=raw.y_test, groups=raw.groups, names=raw.names)
    else:
        sealed = replace(_of(raw, test), groups=None if raw.groups is None else raw.groups[test], names=raw.names)
    found = Splits(
        train=_of(raw, train),
        validation=_of(raw, validation),
        test=Sealed(sealed),
        layout=layout,
        own_test=raw.x_test is not None,
        unlabeled=_without_labels(raw, rest),
        exact=task.exact,
    )
    return replace(found, memory=_memory(found, task))


def _of(raw: Raw, rows: Array | None) -> Samples:
    assert rows is not None
    return Samples(x=_take(raw.x, rows), y=raw.y[rows])


def _take(x: Pixels, rows: Array) -> Pixels:
    return x.take(rows) if isinstance(x, Images) else x[rows]


def _memory(splits: Splits, task: TaskSpec) -> Memory:
    """Decides `auto`: arrays are held in memory, and so are image files that fit once decoded. No key depends on it."""
    if task.memory != "auto":
        return task.memory
    fits = not isinstance(splits.train.x, Images) or splits.nbytes <= most_held()
    return "resident" if fits else "stream"


def _shaped(raw: Raw, task: TaskSpec, rows: Array) -> tuple[Raw, str]:
    """Samples with channels first; image files get the common size of those at `rows`, which training may see."""
    if not isinstance(raw.x, Images):
        x, layout = _channels_first(raw.x, task.layout, raw.name)
        others = [None if one is None else _channels_first(one, layout, raw.name)[0] for one in (raw.x_test, raw.x_unlabeled)]
        return replace(raw, x=x, x_test=others[0], x_unlabeled=others[1]), layout
    size = common_size(raw.x.take(rows)) if raw.x.size == UNKNOWN else raw.x.size
    sized = {name: getattr(raw, name) for name in ("x", "x_test", "x_unlabeled")}
    return replace(raw, **{name: one and replace(one, size=size) for name, one in sized.items()}), "CHW"


def _without_labels(raw: Raw, rows: Array) -> Pixels | None:
    """The samples at `rows`, then those that came without labels."""
    parts = [_take(raw.x, rows)] if len(rows) else []
    parts += [] if raw.x_unlabeled is None else [raw.x_unlabeled]
    if len(parts) < 2:
        return parts[0] if parts else None
    files = [part for part in parts if isinstance(part, Images)]
    return joined(files) if files else np.concatenate([np.asarray(part) for part in parts])


def _channels_first(x: Pixels, layout: str, name: str) -> tuple[Array, str]:
    """x (N, ...) as (N, D), (N, C, L) or (N, C, H, W), and the layout that was read or guessed."""
    assert not isinstance(x, Images)
    if layout == "auto":
        layout = _guess(x.shape[1:])
    if len(layout) != x.ndim - 1 and layout != "D":
        count, shape = len(layout), x.shape[1:]
        raise DataError(
            f"task.layout: {layout} has {count} axes but samples have shape {shape}; remove it, or reshape ({name})"
        )
    if layout == "D":
        return x.reshape(len(x), -1), layout
    if layout == "HW":
        return x[:, None], layout
    return (x.transpose(0, 3, 1, 2) if layout == "HWC" else x), layout


def _guess(shape: tuple[int, ...]) -> str:
    """Two axes of similar length are a gray image, otherwise a signal; a last axis of 1, 3 or 4 holds the colors."""
    if len(shape) == 2:
        return "HW" if max(shape) <= 4 * min(shape) and min(shape) >= 4 else "CL"
    if len(shape) == 3:
        return "HWC" if shape[-1] in (1, 3, 4) and shape[0] not in (1, 3, 4) else "CHW"
    return "D"
