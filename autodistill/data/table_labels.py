"""The labels of a table, from one of its columns: words, numbers, lists of words, or values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from ..spec import DataError, TaskKind
from ..spec.arrays import Array
from . import encode
from .kinds import Place
from .labels import Labels, check_precision

if TYPE_CHECKING:
    from .kinds import Series
FEW = 20
"""Numbers with more different values than this, some of them fractional or in only one row, are not classes."""


def labels_in(place: Place, values: Series, kind: TaskKind | Literal["auto"]) -> Labels:
    """Classes with their words, numbers in their order, then words in theirs; or values (N, 1) of a regression.

    Unless the spec names the kind, numbers are values if there are many of them and they cannot be classes.
    """
    name = str(values.name)
    if kind in ("auto", "multilabel") and values.map(_is_list).any():
        return _several(place, name, values)
    text = encode.words(values)
    missing = np.flatnonzero(text.isna())
    if len(missing):
        what = f"{place.row(int(missing[0]))} has no label ({len(missing):,} of {len(text):,} rows have none)"
        raise DataError(f"{place.name}: column {name!r} {what}; drop such rows, or fill in their labels")
    if kind == "multilabel":
        way = "give a list of labels in each row (.jsonl, .parquet), or an array y (N, K) of 0 and 1 in a .npz file"
        raise DataError(f"task.kind: multilabel needs several labels for each row, and task.label names one column; {way}")
    found, y, counts = np.unique(text.to_numpy().astype(str), return_inverse=True, return_counts=True)
    number = encode.numbers(pd.Series(found, dtype=object))
    if kind == "regression" or (kind == "auto" and _is_measured(number, counts)):
        return _measured(place, name, found, number, y)
    _check_classes(place, name, found, counts)
    order = np.argsort(number, kind="stable") if not np.isnan(number).any() else np.arange(len(found))
    return Labels("classification", np.argsort(order)[y].astype(np.int64), tuple(found[order].tolist()))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _several(place: Place, name: str, values: Series) -> Labels:
    """Several labels for each row, from lists of words; a label that no row lacks, or none has, teaches nothing."""
    rows = values.tolist()
    for row, given in enumerate(rows):
        if not _is_list(given) or not all(isinstance(one, str | int | np.integer) for one in given):
            what = f"{place.row(row)} has {str(given)!r:.40}, but other rows have lists of labels"
            raise DataError(f"{place.name}: column {name!r} {what}; give each row a list of words, which may be empty")
    words = [[str(one) for one in given] for given in rows]
    names = tuple(sorted({word for row in words for word in row}))
    number, y = {word: place for place, word in enumerate(names)}, np.zeros((len(rows), len(names)), np.int64)
    for row, own in enumerate(words):
        y[row, [number[word] for word in own]] = 1
    same = np.flatnonzero((y == y[0]).all(axis=0))
    if not names or len(same):
        what = f"label {names[same[0]]!r}" if names else "no label"
        raise DataError(f"{place.name}: all rows of column {name!r} have {what}, so there is nothing to learn; add others")
    return Labels("multilabel", y, names)


def _is_measured(number: Array, counts: Array) -> bool:
    """Whether different labels, if they are numbers, are too many for classes: as a measurement has."""
    return bool(len(number) > FEW and not np.isnan(number).any() and ((number % 1 != 0).any() or (counts == 1).any()))


def _measured(place: Place, name: str, found: Array, number: Array, y: Array) -> Labels:
    """The values of a regression. Raises DataError for words."""
    if np.isnan(number).any():
        word = str(found[np.isnan(number)][0])
        raise DataError(
            f"{place.name}: column {name!r} has {word!r}, but task.kind is regression; give numbers, or remove kind"
        )
    if len(number) < 2:
        way = "name another column in task.label"
        raise DataError(f"{place.name}: column {name!r} has only the value {str(found[0])!r}; {way}")
    exact_N1 = number[y][:, None]
    with np.errstate(over="ignore"):
        values_N1 = exact_N1.astype(np.float32)
    if not np.isfinite(values_N1).all():
        raise DataError(f"{place.name}: column {name!r} has infinity or a number beyond float32; drop such rows, or scale it")
    check_precision(f"{place.name}: column {name!r}", exact_N1, values_N1)
    return Labels("regression", values_N1, (name,))


def _check_classes(place: Place, name: str, found: Array, counts: Array) -> None:
    """Raises DataError unless the different labels can be classes."""
    if len(found) < 2:
        way = "a classifier needs two classes: add rows of another, or name another column in task.label"
        raise DataError(f"{place.name}: column {name!r} has only the label {str(found[0])!r}; {way}")
    if len(found) <= FEW:
        return
    what = f"column {name!r} has {len(found):,} different"
    if 2 * len(found) > counts.sum():
        way = "name the column of the classes in task.label"
        raise DataError(f"{place.name}: {what} labels in {counts.sum():,} rows, too many for classes; {way}")
