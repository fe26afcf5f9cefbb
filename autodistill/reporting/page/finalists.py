"""The finalists, each with its numbers, its chain, and whether its assistants paid for themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...answers.confirm.confirmation import Baseline, FrozenNetwork, Member
from ...metrics.intervals import Interval, effect
from ...metrics.metric import Metric, TopK
from ...spec import Stage, label_only
from ...spec.measurement import Score
from ...spec.search import SIZES
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
    """Smallest first: after `confirm`, all confirmed students; before it, the frontier on validation.

    `on_validation` and `on_test` are scores of the study's metric; `validation` has those of every metric, by name.
    """
    if study.confirmed is None:
        found = [_searched(study, row) for row in study.members]
    else:
        found = [_confirmed(study, member) for member in study.confirmed.members]
    inside = {row.stage for row in study.rows if row.inside}
    for one in found:
        network = study.stages.network(one["stage"])
        one |= {"links": links(study.stages, network, study.metric), "paid": paid(one), "inside": one["stage"] in inside}
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
    unknown = dict.fromkeys(("bytes_float16", "test", "on_test", "seeds", "latency"))
    assert row.measured is not None, "only complete rows are shown"
    return {
        **{name: getattr(row, name) for name in ("stage", "role", "architecture", "chain", "seconds_chain")},
        **row.sizes._asdict(),
        **unknown,
        "chosen": row.stage,
        "on_frontier": row.frontier,
        "smaller": study.teacher.params / max(1, row.params),
        "validation": {name: one.model_dump() for name, one in row.measured.scores.items()},
        "on_validation": row.score.model_dump(),
        "gains": {"label_only": _over_label_only(study, row), "direct": None, "direct_long": None},
    }


def _over_label_only(study: Study, row: TrialRow) -> Facts | None:
    """The gain over the label-only baseline on the validation samples; None if there is no baseline."""
    network = study.stages.network(row.stage)
    if row.label_only is None or not isinstance(network, Stage):
        return None
    baseline = study.stages.measured(label_only(network).key()).scores[row.metric.name]
    return difference(row.metric, row.score, baseline)


def _frozen(study: Study, one: FrozenNetwork) -> Facts:
    names = {"stage", "architecture", *SIZES, "bytes_float16", "chosen", "validation", "test", "latency"}
    scores = {"on_validation": one.on_validation.model_dump(), "on_test": one.on_test.model_dump()}
    return one.model_dump(include=names) | scores | {"smaller": study.teacher.params / max(1, one.params)}


def _confirmed(study: Study, member: Member) -> Facts:
    more = member.model_dump(include={"role", "chain", "on_frontier", "seeds", "seconds_chain"})
    return _frozen(study, member) | more | {"gains": {name: _over(baseline) for name, baseline in member.baselines}}


def _over(baseline: Baseline | None) -> Facts | None:
    """A gain over a baseline in the test metric, paired by seed."""
    if baseline is None:
        return None
    gain = baseline.gain.model_dump(include={"n", "mean", "low", "high"})
    return gain | {"of": "seeds", "baseline": baseline.mean, "verdict": baseline.gain.effect}


def difference(metric: Metric, own: Score, other: Score) -> Facts:
    """How much better one score is than another, with a 95 % interval as if the samples were independent, which is wider than
    necessary: its deviation is sqrt(e^2 + f^2), with e and f the standard errors of the two.
    """
    mean = metric.cost(other.value) - metric.cost(own.value)
    reach = Z * math.hypot(*(_error(metric, one) for one in (own, other)))
    low, high = mean - reach, mean + reach
    return {
        "n": own.n,
        "mean": mean,
        "low": low,
        "high": high,
        "of": "samples",
        "baseline": other.value,
        "verdict": effect(Interval(low, high)),
    }


def _error(metric: Metric, score: Score) -> float:
    """The standard error of a score: of a count, the binomial one, which is 0 without errors; else the measured one."""
    return metric.error(score.value, score) if isinstance(metric, TopK) else score.error


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


def rules(found: Sequence[Facts], teacher: Facts, metric: Metric) -> list[Facts]:
    """The decision rule: the smallest student for each required value. `bound` is the worse end of its 95 % interval (of a
    loss, the upper one), so that each step holds by itself; a student that offers no more than a smaller one is left out.
    """
    steps: list[Facts] = []
    least = math.inf
    where = "on_validation" if teacher["on_test"] is None else "on_test"
    for one in sorted([*found, teacher], key=lambda one: int(one["params"])):
        bound = max(one[where]["low"], one[where]["high"], key=metric.cost)
        if metric.cost(bound) < least:
            steps.append({"bound": bound, "architecture": one["architecture"], "params": one["params"], "role": one["role"]})
            least = metric.cost(bound)
    return steps
