"""What to do next: the stage is the unit of work, so no worker waits for an assistant to be trained."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...distill import Job, Rung
from ...spec import Spec, Stage, StudyError, UsageError, describe, label_only
from ...store import Store
from ..record.failures import refuse_ignorant, refuse_many
from ..record.record import Record
from ..record.region import Region, edges, region_of
from ..record.rows import Stages, TrialRow, frontier, network_of, rows
from ..sampling.first import defaults
from ..sampling.proposals import Proposals
from ..space import Space
from .arrivals import Arrivals
from .ends import Ends
from .jobs import Address, Jobs
from .rungs import Rungs
from .spent import Kind, Spent
from .times import Times, Work, work_of
from .trials import Trials

if TYPE_CHECKING:
    import pandas

TRIES = 3
SEEN = 100
"""How many stages of earlier runs are used to estimate how long trainings take."""


class Study:
    """The driver's view of a search: asks for students, hands out ready jobs, records their results.

    `clock` gives seconds; a simulated runner has its own.
    """

    def __init__(self, spec: Spec, space: Space, store: Store, record: Record, *, chance: float) -> None:
        self.spec, self.space, self.store, self.record, self.chance = spec, space, store, record, chance
        self.teachers = {teacher.key(): teacher for teacher in space.teachers}
        self.workers = 1
        self.clock: Callable[[], float] = time.monotonic
        self.trained: list[str] = []
        self.ended: str | None = None
        self.ends: float | None = None
        """The time, by the clock, at which the search will be ended, if any."""
        self._spent = Spent(lambda: self.clock())
        self._share = [0.0, 0]
        """The share of their full length that students were trained in this run: the sum of shares, and how many."""
        self._times = Times()
        self._done: set[Address] = set()
        self._arrivals = Arrivals(store, lambda: self.clock())
        self.again: Counter[str] = Counter()
        """How often jobs were restarted in this run, by cause. Restarts do not count as failures."""
        self._tries: dict[Address, int] = {}
        self._others: dict[str, Stage] = {}
        """Stages wanted by no open trial: lost ones, and baselines."""
        self._baselines: dict[str, Stage] | None = None
        self.stages, self.jobs = Stages(store), Jobs(self._is_done, self.seconds)
        self.rungs = Rungs(spec.search, lambda: self.region)
        self.proposals = Proposals(spec.search, space, record.trials, region=lambda: self.region)
        self.trials = Trials(record, self.proposals, space, stages=self.stages, jobs=self.jobs, rungs=self.rungs)
        self._began: float | None = None
        self._ends = Ends(spec.search, space, record, self.elapsed)
        self._absent = {key for key, teacher in self.teachers.items() if not self._is_done(Job(network=teacher))}
        self._begin()

    def _begin(self) -> None:
        self.ended = self._ends.known() or self.trials.repeats_only()
        self._told_before = self.trials.counted_done
        for key, teacher in self.teachers.items():
            if key in self._absent:
                self.jobs.want(teacher, first=True)
            else:
                refuse_ignorant(self.stages, teacher, self.chance)
        self._want_lost()
        self._look_back()
        self.trials.begin()

    @cached_property
    def region(self) -> Region:
        """Known once the first teacher is stored."""
        incumbent = self.record.facts().get("incumbent")
        return region_of(
            self.spec.search,
            chance=self.chance,
            teacher=self.stages.measured(self.space.teachers[0].key()),
            incumbent=self.stages.measured(incumbent) if incumbent and self.stages.has(incumbent) else None,
        )

    # What the runner calls

    def next(self) -> Job | None:
        """A job whose requirements are met, or None when there is none now."""
        if self._began is None:
            self._began = self.clock()
        with self._controls():
            for arrived in self._arrivals.seen():
                self._arrived(arrived)
            job = self._next()
            if job is not None:
                self._spent.begin(job, self._kind(job))
        return job

    def _next(self) -> Job | None:
        while True:
            if self.workers > 1 and self._asked_all():
                self.jobs.longest_first()
            job = self.jobs.pop(only_first=bool(self._absent))
            if job is not None and not self._is_done(job):
                return self._with_rungs(job)
            if job is not None:  # another study filled a shared store
                self._finish(job)
            elif self._may_ask():
                self._ask()
            elif not self._wants_baselines():
                return None

    def _with_rungs(self, job: Job) -> Job:
        """Students report at rungs; networks that others learn from are never stopped."""
        if not self.jobs.is_student(job) or not self.trials.open_of(job.network.key()):
            return job
        assert isinstance(job.network, Stage)
        return replace(job, rungs=self.spec.search.rungs(job.network.recipe.epochs))

    def continues(self, job: Job, rung: Rung) -> bool:
        """Records a training's result at a rung and decides whether it continues. If not, its trials are ended."""
        with self._controls():
            if self._is_done(job):  # another study stored it meanwhile
                return True
            assert isinstance(job.network, Stage)
            key, of = job.network.key(), job.network.recipe.epochs
            self._saw(job, rung.epochs, rung.seconds)
            continues = self.rungs.continues(key, self.trials.of(key)[-1].facts, of, rung.epochs, rung.accuracy)
            if continues or self.jobs.unblocks(job):
                return True
            self._spent.end(job)
            self._note_share(job, rung.epochs)
            self.jobs.ended(job, done=False)
            self.trials.stopped(key, rung.seconds)
        return False

    def worked(self, job: Job, seconds: float) -> None:
        """Records how long a worker worked on a job since its last report; without reports, all time since handout counts."""
        self._spent.worked(job, seconds)

    def done(self, job: Job, failure: str | None = None) -> None:
        """Records the end of a job; `failure` is the reason why its result is not in the store."""
        with self._controls():
            self._spent.end(job)
            if failure is not None and not self._is_done(job):  # a worker may die after it stored the result
                self._fail(job, failure)
                return
            if self._is_done(job):
                self._arrived(job)
            else:
                self._arrivals.wait_for(job)

    def lost(self, job: Job, cause: str) -> None:
        """The job's worker died, or the job must restart in another mode: it is ready again."""
        with self._controls():
            self._spent.end(job)
            self.again[cause] += 1
            self.jobs.ended(job, done=False)

    def awaits(self) -> bool:
        """Whether the result of a finished job is not visible in the store yet."""
        return bool(self._arrivals)

    def finished(self) -> bool:
        return self._all_told() and not self._wants_baselines() and self.jobs.all_done()

    def retry_failed(self) -> int:
        """Retries every failed trial and every failed baseline; returns how many there were."""
        found = self.trials.retry_failed()
        self._want_lost()
        return found

    @contextmanager
    def _controls(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent.controller += time.perf_counter() - started

    # The ends of jobs

    def _finish(self, job: Job) -> None:
        self.jobs.ended(job, done=True)
        if not job.trains:
            return
        key = job.network.key()
        self._saw(job, None, self.stages.measured(key).seconds)
        if key in self.teachers:
            self._absent.discard(key)
            refuse_ignorant(self.stages, job.network, self.chance)
        self.trials.stored(job.network)

    def _fail(self, job: Job, reason: str) -> None:
        """The logits of a trained network are computed again; if a teacher fails, the search fails."""
        address, network = job.address(), job.network
        self._tries[address] = self._tries.get(address, 0) + 1
        self.jobs.ended(job, done=False)
        if not job.trains and self._tries[address] < TRIES:
            return
        if network.key() in self.teachers:
            raise StudyError(f"the teacher {describe(network.architecture)} failed: {reason}")
        before = self.trials.counted_failed
        self.trials.failed(network, reason)
        for key, stage in list(self._others.items()):
            if self.trials.is_doomed(stage):
                self.jobs.drop(self._others.pop(key))
        if self.trials.counted_failed > before:
            refuse_many(self.spec.search, self.trials.counted_failed, self.trials.counted_done, self.rows)

    def _arrived(self, job: Job) -> None:
        if job.trains:
            self.trained.append(job.network.key())
            self._note_share(job, None)
        self._finish(job)

    def _is_done(self, job: Job) -> bool:
        address = job.address()
        if address not in self._done and self.store.has(*address):
            self._done.add(address)
        return address in self._done

    # Trials

    def elapsed(self) -> float:
        """Seconds of searching, those of earlier runs included."""
        return self._ends.before + (0.0 if self._began is None else self.clock() - self._began)

    def _asked_all(self) -> bool:
        return self.ended is not None or self.trials.counted >= self.spec.search.most()

    def _all_told(self) -> bool:
        return self._asked_all() and not self._absent and not self.trials.open

    def _may_ask(self) -> bool:
        if self._absent or not self._has_room() or self._asked_all():
            return False
        self.ended = self._ends.over(self.trials.counted_done, self.workers, self.region)
        return self.ended is None

    def _has_room(self) -> bool:
        """Whether another trial may be open: one for each worker, and more while workers wait for an assistant's training.

        Workers wait for logits, which take less time: a trial proposed before the first results are known is wasted.
        """
        count = len(self.trials.open)
        return count < self.workers or (count < self.workers + len(self.space.ladder) and self.jobs.train_for_others())

    def _ask(self) -> None:
        if "edges" not in self.record.facts():
            self._aim()
        try:
            self.trials.ask()
            self.ended = self.trials.repeats_only()
        except UsageError:
            if not self.space.closed:
                raise
            self.ended = "no student is left to propose: the assistants need ladder sizes that failed"

    def _aim(self) -> None:
        """Queues default students of the sizes at which students are predicted to reach the region."""
        teacher = self.stages.measured(self.space.teachers[0].key())
        sizes = None if self.region.everything else edges(self.region, teacher)
        self.record.note("edges", defaults(self.space, sizes))
        self.trials.first = self.trials.queue()

    # Other wanted stages

    def _want_lost(self) -> None:
        """Retrains stages of complete trials that are no longer stored, and the stages above them."""
        for trial in self.record.trials:
            keys = (*trial.facts["above"], trial.facts["stage"])
            if trial.state == "complete" and not all(self.store.has("stages", key) for key in keys):
                self._want(self.space.decode(trial.params))

    def _want(self, stage: Stage) -> None:
        if not self.trials.is_doomed(stage) and stage.key() not in self._others:
            self._others[stage.key()] = stage
            self.jobs.want(stage)

    def _wants_baselines(self) -> bool:
        """At the end, requests the label-only baselines of the frontier's members in the region, once.

        Returns whether any of them is left to train.
        """
        if self._baselines is not None or not self._all_told() or not self.jobs.all_done():
            return False
        members = [row for row in frontier(self.rows()) if row.inside] if self.spec.search.label_baselines else []
        networks = [network_of(self.store, row.stage) for row in members]
        baselines = [label_only(one) for one in networks if isinstance(one, Stage) and (one.teachers or one.init)]
        self._baselines = {stage.key(): stage for stage in baselines}
        for stage in baselines:
            self._want(stage)
        return not self.jobs.all_done()

    # Times

    def seconds(self, job: Job) -> float:
        """The predicted seconds of a whole training; in arbitrary units before anything was measured."""
        if not isinstance(job.network, Stage) or not job.trains:
            return 0.0
        work = self._work(job.network)
        found = self._times.seconds(work)
        return work.epochs * work.macs if found is None else found

    def _work(self, stage: Stage) -> Work:
        above = sum(self.space.sizes(one.architecture).macs for one in stage.teachers)
        return work_of(stage, self.space.sizes(stage.architecture).macs, above)

    def _saw(self, job: Job, epochs: int | None, seconds: float) -> None:
        if isinstance(job.network, Stage):
            work = self._work(job.network)
            self._times.saw(work if epochs is None else work._replace(epochs=epochs), seconds)

    def _note_share(self, job: Job, epochs: int | None) -> None:
        if isinstance(job.network, Stage) and job.rungs:
            self._share[0] += 1.0 if epochs is None else epochs / job.network.recipe.epochs
            self._share[1] += 1

    def _look_back(self) -> None:
        """Reads how long trainings took in earlier runs."""
        keys = [trial.facts["stage"] for trial in self.record.trials if trial.state == "complete"][-SEEN:]
        for key in [*self.teachers, *keys]:
            network = network_of(self.store, key) if self.store.has("stages", key) else None
            if isinstance(network, Stage):
                self._saw(Job(network=network), None, self.stages.measured(key).seconds)

    def seconds_left(self) -> float | None:
        """Estimated seconds until the last trial ends; None while there is no estimate."""
        told, trials = self.trials.counted_done - self._told_before, self.spec.search.trials
        asked_all = self._asked_all()
        if not self._times.any() or (not asked_all and told <= 0):
            return None
        each = self._spent.of("students", "assistants", "outputs") / max(1, told)
        begun = sum(map(self._still, self.jobs.pending()))
        ask = 0 if asked_all else math.inf if trials is None else trials - self.trials.counted
        ends = [] if self.ends is None else [self.ends - self.clock()]
        ends += [] if asked_all else [self.spec.search.seconds() - self.elapsed()]
        left = max(0.0, min([(begun + ask * each) / self.workers, *ends]))
        return left if math.isfinite(left) else None

    def _still(self, job: Job) -> float:
        """Seconds left of a job; a student that may be stopped counts with the mean share of the others."""
        share = self._share[0] / self._share[1] if self.jobs.is_student(job) and self._share[1] else 1.0
        return max(0.0, share * self.seconds(job) - self._spent.since(job))

    def spent(self) -> dict[str, Any]:
        """Where the time of this run went, in seconds, and how often jobs were restarted, by cause."""
        return self._spent.facts(self.workers) | {"again": dict(self.again)}

    # What was found

    def _kind(self, job: Job) -> Kind:
        if not job.trains:
            return "outputs"
        if job.network.key() in self.teachers:
            return "teachers"
        if self.jobs.unblocks(job):
            return "assistants"
        return "baselines" if self._baselines is not None and job.network.key() in self._baselines else "students"

    def told(self) -> int:
        return self.trials.told

    def counted_done(self) -> int:
        return self.trials.counted_done

    def reused(self) -> int:
        """How often a network was needed and already stored: the teachers once, then every trial's assistants and itself."""
        baselines = self._baselines or {}
        return max(0, len(self.teachers) + self.trials.uses - sum(key not in baselines for key in self.trained))

    def trains_baselines(self) -> bool:
        """Whether all trials have ended and only baselines are trained."""
        return self._baselines is not None

    def rows(self) -> list[TrialRow]:
        """The teacher, the incumbent, assistants and trials."""
        return rows(self.spec, self.stages, self.record, self.chance)

    def frontier(self) -> pandas.DataFrame:
        """The Pareto frontier, the smallest student first."""
        import pandas

        return pandas.DataFrame([row.columns() for row in frontier(self.rows())])
