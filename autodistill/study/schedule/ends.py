"""When a search ends: its time is up, or too little is left to gain. The study itself counts the trials."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...spec.search import Search
from ..record.record import Record
from ..record.region import Region
from ..sampling.ehvi_sampler import INSIDE, informed
from ..space import Space

OVER = "over"
"""The fact that says why a search ended, and for which limits."""
ELAPSED = "elapsed"
FIRST, STEP = 8, 1.15
"""The expected gain is computed after FIRST trials, and whenever STEP times as many have ended."""


class Ends:
    """The end of one study's search. `elapsed` gives the seconds of searching, earlier runs included."""

    def __init__(self, search: Search, space: Space, record: Record, elapsed: Callable[[], float]) -> None:
        self.search, self.space, self.record, self.elapsed = search, space, record, elapsed
        self.before = float(record.facts().get(ELAPSED, 0.0))
        """Seconds of searching in earlier runs, until their last proposal."""
        self._due = FIRST

    def known(self) -> str | None:
        """Why an earlier run ended, unless the limits have changed since."""
        found = self.record.facts().get(OVER)
        return found["reason"] if found and found["limits"] == self._limits() else None

    def over(self, done: int, workers: int, region: Region) -> str | None:
        """Why no further trial begins, after `done` trials; None to continue."""
        reason = self._time() or self._gain(done, workers, region)
        if reason is not None:
            self.record.note(OVER, {"limits": self._limits(), "reason": reason})
        return reason

    def _limits(self) -> list[object]:
        return [self.search.trials, self.search.time, self.search.stop and self.search.stop.gain]

    def _time(self) -> str | None:
        if self.search.time is None:
            return None
        elapsed = self.elapsed()
        self.record.note(ELAPSED, elapsed)
        if elapsed < self.search.seconds():
            return None
        return f"search.time ({self.search.time}) is up"

    def _gain(self, done: int, workers: int, region: Region) -> str | None:
        if self.search.stop is None or done < self._due:
            return None
        self._due = math.ceil(STEP * done)
        if sum(trial.values is not None and region.holds(trial.accuracy, trial.sizes) for trial in self.record.trials) < INSIDE:
            return None
        sampler = informed(self.search, self.space, self.record.trials, region)
        found = sampler.improvement(next_round(done, workers), self.space.feasible)
        if found is None or found.mean >= self.search.stop.gain:
            return None
        return f"{found.trials} more trials would add an expected {found.mean:.1%} of hypervolume, less than search.stop.gain"


def next_round(done: int, workers: int) -> int:
    """Trials of the round that follows `done`: half as many again, and at least one for each worker."""
    return max(workers, math.ceil(done / 2))
