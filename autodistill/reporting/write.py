"""Tables and pictures of a study, each file written whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spec import Spec
from ..study.record.failures import grouped
from ..study.record.folder import Folder, replace
from ..study.record.incumbent import dominated
from ..study.record.opened import opened
from ..study.record.rows import MODEL, ORIGIN, Row, Stages, concordance, counted, frontier, hypervolume, region_among
from .picture import draw

Improvement = Mapping[str, float] | None
MEMBER = (
    *("stage", "role", "params", "macs", "bytes", "accuracy", "low", "high", "of_teacher", "compression"),
    *("inside", *MODEL, "label_only", "worse_than_label_only", "seconds", "seconds_chain", "architecture", "chain", "reason"),
)
FIRST = ("trial", "role", "state", "repeats", "retried", *ORIGIN, "frontier", *MEMBER, "rung_epochs", "rung_accuracy")
INNER = ("soft_targets", "rungs", "measured")
SHARES = (0.9, 0.95, 0.97, 0.99)
"""Shares of the teacher's accuracy."""
HEADLINE = ("stage", "architecture", "params", "accuracy", "compression")


def write(
    folder: Path, spec: Spec, found: Sequence[Row], chance: float, improvement: Improvement = None, *, picture: bool = True
) -> None:
    """trials.csv, frontier.csv, frontier.json and, unless told otherwise, frontier.png and frontier.svg."""
    columns = list(dict.fromkeys([*FIRST, *(key for row in found for key in row if key not in INNER)]))
    replace(folder / "trials.csv", _csv(found, columns))
    members = _inside_first(frontier(found))
    replace(folder / "frontier.csv", _csv(members, MEMBER))
    replace(folder / "frontier.json", json.dumps(summary(spec, found, chance, improvement), indent=1).encode() + b"\n")
    if picture:
        size = spec.search.objectives[1]
        drawn = [_shown(row) | {size: max(1, row[size])} for row in found]  # a log axis has no 0
        drawn = [row for row in drawn if row["accuracy"] is not None]
        region = region_among(spec, found, chance)
        floor = None if region.everything else region.floor
        draw(drawn, title=spec.study, size=size, floor=floor, target=folder / "frontier")


def _shown(row: Row) -> Row:
    """A stopped trial is drawn at the accuracy of its last rung."""
    if row["state"] != "stopped":
        return row
    return row | dict.fromkeys(("accuracy", "low", "high"), row["rung_accuracy"])


def summary(spec: Spec, found: Sequence[Row], chance: float, improvement: Improvement = None) -> dict[str, Any]:
    """The study in one JSON object; `improvement` says what more trials would add, once a search has ended."""
    teacher, region = next(row for row in found if row["role"] == "teacher"), region_among(spec, found, chance)
    return {
        "study": spec.study,
        "failures": [{"count": count, "reason": reason} for count, reason in grouped(found)],
        "soft_targets": [
            row["soft_targets"].model_dump() | {"accuracy": row["accuracy"]} for row in found if row.get("soft_targets")
        ],
        "teacher": {key: teacher[key] for key in ("stage", "accuracy", "low", "high", "params", "macs", "bytes", "seconds")},
        "trials": counts(found),
        "headline": headline(found),
        "frontier": [{key: row[key] for key in MEMBER} for row in _inside_first(frontier(found))],
        "incumbent": dominated(spec, found),
        "target": reached(spec, found),
        "region": {"accuracy": region.floor, "below": dict(region.below), "everything": region.everything},
        "hypervolume": hypervolume(spec, found, region),
        "rungs": concordance(spec, found),
        "expected_improvement": improvement and dict(improvement),
    }


def _inside_first(members: list[Row]) -> list[Row]:
    """Members in the region of interest before all others."""
    return sorted(members, key=lambda row: not row["inside"])


def headline(found: Sequence[Row]) -> list[dict[str, Any]]:
    """The smallest student with each of SHARES of the teacher's accuracy; its stage is None if there is none."""
    members = frontier(found)
    lines = []
    for share in SHARES:
        row = next((one for one in members if one["of_teacher"] >= share), None)
        lines.append({"of_teacher": share, **{key: row and row[key] for key in HEADLINE}})
    return lines


def reached(spec: Spec, found: Sequence[Row]) -> dict[str, Any] | None:
    """The smallest member of the frontier with the spec's target on validation, else the nearest; None without a target."""
    target, members = spec.search.target, frontier(found)
    if target is None or not members:
        return None
    able = [row for row in members if row["accuracy"] >= target]
    row = able[0] if able else max(members, key=lambda one: float(one["accuracy"]))
    return {
        "wanted": target,
        "reached": bool(able),
        **{key: row[key] for key in ("stage", "params", "accuracy", "low", "high")},
    }


def counts(found: Sequence[Row]) -> dict[str, int]:
    """How trials ended; repeats, trials kept from an older study, and retried ones are not counted."""
    trials = counted(found)
    return {
        "complete": sum(row["state"] == "complete" for row in trials),
        "stopped": sum(row["state"] == "stopped" for row in trials),
        "failed": sum(row["state"] == "failed" for row in trials),
    }


def redraw(folder: Folder) -> tuple[Spec, list[Row], float, Improvement]:
    """Writes everything again from the record and the store. Raises UsageError if there is no study."""
    with opened(folder) as study:
        spec, found, facts = study.spec, study.rows(Stages(study.store)), study.record.facts()
    chance, improvement = facts["chance"], facts.get("expected_improvement")
    write(folder.path, spec, found, chance, improvement)
    return spec, found, chance, improvement


def _csv(found: Sequence[Row], columns: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()
