"""The stages that open trials wait for, and what becomes of these trials; also stages that no trial waits for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ...distill import Job
from ...spec import Network, Stage, describe
from ...spec.stage import pretrained
from ..record.notes import Trial, TrialFacts
from ..record.rows import Stages
from ..space import Proposal, Space
from .jobs import Jobs, chain_of
from .trials import Trials


class Pending:
    """Requests from `jobs` what trials need, and tells `trials` how their stages ended.

    `failures` says why networks could not be trained, by key. `others` are stages that are wanted without a trial: lost ones,
    and `baselines`, the label-only ones (None before they are wanted).
    """

    def __init__(self, trials: Trials, space: Space, stages: Stages, jobs: Jobs) -> None:
        self.trials, self.space, self.stages, self.jobs = trials, space, stages, jobs
        self.record = trials.record
        self.failures = dict(self.record.notes.failed)
        self.others: dict[str, Stage] = {}
        self.baselines: dict[str, Stage] | None = None
        self._stages: dict[int, Stage] = {}
        self._waiting: defaultdict[str, dict[int, None]] = defaultdict(dict)
        self._entered: set[str] = set()

    def begin(self) -> None:
        """Continues the trials that an earlier run left open; closes the ladder sizes whose assistants failed then."""
        for trial in self.record.trials:
            if trial.state == "failed" and self.failures.keys() & set(trial.facts.above):
                self._close_ladder(self.space.decode(trial.params))
        stages = {trial.number: self.space.decode(trial.params) for trial in self.trials.open.values()}
        for number, stage in stages.items():
            self._want(number, stage)
        for number, stage in stages.items():
            self._settle(number, stage)

    def add(self, proposal: Proposal, *, retries: int | None = None) -> None:
        """Adds a trial, and ends it at once if its stage is stored or can no longer be trained."""
        stage = self.space.decode(proposal.params)
        sizes, repeats = self.space.sizes(stage.architecture), self._is_repeat(stage)
        facts = replace(TrialFacts.of(stage, sizes), enqueued=proposal.enqueued, retries=retries, repeats=repeats)
        number = self.trials.add(proposal.params, facts, sampled=proposal.sampled).number
        self._want(number, stage)
        self._settle(number, stage)

    def _is_repeat(self, stage: Stage) -> bool:
        """Whether its training adds nothing new. A stage that was stopped at a rung is not a repeat: it continues there."""
        key = stage.key()
        return self.trials.is_open_or_complete(key) or (bool(self.trials.of(key)) and self.is_doomed(stage))

    def retry_failed(self) -> int:
        """Retries every failed trial and baseline; returns how many trials, or networks, had failed."""
        failed = [trial for trial in self.record.trials if trial.state == "failed" and trial.retried is None]
        cleared = len(self.failures)
        self.failures.clear()
        self.record.note(replace(self.record.notes, failed={}))
        self.space.closed.clear()
        for trial in failed:
            self.add(Proposal(trial.params), retries=trial.number)
        self.want_lost()
        return max(len(failed), cleared)

    # Stages without a trial

    def want(self, stage: Stage) -> None:
        if not self.is_doomed(stage) and stage.key() not in self.others:
            self.others[stage.key()] = stage
            self.jobs.want(stage)

    def want_lost(self) -> None:
        """Retrains stages of complete trials that are no longer stored, and the stages above them."""
        for trial in self.record.trials:
            if trial.state == "complete" and not all(map(self.stages.has, (*trial.facts.above, trial.facts.stage))):
                self.want(self.space.decode(trial.params))

    def want_baselines(self, stages: Sequence[Stage]) -> None:
        self.baselines = {stage.key(): stage for stage in stages}
        for stage in self.baselines.values():
            self.want(stage)

    def is_doomed(self, stage: Stage) -> bool:
        """Whether it, or a network that it learns from, could not be trained."""
        return bool(self.failures) and any(network.key() in self.failures for network in chain_of(stage))

    # How stages end

    def stored(self, network: Network) -> None:
        """Ends the open trials of a stored network; enters it as a trial if it is an assistant that could be a student.

        If a metric of your own has no value for it, the trials that need it fail, as if it could not be trained.
        """
        key = network.key()
        if not isinstance(network, Stage):
            return
        if (reason := self.stages.refused(key)) is not None:
            self.failed(network, reason)
            return
        for trial in self.trials.open_of(key):
            self._note_passed(network)
            self.trials.tell(trial, trial.facts, self.stages.values(key, self.space.spec.search.objectives))
            self._close(trial.number)
        is_assistant = key not in self.trials.teachers and not network.pretrains
        if self._waiting.get(key) and key not in self._entered and is_assistant:
            self._entered.add(key)
            self._enter_assistant(network)

    def stopped(self, key: str, seconds: float) -> None:
        """Ends the open trials of a stage that was stopped at a rung, after `seconds` of training."""
        for trial in self.trials.open_of(key):
            self.trials.tell(trial, replace(trial.facts, seconds=seconds), stopped=True)
            self._close(trial.number)

    def failed(self, network: Network, reason: str) -> None:
        """Ends all trials that need a network that could not be trained, and drops the other stages that do."""
        self.failures[network.key()] = reason
        self.record.note(replace(self.record.notes, failed=dict(self.failures)))
        for number in sorted(self._waiting.get(network.key(), ())):
            self._tell_failed(self.trials.open[number], network)
        for key, stage in list(self.others.items()):
            if self.is_doomed(stage):
                self.jobs.drop(self.others.pop(key))

    def _want(self, number: int, stage: Stage) -> None:
        self._stages[number] = stage
        self.jobs.want(stage)
        for network in chain_of(stage):
            self._waiting[network.key()][number] = None

    def _settle(self, number: int, stage: Stage) -> None:
        """Ends an open trial, and all others of its stage, if the stage is stored or can no longer be trained."""
        for network in chain_of(stage):
            if number not in self.trials.open:
                return
            if network.key() in self.failures:
                self._tell_failed(self.trials.open[number], network)
            elif self.jobs.is_done(Job(network=network)):
                self.stored(network)

    def _note_passed(self, stage: Stage) -> None:
        """The rungs of a stage count, no matter which study trained it: another one, or this one before it was killed."""
        name = self.space.spec.search.objectives[0]
        found = [(rung.epochs, rung.values[name]) for rung in self.stages.facts(stage.key()).rungs if name in rung.values]
        self.trials.rungs.enter(stage.key(), self.space.sizes(stage.architecture), stage.recipe.epochs, found)

    def _enter_assistant(self, network: Stage) -> None:
        """Adds an assistant that this space could have proposed as information for the sampler."""
        params = None if self.trials.is_open_or_complete(network.key()) else self.space.encode(network)
        if params is not None:
            values = self.stages.values(network.key(), self.space.spec.search.objectives)
            facts = TrialFacts.of(network, self.space.sizes(network.architecture))
            self.trials.add(params, replace(facts, role="assistant"), values=values)

    def _tell_failed(self, trial: Trial, network: Network) -> None:
        reason = self.failures[network.key()]
        if network.key() != trial.facts.stage:
            what = "the first phase of" if isinstance(network, Stage) and network.pretrains else "assistant"
            reason = f"{what} {describe(network.architecture)} failed: {reason}"
        self._close_ladder(self._stages[trial.number])
        self.trials.tell(trial, replace(trial.facts, reason=reason))
        self._close(trial.number)

    def _close(self, number: int) -> None:
        """Withdraws what a trial that ended has requested."""
        stage = self._stages.pop(number)
        for network in chain_of(stage):
            del self._waiting[network.key()][number]
            if not self._waiting[network.key()]:
                del self._waiting[network.key()]
        self.jobs.drop(stage)

    def _close_ladder(self, stage: Stage) -> None:
        """A ladder size whose assistant failed is not proposed again in this study."""
        own = pretrained(stage)
        for network in stage.ancestors():
            if network.key() in self.failures and network.architecture in self.space.ladder and network != own:
                self.space.closed.add(self.space.ladder.index(network.architecture))
