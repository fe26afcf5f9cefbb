"""Each Tune trial is a long-lived worker that runs one job after another.

Tune starts workers, places them, and notices when one dies. Our Searcher says how many there should be, and our scheduler
hands each worker its next job when it reports (`assignment` decides both). If each job were a trial, Tune would give a job
whose new worker is still starting (which takes seconds: it imports torch) to the next worker that is free, and cancel the
start: with jobs shorter than a start, a node that joins would never get a worker. The comments name other traps of Ray.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ..spec import StudyError, UsageError
from . import Work
from .assignment import Assignment
from .watch import RanOut, RayEnded, Watch
from .worker import REPORT, Report, Worker

IDLE_SECONDS = 0.05
_task_failed = RayActorManager._actor_task_failed


def _known_to_tune(self: RayActorManager, tracked_actor_task: object, exception: Exception) -> None:
    known = RanOut(error_msg=str(exception)) if isinstance(exception, OutOfMemoryError) else exception
    _task_failed(self, tracked_actor_task, known)


RayActorManager._actor_task_failed = _known_to_tune


class _NotKept:
    """Tune pickles its parts for its own way to resume, which is never used."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__()
        self.assignment = assignment

    def __getstate__(self) -> dict[str, object]:
        return {}


class Workers(_NotKept, Searcher):  # type: ignore[misc]
    """Says how many workers there are."""

    def suggest(self, trial_id: str) -> dict[str, float] | str | None:
        """Tune asks for another trial: one more worker, None for now, or FINISHED."""
        if self.assignment.must_end():
            return str(Searcher.FINISHED)
        if not self.assignment.starts(trial_id):
            return None
        return {"idle_seconds": max(IDLE_SECONDS, self.assignment.watch.view.workers / 200)}

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        self.assignment.left(trial_id)

    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        return None


class Turns(_NotKept, FIFOScheduler):  # type: ignore[misc]
    """Hands out jobs, and ends workers that nobody needs."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Report]) -> str:
        take = trial.temporary_state.ray_actor.take  # runs before the next step, which Tune asks for after this
        needed = self.assignment.reported(trial.trial_id, result[REPORT], lambda job, mark: take.remote(job, mark))
        if not needed:  # workers that are still starting are not needed either, and would take its place
            for other in list(tune_controller.get_live_trials()):
                if other.trial_id in self.assignment.starting:
                    tune_controller.stop_trial(other)
        return str(self.CONTINUE if needed else self.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tune's own `get_pickled_error` looks where the file is moved later."""
        path = trial.pickled_error_file
        self.assignment.died(trial.trial_id, None if path is None else ray.cloudpickle.loads(Path(path).read_bytes()))


class Ended(_NotKept, tune.Stopper):  # type: ignore[misc]
    """Ends Tune's loop, including idle and starting workers, when no work is left."""

    def __call__(self, trial_id: str, result: object) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.assignment.over


def fit(work: Work, after: Callable[[], None], say: Callable[[str], None], *, own: bool) -> None:
    """Runs jobs on a running Ray: a local one of this process (`own`) or a cluster.

    Raises StudyError or StoreError if no job can continue, UsageError if no node has the `resources`.
    """
    watch = Watch(work.spec.resources, own=own)
    try:
        _check_room(work, watch, say)
        assignment = Assignment(work, after, watch)
        with tempfile.TemporaryDirectory(prefix="autodistill-") as scratch, _silence():
            _tuner(work, assignment, scratch).fit()
    except RayEnded as ended:
        raise StudyError(str(ended)) from None
    finally:
        watch.end()
    if assignment.error is not None:
        raise assignment.error


def _check_room(work: Work, watch: Watch, say: Callable[[str], None]) -> None:
    """Raises UsageError if this machine has no room for a worker; a cluster may grow."""
    resources, view = work.spec.resources, watch.view
    cpus, gpus = resources.cpus, float(resources.gpus or 0)
    what = f"{cpus:g} CPU{'s' * (cpus != 1)} and {gpus:g} GPU{'s' * (gpus != 1)}"
    if not view.workers and watch.is_own:
        raise UsageError(f"resources: this machine does not have {what} free; request less")
    if not view.workers:
        say(f"no node has {what} yet; waiting for one to join the cluster")


def _tuner(work: Work, assignment: Assignment, scratch: str) -> tune.Tuner:
    resources = work.spec.resources
    bundle = {"cpu": resources.cpus} | ({"gpu": resources.gpus} if resources.gpus else {})
    return tune.Tuner(
        tune.with_resources(Worker, bundle),
        param_space={
            "store": str(work.store.root),
            "cuda": bool(resources.gpus),
            "threads": resources.threads,
            "path": [entry or os.getcwd() for entry in sys.path],  # the working folder by name
            "folder": os.getcwd(),  # that of relative paths among the arguments of a function of your own
        },
        tune_config=tune.TuneConfig(
            search_alg=Workers(assignment),
            scheduler=Turns(assignment),
            num_samples=-1,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=scratch,
            verbose=0,
            progress_reporter=tune.CLIReporter(),  # that of notebooks would clear the cell of our own progress
            log_to_file=False,
            # Tune would save a checkpoint when a trial ends, into a folder of the driver that other machines do not have.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            stop=Ended(assignment),
        ),
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Tune prints a banner even at verbose=0; what we print goes to a console that holds the real stream."""
    level = logging.getLogger("ray").level
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.getLogger("ray").setLevel(level)
