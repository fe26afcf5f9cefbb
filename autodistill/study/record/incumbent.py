"""Whether the incumbent, the student in use today, is dominated by what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...spec import Spec
from .rows import TrialRow, costs, frontier


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """The incumbent, and the members of the frontier that dominate it, smallest first: they are at least as accurate and at
    most as large, and better in one of the two. All are measured on the same validation samples.
    """

    row: TrialRow
    dominated_by: Sequence[TrialRow]

    def is_apart(self, member: TrialRow) -> bool:
        """Whether the 95 % interval of a member lies above that of the incumbent."""
        return member.interval.low > self.row.interval.high


def compared(spec: Spec, found: Sequence[TrialRow]) -> Incumbent | None:
    """None if there is no incumbent."""
    incumbent = next((row for row in found if row.role == "incumbent"), None)
    if incumbent is None:
        return None
    members, names = frontier(found), spec.search.objectives
    table = costs([row.values(names) for row in (incumbent, *members)], names)
    better = (table[1:] <= table[0]).all(axis=1) & (table[1:] < table[0]).any(axis=1)
    return Incumbent(row=incumbent, dominated_by=[row for row, is_better in zip(members, better, strict=True) if is_better])
