"""One process, one job after the other: for a debugger, and what every other runner is compared with."""

from __future__ import annotations

from collections.abc import Callable

from ..distill.jobs import attempt
from ..study.schedule import Study


class Serial:
    def sees_cuda(self) -> bool:
        import torch

        return torch.cuda.is_available()

    def run(self, study: Study, after: Callable[[], None]) -> None:
        resources = study.spec.resources
        while (job := study.next()) is not None:
            failure = attempt(job, study.store, cuda=bool(resources.gpus), threads=resources.threads)
            study.done(job, failure)
            after()
