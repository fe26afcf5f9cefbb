"""Our Searcher hands out ready jobs, reused actors do them. What bites in Ray is in the comments.

Every worker has a trial at all times: a job, or idling until there is one. Tune would let go of an actor that has none, and
gives a trial whose new actor is still starting (some seconds: it imports torch) to the next one that is free: with jobs
that are shorter than a start, one actor would do them all, one after the other.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import ray
from ray import tune
from ray.tune.execution.class_cache import DEFAULT_ENV_VARS
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ..distill import Rung
from ..distill.jobs import Job, attempt
from ..spec import AutodistillError, StudyError, UsageError
from ..store import Store
from . import Work

DIED = "the worker process died: killed, out of memory, or a crash in native code"
IDLE_SECONDS = 0.05

# An actor is given one of the processes that Ray started in advance only if it asks for no environment of its own; Tune asks
# for one on behalf of a library that is not used here.
DEFAULT_ENV_VARS.clear()


class Worker(tune.Trainable):  # type: ignore[misc]
    """One actor does many jobs: a new process would import torch again for each."""

    def setup(self, config: dict[str, Any]) -> None:
        sys.path[:] = list(dict.fromkeys([*config["path"], *sys.path]))
        self.store = Store(config["store"])
        self.work: Generator[Rung, None, str | None] | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        if new_config["job"] is not None:
            job = Job.load(new_config["job"])
            self.work = attempt(job, self.store, cuda=self.config["cuda"], threads=self.config["threads"])
        return True

    def cleanup(self) -> None:
        """Ends what was stopped at a rung."""
        if self.work is not None:
            self.work.close()
        self.work = None

    def step(self) -> dict[str, Any]:
        if self.work is None:
            time.sleep(self.config["idle_seconds"])
            return {"done": False}
        started = time.perf_counter()
        try:
            found = {"done": False, "rung": list(next(self.work))}
        except StopIteration as end:
            found = {"done": True, "failure": end.value}
        except AutodistillError as error:
            found = {"done": True, "fatal": str(error)}
        return found | {"worked": time.perf_counter() - started}


class Jobs(Searcher):  # type: ignore[misc]
    """Asks the work what is ready. Runs in the driver, so only the driver touches a study."""

    def __init__(self, work: Work, after: Callable[[], None]) -> None:
        super().__init__()
        self.work, self.after = work, after
        self.running: dict[str, Job] = {}
        self.idle: set[str] = set()
        self.upcoming: Job | None = None
        self.error: BaseException | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.must_end():
            return str(Searcher.FINISHED)
        job, self.upcoming = self.upcoming, None
        if job is None:
            self.idle.add(trial_id)
            return {"job": None}
        self.running[trial_id] = job
        return {"job": job.dump()}

    def must_end(self) -> bool:
        """Whether nothing is left to do; else looks for the next job, unless one is waiting to be taken."""
        with self._guard():
            if self.error is None and self.upcoming is None:
                self.upcoming = self.work.next()
            if self.error is None and self.upcoming is None and not self.running:
                assert self.work.finished(), "nothing is running, nothing is ready, and the work is not finished"
                return True
        return self.error is not None

    def goes_on(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a training that reports goes on."""
        job, goes_on = self.running.pop(trial_id), False
        with self._guard():
            self.work.worked(job, result["worked"])
            goes_on = self.error is None and self.work.goes_on(job, Rung(*result["rung"]))
            if goes_on:
                self.running[trial_id] = job
            else:
                self.after()
        return goes_on

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id not in self.running:  # it idled, or was stopped at a rung
            self.idle.discard(trial_id)
            return
        job = self.running.pop(trial_id)
        with self._guard():
            self.work.worked(job, (result or {}).get("worked", 0.0))
            if result and result.get("fatal"):
                raise StudyError(result["fatal"])
            died = error or result is None
            if died and not _is_alive():
                raise StudyError("Ray itself ended; the same command goes on from here")
            self.work.done(job, DIED if died else (result or {}).get("failure"))
            self.after()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Tune would swallow or wrap what is raised here: it is kept, and raised when Tune has ended."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a resumption of its own, which is never used: nothing of ours goes in."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        return None


class Turns(FIFOScheduler):  # type: ignore[misc]
    """Ends a training that may not go on, and a worker's idling when there is a job, or nothing left to do."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self.jobs = jobs

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        name, jobs = trial.trial_id, self.jobs
        if name in jobs.idle and (jobs.must_end() or jobs.upcoming is not None):
            return str(self.STOP)
        if name in jobs.running and "rung" in result and not jobs.goes_on(name, result):
            return str(self.STOP)
        return str(self.CONTINUE)

    def __getstate__(self) -> dict[str, Any]:
        return {}


def fit(work: Work, after: Callable[[], None]) -> None:
    """Does jobs on a Ray that runs. Raises StudyError or StoreError when no job could go on."""
    work.workers = workers_of(work)
    jobs = Jobs(work, after)
    with tempfile.TemporaryDirectory(prefix="autodistill-") as scratch, _silence():
        _tuner(work, jobs, scratch).fit()
    if jobs.error is not None:
        raise jobs.error


def _path() -> list[str]:
    """Where this process finds modules; its own folder by name."""
    return [entry or os.getcwd() for entry in sys.path]


def _is_alive() -> bool:
    """Whether Ray still has a node, a moment after a worker was lost: else the loss says nothing of its stage."""
    time.sleep(1.0)
    try:
        return any(node["Alive"] for node in ray.nodes())
    except Exception:  # whatever its client raises when nothing answers
        return False


def workers_of(work: Work) -> int:
    """How many jobs the cluster can do at once. Raises UsageError when not even one."""
    resources = work.spec.resources
    gpus = float(resources.gpus) if resources.gpus != "auto" else 0.0
    found = 0
    for node in ray.nodes():
        if node["Alive"]:
            fits = [node["Resources"].get("CPU", 0) / resources.cpus]
            fits += [node["Resources"].get("GPU", 0) / gpus] if gpus else []
            found += int(min(fits) + 1e-9)
    if not found:
        raise UsageError(f"resources: no node has {resources.cpus:g} CPUs and {gpus:g} GPUs; ask for less")
    return found


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
            "idle_seconds": max(IDLE_SECONDS, work.workers / 200),
        },
        tune_config=tune.TuneConfig(
            search_alg=jobs,
            scheduler=Turns(jobs),
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=work.workers,  # without it a searcher of one's own gets one pending trial at a time
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(name="search", storage_path=scratch, verbose=0, log_to_file=False, checkpoint_config=_NEVER),
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
