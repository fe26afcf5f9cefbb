"""Trackers: each teacher, each trial, each label-only baseline, and the search itself become runs of TensorBoard, MLflow, or
Weights & Biases.

A tracker is used through its own client, in a thread. A dead or slow one never ends a search or makes it wait: it is reported
once, and what it missed is logged when the same command runs again.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...spec import UsageError
from ...spec.log import Log
from ...study.record.directory import StudyDirectory
from ...study.schedule.scheduler import Study
from .channel import Channel
from .logged import Logged
from .mlflow import MLflow
from .tensorboard import TensorBoard
from .values import Due, Run, Source, Tracker
from .wandb import Wandb, refuse_unknown_user

__all__ = ["Run", "Tracker", "Trackers", "refuse_missing", "trackers_of"]
PATIENCE, MOST = 60.0, 300.0
"""At the end, a search waits at most this many seconds for the next run to be logged, and for all runs.

On a busy machine, MLflow takes 20 s to create its tables.
"""
LOOK = 0.02


def refuse_missing(log: Log) -> None:
    """Raises UsageError if the library of a tracker is not installed, or if it would need a login."""
    for name in log.model_dump(exclude_none=True):
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # a folder of that name, such as ./wandb, is no library
            raise UsageError(f"log: {name} is not installed; run: pip install 'autodistill-search[{name}]'")
    if log.wandb is not None:
        refuse_unknown_user(log.wandb)


def trackers_of(log: Log, study: str, out: Path) -> list[Tracker]:
    """The trackers that a spec names, for a study in the directory `out`."""
    found: list[Tracker] = []
    if log.tensorboard is not None:
        found.append(TensorBoard(log.tensorboard, study, out))
    if log.mlflow is not None:
        found.append(MLflow(log.mlflow, study, out))
    if log.wandb is not None:
        found.append(Wandb(log.wandb, study, out))
    return found


class Trackers:
    """Listens to a search, and hands each run to each tracker as soon as it has ended."""

    def __init__(
        self, trackers: Sequence[Tracker], say: Callable[[str], None], *, patience: float = PATIENCE, most: float = MOST
    ) -> None:
        self.trackers, self._say, self.patience, self.most = trackers, say, patience, most
        self.channels: list[Channel] = []
        self._source: Source | None = None

    def began(self, study: Study, directory: StudyDirectory) -> None:
        if not self.trackers:
            return
        logged = Logged(directory.path)
        self.channels = [Channel(tracker, logged, self._say) for tracker in self.trackers]
        self._source = Source(study, logged.identity, directory.path)
        self._look()

    def say(self, text: str) -> None:
        pass

    def advanced(self, study: Study, directory: StudyDirectory, *, ended: bool) -> None:
        self._look()

    def _look(self) -> None:
        """Hands over what is new, without waiting."""
        if self._source is not None:
            self._add(self._source.new())

    def _add(self, dues: Iterable[Due]) -> None:
        known = list(dues)
        for channel in self.channels:
            channel.add(known)
            channel.pump()

    def finish(self, write_page: Callable[[], object]) -> None:
        """Logs what is left and the search itself, with the page that `write_page` writes, as far as trackers answer."""
        if self._source is None:
            return
        try:
            write_page()
        except Exception as error:  # a page is not worth a search
            self._say(f"the page could not be written, so it is not logged: {error}")
        for channel in self.channels:
            channel.wake()
        self._add([*self._source.new(), self._source.search()])
        self._wait()
        for channel in self.channels:
            if left := channel.left():
                channel.warn(f"{left} run{'s are' if left > 1 else ' is'} not logged to {channel.tracker.place} yet")

    def _wait(self) -> None:
        """Until everything is logged, or no tracker makes progress."""
        end = time.monotonic() + self.most
        while time.monotonic() < end:
            busy = [one for one in self.channels if one.left() and not one.rests() and one.stalled() < self.patience]
            if not busy:
                return
            for channel in busy:
                channel.pump()
            time.sleep(LOOK)
