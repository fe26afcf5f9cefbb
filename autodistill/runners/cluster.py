"""Ray Tune on a local Ray that we start, or on a cluster. The store, not Tune's own state, is what a search resumes from.

Imports torch and Tune only when they are needed, because Ray starts in the meantime.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray._private import ray_constants

from ..console import plain
from ..spec import StudyError, UsageError
from . import Work
from .joining import await_answer, resolved
from .machine import cores, private_folder, sweep
from .watch import servers

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # else CSV, JSON and TensorBoard files for every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends this process at once: everything finished is stored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_STATE_REFRESH_PERIOD": "3600",  # Tune refreshes resources itself, and blocks if the head is dead
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # pending workers; `Jobs.wanted` limits the trials instead
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",  # else Tune restarts a job itself when its node is drained
    "LIBC_FATAL_STDERR_": "1",  # else some versions of glibc print abort messages on the terminal
    "RAY_preload_python_modules": "autodistill.runners.tune",  # by the processes that Ray starts early, for later actors,
    "RAY_idle_worker_killing_time_threshold_ms": "600000",  # which would end after idling for a second
}


class RayTune:
    """`address` None starts a local Ray with all cores; otherwise joins a running cluster from one of its nodes.

    `say` gets a message before it joins; by default, standard error.
    """

    def __init__(self, address: str | None = None, say: Callable[[str], None] | None = None) -> None:
        if address and address.startswith("ray://"):
            raise UsageError(
                f"--address {address}: Tune would run on the head node, away from the study; instead, run: "
                f"ray job submit --address http://{address.removeprefix('ray://').split(':')[0]}:8265 "
                "-- autodistill search SPEC --address auto --store SHARED_FOLDER"
            )
        self.address, self._say = address, say or plain().print
        self._owner = False
        self._starting: threading.Thread | None = None
        self._started, self._over = threading.Event(), threading.Event()

    def sees_cuda(self) -> bool:
        if self.address is None:
            import torch

            return torch.cuda.is_available()
        self._connect()
        return bool(ray.cluster_resources().get("GPU", 0) > 0)

    def cpus(self) -> float:
        return cores() if self.address is None else math.inf  # `fit` checks the nodes of a cluster

    def begin(self) -> None:
        """Starts a local Ray while the driver prepares the first job. Does nothing if it is called again."""
        if self.address is None and self._starting is None and not ray.is_initialized():
            self._started, self._over = threading.Event(), threading.Event()
            self._starting = threading.Thread(target=self._start, daemon=True)
            self._starting.start()

    def end(self) -> None:
        self._wait()
        if self._owner:
            ray.shutdown()
            if self.address is None:
                self._forget_own()
        self._over.set()
        self._owner, self._starting = False, None

    def run(self, work: Work, after: Callable[[], None], say: Callable[[str], None]) -> None:
        from .tune import fit

        self._wait()
        self._connect()
        fit(work, after, say, own=self.address is None and bool(servers()))  # otherwise the caller joined a cluster before

    def _start(self) -> None:
        """Ray ends with the thread that started it."""
        try:
            self._connect()
        except Exception:  # raised when it is tried again, in the thread that can report it
            self._owner = False
        finally:
            self._started.set()
        self._over.wait()

    def _wait(self) -> None:
        if self._starting is not None:
            self._started.wait()

    def _own(self) -> dict[str, Any]:
        """Arguments of `ray.init` for a local Ray that only this machine and this user can reach."""
        sweep(sessions := private_folder() / "ray")
        os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # servers listen only on loopback, as on macOS
        ray_constants.ENABLE_RAY_CLUSTER = False
        return {"num_cpus": cores(), "include_dashboard": False, "_temp_dir": str(sessions)}

    def _forget_own(self) -> None:
        os.environ.pop(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, None)
        ray_constants.ENABLE_RAY_CLUSTER = True
        sweep(private_folder() / "ray")

    def _connect(self) -> None:
        os.environ.update(ENVIRONMENT)
        if ray.is_initialized():
            return
        self._owner = True
        # A thread of Ray would print messages about dead workers on standard output; autodistill reports them itself.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        if self.address is None:
            # Ray asks for a token by default and would write one to the home directory; ours lives as long as this process.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        else:
            await_answer(self.address, resolved(self.address), self._say)
        try:
            with _kept_sigterm():
                ray.init(
                    address=self.address or "local",
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **({} if self.address else self._own()),
                )
        except (ConnectionError, RuntimeError) as error:
            if self.address is None:
                raise StudyError(f"cannot start Ray on this machine ({error}); fix that, or use --runner serial") from error
            # With an explicit address, Ray sends a token only if RAY_AUTH_MODE says so.
            way = "if the cluster requires a token, the default, set RAY_AUTH_MODE=token, or use --address auto on a node"
            raise StudyError(f"cannot connect to Ray at {self.address} ({error}); {way}; or use --runner serial") from error


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM with one that raises SystemExit, which would be reported as an error."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)
