"""Where the time of a run goes: the seconds of the workers by kind of job, and those of the controller."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from ...distill import Job

Kind = Literal["teachers", "outputs", "assistants", "students", "baselines"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds of a run: of wall time in all, and of the workers by kind of job. `idle` is the unused time of all workers from
    the start of the first job to the end of the last.

    `useful` is the share of worker time spent on jobs between the end of the teachers' training and the handout of the last
    job; None if that period is empty. `again` counts the jobs that were restarted, by cause; they have not failed.
    """

    workers: int
    seconds: float
    teachers: float
    outputs: float
    assistants: float
    students: float
    baselines: float
    idle: float
    controller: float
    useful: float | None
    again: Mapping[str, int]


class Meter:
    """Measures seconds of workers by kind of job, by `clock`, and seconds of the controller, by the process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.controller = 0.0
        self.again: Counter[str] = Counter()
        self._began: float | None = None
        self._ended: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self._running: dict[object, tuple[float, Kind]] = {}
        self._worked: dict[object, float] = {}
        self._span: tuple[float, float] | None = None
        self._taught = self._last_begin = 0.0
        """When the teachers' training ended, and when the last job began."""
        self._jobs: list[tuple[float, float, float]] = []
        """For each job that began after the teachers' end: when it was handed out, when it ended, and the seconds of work."""

    @contextmanager
    def controls(self) -> Iterator[None]:
        """Measures what the controller does inside."""
        started = time.perf_counter()
        self._began = self.clock() if self._began is None else self._began
        try:
            yield
        finally:
            self.controller += time.perf_counter() - started

    def elapsed(self) -> float:
        """Seconds since the controller did something for the first time."""
        return 0.0 if self._began is None else self.clock() - self._began

    def begin(self, job: Job, kind: Kind) -> None:
        now = self.clock()
        if self._span is None:
            self._span, self._taught = (now, now), now
        self._last_begin = now
        self._running[job.address()] = (now, kind)

    def worked(self, job: Job, seconds: float) -> None:
        """A worker worked on a job since its last report; without reports, all time since handout counts."""
        self._worked[job.address()] = self._worked.get(job.address(), 0.0) + seconds

    def end(self, job: Job) -> None:
        if self._span is None or job.address() not in self._running:
            return
        begun, kind = self._running.pop(job.address())
        now = self.clock()
        worked = self._worked.pop(job.address(), now - begun)
        self._ended[kind] += worked
        self._span = (self._span[0], now)
        if kind == "teachers":
            self._taught, self._jobs = now, []
        else:
            self._jobs.append((begun, now, worked))

    def since(self, job: Job) -> float:
        """Seconds since a running job began, 0 for others."""
        begun, _ = self._running.get(job.address(), (self.clock(), "students"))
        return self.clock() - begun

    def kind(self, job: Job) -> Kind:
        """The kind of a running job."""
        _, kind = self._running.get(job.address(), (0.0, "students"))
        return kind

    def of(self, *kinds: Kind) -> float:
        """Seconds of the jobs of these kinds that have ended."""
        return sum(self._ended[kind] for kind in kinds)

    def spent(self, workers: int) -> Spent:
        first, last = self._span or (0.0, 0.0)
        until = self._last_begin
        available = workers * (until - self._taught)
        return Spent(
            workers=workers,
            seconds=last - first,
            teachers=self._ended["teachers"],
            outputs=self._ended["outputs"],
            assistants=self._ended["assistants"],
            students=self._ended["students"],
            baselines=self._ended["baselines"],
            idle=max(0.0, workers * (last - first) - sum(self._ended.values())),
            controller=self.controller,
            useful=sum(_until(until, *one) for one in self._jobs) / available if available > 0 else None,
            again=dict(self.again),
        )


def _until(now: float, begun: float, ended: float, worked: float) -> float:
    """Seconds of work on a job until `now`; time without work counts as before the work, when no worker had the job."""
    return worked if ended <= now else max(0.0, now - (ended - worked))
