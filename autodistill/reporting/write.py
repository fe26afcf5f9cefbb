"""The tables, pictures and JSON of a study; each file is written whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..spec import Spec
from ..study.record.findings import Incumbent
from ..study.record.folder import Folder, replace
from ..study.record.opened import open_study
from ..study.record.rows import TrialRow
from .marks import view
from .picture import draw
from .summary import Headline, Reached, StudySummary, summary

Json = dict[str, Any]
MEMBER = (
    *("stage", "role", "params", "macs", "bytes", "accuracy", "low", "high", "of_teacher", "compression", "inside", "expected"),
    *("expected_deviation", "frontier_probability", "label_only", "worse_than_label_only", "seconds", "seconds_chain"),
    *("architecture", "chain", "reason"),
)
"""Columns of a member of the frontier."""
TEACHER = ("stage", "accuracy", "low", "high", "params", "macs", "bytes", "seconds")
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
    replace(folder / "frontier.json", json.dumps(as_json(found), indent=1).encode() + b"\n")
    if picture:
        draw(view(spec, found.rows, found.region), title=spec.study, target=folder / "frontier")


def redraw(folder: Folder) -> StudySummary:
    """Writes everything again from the record and the store. Raises UsageError if there is no study."""
    with open_study(folder) as study:
        found = summary(study.spec, study.rows(), study.notes.chance, study.notes.expected_improvement)
    write(folder.path, study.spec, found)
    return found


def _csv(found: Sequence[Json], columns: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()


def as_json(found: StudySummary) -> Json:
    """As frontier.json has it; with `spent` as `search --json` prints it."""
    region = found.region
    return {
        "study": found.study,
        "failures": [asdict(failure) for failure in found.failures],
        "soft_targets": [
            row.soft_targets.model_dump() | {"accuracy": row.accuracy} for row in found.teachers if row.soft_targets
        ],
        "teacher": _some(found.teacher, TEACHER),
        "trials": found.trials._asdict(),
        "headline": [_headline(line) for line in found.headline],
        "frontier": [_some(row, MEMBER) for row in found.frontier],
        "incumbent": found.incumbent and _incumbent(found.incumbent),
        "target": found.target and _target(found.target),
        "region": {"accuracy": region.floor, "below": dict(region.below), "everything": region.everything},
        "hypervolume": {
            "value": found.hypervolume,
            "reference": {"accuracy": region.floor, "params": region.below.get("params")},
        },
        "rungs": [rung._asdict() for rung in found.rungs],
        "expected_improvement": found.improvement and found.improvement._asdict(),
        **({} if found.spent is None else {"spent": asdict(found.spent)}),
    }


def _headline(line: Headline) -> Json:
    names = ("stage", "architecture", "params", "accuracy", "compression")
    return {"of_teacher": line.of_teacher, **(dict.fromkeys(names) if line.row is None else _some(line.row, names))}


def _incumbent(found: Incumbent) -> Json:
    names = (*TEACHER, "architecture", "of_teacher", "compression")
    by = [_some(row, names) | {"apart": found.is_apart(row)} for row in found.dominated_by]
    return _some(found.row, names) | {"dominated_by": by}


def _target(found: Reached) -> Json:
    numbers = _some(found.row, ("stage", "params", "accuracy", "low", "high"))
    return {"wanted": found.wanted, "reached": found.reached} | numbers


def _some(row: TrialRow, names: Sequence[str]) -> Json:
    cells = row.columns()
    return {name: cells[name] for name in names}
