"""What all slides are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from ...metrics.metric import Metric
from ...spec.measurement import Score
from ..page.answer import Answer
from ..page.finalists import Finalist, finalists, the_teacher
from ..page.study import Study


class Shown(NamedTuple):
    """A study with its answer and its networks; `student` is that of the answer, None if there is none."""

    study: Study
    answer: Answer
    teacher: Finalist
    students: Sequence[Finalist]
    student: Finalist | None

    @classmethod
    def of(cls, study: Study, answered: Answer) -> Self:
        rows = finalists(study)
        student = next((one for one in rows if one.chosen == answered.verdict.chosen), None)
        return cls(study, answered, the_teacher(study), rows, student)

    @property
    def title(self) -> str:
        return f"{self.study.spec.study}: the smallest student that is good enough"


def in_words(metric: Metric, score: Score) -> str:
    """Such as `97.5% (95.8% to 98.8%)`."""
    return f"{metric.text(score.value)} ({metric.text(score.low)} to {metric.text(score.high)})"
