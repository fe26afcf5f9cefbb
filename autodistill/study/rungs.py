"""What trainings came to at their rungs, and who goes on there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..halving import Reached
from ..spec.search import Search
from .tables import costs


class Rungs:
    """Of one study, by the key of the stage. A rung is the same share of the epochs, however many `of` these there are."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self._reached = defaultdict[int, Reached](lambda: Reached(len(search.objectives)))
        self._passed: dict[str, list[tuple[int, float]]] = {}

    def passed(self, key: str) -> list[tuple[int, float]]:
        """Epochs and validation accuracy at each rung so far."""
        return self._passed.get(key, [])

    def enter(self, key: str, sizes: Mapping[str, Any], of: int, passed: Sequence[tuple[int, float]]) -> None:
        """What was decided on before. What is known already stays; what is no rung here, with other shares, is left out."""
        places = self.search.places(of)
        for epochs, accuracy in passed:
            if epochs in places and not self._has(key, epochs):
                self._enter(key, sizes, places[epochs], epochs, accuracy)

    def goes_on(self, key: str, sizes: Mapping[str, Any], of: int, epochs: int, accuracy: float) -> bool:
        """Takes note, and decides. A training that was asked for again goes on where it was stopped."""
        assert self.search.halving, "without halving no training reports"
        if self._has(key, epochs):
            return True
        rung = self.search.places(of)[epochs]
        self._enter(key, sizes, rung, epochs, accuracy)
        return self._reached[rung].last_goes_on(self.search.halving.share)

    def _has(self, key: str, epochs: int) -> bool:
        return any(epochs == before for before, _ in self.passed(key))

    def _enter(self, key: str, sizes: Mapping[str, Any], rung: int, epochs: int, accuracy: float) -> None:
        names = self.search.objectives
        self._passed.setdefault(key, []).append((epochs, accuracy))
        row: dict[str, Any] = {name: accuracy if name == "accuracy" else sizes[name] for name in names}
        self._reached[rung].enter(costs([row], names)[0])
