"""Whether the incumbent, the student in use today, is dominated by what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...spec import Spec
from .region import SIZES
from .rows import TrialRow, costs, frontier

SHOWN = ("stage", "architecture", *SIZES, "accuracy", "low", "high", "of_teacher", "compression", "seconds")


def dominated(spec: Spec, found: Sequence[TrialRow]) -> dict[str, Any] | None:
    """The incumbent and the members of the frontier that dominate it, smallest first; None if there is no incumbent.

    A member dominates it if it is at least as accurate and at most as large, and better in one of the two. `apart`: whether
    its 95 % interval lies above that of the incumbent. Both are measured on the same validation samples.
    """
    incumbent = next((row for row in found if row.role == "incumbent"), None)
    if incumbent is None:
        return None
    members = frontier(found)
    names = spec.search.objectives
    table = costs([row.values(names) for row in (incumbent, *members)], names)
    better = (table[1:] <= table[0]).all(axis=1) & (table[1:] < table[0]).any(axis=1)
    by = [
        _shown(row) | {"apart": row.interval.low > incumbent.interval.high}
        for row, is_better in zip(members, better, strict=True)
        if is_better
    ]
    return _shown(incumbent) | {"dominated_by": by}


def _shown(row: TrialRow) -> dict[str, Any]:
    cells = row.columns()
    return {name: cells[name] for name in SHOWN}
