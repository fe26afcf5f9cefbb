"""A sampler that is never out of proposals, so that a comparison gives every strategy as many trainings."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autodistill.spec.search import Search
from autodistill.study.record.record import Trial
from autodistill.study.record.region import Region
from autodistill.study.sampling.proposals import Proposals
from autodistill.study.schedule.trials import REPEATS
from autodistill.study.space import Space


class Fresh(Proposals):
    """Proposals that do not end: the repeat that would end a search gives way to a random one, of `everything`, not tried.

    Other repeats are told as in a real search and cost no time, so that up to there a strategy is what it is: to replace each
    of them made TPE slower. A search ends after REPEATS in a row; TPE's would after half of a small table. Once all were
    tried, one that was stopped goes on.
    """

    def __init__(
        self, search: Search, space: Space, everything: Sequence[Mapping[str, Any]], *, region: Callable[[], Region]
    ) -> None:
        self.space = space
        self._left = {space.decode(params).key(): dict(params) for params in everything}
        self._stopped: dict[str, dict[str, Any]] = {}
        self._rng = random.Random(search.seed)
        self._repeated = 0
        super().__init__(search, space, (), region=region)

    def added(self, trial: Trial) -> None:
        self._left.pop(trial.facts["stage"], None)
        self._stopped.pop(trial.facts["stage"], None)
        super().added(trial)

    def ended(self, trial: Trial) -> None:
        if trial.state == "stopped":
            self._stopped[trial.facts["stage"]] = trial.params
        super().ended(trial)

    def propose(self, feasible: Callable[[Mapping[str, Any]], bool]) -> tuple[dict[str, Any], dict[str, Any]]:
        params, sampled = super().propose(feasible)
        key = self.space.decode(params).key()
        self._repeated = 0 if key in self._left or key in self._stopped else self._repeated + 1
        left = list((self._left or self._stopped).values())
        if self._repeated < REPEATS or not left:
            return params, sampled
        self._repeated = 0
        return self._rng.choice(left), {}
