"""Opens an existing study; whoever reads a study uses this."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ...spec import Spec, StudyError, UsageError
from ...spec.domains import Domain
from ...spec.measurement import Reference
from ...store import Store
from .directory import StudyDirectory
from .notes import Notes, Trial
from .record import ANEW, Record
from .references import references
from .rows import Stages, TrialRow, own_of, rows

TRIES = 5
"""How often a database is copied, if it changes meanwhile."""


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

    def references(self) -> list[Reference]:
        """The fitted reference models."""
        return references(self.spec, self.notes, self.store)


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


@contextlib.contextmanager
def untouched(directory: StudyDirectory) -> Iterator[StudyDirectory]:
    """The same study with a copy of its database, while a search may be writing to it.

    Reading SQLite's write-ahead log leaves files beside a database, and may even write it back. The copy is made of the
    database first and of its log afterward: unless the database changed meanwhile, they belong together.
    """
    with tempfile.TemporaryDirectory(prefix="autodistill-") as scratch:
        found = StudyDirectory(directory.path)
        found.database = Path(scratch) / directory.database.name
        with contextlib.suppress(FileNotFoundError):  # no study yet, or it has just become another one
            for _ in range(TRIES):
                before = directory.database.stat().st_mtime_ns
                _copy(directory.database, found.database)
                if directory.database.stat().st_mtime_ns == before:
                    break
        yield found


def _copy(database: Path, target: Path) -> None:
    shutil.copyfile(database, target)
    log, copied = (path.with_name(f"{path.name}-wal") for path in (database, target))
    copied.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(log, copied)
