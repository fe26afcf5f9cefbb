"""A sampler that is never out of proposals, so that a comparison gives every strategy as many trainings."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..space import Space
from ..spec.search import Search
from ..study.proposals import Proposals
from ..study.record import Trial


class Fresh(Proposals):
    """Proposals of which one that repeats gives way to a random configuration, of `everything`, that was not tried.

    A real search ends after some repeats in a row, and those who know of none to avoid would be cut short: TPE after half of
    a small table. Once all were tried, one that was stopped goes on.
    """

    def __init__(self, search: Search, space: Space, everything: Sequence[Mapping[str, Any]], *, chance: float) -> None:
        self.space = space
        self._left = {space.decode(params).key(): dict(params) for params in everything}
        self._stopped: dict[str, dict[str, Any]] = {}
        self._rng = random.Random(search.seed)
        super().__init__(search, space, (), chance=chance)

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
        open_to = self._left or self._stopped
        key = self.space.decode(params).key()
        if not open_to or key in self._left or key in self._stopped:
            return params, sampled
        return dict(self._rng.choice(list(open_to.values()))), {}
