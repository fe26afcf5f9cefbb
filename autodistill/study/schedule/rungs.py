"""The accuracies of trainings at their rungs, and which trainings continue."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from ...metrics.intervals import warp
from ...spec.measurement import Sized
from ...spec.search import Search
from ..record.region import Region
from ..record.rows import costs
from ..sampling.ehvi import predict_end
from .halving import Reached

FEWEST, CERTAIN = 4, 0.95


class Rungs:
    """The rungs of one study, by the key of the stage. A rung is a share of the epochs, whatever their number `of` is.

    `region` is called when a training reports, not before.
    """

    def __init__(self, search: Search, region: Callable[[], Region]) -> None:
        self.search, self.region = search, region
        self._complete: set[str] = set()
        self._ended: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        """By rung, the accuracies there and at full length of trainings that continued to the end."""
        self._reached = defaultdict[int, Reached](lambda: Reached(len(search.objectives)))
        self._passed: dict[str, list[tuple[int, float]]] = {}

    def passed(self, key: str) -> list[tuple[int, float]]:
        """Epochs and validation accuracy at each rung so far."""
        return self._passed.get(key, [])

    def enter(self, key: str, sizes: Sized, of: int, passed: Sequence[tuple[int, float]]) -> None:
        """Adds earlier decisions. Known ones stay; epochs that are not rungs of this study are left out."""
        places = self.search.places(of)
        for epochs, accuracy in passed:
            if epochs in places and not self._has(key, epochs):
                self._enter(key, sizes, places[epochs], epochs, accuracy)

    def completed(self, key: str, of: int, accuracy: float) -> None:
        """A training ended: records its final accuracy for each of its rungs."""
        places = self.search.places(of)
        for epochs, before in self.passed(key) if key not in self._complete else ():
            self._ended[places[epochs]].append((before, accuracy))
        self._complete.add(key)

    def continues(self, key: str, sizes: Sized, of: int, epochs: int, accuracy: float) -> bool:
        """Records the result and decides. A training that was proposed again continues where it was stopped.

        A training that will not reach the region of interest ends, however small; otherwise `halving.continues` decides, which
        treats accuracies within one standard error as equal.
        """
        assert self.search.halving, "without halving no training reports"
        if self._has(key, epochs):
            return True
        rung, region = self.search.places(of)[epochs], self.region()
        self._enter(key, sizes, rung, epochs, accuracy)
        if not region.everything and is_hopeless(accuracy, self._ended[rung], region.floor):
            return False
        error = math.sqrt(accuracy * (1 - accuracy) / region.samples)
        return self._reached[rung].last_goes_on(self.search.halving.share, margin=error)

    def _has(self, key: str, epochs: int) -> bool:
        return any(epochs == before for before, _ in self.passed(key))

    def _enter(self, key: str, sizes: Sized, rung: int, epochs: int, accuracy: float) -> None:
        names = self.search.objectives
        self._passed.setdefault(key, []).append((epochs, accuracy))
        values = [accuracy if name == "accuracy" else float(getattr(sizes, name)) for name in names]
        self._reached[rung].enter(costs([values], names)[0])


def is_hopeless(accuracy: float, ended: Sequence[tuple[float, float]], floor: float) -> bool:
    """Whether a training with this accuracy at a rung will, with 95 % confidence, end below the accuracy `floor`.

    `ended` are accuracies of others at that rung and at their end. The one-sided t interval is for one more training; False
    while fewer than FEWEST have ended.
    """
    if len(ended) < FEWEST:
        return False
    from scipy.stats import t

    mean, deviation, n = predict_end(float(warp(accuracy)), ended)
    reach = float(t.ppf(CERTAIN, n - 1)) * deviation * math.sqrt(1 + 1 / n)
    return bool(mean + reach < warp(floor))
