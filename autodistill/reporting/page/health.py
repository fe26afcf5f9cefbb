"""How far a search can be trusted: its course, what mattered, and where it reached an edge of the space."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState, create_trial

from ...metrics.metric import Metric
from ...spec import Spec, UsageError, parse
from ...spec.domains import Choice, Int, Log, Uniform
from ...study import pareto
from ...study.record.findings import hypervolume
from ...study.record.rows import Origin, TrialRow, costs
from ...study.space import domains_of
from .study import Study

NEAR = 0.02
"""A non-integer this close to the end of a range, as a share of the range, counts as being at the end."""
STEP = 0.1
"""How far beyond the end of a range it is asked whether values are allowed, as a share of the range."""
ENOUGH = 10
"""Trials for each parameter below which importances mean little."""


class CoursePoint(NamedTuple):
    """The hypervolume after a number of trials, and the seconds since the first began."""

    trials: int
    seconds: float
    value: float


class Parameter(NamedTuple):
    """How important a parameter is, as shares of 1: fANOVA over the whole space, PED-ANOVA among the best."""

    name: str
    fanova: float
    ped_anova: float


class Importance(NamedTuple):
    """`few`: too few trials to rely on it."""

    trials: int
    parameters: Sequence[Parameter]
    few: bool


class Edge(NamedTuple):
    """An end of a searched range (`low` or `high`) that `there` of the `of` members of the frontier are at."""

    path: str
    end: str
    value: float
    there: int
    of: int


def course(study: Study) -> list[CoursePoint]:
    """The hypervolume after each trial that ended: of all complete students so far, and of the assistants above them."""
    rows = {row.stage: row for row in study.able}
    seen: set[str] = set()
    kept: list[TrialRow] = []
    points: list[CoursePoint] = []
    value = 0.0
    for ended in study.ended:
        new = [rows[key] for key in (*ended.above, ended.stage) if key in rows and key not in seen]
        seen.update(row.stage for row in new)
        if new:
            kept = _undominated([*kept, *new])
            value = hypervolume(study.spec, kept, study.summary.region)
        points.append(CoursePoint(len(points) + 1, ended.seconds, value))
    return points


def _undominated(rows: list[TrialRow]) -> list[TrialRow]:
    names = (rows[0].metric.name, "params")
    mask = pareto.nondominated(costs([row.values(names) for row in rows], names))
    return [row for row, keep in zip(rows, mask, strict=True) if keep]


def importance(trials: Sequence[FrozenTrial], metric: Metric) -> Importance | None:
    """How much of the validation metric each parameter explains: fANOVA (Hutter et al., ICML 2014) over the whole space,
    PED-ANOVA (Watanabe et al., IJCAI 2023) among the best. None if trials do not differ.
    """
    import optuna

    done = [trial for trial in trials if trial.state is TrialState.COMPLETE and trial.values and trial.params]
    if len({trial.values[0] for trial in done}) < 2 or len(done) < 4:
        return None
    scratch = optuna.create_study(direction="maximize" if metric.higher else "minimize")
    scratch.add_trials([create_trial(params=one.params, distributions=one.distributions, value=one.values[0]) for one in done])
    ways = {
        "fanova": optuna.importance.FanovaImportanceEvaluator(seed=0),
        "ped_anova": optuna.importance.PedAnovaImportanceEvaluator(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of evaluators that Optuna calls experimental, and of domains of one value
        found = {name: optuna.importance.get_param_importances(scratch, evaluator=way) for name, way in ways.items()}
    names = sorted(found["fanova"], key=lambda name: -found["fanova"][name])
    parameters = [Parameter(name, *(float(found[way].get(name, 0.0)) for way in ways)) for name in names]
    return Importance(len(done), parameters, few=len(done) < ENOUGH * len(parameters))


def edges(spec: Spec, members: list[TrialRow]) -> list[Edge]:
    """Ends of the searched ranges that members of the frontier are at, if specs may go beyond: better students may be there."""
    found = []
    for path, domain in domains_of(spec).items():
        if isinstance(domain, Choice) or domain.low == domain.high or path.startswith("assistants."):
            continue
        values = [row.origin.params[path] for row in members if row.origin is not None and _matters(path, row.role, row.origin)]
        for end, name in ((domain.low, "low"), (domain.high, "high")):
            count = sum(_is_at(value, end, domain) for value in values)
            if count and _goes_on(spec, path, domain, end):
                found.append(Edge(path, name, end, count, len(values)))
    return found


def _goes_on(spec: Spec, path: str, domain: Int | Uniform, end: float) -> bool:
    """Whether the schema allows a value beyond an end of a range: no weight is above 1, and no network has 0 layers."""
    place = document = spec.document()
    *above, last = f"student.{path}".split(".")
    for name in above:
        if not isinstance(place, dict) or name not in place:
            return True  # inside a choice, where what lies beyond is another option
        place = place[name]
    if not isinstance(place, dict) or last not in place:
        return True
    place[last] = _beyond(domain, end)
    try:
        parse(document)
    except UsageError:
        return False
    return True


def _beyond(domain: Int | Uniform, end: float) -> float:
    """A value a bit beyond an end of a range."""
    sign = 1 if end == domain.high else -1
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return end + sign
    if isinstance(domain, Log):
        return float(end * (domain.high / domain.low) ** (sign * STEP))
    return end + sign * STEP * (domain.high - domain.low)


def _matters(path: str, role: str, trial: Origin) -> bool:
    """Whether a trial has a parameter and its network depends on it: parameters of branches not taken are proposed, too."""
    if trial.params.get(path) is None:
        return False
    if role == "label-only" and path.startswith("loss.") and not path.endswith(".weight"):
        return False
    options = re.finditer(r"\{(\d+)\}", path)
    return all(trial.params.get(path[: one.start()]) == int(one[1]) for one in options)


def _is_at(value: float, end: float, domain: Int | Uniform) -> bool:
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return value == end
    if isinstance(domain, Log):
        return abs(math.log(value / end)) <= NEAR * math.log(domain.high / domain.low)
    return abs(value - end) <= NEAR * (domain.high - domain.low)
