"""Files of texts with a JSON object in each line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ..spec import DataError
from ..spec.value import Json
from .kinds import Place


def read_lines(path: Path, place: str) -> tuple[pd.DataFrame, Place]:
    """A row for each line that is not blank, with the columns of all of them. Raises DataError naming the first bad line."""
    rows, lined = list[Json](), True
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows.append(_object(line, f"{place}: line {number}"))
                    lined &= number == len(rows)
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: byte {error.object[error.start]:#04x} ({error.reason})"
        raise DataError(f"{place} {what}; convert it: iconv -f latin1 -t utf-8 OLD > NEW") from None
    except OSError as error:
        raise DataError(f"{place} cannot be read ({error.strerror}); make it readable") from None
    if not rows:
        raise DataError(f"{place} is empty; give a JSON object in each line")
    return pd.DataFrame(rows, dtype=object), Place(place, lined, first=1)


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
