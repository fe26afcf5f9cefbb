"""Opens an existing study; whoever reads a study uses this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...spec import Spec, StudyError, UsageError
from ...spec.domains import Domain
from ...store import Store
from .directory import StudyDirectory
from .notes import Notes, Trial
from .record import ANEW, Record
from .rows import Stages, TrialRow, own_of, rows


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study in its directory. As a context manager it closes its record; what was read stays known."""

    directory: StudyDirectory
    spec: Spec
    record: Record
    stages: Stages

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.record.close()

    @property
    def store(self) -> Store:
        return self.stages.store

    @property
    def notes(self) -> Notes:
        return self.record.notes

    @property
    def trials(self) -> list[Trial]:
        return self.record.trials

    def rows(self) -> list[TrialRow]:
        """Raises UsageError if no teacher is trained yet."""
        found = rows(self.spec, self.stages, self.record, self.notes.chance)
        if not found:
            path = self.directory.path
            raise UsageError(f"{path} has no trained teacher yet; run: autodistill search {path / 'spec.yaml'} --out {path}")
        return found


def open_study(directory: StudyDirectory, domains: Mapping[str, Domain] | None = None) -> OpenStudy:
    """The study in a directory, with its record open; `domains` are needed to add trials.

    Raises UsageError if there is none, StudyError if it is damaged or its spec.yaml was changed.
    """
    spec = directory.read()
    record = Record(directory.database, spec, domains)
    try:
        notes = record.notes
        if notes.store is None or not notes.specs:
            what = f"{directory.database} was not written by this version of autodistill: it names no spec"
            raise StudyError(f"{what}; {ANEW}")
        directory.refuse_changed(spec, notes.specs)
    except StudyError:
        record.close()
        raise
    stages = Stages(Store(directory.path / notes.store), own_of(spec))
    return OpenStudy(directory=directory, spec=spec, record=record, stages=stages)
