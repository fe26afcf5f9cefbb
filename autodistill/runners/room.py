"""Who may run beside whom on one machine: a job that died for lack of memory is tried again alone.

Each job of this user holds a shared lock while it runs, one that wants to be alone an exclusive one. The kernel frees the
locks of a process that dies.
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
        fcntl.flock(door, fcntl.LOCK_EX)  # whoever waits to be alone keeps the door, so that nobody enters before
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


def private_folder() -> Path:
    """A folder for temporary files of this user that no other user can look into. Raises StudyError where it is not so."""
    folder = Path(tempfile.gettempdir()) / f"autodistill-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StudyError(f"{folder} is open to other users; remove it, or set TMPDIR to a folder of your own")
    return folder


def sweep(sessions: Path) -> None:
    """Removes what Rays of this user left behind whose driver is no more, or is this process, where none runs.

    The name of a session ends with the number of the process that began it.
    """
    for session in sessions.glob("session_*_*"):
        pid = session.name.rsplit("_", 1)[-1]
        if pid.isdigit() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(session, ignore_errors=True)
