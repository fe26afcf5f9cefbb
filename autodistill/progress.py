"""Floor 7: what a person sees while a search runs: one live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .study.schedule import Study
from .study.tables import Row
from .text import clock

QUIET_SECONDS = 15.0


class Progress:
    """`update` after each job; `say` for what must be read."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()
        self.best = "the teacher is being trained"
        self.left = ""
        self.stages = ""
        self._printed = -QUIET_SECONDS
        self._ended = False
        self._live = Live(get_renderable=self._line, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def update(self, study: Study, found: list[Row]) -> None:
        of = study.spec.search.trials
        done = study.counted_done() if of is None else f"{study.counted_done()}/{of}"
        self.stages = f"trials {done}, stages trained {len(study.trained)}, reused {study.reused()}"
        left = study.seconds_left()
        self.left = "; twins of the frontier learn from labels" if study.guarding() else ""
        self.left += "" if left is None else f", {clock(left)} left"
        self.best = _best(found) or self.best
        before, self._ended = self._ended, study.finished()
        due = time.monotonic() - self._printed >= QUIET_SECONDS or self._ended > before
        if not self.console.is_terminal and due:
            self._printed = time.monotonic()
            self.console.print(self._line(), soft_wrap=True)

    def _line(self) -> Text:
        elapsed = clock(time.monotonic() - self.started)
        parts = [part for part in (self.stages, self.best) if part]
        return Text(f"{elapsed}  " + "; ".join(parts) + self.left)


def _best(found: list[Row]) -> str:
    members = [row for row in found if row["frontier"]]
    if not members:
        teacher = [row for row in found if row["role"] == "teacher"]
        return f"teacher {teacher[0]['accuracy']:.1%}" if teacher else ""
    best = max(members, key=lambda row: row["accuracy"])
    return f"best {best['accuracy']:.1%} with {best['params']:,} parameters"
