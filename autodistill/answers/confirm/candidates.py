"""What is confirmed: the frontier, students that may be on the true one, and their baselines, with fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...spec import Checkpoint, Spec, Stage, UsageError, label_only
from ...spec.stage import pretrained
from ...study.record.rows import Stages, TrialRow, frontier
from ...study.schedule.plan import FRESH, direct_of, longer, whole_time, with_seed

Network = Stage | Checkpoint
LIKELY = 0.1
"""A student that is not on the measured frontier is confirmed too if it is on the true one with a probability above this."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One student to confirm: as it was searched, with fresh seeds, and its baselines of the same seeds.

    `direct` learns from the teachers themselves, `direct_long` does so for as many epochs as fit into its chain's time. Both
    are empty if it has no assistant; all baselines are empty if it was trained from labels, or if nobody wants them.
    """

    row: TrialRow
    searched: Network
    fresh: list[Stage] = field(default_factory=list)
    label_only: list[Stage] = field(default_factory=list)
    direct: list[Stage] = field(default_factory=list)
    direct_long: list[Stage] = field(default_factory=list)

    def baselines(self) -> dict[str, list[Stage]]:
        return {name: getattr(self, name) for name in ("label_only", "direct", "direct_long")}

    def stages(self) -> list[Stage]:
        return [*self.fresh, *(stage for stages in self.baselines().values() for stage in stages)]


def candidates(
    spec: Spec,
    found: Sequence[TrialRow],
    stages: Stages,
    teachers: Sequence[Network],
    seeds: int,
    *,
    only: Sequence[str] = (),
    baselines: bool = True,
) -> list[Candidate]:
    """The frontier, and students that may be on the true one; smallest first.

    Only students in the region of interest are retrained, with their `baselines`. Networks outside it are used as they were
    searched, and so are networks from a file, which cannot be retrained. With `only`, the beginnings of keys, those students
    are retrained, and the other members of the frontier are used as they were searched. Raises UsageError for a beginning
    that does not match exactly one student.
    """
    if only:
        chosen = [_named(prefix, found) for prefix in only]
    else:
        chosen = [row for row in (*frontier(found), *_may_be_members(found)) if row.inside]
    rows = {row.stage: row for row in (*frontier(found), *chosen)}
    retrained = {row.stage for row in chosen}
    made = []
    for row in sorted(rows.values(), key=lambda row: (row.params, row.value)):
        one = _candidate(spec, row, stages, teachers, seeds if row.stage in retrained else 0)
        made.append(one if baselines else replace(one, label_only=[], direct=[], direct_long=[]))
    return made


def _named(prefix: str, found: Sequence[TrialRow]) -> TrialRow:
    """The student whose key begins with `prefix`."""
    students = {row.stage: row for row in found if row.is_complete and row.role != "teacher" and row.stage.startswith(prefix)}
    if len(students) != 1:
        what = f"{len(students)} students" if students else "no student"
        way = "give a longer beginning of one key" if students else "give the beginning of a key"
        raise UsageError(f"--only {prefix!r} matches {what} of the study; {way} from the stage column of trials.csv")
    return next(iter(students.values()))


def _may_be_members(found: Sequence[TrialRow]) -> list[TrialRow]:
    """Students in the region of interest that are not on the frontier, but that are on the frontier of expected values with a
    probability above LIKELY, according to the model of the search. The likeliest come first; there are at most as many as the
    frontier has members in the region.
    """
    members = [row for row in frontier(found) if row.inside]
    known = {row.stage for row in frontier(found)}
    near = {
        row.stage: (row, row.expected.on_frontier)
        for row in found
        if row.inside and row.stage not in known and row.expected is not None and row.expected.on_frontier > LIKELY
        if row.role not in ("teacher", "incumbent")
    }
    return [row for row, _ in sorted(near.values(), key=lambda one: (-one[1], one[0].params))][: len(members)]


def _candidate(spec: Spec, row: TrialRow, stages: Stages, teachers: Sequence[Network], seeds: int) -> Candidate:
    searched = stages.network(row.stage)
    if isinstance(searched, Checkpoint) or not seeds:
        return Candidate(row=row, searched=searched)
    fixed = {teacher.key() for teacher in teachers}
    fresh = [with_seed(searched, spec.seed + FRESH + index, fixed) for index in range(seeds)]
    if not searched.teachers and searched.init is None:
        return Candidate(row=row, searched=searched, fresh=fresh)
    found = Candidate(row=row, searched=searched, fresh=fresh, label_only=[label_only(stage) for stage in fresh])
    if not searched.teachers or all(teacher.key() in fixed for teacher in searched.teachers):
        return found
    if searched.init is not None and searched.init.key() not in fixed and pretrained(searched) is None:
        return found  # it begins with its assistant's weights: without that assistant it is another student
    direct = [direct_of(stage, teachers) for stage in fresh]
    epochs = whole_time(searched, stages, fixed)
    return replace(found, direct=direct, direct_long=[longer(stage, epochs) for stage in direct])
