"""What to do with the smallest student: one of four verdicts, with what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import JsonValue

from ..metrics.words import at_best, phrase
from .confirm.confirmation import Confirmation, FrozenNetwork, GroupPart, Member
from .evidence import Tested, misses, more_samples, reaches
from .wanted import Wanted, percent

MUCH = 0.1
"""A class or group loses much if its accuracy is this far below the teacher's there, and significantly lower."""
FALSE_CAUTIONS = 0.05
"""The expected share of cautions without a cause."""
NAMED = 2
"""So many of them are named in the sentence."""


What = Literal["class", "label", "group"]


class Kind(StrEnum):
    SHIP = "ship"
    CAUTION = "ship with a caution"
    UNPROVEN = "not proven yet"
    NO = "do not ship"


class Loss(NamedTuple):
    """A class, a label, or a group of `n` test samples on which a student loses much: its accuracy, and the teacher's."""

    what: What
    name: str
    n: int
    accuracy: float
    teacher: float

    def __str__(self) -> str:
        return f"{self.what} {self.name} (from {self.teacher:.1%} to {self.accuracy:.1%} accuracy)"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`chosen` is the key of the weights that the `sentence` is about; None if no student is within the limits.

    `losses` are what the caution is about, the largest first. `more` is how many more test samples would decide, if the verdict
    is that nothing is proven yet; None if no number would, or if nothing is confirmed.
    """

    kind: Kind
    sentence: str
    chosen: str | None = None
    losses: Sequence[Loss] = ()
    more: int | None = None

    @property
    def ships(self) -> bool:
        return self.kind in (Kind.SHIP, Kind.CAUTION)

    def as_json(self) -> dict[str, JsonValue]:
        losses: list[JsonValue] = [one._asdict() for one in self.losses]
        return {"kind": self.kind.value, "sentence": self.sentence, "more": self.more, "losses": losses}


def verdict(found: Confirmation, wanted: Wanted, tested: Sequence[Tested]) -> Verdict:
    """What to do after the tests of all members within the limits, the largest first.

    The smallest that passed ships: with a caution, if it loses much on a class or group. Without a proof, nothing is proven yet
    as long as there is a student that is not shown to miss what is wanted; the verdict is then about the one at which testing
    stopped or, if that one misses, about the one with the best evidence.
    """
    passed = [one.member for one in tested if one.passed]
    if passed:
        return _ship(found, wanted, passed[-1])
    if not tested:
        limits = " and ".join(wanted.limits().values())
        return Verdict(kind=Kind.NO, sentence=f"Do not ship: no student on the frontier has {limits or 'been confirmed'}.")
    open_ones = [one for one in tested if not misses(found, one.member, wanted, one.p)]
    if open_ones:
        stopped = [one for one in open_ones if one.passed is False]
        return _unproven(found, wanted, *(stopped or [min(open_ones, key=lambda one: one.p)]))
    metric = wanted.measure
    nearest = min((one.member for one in tested), key=lambda one: metric.cost(one.test.scores[metric.name].value))
    what = f"Do not ship: {found.test.n:,} test samples show that no student has {_asked(wanted)}"
    sentence = f"{what}; the nearest, with {nearest.params:,} parameters, has {_has(found, nearest, wanted)}."
    return Verdict(kind=Kind.NO, sentence=sentence, chosen=nearest.chosen)


def _ship(found: Confirmation, wanted: Wanted, passed: Member) -> Verdict:
    losses, smaller, faster = (
        list(losses_of(found, passed)),
        passed.smaller_than(found.teacher),
        passed.faster_than(found.teacher),
    )
    student = f"the student with {passed.params:,} parameters"
    than = f"{smaller:.1f} times smaller than the teacher and {faster:.1f} times as fast"
    if not losses:
        sure = f"with {percent(wanted.confidence)} confidence"
        sentence = f"Ship {student}: it is {than}, and it is shown to have {_asked(wanted)} ({sure})."
        return Verdict(kind=Kind.SHIP, sentence=sentence, chosen=passed.chosen)
    sentence = f"Ship {student} with a caution: it is {than}, but it {loses_much(losses)}."
    return Verdict(kind=Kind.CAUTION, sentence=sentence, chosen=passed.chosen, losses=losses)


def loses_much(losses: Sequence[Loss]) -> str:
    """A caution in words; `losses` are not empty."""
    names = " and ".join(map(str, losses[:NAMED]))
    others = f", and on {len(losses) - NAMED} more" if len(losses) > NAMED else ""
    return f"loses a lot of accuracy on {names}{others}"


def _unproven(found: Confirmation, wanted: Wanted, one: Tested) -> Verdict:
    member = one.member
    more = None if one.p <= 1 - wanted.confidence else more_samples(found, member, wanted, one.p)
    start = f"the student with {member.params:,} parameters has {_has(found, member, wanted)} on {found.test.n:,} test samples"
    if reaches(found, member, wanted):
        why, end = "which may be chance with so few samples", f"prove that it has {_asked(wanted)}"
    else:
        why, end = "which is too little, but may be chance with so few samples", f"show that it does not have {_asked(wanted)}"
    many = "it takes more test samples to" if more is None else f"about {more:,} more test samples with such results would"
    return Verdict(
        kind=Kind.UNPROVEN, sentence=f"Not proven yet: {start}, {why}; {many} {end}.", chosen=member.chosen, more=more
    )


def _asked(wanted: Wanted) -> str:
    """What is wanted, without the limits: `at least 95% of the teacher's accuracy`, or `at least 90% accuracy`."""
    metric = wanted.measure
    if wanted.target is None:
        return replace(wanted, params=None, bytes=None, latency_ms=None).shown
    return at_best(metric, percent(wanted.target) if metric.percent else f"{wanted.target:,.7g}")


def _has(found: Confirmation, one: FrozenNetwork, wanted: Wanted) -> str:
    """What was measured, in the terms of what is wanted."""
    metric = wanted.measure
    value, teacher = (network.test.scores[metric.name].value for network in (one, found.teacher))
    if wanted.target is not None:
        return phrase(metric, value)
    if metric.higher:
        return f"{metric.kept(value, teacher):.1%} of the teacher's {metric.label}"
    return f"{metric.keeping(1.0, max(metric.kept(value, teacher), 1e-12)):.2f} times the teacher's {metric.label}"


def losses_of(found: Confirmation, one: FrozenNetwork) -> Iterator[Loss]:
    """The classes, labels, and groups on which a student loses much, the largest drop first.

    Significance is that of Fisher's exact test for lower accuracy, as if the teacher had been measured on other samples, which
    is stricter than necessary; over all of them together, the expected share of false cautions is at most FALSE_CAUTIONS
    (Benjamini and Hochberg 1995). A regression has no accuracy, so it has no cautions.
    """
    from scipy.stats import false_discovery_control

    parts = list(_parts(found, one))
    if not parts:
        return
    chances = [_chance(count, part) for part, count in parts]
    adjusted = false_discovery_control(chances)
    for (part, _), p in sorted(zip(parts, adjusted, strict=True), key=lambda pair: pair[0][0].accuracy - pair[0][0].teacher):
        if part.teacher - part.accuracy >= MUCH and p <= FALSE_CAUTIONS:
            yield part


def _parts(found: Confirmation, one: FrozenNetwork) -> Iterator[tuple[Loss, int]]:
    """Each class, label, and group, and how many predictions its accuracy is a share of."""
    many = found.test.kind == "multilabel"
    for part in one.test.by_class:
        what: What = "label" if many else "class"
        yield Loss(what, part.name, part.n, part.accuracy, part.teacher), found.test.n if many else part.n
    for group in one.test.by_group or ():
        if isinstance(group, GroupPart):
            yield Loss("group", str(group.group), group.n, group.accuracy, group.teacher), group.n


def _chance(n: int, part: Loss) -> float:
    """The p-value of Fisher's exact test for a lower accuracy than the teacher's, each of n predictions."""
    from scipy.stats import hypergeom

    own, theirs = round(part.accuracy * n), round(part.teacher * n)
    return min(1.0, max(0.0, float(hypergeom.sf(theirs - 1, 2 * n, n, own + theirs))))
