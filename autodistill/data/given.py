"""Data sets given from Python, written once as arrays that every process can read.

A data set is anything with a length whose items are (x, y) or dicts with a label: those of torch and of Hugging Face, a
Subset, a list. It is read once, sample by sample. Arrays (x, y), a dict of arrays as a .npz file has, and tables are written
as they are.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..spec import DataError, TaskSpec, is_full
from ..spec.arrays import Array
from ..spec.imports import reason
from .arrays import NAMES, check, keyed
from .columns import Ragged, X
from .fields import LENGTHS
from .images import spread
from .npy import new_array, read_npy, save_arrays

LABELS = ("label", "labels", "y", "target")
"""The label of an item that is a dict."""
VALIDATION = ("validation", "val", "valid")
PARTS = {"train", "test", *VALIDATION}
READ_AGAIN = 16
"""How many items are read a second time, to see whether they are the same."""
TABLE = "table.parquet"
FORMS = "give a map-style data set, arrays (x, y), a dict of arrays, (train, validation, test) of those, or a table"


def save_given(data: object, folder: Path, task: TaskSpec, most: int) -> str:
    """Writes `data` into an empty folder. Returns `npy` for arrays, or the name of the file of a table.

    `task` says what is in it, `most` how many bytes of arrays are held in memory. Raises DataError, which names the item that
    is wrong.
    """
    if is_table(data):
        _save_table(data, folder / TABLE, task)
        return TABLE
    try:
        for suffix, part in _parts(data).items():
            if isinstance(part, _Arrays):
                save_arrays(folder, {_file(key): array for key, array in part.named(suffix).items()})
            else:
                _write(_refused(part), suffix, folder)
    except OSError as error:
        if not is_full(error):
            raise
        way = "free some space, or write to a larger disk"
        raise DataError(f"data: the samples do not fit on the disk of {folder.parent} ({error.strerror}); {way}") from None
    check("data", read_npy(folder, most), task.inputs, task.kind)  # what a user reads of it names the argument
    return "npy"


def is_items(data: object) -> bool:
    """Whether it is a map-style data set of torch or Hugging Face, or parts of a data set that are."""
    if isinstance(data, Mapping | tuple | list) and data:
        return all(map(is_items, data.values() if isinstance(data, Mapping) else data))
    return bool(_kinds(data) & {"torch.Dataset", "datasets.Dataset"})


def is_table(data: object) -> bool:
    """Whether it is a pandas DataFrame or an Arrow table."""
    return bool(_kinds(data) & {"pandas.DataFrame", "pyarrow.Table"})


def _save_table(data: Any, path: Path, task: TaskSpec) -> None:
    """As Parquet, which keeps the types of the columns. Raises DataError for a table that cannot be used."""
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError("data: a table given from Python needs pyarrow; run: pip install 'autodistill-search[tables]'")
    import pyarrow
    from pyarrow import parquet

    from .encode import with_index
    from .kinds import Place
    from .tables import asked, read_table

    read_table(data, task, place=Place("data", False))
    try:
        whole = isinstance(data, pyarrow.Table)
        table = data if whole else pyarrow.Table.from_pandas(with_index(data, asked(task)), preserve_index=False)
        parquet.write_table(table, path)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:  # such as numbers and words in one column, sparse columns
        way = "give each column values of one type, such as frame[name].astype(str)"
        raise DataError(f"data: the table cannot be written as Parquet ({reason(error)}); {way}") from None


def _kinds(value: object) -> set[str]:
    """The classes of a value by the package that they come from, such as `torch.Dataset`."""
    return {f"{one.__module__.partition('.')[0]}.{one.__qualname__}" for one in type(value).__mro__}


# Which parts there are
Items = Any
"""A map-style data set, of torch or of the package datasets."""


class _Arrays(NamedTuple):
    """Arrays of one part by name: `x`, `y`, or those of a .npz file."""

    by_key: Mapping[str, object]

    def named(self, suffix: str) -> dict[str, Array]:
        whole = {f"{key}{suffix}" if key in (X, "y") else key: value for key, value in self.by_key.items()}
        found: dict[str, Array] = {}
        for key, value in keyed(whole).items():
            found |= _padded(key, value)
        return found


def _parts(data: object) -> dict[str, object]:
    """The parts by the suffix of their arrays: "" for one that is split, or _train, _validation, _test."""
    if isinstance(data, Mapping) and data and (all(map(_is_part, data.values())) or set(data) <= PARTS):
        return _named({_part_name(key): _part(value) for key, value in data.items()})
    if isinstance(data, Mapping):
        return {"": _Arrays({str(key): value for key, value in data.items()})}
    if isinstance(data, list) and data and all("torch.Dataset" in _kinds(one) for one in data):
        data = tuple(data)  # of random_split
    if isinstance(data, tuple) and len(data) == 3:
        return _named(dict(zip(("train", "validation", "test"), map(_part, data), strict=True)))
    if isinstance(data, tuple) and len(data) == 2 and all(map(_is_part, data)):
        way = 'name them: {"train": ..., "test": ...} or {"train": ..., "validation": ...}'
        raise DataError(f"data: the second of two data sets may be for validation or for testing; {way}")
    return {"": _part(data)}


def _part_name(key: object) -> str:
    found = "validation" if key in VALIDATION else key
    if found not in ("train", "validation", "test"):
        raise DataError(f"data: {key!r} is not a part of a data set; name the parts train, validation, and test")
    return str(found)


def _named(parts: Mapping[str, object]) -> dict[str, object]:
    if "train" not in parts:
        raise DataError(f"data has {', '.join(parts)}, but no train; name the training samples train")
    _refuse_overlaps(parts)
    if "test" in parts:
        return {f"_{name}": part for name, part in parts.items()}
    return {"" if name == "train" else f"_{name}": part for name, part in parts.items()}


def _is_part(value: object) -> bool:
    """Whether it is a data set by itself, and no array."""
    return _is_pair(value) or not (_is_array(value) or isinstance(value, str | Mapping))


def _is_array(value: object) -> bool:
    return hasattr(value, "__array__") or isinstance(value, list)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_array(one) or isinstance(one, Mapping) for one in value)


def _part(value: object) -> object:
    if isinstance(value, Mapping):
        return _Arrays({str(key): one for key, one in value.items()})
    return _Arrays(dict(zip((X, "y"), value, strict=True))) if isinstance(value, tuple) and _is_pair(value) else value


def _refuse_overlaps(parts: Mapping[str, object]) -> None:
    """Raises DataError for two parts that are the same object, or that take the same items of one."""
    taken = {name: _rows_of(part) for name, part in parts.items() if not isinstance(part, _Arrays)}
    names = list(taken)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            (first, rows), (second, others) = taken[one], taken[other]
            common = None if first is not second else next(iter(sorted(rows & others)), None)
            if common is not None:
                what = f"{one} and {other} are parts of the same {type(first).__name__}, and both have its item {common}"
                raise DataError(f"data: {what}; give parts without common samples, such as those of random_split")


def _rows_of(part: object) -> tuple[object, set[int]]:
    """The data set below all Subsets, and which of its items a part has."""
    rows: list[int] | None = None
    while "torch.Subset" in _kinds(part):
        indices = [int(row) for row in part.indices]  # type: ignore[attr-defined]
        rows = indices if rows is None else [indices[row] for row in rows]
        part = part.dataset  # type: ignore[attr-defined]
    if rows is None and hasattr(part, "__len__"):
        rows = list(range(len(part)))
    return part, set(rows or ())


def _refused(data: object) -> Any:
    """The data set itself. Raises DataError for what cannot be read by row."""
    kinds, name = _kinds(data), type(data).__name__
    if "torch.IterableDataset" in kinds or "datasets.IterableDataset" in kinds:
        way = "make it map-style (__len__ and __getitem__), or write its samples to disk and give that folder"
        raise DataError(f"data: {name} is an iterable data set, which cannot be indexed; {way}")
    if is_table(data):
        way = "give one table of all rows, and set task.split, or task.split.by for a column that tells the parts apart"
        raise DataError(f"data: {name} is a part, and parts cannot be tables; {way}")
    if "torch.DataLoader" in kinds:
        raise DataError(f"data: {name} makes batches in its own order; give its data set: data=loader.dataset")
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        what = "an iterator, which can be read only once" if hasattr(data, "__next__") else "not a data set"
        raise DataError(f"data: {name} is {what}; {FORMS}")
    return data


# Items


class _Item(NamedTuple):
    """The fields of one sample, and its label."""

    fields: dict[str, Array]
    label: Array


def _write(dataset: Items, suffix: str, folder: Path) -> None:
    """Reads each item once, and writes the fields and labels of all."""
    place = f"data{suffix.replace('_', '.')}"
    count = len(dataset)
    if not count:
        raise DataError(f"{place}: {type(dataset).__name__} is empty; give a data set with samples of each class")
    label = _label_of(dataset, place)
    first = _read(dataset, 0, label, place)
    labels: list[Array] = []
    with contextlib.ExitStack() as files:
        append = {field: _field_file(files, folder, field, suffix, count, array) for field, array in first.fields.items()}
        for row in range(count):
            item = first if row == 0 else _read(dataset, row, label, place)
            _check_alike(first, item, row, place)
            for field, array in item.fields.items():
                append[field](array)
            labels.append(item.label)
    _check_same(dataset, labels, label, folder, suffix, place)
    names = _class_names(dataset, label)
    save_arrays(folder, {f"y{suffix}": (y := np.stack(labels))})
    there = y.shape[1] if y.ndim == 2 else len(np.unique(y))
    if names is not None and suffix in ("", "_train") and there == len(names):
        save_arrays(folder, {NAMES: np.array(names)})


def _field_file(
    files: contextlib.ExitStack, folder: Path, field: str, suffix: str, count: int, first: Array
) -> Callable[[Array], None]:
    key = _file(f"x{suffix}" if field == X else f"x{suffix}_{field}")
    return files.enter_context(new_array(folder / f"{key}.npy", (count, *first.shape), first.dtype))


def _file(key: str) -> str:
    if not key.isidentifier():
        raise DataError(f"data: {key!r} cannot be the name of an array; use letters, digits, and _")
    return key


def _read(dataset: Items, row: int, label: str | None, place: str) -> _Item:
    try:
        item: object = dataset[row]
    except Exception as error:  # a user's class may raise anything
        count = f"__len__, which says that there are {len(dataset):,}" if isinstance(error, IndexError) else "leave it out"
        raise DataError(f"{place}: item {row} cannot be read ({reason(error)}); correct it, or {count}") from error
    where = f"{place}: item {row}"
    if isinstance(item, Mapping):
        return _of_mapping(item, label, where)
    if not isinstance(item, tuple | list) or len(item) != 2:
        what = f"a {type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
        raise DataError(f"{where} is {what}; give (x, y), or a dict with the fields and {LABELS[0]}")
    x, y = item
    fields = {str(key): value for key, value in x.items()} if isinstance(x, Mapping) else {X: x}
    return _Item({key: _numbers(value, f"{where}: {key}") for key, value in fields.items()}, _label(y, where))


def _of_mapping(item: Mapping[Any, object], label: str | None, where: str) -> _Item:
    key = label or next((name for name in LABELS if name in item), None)
    if key is None or key not in item:
        raise DataError(f"{where} has {', '.join(map(str, item))}, but no label; call the label {LABELS[0]}")
    others = {str(name): value for name, value in item.items() if name != key}
    if len(others) > 1 and all(np.ndim(value) == 0 for value in others.values() if isinstance(value, int | float | str)):
        scalars = [name for name, value in others.items() if isinstance(value, int | float | str | None)]
        if len(scalars) == len(others):
            raise DataError(f"{where} is a row of a table; give the table: data=pandas.DataFrame(list(data))")
    only = len(others) == 1
    return _Item(
        {X if only else name: _numbers(one, f"{where}: {name}") for name, one in others.items()}, _label(item[key], where)
    )


def _numbers(value: object, where: str) -> Array:
    """float32 for any floating-point numbers; integers and booleans as they are."""
    if isinstance(value, str):
        raise DataError(f"{where} is a string ({value!r:.40}); encode it as numbers, such as token numbers of one length")
    found = _array(value, where)
    if found.dtype.kind not in "uifb":
        raise DataError(f"{where} is a {type(value).__name__} of dtype {found.dtype}; give numbers")
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def _array(value: object, where: str) -> Array:
    torch = sys.modules.get("torch")
    try:
        if torch is not None and isinstance(value, torch.Tensor):
            one = value.detach().cpu()
            return np.asarray(one.float() if one.dtype == torch.bfloat16 else one)
        return np.asarray(value)
    except Exception as error:  # lists of different lengths, any error of a user's class
        raise DataError(f"{where} cannot be converted to an array ({reason(error)}); give a tensor or an array") from None


def _label(value: object, where: str) -> Array:
    """A class, its word, or numbers; `labels_of` checks all of them together."""
    return _array(value, f"{where}: its label")


def _check_alike(first: _Item, item: _Item, row: int, place: str) -> None:
    """Raises DataError unless an item has the fields, shapes, and kind of numbers of the first one."""
    if item.fields.keys() != first.fields.keys():
        what = f"item {row} has the fields {', '.join(item.fields)}, but item 0 has {', '.join(first.fields)}"
        raise DataError(f"{place}: {what}; give all items the same fields")
    pairs = [*((name, first.fields[name], one) for name, one in item.fields.items()), ("label", first.label, item.label)]
    for name, one, other in pairs:
        if one.shape != other.shape:
            way = "resize, crop, or pad the samples to one shape"
            raise DataError(f"{place}: {name} of item {row} has shape {other.shape}, but item 0 has {one.shape}; {way}")
        if not np.can_cast(other.dtype, one.dtype, "same_kind" if name == "label" else "safe"):
            raise DataError(
                f"{place}: {name} of item {row} has dtype {other.dtype}, but item 0 has {one.dtype}; make them equal"
            )


def _check_same(dataset: Items, labels: Sequence[Array], label: str | None, folder: Path, suffix: str, place: str) -> None:
    """Raises DataError if an item is not the same when it is read again, as with random augmentation."""
    for row in spread(len(labels), READ_AGAIN).tolist():
        item = _read(dataset, row, label, place)
        pairs = [(labels[row], item.label)]
        for field, array in item.fields.items():
            key = f"x{suffix}" if field == X else f"x{suffix}_{field}"
            pairs.append((np.load(folder / f"{key}.npy", mmap_mode="r")[row], array))
        for kept, found in pairs:
            if not np.array_equal(kept, found, equal_nan=kept.dtype.kind == "f"):
                way = "remove random transforms; a recipe augments in training (augmentation: {flip: true, crop: 2})"
                raise DataError(f"{place}: item {row} differs when it is read again; {way}")


def _label_of(dataset: Items, place: str) -> str | None:
    """The column of the label of a Hugging Face data set, if its type says so."""
    if "datasets.Dataset" not in _kinds(dataset):
        return None
    found = [name for name, feature in dataset.features.items() if type(feature).__name__ == "ClassLabel"]
    known = [name for name in LABELS if name in found]
    if len(found) > 1 and not known:
        way = f"rename one to {LABELS[0]}, and remove the others"
        raise DataError(f"{place} has several columns of classes ({', '.join(found)}); {way}")
    return next(iter(known or found), None)


def _class_names(dataset: Items, label: str | None) -> Sequence[str] | None:
    """Those of Hugging Face's ClassLabel, or of torchvision's `classes`."""
    while "torch.Subset" in _kinds(dataset):
        dataset = dataset.dataset
    found: object = getattr(dataset, "classes", None)
    if label is not None and "datasets.Dataset" in _kinds(dataset):
        found = dataset.features[label].names
    given = isinstance(found, list | tuple) and all(isinstance(one, str) for one in found)
    return list(found) if given and isinstance(found, Iterable) else None


def _padded(key: str, value: object) -> dict[str, Array]:
    """An array, or samples of different lengths as one padded array and their lengths."""
    samples = [_array(one, f"data: {key}") for one in value] if isinstance(value, list) and value else []
    if len({one.shape for one in samples}) < 2 or len({one.shape[:-1] for one in samples}) > 1:
        return {key: _array(value, f"data: {key}")}
    found = Ragged.of(samples)
    return {key: found.padded(slice(None))[0], key + LENGTHS: found.lengths}
