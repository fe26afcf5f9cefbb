"""The tables, pictures, and JSON of a study; each file is written whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..metrics.metric import named
from ..spec import Spec
from ..spec.measurement import COUNTS
from ..spec.value import Json
from ..study.record.directory import StudyDirectory, replace
from ..study.record.findings import Incumbent
from ..study.record.opened import open_study
from ..study.record.references import Beside
from ..study.record.rows import TrialRow
from .marks import view
from .picture import draw
from .summary import Headline, Reached, StudySummary, accuracy, summary

BESIDE = (
    *("of_teacher", "compression", "inside", "expected", "expected_deviation", "frontier_probability", "ignorant"),
    *("label_only", "worse_than_label_only", "seconds", "seconds_chain", "architecture", "chain", "reason"),
)
"""Columns of a member of the frontier beside its sizes and metrics."""
TRIAL = ("trial", "role", "state", "repeats", "retried", "enqueued", "kept", "frontier")


def _metrics(row: TrialRow) -> tuple[str, ...]:
    """Columns of the metric, its interval, and the metrics beside it."""
    return (row.metric.column, "low", "high", *(named(other).column for other in row.also))


def _member(row: TrialRow) -> tuple[str, ...]:
    """Columns of a member of the frontier."""
    return ("stage", "role", *COUNTS, *_metrics(row), *BESIDE)


def _teacher(row: TrialRow) -> tuple[str, ...]:
    return ("stage", *_metrics(row), *COUNTS, "seconds")


def write(directory: Path, spec: Spec, found: StudySummary, *, picture: bool = True) -> None:
    """trials.csv, frontier.csv, frontier.json and, unless told otherwise, frontier.png and frontier.svg."""
    cells = [row.columns() for row in found.rows]
    first = (*TRIAL, *_member(found.teacher), "rung_epochs", f"rung_{found.metric.column}")
    replace(directory / "trials.csv", _csv(cells, list(dict.fromkeys([*first, *(name for row in cells for name in row)]))))
    replace(directory / "frontier.csv", _csv([row.columns() for row in found.frontier], _member(found.teacher)))
    replace(directory / "frontier.json", json.dumps(as_json(found), indent=1).encode() + b"\n")
    if picture:
        draw(view(spec, found), title=spec.study, target=directory / "frontier")


def redraw(directory: StudyDirectory) -> StudySummary:
    """Writes everything again from the record and the store. Raises UsageError if there is no study."""
    with open_study(directory) as study:
        notes, fitted = study.notes, study.references()
        found = summary(study.spec, study.rows(), notes.chance, notes.expected_improvement, references=fitted)
    write(directory.path, study.spec, found)
    return found


def _csv(found: Sequence[Json], columns: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()


def as_json(found: StudySummary) -> Json:
    """As frontier.json has it; with `spent` as `search --json` prints it."""
    region, name, teacher = found.region, found.metric.column, found.teacher
    return {
        "study": found.study,
        "failures": [asdict(failure) for failure in found.failures],
        "soft_targets": [
            row.soft_targets.model_dump() | {"accuracy": accuracy(row)} for row in found.teachers if row.soft_targets
        ],
        "teacher": _some(teacher, _teacher(teacher)),
        "trials": found.trials._asdict(),
        "headline": [_headline(line) for line in found.headline],
        "frontier": [_some(row, _member(row)) for row in found.frontier],
        "incumbent": found.incumbent and _incumbent(found.incumbent),
        "references": [_reference(one) for one in found.references],
        "target": found.target and _target(found.target),
        "region": {name: region.floor, "below": dict(region.below), "everything": region.everything},
        "hypervolume": {
            "value": found.hypervolume,
            "reference": {name: region.floor, "params": region.below.get("params")},
        },
        "rungs": [rung._asdict() for rung in found.rungs],
        "expected_improvement": found.improvement and found.improvement._asdict(),
        **({} if found.spent is None else {"spent": asdict(found.spent)}),
    }


def _headline(line: Headline) -> Json:
    names = ("stage", "architecture", "params", line.metric.column, "compression")
    return {"of_teacher": line.of_teacher, **(dict.fromkeys(names) if line.row is None else _some(line.row, names))}


def _incumbent(found: Incumbent) -> Json:
    names = (*_teacher(found.row), "architecture", "of_teacher", "compression")
    by = [_some(row, names) | {"apart": found.is_apart(row)} for row in found.dominated_by]
    return _some(found.row, names) | {"dominated_by": by}


def _reference(found: Beside) -> Json:
    """A reference model; `as_good` is the smallest member of the frontier that is at least as good, or null."""
    one, score, row = found.reference, found.score, found.row
    numbers = {found.metric.column: score.value, "low": score.low, "high": score.high}
    about = {"name": one.name, "label": one.label, "library": one.library, "bytes": one.bytes, "seconds": one.seconds}
    return about | numbers | {"as_good": row and _some(row, ("stage", "params", "bytes", row.metric.column))}


def _target(found: Reached) -> Json:
    numbers = _some(found.row, ("stage", "params", found.row.metric.column, "low", "high"))
    return {"wanted": found.wanted, "reached": found.reached} | numbers


def _some(row: TrialRow, names: Sequence[str]) -> Json:
    cells = row.columns()
    return {name: cells[name] for name in names}
