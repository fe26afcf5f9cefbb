"""The trials of a study: proposed, ended, repeated, retried. No step searches through all trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ...distill import Job
from ...spec import Stage, chain, describe
from ..record.record import Record, Trial
from ..record.rows import Stages
from ..sampling.first import Queue
from ..sampling.proposals import Proposals
from ..space import Space
from .jobs import Jobs, Network, chain_of
from .rungs import Rungs

REPEATS = 20


class Trials:
    """Keeps the record and the sampler in sync; requests from `jobs` what open trials need."""

    def __init__(self, record: Record, proposals: Proposals, space: Space, *, stages: Stages, jobs: Jobs, rungs: Rungs) -> None:
        self.record, self.proposals, self.space = record, proposals, space
        self.stages, self.jobs, self.rungs = stages, jobs, rungs
        self.first = self.queue()
        self.teachers = {teacher.key() for teacher in space.teachers}
        self.open: dict[int, Trial] = {}
        self.counted = self.counted_done = self.counted_failed = self.told = self.uses = 0
        self.failures: dict[str, str] = dict(record.facts().get("failed", {}))
        """Why networks could not be trained, by key."""
        self._stages: dict[int, Stage] = {}
        self._of: defaultdict[str, list[Trial]] = defaultdict(list)
        self._waiting: defaultdict[str, dict[int, None]] = defaultdict(dict)
        self._entered: set[str] = set()
        self._repeated = 0
        for trial in record.trials:
            self._enter(trial)
        for trial in record.trials:
            self._remember(trial)

    def begin(self) -> None:
        """Continues the trials that an earlier run left open."""
        stages = {trial.number: self.space.decode(trial.params) for trial in self.open.values()}
        for number, stage in stages.items():
            self._want(self.open[number], stage)
        for number, stage in stages.items():
            self._settle(number, stage)

    def queue(self) -> Queue:
        """The configurations to try first that have not been proposed yet."""
        facts = self.record.facts()
        asked = {trial.facts.get("enqueued") for trial in self.record.trials}
        return Queue([*facts.get("first", ()), *facts.get("edges", ())], asked)

    def of(self, key: str) -> list[Trial]:
        """The trials of a stage, in the order proposed."""
        return self._of.get(key, [])

    def open_of(self, key: str) -> list[Trial]:
        return [trial for trial in self.of(key) if trial.state == "running"]

    # Asking

    def ask(self) -> None:
        """Proposes what is to be tried first, then what the sampler proposes. Raises UsageError if no student is left."""
        first = self.first.next(self.space, self._of)
        params, sampled = (first.params, {}) if first else self.proposals.propose(self.space.feasible)
        self.add(params, {"enqueued": first.name} if first else {}, sampled)

    def add(self, params: dict[str, Any], more: dict[str, Any], sampled: dict[str, Any] | None = None) -> None:
        stage = self.space.decode(params)
        repeats = {"repeats": stage.key()} if self._is_repeat(stage) else {}
        if "retries" in more:
            self._uncount(self.record.trials[more["retries"]])
        trial = self.record.add(params, self._facts(stage) | more | repeats, sampled=sampled)
        self.proposals.added(trial)
        self._enter(trial)
        self._open(trial, stage)

    def _is_repeat(self, stage: Stage) -> bool:
        """Whether its training adds nothing new. A stage that was stopped at a rung is no repeat: it continues from there."""
        return self._is_open_or_complete(stage.key()) or (bool(self.of(stage.key())) and self.is_doomed(stage))

    def _is_open_or_complete(self, key: str) -> bool:
        return any(trial.state in ("running", "complete") for trial in self.of(key))

    def repeats_only(self) -> str | None:
        if self._repeated < REPEATS:
            return None
        return f"{REPEATS} proposals in a row repeated finished stages: this sampler finds nothing new in the space"

    def retry_failed(self) -> int:
        """Retries every failed trial; returns how many there were, or how many networks had failed."""
        failed = [trial for trial in self.record.trials if trial.state == "failed" and trial.retried is None]
        cleared = len(self.failures)
        self.failures.clear()
        self.record.note("failed", {})
        self.space.closed.clear()
        for trial in failed:
            self.add(trial.params, {"retries": trial.number})
        return max(len(failed), cleared)

    def _facts(self, stage: Stage) -> dict[str, Any]:
        size = self.space.sizes(stage.architecture)
        return {
            "stage": stage.key(),
            "role": "student" if stage.teachers or stage.init else "label-only",
            "architecture": describe(stage.architecture),
            "chain": chain(stage),
            "above": [network.key() for network in stage.ancestors()],
            "params": size.params,
            "macs": size.macs,
            "bytes": size.bytes,
        }

    # Telling

    def _open(self, trial: Trial, stage: Stage) -> None:
        self._want(trial, stage)
        self._settle(trial.number, stage)

    def _want(self, trial: Trial, stage: Stage) -> None:
        self._stages[trial.number] = stage
        self.jobs.want(stage)
        for network in chain_of(stage):
            self._waiting[network.key()][trial.number] = None

    def _settle(self, number: int, stage: Stage) -> None:
        """Ends an open trial, and all others of its stage, if the stage is stored or can no longer be trained."""
        for network in chain_of(stage):
            if number not in self.open:
                return
            if network.key() in self.failures:
                self._tell_failed(self.open[number], network)
            elif self.jobs.is_done(Job(network=network)):
                self.stored(network)

    def stored(self, network: Network) -> None:
        """Ends the open trials of a stored network; enters it as a trial if it is an assistant that could be a student."""
        key = network.key()
        if not isinstance(network, Stage):
            return
        for trial in self.open_of(key):
            self._note_passed(network)
            self._tell(trial, self.stages.values(key, self.space.spec.search.objectives))
        if self._waiting.get(key) and key not in self._entered and key not in self.teachers:
            self._entered.add(key)
            self._enter_assistant(network)

    def stopped(self, key: str, seconds: float) -> None:
        """Ends the open trials of a stage that was stopped at a rung, after `seconds` of training."""
        for trial in self.open_of(key):
            self._tell(trial, None, {"seconds": seconds}, stopped=True)

    def failed(self, network: Network, reason: str) -> None:
        """Ends all trials that need a network that could not be trained."""
        self.failures[network.key()] = reason
        self.record.note("failed", self.failures)
        for number in sorted(self._waiting.get(network.key(), ())):
            self._tell_failed(self.open[number], network)

    def is_doomed(self, stage: Stage) -> bool:
        return bool(self.failures) and any(network.key() in self.failures for network in chain_of(stage))

    def _note_passed(self, stage: Stage) -> None:
        """The rungs of a stage count, no matter which study trained it: another one, or this one before it was killed."""
        found = [(epochs, accuracy) for epochs, accuracy, _ in self.stages.facts(stage.key()).rungs]
        self.rungs.enter(stage.key(), self.of(stage.key())[-1].facts, stage.recipe.epochs, found)

    def _enter_assistant(self, network: Stage) -> None:
        """Adds an assistant that this space could have proposed as information for the sampler."""
        params = None if self._is_open_or_complete(network.key()) else self.space.encode(network)
        if params is not None:
            facts = self._facts(network) | {"assistant": True, "role": "assistant"}
            values = self.stages.values(network.key(), self.space.spec.search.objectives)
            trial = self.record.add(params, facts, values=values)
            self.proposals.added(trial)
            self._enter(trial)

    def _tell_failed(self, trial: Trial, network: Network) -> None:
        reason = self.failures[network.key()]
        if network.key() != trial.facts["stage"]:
            reason = f"assistant {describe(network.architecture)} failed: {reason}"
        self._close_ladder(self._stages[trial.number])
        self._tell(trial, None, {"reason": reason})

    def _tell(
        self, trial: Trial, values: Sequence[float] | None, facts: Mapping[str, Any] | None = None, *, stopped: bool = False
    ) -> None:
        passed = self.rungs.passed(trial.facts["stage"])
        rungs = {"rungs": [list(one) for one in passed]} if passed else {}
        self.record.tell(trial, values, {**(facts or {}), **rungs}, stopped=stopped)
        if values is not None:
            self.rungs.completed(trial.facts["stage"], self.space.spec.student.epochs(trial.params), values[0])
        self.proposals.ended(trial)
        self._close(trial)

    def _close_ladder(self, stage: Stage) -> None:
        """A ladder size whose assistant failed is not proposed again in this study."""
        for network in stage.ancestors():
            if network.key() in self.failures and network.architecture in self.space.ladder:
                self.space.closed.add(self.space.ladder.index(network.architecture))

    # Lookup tables

    def _enter(self, trial: Trial) -> None:
        self._of[trial.facts["stage"]].append(trial)
        self.counted += counts(trial)
        if "assistant" not in trial.facts:
            self._repeated = self._repeated + 1 if "repeats" in trial.facts else 0
        if trial.state == "running":
            self.open[trial.number] = trial
        else:
            self._count_end(trial)

    def _remember(self, trial: Trial) -> None:
        """Restores what an earlier run recorded."""
        if "rungs" in trial.facts:
            of = self.space.spec.student.epochs(trial.params)
            self.rungs.enter(trial.facts["stage"], trial.facts, of, trial.facts["rungs"])
            if trial.values is not None:
                self.rungs.completed(trial.facts["stage"], of, trial.values[0])
        if trial.state == "failed" and self.failures.keys() & set(trial.facts["above"]):
            self._close_ladder(self.space.decode(trial.params))

    def _close(self, trial: Trial) -> None:
        stage = self._stages.pop(trial.number)
        del self.open[trial.number]
        for network in chain_of(stage):
            del self._waiting[network.key()][trial.number]
            if not self._waiting[network.key()]:
                del self._waiting[network.key()]
        self.jobs.drop(stage)
        self._count_end(trial)

    def _count_end(self, trial: Trial) -> None:
        self.told += 1
        self.counted_done += counts(trial)
        self.counted_failed += counts(trial) and trial.state == "failed"
        if trial.state == "complete" and not {"assistant", "kept"} & trial.facts.keys():
            self.uses += 1 + sum(key not in self.teachers for key in trial.facts["above"])

    def _uncount(self, trial: Trial) -> None:
        """Removes a trial that is retried from the counts."""
        self.counted -= counts(trial)
        self.counted_done -= counts(trial)
        self.counted_failed -= counts(trial) and trial.state == "failed"


def counts(trial: Trial) -> bool:
    """Whether a trial counts toward search.trials: not a repeat, an assistant, kept from an older study, or retried later."""
    return trial.retried is None and not {"repeats", "assistant", "kept"} & trial.facts.keys()
