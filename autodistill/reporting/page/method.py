"""How a study was made: splits, seeds, openings of the test split, what was compared, versions, hardware, hours."""

from __future__ import annotations

from typing import Any

from ...answers.confirm.candidates import candidates
from ...spec import Spec, Stage, label_only
from ...study.record.folder import dump
from ...study.record.rows import Stages
from .study import Study

Facts = dict[str, Any]


def method(study: Study) -> Facts:
    spec, confirmed = study.spec, study.confirmed
    seconds = _seconds(study)
    return {
        "dataset": spec.task.dataset if isinstance(spec.task.dataset, str) else spec.task.dataset.factory,
        "fingerprint": spec.task.fingerprint,
        "split": spec.task.split.model_dump(),
        "validation": study.n,
        "test": confirmed and confirmed.test.n,
        "own_test": confirmed and confirmed.own_test,
        "seeds": {
            "study": spec.seed,
            "split": spec.task.split.seed,
            "search": spec.search.seed,
            "fresh": confirmed and confirmed.seeds,
        },
        "opened": confirmed.opened if confirmed else (),
        "compared": {
            "validation": len({row.stage for row in study.rows if row.is_complete}),
            "test": len(confirmed.right) if confirmed else 0,
            "confirmed": len(confirmed.members) if confirmed else 0,
        },
        "failures": confirmed.failures if confirmed else {},
        "environments": _environments(study),
        "latency_on": confirmed and confirmed.device,
        "seconds": seconds,
        "cost": cost(spec, seconds["search"] + seconds["confirm"]),
        "spec": dump(spec.document()),
    }


def _seconds(study: Study) -> Facts:
    """Seconds of training in the search and, apart from those, in `confirm`; each stage once, up to where it was stopped."""
    stages = study.stages
    searched: set[str] = set()
    stopped = dict(study.stopped)
    for row in study.rows:
        if row.state == "stopped":
            stopped[row.stage] = max(row.seconds or 0.0, stopped.get(row.stage, 0.0))
        if row.is_complete:
            network = stages.network(row.stage)
            searched |= {network.key(), *(one.key() for one in network.ancestors())} if isinstance(network, Stage) else set()
            searched |= {label_only(network).key()} if isinstance(network, Stage) and row.frontier else set()
    return {
        "search": _total(stages, searched) + sum(seconds for key, seconds in stopped.items() if key not in searched),
        "confirm": _total(stages, _fresh(study) - searched) if study.confirmed is not None else 0.0,
    }


def _total(stages: Stages, keys: set[str]) -> float:
    return sum(stages.measured(key).seconds for key in sorted(keys) if stages.has(key))


def _fresh(study: Study) -> set[str]:
    """The stages that `confirm` trained, their assistants included."""
    assert study.confirmed is not None
    teachers = [study.stages.network(row.stage) for row in study.rows if row.role == "teacher"]
    wanted = candidates(study.spec, study.rows, study.stages, teachers, study.confirmed.seeds)
    trained = [stage for one in wanted for stage in one.stages()]
    return {one.key() for stage in trained for one in (stage, *stage.ancestors())}


def _environments(study: Study) -> list[Facts]:
    """Versions and devices that stages were trained with, and how many of the rows' stages each."""
    found: dict[str, Facts] = {}
    for row in study.rows:
        if row.is_complete:
            known = study.stages.store.manifest("stages", row.stage).get("environment")
            if known:
                one = found.setdefault(repr(sorted(known.items())), {**known, "stages": 0})
                one["stages"] += 1
    return list(found.values())


def cost(spec: Spec, seconds: float) -> Facts | None:
    """What these seconds of one trial's resources cost, by the prices in the spec; None if it has none."""
    prices, hours = spec.resources.prices, seconds / 3600
    if prices is None or (prices.per_hour is None and prices.watts is None):
        return None
    return {
        "hours": hours,
        "money": None if prices.per_hour is None else prices.per_hour * hours,
        "per_hour": prices.per_hour,
        "currency": prices.currency,
        "kwh": None if prices.watts is None else prices.watts * hours / 1000,
        "watts": prices.watts,
    }
