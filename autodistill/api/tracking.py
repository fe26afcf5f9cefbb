"""Logs searches to trackers: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec import Spec, UsageError

if TYPE_CHECKING:
    from ..reporting.progress import Progress
    from ..study.driver import Listener
    from ..study.schedule.scheduler import Study


def tracked(spec: Spec, names: Sequence[str] = ()) -> Spec:
    """The spec with these trackers added. Raises UsageError for a tracker that is unknown, and for one that cannot be used
    here.
    """
    from ..reporting.trackers import refuse_missing
    from ..spec.log import TRACKERS

    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"--log {name} is not a tracker; use {', '.join(TRACKERS)}")
    found = spec.model_copy(update={"log": spec.log.adding(tuple(names))})
    refuse_missing(found.log)
    return found


def followed(spec: Spec, path: Path, progress: Progress, search: Callable[[Listener], Study]) -> Study:
    """Runs a search and logs it to the trackers of its spec; the page is written for them."""
    from ..reporting.trackers import Trackers, trackers_of
    from ..study.driver import Together

    def page() -> object:
        from ..reporting.page import write_html

        return write_html(path)

    trackers = Trackers(trackers_of(spec.log, spec.study, path), progress.say)
    study = search(Together(progress, trackers))
    trackers.finish(page)
    return study
