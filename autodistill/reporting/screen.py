"""What one screen of a terminal holds: a search while it runs, and its result."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .terminal import clock, frontier_table, remarks

if TYPE_CHECKING:
    from ..study.schedule.running import Running
    from .summary import StudySummary

MEMBERS = 10
"""The most members of the frontier that fit beside the rest."""
REMARKS = 6
"""The most lines of remarks."""
JOBS = 4
"""The most running jobs that are listed."""
FAILURES = 3
"""The most reasons of failures that are listed while a search runs."""


def running_search(line: Text, found: StudySummary | None, jobs: Sequence[Running]) -> Group:
    """How far a search is, its frontier so far, what runs, and what failed."""
    parts: list[Text | Table] = [line]
    if found is not None and found.frontier:
        parts.append(frontier_table(found, most=MEMBERS))
    if jobs:
        parts.append(_jobs(jobs))
    if found is not None:
        parts += [Text(failure, style="red") for failure in found.why_failed()[: 1 + FAILURES]]
    return Group(*parts)


def _jobs(jobs: Sequence[Running]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for job in jobs[:JOBS]:
        table.add_row("running", job.what, job.network, clock(job.seconds))
    if len(jobs) > JOBS:
        table.add_row("", f"{len(jobs) - JOBS} more")
    return table


def show_result(console: Console, found: StudySummary, out: str) -> None:
    """What a search prints at its end: the frontier, the answer, and what to do next; `report` tells the rest."""
    console.print(frontier_table(found, most=MEMBERS))
    for line in found.answers():
        console.print(line, style="bold", soft_wrap=not console.is_terminal)
    shown, left = _fitting([*found.why_failed(), *remarks(found)], console.width)
    for line in shown:
        console.print(line, soft_wrap=not console.is_terminal)
    if left:
        console.print(f"{left} more remark{'s' * (left > 1)}: autodistill report {shlex.quote(out)}", soft_wrap=True)
    for line in (*_next(found, shlex.quote(out)), f"report: {out}"):
        console.print(line, soft_wrap=True)


def _fitting(lines: Sequence[str], width: int) -> tuple[list[str], int]:
    """The first of these lines that fit, and how many others there are."""
    room, shown = REMARKS, list[str]()
    for line in lines:
        room -= max(1, math.ceil(len(line) / width))
        if room < 0:
            break
        shown.append(line)
    return shown, len(lines) - len(shown)


def _next(found: StudySummary, out: str) -> list[str]:
    """Commands that people run after a search, with what they do."""
    share = next((one.of_teacher for one in reversed(found.headline) if one.row is not None), None)
    wanted = None if share is None else f"--retain {share:g}"
    if found.target is not None:
        wanted = f"--target {found.metric.column}={found.target.wanted:g}" if found.target.reached else None
    more = (f"autodistill search {out} --extend --set search.trials=N", "runs more trials")
    first = more if wanted is None else (f"autodistill smallest {out} {wanted}", "tests students on the test split")
    steps = [first, (f"autodistill report {out}", "writes the page, and prints all remarks")]
    width = max(len(command) for command, _ in steps)
    return ["next:", *(f"  {command:{width}}  # {what}" for command, what in steps)]
