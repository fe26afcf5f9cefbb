"""Tables and pictures of a study, each file written whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spec import Spec, UsageError
from ..store import Store
from ..study.folder import Folder, replace
from ..study.own import beaten
from ..study.record import Record
from ..study.tables import ORIGIN, Row, Stages, concordance, frontier, hypervolume, rows
from .picture import draw

Ahead = Mapping[str, float] | None
MEMBER = (
    *("stage", "role", "params", "macs", "bytes", "accuracy", "low", "high", "of_teacher", "compression"),
    *("from_labels", "worse_than_labels", "seconds", "seconds_chain", "architecture", "chain", "reason"),
)
FIRST = ("trial", "role", "state", "repeats", "retried", *ORIGIN, "frontier", *MEMBER, "rung_epochs", "rung_accuracy")
INNER = ("dark", "rungs")


def write(
    folder: Path, spec: Spec, found: Sequence[Row], chance: float, outlook: Ahead = None, *, picture: bool = True
) -> None:
    """trials.csv, frontier.csv, frontier.json and, unless told otherwise, frontier.png and frontier.svg."""
    columns = list(dict.fromkeys([*FIRST, *(key for row in found for key in row if key not in INNER)]))
    replace(folder / "trials.csv", _csv(found, columns))
    members = frontier(found)
    replace(folder / "frontier.csv", _csv(members, MEMBER))
    replace(folder / "frontier.json", json.dumps(summary(spec, found, chance, outlook), indent=1).encode() + b"\n")
    if picture:
        size = spec.search.objectives[1]
        drawn = [_shown(row) | {size: max(1, row[size])} for row in found]  # a log axis has no 0
        drawn = [row for row in drawn if row["accuracy"] is not None]
        draw(drawn, title=spec.study, size=size, target=folder / "frontier")


def _shown(row: Row) -> Row:
    """A trial that was stopped stands where it was at its last rung."""
    if row["state"] != "stopped":
        return row
    return row | dict.fromkeys(("accuracy", "low", "high"), row["rung_accuracy"])


def summary(spec: Spec, found: Sequence[Row], chance: float, outlook: Ahead = None) -> dict[str, Any]:
    """The study in one JSON object; `outlook` says what more trials would add, once a search has ended."""
    teacher = next(row for row in found if row["role"] == "teacher")
    return {
        "study": spec.study,
        "dark": [row["dark"] | {"accuracy": row["accuracy"]} for row in found if row.get("dark")],
        "teacher": {key: teacher[key] for key in ("stage", "accuracy", "low", "high", "params", "macs", "bytes", "seconds")},
        "trials": counts(found),
        "frontier": [{key: row[key] for key in MEMBER} for row in frontier(found)],
        "own": beaten(spec, found),
        "target": reached(spec, found),
        "hypervolume": hypervolume(spec, found, chance),
        "rungs": concordance(spec, found),
        "outlook": outlook and dict(outlook),
    }


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
    """How trials ended; repeats, those kept of an older study and those tried again are not counted."""
    trials = [row for row in found if row["trial"] is not None and not row["repeats"] and row["retried"] is row["kept"] is None]
    return {
        "complete": sum(row["state"] == "complete" for row in trials),
        "stopped": sum(row["state"] == "stopped" for row in trials),
        "failed": sum(row["state"] == "failed" for row in trials),
    }


def redraw(folder: Folder) -> tuple[Spec, list[Row], float, Ahead]:
    """Writes everything again from the record and the store.

    Raises UsageError when there is no study, or none whose teachers are stored.
    """
    spec = folder.read()
    record = Record(folder.database, spec)
    store = Store(folder.path / record.facts()["store"])
    found, chance, outlook = rows(spec, Stages(store), record), record.facts()["chance"], record.facts().get("outlook")
    record.close()
    if not found:
        place = folder.path
        raise UsageError(f"{place} has no trained teacher; run: autodistill search {folder.spec} --out {place}")
    write(folder.path, spec, found, chance, outlook)
    return spec, found, chance, outlook


def _csv(found: Sequence[Row], columns: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()
