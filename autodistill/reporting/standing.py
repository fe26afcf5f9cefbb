"""progress.json: how far a search is, for whoever watches it from another process."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Self

import psutil
from pydantic import ValidationError

from ..spec import Value
from ..study.record.directory import PROGRESS, replace
from ..study.schedule.scheduler import Study


class Standing(Value):
    """How far a search was at `at` (seconds since 1970), and the process that runs it.

    `done` trials of `trials` (None: no limit) have ended; `left` are estimated seconds. `baselines`: the label-only baselines
    of the frontier are being trained. `ended`: the search has come to its end.
    """

    at: float
    host: str
    process: int
    started: float
    done: int
    trials: int | None
    trained: int
    reused: int
    workers: int
    left: float | None
    baselines: bool
    ended: bool

    @classmethod
    def of(cls, study: Study, *, ended: bool) -> Self:
        own = psutil.Process()
        return cls(
            at=time.time(),
            host=platform.node(),
            process=own.pid,
            started=own.create_time(),
            done=study.trials.counted_done,
            trials=study.spec.search.trials,
            trained=len(study.trained),
            reused=study.reused(),
            workers=study.workers,
            left=study.seconds_left(),
            baselines=study.pending.baselines is not None,
            ended=ended,
        )

    def write(self, directory: Path) -> None:
        replace(directory / PROGRESS, self.model_dump_json().encode() + b"\n")

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """None if there is none, or if it cannot be read."""
        try:
            return cls.model_validate_json((directory / PROGRESS).read_bytes())
        except (OSError, ValidationError):
            return None

    def runs(self) -> bool | None:
        """Whether its search still runs; None if it runs on another machine, so that nobody here knows."""
        if self.ended:
            return False
        if self.host != platform.node():
            return None
        try:
            return abs(psutil.Process(self.process).create_time() - self.started) < 1
        except psutil.NoSuchProcess:
            return False
