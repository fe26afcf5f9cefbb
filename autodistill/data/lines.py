"""Files of texts with a JSON object, or a text, in each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..spec import DataError
from ..spec.value import Json
from .kinds import Place

LINES_OF_TEXT = ".txt"


def read_lines(path: Path, place: str) -> tuple[pd.DataFrame, Place]:
    """A row for each line that is not blank, with the columns of all of them. Raises DataError naming the first bad line."""
    rows, lined = list[Json](), True
    for number, line in enumerate(_lines(path, place), 1):
        if line.strip():
            rows.append(_object(line, f"{place}: line {number}"))
            lined &= number == len(rows)
    if not rows:
        raise DataError(f"{place} is empty; give a JSON object in each line")
    return pd.DataFrame(rows, dtype=object), Place(place, lined, first=1)


def read_plain_lines(path: Path, name: str, place: str) -> tuple[pd.DataFrame, Place]:
    """A row for each line, in a column of that name. Raises DataError if the file cannot be read."""
    rows = [line.rstrip("\r\n") for line in _lines(path, place)]
    return pd.DataFrame({name: rows}, dtype=object), Place(place, True, first=1)


def not_utf8(place: str, error: UnicodeDecodeError, end: str = "") -> DataError:
    """The error for a file of another encoding; `end` is how its name ends."""
    what = f"is not UTF-8: byte {error.object[error.start]:#04x} ({error.reason})"
    return DataError(f"{place} {what}; convert it: iconv -f latin1 -t utf-8 OLD{end} > NEW{end}")


def _lines(path: Path, place: str) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise not_utf8(place, error) from None
    except OSError as error:
        raise DataError(f"{place} cannot be read ({error.strerror}); make it readable") from None


def _object(line: str, where: str) -> Json:
    try:
        found: object = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}); write one object in each line") from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply; give an object with a text and a label") from None
    if not isinstance(found, dict):
        raise DataError(f"{where} is a {type(found).__name__}, not an object; give an object with a text and a label")
    return found
