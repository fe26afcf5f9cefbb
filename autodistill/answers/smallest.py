"""The smallest student that meets a target, with a confidence that holds no matter how many students were tested.

Fixed-sequence testing: the members of the frontier are tested in an order that was fixed on the validation samples, from the
largest to the smallest, each at the full level, stopping at the first that fails. The chance of any false claim is then at
most 1 - confidence (Laufer-Goldshtein et al., "Efficiently controlling multiple risks with Pareto testing", ICLR 2023;
Angelopoulos et al., "Learn then test", 2021). A claim is about one frozen weight file, chosen on the validation samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..metrics.intervals import enough, exceeds, keeps
from ..spec import UsageError
from ..study import pareto
from .confirm.results import Confirmed, Right

Member = Mapping[str, Any]
RETAIN, HALF = 0.95, 2
"""The default question: 95 % of the teacher's accuracy at half its size or less."""
SUREST = 0.999999
"""The highest confidence of a claim: its assumptions (such as i.i.d. test samples) are no more certain than this."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A target, an `accuracy` or the share of the teacher's to `retain`, and limits. Raises UsageError."""

    accuracy: float | None = None
    retain: float | None = None
    params: int | None = None
    bytes: int | None = None
    latency_ms: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.accuracy is not None and self.retain is not None:
            raise UsageError("--accuracy and --retain are two targets; give one of them")
        for name in ("accuracy", "retain", "confidence"):
            value = getattr(self, name)
            most = 2 if name == "retain" else 1
            if value is not None and not 0 < value < most:
                raise UsageError(f"--{name} {value}: give a share between 0 and {most}, such as 0.95")
        if self.confidence > SUREST:
            raise UsageError(f"--confidence {self.confidence}: give at most {SUREST}")
        for name in ("params", "bytes", "latency_ms"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} {value}: a limit must be above 0")

    def resolved(self, teacher_params: int) -> Wanted:
        """With the default target where none was given: a share of the teacher's accuracy at half its size."""
        if self.accuracy is not None or self.retain is not None:
            return self
        params = teacher_params // HALF if self.params is None else self.params
        return Wanted(**(asdict(self) | {"retain": RETAIN, "params": params}))


def smallest(found: Confirmed, wanted: Wanted) -> dict[str, Any]:
    """The answer as plain facts: `answer` is None if no student is proven to meet the target."""
    is_default = wanted.accuracy is None and wanted.retain is None
    wanted = wanted.resolved(found.teacher["params"])
    sequence = [member for member in in_order(found.members) if _within(member, wanted)]
    tested = tests(found, sequence, wanted)
    passed = [row for row in tested if row["passed"]]
    failed = next((row for row in tested if row["passed"] is False), None)
    return {
        "study": found.facts.get("study"),
        "wanted": asdict(wanted),
        "default": is_default,
        "meets": bool(passed),
        "answer": passed[-1] if passed else None,
        "runner_up": passed[-2] if len(passed) > 1 else None,
        "next_smaller": failed if passed and failed else None,
        "more_correct": _more_correct(found, failed["chosen"], wanted) if failed else None,
        "would_pass": None if passed or not failed else _would_pass(found, failed["chosen"], wanted),
        "nearest": None if passed or not tested else dict(max(tested, key=lambda row: float(row["test"]["accuracy"]))),
        "tested": tested,
        "needed": _needed(found, wanted),
        "knee": knee(found.members),
        "one_standard_error": one_standard_error(found.members),
        "teacher": found.teacher,
        "forced": sum(one["forced"] for one in found.facts.get("opened", [])),
    }


def in_order(members: Sequence[Member]) -> list[Member]:
    """The nondominated members on the validation samples, largest first."""
    costs = [[-member["validation"]["accuracy"], member["params"]] for member in members]
    return [members[index] for index in pareto.frontier(costs)][::-1] if members else []


def _within(member: Member, wanted: Wanted) -> bool:
    slow = wanted.latency_ms is not None and member["latency"]["one"]["p50_ms"] > wanted.latency_ms
    return not slow and all(
        limit is None or member[name] <= limit for name, limit in (("params", wanted.params), ("bytes", wanted.bytes))
    )


def tests(found: Confirmed, sequence: Sequence[Member], wanted: Wanted) -> list[dict[str, Any]]:
    """Each member with its p-value, and whether it passed; None if the sequence ended before it."""
    rows: list[dict[str, Any]] = []
    continues = True
    for member in sequence:
        p = _p_value(found, found.right[member["chosen"]], wanted)
        passes = p <= 1 - wanted.confidence
        rows.append({**_shown(member), "p": p, "passed": passes if continues else None})
        continues = continues and passes
    return rows


def _p_value(found: Confirmed, right: Right, wanted: Wanted) -> float:
    if wanted.accuracy is not None:
        return exceeds(int(right.sum()), len(right), wanted.accuracy)
    assert wanted.retain is not None
    teacher = found.right[found.teacher["chosen"]]
    both, own, theirs = (int(part.sum()) for part in (right & teacher, right & ~teacher, ~right & teacher))
    return keeps(both, own, theirs, len(right), wanted.retain) if both + own + theirs else 1.0


def _shown(member: Member) -> dict[str, Any]:
    names = ("stage", "chosen", "role", "architecture", "chain", "params", "macs", "bytes", "validation", "latency")
    test = {name: member["test"][name] for name in ("accuracy", "correct", "n", "low", "high")}
    return {name: member[name] for name in names} | {"test": test}


def _more_correct(found: Confirmed, key: str, wanted: Wanted) -> int | None:
    """How many more correct predictions on this test split it needs; 0 if it has enough, None if even all are too few."""
    right = found.right[key].copy()
    wrong = np.flatnonzero(~right)
    low, high = 0, len(wrong) + 1
    while low < high:  # p falls with every correct prediction
        middle = (low + high) // 2
        more = right.copy()
        more[wrong[:middle]] = True
        passes = _p_value(found, more, wanted) <= 1 - wanted.confidence
        low, high = (low, middle) if passes and middle <= len(wrong) else (middle + 1, high)
    return low if low <= len(wrong) else None


def _would_pass(found: Confirmed, key: str, wanted: Wanted) -> float:
    """The highest target at which a network would pass: the lower end of its one-sided interval, to 0.01 points."""
    name = "accuracy" if wanted.accuracy is not None else "retain"
    low, high = 0, round(1e4 * getattr(wanted, name))
    while low < high:
        middle = (low + high + 1) // 2
        holds = _p_value(found, found.right[key], replace(wanted, **{name: middle / 1e4})) <= 1 - wanted.confidence
        low, high = (middle, high) if holds else (low, middle - 1)
    return low / 1e4


def _needed(found: Confirmed, wanted: Wanted) -> dict[str, Any] | None:
    """How many test samples a student must predict correctly to pass, and how many samples there must be at least."""
    if wanted.accuracy is None:
        return None
    n, alpha = len(next(iter(found.right.values()))), 1 - wanted.confidence
    correct = enough(n, wanted.accuracy, alpha)
    least = math.ceil(math.log(alpha) / math.log(wanted.accuracy))
    return {"correct": correct, "n": n, "accuracy": None if correct is None else correct / n, "least_n": least}


def knee(members: Sequence[Member]) -> dict[str, Any] | None:
    """The member that is farthest above the line between the frontier's ends, in accuracy over log10 of params.

    Both axes are scaled to 1 (Das 1999, normal-boundary intersection). None if there are fewer than three members.
    """
    order = in_order(members)
    if len(order) < 3:
        return None
    x, y = (np.array(values, dtype=float) for values in zip(*map(_place, order), strict=True))
    above = (y - y.min()) / max(np.ptp(y), 1e-12) - (x - x.min()) / max(np.ptp(x), 1e-12)
    return _shown(order[int(np.argmax(above))])


def _place(member: Member) -> tuple[float, float]:
    return math.log10(max(1, member["params"])), member["validation"]["accuracy"]


def one_standard_error(members: Sequence[Member]) -> dict[str, Any] | None:
    """The smallest member whose validation accuracy is within one standard error of the best (Breiman et al. 1984)."""
    order = in_order(members)
    if not order:
        return None
    best = order[0]["validation"]
    error = math.sqrt(best["accuracy"] * (1 - best["accuracy"]) / best["n"])
    return _shown([one for one in order if one["validation"]["accuracy"] >= best["accuracy"] - error][-1])
