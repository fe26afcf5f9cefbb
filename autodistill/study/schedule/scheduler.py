"""What to do next: the stage is the unit of work, so no worker waits for an assistant to be trained.

The parts: `policy` chooses students and says when to end, `trials` counts them and keeps the record, `pending` knows what they
wait for, `jobs` what can start, `rungs` who continues, `lengths` and `meter` know about time.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ...distill import Job, Rung
from ...metrics.metric import METRICS, Metric, metric_of
from ...spec import Network, Spec, Stage, StudyError, describe, label_only
from ...spec.measurement import Measurement
from ...spec.search import Search
from ...store import Store
from ..record.findings import grouped
from ..record.record import Record
from ..record.region import Region, region_of
from ..record.rows import Stages, TrialRow, frontier, own_of, rows
from ..sampling.proposals import sampler_of
from ..space import Space
from .halving import Rungs
from .jobs import Address, Jobs, Results
from .pending import Pending
from .policy import Policy
from .spent import Kind, Meter
from .times import Lengths
from .trials import Trials

if TYPE_CHECKING:
    import pandas

TRIES = 3
FEW = 3
"""With fewer failed trials, their fraction is not checked."""
SEEN = 100
"""How many stages of earlier runs are used to estimate how long trainings take."""


class Study:
    """The driver's view of a search: asks for students, hands out ready jobs, records their results.

    `floors` are, by metric, the best values of a network that ignores its input, `chance` that of this study's metric. `clock`
    gives seconds; a simulated runner has its own. `ends` is the time, by the clock, at which the search will be ended,
    if any. `trained` are the keys of the networks that were trained in this run.
    """

    def __init__(self, spec: Spec, space: Space, store: Store, record: Record, *, floors: Mapping[str, float]) -> None:
        self.spec, self.space, self.store, self.record, self.floors = spec, space, store, record, floors
        self.metric = metric_of(spec.search)
        self.chance = floors[self.metric.name]
        self.teachers = {teacher.key(): teacher for teacher in space.teachers}
        self.workers = 1
        self.clock: Callable[[], float] = time.monotonic
        self.ends: float | None = None
        self.trained: list[str] = []
        self.own = own_of(spec)
        self.stages, self.results = Stages(store, self.own), Results(store, lambda: self.clock())
        self.meter, self.lengths = Meter(lambda: self.clock()), Lengths(space)
        self.awaits, self.worked = self.results.awaits, self.meter.worked
        self.jobs = Jobs(self.results.has, self.lengths.seconds)
        self.rungs = Rungs(spec.search, lambda: self.region)
        self.trials = Trials(record, sampler_of(spec.search, space, lambda: self.region), self.rungs, space)
        self.policy = Policy(spec.search, space, self.trials, region=lambda: self.region, elapsed=self.meter.elapsed)
        self.pending = Pending(self.trials, space, self.stages, self.jobs)
        self._tries: Counter[Address] = Counter()
        self._told_before = self.trials.counted_done
        self._absent = {key for key, teacher in self.teachers.items() if not self.results.has(Job(network=teacher))}
        self._begin()

    def _begin(self) -> None:
        for key, teacher in self.teachers.items():
            if key in self._absent:
                self.jobs.want(teacher, first=True)
            else:
                refuse_ignorant(self.stages.measured(key), teacher, self.metric, self.floors)
        self.pending.want_lost()
        complete = [trial.facts.stage for trial in self.record.trials if trial.state == "complete"]
        self.lengths.look_back(self.stages, [*self.teachers, *complete[-SEEN:]])
        self.pending.begin()

    @cached_property
    def region(self) -> Region:
        """Known once the first teacher is stored."""
        incumbent = self.record.notes.incumbent
        return region_of(
            self.spec.search,
            chance=self.chance,
            teacher=self.stages.measured(self.space.teachers[0].key()),
            incumbent=self.stages.measured(incumbent) if incumbent and self.stages.has(incumbent) else None,
        )

    # What the runner calls

    def next(self) -> Job | None:
        """A job whose requirements are met, or None when there is none now."""
        with self.meter.controls():
            for arrived in self.results.arrived():
                self._finish(arrived, trained=True)
            job = self._next()
            if job is not None:
                self.meter.begin(job, self._kind(job))
        return job and replace(job, own=self.own)

    def _next(self) -> Job | None:
        while True:
            if self.workers > 1 and self.policy.has_asked_all():
                self.jobs.longest_first()
            job = self.jobs.pop(only_first=bool(self._absent))
            if job is not None and not self.results.has(job):
                return self._with_rungs(job)
            if job is not None:  # another study filled a shared store
                self._finish(job)
            elif not self._absent and self.policy.may_ask(self.workers, self.jobs):
                proposal = self.policy.propose(self.stages.measured(self.space.teachers[0].key()))
                if proposal is not None:
                    self.pending.add(proposal)
            elif not self._wants_baselines():
                return None

    def _kind(self, job: Job) -> Kind:
        if not job.trains:
            return "outputs"
        if job.network.key() in self.teachers:
            return "teachers"
        if self.jobs.unblocks(job):
            return "assistants"
        return "baselines" if job.network.key() in (self.pending.baselines or {}) else "students"

    def _with_rungs(self, job: Job) -> Job:
        """Students report at rungs; networks that others learn from are never stopped."""
        if not self.jobs.is_student(job) or not self.trials.open_of(job.network.key()):
            return job
        assert isinstance(job.network, Stage)
        return replace(job, rungs=self.spec.search.rungs(job.network.recipe.epochs))

    def continues(self, job: Job, rung: Rung) -> bool:
        """Records a training's result at a rung and decides whether it continues. If not, its trials are ended."""
        with self.meter.controls():
            if self.results.has(job):  # another study stored it meanwhile
                return True
            assert isinstance(job.network, Stage)
            key, of = job.network.key(), job.network.recipe.epochs
            self.lengths.saw(job.network, rung.seconds, rung.epochs)
            continues = self.rungs.continues(key, self.trials.of(key)[-1].sizes, of, rung.epochs, rung.values[self.metric.name])
            if continues or self.jobs.unblocks(job):
                return True
            self.meter.end(job)
            self.lengths.ended(job, rung.epochs)
            self.jobs.ended(job, done=False)
            self.pending.stopped(key, rung.seconds)
        return False

    def done(self, job: Job, failure: str | None = None) -> None:
        """Records the end of a job; `failure` is the reason why its result is not in the store."""
        with self.meter.controls():
            self.meter.end(job)
            if self.results.has(job):  # a worker may die after it stored the result
                self._finish(job, trained=True)
            elif failure is not None:
                self._fail(job, failure)
            else:
                self.results.wait_for(job)

    def lost(self, job: Job, cause: str) -> None:
        """The job's worker died, or the job must restart in another mode: it is ready again."""
        with self.meter.controls():
            self.meter.end(job)
            self.meter.again[cause] += 1
            self.jobs.ended(job, done=False)

    def finished(self) -> bool:
        return self._all_told() and not self._wants_baselines() and self.jobs.all_done()

    # The ends of jobs

    def _finish(self, job: Job, *, trained: bool = False) -> None:
        """The result of a job is stored; `trained`: by this run."""
        if trained and job.trains:
            self.trained.append(job.network.key())
            self.lengths.ended(job)
        self.jobs.ended(job, done=True)
        if not job.trains:
            return
        key = job.network.key()
        if key not in self.teachers and (reason := self.stages.refused(key)) is not None:
            self._lose(job.network, reason)
            return
        self.lengths.saw(job.network, self.stages.measured(key).seconds)
        if key in self.teachers:
            self._absent.discard(key)
            refuse_ignorant(self.stages.measured(key), job.network, self.metric, self.floors)
        self.pending.stored(job.network)

    def _fail(self, job: Job, reason: str) -> None:
        """The logits of a trained network are computed again; if a teacher fails, the search fails."""
        address, network = job.address(), job.network
        self._tries[address] += 1
        self.jobs.ended(job, done=False)
        if not job.trains and self._tries[address] < TRIES:
            return
        if network.key() in self.teachers:
            raise StudyError(f"the teacher {describe(network.architecture)} failed: {reason}")
        self._lose(network, reason)

    def _lose(self, network: Network, reason: str) -> None:
        """Ends the trials that need a network. Raises StudyError if too many have failed."""
        before = self.trials.counted_failed
        self.pending.failed(network, reason)
        if self.trials.counted_failed > before:
            refuse_many(self.spec.search, self.trials.counted_failed, self.trials.counted_done, self.rows)

    def _all_told(self) -> bool:
        return self.policy.has_asked_all() and not self._absent and not self.trials.open

    def _wants_baselines(self) -> bool:
        """At the end, requests the label-only baselines of the frontier's members in the region, once.

        Returns whether any of them is left to train.
        """
        if self.pending.baselines is not None or not self._all_told() or not self.jobs.all_done():
            return False
        members = [row for row in frontier(self.rows()) if row.inside] if self.spec.search.label_baselines else []
        networks = [one for row in members if isinstance(one := self.stages.network(row.stage), Stage)]
        self.pending.want_baselines([label_only(one) for one in networks if one.teachers or one.init])
        return not self.jobs.all_done()

    # What reports ask

    def seconds_left(self) -> float | None:
        """Estimated seconds until the last trial ends; None while there is no estimate."""
        told, trials = self.trials.counted_done - self._told_before, self.spec.search.trials
        asked_all = self.policy.has_asked_all()
        if not self.lengths.times.any() or (not asked_all and told <= 0):
            return None
        each = self.meter.of("students", "assistants", "outputs") / max(1, told)
        share = self.lengths.share()
        begun = 0.0
        for job in self.jobs.pending():
            seconds = self.lengths.seconds(job) * (share if self.jobs.is_student(job) else 1.0)
            begun += max(0.0, seconds - self.meter.since(job))
        ask = 0 if asked_all else math.inf if trials is None else trials - self.trials.counted
        ends = [] if self.ends is None else [self.ends - self.clock()]
        ends += [] if asked_all else [self.spec.search.seconds() - self.policy.elapsed()]
        left = max(0.0, min([(begun + ask * each) / self.workers, *ends]))
        return left if math.isfinite(left) else None

    def reused(self) -> int:
        """How often a network was needed and already stored: the teachers once, then every trial's assistants and itself."""
        trained = sum(key not in (self.pending.baselines or {}) for key in self.trained)
        return max(0, len(self.teachers) + self.trials.uses - trained)

    def rows(self) -> list[TrialRow]:
        """The teacher, the incumbent, assistants and trials."""
        return rows(self.spec, self.stages, self.record, self.chance)

    def frontier(self) -> pandas.DataFrame:
        """The Pareto frontier, the smallest student first."""
        import pandas

        return pandas.DataFrame([row.columns() for row in frontier(self.rows())])


def refuse_ignorant(found: Measurement, teacher: Network, metric: Metric, floors: Mapping[str, float]) -> None:
    """Raises StudyError if a teacher is no better than a network that ignores its input, and names a metric by which it is."""
    score, floor = found.scores[metric.name], floors[metric.name]
    if metric.clears(score, floor):
        return
    others = [METRICS[name] for name in METRICS if name in floors and name in found.scores]
    others = [one for one in others if one.clears(found.scores[one.name], floors[one.name])]
    way = "train it longer, change its learning rate, or check that a checkpoint belongs to its architecture and these labels"
    if others:
        best = others[0]
        value, least = best.text(found.scores[best.name].value), best.text(floors[best.name])
        better = f"its {best.label} of {value} is better than such a network's ({least})"
        way = f"{better}, so set task.metric: {best.name}; or {way}"
    raise StudyError(
        f"the teacher {describe(teacher.architecture)} has a validation {metric.label} of {metric.text(score.value)}, no "
        f"better than a network that ignores its input ({metric.text(floor)}); {way}"
    )


def refuse_many(search: Search, failed: int, done: int, rows: Callable[[], Sequence[TrialRow]]) -> None:
    """Raises StudyError if so many trials failed that it is pointless to continue."""
    limit = search.tolerate_failures
    if failed >= FEW and failed > limit * done:
        common = grouped(rows())[0]
        raise StudyError(
            f"{failed} of {done} finished trials failed, more than search.tolerate_failures ({limit:g}) allows. The most "
            f"common reason ({common.count} of them): {common.reason}. Fix it, then run the same command with "
            "--retry-failed, or raise search.tolerate_failures"
        )
