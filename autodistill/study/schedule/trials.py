"""The trials of a study by stage, and their counts: kept in step with the record, the sampler, and the rungs.

No step searches through all trials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from ...spec.domains import Params
from ..record.notes import Trial, TrialFacts
from ..record.record import Record
from ..sampling.proposals import Sampler
from ..space import Space
from .halving import Rungs


class Trials:
    """`counted` trials count toward search.trials: `counted_done` of them have ended, `counted_failed` failed. `told` counts
    all that have ended, `uses` the networks that complete ones needed, `repeated` the latest proposals that repeated a stage.
    """

    def __init__(self, record: Record, sampler: Sampler, rungs: Rungs, space: Space) -> None:
        self.record, self.sampler, self.rungs, self.space = record, sampler, rungs, space
        self.teachers = {teacher.key() for teacher in space.teachers}
        self.open: dict[int, Trial] = {}
        self.counted = self.counted_done = self.counted_failed = self.told = self.uses = self.repeated = 0
        self._of: defaultdict[str, list[Trial]] = defaultdict(list)
        for trial in record.trials:
            self.sampler.added(trial)
            self._enter(trial)
        for trial in record.trials:
            if trial.facts.rungs:
                self.rungs.enter(trial.facts.stage, trial.sizes, self._epochs(trial), trial.facts.rungs)
                self._completed(trial)

    def of(self, key: str) -> list[Trial]:
        """The trials of a stage, in the order proposed."""
        return self._of.get(key, [])

    def open_of(self, key: str) -> list[Trial]:
        return [trial for trial in self.of(key) if trial.state == "running"]

    def is_open_or_complete(self, key: str) -> bool:
        return any(trial.state in ("running", "complete") for trial in self.of(key))

    def add(
        self,
        params: Params,
        facts: TrialFacts,
        *,
        values: list[float] | None = None,
        sampled: Mapping[str, object] | None = None,
    ) -> Trial:
        """A new trial: open, or complete if it has values."""
        if facts.retries is not None:
            self._uncount(self.record.trials[facts.retries])
        trial = self.record.add(params, facts, values=values, sampled=sampled)
        self.sampler.added(trial)
        self._enter(trial)
        return trial

    def tell(self, trial: Trial, facts: TrialFacts, values: list[float] | None = None, *, stopped: bool = False) -> None:
        """Ends an open trial with these facts: complete if it has values, else stopped at a rung or failed."""
        facts = replace(facts, rungs=tuple(self.rungs.passed(facts.stage)))
        self.record.tell(trial, facts, values, stopped=stopped)
        self._completed(trial)
        self.sampler.ended(trial)
        del self.open[trial.number]
        self._count_end(trial)

    def _enter(self, trial: Trial) -> None:
        self._of[trial.facts.stage].append(trial)
        self.counted += trial.counts
        if not trial.is_assistant:
            self.repeated = self.repeated + 1 if trial.facts.repeats else 0
        if trial.state == "running":
            self.open[trial.number] = trial
        else:
            self._count_end(trial)

    def _completed(self, trial: Trial) -> None:
        if trial.values is not None:
            self.rungs.completed(trial.facts.stage, self._epochs(trial), trial.values[0])

    def _epochs(self, trial: Trial) -> int:
        return self.space.spec.student.epochs(trial.params)

    def _count_end(self, trial: Trial) -> None:
        self.told += 1
        self.counted_done += trial.counts
        self.counted_failed += trial.counts and trial.state == "failed"
        if trial.state == "complete" and not trial.is_assistant and trial.facts.kept is None:
            self.uses += 1 + sum(key not in self.teachers for key in trial.facts.above)

    def _uncount(self, trial: Trial) -> None:
        """Removes a trial that is retried from the counts."""
        self.counted -= trial.counts
        self.counted_done -= trial.counts
        self.counted_failed -= trial.counts and trial.state == "failed"
