"""The trials of a search as arrays: features, log sizes, heights, and what stopped ones are predicted to reach."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...metrics.metric import metric_of
from ...spec.arrays import Floats
from ...spec.measurement import Sizes
from ...spec.search import Search
from ..record.notes import Trial
from ..record.rows import passed
from ..space import Space
from .candidates import Candidates
from .ehvi import Steps, Students, predict_end

WINDOW = 160
"""A model uses at most this many trials: half are the most recent, half are the nearest to the frontier."""
RECENT = 300
"""So many stopped, running, and complete trials, the most recent ones, are used beside them."""


class Predicted(NamedTuple):
    """Places of stopped trials, the predicted final values of their metric, warped, and the deviations of these."""

    places: list[int]
    mean: Floats
    deviation: Floats


class History:
    """All trials in the order proposed; a place is a position in it. If several sizes are objectives, they take turns.

    `asked` counts the sampler's proposals, `complete` are the places of trials with values, `stages` the keys of all.
    """

    def __init__(self, search: Search, space: Space, candidates: Candidates) -> None:
        self.search, self.space, self.candidates, self.metric = search, space, candidates, metric_of(search)
        self.asked = 0
        self.trials: list[Trial] = []
        self.complete: list[int] = []
        self.stages: set[str] = set()
        self._features: list[Floats] = []
        self._sizes: list[Sizes] = []
        self._stopped: dict[str, int] = {}
        self._running: dict[int, int] = {}

    def added(self, trial: Trial) -> None:
        self.asked += not trial.is_assistant and trial.facts.enqueued is None
        place = len(self.trials)
        self.trials.append(trial)
        self.stages.add(trial.facts.stage)
        self._stopped.pop(trial.facts.stage, None)  # it continues
        self._features.append(self.candidates.encode(trial.params, trial.sizes))
        self._sizes.append(trial.sizes)
        if trial.state == "running":
            self._running[trial.number] = place
        else:
            self._end(trial, place)

    def ended(self, trial: Trial) -> None:
        self._end(trial, self._running.pop(trial.number))

    def _end(self, trial: Trial, place: int) -> None:
        if trial.state == "complete":
            bisect.insort(self.complete, place)
        elif trial.state == "stopped":
            self._stopped[trial.facts.stage] = place

    # Arrays

    def size(self) -> str:
        """The current size objective."""
        names = self.search.objectives[1:]
        return names[self.asked % len(names)]

    def logs(self, sizes: Sequence[Sizes]) -> Floats:
        """(n,) log10 of the current size objective."""
        return np.log10(np.array([max(getattr(one, self.size()), 1) for one in sizes], dtype=np.float64))

    def features(self, places: Sequence[int]) -> Floats:
        """(n, d)"""
        return np.array([self._features[place] for place in places])

    def sizes(self, places: Sequence[int]) -> Floats:
        """(n,) log sizes."""
        return self.logs([self._sizes[place] for place in places])

    def heights(self, places: Sequence[int]) -> Floats:
        """(n,) the metric of complete trials, in units in which larger is better."""
        return self.metric.height([self.trials[place].value for place in places])

    def students(self) -> Students:
        """The complete ones."""
        return Students(self.features(self.complete), self.sizes(self.complete))

    def steps(self, floor: float) -> Steps:
        """The frontier of measured heights above the floor."""
        return Steps.of(self.sizes(self.complete), self.heights(self.complete), floor)

    def front(self, steps: Steps) -> list[int]:
        """Places of the members of that frontier."""
        sizes, heights = self.sizes(self.complete), self.heights(self.complete)
        on = np.isin(sizes, steps.sizes) & (heights >= steps.height(sizes) - 1e-12)
        return [self.complete[index] for index in np.flatnonzero(on)]

    def window(self, steps: Steps) -> list[int]:
        """Places of the trials that a model uses."""
        if len(self.complete) <= WINDOW:
            return self.complete
        recent, older = self.complete[-WINDOW // 2 :], self.complete[: -WINDOW // 2]
        reached, own = (self.metric.height(one) for one in (steps.height(self.sizes(older)), self.heights(older)))
        short = self.metric.warp(reached) - self.metric.warp(own)
        return [older[index] for index in sorted(np.argsort(short, kind="stable")[: WINDOW // 2])] + recent

    # Trials without a result

    def running(self) -> list[int]:
        """Places, in the order proposed."""
        return sorted(self._running.values())

    def stopped(self) -> list[int]:
        """Places, in the order proposed, each stage once, without those that were proposed again."""
        return sorted(self._stopped.values())

    def predicted(self, stopped: Sequence[int]) -> Predicted:
        """The stopped trials that can be predicted, because others have passed the same rung and ended."""
        ended: dict[int, list[tuple[float, float]]] = {}
        for trial in (self.trials[place] for place in self.complete[-RECENT:]):
            for rung, value in self._passed(trial):
                ended.setdefault(rung, []).append((value, trial.value))
        last = {place: rungs[-1] for place in stopped if (rungs := self._passed(self.trials[place]))}
        places = [place for place, (rung, _) in last.items() if rung in ended]
        found = [predict_end(self.metric, float(self.metric.warp(last[place][1])), ended[last[place][0]]) for place in places]
        return Predicted(places, np.array([mean for mean, _, _ in found]), np.array([deviation for _, deviation, _ in found]))

    def _passed(self, trial: Trial) -> list[tuple[int, float]]:
        return passed(self.space.spec, trial.params, trial.facts.rungs)
