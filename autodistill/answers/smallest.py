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

from ..metrics.intervals import enough
from ..metrics.metric import TopK, named, suiting
from ..spec import UsageError
from ..study import pareto
from ..study.record.rows import costs
from .claim import Claim, Needed
from .confirm.confirmation import Confirmation, Member
from .evidence import Tested, p_value
from .verdict import verdict
from .wanted import Wanted

FAR = 10
"""A loss passes, at the latest, this many standard errors above its value."""


def smallest(found: Confirmation, wanted: Wanted) -> Claim:
    """The smallest confirmed student that is shown to have what is wanted."""
    is_default = not wanted.has_target
    wanted = wanted.resolved(found.teacher.params, found.metric)
    suiting(wanted.measure.name, found.test.kind, found.test.classes, "--target")
    if not wanted.measure.applies(found.outcomes[found.teacher.chosen]):
        needs = f"{wanted.measure.label} needs all outputs of the networks, which were not kept"
        raise UsageError(f"--target: {needs}; use another metric")
    sequence = [member for member in in_order(found.members) if wanted.allows(member, member.latency.one.p50_ms)]
    tested = tests(found, sequence, wanted)
    failed = next((one.member.chosen for one in tested if one.passed is False), None)
    none_passed = not any(one.passed for one in tested)
    return Claim(
        study=found.study,
        wanted=wanted,
        is_default=is_default,
        tested=tested,
        verdict=verdict(found, wanted, tested),
        more_correct=_more_correct(found, failed, wanted) if failed and isinstance(wanted.measure, TopK) else None,
        would_pass=would_pass(found, failed, wanted) if failed and none_passed else None,
        needed=_needed(found, wanted),
        knee=knee(found.members),
        one_standard_error=one_standard_error(found.members),
        teacher=found.teacher,
        forced=found.forced,
    )


def in_order(members: Sequence[Member]) -> list[Member]:
    """The nondominated members on the validation samples, largest first."""
    if not members:
        return []
    table = costs([(member.on_validation.value, member.params) for member in members], (members[0].metric, "params"))
    return [members[index] for index in pareto.frontier(table)][::-1]


def tests(found: Confirmation, sequence: Sequence[Member], wanted: Wanted) -> list[Tested]:
    """Each member with its p-value, and whether it passed; None if the sequence ended before it."""
    rows: list[Tested] = []
    continues = True
    for member in sequence:
        p = p_value(found, member.chosen, wanted)
        passes = p <= 1 - wanted.confidence
        rows.append(Tested(member, p, passes if continues else None))
        continues = continues and passes
    return rows


def _more_correct(found: Confirmation, key: str, wanted: Wanted) -> int | None:
    """How many more correct predictions on this test split it needs; 0 if it has enough, None if even all are too few."""
    outcome, metric = found.outcomes[key], wanted.measure
    assert isinstance(metric, TopK)
    wrong = np.flatnonzero(~metric.right(outcome))

    def passes(more: int) -> bool:  # p falls with every correct prediction
        rank = outcome.rank.copy()
        rank[wrong[:more]] = 0
        changed = {**found.outcomes, key: outcome._replace(rank=rank)}
        return p_value(found.model_copy(update={"outcomes": changed}), key, wanted) <= 1 - wanted.confidence

    fewest = bisect_left(range(len(wrong) + 1), True, key=passes)
    return fewest if fewest <= len(wrong) else None


def would_pass(found: Confirmation, key: str, wanted: Wanted) -> float:
    """The most demanding target at which a network would pass: the end of its one-sided interval, to 0.0001 or four digits."""
    name = "target" if wanted.target is not None else "retain"
    asked, score, metric = getattr(wanted, name), found.scored(key, wanted.measure), wanted.measure
    per = 10.0 ** (3 - math.floor(math.log10(abs(score.value) or 1.0))) if metric.natural and name == "target" else 1e4
    if name == "target" and not metric.higher:  # the largest loss comes first
        targets = np.arange(round(per * max(asked, score.value + FAR * score.error)), round(per * asked) - 1, -1) / per
    else:
        least = score.value - FAR * score.error if metric.natural and name == "target" else 0.0
        targets = np.arange(round(per * min(least, asked)), round(per * asked) + 1) / per

    def fails(place: int) -> bool:
        value = float(targets[place])
        asked = replace(wanted, target=value) if name == "target" else replace(wanted, retain=value)
        return p_value(found, key, asked) > 1 - wanted.confidence

    first = bisect_left(range(1, len(targets)), True, key=fails)  # the first one passes: it asks for nothing
    return float(targets[first])


def _needed(found: Confirmation, wanted: Wanted) -> Needed | None:
    """None for a share of the teacher's metric, where it depends on the teacher's predictions, and for metrics that are no
    counts.
    """
    if wanted.target is None or not isinstance(wanted.measure, TopK):
        return None
    n, alpha = found.test.n, 1 - wanted.confidence
    correct = enough(n, wanted.target, alpha)
    least = math.ceil(math.log(alpha) / math.log(wanted.target))
    return Needed(correct=correct, n=n, accuracy=None if correct is None else correct / n, least_n=least)


def knee(members: Sequence[Member]) -> Member | None:
    """The member that is farthest above the line between the frontier's ends, in the metric over log10 of params.

    Both axes are scaled to 1 (Das 1999, normal-boundary intersection). None if there are fewer than three members.
    """
    order = in_order(members)
    if len(order) < 3:
        return None
    x = np.array([math.log10(max(1, member.params)) for member in order])
    y = named(order[0].metric).height([member.on_validation.value for member in order])
    above = (y - y.min()) / max(np.ptp(y), 1e-12) - (x - x.min()) / max(np.ptp(x), 1e-12)
    return order[int(np.argmax(above))]


def one_standard_error(members: Sequence[Member]) -> Member | None:
    """The smallest member whose validation metric is within one standard error of the best (Breiman et al. 1984)."""
    order = in_order(members)
    if not order:
        return None
    metric, best = named(order[0].metric), order[0].on_validation
    most = metric.cost(best.value) + metric.error(best.value, best)
    return [one for one in order if metric.cost(one.on_validation.value) <= most][-1]
