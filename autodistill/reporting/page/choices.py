"""The decision rule: which student to choose for each requirement. It says the same as the verdict."""

from __future__ import annotations

from typing import NamedTuple

from ...answers import Wanted
from ...answers.confirm.confirmation import Confirmation
from ...answers.rule import Step, rule
from ...answers.verdict import loses_much, losses_of
from ...metrics.metric import Metric
from ...metrics.words import at_best, safe
from .answer import Answer
from .study import Study


class Choice(NamedTuple):
    """Up to what is `required`, the smallest student that has it, and the `caution` that its verdict would have; empty without
    one, and before `confirm`.
    """

    required: str
    architecture: str
    params: int
    caution: str = ""


def choices(study: Study, answered: Answer) -> list[Choice]:
    """After `confirm`, what the test samples show for each requirement; before it, what was measured on validation.

    Within the limits of the question, the least demanding requirement first.
    """
    wanted, metric = answered.wanted, answered.metric
    if study.confirmed is not None:
        steps = rule(study.confirmed, wanted)
        wanted = wanted.resolved(study.teacher.params, study.metric.name)
        return [_confirmed(study.confirmed, one, _required(one.bound, wanted, metric)) for one in steps]
    found: list[Choice] = []
    best: float | None = None
    for row in study.members:
        assert row.measured is not None, "members are complete"
        value = row.measured.scores[metric.name].value
        if row.ignorant or not wanted.allows(row.sizes) or (best is not None and metric.reaches(best, value)):
            continue
        best = value
        found.append(Choice(at_best(metric, safe(metric, value)), row.architecture, row.params))
    return found


def _confirmed(found: Confirmation, step: Step, required: str) -> Choice:
    member, losses = step.member, list(losses_of(found, step.member))
    return Choice(required, member.architecture, member.params, loses_much(losses) if losses else "")


def _required(bound: float, wanted: Wanted, metric: Metric) -> str:
    """Such as `at least 95.02% of the teacher's accuracy`, or `at least 90.00% accuracy`."""
    if wanted.target is not None:
        return at_best(metric, f"{100 * bound:.2f}%" if metric.percent else safe(metric, bound))
    if metric.higher:
        return f"at least {100 * bound:.2f}% of the teacher's {metric.label}"
    return f"at most {1 / bound:.3f} times the teacher's {metric.label}"
