"""Each Tune trial is a long-lived worker that runs one job after another.

Tune starts workers, places them, and notices when one dies. Our Searcher says how many there should be, and our scheduler
hands each worker its next job when it reports. If each job were a trial, Tune would give a job whose new worker is still
starting (which takes seconds: it imports torch) to the next worker that is free, and cancel the start: with jobs shorter
than a start, a node that joins would never get a worker. What else bites in Ray is in the comments.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ..distill import Rung
from ..distill.jobs import Job
from ..spec import StudyError, UsageError
from . import Work
from .attempts import Attempts
from .marks import Death, Mark
from .watch import RayEnded, Watch
from .worker import Worker

IDLE_SECONDS = 0.05
MOST_STILLBORN = 5
"""How many workers in a row may die before they begin."""
LET_GO_SECONDS = 30.0
"""How long a worker idles on a cluster, which may shrink."""
DOUBT_SECONDS = 30.0
"""How long to wait for Ray to report a dead node after a worker died: five health checks, three seconds apart."""


class RanOut(RayActorError):  # type: ignore[misc]
    """Ray's memory monitor killed a worker. Ray's own error is not an actor error, and Tune would end because of it."""


_task_failed = RayActorManager._actor_task_failed


def _known_to_tune(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    known = RanOut(error_msg=str(exception)) if isinstance(exception, OutOfMemoryError) else exception
    _task_failed(self, tracked_actor_task, known)


RayActorManager._actor_task_failed = _known_to_tune


@dataclass(frozen=True)
class Running:
    """A job of a worker, and the log file of this attempt."""

    job: Job
    mark: Mark


@dataclass(frozen=True)
class Lost:
    """A job whose worker died, with Ray's error and the time."""

    running: Running
    error: BaseException | None
    at: float


class Jobs(Searcher):  # type: ignore[misc]
    """Asks the work what is ready. Runs in the driver, so only the driver touches a study."""

    def __init__(self, work: Work, after: Callable[[], None], watch: Watch) -> None:
        super().__init__()
        self.work, self.after, self.watch = work, after, watch
        self.attempts = Attempts(work)
        self.running: dict[str, Running] = {}
        """The jobs of busy workers, by the IDs of Tune's trials."""
        self.starting: set[str] = set()
        self.idle: dict[str, float] = {}
        """Since when each idle worker has been idle."""
        self.lost: list[Lost] = []
        self.stillborn = 0
        """How many workers in a row died before they began."""
        self.upcoming: Job | None = None
        self.error: BaseException | None = None
        self.over = False

    # How many workers there are

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune asks for another trial: one more worker, None for now, or FINISHED."""
        if self.must_end():
            return str(Searcher.FINISHED)
        if len(self.starting) + len(self.idle) + len(self.running) >= self.wanted():
            return None
        self.starting.add(trial_id)
        return {"idle_seconds": max(IDLE_SECONDS, self.watch.view.workers / 200)}

    def wanted(self) -> int:
        """The desired number of workers: on a local Ray, as many as fit.

        A cluster may grow and shrink. There, if a job waits while all workers are busy, more workers are requested than fit
        now, so that a cluster without workers grows, too.
        """
        now = self.watch.view.workers
        if self.watch.is_own:
            return now
        return 0 if self.upcoming is None or self.idle else now + max(1, now // 4)

    def must_end(self) -> bool:
        """Whether nothing is left to do; otherwise looks for the next job, unless one is waiting to be taken."""
        self.watch.check()
        with self._guard():
            self.work.workers = max(1, self.watch.view.workers)
            self._understand()
            while self.error is None and self.upcoming is None and (job := self.work.next()) is not None:
                self.upcoming = self.attempts.begin(job)
                if self.upcoming is None:
                    self.after()
            if self.error is None and self.upcoming is None and not (self.running or self.lost or self.work.awaits()):
                assert self.work.finished(), "nothing is running, nothing is ready, and the work is not finished"
                self.over = True
        self.over = self.over or self.error is not None
        return self.over

    # What workers do

    def reported(self, trial_id: str, result: dict[str, Any], give: Callable[[str | None, str], None]) -> bool:
        """Whether a worker that reports is still needed; `give` hands it a job, or None, for its next step."""
        self.starting.discard(trial_id)
        self.stillborn = 0
        if trial_id in self.running:
            if self._continues(trial_id, result):
                return True
            give(None, "")  # it may be at a rung
        idle = time.monotonic() - self.idle.setdefault(trial_id, time.monotonic())
        if self.must_end():
            return False
        job, self.upcoming = self.upcoming, None
        if job is None:
            return self.watch.is_own or idle <= LET_GO_SECONDS
        del self.idle[trial_id]
        running = self.running[trial_id] = Running(job, self.attempts.mark(job))
        give(job.dump(), running.mark.name)
        return True

    def _continues(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Handles a worker's report on its job; returns whether the worker continues with that job."""
        job, continues = self.running[trial_id].job, False
        with self._guard():
            self.work.worked(job, result["worked"])
            if "fatal" in result:
                raise StudyError(result["fatal"])
            if "rung" in result:
                continues = self.error is None and self.work.continues(job, Rung(*result["rung"]))
            else:
                self.attempts.ended(job, result["failure"], short_of=result["short_of"])
            if not continues:
                self.after()
        if not continues:
            del self.running[trial_id]
        return continues

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.starting.discard(trial_id)
        self.idle.pop(trial_id, None)  # a worker with a job died: see `died`

    # Jobs whose worker died

    def died(self, trial_id: str, error: BaseException | None) -> None:
        """Records that the worker of a trial died. Raises nothing; workers that cannot start end the search."""
        running = self.running.pop(trial_id, None)
        self.stillborn += trial_id in self.starting
        cannot = isinstance(error, RayActorError) and error.actor_init_failed
        with self._guard():
            if isinstance(error, RayTaskError):
                raise StudyError(f"a worker failed: {_last_line(error)}")
            if cannot or self.stillborn >= MOST_STILLBORN:
                raise StudyError(f"a worker failed to start: {_last_line(error)}")
        if running is not None:
            self.lost.append(Lost(running, error, time.monotonic()))

    def _understand(self) -> None:
        """Reports each job whose worker died, once the cause is known."""
        for lost in list(self.lost):
            job = lost.running.job
            if self.work.store.has(*job.address()):  # the worker died after it had stored the result
                lost.running.mark.path.unlink(missing_ok=True)
                self.attempts.ended(job, None, short_of=None)
            elif (death := self._death(lost)) is not None:
                self.attempts.died(job, death)
            else:
                continue
            self.lost.remove(lost)
            self.after()

    def _death(self, lost: Lost) -> Death | None:
        """Why a worker died; None while Ray may still report that its node died."""
        mark = lost.running.mark
        process, death = mark.process(), mark.death()
        if isinstance(lost.error, RanOut):
            return Death(cause="memory", words=_first_sentences(lost.error), path=mark.path)
        if death.cause != "gone":
            return death
        gone = isinstance(lost.error, RayActorError) and lost.error.preempted
        gone = gone or (process is not None and process.node in self.watch.view.dead)
        if gone or self.watch.is_own or time.monotonic() - lost.at > DOUBT_SECONDS:
            mark.path.unlink(missing_ok=True)
            return death
        return None

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Keeps an exception until Tune has ended, because Tune would swallow or wrap it."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its searcher for its own way to resume, which is never used."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        return None


def _error_of(trial: Any) -> BaseException | None:
    """The error that ended a trial. Tune's own `get_pickled_error` looks where the file is moved later."""
    path = trial.pickled_error_file
    return None if path is None else ray.cloudpickle.loads(Path(path).read_bytes())


def _last_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [""])[-1]


def _first_sentences(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


class Turns(FIFOScheduler):  # type: ignore[misc]
    """Hands out jobs, and ends workers that nobody needs."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self.jobs = jobs

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        take = trial.temporary_state.ray_actor.take  # runs before the next step, which Tune asks for after this
        needed = self.jobs.reported(trial.trial_id, result, lambda job, mark: take.remote(job, mark))
        if not needed:  # workers that are still starting are not needed either, and would take its place
            for other in list(tune_controller.get_live_trials()):
                if other.trial_id in self.jobs.starting:
                    tune_controller.stop_trial(other)
        return str(self.CONTINUE if needed else self.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.jobs.died(trial.trial_id, _error_of(trial))

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Ended(tune.Stopper):  # type: ignore[misc]
    """Ends Tune's loop, including idle and starting workers, when no work is left."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.jobs.over

    def __getstate__(self) -> dict[str, Any]:
        return {}


def fit(work: Work, after: Callable[[], None], say: Callable[[str], None], *, own: bool) -> None:
    """Runs jobs on a running Ray: a local one of this process (`own`) or a cluster.

    Raises StudyError or StoreError if no job can continue, UsageError if no node has the `resources`.
    """
    watch = Watch(work.spec.resources, own=own)
    try:
        _check_room(work, watch, say)
        jobs = Jobs(work, after, watch)
        with tempfile.TemporaryDirectory(prefix="autodistill-") as scratch, _silence():
            _tuner(work, jobs, scratch).fit()
    except RayEnded as ended:
        raise StudyError(str(ended)) from None
    finally:
        watch.end()
    if jobs.error is not None:
        raise jobs.error


def _check_room(work: Work, watch: Watch, say: Callable[[str], None]) -> None:
    """Raises UsageError if this machine has no room for a worker; a cluster may grow."""
    resources, view = work.spec.resources, watch.view
    what = f"{resources.cpus:g} CPUs and {float(resources.gpus or 0):g} GPUs"
    if not view.workers and watch.is_own:
        raise UsageError(f"resources: no node has {what}; request less")
    if not view.workers:
        say(f"no node has {what} yet; waiting for one to join the cluster")


def _path() -> list[str]:
    """Where this process finds modules, with the working folder by name."""
    return [entry or os.getcwd() for entry in sys.path]


# Tune would save a checkpoint when a trial ends, into a folder of the driver that other machines do not have.
_NEVER = tune.CheckpointConfig(checkpoint_at_end=False)


def _tuner(work: Work, jobs: Jobs, scratch: str) -> tune.Tuner:
    resources = work.spec.resources
    bundle = {"cpu": resources.cpus} | ({"gpu": resources.gpus} if resources.gpus else {})
    return tune.Tuner(
        tune.with_resources(Worker, bundle),
        param_space={
            "store": str(work.store.root),
            "cuda": bool(resources.gpus),
            "threads": resources.threads,
            "path": _path(),
        },
        tune_config=tune.TuneConfig(
            search_alg=jobs,
            scheduler=Turns(jobs),
            num_samples=-1,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=scratch,
            verbose=0,
            log_to_file=False,
            checkpoint_config=_NEVER,
            stop=Ended(jobs),
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
