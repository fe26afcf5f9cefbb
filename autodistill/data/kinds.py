"""What each column of a table holds: a number, a boolean, a date or a category, by its dtype or its text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from ..spec import DataError
from .encode import DATES, NO, YES, booleans, days, numbers, words
from .encoding import Kind

if TYPE_CHECKING:
    Series = pd.Series[Any]
MIXED = 0.5
"""If at least this share of a text column is numbers (or dates), but not all, the others are likely mistakes."""
PHRASE = 6
"""Values of at least so many words, on average, are texts rather than names or addresses."""
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
NESTED = (list, tuple, dict, set, bytes, np.ndarray)


def quoted(name: str) -> str:
    """The name of a column as YAML takes it within brackets."""
    return name if re.fullmatch(r"[A-Za-z_][\w .-]*", name) else json.dumps(name, ensure_ascii=False)


class Place(NamedTuple):
    """Where a table is from, for messages; `lined`: it is a text file, in which row 0 is on line `first`.

    `files` are those of the rows, if each is a file of its own.
    """

    name: str
    lined: bool
    first: int = 2
    files: Sequence[str] = ()

    def row(self, number: int) -> str:
        """Such as `row 17 (line 19)`: rows are counted from 0, and the first line has the names."""
        if self.files:
            return self.files[number]
        return f"row {number} (line {number + self.first})" if self.lined else f"row {number}"


class Held(NamedTuple):
    """The kind of a column, and the format of its dates, if it is not ISO 8601."""

    kind: Kind
    format: str | None = None


def has_values(values: Series) -> bool:
    there = values.dropna()
    return bool(len(there)) and (pd.api.types.is_numeric_dtype(there.dtype) or bool(words(there).notna().any()))


def is_text(values: Series) -> bool:
    """Whether a column clearly holds texts: at least half of its values are different, and they have many words."""
    found = words(values).dropna()
    lengths = found.map(lambda text: len(text.split()))
    return bool(len(found)) and found.nunique() >= len(found) / 2 and bool(lengths.mean() >= PHRASE)


def held(place: Place, values: Series, given: str | None) -> Held:
    """What a column holds; `given` is what the spec says of it.

    Raises DataError if it has no values, values of several kinds, or values that do not suit what is given.
    """
    name = str(values.name)
    _check_plain(place, values)
    if not has_values(values):
        way = f"remove it from the table, or set task.features: {{except: [{quoted(name)}]}}"
        raise DataError(f"{place.name}: column {name!r} has no value in any row; {way}")
    word, _, form = (given or "").partition(" ")
    found = Held(_guessed(place, values) if not word else next(kind for kind in get_args(Kind) if kind == word), form or None)
    if word:
        _check_fits(place, values, found)
    if found.kind == "number":
        _check_finite(place, values)
    return found


def _check_plain(place: Place, values: Series) -> None:
    """Raises DataError for lists, mappings, bytes and complex numbers."""
    there = values.dropna()
    nested = there[there.map(lambda value: isinstance(value, NESTED))] if there.dtype == object else there[:0]
    if len(nested) or pd.api.types.is_complex_dtype(values.dtype):
        row = int(nested.index[0]) if len(nested) else 0
        what = f"{place.row(row)} has {type(values.iloc[row]).__name__} {str(values.iloc[row])!r:.40}"
        raise DataError(
            f"{place.name}: column {str(values.name)!r} {what}; give one number, date, or word per row, or leave the column out"
        )


def _guessed(place: Place, values: Series) -> Kind:
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return "number"
    return "date" if pd.api.types.is_datetime64_any_dtype(dtype) else _of_text(place, values)


def _of_text(place: Place, values: Series) -> Kind:
    counts = words(values).value_counts()
    text = pd.Series(counts.index, dtype=object)
    if text.str.lower().isin((YES[0], NO[0])).all():
        return "boolean"
    is_number, is_dated = ~np.isnan(numbers(text)), text.str.fullmatch(DATE).to_numpy(bool)
    for kind, fits in (("number", is_number), ("date", is_dated)):
        share = counts.to_numpy()[fits].sum() / counts.sum()
        if MIXED <= share < 1:
            raise _mixed(place, values, kind, text[~fits], int(counts.to_numpy()[fits].sum()))
    if is_dated.all():
        _check_fits(place, values, Held("date"))
    return "number" if is_number.all() else "date" if is_dated.all() else "category"


def _mixed(place: Place, values: Series, kind: str, others: Series, count: int) -> DataError:
    name, text = str(values.name), words(values)
    row = int(np.flatnonzero(text.isin(others))[0])
    what = f"{count:,} of {int(text.notna().sum()):,} values {f'is a {kind}' if count == 1 else f'are {kind}s'}"
    ways = f"correct it, leave it empty if the value is missing, or set task.columns: {{{quoted(name)}: category}}"
    return DataError(f"{place.name}: column {name!r} {place.row(row)} has {text.iloc[row]!r}, but {what}; {ways}")


def _check_fits(place: Place, values: Series, found: Held) -> None:
    """Raises DataError unless each value is of the kind."""
    if found.kind == "category":
        return
    try:
        read = {"number": numbers, "boolean": booleans}.get(found.kind, lambda given: days(given, found.format))
        bad = np.flatnonzero(np.isnan(read(values)) & values.notna().to_numpy())
        bad = bad[words(values.iloc[bad]).notna().to_numpy()]
    except ValueError as error:  # a format that strptime does not know
        raise DataError(f"task.columns.{values.name}: {error}; use the codes of strptime, such as date %d/%m/%Y") from None
    if not len(bad):
        return
    kind = "date" if found.kind in DATES else found.kind
    what = f"{place.row(int(bad[0]))} has {str(values.iloc[bad[0]])!r}, which is not a {kind}"
    how = f" of the format {found.format}" if found.format else ""
    date = (
        f"write dates as 2026-01-31, or give their format, such as task.columns: {{{quoted(str(values.name))}: date %d/%m/%Y}}"
    )
    way = date if kind == "date" else f"correct it, or set task.columns: {{{quoted(str(values.name))}: category}}"
    raise DataError(f"{place.name}: column {str(values.name)!r} {what}{how}; {way}")


def _check_finite(place: Place, values: Series) -> None:
    bad = np.flatnonzero(np.isinf(numbers(values)))
    if len(bad):
        what = f"{place.row(int(bad[0]))} has {str(values.iloc[bad[0]])!r}"
        raise DataError(f"{place.name}: column {str(values.name)!r} {what}; give a finite number, or leave it empty")
