"""A study that is there, opened by all who ask something of it in one way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..spec import Spec, UsageError
from ..store import Store
from .folder import Folder
from .record import Record
from .tables import Row, Stages, rows


@dataclass(frozen=True, kw_only=True)
class Opened:
    path: Path
    spec: Spec
    record: Record
    store: Store

    def rows(self, stages: Stages) -> list[Row]:
        """Raises UsageError where no teacher is trained yet."""
        found = rows(self.spec, stages, self.record)
        if not found:
            spec = self.path / "spec.yaml"
            raise UsageError(f"{self.path} has no trained teacher yet; run: autodistill search {spec} --out {self.path}")
        return found


@contextlib.contextmanager
def opened(folder: Folder) -> Iterator[Opened]:
    """The study in a folder, with its record open.

    Raises UsageError where there is none, StudyError for one that is damaged or whose spec.yaml was changed.
    """
    spec = folder.read()
    with contextlib.closing(Record(folder.database, spec)) as record:
        folder.refuse_changed(spec, record.facts()["specs"])
        store = Store(folder.path / record.facts()["store"])
        yield Opened(path=folder.path, spec=spec, record=record, store=store)
