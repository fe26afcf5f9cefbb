"""When a search cannot go on: too many failed trials, or a teacher that is no better than guessing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...metrics.intervals import wilson
from ...spec import Checkpoint, Stage, StudyError, describe
from ...spec.search import Search
from .rows import Stages, TrialRow, counted

FEW = 3
"""With fewer failed trials, their fraction is not checked."""


def refuse_ignorant(stages: Stages, teacher: Stage | Checkpoint, chance: float) -> None:
    """Raises StudyError if a teacher is no better than guessing the majority class."""
    found = stages.measured(teacher.key())
    if wilson(found.correct, found.n).low <= chance:
        raise StudyError(
            f"the teacher {describe(teacher.architecture)} has {found.accuracy:.1%} validation accuracy, no "
            f"better than guessing the majority class ({chance:.1%}); train it longer, change its learning rate, or check "
            "that the checkpoint belongs to this architecture and these labels"
        )


def refuse_many(search: Search, failed: int, done: int, rows: Callable[[], Sequence[TrialRow]]) -> None:
    """Raises StudyError if so many trials failed that it is pointless to continue."""
    limit = search.tolerate_failures
    if failed >= FEW and failed > limit * done:
        common = grouped(rows())[0]
        raise StudyError(
            f"{failed} of {done} finished trials failed, more than search.tolerate_failures ({limit:g}) allows. The most "
            f"common reason ({common.count} of them): {common.reason}. Fix it, then run the same command with "
            "--retry-failed, or raise search.tolerate_failures"
        )


@dataclass(frozen=True)
class Failure:
    """How many trials failed for a reason like this one."""

    count: int
    reason: str


def grouped(rows: Sequence[TrialRow]) -> list[Failure]:
    """The failed trials by reason, the most common first; the reason is that of the first trial of its group.

    Reasons that differ only in numbers, network names and paths form one group.
    """
    groups: dict[str, list[str]] = {}
    for row in counted(rows):
        if row.state == "failed":
            groups.setdefault(_kind(row), []).append(str(row.reason))
    return sorted((Failure(len(reasons), reasons[0]) for reasons in groups.values()), key=lambda one: -one.count)


def _kind(row: TrialRow) -> str:
    reason = str(row.reason).replace(row.architecture, "")
    return re.sub(r"\S*[\d/]\S*", "#", reason)
