"""Marks: a mark is the log file of one attempt at a job. If the process dies, its mark tells the cause.

    <store>/running/<key>.<name>.log      one attempt: a line of JSON (host, process, start time), a line on memory, and
                                          standard error, including the traceback of a crash in native code

The file is removed when the job ends, whether it succeeded or failed. It stays if the process dies.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Literal

import psutil

from .machine import Process, memory_kills

Cause = Literal["crash", "memory", "gone"]
SAMPLE_SECONDS = 0.25
MEMORY = "memory: peak {peak:>9} MB, {available:>9} MB available at that time\n"
SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Floating-point exception": "SIGFPE",
    "Floating point exception": "SIGFPE",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
}
FATAL = re.compile(rf"Fatal Python error: ({'|'.join(SIGNALS)})|\*\*\* ({'|'.join(SIGNALS.values())}) received")
"""What Python and Ray print on a crash. Ray prints the same on SIGTERM, which is not a crash."""
RAY_DIED = re.compile(r"^\[.* [EFC] \d+ \d+\] (?!logging\.cc).*(GCS|[Rr]aylet)", re.MULTILINE)
"""What a Ray worker prints before it exits because Ray has stopped."""
NOISE = re.compile(r"^(Extension modules:|Current thread|Thread 0x|\[|\*\*\*|\s*@|<no Python frame>|PC: @|$)")
LINES, LONGEST = 6, 600


@dataclass(frozen=True, kw_only=True)
class Death:
    """Why the process of a job died: `words` is the message for the user, `path` is the full log."""

    cause: Cause
    words: str
    path: Path


class Mark:
    """The log file of one attempt at the job whose result has this key."""

    def __init__(self, store: Path, key: str, name: str) -> None:
        self.name, self.path = name, folder(store) / f"{key}.{name}.log"

    @contextlib.contextmanager
    def held(self, process: Process, *, errors: bool) -> Iterator[None]:
        """The file exists in this context. With `errors`, the standard error of this process is redirected to it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        process = replace(process, kills=memory_kills())
        self.path.write_text(f"{json.dumps(asdict(process))}\n{MEMORY.format(peak=0, available=0)}")
        try:
            with self.path.open("a") as file, _sampled(self.path), _spoken(file, errors):
                yield
        finally:
            self.path.unlink(missing_ok=True)

    def process(self) -> Process | None:
        """The process of the attempt; None if there is no log file."""
        with contextlib.suppress(OSError, ValueError, TypeError), self.path.open() as file:
            return Process(**json.loads(file.readline()))
        return None

    def death(self) -> Death:
        """Why the process of this attempt died."""
        try:
            text = self.path.read_text(errors="replace")
        except OSError:
            return Death(cause="gone", words="its process died and left no log", path=self.path)
        _, memory, *lines = [*text.splitlines(), "", ""]
        fatal = FATAL.search(text)
        if fatal is not None and not RAY_DIED.search(text):
            return Death(cause="crash", words=f"{fatal[2] or SIGNALS[fatal[1]]}: {last_lines(lines)}", path=self.path)
        process = self.process()
        if process is not None and process.is_here() and memory_kills() > process.kills:
            return Death(cause="memory", words=f"the kernel killed it: out of memory ({memory})", path=self.path)
        return Death(cause="gone", words="another process killed it, or it exited without a message", path=self.path)


def folder(store: Path) -> Path:
    return store / "running"


def left_behind(store: Path, key: str) -> list[Death]:
    """The deaths that a job (with the key `*`: any job) caused itself, from the marks of processes that are dead.

    Removes marks of processes that were killed from outside. From other machines, takes only marks that tell the cause.
    """
    found = []
    for path in sorted(folder(store).glob(f"{key}.*.log")):
        mark = Mark(store, *path.name.split(".")[:2])
        process, death = mark.process(), mark.death()
        if process is not None and process.is_here() and process.is_alive():
            continue
        if death.cause != "gone":
            found.append(death)
        elif process is None or process.is_here():
            path.unlink(missing_ok=True)
    return found


def forget(store: Path, key: str = "*") -> None:
    """Removes the marks of deaths at a job, or at all jobs."""
    for death in left_behind(store, key):
        death.path.unlink(missing_ok=True)


def last_lines(lines: list[str]) -> str:
    """The last lines of a log in one line; if it has a crash message, the lines around that."""
    kept = [line.strip() for line in lines if not NOISE.match(line)]
    place = next((index for index, line in enumerate(kept) if FATAL.search(line)), len(kept) - 1)
    return " | ".join(kept[max(0, place - 2) : place + LINES - 2])[:LONGEST]


@contextlib.contextmanager
def _spoken(file: IO[str], errors: bool) -> Iterator[None]:
    """Writes the traceback of a crash to the file and, with `errors`, all of standard error."""
    was = faulthandler.is_enabled()
    kept = os.dup(2) if errors else None
    if kept is not None:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
    faulthandler.enable(file, all_threads=False)
    try:
        yield
    finally:
        faulthandler.disable()
        if kept is not None:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
        if was:
            with contextlib.suppress(Exception):  # the stream may have no file descriptor, for example in a test
                faulthandler.enable(sys.__stderr__ or 2)


@contextlib.contextmanager
def _sampled(path: Path) -> Iterator[None]:
    """Keeps the line on memory up to date, in a thread."""
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(path, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sample(path: Path, over: threading.Event) -> None:
    me, peak = psutil.Process(), 0
    with contextlib.suppress(OSError), path.open("r+b") as file:
        start = len(file.readline())
        while not over.wait(SAMPLE_SECONDS):
            used = int(me.memory_info().rss)
            if used > peak:
                peak, left = used, psutil.virtual_memory().available
                text = MEMORY.format(peak=peak // 10**6, available=left // 10**6)
                os.pwrite(file.fileno(), text.encode(), start)
