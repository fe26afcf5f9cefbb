"""The results of a comparison of chains as plain facts: chain.json.

study, student, architecture     what the plan is for
settings     values of the student's other searched fields: given, or by default
teacher      architecture, params, accuracy
seeds        of each candidate; paths were chosen on the first, so gains are over the others
cut          whether it ran out of time before all seeds were trained
candidates   the best mean first; dropped ones last, each with
    name, kind, path (architectures of its assistants), guidance, epochs, why, chain
    accuracy     on the validation samples, over its seeds: n, mean, deviation, accuracies
    gain         over direct distillation, paired by seed: n, mean, low, high (95 % t interval; None for one seed)
    stages       trainings below the teacher
    seconds      of these, the mean over its seeds: seconds, extra (more than direct), marginal (not shared with others)
    state        compared, dropped, not trained
chain        the name of the best chain; answer: the name of the best choice; why (compare.Verdict); gain
graph        nodes: name, role, params, accuracy; edges: above, below (nodes), gain, chosen
trained      seconds of all trainings below the teacher that were compared
seconds      of this run; failures by key
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from ...metrics.intervals import mean_interval
from ...spec import chain, describe
from .compare import DIRECT, Candidate, assistant, gains, judged, ranked, verdict
from .planner import Planner
from .trainings import Measured, Trainings

Facts = dict[str, Any]
NAMES = {
    "labels": "label-only",
    "direct": "direct",
    "loss": "direct, dist loss",
    "early": "direct, earlier teacher",
    "long": "direct, equal cost",
}


def facts(planner: Planner, known: Measured, *, student: str, seconds: float, failures: Mapping[str, str]) -> Facts:
    trainings, found_verdict = known.trainings, verdict(planner.every())
    space = trainings.space
    compared = ranked(planner.found())
    others = sorted((one for one in planner.candidates if one not in compared), key=lambda one: -planner.seen(one))
    teacher = space.teachers[0]
    return {
        "study": space.spec.study,
        "student": student,
        "architecture": describe(trainings.direct.architecture),
        "settings": {name: value for name, value in trainings.params.items()},
        "teacher": {
            "architecture": describe(teacher.architecture),
            "params": planner.ladder.teacher,
            "accuracy": planner.ladder.accuracy(),
        },
        "params": planner.ladder.student,
        "seeds": planner.seen(DIRECT),
        "cut": planner.is_cut,
        "candidates": [_row(one, planner, known, one in compared) for one in (*compared, *others)],
        "chain": found_verdict.chain and name_of(found_verdict.chain, trainings),
        "answer": name_of(found_verdict.answer, trainings),
        "why": found_verdict.why,
        "gain": found_verdict.gain,
        "low": found_verdict.interval and found_verdict.interval.low,
        "high": found_verdict.interval and found_verdict.interval.high,
        "graph": graph(planner, known, found_verdict.chain),
        "trained": _trained(planner, known),
        "seconds": seconds,
        "failures": dict(failures),
    }


def name_of(one: Candidate, trainings: Trainings) -> str:
    if one.kind != "chain":
        return NAMES[one.kind]
    sizes = " > ".join(describe(trainings.space.ladder[index]) for index in one.path)
    return f"{sizes}{' (dense)' if one.guidance == 'dense' else ''}"


def _row(one: Candidate, planner: Planner, known: Measured, is_compared: bool) -> Facts:
    accuracies, trainings = planner.values(one), known.trainings
    seeds = planner.seeds[: len(accuracies)]
    stage = trainings.stage(one, planner.seeds[0])
    seconds = [sum(known.seconds(one, seed).values()) for seed in seeds]
    direct = [sum(known.seconds(DIRECT, seed).values()) for seed in seeds]
    others = [other for other in planner.candidates if planner.seen(other)]
    return {
        "name": name_of(one, trainings),
        "kind": one.kind,
        "path": [describe(trainings.space.ladder[index]) for index in one.path],
        "guidance": one.guidance if one.path else None,
        "epochs": stage.recipe.epochs,
        "why": planner.rules.get(one, []),
        "chain": chain(stage),
        "stages": len(trainings.below(one, planner.seeds[0])),
        "accuracy": _spread(accuracies),
        "gain": _gain(accuracies, planner.values(DIRECT)),
        "seconds": fmean(seconds) if seconds else None,
        "extra": fmean(gains(seconds, direct)) if seconds else None,
        "marginal": fmean(known.marginal(one, others, seed) for seed in seeds) if seeds else None,
        "state": "compared" if is_compared else "dropped" if accuracies else "not trained",
    }


def _spread(accuracies: list[float]) -> Facts:
    return {
        "n": len(accuracies),
        "mean": fmean(accuracies) if accuracies else None,
        "deviation": stdev(accuracies) if len(accuracies) > 1 else None,
        "accuracies": accuracies,
    }


def _gain(of: list[float], against: list[float]) -> Facts | None:
    n = min(len(of), len(against))
    if not n:
        return None
    found = judged(gains(of[:n], against[:n]))
    interval = mean_interval(found)
    return {"n": len(found), "mean": fmean(found), "low": interval and interval.low, "high": interval and interval.high}


def _trained(planner: Planner, known: Measured) -> float:
    """Seconds of every training below the teacher that some candidate needs, each once."""
    found: dict[str, float] = {}
    ways = [assistant((*planner.best[above], index)) for index in planner.best for above in planner.best if above < index]
    for one in (*planner.candidates, *ways, *(assistant((index,)) for index in planner.best)):
        for seed in planner.seeds:
            found |= known.seconds(one, seed) if known.accuracy(one, seed) is not None else {}
    return sum(found.values())


# The graph of chains


def graph(planner: Planner, known: Measured, best: Candidate | None) -> Facts:
    """Node 0 is the teacher, the last node is the student, and the best network of each size is in between.

    An edge's gain is relative to training the lower node from the teacher itself: with the first seed for assistants, as in
    the table for the student.
    """
    indices, ladder, trainings = sorted(planner.best), planner.ladder, known.trainings
    places = {index: place for place, index in enumerate(indices, 1)}
    student = len(indices) + 1
    nodes = [_node(trainings.space.teachers[0].architecture, "teacher", ladder.teacher, ladder.accuracy())]
    for index in indices:
        accuracy = known.accuracy(assistant(planner.best[index]), planner.seeds[0])
        nodes.append(_node(trainings.space.ladder[index], "assistant", ladder.sizes[index], accuracy))
    mean = fmean(planner.values(best if best is not None else DIRECT))
    nodes.append(_node(trainings.direct.architecture, "student", ladder.student, mean))
    edges = [{"above": 0, "below": student, "gain": 0.0}]
    for index in indices:
        edges += _edges_to(planner, index, places)
        edges += _edge_to_student(planner, index, places[index], student)
    chosen = _chosen(best, places, student)
    return {"nodes": nodes, "edges": [edge | {"chosen": (edge["above"], edge["below"]) in chosen} for edge in edges]}


def _node(architecture: Any, role: str, params: int, accuracy: float | None) -> Facts:
    return {"name": describe(architecture), "role": role, "params": params, "accuracy": accuracy}


def _edges_to(planner: Planner, index: int, places: dict[int, int]) -> list[Facts]:
    known, first, found = planner.known, planner.seeds[0], list[Facts]()
    direct = known.accuracy(assistant((index,)), first)
    ways = {0: (index,)} | {places[above]: (*planner.best[above], index) for above in places if above < index}
    for above, way in ways.items():
        accuracy = known.accuracy(assistant(way), first)
        if accuracy is not None and direct is not None:
            found.append({"above": above, "below": places[index], "gain": accuracy - direct})
    return found


def _edge_to_student(planner: Planner, index: int, place: int, student: int) -> list[Facts]:
    ending = [one for one in planner.candidates if one.path[-1:] == (index,) and one.guidance == "serial"]
    there = [one for one in ending if planner.seen(one)]
    if not there:
        return []
    best = max(there, key=lambda one: (planner.seen(one), fmean(planner.values(one))))
    gain = _gain(planner.values(best), planner.values(DIRECT))
    return [{"above": place, "below": student, "gain": gain and gain["mean"]}]


def _chosen(best: Candidate | None, places: dict[int, int], student: int) -> set[tuple[int, int]]:
    if best is None:
        return {(0, student)}
    line = [0, *(places[index] for index in best.path if index in places), student]
    if best.guidance == "dense":
        return {(above, below) for place, above in enumerate(line) for below in line[place + 1 :]}
    return set(zip(line, line[1:], strict=False))
