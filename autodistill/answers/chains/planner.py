"""Which candidates are trained next, with which seeds: decided from heights and seconds alone, so that a table of trainings
can replay it. At the end, published rules for one assistant: functions of sizes (parameters) and heights.

Heights are values of the metric in units in which larger is better: accuracies themselves, or minus a loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from .compare import DIRECT, Candidate, assistant, going_on

LAMBDA = 0.2
"""From MiniDisc's code; one percentage point of accuracy, or 0.01 of a loss, weighs as much as five of size."""


class Batch(NamedTuple):
    """What is to be trained next: all of it may run at the same time."""

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
    """Parameters of the teacher, the ladder (the largest first) and the student; the teacher's height, once it is known."""

    teacher: int
    sizes: tuple[int, ...]
    student: int
    height: Callable[[], float]


class Planner:
    """Requests trainings batch by batch; `found` returns the current heights of the candidates.

    The first seed goes through the ladder: for each size, from the largest, the best of all ways over the best network of
    each larger size is kept (dynamic programming: n (n + 1) / 2 assistants for n sizes, not 2^n - 1). The other seeds go to
    the candidates that may still be the best.
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
        """Why each chain is a candidate."""
        self.candidates: list[Candidate] = list(self.rivals)
        self.best: dict[int, tuple[int, ...]] = {}
        """The path to the best network of each ladder size."""
        self.is_cut = False
        """Whether it ran out of time."""

    def rounds(self) -> Iterator[Batch]:
        first, sizes = self.seeds[0], range(len(self.ladder.sizes))
        yield self._batch("without assistants, and each assistant taught by the teacher", self.rivals, first, sizes)
        yield from self._sweep(first)
        yield from self._chains(first)
        for place, seed in enumerate(self.seeds[1:], 1):
            found = self.found(place)
            if DIRECT not in found:  # it failed with an earlier seed: nothing could be compared with it
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
        for index in range(len(self.ladder.sizes)):
            ways = [(*self.best[above], index) for above in sorted(self.best)]
            self.is_cut = self.is_cut or self.known.left() <= 0
            if ways and not self.is_cut:
                yield Batch(f"assistant {index + 1} taught by larger ones", [(assistant(way), seed) for way in ways])
            there = self._heights([assistant(way) for way in ((index,), *ways)], seed)
            if there:
                self.best[index] = max(there, key=there.__getitem__).path

    def _chains(self, seed: int) -> Iterator[Batch]:
        """The student taught by each of these, by the choices of published rules, and by several at once."""
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
        ladder, heights = self.ladder, [self.known.height(assistant((index,)), seed) for index in self._indices()]
        student = self.known.height(Candidate(kind="labels"), seed)
        student = self.known.height(DIRECT, seed) if student is None else student
        by_size = geometric_mean(ladder.sizes, teacher=ladder.teacher, student=ladder.student)
        self._add(Candidate(kind="chain", path=(by_size,)), "geometric mean of sizes")
        known = [height for height in heights if height is not None]
        if student is None or len(known) < len(heights):
            return
        middle = middle_accuracy(known, teacher=ladder.height(), student=student)
        self._add(Candidate(kind="chain", path=(middle,)), "middle accuracy")
        self._add(Candidate(kind="chain", path=(tradeoff(known, ladder.sizes, teacher=ladder.teacher),)), "lambda trade-off")

    def _indices(self) -> range:
        return range(len(self.ladder.sizes))


# Published rules; each returns an index of the ladder, and ties go to the first


def middle_accuracy(heights: Sequence[float], *, teacher: float, student: float) -> int:
    """The index of the ladder size whose height is nearest to the mean of the teacher's and the student's.

    Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020, section 4.2, for accuracies. For a
    loss, the choice is the same with losses as with heights. Raises ValueError for an empty ladder.
    """
    middle = (teacher + student) / 2
    return _least([abs(height - middle) for height in heights])


def tradeoff(heights: Sequence[float], params: Sequence[int], *, teacher: int, weight: float = LAMBDA) -> int:
    """The index of the ladder size with the largest height + weight * (1 - params / teacher's params).

    Zhang et al., "MiniDisc: Minimal Distillation Schedule for Language Model Compression", 2024, for accuracies from 0 to 1;
    their scale is the share of parameters that is left. A loss is not scaled: a teacher's size weighs as much as `weight`
    units of it, such as 0.2 nats. Raises ValueError for an empty ladder.
    """
    pairs = zip(heights, params, strict=True)
    return _least([-(height + weight * (1 - size / teacher)) for height, size in pairs])


def geometric_mean(params: Sequence[int], *, teacher: int, student: int) -> int:
    """The index of the size nearest, by its logarithm, to the geometric mean of the teacher's and the student's.

    Raises ValueError for an empty ladder.
    """
    middle = (math.log(teacher) + math.log(max(1, student))) / 2
    return _least([abs(math.log(size) - middle) for size in params])


def _least(values: Sequence[float]) -> int:
    return min(range(len(values)), key=lambda place: values[place])
