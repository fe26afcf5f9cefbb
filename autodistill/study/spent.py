"""Where the time of a run goes: what workers did, second by second, and what the controller took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ..distill import Job

Kind = Literal["teachers", "outputs", "assistants", "students", "twins"]
KINDS: tuple[Kind, ...] = ("teachers", "outputs", "assistants", "students", "twins")


class Spent:
    """Seconds of workers by kind of job, by a `clock`; of the controller by the process's own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.controller = 0.0
        self._ended: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self._running: dict[object, tuple[float, Kind]] = {}
        self._begins = 0.0
        self._span: tuple[float, float] | None = None
        self._taught = self._last_begin = (0.0, 0.0)
        """Of the teachers' end, and of the begin of the last job: when it was, and how many seconds workers had been busy."""

    def begin(self, job: Job, kind: Kind) -> None:
        now = self.clock()
        if self._span is None:
            self._span, self._taught = (now, now), (now, 0.0)
        self._last_begin = (now, self._busy(now))
        self._running[job.address()] = (now, kind)
        self._begins += now

    def end(self, job: Job) -> None:
        if self._span is None or job.address() not in self._running:
            return
        begun, kind = self._running.pop(job.address())
        now = self.clock()
        self._begins -= begun
        self._ended[kind] += now - begun
        self._span = (self._span[0], now)
        if kind == "teachers":
            self._taught = (now, self._busy(now))

    def since(self, job: Job) -> float:
        """Seconds since a running job began, 0 for others."""
        begun, _ = self._running.get(job.address(), (self.clock(), "students"))
        return self.clock() - begun

    def facts(self, workers: int) -> dict[str, Any]:
        """`idle` is what is left of all workers' time from the first job's begin to the last one's end.

        `useful` is the share of it that jobs took from the teachers' end until the last job began; None where it was over
        at once.
        """
        first, last = self._span or (0.0, 0.0)
        (taught, before), (until, busy) = self._taught, self._last_begin
        time = workers * (until - taught)
        return {
            "workers": workers,
            "seconds": last - first,
            **{str(kind): seconds for kind, seconds in self._ended.items()},
            "idle": max(0.0, workers * (last - first) - sum(self._ended.values())),
            "controller": self.controller,
            "useful": (busy - before) / time if time > 0 else None,
        }

    def _busy(self, now: float) -> float:
        return sum(self._ended.values()) + len(self._running) * now - self._begins
