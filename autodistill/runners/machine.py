"""This machine: its CPUs, its processes, the folder that only this user can access, and which jobs may run at the same time.

A job that ran out of memory is retried alone. Each job of this user holds a shared lock while it runs; a job that must run
alone holds an exclusive lock. The kernel releases the locks of a process that dies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..spec import StudyError

CLOCK_SECONDS = 2.0
"""The start time of a process shifts when the system clock is set."""


def cores() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_kills() -> int:
    """How often the kernel has killed a process for lack of memory: one of this container or, outside a container, any."""
    group, machine = Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")
    with suppress(OSError, ValueError):
        lines = (group if group.exists() else machine).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def _host() -> str:
    """This machine since its last boot; on Linux also the container, which has its own process IDs."""
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    more = [boot.read_text().strip(), os.readlink(numbers)] if boot.exists() else []
    return " ".join([socket.gethostname(), *more])


@dataclass(frozen=True, kw_only=True)
class Process:
    """The process that runs a job: `node` is Ray's node ID, `kills` the number of OOM kills by its kernel at that time."""

    host: str
    pid: int
    created: float
    kills: int
    node: str = ""

    @classmethod
    def own(cls, node: str = "") -> Process:
        me = psutil.Process()
        return cls(host=_host(), pid=me.pid, created=me.create_time(), kills=memory_kills(), node=node)

    def is_here(self) -> bool:
        return self.host == _host()

    def is_alive(self) -> bool:
        """Only for a process on this machine."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created) < CLOCK_SECONDS
        except psutil.Error:
            return False


@contextmanager
def room(*, alone: bool) -> Iterator[None]:
    """Waits until a job may run on this machine."""
    folder = private_folder()
    with (folder / "door").open("a") as door, (folder / "room").open("a") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)  # a job that waits to run alone holds this lock, so no other job starts
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


def private_folder() -> Path:
    """A folder for temporary files that only this user can access. Raises StudyError if others can."""
    folder = Path(tempfile.gettempdir()) / f"autodistill-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StudyError(f"{folder} is accessible to other users; remove it, or set TMPDIR to a private folder")
    return folder


def sweep(sessions: Path) -> None:
    """Removes the session folders of local Rays whose driver is dead, or is this process (after `ray.shutdown`).

    The name of a session ends with the PID of its driver.
    """
    for session in sessions.glob("session_*_*"):
        pid = session.name.rsplit("_", 1)[-1]
        if pid.isdigit() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(session, ignore_errors=True)
