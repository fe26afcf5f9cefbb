"""From the trainings of a comparison of chains to its plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal

from ...metrics.intervals import mean_interval
from ...metrics.metric import Metric
from ...spec import Value, chain, describe
from ..confirm.confirmation import Mean
from .chain_plan import ChainPlan, Compared, Edge, Graph, Node, SeedValues, Teacher
from .compare import DIRECT, Candidate, assistant, gains, judged, ranked, verdict
from .planner import Planner
from .trainings import Measured, Trainings

NAMES = {
    "labels": "label-only",
    "direct": "direct",
    "loss": "direct, dist loss",
    "early": "direct, earlier teacher",
    "long": "direct, equal cost",
}


def chain_plan(planner: Planner, known: Measured, *, student: str, seconds: float, failures: Mapping[str, str]) -> ChainPlan:
    trainings, found = known.trainings, verdict(planner.every())
    space, ladder = trainings.space, planner.ladder
    compared = ranked(planner.found())
    others = sorted((one for one in planner.candidates if one not in compared), key=lambda one: -planner.seen(one))
    teacher = describe(space.teachers[0].architecture)
    return ChainPlan(
        study=space.spec.study,
        metric=trainings.metric.name,
        student=student,
        architecture=describe(trainings.direct.architecture),
        settings=trainings.params,
        teacher=Teacher(architecture=teacher, params=ladder.params.teacher, value=value_of(ladder.height(), trainings.metric)),
        params=ladder.params.student,
        seeds=planner.seen(DIRECT),
        cut=planner.is_cut,
        candidates=tuple(_row(one, planner, known, one in compared) for one in (*compared, *others)),
        chain=None if found.chain is None else name_of(found.chain, trainings),
        answer=name_of(found.answer, trainings),
        why=found.why,
        gain=found.gain,
        low=found.interval and found.interval.low,
        high=found.interval and found.interval.high,
        graph=graph(planner, known, found.chain),
        trained=_trained(planner, known),
        seconds=seconds,
        failures=dict(failures),
    )


def name_of(one: Candidate, trainings: Trainings) -> str:
    if one.kind != "chain":
        return NAMES[one.kind]
    sizes = " > ".join(describe(trainings.space.ladder[index]) for index in one.path)
    return f"{sizes}{' (dense)' if one.guidance == 'dense' else ''}"


def _row(one: Candidate, planner: Planner, known: Measured, is_compared: bool) -> Compared:
    heights, trainings = planner.heights(one), known.trainings
    seeds = planner.seeds[: len(heights)]
    stage = trainings.stage(one, planner.seeds[0])
    seconds = [sum(known.seconds(one, seed).values()) for seed in seeds]
    direct = [sum(known.seconds(DIRECT, seed).values()) for seed in seeds]
    others = [other for other in planner.candidates if planner.seen(other)]
    return Compared(
        name=name_of(one, trainings),
        kind=one.kind,
        path=tuple(describe(trainings.space.ladder[index]) for index in one.path),
        guidance=one.guidance if one.path else None,
        epochs=stage.recipe.epochs,
        why=tuple(planner.rules.get(one, ())),
        chain=chain(stage),
        stages=len(trainings.below(one, planner.seeds[0])),
        value=_values(heights, trainings.metric),
        gain=_gain(heights, planner.heights(DIRECT)),
        seconds=fmean(seconds) if seconds else None,
        extra=fmean(gains(seconds, direct)) if seconds else None,
        marginal=fmean(known.marginal(one, others, seed) for seed in seeds) if seeds else None,
        state="compared" if is_compared else "dropped" if heights else "not trained",
    )


def value_of(height: float, metric: Metric) -> float:
    """The value of the metric that has this height."""
    return float(metric.height(height))


def _values(heights: Sequence[float], metric: Metric) -> SeedValues:
    values = tuple(value_of(height, metric) for height in heights)
    mean = fmean(values) if values else None
    return SeedValues(n=len(values), mean=mean, deviation=stdev(values) if len(values) > 1 else None, values=values)


def _gain(of: Sequence[float], against: Sequence[float]) -> Mean | None:
    """The gain of heights over others."""
    n = min(len(of), len(against))
    if not n:
        return None
    found = judged(gains(of[:n], against[:n]))
    interval = mean_interval(found)
    return Mean(n=len(found), mean=fmean(found), low=interval and interval.low, high=interval and interval.high)


def _trained(planner: Planner, known: Measured) -> float:
    """Seconds of every training below the teacher that some candidate needs, each once."""
    found: dict[str, float] = {}
    ways = [assistant((*planner.best[above], index)) for index in planner.best for above in planner.best if above < index]
    for one in (*planner.candidates, *ways, *(assistant((index,)) for index in planner.best)):
        for seed in planner.seeds:
            found |= known.seconds(one, seed) if known.height(one, seed) is not None else {}
    return sum(found.values())


# The graph of chains


def graph(planner: Planner, known: Measured, best: Candidate | None) -> Graph:
    """Node 0 is the teacher, the last node is the student, and the best network of each size is in between.

    An edge's gain is relative to training the lower node from the teacher itself: with the first seed for assistants, as in
    the table for the student.
    """
    indices = sorted(planner.best)
    places = {index: place for place, index in enumerate(indices, 1)}
    student = len(indices) + 1
    gained: dict[tuple[int, int], float | None] = {(0, student): 0.0}
    for index in indices:
        gained |= dict(_gains_of(planner, index, places))
        gained |= dict(_gains_of_student(planner, index, places[index], student))
    chosen = _chosen(best, places, student)
    edges = (Edge(above=ends[0], below=ends[1], gain=gain, chosen=ends in chosen) for ends, gain in gained.items())
    return Graph(nodes=tuple(_nodes(planner, known, best)), edges=tuple(edges))


def _nodes(planner: Planner, known: Measured, best: Candidate | None) -> Iterator[Node]:
    ladder, trainings = planner.ladder, known.trainings

    def node(architecture: Value, role: Literal["teacher", "assistant", "student"], params: int, height: float | None) -> Node:
        value = None if height is None else value_of(height, trainings.metric)
        return Node(name=describe(architecture), role=role, params=params, value=value)

    yield node(trainings.space.teachers[0].architecture, "teacher", ladder.params.teacher, ladder.height())
    for index in sorted(planner.best):
        height = known.height(assistant(planner.best[index]), planner.seeds[0])
        yield node(trainings.space.ladder[index], "assistant", ladder.params.ladder[index], height)
    mean = fmean(planner.heights(best if best is not None else DIRECT))
    yield node(trainings.direct.architecture, "student", ladder.params.student, mean)


def _gains_of(planner: Planner, index: int, places: Mapping[int, int]) -> Iterator[tuple[tuple[int, int], float]]:
    """The gain of an assistant from each network above it, by both places."""
    known, first = planner.known, planner.seeds[0]
    direct = known.height(assistant((index,)), first)
    ways = {0: (index,)} | {places[above]: (*planner.best[above], index) for above in places if above < index}
    for above, way in ways.items():
        height = known.height(assistant(way), first)
        if height is not None and direct is not None:
            yield (above, places[index]), height - direct


def _gains_of_student(planner: Planner, index: int, place: int, student: int) -> Iterator[tuple[tuple[int, int], float | None]]:
    """The gain of the student from the assistant at `place`, by the best chain that ends with it."""
    ending = [one for one in planner.candidates if one.path[-1:] == (index,) and one.guidance == "serial"]
    there = [one for one in ending if planner.seen(one)]
    if there:
        best = max(there, key=lambda one: (planner.seen(one), fmean(planner.heights(one))))
        gain = _gain(planner.heights(best), planner.heights(DIRECT))
        yield (place, student), None if gain is None else gain.mean


def _chosen(best: Candidate | None, places: dict[int, int], student: int) -> set[tuple[int, int]]:
    if best is None:
        return {(0, student)}
    line = [0, *(places[index] for index in best.path if index in places), student]
    if best.guidance == "dense":
        return {(above, below) for place, above in enumerate(line) for below in line[place + 1 :]}
    return set(zip(line, line[1:], strict=False))
