"""A tracker in its own thread: whatever the tracker does, the search neither ends nor waits."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from ...spec import AutodistillError
from .logged import Line, Logged
from .values import Due, Run, Tracker

ROOM = 64
"""How many runs may wait in memory; the others are made later."""
STALLED = 60.0
"""After this many seconds without an answer, the user is told."""
REST, MOST_REST = 30.0, 600.0
"""Seconds without another try after a failure, twice as many after each further one."""


class Channel:
    """Hands runs to a tracker; `say` gets at most one warning. A run that failed is tried again after a rest."""

    def __init__(self, tracker: Tracker, logged: Logged, say: Callable[[str], None]) -> None:
        self.tracker, self.logged, self.say = tracker, logged, say
        self._failures = 0
        self._progressed = self._rests_until = 0.0
        self._has_warned = False
        self._backlog: deque[Due] = deque()
        self._failed: deque[Run] = deque()
        self._waiting: set[Line] = set()
        self._queue: queue.Queue[Run] = queue.Queue(ROOM)
        self._thread: threading.Thread | None = None

    def add(self, dues: Iterable[Due]) -> None:
        """Remembers those that are not logged yet."""
        self._backlog += [due for due in dues if self._line(due) not in self.logged.lines]

    def pump(self) -> None:
        """Lets the thread log what there is room for, without waiting."""
        if self.rests():
            return
        while self._failed:
            run = self._failed.popleft()
            self._backlog.appendleft(Due(run.name, run.mark, partial(_same, run)))
        while self._backlog and not self._queue.full():
            due = self._backlog.popleft()
            try:
                self._give(due.make())
            except AutodistillError as error:  # such as that of a stage whose files are damaged or gone
                self._explain(due, error)
        if self.stalled() > STALLED:
            self.warn(f"{self.tracker.place} has not answered for {STALLED:.0f} s")

    def rests(self) -> bool:
        """Whether it waits after a failure."""
        return time.monotonic() < self._rests_until

    def wake(self) -> None:
        """Ends the rest after a failure."""
        self._rests_until = 0.0

    def left(self) -> int:
        """How many runs are not logged yet."""
        return len(self._backlog) + len(self._failed) + len(self._waiting)

    def _line(self, one: Due | Run) -> Line:
        return (self.tracker.name, self.tracker.place, one.name, one.mark)

    def _give(self, run: Run) -> None:
        if not self._waiting:
            self._progressed = time.monotonic()
        self._waiting.add(self._line(run))
        self._queue.put_nowait(run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"log-{self.tracker.name}", daemon=True)
            self._thread.start()

    def stalled(self) -> float:
        """Seconds since something was last logged; 0 if nothing waits."""
        return time.monotonic() - self._progressed if self._waiting else 0.0

    def warn(self, what: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            rest = "The search continues without it; run the same command again later to log what is missing"
            self.say(f"{self.tracker.name}: {what}; {self.tracker.way}. {rest}")

    def _work(self) -> None:
        while True:
            run = self._queue.get()
            try:
                self.tracker.log(run)
            except BaseException as error:  # libraries of others may raise anything
                self._rests_until = time.monotonic() + min(MOST_REST, REST * 2**self._failures)
                self._failures += 1
                self._failed.append(run)
                self._explain(run, error)
            else:
                self._failures = 0
                self._rests_until = 0.0
                self.logged.add(self._line(run))
            self._progressed = time.monotonic()
            self._waiting.discard(self._line(run))

    def _explain(self, run: Run | Due, error: BaseException) -> None:
        reason = " ".join(str(error).split())[:300]
        self.warn(f"{run.name} was not logged to {self.tracker.place} ({type(error).__name__}: {reason})")


def _same(run: Run) -> Run:
    return run
