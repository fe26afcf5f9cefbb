"""Attempts at jobs: whether and how a job restarts after its process died, and the runner that does all jobs in this process.

One policy for all runners; the cause of the death decides.

crash    native code crashed: one restart in safe mode, without optimized kernels (see `distill.layout`); then it fails
memory   it ran out of memory, or the OOM killer killed it: one restart with no other job beside it; then it fails
gone     its node failed or another process killed it, so the stage is not the cause: at most three restarts
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

from ..distill import Job, attempt
from ..spec import OutOfMemory, StageFailed
from . import Work, marks
from .machine import Process, cores
from .marks import Cause, Death, Mark

WAIT_SECONDS = 0.1
MOST: dict[Cause, int] = {"crash": 1, "memory": 1, "gone": 3}
"""The most restarts of a job for each cause."""
AGAIN: dict[Cause, str] = {
    "crash": "its process crashed twice, the second time in safe mode (no oneDNN, no cuDNN)",
    "memory": "it ran out of memory twice, the second time while no other job ran",
    "gone": f"its worker process or its node died {MOST['gone'] + 1} times",
}


class Failure(NamedTuple):
    """Why a job failed although its process survived; `short_of` says what it lacked and may have if it runs alone."""

    reason: str
    short_of: Literal["memory", "GPU memory"] | None

    @classmethod
    def of(cls, error: StageFailed | None) -> Failure | None:
        return None if error is None else cls(str(error), error.of if isinstance(error, OutOfMemory) else None)


class Attempts:
    """Reports the outcome of each job to the work. Learns why earlier processes died from the log files they left (marks)."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._deaths: dict[str, list[Death]] = {}

    def begin(self, job: Job) -> Job | None:
        """The job to start, in safe mode or alone if it died before; None if it has failed by now."""
        deaths = self._known(job)
        reason = _given_up(deaths)
        if reason is not None:
            self.work.done(job, reason)
            return None
        causes = {death.cause for death in deaths}
        return replace(job, safe="crash" in causes, alone="memory" in causes)

    def mark(self, job: Job) -> Mark:
        return Mark(self.work.store.root, job.address()[1], secrets.token_hex(8))

    def ended(self, job: Job, failure: Failure | None) -> None:
        """Handles a job whose process survived; without a failure, the job succeeded."""
        gpus = self.work.spec.resources.gpus
        whole = bool(gpus) and float(gpus) >= 1
        if failure is None:
            marks.forget(self.work.store.root, job.address()[1])
            self.work.done(job, None)
        elif failure.short_of == "memory" or (failure.short_of == "GPU memory" and not whole):
            self.died(job, Death(cause="memory", words=failure.reason, path=self.mark(job).path))
        else:
            self.work.done(job, failure.reason)

    def died(self, job: Job, death: Death) -> None:
        """Handles the death of a job's process: the job is ready again, or fails."""
        deaths = self._known(job)
        deaths.append(death)
        reason = _given_up(deaths)
        if reason is None:
            self.work.lost(job, death.cause)
        else:
            self.work.done(job, reason)

    def _known(self, job: Job) -> list[Death]:
        key = job.address()[1]
        if key not in self._deaths:
            self._deaths[key] = marks.left_behind(self.work.store.root, key)
        return self._deaths[key]


def _given_up(deaths: list[Death]) -> str | None:
    """Why a job with these deaths has failed; None if it restarts."""
    counts = Counter(death.cause for death in deaths)
    over = next((death for death in reversed(deaths) if counts[death.cause] > MOST[death.cause]), None)
    if over is None:
        return None
    rest = f"; full log: {over.path} (delete it to train the stage again)" if over.path.exists() else ""
    return f"{AGAIN[over.cause]} ({over.words}){rest}"


class Serial:
    """One process, one job after another: for a debugger, and the reference for every other runner."""

    def sees_cuda(self) -> bool:
        import torch

        return torch.cuda.is_available()

    def cpus(self) -> float:
        return cores()

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def run(self, work: Work, after: Callable[[], None], say: Callable[[str], None]) -> None:
        attempts = Attempts(work)
        while (job := work.next()) is not None or work.awaits():
            if job is None:
                time.sleep(WAIT_SECONDS)
            elif (begun := attempts.begin(job)) is not None:
                self._do(work, begun, attempts)
            after()

    def _do(self, work: Work, job: Job, attempts: Attempts) -> None:
        """Trains from rung to rung as long as the work allows it. If this process dies, its mark tells the next one why."""
        resources = work.spec.resources
        training = attempt(job, work.store, cuda=bool(resources.gpus), threads=resources.threads)
        with attempts.mark(job).held(Process.own(), errors=False), contextlib.closing(training):
            try:
                while work.continues(job, next(training)):
                    pass
                return
            except StopIteration as end:
                failure = Failure.of(end.value)
        attempts.ended(job, failure)
