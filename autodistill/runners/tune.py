"""Our Searcher hands out ready jobs, reused actors do them. What bites in Ray is in the comments.

Every worker has a trial at all times: a job, or idling until there is one. Tune would let go of an actor that has none, and
gives a trial whose new actor is still starting (some seconds: it imports torch) to the next one that is free: with jobs
that are shorter than a start, one actor would do them all, one after the other. On a cluster an idle worker is let go after
a while, and work that waits asks for more of them.
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
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.execution.class_cache import DEFAULT_ENV_VARS
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ..distill import Rung
from ..distill.jobs import Job, attempt
from ..spec import AutodistillError, OutOfMemory, StageFailed, StudyError, UsageError
from ..store import Store
from . import Work
from .attempts import Attempts
from .marks import Death, Mark, Process
from .room import room
from .watch import RayEnded, Watch

IDLE_SECONDS = 0.05
LET_GO_SECONDS = 30.0
"""So long a worker idles on a cluster, which may shrink."""
DOUBT_SECONDS = 30.0
"""So long after a worker was lost Ray may find that its node was: it asks a node five times, every three seconds."""

# An actor is given one of the processes that Ray started in advance only if it asks for no environment of its own; Tune asks
# for one on behalf of a library that is not used here.
DEFAULT_ENV_VARS.clear()


class Worker(tune.Trainable):  # type: ignore[misc]
    """One actor does many jobs: a new process would import torch again for each."""

    def setup(self, config: dict[str, Any]) -> None:
        sys.path[:] = list(dict.fromkeys([*config["path"], *sys.path]))
        self.store = Store(config["store"])
        self.process = Process.own(ray.get_runtime_context().get_node_id())
        self.work: Generator[Rung, None, StageFailed | None] | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        if new_config["job"] is not None:
            self.work = self._attempt(Job.load(new_config["job"]), new_config["mark"])
        return True

    def _attempt(self, job: Job, mark: str) -> Generator[Rung, None, StageFailed | None]:
        """What is left behind where it dies is written first; then it waits until it may run beside the others here."""
        cuda, threads = self.config["cuda"], self.config["threads"]
        with Mark(self.store.root, job.address()[1], mark).held(self.process, errors=True):
            with room(alone=job.alone, cuda=cuda):
                return (yield from attempt(job, self.store, cuda=cuda, threads=threads))

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
            failure = end.value
            reason = None if failure is None else str(failure)
            found = {"done": True, "failure": reason, "out_of_memory": isinstance(failure, OutOfMemory)}
        except AutodistillError as error:
            found = {"done": True, "fatal": str(error)}
        return found | {"worked": time.perf_counter() - started}


@dataclass(frozen=True)
class Running:
    """A job that a worker has, and the mark that it leaves."""

    job: Job
    mark: Mark


@dataclass(frozen=True)
class Lost:
    """A job whose worker died at a time, with what Ray said of it."""

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
        self.idle: dict[str, float] = {}
        """Since when trials idle."""
        self.lost: list[Lost] = []
        self.freed = 0
        """Workers whose trial has ended, and that would be let go without another."""
        self.upcoming: Job | None = None
        self.error: BaseException | None = None

    # What Tune asks

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.must_end():
            return str(Searcher.FINISHED)
        if len(self.running) + len(self.idle) >= self.wanted():
            return None
        job, self.upcoming = self.upcoming, None
        self.freed = max(0, self.freed - 1)
        if job is None:
            self.idle[trial_id] = time.monotonic()
            return {"job": None, "mark": ""}
        running = self.running[trial_id] = Running(job, self.attempts.mark(job))
        return {"job": job.dump(), "mark": running.mark.name}

    def wanted(self) -> int:
        """How many trials there should be: on a Ray of our own one for each worker that fits.

        A cluster may grow and shrink. There, one that would idle has a place only where its worker is there already; and
        work that waits while all are busy asks for some workers more, so that a cluster at zero grows too. Where none
        comes, the next worker that is free takes it.
        """
        now, most = self.watch.view.workers, self.watch.view.most
        if self.watch.is_own:
            return now
        if self.upcoming is None:
            return len(self.running) + len(self.idle) + min(1, self.freed)
        more = now + max(1, now // 4)
        return more if most is None else min(most, more)

    def must_end(self) -> bool:
        """Whether nothing is left to do; else looks for the next job, unless one is waiting to be taken."""
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
                return True
        return self.error is not None

    def goes_on(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a training that reports goes on."""
        running, goes_on = self.running.pop(trial_id), False
        with self._guard():
            self.work.worked(running.job, result["worked"])
            goes_on = self.error is None and self.work.goes_on(running.job, Rung(*result["rung"]))
            if goes_on:
                self.running[trial_id] = running
            else:
                self.after()
        return goes_on

    def may_idle(self, trial_id: str) -> bool:
        """Whether a worker that idles goes on idling: until there is a job, or nothing left to do, or nobody has needed it."""
        if self.must_end() or self.upcoming is not None:
            return False
        return self.watch.is_own or time.monotonic() - self.idle[trial_id] <= LET_GO_SECONDS

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error:  # see `died`
            return
        idled = self.idle.pop(trial_id, None)
        if idled is None or self.upcoming is not None:
            self.freed += 1
        if trial_id not in self.running:  # it idled, or was stopped at a rung
            return
        job = self.running.pop(trial_id).job
        with self._guard():
            result = result or {}
            self.work.worked(job, result.get("worked", 0.0))
            if result.get("fatal"):
                raise StudyError(result["fatal"])
            self.attempts.ended(job, result.get("failure"), out_of_memory=bool(result.get("out_of_memory")))
            self.after()

    # What becomes of jobs whose worker died

    def died(self, trial_id: str, error: BaseException | None) -> None:
        """Takes note that the worker of a trial is no more. Raises nothing; a worker that cannot begin ends the search."""
        self.idle.pop(trial_id, None)
        running = self.running.pop(trial_id, None)
        with self._guard():
            if isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed):
                raise StudyError(f"a worker cannot begin: {str(error).strip().splitlines()[-1]}")
        if running is not None:
            self.lost.append(Lost(running, error, time.monotonic()))

    def _understand(self) -> None:
        """Tells what became of lost jobs, as soon as their causes are known."""
        for lost in list(self.lost):
            job = lost.running.job
            if self.work.store.has(*job.address()):  # it died after it had stored what it was asked for
                self.attempts.ended(job, None, out_of_memory=False)
            elif (death := self._death(lost)) is not None:
                self.attempts.died(job, death)
            else:
                continue
            self.lost.remove(lost)
            self.after()

    def _death(self, lost: Lost) -> Death | None:
        """Why a worker died; None while it may still turn out that its node did."""
        mark = lost.running.mark
        process, death = mark.process(), mark.death()
        if isinstance(lost.error, OutOfMemoryError):
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


def _first_sentences(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


class Turns(FIFOScheduler):  # type: ignore[misc]
    """Ends a training that may not go on, and a worker's idling when there is a job, or nothing left to do."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self.jobs = jobs

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        name, jobs = trial.trial_id, self.jobs
        if name in jobs.idle and not jobs.may_idle(name):
            return str(self.STOP)
        if name in jobs.running and "rung" in result and not jobs.goes_on(name, result):
            return str(self.STOP)
        return str(self.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.jobs.died(trial.trial_id, trial.get_pickled_error())

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Ended(tune.Stopper):  # type: ignore[misc]
    """Ends Tune's loop where nothing can go on: no result may come any more."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.jobs.error is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}


def fit(work: Work, after: Callable[[], None], say: Callable[[str], None], *, own: bool) -> None:
    """Does jobs on a Ray that runs, our `own` or a cluster.

    Raises StudyError or StoreError when no job could go on, UsageError where no node has the `resources`.
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
    """Raises UsageError where no node has room for a worker, nor will have."""
    resources, view = work.spec.resources, watch.view
    what = f"{resources.cpus:g} CPUs and {float(resources.gpus or 0):g} GPUs"
    if not view.workers and (watch.is_own or view.most == 0):
        raise UsageError(f"resources: no node has {what}; ask for less")
    if not view.workers:
        say(f"no node has {what} yet; waiting for one to join the cluster")


def _path() -> list[str]:
    """Where this process finds modules; its own folder by name."""
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
            "idle_seconds": max(IDLE_SECONDS, jobs.watch.view.workers / 200),
        },
        tune_config=tune.TuneConfig(
            search_alg=jobs,
            scheduler=Turns(jobs),
            num_samples=-1,
            reuse_actors=True,
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
