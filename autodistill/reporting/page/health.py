"""How far a search can be trusted: its course, what mattered, and where it reached an edge of the space."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from ...spec import Spec
from ...spec.domains import Choice, Domain, Log
from ...study import pareto
from ...study.record.findings import hypervolume
from ...study.record.rows import Origin, TrialRow, costs
from ...study.space import domains_of
from .study import Study

NEAR = 0.02
"""A non-integer this close to the end of a range, as a share of the range, counts as being at the end."""
ENOUGH = 10
"""Trials for each parameter below which importances mean little."""


def health(study: Study) -> dict[str, Any]:
    """Trials by how they ended, reasons of failures, the course of the hypervolume, importances, edges and rungs."""
    known = study.summary.as_json()
    return {
        **{name: known[name] for name in ("trials", "failures", "hypervolume", "expected_improvement")},
        "course": course(study),
        "importance": importance(study),
        "edges": edges(study.spec, study.members),
        "rungs": [rung._asdict() for rung in study.summary.rungs if rung.tau is not None],
    }


def course(study: Study) -> list[dict[str, Any]]:
    """The hypervolume after each trial that ended: of all complete students so far, and of the assistants above them."""
    rows = {row.stage: row for row in study.able}
    seen: set[str] = set()
    kept: list[TrialRow] = []
    points: list[dict[str, Any]] = []
    value, region = 0.0, study.region
    for ended in study.ended:
        keys = [key for key in (*ended.above, ended.stage) if key in rows and key not in seen]
        new = [rows[key] for key in keys if key is not None]
        seen.update(row.stage for row in new)
        if new:
            kept = _undominated([*kept, *new])
            value = hypervolume(study.spec, kept, region)
        points.append({"trials": len(points) + 1, "seconds": ended.seconds, "value": value})
    return points


def _undominated(rows: list[TrialRow]) -> list[TrialRow]:
    names = ("accuracy", "params")
    mask = pareto.nondominated(costs([row.values(names) for row in rows], names))
    return [row for row, keep in zip(rows, mask, strict=True) if keep]


def importance(study: Study) -> dict[str, Any] | None:
    """How much of the validation accuracy each parameter explains: fANOVA (Hutter et al., ICML 2014) over the whole space,
    PED-ANOVA (Watanabe et al., IJCAI 2023) among the best. None if trials do not differ.
    """
    import optuna

    done = [trial for trial in study.trials if trial.state is TrialState.COMPLETE and trial.values and trial.params]
    if len({trial.values[0] for trial in done}) < 2 or len(done) < 4:
        return None
    scratch = optuna.create_study(direction="maximize")
    scratch.add_trials([create_trial(params=one.params, distributions=one.distributions, value=one.values[0]) for one in done])
    ways = {
        "fanova": optuna.importance.FanovaImportanceEvaluator(seed=0),
        "ped_anova": optuna.importance.PedAnovaImportanceEvaluator(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of evaluators that Optuna calls experimental, and of domains of one value
        found = {name: optuna.importance.get_param_importances(scratch, evaluator=way) for name, way in ways.items()}
    names = sorted(found["fanova"], key=lambda name: -found["fanova"][name])
    rows = [{"name": name, **{way: float(found[way].get(name, 0.0)) for way in found}} for name in names]
    return {"trials": len(done), "parameters": rows, "few": len(done) < ENOUGH * len(rows)}


def edges(spec: Spec, members: list[TrialRow]) -> list[dict[str, Any]]:
    """Ends of the searched ranges that members of the frontier are at: better students may be beyond them."""
    found = []
    for path, domain in domains_of(spec).items():
        if isinstance(domain, Choice) or domain.low == domain.high or path.startswith("assistants."):
            continue
        values = [row.origin.params[path] for row in members if row.origin is not None and _matters(path, row.role, row.origin)]
        for end, name in ((domain.low, "low"), (domain.high, "high")):
            count = sum(_is_at(value, end, domain) for value in values)
            if count:
                found.append({"path": path, "end": name, "value": end, "count": count, "of": len(values)})
    return found


def _matters(path: str, role: str, trial: Origin) -> bool:
    """Whether a trial has a parameter and its network depends on it: parameters of branches not taken are proposed, too."""
    if trial.params.get(path) is None:
        return False
    if role == "label-only" and path.startswith("loss.") and not path.endswith(".weight"):
        return False
    options = re.finditer(r"\{(\d+)\}", path)
    return all(trial.params.get(path[: one.start()]) == int(one[1]) for one in options)


def _is_at(value: float, end: float, domain: Domain) -> bool:
    assert not isinstance(domain, Choice | CategoricalDistribution)
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return value == end
    if isinstance(domain, Log):
        return abs(math.log(value / end)) <= NEAR * math.log(domain.high / domain.low)
    return abs(value - end) <= NEAR * (domain.high - domain.low)
