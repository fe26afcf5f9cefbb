"""Data sets of Hugging Face in a folder that `save_to_disk` wrote: images with a ClassLabel, or columns of numbers.

The splits train, validation, and test are what their names say; without one for validation or test, a part of train is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..spec import DataError, TaskSpec
from ..spec.arrays import Array
from ..spec.imports import reason
from ..spec.value import Json
from .arrays import with_names
from .given import LABELS, VALIDATION
from .held import Room
from .images import MODES, alike, fitted
from .mapped import PIECE

FILES = ("dataset_dict.json", "state.json")
"""One of them is in every such folder."""
HubData = Any
"""One split of the package datasets, which has no types."""


def is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


def read_saved(folder: Path, task: TaskSpec, room: Room) -> dict[str, Array]:
    """Arrays by the names that a .npz file has. Raises DataError naming the column or the item."""
    parts = _suffixes(load_saved(folder))
    label = label_of(next(iter(parts.values())), str(folder))
    arrays: dict[str, Array] = {}
    for suffix, part in parts.items():
        arrays |= _read(part, suffix, label, folder, task, room)
    names = getattr(next(iter(parts.values())).features[label], "names", ())
    return with_names(arrays, names)


def load_saved(folder: Path) -> Json:
    """The splits train, validation, and test, those that are there in this order. Raises DataError."""
    if importlib.util.find_spec("datasets") is None:
        raise DataError(f"task.dataset: {folder} needs the package datasets; run: pip install 'autodistill-search[hfds]'")
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # a damaged folder fails in many ways
        raise DataError(f"task.dataset: {folder} cannot be read ({reason(error)}); save it again with save_to_disk") from error
    return parts_in(dict(found) if isinstance(found, Mapping) else {"train": found}, str(folder))


def parts_in(parts: Mapping[str, object], where: str) -> Json:
    """The splits train, validation, and test, those that are there in this order. Raises DataError without train."""
    named = {("validation" if name in VALIDATION else name): part for name, part in parts.items()}
    if "train" not in named:
        raise DataError(f"task.dataset: {where} has the splits {', '.join(parts)}; it needs one called train")
    return {name: named[name] for name in ("train", "validation", "test") if name in named}


def _suffixes(known: Json) -> Json:
    """The splits by the suffix of their arrays; train comes first."""
    return {f"_{name}" if name != "train" or "test" in known else "": part for name, part in known.items()}


def label_of(part: HubData, where: str) -> str:
    """The column of the labels: that of classes, or one with a usual name. Raises DataError if there is none."""
    classes = [name for name, feature in part.features.items() if type(feature).__name__ == "ClassLabel"]
    found = [name for name in LABELS if name in (classes or part.features)] or classes
    if not found:
        columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in part.features.items())
        raise DataError(f"task.dataset: {where} has no label, only {columns}; rename the column of the classes to {LABELS[0]}")
    return str(found[0])


def _read(part: HubData, suffix: str, label: str, folder: Path, task: TaskSpec, room: Room) -> dict[str, Array]:
    if not len(part):
        raise DataError(f"task.dataset: {folder} has a split without samples; add samples, or remove it")
    kinds = {name: type(feature).__name__ for name, feature in part.features.items() if name != label}
    y = {f"y{suffix}": _whole(part, label)}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    if images:
        found = room.stacked(alike(_images(part, images[0], folder, task), room.name), len(part))
        return {f"x{suffix}": found, **y}
    if all(kind == "Value" for kind in kinds.values()):
        way = "name the column of its texts in task.text, or save it with to_parquet, and name that file, with task.label"
        raise DataError(f"task.dataset: {folder} is a table of {', '.join(kinds)}; {way}")
    only = len(kinds) == 1
    return {f"x{suffix}" if only else f"x{suffix}_{name}": _numbers(part, name, folder, room) for name in kinds} | y


def _whole(part: HubData, column: str) -> Array:
    return np.asarray(part.select_columns([column]).with_format("numpy")[:][column])


def _numbers(part: HubData, column: str, folder: Path, room: Room) -> Array:
    """(N, ...), judged by the first sample whether it fits in memory."""
    first = np.asarray(part.with_format("numpy")[0][column])
    if first.nbytes * len(part) <= room.most:
        return _whole(part, column)
    return room.stacked(_rows(part, column, folder, first), len(part))


def _rows(part: HubData, column: str, folder: Path, first: Array) -> Iterator[Array]:
    """The samples of a column, a few at a time. Raises DataError for one that differs from the first one."""
    row = 0
    for batch in part.select_columns([column]).with_format("numpy").iter(batch_size=max(1, PIECE // max(1, first.size))):
        for one in map(np.asarray, batch[column]):
            if (one.shape, one.dtype) != (first.shape, first.dtype):
                what = f"{column} of item {row} has shape {one.shape} and dtype {one.dtype}, but item 0 has {first.shape}"
                way = "pad the samples to one shape, or set memory: resident"
                raise DataError(f"task.dataset: {folder}: {what} and {first.dtype}; {way}")
            yield one
            row += 1


def _images(part: HubData, column: str, folder: Path, task: TaskSpec) -> Iterator[Array]:
    """uint8 (C, H, W) of each sample."""
    for row in range(len(part)):
        try:
            yield fitted(part[row][column].convert(MODES[task.channels or 3]), task.sides)
        except Exception as error:  # damaged images fail in many ways
            raise DataError(f"task.dataset: image {row} of {folder} cannot be read ({reason(error)}); leave it out") from error
