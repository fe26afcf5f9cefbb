"""The finalists, each with its numbers, its chain, and whether its assistants paid for themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ...answers.confirm.confirmation import Baseline, FrozenNetwork, Latency, Member, OnTest, Spread
from ...metrics.intervals import Effect, Interval, effect
from ...metrics.metric import Metric, TopK
from ...spec import Stage, label_only
from ...spec.measurement import Score, Sizes
from ...study.record.rows import NoBaseline, TrialRow
from ..explain import Link, links
from .study import Study

BASELINES = {
    "label_only": "the same student trained from labels",
    "direct": "the same student without assistants",
    "direct_long": "the same student without assistants, trained for as long as the whole chain",
}
Z = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""


class Gain(NamedTuple):
    """How much better a student is than a baseline, whose value is `baseline`: a mean over `n` seeds or samples, with its 95%
    interval (None if it is not known) and what that shows.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    of: Literal["seeds", "samples"]
    baseline: float
    verdict: Effect


class Gains(NamedTuple):
    """The gains over the baselines; None if there is no such baseline."""

    label_only: Gain | None = None
    direct: Gain | None = None
    direct_long: Gain | None = None


class Paid(NamedTuple):
    """Whether assistants paid for themselves, and the gains that show it, each with the name of its baseline."""

    verdict: Literal["none", "unknown", "no", "not_significant", "yes"]
    against: Sequence[tuple[str, Gain]] = ()


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A student that the page shows, or the teacher. What only `confirm` measures is None before it.

    `stage` is the network that was searched, `chosen` the one whose weights were confirmed. `smaller` is how many times fewer
    params than the teacher it has; `inside` is whether it is in the region of interest, `ignorant` whether it may ignore its
    input; `validation` has the scores of every metric by its name. `no_baseline` says why a label-only baseline
    is missing.
    """

    metric: Metric
    stage: str
    chosen: str
    role: str
    architecture: str
    chain: str
    params: int
    core_params: int
    macs: int
    longest_macs: int
    bytes: int
    smaller: float
    seconds_chain: float | None
    on_frontier: bool
    inside: bool
    links: Sequence[Link]
    validation: Mapping[str, Score]
    gains: Gains
    test: OnTest | None = None
    seeds: Spread | None = None
    latency: Latency | None = None
    bytes_float16: int | None = None
    ignorant: bool = False
    no_baseline: NoBaseline = ""

    @property
    def on_validation(self) -> Score:
        return self.validation[self.metric.name]

    @property
    def on_test(self) -> Score | None:
        return None if self.test is None else self.test.scores[self.metric.name]

    @property
    def score(self) -> Score:
        """On the test samples if they are known, else on the validation samples."""
        return self.on_test or self.on_validation

    @property
    def paid(self) -> Paid:
        return Paid("none") if self.chain.count(" > ") < 2 else paid(self.gains)


def finalists(study: Study) -> list[Finalist]:
    """Smallest first: after `confirm`, all confirmed students; before it, the frontier on validation."""
    if study.confirmed is None:
        return [_searched(study, row, Gains(label_only=_over_label_only(study, row))) for row in study.members]
    return [_confirmed(study, member) for member in study.confirmed.members]


def the_teacher(study: Study) -> Finalist:
    """The teacher in the same form, without gains."""
    if study.confirmed is None:
        return _searched(study, study.teacher, Gains())
    teacher = study.confirmed.teacher
    return _frozen(study, teacher, "teacher", teacher.architecture, study.teacher.seconds_chain)


def _searched(study: Study, row: TrialRow, gains: Gains) -> Finalist:
    assert row.measured is not None, "only complete rows are shown"
    return Finalist(
        metric=study.metric,
        stage=row.stage,
        chosen=row.stage,
        role=row.role,
        architecture=row.architecture,
        chain=row.chain,
        **row.sizes.facts(),
        smaller=study.teacher.params / max(1, row.params),
        seconds_chain=row.seconds_chain,
        on_frontier=row.frontier,
        inside=row.inside,
        links=_links(study, row.stage),
        validation=row.measured.scores,
        gains=gains,
        ignorant=row.ignorant,
        no_baseline=row.no_baseline,
    )


def _links(study: Study, key: str) -> Sequence[Link]:
    """The chain, without the network whose weights the teacher began with: that has not learned the task."""
    teacher = study.stages.network(study.teacher.stage)
    first = teacher.init.key() if isinstance(teacher, Stage) and teacher.init is not None else ""
    return [one for one in links(study.stages, study.stages.network(key), study.metric) if one.stage != first]


def _over_label_only(study: Study, row: TrialRow) -> Gain | None:
    """The gain over the label-only baseline on the validation samples; None if there is no baseline."""
    network = study.stages.network(row.stage)
    if row.label_only is None or not isinstance(network, Stage):
        return None
    baseline = study.stages.measured(label_only(network).key()).scores[row.metric.name]
    return difference(row.metric, row.score, baseline)


def _frozen(
    study: Study,
    one: FrozenNetwork,
    role: str,
    chain: str,
    seconds: float | None,
    *,
    on_frontier: bool = False,
    seeds: Spread | None = None,
    gains: Gains | None = None,
    no_baseline: NoBaseline = "",
) -> Finalist:
    return Finalist(
        metric=study.metric,
        stage=one.stage,
        chosen=one.chosen,
        role=role,
        architecture=one.architecture,
        chain=chain,
        **Sizes.of(one).facts(),
        bytes_float16=one.bytes_float16,
        smaller=study.teacher.params / max(1, one.params),
        seconds_chain=seconds,
        on_frontier=on_frontier,
        inside=any(row.inside for row in study.rows if row.stage == one.stage),
        ignorant=any(row.ignorant for row in study.rows if row.stage == one.stage),
        links=_links(study, one.stage),
        validation=one.validation,
        test=one.test,
        latency=one.latency,
        seeds=seeds,
        gains=gains or Gains(),
        no_baseline=no_baseline,
    )


def _confirmed(study: Study, one: Member) -> Finalist:
    gains = Gains(**{name: _over(baseline) for name, baseline in one.baselines})
    seconds, chosen, missing = one.seconds_chain, one.on_frontier, _no_baseline(study, one)
    return _frozen(
        study, one, one.role, one.chain, seconds, on_frontier=chosen, seeds=one.seeds, gains=gains, no_baseline=missing
    )


def _no_baseline(study: Study, one: Member) -> NoBaseline:
    """Why confirm has no label-only baseline of a student; one failed if a baseline of a fresh seed did."""
    if one.baselines.label_only is not None:
        return ""
    if one.role == "label-only":
        return "itself"
    assert study.confirmed is not None, "members are confirmed"
    fresh = [study.stages.network(result.key) for result in one.networks if result.kind == "fresh"]
    baselines = {label_only(stage).key() for stage in fresh if isinstance(stage, Stage)}
    return "failed" if baselines & study.confirmed.failures.keys() else "not trained"


def _over(baseline: Baseline | None) -> Gain | None:
    """A gain over a baseline in the test metric, paired by seed."""
    if baseline is None:
        return None
    gain = baseline.gain
    return Gain(gain.n, gain.mean, gain.low, gain.high, "seeds", baseline.mean, gain.effect)


def difference(metric: Metric, own: Score, other: Score) -> Gain:
    """How much better one score is than another, with a 95% interval as if the samples were independent, which is wider than
    necessary: its deviation is sqrt(e^2 + f^2), with e and f the standard errors of the two.
    """
    mean = metric.cost(other.value) - metric.cost(own.value)
    reach = Z * math.hypot(*(_error(metric, one) for one in (own, other)))
    low, high = mean - reach, mean + reach
    return Gain(own.n, mean, low, high, "samples", other.value, effect(Interval(low, high)))


def _error(metric: Metric, score: Score) -> float:
    """The standard error of a score: of a count, the binomial one, which is 0 without errors; else the measured one."""
    return metric.error(score.value, score) if isinstance(metric, TopK) else score.error


def paid(gains: Gains) -> Paid:
    """Whether the assistants of a chain paid for themselves: `yes` only if they beat both direct baselines significantly.

    The baseline that was trained for as long as the whole chain has had equal time. `unknown` before `confirm` or with fewer
    than two seeds.
    """
    named = (("direct", gains.direct), ("direct_long", gains.direct_long))
    against = [(BASELINES[name], gain) for name, gain in named if gain is not None]
    verdicts = {gain.verdict for _, gain in against}
    if not against or "unknown" in verdicts:
        return Paid("unknown", against)
    return Paid("no" if "loss" in verdicts else "not_significant" if "not_significant" in verdicts else "yes", against)
