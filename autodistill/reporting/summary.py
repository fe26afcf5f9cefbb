"""A study at a glance, made once from its rows, and the sentences about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..metrics.metric import ACCURACY, Metric, named
from ..metrics.words import asked, of_teacher, plural, stated
from ..spec import Spec
from ..spec.measurement import Reference
from ..study.record.findings import (
    Concordance,
    Failure,
    Incumbent,
    compared,
    concordance,
    counted,
    grouped,
    hypervolume,
)
from ..study.record.notes import Improvement
from ..study.record.references import Beside, beside
from ..study.record.region import Region
from ..study.record.rows import TrialRow, frontier, region_among

if TYPE_CHECKING:  # it imports torch
    from ..study.schedule.spent import Spent

SHARES = (0.9, 0.95, 0.97, 0.99)
"""Shares of the teacher's metric."""
ENOUGH, DISCORDANT = 8, 0.5
"""With at least this many complete trials, a lower Kendall's tau between a rung and full length triggers a warning."""


class Counts(NamedTuple):
    """How trials ended; repeats, trials kept from an older study, and retried ones are not counted."""

    complete: int
    stopped: int
    failed: int


class Headline(NamedTuple):
    """The smallest student with a share of the teacher's metric; None if there is none."""

    metric: Metric
    of_teacher: float
    row: TrialRow | None

    def sentence(self) -> str:
        start, row = of_teacher(self.metric, self.of_teacher), self.row
        if row is None:
            return f"{start}: no student"
        how = f"{row.compression:.1f} times smaller ({stated(row.metric, row.value)}, {row.architecture})"
        return f"{start}: {row.params:,} params, {how}"


class Reached(NamedTuple):
    """The smallest member of the frontier with the spec's target on validation, else the best one."""

    wanted: float
    reached: bool
    row: TrialRow

    def sentence(self) -> str:
        row, metric = self.row, self.row.metric
        low, high = (metric.text(end) for end in row.interval)
        what = f"{row.params:,} params with {stated(metric, row.value)} (95%: {low} to {high})"
        wanted = asked(metric, self.wanted, "validation")
        return (
            f"the smallest student with {wanted} has {what}"
            if self.reached
            else f"no student has {wanted}; the nearest has {what}"
        )


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A study at a glance.

    `frontier` has the members in the region of interest first. `references` has the fitted reference models, and `unfitted` has
    the names of those that are not fitted. Once a search has ended, `improvement` says what more trials are expected to add;
    right after a search, `spent` says where its time went.
    """

    study: str
    rows: Sequence[TrialRow]
    failures: Sequence[Failure]
    trials: Counts
    headline: Sequence[Headline]
    frontier: Sequence[TrialRow]
    incumbent: Incumbent | None
    references: Sequence[Beside]
    unfitted: Sequence[str]
    target: Reached | None
    region: Region
    hypervolume: float
    rungs: Sequence[Concordance]
    improvement: Improvement | None
    spent: Spent | None = None

    @property
    def teachers(self) -> list[TrialRow]:
        return [row for row in self.rows if row.role == "teacher"]

    @property
    def teacher(self) -> TrialRow:
        """The first teacher."""
        return self.teachers[0]

    @property
    def best(self) -> TrialRow | None:
        """The member of the frontier with the best metric, unless it ignores its input."""
        return min(_able(self.frontier), key=lambda row: row.metric.cost(row.value), default=None)

    @property
    def metric(self) -> Metric:
        return self.region.metric

    @property
    def also(self) -> list[Metric]:
        """The metrics that are shown beside that of the study."""
        return [named(name) for name in self.teacher.also]

    def why_failed(self) -> list[str]:
        """How many trials failed and why."""
        if not self.trials.failed:
            return []
        failed, ended = self.trials.failed, sum(self.trials)
        lines = [f"{failed} of {ended} trials failed (trials.csv lists all reasons; --retry-failed trains them again):"]
        return lines + [f"  {one.count}: {one.reason}" for one in self.failures]

    def outside(self) -> list[str]:
        """The members of the frontier that the table leaves out."""
        rows = [row for row in self.frontier if not row.inside]
        if not rows or self.region.everything:
            return []
        if len(rows) == len(self.frontier):
            return ["no student is in the region of interest; the students above are outside and have no label-only baselines"]
        low, high = (self.metric.text(end([row.value for row in rows])) for end in (min, max))
        what = "1 member of the frontier is" if len(rows) == 1 else f"{len(rows)} members of the frontier are"
        many = low if low == high else f"{low} to {high}"
        return [f"{what} outside the region of interest ({many}), not shown and without label-only baselines: see frontier.csv"]

    def answers(self) -> list[str]:
        """The smallest student that reaches the target, if there is a target, and each share of the teacher's metric.

        If one student reaches several shares, only the largest is listed. Of the shares that no student reaches, only the
        smallest is listed.
        """
        kept: dict[str | None, Headline] = {}
        for one in self.headline:
            if one.row is not None:
                kept[one.row.stage] = one
            else:
                kept.setdefault(None, one)
        lines = [] if self.target is None else [self.target.sentence()]
        return lines + [one.sentence() for one in kept.values()]

    def remarks(self) -> list[str]:
        """What the user should not overlook."""
        lines = []
        if worse := [f"{row.params:,}" for row in self.frontier if row.worse_than_label_only]:
            lines.append(
                f"! marks students (params {', '.join(worse)}) that are worse on the validation samples than their label-only "
                "baselines with the same seed: distillation may not pay off there"
            )
        if ignorant := [f"{row.params:,}" for row in self.frontier if row.ignorant]:
            lines.append(
                f"? marks networks (params {', '.join(ignorant)}) that are not shown to be better than a network that ignores "
                "its input, such as one that always predicts the majority class: they do not count as answers"
            )
        lines += self.outside()
        lines += [f"{row.params:,} params: {row.reason}" for row in self.frontier if row.reason]
        if not any(row.params < self.teacher.params for row in self.frontier):
            lines.append("no network on the frontier is smaller than the teacher")
        lines += [dominated(self.incumbent)] if self.incumbent is not None else []
        lines += [referred(one) for one in self.references]
        lines += [f"the reference model {name} is not fitted yet; to fit it, run the search again" for name in self.unfitted]
        lines += [more_trials(self.improvement)] if self.improvement is not None else []
        for row in self.teachers:
            lines += row.soft_targets.warnings(accuracy(row)) if row.soft_targets else []
        return lines + predicted(self.rungs, self.metric)


def accuracy(row: TrialRow) -> float:
    """The validation accuracy of a complete row, whatever the metric of its study."""
    assert row.measured is not None, "only a complete row is measured"
    return row.measured.scores[ACCURACY.name].value


def dominated(found: Incumbent) -> str:
    """Whether the incumbent is dominated."""
    row, by, metric = found.row, found.dominated_by, found.row.metric
    name = f"your {row.architecture} ({row.params:,} params, {stated(metric, row.value)})"
    if not by:
        return f"no member of the frontier dominates {name}"
    shown = ", ".join(f"{one.params:,} params with {stated(metric, one.value)}" for one in by[:3])
    more = f" and {len(by) - 3} more" if len(by) > 3 else ""
    sure = "" if any(map(found.is_apart, by)) else "; their 95% intervals overlap its interval, so confirm before you switch"
    least = "at least" if metric.higher else "at most"
    return f"{name} is dominated by {shown}{more}: at most its size, {least} its {metric.label}{sure}"


def referred(found: Beside) -> str:
    """A reference model, and the smallest student that is as good."""
    one, metric, row = found.reference, found.metric, found.row
    low, high = (metric.text(end) for end in (found.score.low, found.score.high))
    seen = f"{stated(metric, found.score.value)} (95%: {low} to {high}) and {one.bytes:,} bytes"
    best = "no member of the frontier is as good"
    if row is not None:
        best = f"the smallest member of the frontier that is as good has {row.params:,} params and {row.sizes.bytes:,} bytes"
    return f"reference model: {one.label} ({one.library}) with {seen}; {best}"


def more_trials(improvement: Improvement) -> str:
    """What more trials would add."""
    band = f"{improvement.low:.1%} to {improvement.high:.1%}"
    what = "to the hypervolume in the region of interest"
    return f"{improvement.trials} more trials are expected to add {improvement.mean:.1%} {what} (80% band: {band})"


def predicted(rungs: Sequence[Concordance], metric: Metric) -> list[str]:
    """How well rungs predict full length, and a warning if they do not."""
    known = [(rung, rung.tau, f"{100 * rung.share_of_epochs:.3g}% of the epochs") for rung in rungs if rung.tau is not None]
    taus = ", ".join(f"{tau:.2f} after {share} (n {rung.n})" for rung, tau, share in known)
    lines = [f"Kendall's tau between the {plural(metric)} at rungs and at full length: {taus}"] if known else []
    low = [(tau, share) for rung, tau, share in known if rung.n >= ENOUGH and tau < DISCORDANT]
    return lines + [
        f"rungs predict the final {metric.label} poorly (tau {tau:.2f} after {share}): raise search.halving.first or "
        "share, or set search.halving to false"
        for tau, share in low[:1]
    ]


def summary(
    spec: Spec,
    found: Sequence[TrialRow],
    chance: float,
    improvement: Improvement | None = None,
    spent: Spent | None = None,
    references: Sequence[Reference] = (),
) -> StudySummary:
    """`chance` is the best value of a network that ignores its input; `improvement`, `spent`, and `references` are as the
    record, the search and the store have them.
    """
    region, members = region_among(spec, found, chance), frontier(found)
    return StudySummary(
        study=spec.study,
        rows=found,
        failures=grouped(found),
        trials=counts(found),
        headline=[_headline(region.metric, share, members) for share in SHARES],
        frontier=sorted(members, key=lambda row: not row.inside),
        incumbent=compared(spec, found),
        references=beside(references, found, region.metric),
        unfitted=[name for name in spec.references if name not in [one.name for one in references]],
        target=_reached(spec.search.target, members),
        region=region,
        hypervolume=hypervolume(spec, found, region),
        rungs=concordance(spec, found),
        improvement=improvement,
        spent=spent,
    )


def _able(members: Sequence[TrialRow]) -> list[TrialRow]:
    """Those that do not ignore their input."""
    return [row for row in members if not row.ignorant]


def _headline(metric: Metric, share: float, members: Sequence[TrialRow]) -> Headline:
    return Headline(metric, share, next((row for row in _able(members) if (row.of_teacher or 0) >= share), None))


def _reached(target: float | None, members: Sequence[TrialRow]) -> Reached | None:
    if target is None or not members:
        return None
    able = [row for row in _able(members) if row.metric.reaches(row.value, target)]
    return Reached(target, bool(able), able[0] if able else min(members, key=lambda one: one.metric.cost(one.value)))


def counts(found: Sequence[TrialRow]) -> Counts:
    states = Counter(row.state for row in counted(found))
    return Counts(states["complete"], states["stopped"], states["failed"])
