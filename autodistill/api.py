"""The public functions, which the command line and notebooks call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

from .answers.chains import SEEDS, ChainPlan, Home, plan_chain
from .reporting import chain_graph
from .reporting.progress import Progress
from .runners import Runner
from .spec import Spec
from .study import driver
from .study.driver import Options
from .study.schedule.scheduler import Study


def search(
    spec: Spec,
    *,
    out: Path | str | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    options: Options | None = None,
    console: Console | None = None,
) -> Study:
    """Searches the students of `spec` and writes the report into `out` (`reports/<study>` unless given).

    The same call continues where an earlier one stopped. Raises UsageError for invalid arguments, StudyError or
    StoreError if the search cannot continue.
    """
    with Progress(console or Console(file=sys.stderr)) as progress:
        return driver.search(spec, out=out, runner=runner, options=options, listener=progress)


def chain(
    spec: Spec,
    *,
    student: str,
    home: Home,
    seeds: int = SEEDS,
    seconds: float | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    console: Console | None = None,
) -> ChainPlan:
    """Plans a chain as `answers.chains.plan_chain` does, and draws it: chain.png and chain.svg beside chain.json."""
    found = plan_chain(spec, student=student, home=home, seeds=seeds, seconds=seconds, runner=runner, console=console)
    chain_graph.draw(found, home.out / "chain")
    return found
