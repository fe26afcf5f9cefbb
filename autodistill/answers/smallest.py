"""The smallest student that meets a target, with a confidence that holds no matter how many students were tested.

Fixed-sequence testing: the members of the frontier are tested in an order that was fixed on the validation samples, from the
largest to the smallest, each at the full level, stopping at the first that fails. The chance of any false claim is then at
most 1 - confidence (Laufer-Goldshtein et al., "Efficiently controlling multiple risks with Pareto testing", ICLR 2023;
Angelopoulos et al., "Learn then test", 2021). A claim is about one frozen weight file, chosen on the validation samples.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..metrics.intervals import enough, exceeds, keeps
from ..study import pareto
from ..study.record.rows import costs
from .claim import Claim, Needed, Tested, Wanted
from .confirm.confirmation import Confirmation, Member, Right


def smallest(found: Confirmation, wanted: Wanted) -> Claim:
    """The smallest confirmed student that is shown to have what is wanted."""
    is_default = not wanted.has_target
    wanted = wanted.resolved(found.teacher.params)
    sequence = [member for member in in_order(found.members) if wanted.allows(member, member.latency.one.p50_ms)]
    tested = tests(found, sequence, wanted)
    failed = next((one.member.chosen for one in tested if one.passed is False), None)
    none_passed = not any(one.passed for one in tested)
    return Claim(
        study=found.study,
        wanted=wanted,
        is_default=is_default,
        tested=tested,
        more_correct=_more_correct(found, failed, wanted) if failed else None,
        would_pass=_would_pass(found, failed, wanted) if failed and none_passed else None,
        needed=_needed(found, wanted),
        knee=knee(found.members),
        one_standard_error=one_standard_error(found.members),
        teacher=found.teacher,
        forced=found.forced,
    )


def in_order(members: Sequence[Member]) -> list[Member]:
    """The nondominated members on the validation samples, largest first."""
    table = costs([(member.validation.accuracy, member.params) for member in members], ("accuracy", "params"))
    return [members[index] for index in pareto.frontier(table)][::-1]


def tests(found: Confirmation, sequence: Sequence[Member], wanted: Wanted) -> list[Tested]:
    """Each member with its p-value, and whether it passed; None if the sequence ended before it."""
    rows: list[Tested] = []
    continues = True
    for member in sequence:
        p = _p_value(found, found.right[member.chosen], wanted)
        passes = p <= 1 - wanted.confidence
        rows.append(Tested(member, p, passes if continues else None))
        continues = continues and passes
    return rows


def _p_value(found: Confirmation, right: Right, wanted: Wanted) -> float:
    if wanted.accuracy is not None:
        return exceeds(int(right.sum()), len(right), wanted.accuracy)
    assert wanted.retain is not None
    teacher = found.right[found.teacher.chosen]
    both, own, theirs = (int(part.sum()) for part in (right & teacher, right & ~teacher, ~right & teacher))
    return keeps(both, own, theirs, len(right), wanted.retain) if both + own + theirs else 1.0


def _more_correct(found: Confirmation, key: str, wanted: Wanted) -> int | None:
    """How many more correct predictions on this test split it needs; 0 if it has enough, None if even all are too few."""
    right = found.right[key]
    wrong = np.flatnonzero(~right)

    def passes(more: int) -> bool:  # p falls with every correct prediction
        better = right.copy()
        better[wrong[:more]] = True
        return _p_value(found, better, wanted) <= 1 - wanted.confidence

    fewest = bisect_left(range(len(wrong) + 1), True, key=passes)
    return fewest if fewest <= len(wrong) else None


def _would_pass(found: Confirmation, key: str, wanted: Wanted) -> float:
    """The highest target at which a network would pass: the lower end of its one-sided interval, to 0.01 points."""
    name = "accuracy" if wanted.accuracy is not None else "retain"
    low, high = 0, round(1e4 * getattr(wanted, name))
    while low < high:
        middle = (low + high + 1) // 2
        holds = _p_value(found, found.right[key], replace(wanted, **{name: middle / 1e4})) <= 1 - wanted.confidence
        low, high = (middle, high) if holds else (low, middle - 1)
    return low / 1e4


def _needed(found: Confirmation, wanted: Wanted) -> Needed | None:
    """None for a share of the teacher's accuracy: there, it depends on the samples that the teacher predicts correctly."""
    if wanted.accuracy is None:
        return None
    n, alpha = len(next(iter(found.right.values()))), 1 - wanted.confidence
    correct = enough(n, wanted.accuracy, alpha)
    least = math.ceil(math.log(alpha) / math.log(wanted.accuracy))
    return Needed(correct=correct, n=n, accuracy=None if correct is None else correct / n, least_n=least)


def knee(members: Sequence[Member]) -> Member | None:
    """The member that is farthest above the line between the frontier's ends, in accuracy over log10 of params.

    Both axes are scaled to 1 (Das 1999, normal-boundary intersection). None if there are fewer than three members.
    """
    order = in_order(members)
    if len(order) < 3:
        return None
    x = np.array([math.log10(max(1, member.params)) for member in order])
    y = np.array([member.validation.accuracy for member in order])
    above = (y - y.min()) / max(np.ptp(y), 1e-12) - (x - x.min()) / max(np.ptp(x), 1e-12)
    return order[int(np.argmax(above))]


def one_standard_error(members: Sequence[Member]) -> Member | None:
    """The smallest member whose validation accuracy is within one standard error of the best (Breiman et al. 1984)."""
    order = in_order(members)
    if not order:
        return None
    best = order[0].validation
    error = math.sqrt(best.accuracy * (1 - best.accuracy) / best.n)
    return [one for one in order if one.validation.accuracy >= best.accuracy - error][-1]
