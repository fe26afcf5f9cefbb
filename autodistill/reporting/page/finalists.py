"""The finalists, each with its numbers, its chain, and whether its assistants paid for themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...answers.confirm.confirmation import Baseline, FrozenNetwork, Member
from ...metrics.intervals import Interval, effect
from ...study.record.region import SIZES
from ...study.record.rows import TrialRow
from ..explain import links
from .study import Study

Facts = dict[str, Any]
BASELINES = {
    "label_only": "the same student trained from labels",
    "direct": "the same student without assistants",
    "direct_long": "the same student without assistants, trained for as long as the whole chain",
}
Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


def finalists(study: Study) -> list[Facts]:
    """Smallest first: after `confirm`, all confirmed students; before it, the frontier on validation."""
    if study.confirmed is None:
        found = [_searched(study, row) for row in study.members]
    else:
        found = [_confirmed(study, member) for member in study.confirmed.members]
    inside = {row.stage for row in study.rows if row.inside}
    for one in found:
        network = study.stages.network(one["stage"])
        one |= {"links": links(study.stages, network), "paid": paid(one), "inside": one["stage"] in inside}
    return found


def the_teacher(study: Study) -> Facts:
    """The teacher in the same form, without gains."""
    if study.confirmed is None:
        return _searched(study, study.teacher) | {"gains": dict.fromkeys(BASELINES)}
    teacher = study.confirmed.teacher
    return _frozen(study, teacher) | {
        "role": "teacher",
        "chain": teacher.architecture,
        "on_frontier": False,
        "seeds": None,
        "seconds_chain": study.teacher.seconds_chain,
        "gains": dict.fromkeys(BASELINES),
    }


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


def _frozen(study: Study, one: FrozenNetwork) -> Facts:
    names = {"stage", "architecture", *SIZES, "bytes_float16", "chosen", "validation", "test", "latency"}
    return one.model_dump(include=names) | {"smaller": study.teacher.params / max(1, one.params)}


def _confirmed(study: Study, member: Member) -> Facts:
    more = member.model_dump(include={"role", "chain", "on_frontier", "seeds", "seconds_chain"})
    return _frozen(study, member) | more | {"gains": {name: _over(baseline) for name, baseline in member.baselines}}


def _over(baseline: Baseline | None) -> Facts | None:
    """A gain over a baseline in test accuracy, paired by seed."""
    if baseline is None:
        return None
    gain = baseline.gain.model_dump(include={"n", "mean", "low", "high"})
    return gain | {"of": "seeds", "baseline": baseline.mean, "verdict": baseline.gain.effect}


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
        "verdict": effect(Interval(low, high)),
    }


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
