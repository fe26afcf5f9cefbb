"""What the rows of a study say together: why trials failed, whether the incumbent is dominated, what rungs predict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...metrics.intervals import kendall
from ...spec import Spec
from .region import Region
from .rows import TrialRow, costs, frontier, may_be_member, passed, volume


def counted(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """The trials that count: no repeats, none kept from an older study, none that was retried later."""
    known = [(row, row.origin) for row in rows if row.origin is not None]
    return [row for row, one in known if not one.repeats and one.retried is one.kept is None]


@dataclass(frozen=True)
class Failure:
    """How many trials failed for a reason like this one."""

    count: int
    reason: str


def grouped(rows: Sequence[TrialRow]) -> list[Failure]:
    """The failed trials by reason, the most common first; the reason is that of the first trial of its group.

    Reasons that differ only in numbers, network names, and paths form one group.
    """
    groups: dict[str, list[str]] = {}
    for row in counted(rows):
        if row.state == "failed":
            groups.setdefault(_kind(row), []).append(str(row.reason))
    return sorted((Failure(len(reasons), reasons[0]) for reasons in groups.values()), key=lambda one: -one.count)


def _kind(row: TrialRow) -> str:
    reason = str(row.reason).replace(row.architecture, "")
    return re.sub(r"\S*[\d/]\S*", "#", reason)


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """The incumbent, and the members of the frontier that dominate it, smallest first: they are at least as good and at most
    as large, and better in one of the two. All are measured on the same validation samples.
    """

    row: TrialRow
    dominated_by: Sequence[TrialRow]

    def is_apart(self, member: TrialRow) -> bool:
        """Whether the 95% interval of a member is better than that of the incumbent."""
        own, theirs = member.interval, self.row.interval
        return own.low > theirs.high if member.metric.higher else own.high < theirs.low


def compared(spec: Spec, found: Sequence[TrialRow]) -> Incumbent | None:
    """None if there is no incumbent."""
    incumbent = next((row for row in found if row.role == "incumbent"), None)
    if incumbent is None:
        return None
    members, names = frontier(found), spec.search.objectives
    table = costs([row.values(names) for row in (incumbent, *members)], names)
    better = (table[1:] <= table[0]).all(axis=1) & (table[1:] < table[0]).any(axis=1)
    return Incumbent(row=incumbent, dominated_by=[row for row, is_better in zip(members, better, strict=True) if is_better])


class Concordance(NamedTuple):
    """Kendall's tau (None: undefined) of the metric at a rung and at full length, over `n` complete trials; the rung is
    after a share of the epochs."""

    share_of_epochs: float
    n: int
    tau: float | None


def concordance(spec: Spec, found: Sequence[TrialRow]) -> list[Concordance]:
    """For each rung, over complete trials, each stage once."""
    halving = spec.search.halving
    if not halving:
        return []
    complete = {row.stage: row for row in found if row.is_complete and row.origin and row.origin.rungs}
    pairs: dict[int, list[tuple[float, float]]] = {}
    for row in complete.values():
        assert row.origin is not None
        for rung, value in passed(spec, row.origin.params, row.origin.rungs):
            pairs.setdefault(rung, []).append((value, row.value))
    return [Concordance(halving.at(rung), len(pairs[rung]), kendall(pairs[rung])) for rung in sorted(pairs)]


def hypervolume(spec: Spec, found: Sequence[TrialRow], region: Region) -> float:
    """The hypervolume of the validation metric and log10 of params inside the region, whatever sizes are objectives."""
    return volume([(row.value, row.params) for row in found if may_be_member(row, spec)], region)
