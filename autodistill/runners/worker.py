"""What a Ray worker runs: one job after another, as the driver hands them out."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.execution.class_cache import DEFAULT_ENV_VARS

from ..distill import Job, Rung, attempt
from ..spec import AutodistillError, StageFailed
from ..store import Store
from .attempts import Failure
from .machine import Process, room
from .marks import Mark

# An actor is given one of the processes that Ray started in advance only if it asks for no environment of its own; Tune asks
# for one on behalf of a library that is not used here.
DEFAULT_ENV_VARS.clear()
REPORT = "report"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a worker says after a step; `worked` is how many seconds of it went into its job.

    The job is at a `rung`; without one, it has ended, with a `failure` if it failed; `fatal` is why the search cannot
    continue. It is the only value in the dict that Tune wants from a step.
    """

    worked: float = 0.0
    rung: Rung | None = None
    failure: Failure | None = None
    fatal: str | None = None


class Worker(tune.Trainable):  # type: ignore[misc]
    """Does many jobs, because a new process for each would import torch again."""

    def setup(self, config: dict[str, Any]) -> None:
        sys.path[:] = list(dict.fromkeys([*config["path"], *sys.path]))
        with contextlib.suppress(OSError):  # another machine may not have it
            os.chdir(config["folder"])
        self.store = Store(config["store"])
        self.process = Process.own(ray.get_runtime_context().get_node_id())
        self.given: tuple[str | None, str] | None = None
        self.waited = 0.0
        self.work: Generator[Rung, None, StageFailed | None] | None = None

    def take(self, job: str | None, mark: str) -> None:
        """Called between two steps: ends the current job and sets the next one, or None. Nobody checks whether this raised."""
        self.given = job, mark

    def step(self) -> dict[str, Report]:
        """Runs the current job until it reports or ends."""
        if self.given is not None:
            self.cleanup()
            (job, mark), self.given = self.given, None
            self.work = None if job is None else self._attempt(Job.load(job), mark)
        if self.work is None:
            time.sleep(self.config["idle_seconds"])
            return {REPORT: Report()}
        started, self.waited = time.perf_counter(), 0.0
        report = _advanced(self.work)
        if report.rung is None:
            self.work = None
        return {REPORT: replace(report, worked=time.perf_counter() - started - self.waited)}

    def _attempt(self, job: Job, mark: str) -> Generator[Rung, None, StageFailed | None]:
        """First writes the mark that stays if the process dies; then waits until the job may run next to the others here."""
        cuda, threads = self.config["cuda"], self.config["threads"]
        with Mark(self.store.root, job.address()[1], mark).held(self.process, errors=True):
            waiting = time.perf_counter()
            with room(alone=job.alone):
                self.waited = time.perf_counter() - waiting
                failure = yield from attempt(job, self.store, cuda=cuda, threads=threads)
                if failure is not None and cuda:
                    _end_without_cuda(failure)
                return failure

    def cleanup(self) -> None:
        """Ends a job that was stopped at a rung."""
        if self.work is not None:
            self.work.close()
        self.work = None


def _advanced(work: Generator[Rung, None, StageFailed | None]) -> Report:
    try:
        return Report(rung=next(work))
    except StopIteration as end:
        return Report(failure=Failure.of(end.value))
    except AutodistillError as error:
        return Report(fatal=str(error))


def _end_without_cuda(failure: StageFailed) -> None:
    """Ends this process, like a crash of its job, if CUDA fails for good, for example after an illegal memory access."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        print(failure, file=sys.stderr, flush=True)
        os.abort()
