"""Stages that are requested directly, by a confirmation or a comparison of chains: the same student, trained differently."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from ...data import Splits
from ...distill import Job, Rung
from ...models.sizes import sizes
from ...spec import LossSpec, Network, Spec, Stage, UsageError
from ...spec.stage import canonical, pretrained
from ...store import Store
from ..record.rows import Stages, own_of
from .jobs import Jobs, Results, chain_of, outputs_of

FRESH = 10_000
"""The offset of the first fresh seed. Comparisons of chains use other seeds, so a choice is confirmed with new ones."""
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
        self._results = Results(store, time.monotonic)
        self.awaits = self._results.awaits
        self._wanted: dict[str, Stage] = {}
        self._open: dict[str, Stage] = {}
        """The wanted stages that have not been given up."""
        self._jobs = Jobs(self._results.has, self._work)
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
        return sum(not self._results.has(Job(network=one)) for one in self._open.values())

    def has_failed(self, stage: Stage) -> bool:
        """Whether it, or what it learns from, could not be trained."""
        return any(network.key() in self.failures for network in chain_of(stage))

    def next(self) -> Job | None:
        for arrived in self._results.arrived():
            self._arrived(arrived)
        while True:
            job = self._jobs.pop()
            if job is None:
                return None
            if not self._results.has(job):
                return replace(job, own=own_of(self.spec))
            self._jobs.ended(job, done=True)  # another process filled a shared store

    def continues(self, job: Job, rung: Rung) -> bool:
        return True

    def worked(self, job: Job, seconds: float) -> None:
        pass

    def done(self, job: Job, failure: str | None = None) -> None:
        if self._results.has(job):
            self._arrived(job)
        elif failure is None:
            self._results.wait_for(job)
        else:
            self._fail(job, failure)
            self.begin()

    def lost(self, job: Job, cause: str) -> None:
        self._jobs.ended(job, done=False)

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

    def _work(self, job: Job) -> float:
        """Multiply-adds a sample, times epochs: enough to tell what takes longest."""
        if not isinstance(job.network, Stage) or not job.trains:
            return 0.0
        return float(job.network.recipe.epochs * sizes(job.network.architecture, self.splits.inputs, self.splits.classes).macs)


# The disk space of cached teacher logits


def bytes_a_sample(views: int | None, dtype: str, top: int | None, classes: int) -> int:
    """Bytes of one teacher's logits for one sample: all, or the `top` ones with their classes and the remainder."""
    digits, top = 2 if dtype == "float16" else 4, top or classes
    return (views or 1) * (top * (digits + 4) + digits if top < classes else classes * digits)


def wanted_bytes(stages: Iterable[Stage], store: Store, classes: int, rows: int) -> int:
    """Bytes of all logits that these stages, and the assistants above them, still need; shared ones count once."""
    chains = {network.key(): network for stage in stages if not _is_in(store, stage) for network in chain_of(stage)}
    networks = {key: network for key, network in chains.items() if not _is_in(store, network)}
    cache = {job.address(): job.cache for network in networks.values() for job in outputs_of(network)}
    return rows * sum(bytes_a_sample(one.views, one.dtype, one.top, classes) for one in cache.values() if one is not None)


def _is_in(store: Store, network: Network) -> bool:
    return store.has("stages", network.key())


def check_limit(spec: Spec, found: int, ways_out: str) -> None:
    """Raises UsageError if `found` bytes are above resources.cache_limit."""
    limit = spec.resources.cache_limit
    if found > limit:
        raise UsageError(
            f"resources.cache_limit: cached teacher logits can take {found:,} bytes, above the limit of {limit:,}; "
            f"raise it, or use {ways_out}"
        )


# The same student, trained differently


def with_seed(stage: Stage, seed: int, fixed: Collection[str]) -> Stage:
    """The same training with another seed, its assistants' too; networks whose keys are `fixed` stay."""
    if stage.key() in fixed:
        return stage
    above = [with_seed(one, seed, fixed) if isinstance(one, Stage) else one for one in stage.teachers]
    init = with_seed(stage.init, seed, fixed) if isinstance(stage.init, Stage) else stage.init
    return stage.model_copy(update={"seed": seed, "teachers": tuple(above), "init": init})


def direct_of(stage: Stage, teachers: Sequence[Network]) -> Stage:
    """The same student with only these teachers. Initial weights that came from a teacher come from its replacement."""
    places = [teacher.key() for teacher in stage.teachers]
    takes = stage.init is not None and stage.init.key() in places and len(places) == len(teachers)
    init = teachers[places.index(stage.init.key())] if stage.init is not None and takes else stage.init
    return canonical(stage.model_copy(update={"teachers": tuple(teachers), "init": init}))


def longer(stage: Stage, epochs: int, loss: LossSpec | None = None) -> Stage:
    recipe = stage.recipe.model_copy(update={"epochs": epochs})
    return canonical(stage.model_copy(update={"recipe": recipe, "loss": loss or stage.loss}))


def whole_time(stage: Stage, stages: Stages, fixed: Collection[str]) -> int:
    """Epochs of the student that take as long as its whole chain below the teachers took to train, without its first phase."""
    above = [one for one in stage.ancestors() if one.key() not in fixed and one != pretrained(stage)]
    own = max(stages.measured(stage.key()).seconds, 1e-9)
    spent = own + sum(stages.measured(one.key()).seconds for one in above)
    return max(stage.recipe.epochs, int(round(stage.recipe.epochs * spent / own)))
