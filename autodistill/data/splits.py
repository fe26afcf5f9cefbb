"""Stratified splits by the split's own seed. What training sees never depends on the test samples' numbers."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..spec import DataError, Task, TaskSpec
from .sources import Array, Raw


@dataclass(frozen=True, kw_only=True)
class Samples:
    """x (N, *shape) channels first, uint8 or float32; y (N,) int64."""

    x: Array
    y: Array

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
    train: Samples
    validation: Samples
    test: Sealed
    layout: str
    own_test: bool

    @property
    def classes(self) -> int:
        return int(self.train.y.max()) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.train.x.shape[1:]

    @property
    def chance(self) -> float:
        """The share of the commonest class among the validation samples: what guessing it scores."""
        return float(np.bincount(self.validation.y).max() / len(self.validation))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over dtype, shape and bytes of training and validation data, in order."""
        found = hashlib.sha256()
        for array in (self.train.x, self.train.y, self.validation.x, self.validation.y):
            found.update(f"{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def scale(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of the training data by channel (of all numbers where a sample is a flat vector)."""
        x = self.train.x
        axes = (0, 1) if x.ndim == 2 else (0, *range(2, x.ndim))
        mean, deviation = np.atleast_1d(x.mean(axes, np.float64)), np.atleast_1d(x.std(axes, np.float64))
        return mean.tolist(), np.where(deviation > 0, deviation, 1.0).tolist()

    def task(self, spec: TaskSpec) -> Task:
        return Task(data=self.fingerprint, split=spec.split, samples=spec.samples, metric=spec.metric)


def split(raw: Raw, task: TaskSpec) -> Splits:
    """Training, validation and sealed test samples. Raises DataError when a class would be missing from one of them."""
    x, layout = _channels_first(raw.x, task.layout, raw.name)
    rows = np.arange(len(raw.y))
    whole = len(rows)
    if raw.x_test is None or raw.y_test is None:
        rows, test = _parted(raw, rows, task.split.test, task.split.seed, "test", f"{task.split.test} of {whole}")
        sealed = Samples(x=x[test], y=raw.y[test])
    else:
        sealed = Samples(x=_channels_first(raw.x_test, layout, raw.name)[0], y=raw.y_test)
    if task.samples is not None:
        rows = _subset(raw, rows, task.samples, task.split.seed)
        whole = len(rows)
    count = max(1, round(task.split.validation * whole))
    train, validation = _parted(raw, rows, count, task.split.seed, "validation", f"{task.split.validation} of {whole}")
    return Splits(
        train=Samples(x=x[train], y=raw.y[train]),
        validation=Samples(x=x[validation], y=raw.y[validation]),
        test=Sealed(sealed),
        layout=layout,
        own_test=raw.x_test is not None,
    )


def _subset(raw: Raw, rows: Array, samples: int, seed: int) -> Array:
    if samples > len(rows):
        raise DataError(f"task.samples: {samples:,} of {len(rows):,} that there are; ask for fewer or leave it out")
    return rows if samples == len(rows) else _parted(raw, rows, samples, seed, "samples", f"{samples} of {len(rows)}")[1]


def _parted(raw: Raw, rows: Array, part: float, seed: int, name: str, said: str) -> tuple[Array, Array]:
    """The rows left and the rows taken, both in their old order; `part` is a share or a count, `said` what was asked."""
    from sklearn.model_selection import train_test_split

    y = raw.y[rows]
    place = "task.samples" if name == "samples" else f"task.split.{name}"
    _check_room(y, part, int(raw.y.max()) + 1, f"{place}: {said}")
    left, taken = train_test_split(rows, test_size=part, stratify=y, random_state=seed % 2**32)
    for side, what in ((left, "left over"), (taken, f"in the {name} part")):
        missing = np.setdiff1d(y, raw.y[side])
        if len(missing) and not (name == "samples" and side is left):
            raise DataError(
                f"{place}: {said} samples leaves no sample of class {missing[0]} {what}; "
                "change the share or give more samples of that class"
            )
    return np.sort(left), np.sort(taken)


def _check_room(y: Array, part: float, classes: int, asked: str) -> None:
    """Raises DataError unless both parts can have a sample of each class."""
    counts = np.bincount(y, minlength=classes)
    if counts.min() < 2:
        least = int(counts.argmin())
        raise DataError(
            f"{asked} samples: class {least} has {counts[least]} of the {len(y)} there are, too few for two parts; "
            "give more samples of that class"
        )
    taken = int(part) if part >= 1 else math.ceil(part * len(y))
    if not classes <= taken <= len(y) - classes:
        raise DataError(
            f"{asked} samples makes parts of {taken} and {len(y) - taken} for {classes} classes; "
            f"take from {classes} to {len(y) - classes} samples, or give more"
        )


def _channels_first(x: Array, layout: str, name: str) -> tuple[Array, str]:
    """x (N, ...) as (N, D), (N, C, L) or (N, C, H, W), and the layout that was read or guessed."""
    if layout == "auto":
        layout = _guess(x.shape[1:])
    if len(layout) != x.ndim - 1 and layout != "D":
        count, shape = len(layout), x.shape[1:]
        raise DataError(
            f"task.layout: {layout} has {count} axes but samples have shape {shape}; leave it out, or reshape ({name})"
        )
    if layout == "D":
        return x.reshape(len(x), -1), layout
    if layout == "HW":
        return x[:, None], layout
    return (x.transpose(0, 3, 1, 2) if layout == "HWC" else x), layout


def _guess(shape: tuple[int, ...]) -> str:
    """Two axes of similar length are a grey image, else channels of a signal; 1, 3 or 4 at the end are colours."""
    if len(shape) == 2:
        return "HW" if max(shape) <= 4 * min(shape) and min(shape) >= 4 else "CL"
    if len(shape) == 3:
        return "HWC" if shape[-1] in (1, 3, 4) and shape[0] not in (1, 3, 4) else "CHW"
    return "D"
