"""A search as the driver sees it, for tests that look behind `autodistill.search`."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from autodistill.reporting.progress import Progress
from autodistill.runners import Runner
from autodistill.spec import Spec
from autodistill.study import driver
from autodistill.study.driver import Options
from autodistill.study.schedule.scheduler import Study


def search(
    spec: Spec,
    *,
    out: Path | str | None = None,
    runner: Runner | str = "ray",
    options: Options | None = None,
    console: Console | None = None,
) -> Study:
    """Does what `autodistill.search` does; returns the driver's view."""
    with Progress(console or Console(file=sys.stderr)) as progress:
        return driver.search(spec, out=out, runner=runner, options=options, listener=progress)  # type: ignore[arg-type]
