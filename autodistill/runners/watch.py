"""Monitors Ray from a separate thread, so that the loop that assigns jobs never blocks on it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil
import ray
from ray.exceptions import RayActorError

from ..spec.document import Resources

LOOK_SECONDS = 1.0
SILENT_SECONDS = 60.0
"""How long a cluster may fail to respond; Ray's own clients use the same timeout."""
PAUSE_SECONDS = 10.0
"""A longer time between two checks means that this process was suspended."""
SERVERS = ("raylet", "gcs_server")


class RayEnded(BaseException):
    """Not an Exception: on those, Tune cleans up first and waits a minute for a Ray that does not respond."""


class RanOut(RayActorError):  # type: ignore[misc]
    """Ray's memory monitor killed a worker. Ray's own error is not an actor error, and Tune would end because of it."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What was seen last: how many workers fit now, and the nodes."""

    workers: int
    alive: frozenset[str]
    dead: frozenset[str]
    at: float = field(default_factory=time.monotonic)


class Watch:
    """Updates `view` every second. `is_own`: a local Ray, not a cluster. Raises Ray's error if it does not respond."""

    def __init__(self, resources: Resources, *, own: bool) -> None:
        self.resources = resources
        self.is_own, self._servers = own, servers() if own else {}
        self._asked = self._resumed = time.monotonic()
        self.view = self.look()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def look(self) -> View:
        nodes = ray.nodes()
        fits = {node["NodeID"]: _fits(node["Resources"], self.resources) for node in nodes if node["Alive"]}
        alive = frozenset(fits)
        dead = frozenset(node["NodeID"] for node in nodes) - alive
        return View(workers=sum(fits.values()), alive=alive, dead=dead)

    def check(self) -> None:
        """Raises RayEnded if Ray has stopped or does not respond."""
        gone = [name for name, process in self._servers.items() if not _is_alive(process)]
        now = time.monotonic()
        if now - self._asked > PAUSE_SECONDS:  # this process was suspended, its thread too
            self._resumed = now
        self._asked = now
        silent = now - max(self.view.at, self._resumed) > SILENT_SECONDS
        if gone or silent or not self.view.alive:
            what = f"its process {gone[0]} died" if gone else "it does not respond" if silent else "it has no live node"
            raise RayEnded(f"Ray stopped: {what}; run the same command again to resume")

    def end(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with contextlib.suppress(Exception):  # any error of Ray's client; `check` notices an old view
                self.view = self.look()


def servers() -> dict[str, psutil.Process]:
    """Ray's server processes that this process started, by name; empty if it joined a cluster."""
    found = {}
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if (name := process.name()) in SERVERS:
                found[name] = process
    return found


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _fits(has: Mapping[str, float], resources: Resources) -> int:
    """How many workers fit on a node that has these resources."""
    gpus = float(resources.gpus) if resources.gpus != "auto" else 0.0
    fits = [has.get("CPU", 0) / resources.cpus, *([has.get("GPU", 0) / gpus] if gpus else [])]
    return int(min(fits) + 1e-9)
