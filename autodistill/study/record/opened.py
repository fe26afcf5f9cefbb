"""Opens an existing study; all commands that read a study use this."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...spec import Spec, StudyError, UsageError
from ...store import Store
from .folder import LOOKS, Folder
from .record import ANEW, Record
from .rows import Stages, TrialRow, rows


@dataclass(frozen=True, kw_only=True)
class Opened:
    path: Path
    spec: Spec
    record: Record
    store: Store

    @property
    def looks(self) -> int:
        """How often the test split was opened, according to the record."""
        return int(self.record.facts().get(LOOKS, 0))

    def rows(self, stages: Stages) -> list[TrialRow]:
        """Raises UsageError if no teacher is trained yet."""
        found = rows(self.spec, stages, self.record, self.record.facts()["chance"])
        if not found:
            spec = self.path / "spec.yaml"
            raise UsageError(f"{self.path} has no trained teacher yet; run: autodistill search {spec} --out {self.path}")
        return found


@contextlib.contextmanager
def opened(folder: Folder) -> Iterator[Opened]:
    """The study in a directory, with its record open.

    Raises UsageError if there is none, StudyError if it is damaged or its spec.yaml was changed.
    """
    spec = folder.read()
    with contextlib.closing(Record(folder.database, spec)) as record:
        facts = record.facts()
        if not {"specs", "store"} <= facts.keys():
            what = f"{folder.database} was not written by this version of autodistill: it names no spec"
            raise StudyError(f"{what}; {ANEW}")
        folder.refuse_changed(spec, facts["specs"])
        store = Store(folder.path / facts["store"])
        yield Opened(path=folder.path, spec=spec, record=record, store=store)
