"""A search as the driver sees it, for tests that look behind `autodistill.search`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from autodistill.api.tracking import followed, tracked
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
    log: Sequence[str] = (),
    console: Console | None = None,
) -> Study:
    """Does what `autodistill.search` does; returns the driver's view."""
    spec, path = tracked(spec, log), Path(out or Path("reports") / spec.study).absolute()
    run = partial(driver.search, spec, out=path, runner=runner, options=options)  # type: ignore[arg-type]
    with Progress(console or Console(file=sys.stderr)) as progress:
        return followed(spec, path, progress, lambda listener: run(listener=listener))
