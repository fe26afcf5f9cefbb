"""A sampler that is never out of proposals, so that a comparison gives every strategy as many trainings."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from autodistill.spec.domains import Params
from autodistill.spec.search import Search
from autodistill.study.record.notes import Trial
from autodistill.study.record.region import Region
from autodistill.study.sampling.proposals import sampler_of
from autodistill.study.schedule.policy import REPEATS
from autodistill.study.space import Feasible, Proposal, Space


class Fresh:
    """Proposals that do not end: the repeat that would end a search gives way to a random one, of `everything`, not tried.

    Other repeats are told as in a real search and cost no time, so that up to there a strategy is what it is: to replace each
    of them made TPE slower. A search ends after REPEATS in a row; TPE's would after half of a small table. Once all were
    tried, one that was stopped goes on.
    """

    def __init__(self, search: Search, space: Space, everything: Sequence[Params], region: Callable[[], Region]) -> None:
        self.space, self._sampler = space, sampler_of(search, space, region)
        self._left = {space.decode(params).key(): params for params in everything}
        self._stopped: dict[str, Params] = {}
        self._rng = random.Random(search.seed)
        self._repeated = 0

    def added(self, trial: Trial) -> None:
        self._left.pop(trial.facts.stage, None)
        self._stopped.pop(trial.facts.stage, None)
        self._sampler.added(trial)

    def ended(self, trial: Trial) -> None:
        if trial.state == "stopped":
            self._stopped[trial.facts.stage] = trial.params
        self._sampler.ended(trial)

    def propose(self, feasible: Feasible) -> Proposal:
        found = self._sampler.propose(feasible)
        key = self.space.decode(found.params).key()
        self._repeated = 0 if key in self._left or key in self._stopped else self._repeated + 1
        left = list((self._left or self._stopped).values())
        if self._repeated < REPEATS or not left:
            return found
        self._repeated = 0
        return Proposal(self._rng.choice(left))
