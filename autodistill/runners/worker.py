"""What a Ray worker runs: one job after another, as the driver hands them out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.execution.class_cache import DEFAULT_ENV_VARS

from ..distill import Rung
from ..distill.jobs import Job, attempt
from ..spec import AutodistillError, OutOfMemory, StageFailed
from ..store import Store
from .marks import Mark, Process
from .room import room

# An actor is given one of the processes that Ray started in advance only if it asks for no environment of its own; Tune asks
# for one on behalf of a library that is not used here.
DEFAULT_ENV_VARS.clear()


class Worker(tune.Trainable):  # type: ignore[misc]
    """Does many jobs, because a new process for each would import torch again."""

    def setup(self, config: dict[str, Any]) -> None:
        sys.path[:] = list(dict.fromkeys([*config["path"], *sys.path]))
        self.store = Store(config["store"])
        self.process = Process.own(ray.get_runtime_context().get_node_id())
        self.given: tuple[str | None, str] | None = None
        self.waited = 0.0
        self.work: Generator[Rung, None, StageFailed | None] | None = None

    def take(self, job: str | None, mark: str) -> None:
        """Called between two steps: ends the current job and sets the next one, or None. Nobody checks whether this raised."""
        self.given = job, mark

    def step(self) -> dict[str, Any]:
        """Runs the current job until it reports or ends."""
        if self.given is not None:
            self.cleanup()
            (job, mark), self.given = self.given, None
            self.work = None if job is None else self._attempt(Job.load(job), mark)
        if self.work is None:
            time.sleep(self.config["idle_seconds"])
            return {"worked": 0.0}
        started, self.waited = time.perf_counter(), 0.0
        found: dict[str, Any]
        try:
            found = {"rung": list(next(self.work))}
        except StopIteration as end:
            failure = end.value
            reason = None if failure is None else str(failure)
            found = {"failure": reason, "short_of": failure.of if isinstance(failure, OutOfMemory) else None}
        except AutodistillError as error:
            found = {"fatal": str(error)}
        if "rung" not in found:
            self.work = None
        return found | {"worked": time.perf_counter() - started - self.waited}

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


def _end_without_cuda(failure: StageFailed) -> None:
    """Ends this process, like a crash of its job, if CUDA fails for good, for example after an illegal memory access."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        print(failure, file=sys.stderr, flush=True)
        os.abort()
