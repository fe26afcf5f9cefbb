"""Which jobs may run at the same time on one machine: a job that ran out of memory is retried alone.

Each job of this user holds a shared lock while it runs; a job that must run alone holds an exclusive lock. The kernel
releases the locks of a process that dies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ..spec import StudyError


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
