"""Stages that are requested directly, by a confirmation or a comparison of chains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...data import Splits
from ...distill import Job, Rung
from ...models.sizes import sizes
from ...spec import Spec, Stage
from ...store import Store
from .arrivals import Arrivals
from .caches import check_limit, wanted_bytes
from .jobs import Address, Jobs, chain_of, outputs_of

More = Callable[[], Sequence[Stage]]


class Plan:
    """Work for a runner: it ends when all `stages` are stored or have failed, and `more` wants nothing else.

    `more` is called whenever nothing is left to do. `failures` gives the reasons by key; stages that learn from a failed
    network are not tried. Raises UsageError as `check_caches` does, before any of the `stages` is trained.
    """

    def __init__(self, spec: Spec, store: Store, splits: Splits, stages: Sequence[Stage], more: More | None = None) -> None:
        self.spec, self.store, self.splits, self.workers = spec, store, splits, 1
        self.failures: dict[str, str] = {}
        self.trained: list[str] = []
        self._more = more or (lambda: [])
        self._done: set[Address] = set()
        self._arrivals = Arrivals(store, time.monotonic)
        self._wanted: dict[str, Stage] = {}
        self._open: dict[str, Stage] = {}
        """The wanted stages that have not been given up."""
        self._jobs = Jobs(self._is_done, self._work)
        self.check_caches(stages)
        self._want(stages)

    def check_caches(self, stages: Sequence[Stage]) -> None:
        """Raises UsageError if the logits that these stages learn from take more than resources.cache_limit."""
        found = wanted_bytes(stages, self.store, self.splits.classes, self.splits.rows)
        check_limit(self.spec, found, "fewer --seeds")

    def begin(self) -> None:
        """Calls `more` if nothing is wanted yet or everything wanted is stored."""
        if self._jobs.all_done():
            self._want(self._more())

    def total(self) -> int:
        """How many stages are wanted so far."""
        return len(self._wanted)

    def left(self) -> int:
        """How many of them are neither stored nor given up."""
        return sum(not self._is_done(Job(network=one)) for one in self._open.values())

    def has_failed(self, stage: Stage) -> bool:
        """Whether it, or what it learns from, could not be trained."""
        return any(network.key() in self.failures for network in chain_of(stage))

    def next(self) -> Job | None:
        for arrived in self._arrivals.seen():
            self._arrived(arrived)
        while True:
            job = self._jobs.pop()
            if job is None:
                return None
            if not self._is_done(job):
                return job
            self._jobs.ended(job, done=True)  # another process filled a shared store

    def continues(self, job: Job, rung: Rung) -> bool:
        return True

    def worked(self, job: Job, seconds: float) -> None:
        pass

    def done(self, job: Job, failure: str | None = None) -> None:
        if self._is_done(job):
            self._arrived(job)
        elif failure is None:
            self._arrivals.wait_for(job)
        else:
            self._fail(job, failure)
            self.begin()

    def lost(self, job: Job, cause: str) -> None:
        self._jobs.ended(job, done=False)

    def awaits(self) -> bool:
        """Whether the result of a finished job is not visible yet."""
        return bool(self._arrivals)

    def finished(self) -> bool:
        return self._jobs.all_done()

    def _want(self, stages: Sequence[Stage]) -> None:
        new = [stage for stage in stages if stage.key() not in self._wanted and not self.has_failed(stage)]
        for stage in new:
            if stage.key() not in self._wanted:
                self._wanted[stage.key()] = self._open[stage.key()] = stage
                self._jobs.want(stage)
        self._jobs.longest_first()

    def _arrived(self, job: Job) -> None:
        self._jobs.ended(job, done=True)
        self.trained += [job.network.key()] if job.trains else []
        self.begin()

    def _fail(self, job: Job, reason: str) -> None:
        self._jobs.ended(job, done=False)
        for key in self._lost(job):
            self.failures[key] = reason
        for key, stage in list(self._open.items()):
            if self.has_failed(stage):
                self._jobs.drop(self._open.pop(key))

    def _lost(self, job: Job) -> set[str]:
        """The keys of networks that cannot be trained without this job: its own, or those that need a teacher's logits."""
        if job.trains:
            return {job.network.key()}
        networks = {network.key(): network for stage in self._open.values() for network in chain_of(stage)}
        return {key for key, one in networks.items() if job.address() in [needed.address() for needed in outputs_of(one)]}

    def _is_done(self, job: Job) -> bool:
        if job.address() not in self._done and self.store.has(*job.address()):
            self._done.add(job.address())
        return job.address() in self._done

    def _work(self, job: Job) -> float:
        """Multiply-adds a sample, times epochs: enough to tell what takes longest."""
        if not isinstance(job.network, Stage) or not job.trains:
            return 0.0
        return float(job.network.recipe.epochs * sizes(job.network.architecture, self.splits.shape, self.splits.classes).macs)
