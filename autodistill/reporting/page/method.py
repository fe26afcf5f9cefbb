"""How a study was made: versions, hardware, hours, and their cost."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ...spec import Spec, Stage, label_only
from ...spec.document import Prices
from ...study.record.rows import Stages
from .study import Study


class Seconds(NamedTuple):
    """The seconds of training in the search and, separately, in `confirm`."""

    search: float
    confirm: float


class Cost(NamedTuple):
    """What hours of one trial's resources cost; None if the spec does not have that price."""

    prices: Prices
    hours: float
    money: float | None
    kwh: float | None


def seconds_of(study: Study) -> Seconds:
    """Each stage once, up to where it was stopped."""
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
    return Seconds(
        search=_total(stages, searched) + sum(seconds for key, seconds in stopped.items() if key not in searched),
        confirm=_total(stages, _fresh(study) - searched) if study.confirmed is not None else 0.0,
    )


def _total(stages: Stages, keys: set[str]) -> float:
    return sum(stages.measured(key).seconds for key in sorted(keys) if stages.has(key))


def _fresh(study: Study) -> set[str]:
    """The stages that `confirm` trained, their assistants included."""
    assert study.confirmed is not None
    tested = [study.stages.network(key) for key in study.confirmed.outcomes]
    return {one.key() for stage in tested if isinstance(stage, Stage) for one in (stage, *stage.ancestors())}


def environments(study: Study) -> list[tuple[dict[str, object], int]]:
    """Versions and devices, and how many of the rows' stages were trained with them."""
    manifests = [study.stages.store.manifest("stages", row.stage) for row in study.rows if row.is_complete]
    counts = Counter(tuple(sorted(one["environment"].items())) for one in manifests if one.get("environment"))
    return [(dict(known), stages) for known, stages in counts.items()]


def cost(spec: Spec, seconds: float) -> Cost | None:
    """None if the spec has no prices."""
    prices, hours = spec.resources.prices, seconds / 3600
    if prices is None or (prices.per_hour is None and prices.watts is None):
        return None
    return Cost(
        prices=prices,
        hours=hours,
        money=None if prices.per_hour is None else prices.per_hour * hours,
        kwh=None if prices.watts is None else prices.watts * hours / 1000,
    )
