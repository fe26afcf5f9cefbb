"""Candidates, which of them continue, and the final verdict: pure decisions on heights that are paired by seed.

Ladder sizes are numbered from the largest, 0. Heights are values of the metric in units in which larger is better; all
candidates of a seed begin with the same weights and see the same batches, so their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ...metrics.intervals import Interval, effect, mean_interval

Kind = Literal["labels", "direct", "long", "loss", "early", "chain", "assistant"]
Why = Literal["helps", "not_significant", "worse", "matched", "unknown", "none"]
Heights = Mapping["Candidate", Sequence[float]]
"""Seed by seed."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to train the student or, for the kind `assistant`, to train the last ladder size of its path.

    labels   without a teacher
    direct   from the teacher
    long     from the teacher, for `epochs`
    loss     from the teacher with another loss
    early    from an earlier checkpoint of the teacher
    chain    through the ladder sizes of `path`, each taught by the one above it (serial) or by all above it (dense)
    """

    kind: Kind
    path: tuple[int, ...] = ()
    guidance: Literal["serial", "dense"] = "serial"
    epochs: int | None = None


DIRECT = Candidate(kind="direct")


def assistant(path: tuple[int, ...]) -> Candidate:
    return Candidate(kind="assistant", path=path)


def gains(of: Sequence[float], against: Sequence[float]) -> list[float]:
    """Differences of heights, paired by seed: positive if `of` is better."""
    return [one - other for one, other in zip(of, against, strict=True)]


def is_clearly_worse(of: Sequence[float], best: Sequence[float]) -> bool:
    """Whether the paired difference is a significant loss; never with fewer than two seeds."""
    return effect(mean_interval(gains(of, best))) == "loss"


def ranked(found: Heights) -> list[Candidate]:
    """The best mean first; ties keep their order."""
    return sorted(found, key=lambda one: -fmean(found[one]))


def going_on(
    found: Heights, costs: Callable[[Sequence[Candidate]], Sequence[float]], left: float, reference: Candidate = DIRECT
) -> list[Candidate]:
    """The candidates that are trained with one more seed, best first; none if there is no time for two of them.

    Candidates that are clearly worse than the best are dropped. `costs` are the seconds of each round to come: if they exceed
    `left`, the best half stays, and half of these again until the next round fits. The reference always stays, and so does the
    best chain that was not dropped: the question is about it.
    """
    order = ranked(found)
    best = found[order[0]]
    staying = [one for one in order if one == reference or not is_clearly_worse(found[one], best)]
    if sum(costs(staying)) > left:
        staying = _halved(staying, reference)
    while len(staying) > 2 and costs(staying)[0] > left:
        staying = _halved(staying, reference)
    return staying if len(staying) == 1 or costs(staying)[0] <= left else []


def _halved(order: Sequence[Candidate], reference: Candidate) -> list[Candidate]:
    others = [one for one in order if one != reference]
    least = {reference, *[one for one in others if one.kind == "chain"][:1]}
    least = least if len(least) > 1 else least | set(others[:1])
    kept = [one for one in order if one in {*order[: len(order) // 2], *least}]
    return kept if len(kept) < len(order) else [one for one in order if one in least]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`chain` is the best chain, with its gain over direct distillation and the gain's 95% interval; `answer` is what to do.

    `why`: helps; not_significant (the interval includes 0); worse (it is below); matched (something without an assistant is as
    good); unknown (too few seeds to tell); none (no chain was trained).
    """

    answer: Candidate
    why: Why
    chain: Candidate | None = None
    gain: float | None = None
    interval: Interval | None = None


def judged(gained: Sequence[float]) -> Sequence[float]:
    """The seeds that a gain is judged by: not the first, on which paths were chosen, unless there is no other."""
    return gained[1:] or gained


def verdict(found: Heights, reference: Candidate = DIRECT) -> Verdict:
    """The verdict on all candidates, seed by seed. Only a candidate with every seed of the reference can be the answer.

    The best of k chains is chosen by the seeds that judge it, so its interval has the level 1 - 0.05 / k (Bonferroni): the
    chance of naming a chain that does not help stays at 5%.
    """
    count = len(found[reference])
    order = ranked({one: values[:count] for one, values in found.items() if len(values) >= count})
    others = [one for one in order if one.kind != "chain"]
    chains = [one for one in found if one.kind == "chain" and found[one]]
    if not chains:
        return Verdict(answer=others[0], why="none")
    chain = max(chains, key=lambda one: (len(found[one][:count]), fmean(found[one])))
    gained = judged(gains(found[chain][:count], found[reference][: len(found[chain])]))
    interval = mean_interval(gained, 1 - 0.05 / len(chains))  # the best of so many: Bonferroni
    why = _why(interval, chain == order[0])
    answer = chain if why == "helps" else others[0]
    return Verdict(answer=answer, why=why, chain=chain, gain=fmean(gained), interval=interval)


def _why(interval: Interval | None, is_best: bool) -> Why:
    match effect(interval):
        case "gain":
            return "helps" if is_best else "matched"
        case "loss":
            return "worse"
        case other:
            return other
