"""A study at a glance: what its tables, its page, and its JSON say, made once from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..spec import Spec
from ..study.record.findings import (
    Concordance,
    Failure,
    Incumbent,
    compared,
    concordance,
    counted,
    grouped,
    hypervolume,
)
from ..study.record.notes import Improvement
from ..study.record.region import Region
from ..study.record.rows import TrialRow, frontier, region_among

if TYPE_CHECKING:  # it imports torch
    from ..study.schedule.spent import Spent

MEMBER = (
    *("stage", "role", "params", "macs", "bytes", "accuracy", "low", "high", "of_teacher", "compression", "inside", "expected"),
    *("expected_deviation", "frontier_probability", "label_only", "worse_than_label_only", "seconds", "seconds_chain"),
    *("architecture", "chain", "reason"),
)
"""Columns of a member of the frontier."""
TEACHER = ("stage", "accuracy", "low", "high", "params", "macs", "bytes", "seconds")
SHARES = (0.9, 0.95, 0.97, 0.99)
"""Shares of the teacher's accuracy."""


class Counts(NamedTuple):
    """How trials ended; repeats, trials kept from an older study, and retried ones are not counted."""

    complete: int
    stopped: int
    failed: int


class Headline(NamedTuple):
    """The smallest student with a share of the teacher's accuracy; None if there is none."""

    of_teacher: float
    row: TrialRow | None


class Reached(NamedTuple):
    """The smallest member of the frontier with the spec's target on validation, else the most accurate one."""

    wanted: float
    reached: bool
    row: TrialRow


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """`frontier` has the members in the region of interest first. `improvement` says what more trials would add, once a search
    has ended; `spent` where its time went, right after it.
    """

    study: str
    rows: Sequence[TrialRow]
    failures: Sequence[Failure]
    trials: Counts
    headline: Sequence[Headline]
    frontier: Sequence[TrialRow]
    incumbent: Incumbent | None
    target: Reached | None
    region: Region
    hypervolume: float
    rungs: Sequence[Concordance]
    improvement: Improvement | None
    spent: Spent | None = None

    @property
    def teachers(self) -> list[TrialRow]:
        return [row for row in self.rows if row.role == "teacher"]

    @property
    def teacher(self) -> TrialRow:
        """The first teacher."""
        return self.teachers[0]

    def as_json(self) -> dict[str, Any]:
        """As frontier.json has it; with `spent` as `search --json` prints it."""
        region = self.region
        return {
            "study": self.study,
            "failures": [asdict(failure) for failure in self.failures],
            "soft_targets": [
                row.soft_targets.model_dump() | {"accuracy": row.accuracy} for row in self.teachers if row.soft_targets
            ],
            "teacher": _some(self.teacher, TEACHER),
            "trials": self.trials._asdict(),
            "headline": [_headline(line) for line in self.headline],
            "frontier": [_some(row, MEMBER) for row in self.frontier],
            "incumbent": self.incumbent and _incumbent(self.incumbent),
            "target": self.target and _target(self.target),
            "region": {"accuracy": region.floor, "below": dict(region.below), "everything": region.everything},
            "hypervolume": {
                "value": self.hypervolume,
                "reference": {"accuracy": region.floor, "params": region.below.get("params")},
            },
            "rungs": [rung._asdict() for rung in self.rungs],
            "expected_improvement": self.improvement and self.improvement._asdict(),
            **({} if self.spent is None else {"spent": asdict(self.spent)}),
        }


def _headline(line: Headline) -> dict[str, Any]:
    names = ("stage", "architecture", "params", "accuracy", "compression")
    return {"of_teacher": line.of_teacher, **(dict.fromkeys(names) if line.row is None else _some(line.row, names))}


def _incumbent(found: Incumbent) -> dict[str, Any]:
    names = (*TEACHER, "architecture", "of_teacher", "compression")
    by = [_some(row, names) | {"apart": found.is_apart(row)} for row in found.dominated_by]
    return _some(found.row, names) | {"dominated_by": by}


def _target(found: Reached) -> dict[str, Any]:
    numbers = _some(found.row, ("stage", "params", "accuracy", "low", "high"))
    return {"wanted": found.wanted, "reached": found.reached} | numbers


def _some(row: TrialRow, names: Sequence[str]) -> dict[str, Any]:
    cells = row.columns()
    return {name: cells[name] for name in names}


def summary(
    spec: Spec,
    found: Sequence[TrialRow],
    chance: float,
    improvement: Improvement | None = None,
    spent: Spent | None = None,
) -> StudySummary:
    """`chance` is the share of the majority class; `improvement` and `spent` are as the record and the search have them."""
    region, members = region_among(spec, found, chance), frontier(found)
    return StudySummary(
        study=spec.study,
        rows=found,
        failures=grouped(found),
        trials=counts(found),
        headline=[Headline(share, next((row for row in members if (row.of_teacher or 0) >= share), None)) for share in SHARES],
        frontier=sorted(members, key=lambda row: not row.inside),
        incumbent=compared(spec, found),
        target=_reached(spec.search.target, members),
        region=region,
        hypervolume=hypervolume(spec, found, region),
        rungs=concordance(spec, found),
        improvement=improvement,
        spent=spent,
    )


def _reached(target: float | None, members: Sequence[TrialRow]) -> Reached | None:
    if target is None or not members:
        return None
    able = [row for row in members if row.accuracy >= target]
    return Reached(target, bool(able), able[0] if able else max(members, key=lambda one: one.accuracy))


def counts(found: Sequence[TrialRow]) -> Counts:
    states = Counter(row.state for row in counted(found))
    return Counts(states["complete"], states["stopped"], states["failed"])
