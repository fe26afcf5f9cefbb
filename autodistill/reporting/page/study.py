"""A study as a page needs it: read once, with nothing left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from ...answers.confirm.confirmation import Confirmation
from ...answers.confirm.results import read
from ...metrics.metric import Metric, metric_of, named
from ...spec import Spec
from ...study.record.directory import StudyDirectory
from ...study.record.notes import TrialFacts
from ...study.record.opened import open_study
from ...study.record.rows import Stages, TrialRow, frontier, may_be_member
from ..summary import StudySummary, summary


class Ended(NamedTuple):
    """A trial that ended: its number, its stage if that is complete, the stages above it, seconds since the first began."""

    number: int
    stage: str | None
    above: Sequence[str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """`ended` is in the order in which students' trials ended, according to the record; `trials` are Optuna's own.

    `stopped` has the seconds of older trials that were stopped, by stage; `later` counts students tried after the confirmation.
    """

    path: Path
    spec: Spec
    rows: Sequence[TrialRow]
    stages: Stages
    summary: StudySummary
    ended: Sequence[Ended]
    trials: Sequence[FrozenTrial]
    confirmed: Confirmation | None
    stopped: Mapping[str, float]
    later: int

    @property
    def metric(self) -> Metric:
        return metric_of(self.spec.search)

    @property
    def also(self) -> list[Metric]:
        """The metrics that are shown in addition to the study's."""
        return [named(name) for name in self.spec.task.beside]

    @property
    def teacher(self) -> TrialRow:
        return next(row for row in self.rows if row.role == "teacher")

    @property
    def members(self) -> list[TrialRow]:
        """The frontier's rows, smallest first."""
        return frontier(self.rows)

    @property
    def able(self) -> list[TrialRow]:
        """Complete rows that may be members of a frontier: searched, and within the limits."""
        return [row for row in self.rows if may_be_member(row, self.spec)]

    @property
    def n(self) -> int:
        """Validation samples."""
        return self.teacher.score.n


def read_study(place: Path | str | StudyDirectory) -> Study:
    """Raises UsageError if there is no study, or if it has trained nothing yet."""
    with open_study(place if isinstance(place, StudyDirectory) else StudyDirectory(place)) as study:
        spec, record, notes, found = study.spec, study.record, study.notes, study.rows()
        trials = optuna.load_study(study_name=spec.study, storage=record.storage).get_trials(deepcopy=False)
        ended = _in_order(trials, [trial.facts for trial in record.trials])
        confirmed, fitted = read(study), study.references()
        later = 0 if confirmed is None else confirmed.later(record)
    return Study(
        path=study.directory.path,
        spec=spec,
        rows=found,
        stages=study.stages,
        summary=summary(spec, found, notes.chance, notes.expected_improvement, references=fitted),
        ended=ended,
        trials=trials,
        confirmed=confirmed,
        stopped=notes.stopped,
        later=later,
    )


def _in_order(trials: Sequence[FrozenTrial], facts: Sequence[TrialFacts]) -> list[Ended]:
    pairs = zip(trials, facts, strict=False)  # a running search may have started another one since
    done = [(trial, known) for trial, known in pairs if trial.state.is_finished() and known.role != "assistant"]
    first = min((trial.datetime_start for trial in trials if trial.datetime_start is not None), default=None)
    done.sort(key=lambda one: (one[0].datetime_complete or datetime.max, one[0].number))
    return [
        Ended(
            number=trial.number,
            stage=known.stage if trial.state is TrialState.COMPLETE else None,
            above=known.above,
            seconds=(trial.datetime_complete - first).total_seconds() if first and trial.datetime_complete else 0.0,
        )
        for trial, known in done
    ]
