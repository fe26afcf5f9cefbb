"""What is known about a study at this moment, from its files alone: nothing is written, and no test split is opened."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Literal, NamedTuple

from ...answers import Wanted
from ...spec import AutodistillError, Value, digest
from ...study.record.directory import CONFIRMED, OPENINGS, StudyDirectory
from ...study.record.opened import untouched
from ..page import html
from ..page.answer import answer
from ..page.study import read_study
from ..standing import Standing
from ..terminal import clock

Phase = Literal["waiting", "training", "searching", "ended", "stopped", "elsewhere", "quiet"]
SHOWN = ("frontier.json", "spec.yaml", OPENINGS, *CONFIRMED)
"""When one of these changes, the report is another one. A running search writes frontier.json when there are results."""
PATIENCE, LEAST = 20.0, 1.0
"""The report is made again after this many times the seconds that it took, but no sooner than after this many seconds."""


class State(Value):
    """A `sentence` about a study, and how many of its `trials` are `done`, as they were `at` (seconds since 1970).

    `report` tells one report from another; empty if there is none yet.
    """

    phase: Phase
    sentence: str
    report: str = ""
    done: int = 0
    trials: int | None = None
    at: float | None = None


def state(directory: StudyDirectory) -> State:
    """Raises nothing about a study that is not there yet."""
    if not directory.database.exists():
        return State(phase="waiting", sentence=f"Waiting for a study in {directory.path}.")
    found, version = Standing.read(directory.path), _version(directory.path)
    if found is None:
        sentence = "No search has reported its progress." if version else "The search begins."
        return State(phase="quiet", sentence=sentence, report=version)
    phase, sentence = _told(found, has_results=bool(version))
    return State(phase=phase, sentence=sentence, report=version, done=found.done, trials=found.trials, at=found.at)


def _told(found: Standing, *, has_results: bool) -> tuple[Phase, str]:
    of = f"{found.done}" if found.trials is None else f"{found.done} of {found.trials}"
    runs = found.runs()
    if found.ended:
        return "ended", f"The search has ended: {of} trials."
    if runs is None:
        return "elsewhere", f"A search on {found.host}: {of} trials have ended."
    if not runs:
        return "stopped", f"The search stopped after {of} trials; run the same command again to resume."
    if not has_results:
        return "training", "The teacher is being trained."
    left = "" if found.left is None else f", about {clock(max(0.0, found.left - (time.time() - found.at)))} left"
    if found.baselines:
        return "searching", f"{of} trials have ended; training the label-only baselines of the frontier{left}."
    return "searching", f"Searching: {of} trials have ended{left}."


def _version(path: Path) -> str:
    """Empty without results."""
    stats = [(name, (path / name).stat()) for name in SHOWN if (path / name).exists()]
    known = [[name, stat.st_mtime_ns, stat.st_size] for name, stat in stats]
    return digest(known)[:16] if any(name == "frontier.json" for name, *_ in known) else ""


class Content(NamedTuple):
    """The body of a report, and its version."""

    version: str
    html: str


class Report:
    """The report of a study, which is made when somebody asks, but not so often that it would slow down a search."""

    def __init__(self, directory: StudyDirectory) -> None:
        self.directory = directory
        self._content: Content | None = None
        self._due = 0.0
        self._lock = threading.Lock()

    def content(self) -> Content | None:
        """None if there are no results. Raises AutodistillError if the study cannot be read now."""
        version = _version(self.directory.path)
        with self._lock:
            known = self._content
            if version and (known is None or (known.version != version and time.monotonic() >= self._due)):
                started = time.monotonic()
                try:
                    self._content = Content(version, self._made())
                finally:
                    self._due = time.monotonic() + max(LEAST, PATIENCE * (time.monotonic() - started))
            return self._content if version else None

    def _made(self) -> str:
        with untouched(self.directory) as copied:
            study = read_study(copied)
        try:
            return html(study, answer(study, Wanted()), "part.html")
        except (KeyError, OSError) as error:  # the search changed a file meanwhile
            raise AutodistillError(f"the study changed while it was read: {error!r}") from error
