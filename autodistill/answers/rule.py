"""Which student to choose for each requirement: the answers of `smallest` to all targets at once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from ..metrics.metric import suiting
from .confirm.confirmation import Confirmation, Member
from .smallest import in_order, would_pass
from .wanted import Wanted

FINE = 1e-4
"""Shares of the teacher's metric, and percentages, are told apart to 0.01%."""
MOST_KEPT = 1.9999


class Step(NamedTuple):
    """Up to `bound`, a value of the metric or a share of the teacher's, `member` is the smallest student that is shown to have
    what is required.
    """

    bound: float
    member: Member


def rule(found: Confirmation, wanted: Wanted) -> list[Step]:
    """The smallest student for each requirement, the least demanding first, within the limits and with the confidence of
    `wanted`: what `smallest` answers to each of these targets, so that the rule and the verdict agree.

    A member is the answer as long as it and all larger members pass, because testing stops at the first that fails.
    """
    wanted = wanted.resolved(found.teacher.params, found.metric)
    suiting(wanted.measure.name, found.test.kind, found.test.classes, "--target")
    natural = wanted.retain is not None or wanted.measure.higher
    steps: list[Step] = []
    least = math.inf
    for member in in_order(found.members):
        if not wanted.allows(member, member.latency.one.p50_ms):
            continue
        bound = _most_demanding(found, member, wanted)
        if bound is None:
            break
        least = min(least, bound if natural else -bound)
        step = Step(least if natural else -least, member)
        steps = [one for one in steps if one.bound != step.bound]  # the smaller one is shown to have as much
        steps.append(step)
    return steps[::-1]


def _most_demanding(found: Confirmation, one: Member, wanted: Wanted) -> float | None:
    """What a member would pass at most: never more than was measured. None if it passes nothing that can be asked for."""
    metric = wanted.measure
    value, teacher = (network.test.scores[metric.name].value for network in (one, found.teacher))
    if wanted.retain is not None:
        kept = min(MOST_KEPT, math.ceil(metric.kept(value, teacher) / FINE) * FINE)
        return would_pass(found, one.chosen, replace(wanted, retain=kept)) or None if kept > 0 else None
    best = min(value, metric.high - FINE) if metric.higher else max(value, metric.low + FINE)
    return would_pass(found, one.chosen, replace(wanted, target=best)) if metric.low < best < metric.high else None
