"""Which student is tried next, and when a search ends: enough trials, its time is up, or too little is left to gain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ...spec import UsageError
from ...spec.measurement import Sized
from ...spec.search import Search
from ..record.notes import First, Over
from ..record.region import Region, edges
from ..sampling.ehvi_sampler import INSIDE, informed
from ..sampling.first import defaults
from ..space import Proposal, Space
from .jobs import Jobs
from .trials import Trials

FIRST, STEP = 8, 1.15
"""The expected gain is computed after FIRST trials, and whenever STEP times as many have ended."""
REPEATS = 20


class Policy:
    """Decides for one study, from what `trials` tell. `elapsed` gives the seconds of this run.

    `ended` says why no further trial begins. `region` is called when it is known: once the first teacher is stored.
    """

    def __init__(
        self, search: Search, space: Space, trials: Trials, *, region: Callable[[], Region], elapsed: Callable[[], float]
    ) -> None:
        self.search, self.space, self.trials, self.record = search, space, trials, trials.record
        self.region, self._elapsed = region, elapsed
        self._before = self.record.notes.elapsed
        self._first = self._queue()
        self._due = FIRST
        self.ended = self._known() or self._repeats_only()

    def has_asked_all(self) -> bool:
        self.ended = self.ended or self._repeats_only()
        return self.ended is not None or self.trials.counted >= self.search.most()

    def may_ask(self, workers: int, jobs: Jobs) -> bool:
        """Whether another trial may begin; notes the reason if none will."""
        if not self._has_room(workers, jobs) or self.has_asked_all():
            return False
        self.ended = self._time() or self._gain(workers)
        if self.ended is not None:
            self.record.note(replace(self.record.notes, over=Over(self._limits(), self.ended)))
        return self.ended is None

    def _has_room(self, workers: int, jobs: Jobs) -> bool:
        """Whether another trial may be open: one for each worker, and more while workers wait for an assistant's training.

        Workers wait for logits, which take less time: a trial proposed before the first results are known is wasted.
        """
        count = len(self.trials.open)
        return count < workers or (count < workers + len(self.space.ladder) and jobs.train_for_others())

    def propose(self, teacher: Sized) -> Proposal | None:
        """What is to be tried first, then what the sampler proposes; None if no student is left. Raises UsageError if none
        was within the limits from the beginning.
        """
        if self.record.notes.edges is None:
            self._aim(teacher)
        while self._first:
            name, params = self._first.pop(0)
            if self.space.feasible(params) and not self.trials.of(self.space.decode(params).key()):
                return Proposal(params, enqueued=name)
        try:
            return self.trials.sampler.propose(self.space.feasible)
        except UsageError:
            if not self.space.closed:
                raise
            self.ended = "no student is left to propose: the assistants need ladder sizes that failed"
            return None

    def elapsed(self) -> float:
        """Seconds of searching, those of earlier runs included."""
        return self._before + self._elapsed()

    def _aim(self, teacher: Sized) -> None:
        """Queues default students of the sizes at which students are predicted to reach the region."""
        region = self.region()
        sizes = None if region.everything else edges(region, teacher.params)
        self.record.note(replace(self.record.notes, edges=tuple(defaults(self.space, sizes))))
        self._first = self._queue()

    def _queue(self) -> list[First]:
        """The configurations to try first that have not been proposed yet."""
        notes, asked = self.record.notes, {trial.facts.enqueued for trial in self.record.trials}
        return [one for one in (*notes.first, *(notes.edges or ())) if one.name not in asked]

    # When a search ends

    def _known(self) -> str | None:
        """Why an earlier run ended, unless the limits have changed since."""
        found = self.record.notes.over
        return found.reason if found and found.limits == self._limits() else None

    def _limits(self) -> list[object]:
        return [self.search.trials, self.search.time, self.search.stop and self.search.stop.gain]

    def _repeats_only(self) -> str | None:
        if self.trials.repeated < REPEATS:
            return None
        return f"{REPEATS} proposals in a row repeated finished stages: this sampler finds nothing new in the space"

    def _time(self) -> str | None:
        if self.search.time is None:
            return None
        elapsed = self.elapsed()
        self.record.note(replace(self.record.notes, elapsed=elapsed))
        return None if elapsed < self.search.seconds() else f"search.time ({self.search.time}) is up"

    def _gain(self, workers: int) -> str | None:
        done, region = self.trials.counted_done, self.region()
        if self.search.stop is None or done < self._due:
            return None
        self._due = math.ceil(STEP * done)
        known = self.record.trials
        if sum(trial.values is not None and region.holds(trial.value, trial.sizes) for trial in known) < INSIDE:
            return None
        found = informed(self.search, self.space, known, region).improvement(next_round(done, workers), self.space.feasible)
        if found is None or found.mean >= self.search.stop.gain:
            return None
        more = f"{found.trials:,} more trial{'s are' if found.trials != 1 else ' is'}"
        return f"{more} expected to add {found.mean:.1%} to the hypervolume, less than search.stop.gain"


def next_round(done: int, workers: int) -> int:
    """Trials of the round that follows `done`: half as many again, and at least one for each worker."""
    return max(workers, math.ceil(done / 2))
