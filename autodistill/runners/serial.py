"""One process, one job after another: for a debugger, and the reference for every other runner."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from ..distill.jobs import Job, attempt
from ..spec import OutOfMemory
from . import Work, cores
from .attempts import Attempts
from .marks import Process

WAIT_SECONDS = 0.1


class Serial:
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
                failure = end.value
        reason = None if failure is None else str(failure)
        attempts.ended(job, reason, short_of=failure.of if isinstance(failure, OutOfMemory) else None)
