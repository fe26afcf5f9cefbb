"""One process, one job after the other: for a debugger, and what every other runner is compared with."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ..distill import Rung
from ..distill.jobs import Job, attempt
from ..study.schedule import Study


class Serial:
    def sees_cuda(self) -> bool:
        import torch

        return torch.cuda.is_available()

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def run(self, study: Study, after: Callable[[], None]) -> None:
        resources = study.spec.resources
        while (job := study.next()) is not None:
            self._do(study, job, attempt(job, study.store, cuda=bool(resources.gpus), threads=resources.threads))
            after()

    def _do(self, study: Study, job: Job, work: Generator[Rung, None, str | None]) -> None:
        """Trains from rung to rung, as long as the study lets it."""
        try:
            while study.goes_on(job, next(work)):
                pass
        except StopIteration as end:
            study.done(job, end.value)
        finally:
            work.close()
