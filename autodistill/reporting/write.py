"""Tables and pictures of a study, each file written whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spec import Spec
from ..study.record.folder import Folder, replace
from ..study.record.opened import open_study
from .picture import Point, draw
from .summary import MEMBER, StudySummary, summary

FIRST = (
    *("trial", "role", "state", "repeats", "retried", "enqueued", "kept", "frontier"),
    *MEMBER,
    *("rung_epochs", "rung_accuracy"),
)


def write(folder: Path, spec: Spec, found: StudySummary, *, picture: bool = True) -> None:
    """trials.csv, frontier.csv, frontier.json and, unless told otherwise, frontier.png and frontier.svg."""
    cells = [row.columns() for row in found.rows]
    replace(folder / "trials.csv", _csv(cells, list(dict.fromkeys([*FIRST, *(name for row in cells for name in row)]))))
    replace(folder / "frontier.csv", _csv([row.columns() for row in found.frontier], MEMBER))
    replace(folder / "frontier.json", json.dumps(found.as_json(), indent=1).encode() + b"\n")
    if picture:
        size = spec.search.objectives[1]
        points = [Point.of(row, size) for row in found.rows if row.is_complete or row.state == "stopped"]
        floor = None if found.region.everything else found.region.floor
        draw(points, title=spec.study, size=size, floor=floor, target=folder / "frontier")


def redraw(folder: Folder) -> StudySummary:
    """Writes everything again from the record and the store. Raises UsageError if there is no study."""
    with open_study(folder) as study:
        found = summary(study.spec, study.rows(), study.notes.chance, study.notes.expected_improvement)
    write(folder.path, study.spec, found)
    return found


def _csv(found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()
