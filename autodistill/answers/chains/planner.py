"""Which candidates are trained next, with which seeds: decided from heights and seconds alone, so that a table of trainings
can replay it.

Heights are values of the metric in units in which larger is better: accuracies themselves, or minus a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from .compare import DIRECT, Candidate, assistant, going_on
from .rules import RULES, Facts, Line


class Batch(NamedTuple):
    """What to train next: all of it may run at the same time."""

    what: str
    wanted: list[tuple[Candidate, int]]


class Known(Protocol):
    """Results of trainings so far."""

    def height(self, one: Candidate, seed: int) -> float | None:
        """None if it is missing or failed."""
        ...

    def cost(self, ones: Sequence[Candidate], seed: int) -> float:
        """Seconds that these would take with this seed; shared stages count once, stored ones not at all."""
        ...

    def left(self) -> float:
        """Seconds of training that are left."""
        ...


class Ladder(NamedTuple):
    """Parameters, layers (None if some network has no number of layers), and the teacher's height, once it is known."""

    params: Line[int]
    height: Callable[[], float]
    layers: Line[int] | None = None


class Planner:
    """Requests trainings batch by batch; `found` returns the current heights of the candidates.

    The first seed goes through the ladder, from the largest size to the smallest. Each size is taught by the teacher and by the
    best network of each larger size, and the best result is kept (dynamic programming: n (n + 1) / 2 assistants for n sizes,
    not 2^n - 1). The other seeds go to the candidates that may still be the best.
    """

    def __init__(
        self,
        ladder: Ladder,
        seeds: Sequence[int],
        known: Known,
        *,
        rivals: Sequence[Candidate] = (),
        dense: bool = True,
        long: Callable[[Candidate], Candidate | None] | None = None,
    ) -> None:
        self.ladder, self.seeds, self.known = ladder, tuple(seeds), known
        self.rivals, self.dense, self.long = (DIRECT, *rivals), dense, long
        self.rules: dict[Candidate, list[str]] = {}
        """Why each chain is a candidate; for direct, the rules that want no assistant."""
        self.candidates: list[Candidate] = list(self.rivals)
        self.best: dict[int, tuple[int, ...]] = {}
        """The path to the best network of each ladder size."""
        self.is_cut = False
        """Whether it ran out of time."""

    def rounds(self) -> Iterator[Batch]:
        first, sizes = self.seeds[0], self._indices()
        yield self._batch("without assistants, and each assistant taught by the teacher", self.rivals, first, sizes)
        yield from self._sweep(first)
        yield from self._chains(first)
        for place, seed in enumerate(self.seeds[1:], 1):
            found = self.found(place)
            if DIRECT not in found:  # it failed with an earlier seed, so nothing can be compared with it
                return
            staying = going_on(found, partial(self._costs, place), self.known.left())
            if len(staying) < 2:
                self.is_cut = self.is_cut or not staying
                return
            yield self._batch(f"seed {place + 1} of {len(self.seeds)}", staying, seed)

    def found(self, seeds: int | None = None) -> dict[Candidate, list[float]]:
        """The heights of candidates that have the first `seeds` seeds; by default, as many as direct has."""
        count = self.seen(DIRECT) if seeds is None else seeds
        every = {one: self.heights(one) for one in self.candidates}
        return {one: heights[:count] for one, heights in every.items() if len(heights) >= count > 0}

    def every(self) -> dict[Candidate, list[float]]:
        """The heights of all candidates that have any."""
        return {one: heights for one in self.candidates if (heights := self.heights(one))}

    def heights(self, one: Candidate) -> list[float]:
        """Its heights, seed by seed, up to the first missing one."""
        found = []
        for seed in self.seeds:
            height = self.known.height(one, seed)
            if height is None:
                break
            found.append(height)
        return found

    def seen(self, one: Candidate) -> int:
        return len(self.heights(one))

    def _batch(self, what: str, ones: Sequence[Candidate], seed: int, indices: Sequence[int] = ()) -> Batch:
        return Batch(what, [*((one, seed) for one in ones), *((assistant((index,)), seed) for index in indices)])

    def _costs(self, place: int, ones: Sequence[Candidate]) -> list[float]:
        return [self.known.cost(ones, seed) for seed in self.seeds[place:]]

    def _sweep(self, seed: int) -> Iterator[Batch]:
        """The best network of each size, as far as time allows."""
        for index in self._indices():
            ways = [(*self.best[above], index) for above in sorted(self.best)]
            self.is_cut = self.is_cut or self.known.left() <= 0
            if ways and not self.is_cut:
                yield Batch(f"assistant {index + 1} taught by larger ones", [(assistant(way), seed) for way in ways])
            there = self._heights([assistant(way) for way in ((index,), *ways)], seed)
            if there:
                self.best[index] = max(there, key=there.__getitem__).path

    def _chains(self, seed: int) -> Iterator[Batch]:
        """The student taught by each of these, by the assistants that published rules choose, and by several at once."""
        for index, path in self.best.items():
            self._add(Candidate(kind="chain", path=path), f"best of size {index + 1}")
        self._add_by_rules(seed)
        self.is_cut = self.is_cut or self.known.left() <= 0
        if self.is_cut:
            return
        yield self._batch("the student taught by each assistant", [one for one in self.candidates if one.kind == "chain"], seed)
        ending = self._heights([one for one in self.candidates if one.kind == "chain"], seed)
        if not ending:
            return
        best = max(ending, key=ending.__getitem__)
        if self.dense and self.known.left() > 0:
            self._add(Candidate(kind="chain", path=best.path, guidance="dense"), "best path, dense")
            self._add(Candidate(kind="chain", path=tuple(sorted(self.best)), guidance="dense"), "all sizes, dense")
        if self.known.left() > 0 and self.long is not None and (long := self.long(best)) is not None:
            self.candidates.insert(len(self.rivals), long)
        more = [one for one in self.candidates if one.guidance == "dense" or one.kind == "long"]
        if more:
            yield self._batch("dense chains, and direct at equal cost", more, seed)

    def _heights(self, ones: Sequence[Candidate], seed: int) -> dict[Candidate, float]:
        """The heights of those that have one."""
        return {one: height for one in ones if (height := self.known.height(one, seed)) is not None}

    def _add(self, one: Candidate, why: str) -> None:
        self.rules.setdefault(one, []).append(why)
        if one not in self.candidates:
            self.candidates.append(one)

    def _add_by_rules(self, seed: int) -> None:
        facts = Facts(self.ladder.params, self.ladder.layers, self._line(seed))
        for name, rule in RULES.items():
            path = rule(facts)
            if path is not None:
                self._add(Candidate(kind="chain", path=path) if path else DIRECT, name)

    def _line(self, seed: int) -> Line[float] | None:
        """The heights of the teacher, of each size taught by it, and of the student; None if one is missing."""
        student = self.known.height(Candidate(kind="labels"), seed)
        student = self.known.height(DIRECT, seed) if student is None else student
        heights = self._heights([assistant((index,)) for index in self._indices()], seed)
        if student is None or len(heights) < len(self._indices()):
            return None
        return Line(self.ladder.height(), tuple(heights.values()), student)

    def _indices(self) -> range:
        return range(len(self.ladder.params.ladder))
