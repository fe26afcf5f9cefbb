"""Looks after a Ray from a thread of its own, so that the loop that hands out jobs never waits for it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil
import ray

from ..spec.document import Resources

LOOK_SECONDS = 1.0
SILENT_SECONDS = 60.0
"""So long a cluster may give no answer; Ray's own clients give up after as much."""
PAUSE_SECONDS = 10.0
"""So long nobody asks only where this process was suspended."""
SERVERS = ("raylet", "gcs_server")


class RayEnded(BaseException):
    """No Exception: Tune would clean up after one first, and wait a minute for answers that nobody gives."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What was seen last: how many workers fit now, and the nodes."""

    workers: int
    alive: frozenset[str]
    dead: frozenset[str]
    at: float = field(default_factory=time.monotonic)


class Watch:
    """`view` is renewed every second; `is_own`: this Ray is not a cluster. Raises what Ray does where none answers."""

    def __init__(self, resources: Resources, *, own: bool) -> None:
        self.resources = resources
        self.is_own, self._servers = own, servers() if own else []
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
        """Raises RayEnded where Ray is no more."""
        gone = [server.name for server in self._servers if not server.is_alive()]
        now = time.monotonic()
        if now - self._asked > PAUSE_SECONDS:  # this process was suspended, its thread too
            self._resumed = now
        self._asked = now
        silent = now - max(self.view.at, self._resumed) > SILENT_SECONDS
        if gone or silent or not self.view.alive:
            what = f"its process {gone[0]} died" if gone else "it gives no answer" if silent else "no node of it is alive"
            raise RayEnded(f"Ray ended: {what}; give the same command again to go on from here")

    def end(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with contextlib.suppress(Exception):  # whatever Ray's client raises; `check` sees that nothing is renewed
                self.view = self.look()


@dataclass(frozen=True)
class _Server:
    """A process of a Ray of our own."""

    name: str
    process: psutil.Process

    def is_alive(self) -> bool:
        with contextlib.suppress(psutil.Error):
            return bool(self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE)
        return False


def servers() -> list[_Server]:
    """Ray's own processes below this one; none where this process has only joined a cluster."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += [_Server(name, process) for name in SERVERS if process.name() == name]
    return found


def _fits(has: Mapping[str, Any], resources: Resources) -> int:
    """How many workers a node of these resources takes."""
    gpus = float(resources.gpus) if resources.gpus != "auto" else 0.0
    fits = [has.get("CPU", 0) / resources.cpus, *([has.get("GPU", 0) / gpus] if gpus else [])]
    return int(min(fits) + 1e-9)
