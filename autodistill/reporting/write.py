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
from ..study.record.rows import Stages, TrialRow, concordance, counted, frontier, hypervolume, region_among
from .picture import Point, draw

Improvement = Mapping[str, float] | None
MEMBER = (
    *("stage", "role", "params", "macs", "bytes", "accuracy", "low", "high", "of_teacher", "compression"),
    *(
        "inside",
        "expected",
        "expected_deviation",
        "frontier_probability",
        "label_only",
        "worse_than_label_only",
        "seconds",
        "seconds_chain",
        "architecture",
        "chain",
        "reason",
    ),
)
FIRST = (
    *("trial", "role", "state", "repeats", "retried", "enqueued", "kept", "frontier"),
    *MEMBER,
    *("rung_epochs", "rung_accuracy"),
)
SHARES = (0.9, 0.95, 0.97, 0.99)
"""Shares of the teacher's accuracy."""
HEADLINE = ("stage", "architecture", "params", "accuracy", "compression")


def write(
    folder: Path, spec: Spec, found: Sequence[TrialRow], chance: float, improvement: Improvement = None, *, picture: bool = True
) -> None:
    """trials.csv, frontier.csv, frontier.json and, unless told otherwise, frontier.png and frontier.svg."""
    cells = [row.columns() for row in found]
    replace(folder / "trials.csv", _csv(cells, list(dict.fromkeys([*FIRST, *(name for row in cells for name in row)]))))
    members = _inside_first(frontier(found))
    replace(folder / "frontier.csv", _csv([row.columns() for row in members], MEMBER))
    replace(folder / "frontier.json", json.dumps(summary(spec, found, chance, improvement), indent=1).encode() + b"\n")
    if picture:
        size = spec.search.objectives[1]
        points = [Point.of(row, size) for row in found if row.is_complete or row.state == "stopped"]
        region = region_among(spec, found, chance)
        floor = None if region.everything else region.floor
        draw(points, title=spec.study, size=size, floor=floor, target=folder / "frontier")


def summary(spec: Spec, found: Sequence[TrialRow], chance: float, improvement: Improvement = None) -> dict[str, Any]:
    """The study in one JSON object; `improvement` says what more trials would add, once a search has ended."""
    teacher, region = next(row for row in found if row.role == "teacher"), region_among(spec, found, chance)
    return {
        "study": spec.study,
        "failures": [{"count": count, "reason": reason} for count, reason in grouped(found)],
        "soft_targets": [
            row.soft_targets.model_dump() | {"accuracy": row.accuracy} for row in found if row.soft_targets is not None
        ],
        "teacher": _some(teacher, ("stage", "accuracy", "low", "high", "params", "macs", "bytes", "seconds")),
        "trials": counts(found),
        "headline": headline(found),
        "frontier": [_some(row, MEMBER) for row in _inside_first(frontier(found))],
        "incumbent": dominated(spec, found),
        "target": reached(spec, found),
        "region": {"accuracy": region.floor, "below": dict(region.below), "everything": region.everything},
        "hypervolume": {
            "value": hypervolume(spec, found, region),
            "reference": {"accuracy": region.floor, "params": region.below.get("params")},
        },
        "rungs": [one._asdict() for one in concordance(spec, found)],
        "expected_improvement": improvement and dict(improvement),
    }


def _some(row: TrialRow, names: Sequence[str]) -> dict[str, Any]:
    cells = row.columns()
    return {name: cells[name] for name in names}


def _inside_first(members: list[TrialRow]) -> list[TrialRow]:
    """Members in the region of interest before all others."""
    return sorted(members, key=lambda row: not row.inside)


def headline(found: Sequence[TrialRow]) -> list[dict[str, Any]]:
    """The smallest student with each of SHARES of the teacher's accuracy; its stage is None if there is none."""
    members = frontier(found)
    lines = []
    for share in SHARES:
        row = next((one for one in members if (one.of_teacher or 0.0) >= share), None)
        lines.append({"of_teacher": share, **(_some(row, HEADLINE) if row else dict.fromkeys(HEADLINE))})
    return lines


def reached(spec: Spec, found: Sequence[TrialRow]) -> dict[str, Any] | None:
    """The smallest member of the frontier with the spec's target on validation, else the nearest; None without a target."""
    target, members = spec.search.target, frontier(found)
    if target is None or not members:
        return None
    able = [row for row in members if row.accuracy >= target]
    row = able[0] if able else max(members, key=lambda one: one.accuracy)
    return {
        "wanted": target,
        "reached": bool(able),
        **_some(row, ("stage", "params", "accuracy", "low", "high")),
    }


def counts(found: Sequence[TrialRow]) -> dict[str, int]:
    """How trials ended; repeats, trials kept from an older study, and retried ones are not counted."""
    trials = counted(found)
    return {
        "complete": sum(row.state == "complete" for row in trials),
        "stopped": sum(row.state == "stopped" for row in trials),
        "failed": sum(row.state == "failed" for row in trials),
    }


def redraw(folder: Folder) -> tuple[Spec, list[TrialRow], float, Improvement]:
    """Writes everything again from the record and the store. Raises UsageError if there is no study."""
    with opened(folder) as study:
        spec, found, facts = study.spec, study.rows(Stages(study.store)), study.record.facts()
    chance, improvement = facts["chance"], facts.get("expected_improvement")
    write(folder.path, spec, found, chance, improvement)
    return spec, found, chance, improvement


def _csv(found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()
