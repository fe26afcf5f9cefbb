"""Which worker does which job. It knows Ray's errors, but nothing of Tune, which starts the workers (see `tune`)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ray.exceptions import RayActorError, RayTaskError

from ..distill import Job
from ..spec import StudyError
from . import Work
from .attempts import Attempts
from .marks import Death, Mark
from .watch import RanOut, Watch
from .worker import Report

MOST_STILLBORN = 5
"""How many workers in a row may die before they begin."""
LET_GO_SECONDS = 30.0
"""How long a worker idles on a cluster, which may shrink."""
DOUBT_SECONDS = 30.0
"""How long to wait for Ray to report a dead node after a worker died: five health checks, three seconds apart."""


@dataclass(frozen=True)
class Running:
    """A job of a worker, and the log file of this attempt."""

    job: Job
    mark: Mark


@dataclass(frozen=True)
class Lost:
    """A job whose worker died, with Ray's error and the time."""

    running: Running
    error: BaseException | None
    at: float


class Assignment:
    """Asks the work what is ready, and gives it to workers. Runs in the driver, so only the driver touches a study.

    Workers are known by the IDs of Tune's trials.
    """

    def __init__(self, work: Work, after: Callable[[], None], watch: Watch) -> None:
        self.work, self.after, self.watch = work, after, watch
        self.attempts = Attempts(work)
        self.running: dict[str, Running] = {}
        """The jobs of busy workers."""
        self.starting: set[str] = set()
        self.idle: dict[str, float] = {}
        """Since when each idle worker has been idle."""
        self.lost: list[Lost] = []
        self.stillborn = 0
        """How many workers in a row died before they began."""
        self.upcoming: Job | None = None
        self.error: BaseException | None = None
        self.over = False

    # How many workers there are

    def starts(self, worker: str) -> bool:
        """Whether another worker is to start."""
        if len(self.starting) + len(self.idle) + len(self.running) >= self._wanted():
            return False
        self.starting.add(worker)
        return True

    def _wanted(self) -> int:
        """The desired number of workers: on a local Ray, as many as fit.

        A cluster may grow and shrink. There, if a job waits while all workers are busy, more workers are requested than fit
        now, so that a cluster without workers grows, too.
        """
        now = self.watch.view.workers
        if self.watch.is_own:
            return now
        return 0 if self.upcoming is None or self.idle else now + max(1, now // 4)

    def must_end(self) -> bool:
        """Whether nothing is left to do; otherwise looks for the next job, unless one is waiting to be taken."""
        self.watch.check()
        with self._guard():
            self.work.workers = max(1, self.watch.view.workers)
            self._understand()
            while self.error is None and self.upcoming is None and (job := self.work.next()) is not None:
                self.upcoming = self.attempts.begin(job)
                if self.upcoming is None:
                    self.after()
            if self.error is None and self.upcoming is None and not (self.running or self.lost or self.work.awaits()):
                assert self.work.finished(), "nothing is running, nothing is ready, and the work is not finished"
                self.over = True
        self.over = self.over or self.error is not None
        return self.over

    # What workers do

    def reported(self, worker: str, report: Report, give: Callable[[str | None, str], None]) -> bool:
        """Whether a worker that reports is still needed; `give` hands it a job, or None, for its next step."""
        self.starting.discard(worker)
        self.stillborn = 0
        if worker in self.running:
            if self._continues(worker, report):
                return True
            give(None, "")  # it may be at a rung
        idle = time.monotonic() - self.idle.setdefault(worker, time.monotonic())
        if self.must_end():
            return False
        job, self.upcoming = self.upcoming, None
        if job is None:
            return self.watch.is_own or idle <= LET_GO_SECONDS
        del self.idle[worker]
        running = self.running[worker] = Running(job, self.attempts.mark(job))
        give(job.dump(), running.mark.name)
        return True

    def _continues(self, worker: str, report: Report) -> bool:
        """Handles a worker's report on its job; returns whether the worker continues with that job."""
        job, continues = self.running[worker].job, False
        with self._guard():
            self.work.worked(job, report.worked)
            if report.fatal is not None:
                raise StudyError(report.fatal)
            if report.rung is not None:
                continues = self.error is None and self.work.continues(job, report.rung)
            else:
                self.attempts.ended(job, report.failure)
            if not continues:
                self.after()
        if not continues:
            del self.running[worker]
        return continues

    def left(self, worker: str) -> None:
        """A worker has ended, with its jobs done; one that died with a job: see `died`."""
        self.starting.discard(worker)
        self.idle.pop(worker, None)

    # Jobs whose worker died

    def died(self, worker: str, error: BaseException | None) -> None:
        """Records that a worker died. Raises nothing; workers that cannot start end the search."""
        running = self.running.pop(worker, None)
        self.stillborn += worker in self.starting
        cannot = isinstance(error, RayActorError) and error.actor_init_failed
        with self._guard():
            way = "fix the cause, then run the same command again"
            if isinstance(error, RayTaskError):
                raise StudyError(f"a worker failed: {_last_line(error)}; {way}")
            if cannot or self.stillborn >= MOST_STILLBORN:
                raise StudyError(f"a worker failed to start: {_last_line(error)}; {way}")
        if running is not None:
            self.lost.append(Lost(running, error, time.monotonic()))

    def _understand(self) -> None:
        """Reports each job whose worker died, once the cause is known."""
        for lost in list(self.lost):
            job = lost.running.job
            if self.work.store.has(*job.address()):  # the worker died after it had stored the result
                lost.running.mark.path.unlink(missing_ok=True)
                self.attempts.ended(job, None)
            elif (death := self._death(lost)) is not None:
                self.attempts.died(job, death)
            else:
                continue
            self.lost.remove(lost)
            self.after()

    def _death(self, lost: Lost) -> Death | None:
        """Why a worker died; None while Ray may still report that its node died."""
        mark = lost.running.mark
        process, death = mark.process(), mark.death()
        if isinstance(lost.error, RanOut):
            return Death(cause="memory", words=_first_sentences(lost.error), path=mark.path)
        if death.cause != "gone":
            return death
        gone = isinstance(lost.error, RayActorError) and lost.error.preempted
        gone = gone or (process is not None and process.node in self.watch.view.dead)
        if gone or self.watch.is_own or time.monotonic() - lost.at > DOUBT_SECONDS:
            mark.path.unlink(missing_ok=True)
            return death
        return None

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Keeps an exception until Tune has ended, because Tune would swallow or wrap it."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error


def _last_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [""])[-1]


def _first_sentences(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
