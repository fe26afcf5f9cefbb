"""What trainings came to at their rungs, and who goes on there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..halving import Reached
from ..spec.search import Search
from .tables import costs


class Rungs:
    """Of one study, by the key of the stage. Rungs lie at the same shares of the epochs, however many these are."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self._reached: dict[int, Reached] = {}
        self._passed: dict[str, list[tuple[int, float]]] = {}

    def passed(self, key: str) -> list[tuple[int, float]]:
        """Epochs and validation accuracy at each rung so far."""
        return self._passed.get(key, [])

    def enter(self, key: str, sizes: Mapping[str, Any], passed: Sequence[tuple[int, float]]) -> None:
        """What was decided on before: its rungs from the first one on. What is known already stays."""
        for place, (epochs, accuracy) in list(enumerate(passed))[len(self.passed(key)) :]:
            self._enter(key, sizes, place, epochs, accuracy)

    def goes_on(self, key: str, sizes: Mapping[str, Any], epochs: int, accuracy: float) -> bool:
        """Takes note, and decides. A training that was asked for again goes on where it was stopped."""
        assert self.search.halving, "without halving no training reports"
        if any(epochs == before for before, _ in self.passed(key)):
            return True
        place = len(self.passed(key))
        self._enter(key, sizes, place, epochs, accuracy)
        return self._reached[place].last_goes_on(self.search.halving.share)

    def _enter(self, key: str, sizes: Mapping[str, Any], place: int, epochs: int, accuracy: float) -> None:
        names = self.search.objectives
        self._passed.setdefault(key, []).append((epochs, accuracy))
        row: dict[str, Any] = {name: accuracy if name == "accuracy" else sizes[name] for name in names}
        self._reached.setdefault(place, Reached(len(names))).enter(costs([row], names)[0])
