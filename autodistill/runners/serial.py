"""One process, one job after the other: for a debugger, and what every other runner is compared with."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ..distill import Rung
from ..distill.jobs import Job, attempt
from . import Work, cores


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

    def run(self, work: Work, after: Callable[[], None]) -> None:
        resources = work.spec.resources
        while (job := work.next()) is not None:
            self._do(work, job, attempt(job, work.store, cuda=bool(resources.gpus), threads=resources.threads))
            after()

    def _do(self, work: Work, job: Job, training: Generator[Rung, None, str | None]) -> None:
        """Trains from rung to rung, as long as the work lets it."""
        try:
            while work.goes_on(job, next(training)):
                pass
        except StopIteration as end:
            work.done(job, end.value)
        finally:
            training.close()
