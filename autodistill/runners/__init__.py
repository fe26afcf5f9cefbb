"""Runners do the jobs of a study; the result of every job is in the store.

Serial      one process, for a debugger
RayTune     workers of a local Ray or of a cluster
Replay      no training: it looks up the results of trainings, on a simulated clock
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..spec import Spec, UsageError
from ..store import Store
from .machine import cores

if TYPE_CHECKING:
    from ..distill import Job, Rung
    from .marks import Cause


__all__ = ["Runner", "Work", "check_cpus", "cores", "parallel", "runner_of"]


class Work(Protocol):
    """What to do, job by job: a search, or a plan. The runner sets `workers`."""

    spec: Spec
    store: Store
    workers: int

    def next(self) -> Job | None:
        """A job that can start now, or None."""
        ...

    def continues(self, job: Job, rung: Rung) -> bool:
        """Whether a training that reports continues."""
        ...

    def worked(self, job: Job, seconds: float) -> None:
        """Tells how long a worker has worked on a job since the last report."""
        ...

    def done(self, job: Job, failure: str | None = None) -> None:
        """A job has ended; `failure` is the reason why its result is not in the store."""
        ...

    def lost(self, job: Job, cause: Cause) -> None:
        """The job's worker died, or the job must restart in another mode. It is ready again; its stage has not failed."""
        ...

    def awaits(self) -> bool:
        """Whether the result of a finished job is not visible in the store yet."""
        ...

    def finished(self) -> bool: ...


class Runner(Protocol):
    def sees_cuda(self) -> bool:
        """Whether workers have CUDA: decides what `auto` means in a spec."""
        ...

    def cpus(self) -> float:
        """The CPUs of the largest machine that runs jobs."""
        ...

    def begin(self) -> None:
        """Starts, only once, what takes long to start, without waiting for it. `end` ends it."""
        ...

    def end(self) -> None:
        """Ends what `begin` started."""
        ...

    def run(self, work: Work, after: Callable[[], None], say: Callable[[str], None]) -> None:
        """Runs jobs until the work is finished; calls `after` when a job has ended, and `say` with messages for the user.

        Raises StudyError or StoreError if no job can continue.
        """
        ...


def runner_of(runner: Runner | str, address: str | None = None, say: Callable[[str], None] | None = None) -> Runner:
    """The runner of that name, or the one given. `say` gets its messages before it runs. Raises UsageError."""
    if runner == "ray":
        logging.getLogger("ray.widgets").setLevel(logging.ERROR)  # in a notebook, importing Ray asks for packages of widgets
        from .cluster import RayTune

        return RayTune(address, say)
    if address is not None:
        raise UsageError(f"--address {address} applies only to --runner ray; remove it, or use --runner ray")
    if runner == "serial":
        from .attempts import Serial

        return Serial()
    if isinstance(runner, str):
        raise UsageError(f"runner {runner!r} is unknown; use 'ray' or 'serial'")
    return runner


def check_cpus(spec: Spec, most: float) -> None:
    """Raises UsageError if one trial needs more CPUs than `most`, those of the largest machine."""
    asked = spec.resources.cpus
    if asked > most:
        raise UsageError(f"resources.cpus: {asked:g} is more than any machine has; use {most:g} or less")


def parallel(spec: Spec) -> int:
    """How many trials run at a time on this machine."""
    return max(1, int(cores() / spec.resources.cpus))
