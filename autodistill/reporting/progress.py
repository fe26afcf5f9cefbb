"""What the user sees while a search runs: a live table in a terminal or a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..metrics.words import stated
from ..study.record.directory import StudyDirectory
from ..study.record.references import references
from ..study.schedule.running import running
from ..study.schedule.scheduler import Study
from .notebook import Cell, lines_html, table_html
from .screen import MEMBERS, running_search
from .standing import Standing
from .summary import StudySummary, summary
from .terminal import clock, frontier_table
from .write import write

QUIET_SECONDS = 15.0
PICTURE_SECONDS = 30.0
TABLE_SECONDS = 2.0
PATIENCE = 20
"""The next drawing waits this many times as long as the last one took."""


class Progress:
    """Listens to a search: shows how far it is, and rewrites its report while it runs.

    The report is rewritten no more often than anyone looks at it, nor so often that it costs much. `cell` is the place of a
    notebook where everything is shown.
    """

    def __init__(self, console: Console, cell: Cell | None = None) -> None:
        self.console, self.cell = console, cell
        self.said: list[str] = []
        self.table = ""
        self.started = time.monotonic()
        self.best = "training the teacher"
        self.left = ""
        self.stages = ""
        self._printed = -QUIET_SECONDS
        self._ended = False
        self._next_tables = self._next_pictures = 0.0
        self._study: Study | None = None
        self._seen: StudySummary | None = None
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(get_renderable=self._screen, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def began(self, study: Study, directory: StudyDirectory) -> None:
        self.started, self._study = time.monotonic(), study
        if not study.finished():
            Standing.of(study, ended=False).write(directory.path)
        if self.cell is not None:
            self._show()
        elif self._is_live:
            self._live.start()

    def say(self, text: str) -> None:
        if self.cell is None:
            self.console.print(Text(text), soft_wrap=True)
        else:
            self.said.append(text)
            self._show()

    def _show(self) -> None:
        assert self.cell is not None
        lines = [str(self._line()), *self.said]
        self.cell.show("\n".join(lines), lines_html(*lines) + self.table)

    def advanced(self, study: Study, directory: StudyDirectory, *, ended: bool) -> None:
        if ended or time.monotonic() >= self._next_tables:
            Standing.of(study, ended=ended).write(directory.path)
            self._draw(study, directory, picture=ended or time.monotonic() >= self._next_pictures)

    def _draw(self, study: Study, directory: StudyDirectory, *, picture: bool) -> None:
        started = time.monotonic()
        if found := study.rows():
            notes = study.record.notes
            fitted = references(study.spec, notes, study.store)
            seen = summary(study.spec, found, study.chance, notes.expected_improvement, references=fitted)
            write(directory.path, study.spec, seen, picture=picture)
            self.update(study, seen)
        ended = time.monotonic()
        self._next_tables = ended + max(TABLE_SECONDS, PATIENCE * (ended - started))
        if picture:
            self._next_pictures = ended + max(PICTURE_SECONDS, PATIENCE * (ended - started))

    def update(self, study: Study, found: StudySummary) -> None:
        of = study.spec.search.trials
        done = study.trials.counted_done if of is None else f"{study.trials.counted_done}/{of}"
        self.stages = f"trials {done}, stages trained {len(study.trained)}, reused {study.reused()}"
        left = study.seconds_left()
        self.left = "; training the label-only baselines of the frontier" if study.pending.baselines is not None else ""
        self.left += "" if left is None else f", {clock(left)} left"
        self.left = "" if study.finished() else self.left
        best, teacher = found.best, stated(found.metric, found.teacher.value)
        self.best = f"best {stated(found.metric, best.value)} with {best.params:,} params" if best else f"teacher {teacher}"
        if self.cell is not None:
            self.table = table_html(frontier_table(found, most=MEMBERS)) if found.frontier else ""
            self._show()
            return
        self._seen = found
        before, self._ended = self._ended, study.finished()
        due = time.monotonic() - self._printed >= QUIET_SECONDS or self._ended > before
        if not self._is_live and due:
            self._printed = time.monotonic()
            self.console.print(self._line(), soft_wrap=True)

    def _screen(self) -> Group:
        """Drawn by a thread of its own, twice a second."""
        return running_search(self._line(), self._seen, [] if self._study is None else running(self._study))

    def _line(self) -> Text:
        elapsed = clock(time.monotonic() - self.started)
        parts = [part for part in (self.stages, self.best) if part]
        return Text(f"{elapsed}  " + "; ".join(parts) + self.left)
