"""The answer in one computed sentence: a claim after `confirm`; before it, what the validation samples say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ...answers import Wanted, later, smallest
from ...spec import UsageError
from ...study.record.rows import TrialRow
from .study import Study

Facts = dict[str, Any]


def answer(study: Study, wanted: Wanted) -> Facts:
    """`sentence`, whether it `is_claim`, `saves` (times smaller, times faster, share of the teacher's accuracy kept; None if
    unknown), further `lines`, the number of `forced` openings of the test split, and a message about students that were tried
    `later`.

    Without a target in `wanted`, the spec's search.target applies. Raises UsageError for a latency before `confirm`.
    """
    target = study.spec.search.target
    if not wanted.has_target and target is not None and target < 1:
        wanted = replace(wanted, accuracy=target)
    return _claimed(study, wanted) if study.confirmed is not None else _seen(study, wanted)


def _claimed(study: Study, wanted: Wanted) -> Facts:
    assert study.confirmed is not None
    found = smallest(study.confirmed, wanted)
    row = found.answer
    return {
        "is_claim": True,
        "meets": found.meets,
        "sentence": f"{found.sentence()}.",
        "saves": found.savings and found.savings._asdict(),
        "stage": row and row.stage,
        "chosen": row and row.chosen,
        "confidence": wanted.confidence,
        "target": found.wanted.accuracy,
        "lines": [line for line in found.facts() if line[0] != "warning"],
        "forced": found.forced,
        "later": later(study.later),
    }


def _seen(study: Study, wanted: Wanted) -> Facts:
    if wanted.latency_ms is not None:
        raise UsageError(
            f"--latency-ms {wanted.latency_ms:g}: latency is measured by confirm; run: autodistill confirm {study.path}"
        )
    able = [row for row in study.members if wanted.allows(row.sizes)]
    target = _target(study, wanted)
    row, how = _one(able, target, study.n) if study.members else (None, "no student is on the frontier yet")
    teacher = study.teacher
    saves = None
    if row is not None:
        kept = row.accuracy / max(teacher.accuracy, 1e-12)
        saves = {"smaller": teacher.params / max(1, row.params), "faster": None, "kept": kept}
    return {
        "is_claim": False,
        "meets": row is not None,
        "sentence": _sentence(study, row, how, saves),
        "saves": saves,
        "stage": row and row.stage,
        "chosen": row and row.stage,
        "confidence": None,
        "target": target,
        "lines": [],
        "forced": 0,
        "later": "",
    }


def _target(study: Study, wanted: Wanted) -> float | None:
    if wanted.retain is not None:
        return wanted.retain * study.teacher.accuracy
    return wanted.accuracy if wanted.accuracy is not None else study.spec.search.target


def _one(able: list[TrialRow], target: float | None, n: int) -> tuple[TrialRow | None, str]:
    """The smallest row that meets the target or, without one, is within one standard error of the best; and its description."""
    if not able:
        return None, "no student on the frontier is within the limits"
    if target is not None:
        found = next((row for row in able if row.accuracy >= target), None)
        best = max(row.accuracy for row in able)
        missing = f"no student has {target:.1%} validation accuracy; the best has {best:.1%}"
        return found, missing if found is None else f"the smallest student with at least {target:.1%} accuracy"
    best = max(row.accuracy for row in able)
    error = math.sqrt(best * (1 - best) / n)
    return next(row for row in able if row.accuracy >= best - error), (
        f"the smallest student within one standard error of the best ({best:.1%})"
    )


def _sentence(study: Study, row: TrialRow | None, how: str, saves: Facts | None) -> str:
    if row is None or saves is None:
        return f"On the {study.n:,} validation samples {how}."
    return (
        f"On the {study.n:,} validation samples, {how} is {row.architecture} with {row.params:,} params. It has "
        f"{row.accuracy:.1%} accuracy, is {saves['smaller']:.1f} times smaller than the teacher, and keeps "
        f"{saves['kept']:.1%} of its accuracy."
    )
