"""What is confirmed: the frontier, what is within noise of it, and the twins of each, with fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..spec import Checkpoint, Spec, Stage, twin
from ..study.tables import Row, Stages, frontier
from ..study.twins import FRESH, direct_of, longer, whole_time, with_seed

Network = Stage | Checkpoint


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One student to confirm: as it was searched, with fresh seeds, and its twins of the same seeds.

    `direct` learns from the teachers themselves, `direct_long` for as many epochs as its chain would have taken time for.
    Both are empty where it has no assistant; all twins of one trained from labels are.
    """

    row: Row
    searched: Network
    fresh: list[Stage] = field(default_factory=list)
    from_labels: list[Stage] = field(default_factory=list)
    direct: list[Stage] = field(default_factory=list)
    direct_long: list[Stage] = field(default_factory=list)

    def twins(self) -> dict[str, list[Stage]]:
        return {name: getattr(self, name) for name in ("from_labels", "direct", "direct_long")}

    def stages(self) -> list[Stage]:
        return [*self.fresh, *(stage for stages in self.twins().values() for stage in stages)]


def candidates(spec: Spec, found: Sequence[Row], stages: Stages, teachers: Sequence[Network], seeds: int) -> list[Candidate]:
    """The smallest first. A network that came from outside cannot be trained again: it stands as it is."""
    n = int(stages.measured(teachers[0].key())["n"])
    rows = sorted([*frontier(found), *_within_noise(found, n)], key=lambda row: (row["params"], row["accuracy"]))
    return [_candidate(spec, row, stages, teachers, seeds) for row in rows]


def _within_noise(found: Sequence[Row], n: int) -> list[Row]:
    """Networks within one standard error of the best of at most their size, of `n` samples: the nearest, no more than the
    frontier has members.
    """
    members = frontier(found)
    near: dict[str, tuple[float, Row]] = {}
    for row in found:
        best = max((one["accuracy"] for one in members if one["params"] <= row["params"]), default=None)
        if best is not None and row["state"] == "complete" and row["role"] not in ("teacher", "own"):
            lost = best - row["accuracy"]
            if lost <= math.sqrt(best * (1 - best) / n):
                near[row["stage"]] = (lost, row)
    for member in members:
        near.pop(member["stage"], None)
    nearest = sorted(near.values(), key=lambda one: (one[0], one[1]["params"]))
    return [row for _, row in nearest[: len(members)]]


def _candidate(spec: Spec, row: Row, stages: Stages, teachers: Sequence[Network], seeds: int) -> Candidate:
    searched = stages.network(row["stage"])
    if isinstance(searched, Checkpoint):
        return Candidate(row=row, searched=searched)
    fixed = {teacher.key() for teacher in teachers}
    fresh = [with_seed(searched, spec.seed + FRESH + index, fixed) for index in range(seeds)]
    if not searched.teachers and searched.init is None:
        return Candidate(row=row, searched=searched, fresh=fresh)
    found = Candidate(row=row, searched=searched, fresh=fresh, from_labels=[twin(stage) for stage in fresh])
    if not searched.teachers or all(teacher.key() in fixed for teacher in searched.teachers):
        return found
    if searched.init is not None and searched.init.key() not in fixed:
        return found  # it begins with its assistant's weights: without that assistant it is another student
    direct = [direct_of(stage, teachers) for stage in fresh]
    epochs = whole_time(searched, stages, fixed)
    return Candidate(
        **{name: getattr(found, name) for name in ("row", "searched", "fresh", "from_labels")},
        direct=direct,
        direct_long=[longer(stage, epochs) for stage in direct],
    )
