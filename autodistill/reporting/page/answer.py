"""The answer in one computed sentence: a claim after `confirm`; before it, what the validation samples say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic import JsonValue

from ...answers import Kind, Verdict, Wanted, later, smallest
from ...metrics.metric import Metric, named
from ...metrics.words import asked, at_best, keeps, phrase
from ...spec import UsageError
from ...spec.measurement import Score
from ...study.record.rows import TrialRow
from .study import Study


class Saves(NamedTuple):
    """Times smaller than the teacher, times as fast (None before `confirm`), and the share of its metric that is kept."""

    smaller: float
    faster: float | None
    kept: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was `wanted`, and the answer. `metric` is the one that the answer is about, and `target` a value of it.

    `stage` is the network that was searched, and `chosen` the one whose weights were confirmed; None if no student is good
    enough. `lines` are further facts with their names, `forced` counts the openings of the test split by force, and `later`
    is a message about students that were tried after the confirmation. A claim has a `confidence`.
    """

    wanted: Wanted
    verdict: Verdict
    metric: Metric
    meets: bool
    sentence: str
    target: float | None
    saves: Saves | None
    stage: str | None
    chosen: str | None
    confidence: float | None = None
    lines: Sequence[tuple[str, str]] = ()
    forced: int = 0
    later: str = ""

    @property
    def is_claim(self) -> bool:
        return self.confidence is not None

    def as_json(self) -> dict[str, JsonValue]:
        """As `report --json` prints it."""
        return {
            "verdict": self.verdict.as_json(),
            "metric": self.metric.column,
            "is_claim": self.is_claim,
            "meets": self.meets,
            "sentence": self.sentence,
            "saves": None if self.saves is None else self.saves._asdict(),
            "stage": self.stage,
            "chosen": self.chosen,
            "confidence": self.confidence,
            "target": self.target,
            "lines": [list(line) for line in self.lines],
            "forced": self.forced,
            "later": self.later,
        }


def answer(study: Study, wanted: Wanted) -> Answer:
    """A claim after `confirm`; before it, what the validation samples say.

    Without a target in `wanted`, the spec's search.target applies. Raises UsageError for a latency before `confirm`.
    """
    target, metric = study.spec.search.target, study.metric
    if not wanted.has_target and target is not None and metric.low < target < metric.high:
        wanted = replace(wanted, target=target, metric=metric.name)
    return _claimed(study, wanted) if study.confirmed is not None else _seen(study, wanted)


def _claimed(study: Study, wanted: Wanted) -> Answer:
    assert study.confirmed is not None
    found = smallest(study.confirmed, wanted)
    row = found.answer
    return Answer(
        wanted=wanted,
        verdict=found.verdict,
        metric=found.metric,
        meets=found.meets,
        sentence=f"{found.sentence()}.",
        target=found.wanted.target,
        saves=found.savings and Saves(*found.savings),
        stage=None if row is None else row.stage,
        chosen=None if row is None else row.chosen,
        confidence=wanted.confidence,
        lines=[line for line in found.facts() if line[0] != "warning"],
        forced=found.forced,
        later=later(study.later),
    )


def _seen(study: Study, wanted: Wanted) -> Answer:
    if wanted.latency_ms is not None:
        raise UsageError(
            f"--latency-ms {wanted.latency_ms:g}: latency is measured by confirm; run: autodistill confirm {study.path}"
        )
    metric = named(wanted.of_study(study.metric.name).metric or study.metric.name)
    able = [row for row in study.members if wanted.allows(row.sizes) and not row.ignorant]
    target, teacher = _target(study, wanted, metric), study.teacher
    row, how = _one(able, target, metric) if study.members else (None, "no student is on the frontier yet")
    if study.members and all(one.ignorant for one in study.members):
        how = "no student is shown to be better than a network that ignores its input"
    saves = None
    if row is not None:
        kept = metric.kept(_score(row, metric).value, _score(teacher, metric).value)
        saves = Saves(teacher.params / max(1, row.params), None, kept)
    return Answer(
        wanted=wanted,
        verdict=_not_confirmed(row, how, saves, metric),
        metric=metric,
        meets=row is not None,
        sentence=_sentence(study, row, how, saves, metric),
        target=target,
        saves=saves,
        stage=None if row is None else row.stage,
        chosen=None if row is None else row.stage,
    )


def _score(row: TrialRow, metric: Metric) -> Score:
    assert row.measured is not None, "only complete rows are shown"
    return row.measured.scores[metric.name]


def _target(study: Study, wanted: Wanted, metric: Metric) -> float | None:
    if wanted.retain is not None:
        return metric.keeping(_score(study.teacher, metric).value, wanted.retain)
    if wanted.target is not None:
        return wanted.target
    return study.spec.search.target if metric == study.metric else None


def _one(able: list[TrialRow], target: float | None, metric: Metric) -> tuple[TrialRow | None, str]:
    """The smallest row that meets the target or, without one, is within one standard error of the best; and its description."""
    if not able:
        return None, "no student on the frontier is within the limits"
    best = min((_score(row, metric) for row in able), key=lambda score: metric.cost(score.value))
    if target is not None:
        found = next((row for row in able if metric.reaches(_score(row, metric).value, target)), None)
        missing = f"no student has {asked(metric, target, 'validation')}; the best has {metric.text(best.value)}"
        return found, missing if found is None else f"the smallest student with {at_best(metric, metric.text(target))}"
    most = metric.cost(best.value) + metric.error(best.value, best)
    return next(row for row in able if metric.cost(_score(row, metric).value) <= most), (
        f"the smallest student within one standard error of the best ({metric.text(best.value)})"
    )


def _not_confirmed(row: TrialRow | None, how: str, saves: Saves | None, metric: Metric) -> Verdict:
    """Nothing is proven before `confirm`, whatever the validation samples say."""
    if row is None or saves is None:
        return Verdict(kind=Kind.UNPROVEN, sentence=f"Not proven yet: on the validation samples, {how}.")
    what = f"the student with {row.params:,} parameters is {saves.smaller:.1f} times smaller than the teacher"
    test = "whether this holds is not known before `confirm` opens the test samples"
    sentence = f"Not proven yet: on the validation samples, {what} and {keeps(metric, saves.kept)}; {test}."
    return Verdict(kind=Kind.UNPROVEN, sentence=sentence, chosen=row.stage)


def _sentence(study: Study, row: TrialRow | None, how: str, saves: Saves | None, metric: Metric) -> str:
    if row is None or saves is None:
        return f"On the {study.n:,} validation samples, {how}."
    return (
        f"On the {study.n:,} validation samples, {how} is {row.architecture} with {row.params:,} params. It has "
        f"{phrase(metric, _score(row, metric).value)}, is {saves.smaller:.1f} times smaller than the teacher, and "
        f"{keeps(metric, saves.kept)}."
    )
