"""Reads the rows of a table and turns them into the arrays that a network takes.

Needs numpy and pandas, and pyarrow for Parquet. It imports nothing else, because each exported network for a table comes with a
copy of this file (encode.py) and a file of what was fitted on the training rows (columns.json): {"separator": ..., "columns":
[{"name", "kind", ...}, ...]}. Columns are found by name, so their order and additional columns have no effect.

- number, boolean, date (days since 1970): (value - mean) / scale. A missing value is replaced by `fill`, the median of the
  training rows; with `mask`, an additional number says whether the value was missing.
- calendar: a date, and the sine and cosine of its place in the week and of its place in the year, which are 0 if it is missing.
- category: the position of the word in `words`, counted from 1; 0 is any other word. A number also finds a word that is this
  number written differently: 3 finds 03, unless 003 is there, too. With `mask`, a missing word has the next number after the
  last word; without, it is 0.

Suffixes of shapes: N rows, D numbers, C categories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Column = Mapping[str, Any]
YES, NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
PARQUET = (".parquet", ".pq")
DATES = ("date", "calendar")
DAY = pd.Timedelta(days=1)
WEEK, YEAR = 7, 365.2425
"""Days; years have this length on average."""


def read_rows(path: Path | str, separator: str = ",") -> pd.DataFrame:
    """The rows of a .parquet file, of a .json file with one row as a mapping or a list of them, or of a text file, in which
    everything stays text and an empty value is missing.
    """
    if str(path).lower().endswith(PARQUET):
        return pd.read_parquet(path)
    if str(path).lower().endswith(".json"):
        found = json.loads(Path(path).read_text())
        return pd.DataFrame(found if isinstance(found, list) else [found], dtype=object)
    return pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig", index_col=False, low_memory=False)


def encoded(rows: pd.DataFrame | Mapping[str, Any], columns: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """The inputs of the network for `rows`, a frame or a single row as a mapping: `numbers` float32 (N, D), called `x` if there
    is nothing else, and `categories` int64 (N, C).

    Raises ValueError for a column that is missing or not unique, and for a value that is not of its column's kind.
    """
    frame = pd.DataFrame([dict(rows)], dtype=object) if isinstance(rows, Mapping) else rows
    frame = with_index(frame, [column["name"] for column in columns])
    known = [(column, _values(frame, column["name"])) for column in columns]
    measured = [(column, numbers_of(values, column)) for column, values in known if column["kind"] != "category"]
    found = [_standardized(column, found_N) for column, found_N in measured]
    found += [np.isnan(found_N) for column, found_N in measured if column["mask"]]
    found += [wave_N for column, found_N in measured if column["kind"] == "calendar" for wave_N in waves(found_N)]
    codes = [_codes(column, values) for column, values in known if column["kind"] == "category"]
    numbers = {"numbers" if codes else "x": np.stack(found, 1).astype(np.float32)} if found else {}
    return ({"categories": np.stack(codes, 1)} if codes else {}) | numbers


def with_index(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows, numbered from 0, with texts as names of columns. An index whose name is among `names` becomes a column, unless
    there is one of that name; any other index is left out.
    """
    frame = frame.rename(columns=str)
    kept = [level for level in frame.index.names if level is not None and str(level) in set(names) - set(frame.columns)]
    indexes = frame.index.to_frame(index=False)[kept].rename(columns=str)
    return pd.concat([indexes, frame.reset_index(drop=True)], axis=1) if kept else frame.reset_index(drop=True)


def _values(frame: pd.DataFrame, name: str) -> pd.Series:
    count = int((frame.columns == name).sum())
    if count != 1:
        raise ValueError(f"there {'is no column' if count == 0 else f'are {count} columns'} {name!r}")
    return frame[name]


def _standardized(column: Column, found_N: Numbers) -> Numbers:
    filled_N: Numbers = np.where(np.isnan(found_N), column["fill"], found_N)
    found: Numbers = (filled_N - column["mean"]) / column["scale"]
    return found


def waves(days_N: Numbers) -> list[Numbers]:
    """Where in the week and in the year each day since 1970 is, each as a sine and a cosine (N,), so that Sunday is close to
    Monday, and December to January; 0 if it is missing. The hour does not change the weekday.
    """
    turns = [2 * np.pi * np.floor(days_N) / WEEK, 2 * np.pi * days_N / YEAR]
    return [np.nan_to_num(wave(turn_N)) for turn_N in turns for wave in (np.sin, np.cos)]


def _codes(column: Column, values: pd.Series) -> NDArray[np.int64]:
    numbers = {word: number for number, word in enumerate(column["words"], 1)}
    text = words(values)
    known_N = text.map(numbers).fillna(0).to_numpy(np.int64)
    known_N = np.where(known_N == 0, _by_number(column["words"], values, text), known_N)
    found_N: NDArray[np.int64] = np.where(text.isna(), len(numbers) + 1 if column["mask"] else 0, known_N)
    return found_N


def _by_number(known: Sequence[str], values: pd.Series, text: pd.Series) -> NDArray[np.int64]:
    """For each number, the position (N,) of the only `known` word that is the same number, counted from 1; 0 if there is none.

    So the number 3 is the word 03 of a text file. Text counts as a number only if all words are numbers, as in pandas.
    """
    of_words = pd.Series(pd.to_numeric(pd.Series(known, dtype=object), errors="coerce"), dtype=np.float64)
    if not of_words.isna().any() or pd.api.types.is_numeric_dtype(values.dtype):
        are_numbers = text.notna()
    else:
        are_numbers = values.map(lambda value: isinstance(value, int | float | np.number)).astype(bool)
    once = of_words[~of_words.duplicated(keep=False)].dropna()
    positions = dict(zip(once.tolist(), (once.index.to_numpy() + 1).tolist(), strict=True))
    given = pd.to_numeric(text.where(are_numbers), errors="coerce")
    return np.asarray(given.map(positions).fillna(0), np.int64)


def numbers_of(values: pd.Series, column: Column) -> Numbers:
    """(N,), NaN where a value is missing. Raises ValueError naming the first value that is not of the column's kind."""
    kind = column["kind"]
    if kind in DATES:
        found_N = days(values, column.get("format"))
    else:
        found_N = booleans(values) if kind == "boolean" else numbers(values)
    bad = np.flatnonzero((np.isnan(found_N) & values.notna().to_numpy()) | np.isinf(found_N))
    bad = bad[words(values.iloc[bad]).notna().to_numpy()]
    if len(bad):
        what = "date" if kind in DATES else kind
        raise ValueError(f"column {column['name']!r} row {bad[0]} has {str(values.iloc[bad[0]])!r}, which is not a {what}")
    return found_N


def words(values: pd.Series) -> pd.Series:
    """The text of each value without the spaces around it, NaN where it is missing or empty. 3.0 is the word 3."""
    there = values[values.notna()]
    text = there.str.strip() if isinstance(there.dtype, pd.StringDtype) else there.astype(object).map(_word)
    return text[text != ""].reindex(values.index).astype(object)


def _word(value: object) -> str:
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value).strip()


def numbers(values: pd.Series) -> Numbers:
    """float64 (N,), NaN where a value is missing or not a number. Durations are in seconds."""
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return np.asarray(values.dt.total_seconds(), np.float64)
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return np.asarray(values.to_numpy(np.float64, na_value=np.nan))
    text = values if isinstance(values.dtype, pd.StringDtype) else words(values)
    return np.asarray(pd.to_numeric(text, errors="coerce"), np.float64)


def booleans(values: pd.Series) -> Numbers:
    """1.0 and 0.0 (N,), NaN where a value is missing or neither."""
    text = words(values).str.lower() if len(values) else words(values)
    return np.asarray(text.map(dict.fromkeys(YES, 1.0) | dict.fromkeys(NO, 0.0)), np.float64)


def days(values: pd.Series, form: str | None = None) -> Numbers:
    """Days since 1970 in UTC (N,), NaN where a value is missing or not a date. `form` is that of strptime (None: ISO 8601)."""
    given = values if pd.api.types.is_datetime64_any_dtype(values.dtype) else words(values)
    times = pd.to_datetime(given, format=form or "ISO8601", utc=True, errors="coerce")
    return np.asarray((times - pd.Timestamp(0, tz="UTC")) / DAY, np.float64)
