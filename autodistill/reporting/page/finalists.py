"""The finalists, each with its numbers, its chain, and whether its assistants paid for themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...spec import Checkpoint, Stage, describe
from ...study.record.region import SIZES
from ...study.record.rows import TrialRow
from .study import Study

Facts = dict[str, Any]
BASELINES = {
    "label_only": "the same student trained from labels",
    "direct": "the same student without assistants",
    "direct_long": "the same student without assistants, trained for as long as the whole chain",
}
NARROW = 1e-9
"""An interval this narrow comes from values that happen to be equal."""
Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


def finalists(study: Study) -> list[Facts]:
    """Smallest first: after `confirm`, all confirmed students; before it, the frontier on validation."""
    if study.confirmed is None:
        found = [_searched(study, row) for row in study.members]
    else:
        found = [_confirmed(study, member) for member in study.confirmed.members]
    inside = {row.stage for row in study.rows if row.inside}
    return [one | {"links": links(study, one["stage"]), "paid": paid(one), "inside": one["stage"] in inside} for one in found]


def the_teacher(study: Study) -> Facts:
    """The teacher in the same form, without gains."""
    if study.confirmed is None:
        return _searched(study, study.teacher) | {"gains": dict.fromkeys(BASELINES)}
    member = study.confirmed.teacher
    known = {
        "role": "teacher",
        "chain": member["architecture"],
        "on_frontier": False,
        "seeds": None,
        "baselines": dict.fromkeys(BASELINES),
    }
    return _confirmed(study, {**known, "seconds_chain": study.teacher.seconds_chain, **member})


def _searched(study: Study, row: TrialRow) -> Facts:
    unknown = dict.fromkeys(("bytes_float16", "test", "seeds", "latency"))
    n = study.n
    gain = None if row.label_only is None else difference(row.accuracy, row.label_only, n)
    return {
        **{name: getattr(row, name) for name in ("stage", "role", "architecture", "chain", "seconds_chain")},
        **row.sizes._asdict(),
        **unknown,
        "chosen": row.stage,
        "on_frontier": row.frontier,
        "smaller": study.teacher.params / max(1, row.params),
        "validation": {"accuracy": row.accuracy, **row.interval._asdict(), "n": n},
        "gains": {"label_only": gain, "direct": None, "direct_long": None},
    }


def _confirmed(study: Study, member: Mapping[str, Any]) -> Facts:
    names = ("stage", "role", "architecture", "chain", *SIZES, "bytes_float16", "chosen", "on_frontier")
    return {
        **{name: member[name] for name in (*names, "validation", "test", "seeds", "latency", "seconds_chain")},
        "smaller": study.teacher.params / max(1, member["params"]),
        "gains": {name: _over(baseline) for name, baseline in member["baselines"].items()},
    }


def _over(baseline: Mapping[str, Any] | None) -> Facts | None:
    """A gain over a baseline in test accuracy, paired by seed."""
    if baseline is None:
        return None
    gain = {name: baseline["gain"][name] for name in ("n", "mean", "low", "high")}
    return gain | {"of": "seeds", "baseline": baseline["mean"], "verdict": verdict(gain["low"], gain["high"])}


def difference(own: float, other: float, n: int) -> Facts:
    """The difference of two accuracies on n samples each, with a 95 % interval as if the samples were independent, which is
    wider than necessary: its deviation is sqrt(p (1 - p) / n + q (1 - q) / n).
    """
    reach = Z * math.sqrt((own * (1 - own) + other * (1 - other)) / n)
    low, high = own - other - reach, own - other + reach
    return {
        "n": n,
        "mean": own - other,
        "low": low,
        "high": high,
        "of": "samples",
        "baseline": other,
        "verdict": verdict(low, high),
    }


def verdict(low: float | None, high: float | None) -> str:
    """`gain` or `loss` if the interval excludes 0, else `not_significant`; `unknown` without an interval, or with one of no
    width, as for two seeds with equal results.
    """
    if low is None or high is None or high - low < NARROW:
        return "unknown"
    return "gain" if low > 0 else "loss" if high < 0 else "not_significant"


def paid(one: Facts) -> Facts:
    """Whether a finalist's assistants paid for themselves: `yes` only if they beat both direct baselines significantly.

    The baseline that was trained for as long as the whole chain has had equal time. `none` without an assistant, `unknown`
    before `confirm` or with fewer than two seeds.
    """
    if one["chain"].count(" > ") < 2:
        return {"verdict": "none", "against": []}
    against = [{"name": BASELINES[name], **gain} for name in ("direct", "direct_long") if (gain := one["gains"].get(name))]
    verdicts = {gain["verdict"] for gain in against}
    if not against or "unknown" in verdicts:
        return {"verdict": "unknown", "against": against}
    overall = "no" if "loss" in verdicts else "not_significant" if "not_significant" in verdicts else "yes"
    return {"verdict": overall, "against": against}


def links(study: Study, key: str) -> list[Facts]:
    """The chain from the teacher down to a stored network, each with its sizes and validation accuracy."""
    network = study.stages.network(key)
    above = network.ancestors() if isinstance(network, Stage) else []
    found = [_link(study, one) for one in above]
    return [*found, _link(study, network)]


def _link(study: Study, network: Stage | Checkpoint) -> Facts:
    measured = study.stages.measured(network.key())
    teachers = [one.key() for one in network.teachers] if isinstance(network, Stage) else []
    names = ("params", "accuracy", "seconds")
    return {"stage": network.key(), "architecture": describe(network.architecture), "teachers": teachers} | {
        name: getattr(measured, name) for name in names
    }


def rules(found: Sequence[Facts], teacher: Facts) -> list[Facts]:
    """The decision rule: the smallest student for each required accuracy. `at_least` is the lower end of its 95 % interval, so
    that each step holds by itself; a student that offers no more than a smaller one is left out.
    """
    steps: list[Facts] = []
    best = -math.inf
    where = "validation" if teacher["test"] is None else "test"
    for one in sorted([*found, teacher], key=lambda one: int(one["params"])):
        low = one[where]["low"]
        if low > best:
            steps.append({"at_least": low, "architecture": one["architecture"], "params": one["params"], "role": one["role"]})
            best = low
    return steps
