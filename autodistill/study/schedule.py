"""What to do next: the stage is the unit of work, so no worker waits for an assistant to be trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..distill import Job, Rung
from ..halving import goes_on
from ..space import Space
from ..spec import Checkpoint, Spec, Stage, StudyError, UsageError, chain, describe, twin
from ..stats import wilson
from ..store import Store
from .proposals import Proposals
from .record import Record, Trial
from .tables import Row, costs, frontier, network_of, rows

if TYPE_CHECKING:
    import pandas

REPEATS = 20
TRIES = 3
ARRIVAL_SECONDS = 30
Network = Stage | Checkpoint


def needs(stage: Network) -> Iterator[Job]:
    """The jobs that end with `stage` being stored, each after those it waits for."""
    above = stage.ancestors() if isinstance(stage, Stage) else []
    for network in [*above, stage]:
        yield from outputs_of(network)
        yield Job(network=network)


def outputs_of(network: Network) -> list[Job]:
    """The jobs that compute what a stage's teachers say, unless they run within its training."""
    asked = network.asked() if isinstance(network, Stage) else None
    return [] if asked is None else [Job(network=one, asked=asked) for one in network.teachers]  # type: ignore[union-attr]


class Study:
    """The driver's view of a search: asks for students, hands out ready jobs, tells what came of them."""

    def __init__(self, spec: Spec, space: Space, store: Store, record: Record, *, chance: float) -> None:
        self.spec, self.space, self.store, self.record, self.chance = spec, space, store, record, chance
        self.teachers = {teacher.key(): teacher for teacher in space.teachers}
        self.proposals = Proposals(spec.search, space, record.trials, chance=chance)
        self.workers = 1
        self.trained: list[str] = []
        self.done_before = sum(1 for trial in record.trials if _counts(trial) and trial.state != "running")
        self.first_asked = time.monotonic()
        self._stages = {trial.number: space.decode(trial.params) for trial in record.trials}
        self._running: set[tuple[str, str]] = set()
        self._done: set[tuple[str, str]] = set()
        self._tries: dict[tuple[str, str], int] = {}
        self._failed: dict[str, str] = dict(record.facts().get("failed", {}))
        complete = [self._stages[trial.number] for trial in record.trials if trial.state == "complete"]
        self._lost = [stage for stage in complete if not self._is_whole(stage)]
        self._twins: list[Stage] | None = None
        self._rungs = {trial.facts["stage"]: _rungs(trial) for trial in record.trials if "rungs" in trial.facts}
        for stage in self._stages.values():
            self._close_rungs(stage)
        self.ended = self._repeats_only()
        for teacher in self.teachers.values():
            if self._is_done(Job(network=teacher)):
                self._check_teacher(teacher)
        self._settle()

    # What the runner calls

    def next(self) -> Job | None:
        """A job whose requirements are met, or None when there is none now."""
        self._settle()  # another study may have filled a shared store
        while True:
            job = self._ready()
            if job is not None:
                self._running.add(job.address())
                return self._with_rungs(job)
            if not self._may_ask():
                return None
            self._ask()

    def _with_rungs(self, job: Job) -> Job:
        """Students report at rungs; what others learn from is never stopped."""
        key, opened = job.network.key(), [self._stages[trial.number] for trial in self._open()]
        above = {one.key() for stage in opened for one in stage.ancestors()}
        if not job.trains or key in above or key not in {stage.key() for stage in opened}:
            return job
        assert isinstance(job.network, Stage)
        return replace(job, rungs=self.spec.search.rungs(job.network.recipe.epochs))

    def goes_on(self, job: Job, rung: Rung) -> bool:
        """Takes note of what a training has come to, and says whether it goes on. If not, its trials are told so."""
        assert isinstance(job.network, Stage) and self.spec.search.halving
        key, place = job.network.key(), job.rungs.index(rung.epochs)
        self._rungs.setdefault(key, {})[place] = rung.accuracy
        reached = {one: found[place] for one, found in self._rungs.items() if place in found}
        table = costs([self._sized(one) | {"accuracy": found} for one, found in reached.items()], self.spec.search.objectives)
        if goes_on(table, list(reached).index(key), share=self.spec.search.halving.share):
            return True
        self._running.discard(job.address())
        for trial in self._open():
            if trial.facts["stage"] == key:
                self._tell(trial, None, {"rungs": list(self._rungs[key].items())}, stopped=True)
        return False

    def finished(self) -> bool:
        return self._all_told() and not self._wanted_again() and not self._missing_twins()

    def _all_told(self) -> bool:
        asked = self.ended is not None or self._counted() >= self.spec.search.trials
        return asked and self.teachers_are_there() and not self._open()

    def done(self, job: Job, failure: str | None = None) -> None:
        """Takes note of a job's end; `failure` is the reason why its result is not in the store."""
        self._running.discard(job.address())
        if failure is not None and not self._is_done(job):  # a worker may die after it stored what it was asked for
            self._note_failure(job, failure)
        elif not self._arrives(job):
            raise StudyError(f"a worker stored a result that is not in {self.store.root}; give a --store that every node sees")
        elif job.trains:
            self.trained.append(job.network.key())
            if job.network.key() in self.teachers:
                self._check_teacher(job.network)
        self._settle()

    def _note_failure(self, job: Job, reason: str) -> None:
        """Outputs of a network that could be trained are tried again; without a teacher there is no search."""
        self._tries[job.address()] = self._tries.get(job.address(), 0) + 1
        if not job.trains and self._tries[job.address()] < TRIES:
            return
        if job.network.key() in self.teachers:
            raise StudyError(f"the teacher {describe(job.network.architecture)} failed: {reason}")
        self._failed[job.network.key()] = reason
        self.record.note("failed", self._failed)

    # The teachers

    def teachers_are_there(self) -> bool:
        return all(self._is_done(Job(network=teacher)) for teacher in self.teachers.values())

    def _check_teacher(self, teacher: Network) -> None:
        """Raises StudyError when a teacher knows no more than the commonest class."""
        found = self.measured(teacher.key())
        low = wilson(found["correct"], found["n"]).low
        if low <= self.chance:
            raise StudyError(
                f"the teacher {describe(teacher.architecture)} is right on {found['accuracy']:.1%} of the validation "
                f"samples, no better than guessing the commonest class ({self.chance:.1%}); train it longer, change its "
                "learning rate, or check that the checkpoint belongs to this architecture and these labels"
            )

    def measured(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.store.record("stages", key)["measurement"]
        return found

    # Jobs

    def _is_done(self, job: Job) -> bool:
        address = job.address()
        if address not in self._done and self.store.has(*address):
            self._done.add(address)
        return address in self._done

    def _is_whole(self, stage: Stage) -> bool:
        """Whether a stage and its chain are stored: a folder that was damaged and removed is made again."""
        return all(self._is_done(Job(network=network)) for network in [*stage.ancestors(), stage])

    def _wanted_again(self) -> list[Stage]:
        """Stages of complete trials that are no longer stored, unless making them again failed."""
        self._lost = [stage for stage in self._lost if not self._is_whole(stage)]
        return [one for one in self._lost if not any(n.key() in self._failed for n in [*one.ancestors(), one])]

    def _missing_twins(self) -> list[Stage]:
        """At the end, what tells a person whether distillation paid: the frontier's members trained from labels."""
        if self._twins is None:
            members = frontier(self.rows()) if self.spec.search.guard else []
            networks = [network_of(self.store, row["stage"]) for row in members]
            self._twins = [twin(one) for one in networks if isinstance(one, Stage) and (one.teachers or one.init)]
        return [one for one in self._twins if one.key() not in self._failed and not self._is_done(Job(network=one))]

    def _arrives(self, job: Job) -> bool:
        """Whether a result is there; a network file system may take some seconds to show what another node wrote."""
        for _ in range(ARRIVAL_SECONDS * 10):
            if self._is_done(job):
                return True
            time.sleep(0.1)
        return False

    def _ready(self) -> Job | None:
        """The first job that can start: the teachers, then what unblocks others, then students in the order asked."""
        if not self.teachers_are_there():
            jobs = [Job(network=teacher) for teacher in self.teachers.values()]
            return next((job for job in jobs if not self._is_done(job) and job.address() not in self._running), None)
        found: Job | None = None
        wanted = [*self._wanted_again(), *(self._stages[trial.number] for trial in self._open())]
        for stage in wanted or (self._missing_twins() if self._all_told() else []):
            for job in self._startable(stage):
                if job.network.key() != stage.key() or not job.trains:
                    return job
                found = found or job
        return found

    def _startable(self, stage: Stage) -> Iterator[Job]:
        for job in needs(stage):
            if not self._is_done(job) and job.address() not in self._running and self._is_unblocked(job):
                yield job

    def _is_unblocked(self, job: Job) -> bool:
        if not job.trains:
            return self._is_done(Job(network=job.network))
        above = job.network.ancestors() if isinstance(job.network, Stage) else []
        trained = all(self._is_done(Job(network=network)) for network in above)
        return trained and all(map(self._is_done, outputs_of(job.network)))

    # Trials

    def _open(self) -> list[Trial]:
        return [trial for trial in self.record.trials if trial.state == "running"]

    def _counted(self) -> int:
        return sum(map(_counts, self.record.trials))

    def told(self) -> int:
        return sum(trial.state != "running" for trial in self.record.trials)

    def counted_done(self) -> int:
        return sum(_counts(trial) and trial.state != "running" for trial in self.record.trials)

    def _may_ask(self) -> bool:
        few = len(self._open()) < self.workers + len(self.space.ladder)
        return self.teachers_are_there() and few and self.ended is None and self._counted() < self.spec.search.trials

    def _ask(self) -> None:
        try:
            params, sampled = self.proposals.propose(self.space.feasible)
        except UsageError:
            if not self.space.closed:
                raise
            self.ended = "no student is left to propose: the rungs of the ladder that its assistants need are closed"
            return
        if not self.record.trials:
            self.first_asked = time.monotonic()
        self._add(params, {}, sampled)
        self._settle()
        self.ended = self._repeats_only()

    def _add(self, params: dict[str, Any], more: dict[str, Any], sampled: dict[str, Any] | None = None) -> None:
        stage = self.space.decode(params)
        known = {one.key() for one in self._stages.values()}
        facts = self._facts(stage) | more | ({"repeats": stage.key()} if stage.key() in known else {})
        trial = self.record.add(params, facts, sampled=sampled)
        self.proposals.added(trial)
        self._stages[trial.number] = stage

    def _sized(self, key: str) -> dict[str, int]:
        """The sizes of a student that was asked for."""
        stage = next(stage for stage in self._stages.values() if stage.key() == key)
        return self.space.sizes(stage.architecture)._asdict()

    def _facts(self, stage: Stage) -> dict[str, Any]:
        size = self.space.sizes(stage.architecture)
        return {
            "stage": stage.key(),
            "role": "student" if stage.teachers or stage.init else "from labels",
            "architecture": describe(stage.architecture),
            "chain": chain(stage),
            "above": [network.key() for network in stage.ancestors()],
            "params": size.params,
            "macs": size.macs,
            "bytes": size.bytes,
        }

    def _repeats_only(self) -> str | None:
        last = [trial for trial in self.record.trials if "assistant" not in trial.facts][-REPEATS:]
        if len(last) == REPEATS and all("repeats" in trial.facts for trial in last):
            return f"{REPEATS} proposals in a row repeated finished stages: the space holds nothing new for this sampler"
        return None

    def retry_failed(self) -> int:
        """Asks for every failed trial, and every twin that failed, again; returns how many there were."""
        failed = [trial for trial in self.record.trials if trial.state == "failed" and trial.retried is None]
        cleared = len(self._failed)
        self._failed.clear()
        self.record.note("failed", {})
        self.space.closed.clear()
        for trial in failed:
            del self._stages[trial.number]  # what failed is not repeated but tried again
        for trial in failed:
            self._add(trial.params, {"retries": trial.number})
            self._stages[trial.number] = self.space.decode(trial.params)
        self._settle()
        return max(len(failed), cleared)

    # Results

    def _settle(self) -> None:
        """Tells every open trial whose stage is stored or can no longer be; enters assistants that are students too."""
        for trial in self._open():
            stage = self._stages[trial.number]
            for network in [*stage.ancestors(), stage]:
                key = network.key()
                if key in self._failed:
                    self._tell_failed(trial, network, self._failed[key])
                    break
                if self._is_done(Job(network=network)):
                    self._tell_stored(trial, network)

    def _tell_stored(self, trial: Trial, network: Network) -> None:
        stage = self._stages[trial.number]
        if network.key() == stage.key():
            rungs = self._rungs.get(stage.key())
            self._tell(trial, self._values(network.key()), {"rungs": list(rungs.items())} if rungs else {})
        elif isinstance(network, Stage) and network.key() not in self.teachers:
            self._enter_assistant(network)

    def _enter_assistant(self, network: Stage) -> None:
        """An assistant that this space could have proposed is knowledge for the sampler."""
        if any(stage.key() == network.key() for stage in self._stages.values()):
            return
        params = self.space.encode(network)
        if params is not None:
            facts = self._facts(network) | {"assistant": True, "role": "assistant"}
            trial = self.record.add(params, facts, values=self._values(network.key()))
            self.proposals.added(trial)
            self._stages[trial.number] = network

    def _values(self, key: str) -> list[float]:
        found = self.measured(key)
        return [float(found[name]) for name in self.spec.search.objectives]

    def _tell_failed(self, trial: Trial, network: Network, reason: str) -> None:
        stage = self._stages[trial.number]
        if network.key() != stage.key():
            reason = f"assistant {describe(network.architecture)} failed: {reason}"
        self._close_rungs(stage)
        self._tell(trial, None, {"reason": reason})

    def _tell(self, trial: Trial, values: list[float] | None, facts: dict[str, Any], *, stopped: bool = False) -> None:
        self.record.tell(trial, values, facts, stopped=stopped)
        self.proposals.ended(trial)

    def _close_rungs(self, stage: Stage) -> None:
        """A rung on which an assistant failed is not proposed again in this study."""
        for network in stage.ancestors():
            if network.key() in self._failed and network.architecture in self.space.ladder:
                self.space.closed.add(self.space.ladder.index(network.architecture))

    def reused(self) -> int:
        """How often a network was needed and already there: the teachers once, then every trial's assistants and itself."""
        asked = [self._stages[t.number] for t in self.record.trials if t.state == "complete" and "assistant" not in t.facts]
        own = len(self.teachers)
        uses = own + sum(1 + sum(one.key() not in self.teachers for one in stage.ancestors()) for stage in asked)
        twins = {one.key() for one in self._twins or ()}
        return max(0, uses - sum(key not in twins for key in self.trained))

    def guarding(self) -> bool:
        """Whether all trials have ended and only twins are trained."""
        return self._twins is not None

    def rows(self) -> list[Row]:
        """The teacher, assistants and trials as plain rows."""
        return rows(self.spec, self.store, self.record)

    def frontier(self) -> pandas.DataFrame:
        """The Pareto frontier, the smallest student first."""
        import pandas

        return pandas.DataFrame(frontier(self.rows()))


def _rungs(trial: Trial) -> dict[int, float]:
    """Accuracies by the place of the rung."""
    return {int(place): float(accuracy) for place, accuracy in trial.facts["rungs"]}


def _counts(trial: Trial) -> bool:
    """Whether a trial uses up one of the number asked for: no repeat, no assistant, not tried again later."""
    return trial.retried is None and not {"repeats", "assistant"} & trial.facts.keys()
