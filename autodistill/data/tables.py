"""Tables as samples: a .csv or .parquet file, a pandas DataFrame, or an Arrow table.

`read_table` checks the columns and says what they hold. Their preprocessing is fitted by `parts.split`, which knows the
training rows.
"""

from __future__ import annotations

import difflib
import gzip
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..spec import DataError, TaskSpec
from ..spec.arrays import Array
from ..spec.imports import reason
from ..spec.task import LINES, AllExcept
from ..spec.value import Json
from . import encode
from .arrays import Raw
from .columns import ROWS, Columns
from .corpus import Texts, checked, samples_of, texts_in
from .encoding import Encoding, TextEncoding
from .fitting import Table
from .kinds import Place, held, quoted
from .lines import LINES_OF_TEXT, not_utf8, read_lines, read_plain_lines
from .table_labels import labels_in
from .tokens import FILE, known

if TYPE_CHECKING:
    from .kinds import Series
SEPARATORS = (",", ";", "\t", "|")
FEW = 20
"""The most columns that a message names."""


def read_file(path: Path, task: TaskSpec) -> Raw:
    """The table in a .csv, .tsv or .parquet file. Raises DataError if it cannot be read or used."""
    separator = task.separator or _separator(path)
    frame, place = _read(path, f"task.dataset: {path}", separator, texts=task.text is not None)
    return read_table(frame, task, place=place, separator=separator)


def _separator(path: Path) -> str:
    return "\t" if path.name.lower().endswith(".tsv") else ","


def _read(path: Path, place: str, separator: str, *, texts: bool) -> tuple[pd.DataFrame, Place]:
    if not os.path.isfile(path):
        raise DataError(f"{place} is not a file; give a path relative to the spec's directory, or an absolute path")
    if texts and path.name.lower().endswith(LINES):
        return read_lines(path, place)
    frame = _frame(path, place, separator, texts=texts)
    return frame, Place(place, _has_line_per_row(path, len(frame)))


def encoded_file(path: Path, encoding: Encoding, place: str) -> Columns:
    """Rows of a file as networks get them, labels or not. Raises DataError for rows that the encoding cannot take."""
    name = f"{place}: {path}"
    frame = encode.with_index(_frame(path, name, encoding.separator), [column.name for column in encoding.columns])
    for column in encoding.columns:
        _named(Place(name, False), frame, column.name, name)
    if frame.empty:
        raise DataError(f"{name} has no rows; add at least one")
    try:
        return Columns(encode.encoded(frame, encoding.plain()["columns"]))
    except ValueError as error:
        raise DataError(f"{name}: {error}; correct it, or leave it empty if it is missing") from None


def encoded_texts(path: Path, encoding: TextEncoding, tokenizer: bytes, place: str) -> Columns:
    """Texts of a file as networks get them: the columns of a table, or the lines of a .txt file. `tokenizer` is the content of
    a tokenizer.json. Raises DataError for texts that cannot be encoded.
    """
    name = f"{place}: {path}"
    if path.name.lower().endswith(LINES_OF_TEXT) and len(encoding.columns) > 1:
        raise DataError(f"{name} has one text in each line; give a .csv or .jsonl file of {' and '.join(encoding.columns)}")
    if path.name.lower().endswith(LINES_OF_TEXT):
        frame, where = read_plain_lines(path, encoding.columns[0], name)
    else:
        frame, where = _read(path, name, encoding.separator, texts=True)
    if frame.empty:
        raise DataError(f"{name} has no texts; add at least one")
    texts = checked(where, frame[[_named(where, frame, column, name) for column in encoding.columns]])
    return samples_of(known(tokenizer, FILE).encoded(list(texts.values()), encoding.max_length), encoding.padding, where)


def _frame(path: Path, place: str, separator: str, *, texts: bool = False) -> pd.DataFrame:
    if path.name.lower().endswith((*encode.PARQUET, ".json")):
        return _typed(path, place)
    return _text(path, place, separator, texts)


def read_table(data: Any, task: TaskSpec, *, place: Place | None = None, separator: str = ",") -> Raw:
    """A DataFrame, or anything with `to_pandas` such as an Arrow table, with the columns that `task` names.

    A named index is left out, unless `task` names it as the label, the groups, the time of the split, or a feature.
    Raises DataError naming the column, the first bad row (counted from 0) and what to do.
    """
    place = place or Place("the table", False)
    frame: pd.DataFrame = data.to_pandas() if hasattr(data, "to_pandas") else data
    frame = encode.with_index(frame, asked(task))
    _check_names(place, frame)
    label = _named(place, frame, task.label, "task.label")
    groups = None if task.groups is None else _named(place, frame, task.groups, "task.groups")
    by = None if task.split.by is None else _named(place, frame, task.split.by, "task.split.by")
    labels = labels_in(place, frame[label], task.kind)
    how = {"label": label, "classes": labels.names or (), "separator": separator}
    used = [one for one in (label, groups, by) if one is not None]
    source = _table(place, frame, task, used, how) if task.text is None else _texts(place, frame, task, how)
    return Raw(
        name=place.name,
        x=Columns({ROWS: np.arange(len(frame))[:, None]}),
        y=labels.y,
        kind=labels.kind,
        source=source,
        x_unlabeled=source.unlabeled if isinstance(source, Texts) else None,
        groups=None if groups is None else _groups(place, frame[groups]),
        times=None if by is None else _times(place, frame[by], (task.columns or {}).get(by)),
        names=labels.names,
    )


def asked(task: TaskSpec) -> list[str]:
    """The columns that `task` asks for by name."""
    features = task.features if isinstance(task.features, tuple) else ()
    return [name for name in (task.label, task.groups, task.split.by, *features, *(task.text or ())) if name is not None]


def _table(place: Place, frame: pd.DataFrame, task: TaskSpec, used: Sequence[str], how: Json) -> Table:
    given = task.columns or {}
    for name in given:
        _named(place, frame, name, "task.columns")
    features = _features(place, frame, task, used)
    return Table(
        place=place,
        frame=frame[features],
        held={name: held(place, frame[name], given.get(name)) for name in features},
        **how,
    )


def _texts(place: Place, frame: pd.DataFrame, task: TaskSpec, how: Json) -> Texts:
    assert task.text is not None
    names = [_named(place, frame, name, "task.text") for name in task.text]
    unlabeled = None if task.unlabeled is None else _unlabeled(Path(task.unlabeled), names)
    return texts_in(place, frame[names], task, unlabeled=unlabeled, **how)


def _unlabeled(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The texts of a file of texts without labels, by column. Raises DataError as `read_file` does."""
    place = f"task.unlabeled: {path}"
    frame, where = _read(path, place, _separator(path), texts=True)
    frame = encode.with_index(frame, names)
    return checked(where, frame[[_named(where, frame, name, place) for name in names]])


def _text(path: Path, place: str, separator: str, texts: bool) -> pd.DataFrame:
    try:
        _check_header(path, place, separator)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return _words(path, separator) if texts else encode.read_rows(path, separator)
    except UnicodeDecodeError as error:
        raise not_utf8(place, error, ".csv") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{place} is empty; give a line of column names, then one line per sample") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        what = reason(error).replace("Error tokenizing data. C error: ", "")
        way = "give each line as many values as there are names, or put values that contain the separator into quotes"
        raise DataError(f"{place} cannot be read ({what}); {way}") from None
    except OSError as error:
        raise DataError(f"{place} cannot be read ({reason(error)}); make it readable") from None


def _words(path: Path, separator: str) -> pd.DataFrame:
    """As `encode.read_rows`, but NA, null and the like are words."""
    return pd.read_csv(
        path, sep=separator, dtype=str, encoding="utf-8-sig", index_col=False, low_memory=False, keep_default_na=False
    )


def _check_header(path: Path, place: str, separator: str) -> None:
    """Raises DataError for names that are there twice, which pandas would rename, and for another separator."""
    first = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    names = [str(name) for name in first.iloc[0]]
    unnamed = [number for number, name in enumerate(names) if not name.strip()]
    other = next((sign for sign in SEPARATORS if sign in names[0] and sign != separator), None)
    if len(names) == 1 and other is not None:
        way = f"if {other!r} separates its values, set task.separator: {json.dumps(other)}"
        raise DataError(f"{place} has one column, {names[0]!r:.60}; {way}")
    if unnamed:
        raise DataError(f"{place}: column {unnamed[0] + 1} has no name; give it one in the first line")
    _check_twice(place, names)


def _check_twice(place: str, names: Sequence[str]) -> None:
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise DataError(f"{place} has {list(names).count(twice)} columns {twice!r}; rename them, or remove all but one")


def _typed(path: Path, place: str) -> pd.DataFrame:
    try:
        return encode.read_rows(path)
    except ImportError:
        raise DataError(f"{place} needs pyarrow; run: pip install 'autodistill-search[tables]'") from None
    except Exception as error:  # a damaged file fails in many ways: ArrowInvalid, OSError, EOFError
        raise DataError(f"{place} is damaged, or of another format ({reason(error)}); write it again") from None


def _has_line_per_row(path: Path, rows: int) -> bool:
    """Whether rows of a text file can be found by lines: there are no empty lines, and no values of several lines."""
    if path.name.lower().endswith(encode.PARQUET):
        return False
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) in (rows, rows + 1)
    except OSError:
        return False


def _check_names(place: Place, frame: pd.DataFrame) -> None:
    _check_twice(place.name, list(frame.columns))
    if len(frame.columns) < 2:
        names = f"only the column {frame.columns[0]!r}" if len(frame.columns) else "no columns"
        raise DataError(f"{place.name} has {names}; give a column of labels and at least one more")
    if frame.empty:
        raise DataError(f"{place.name} has column names, but no rows; add one row per sample")


def _named(place: Place, frame: pd.DataFrame, name: str | None, key: str) -> str:
    """The column that the spec names. Raises DataError naming the nearest one if there is none.

    If `key` is the place of the table itself, the table is wrong, not the spec: it needs the column.
    """
    if name is None:
        raise DataError(f"{key} is missing: name the column of the labels, one of {_some(frame.columns)} ({place.name})")
    if name in frame.columns:
        return name
    near = difflib.get_close_matches(name, list(frame.columns), n=1)
    if key == place.name:
        way = f"rename column {near[0]!r} to {name!r}" if near else f"add column {name!r}"
        raise DataError(f"{key}: there is no column {name!r}, only {_some(frame.columns)}; {way}, or give another file")
    way = f"did you mean {near[0]!r}?" if near else f"use one of {_some(frame.columns)}"
    raise DataError(f"{key}: there is no column {name!r} in {place.name.removeprefix('task.dataset: ')}; {way}")


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:FEW]) + (f", and {len(found) - FEW} more" if len(found) > FEW else "")


def _features(place: Place, frame: pd.DataFrame, task: TaskSpec, used: Sequence[str]) -> list[str]:
    """The columns that networks get, sorted: their order in the table has no effect."""
    asked = task.features
    if isinstance(asked, tuple):
        found = [_named(place, frame, name, "task.features") for name in asked]
        if task.label in found:
            raise DataError(f"task.features: {task.label} is the label, so a network would read the answer; remove it")
    else:
        left_out = [_named(place, frame, name, "task.features") for name in asked.names] if isinstance(asked, AllExcept) else []
        found = [name for name in frame.columns if name not in (*used, *left_out)]
    if not found:
        raise DataError(f"task.features: no column is left for the networks ({place.name}); name at least one")
    return sorted(set(found))


def _groups(place: Place, values: Series) -> Array:
    text = encode.words(values)
    missing = np.flatnonzero(text.isna())
    if len(missing):
        way = "fill in its group, or drop the row"
        raise DataError(
            f"task.groups: column {str(values.name)!r} {place.row(int(missing[0]))} has no value; {way} ({place.name})"
        )
    return text.to_numpy().astype(str)


def _times(place: Place, values: Series, given: str | None) -> Array:
    """(N,) float64: days, or numbers such as years."""
    name, found = str(values.name), held(place, values, given)
    if found.kind not in (*encode.DATES, "number"):
        way = (
            f"name a column of dates or numbers, or give their format, such as task.columns: {{{quoted(name)}: date %d/%m/%Y}}"
        )
        raise DataError(f"task.split.by: column {name!r} holds words, not times; {way} ({place.name})")
    times = encode.numbers_of(values, {"name": name, "kind": found.kind, "format": found.format})
    missing = np.flatnonzero(np.isnan(times))
    if len(missing):
        what = f"{place.row(int(missing[0]))} has no value ({len(missing):,} of {len(times):,} rows have none)"
        raise DataError(f"task.split.by: column {name!r} {what}; fill in the times, or drop such rows ({place.name})")
    return times
