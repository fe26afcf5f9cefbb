"""tracked.jsonl: the identity of a study among all that are logged, and what was logged where, a line each.

A search that resumes reads it, so that it logs nothing twice. `--fresh` removes it: the study is then another one.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path

from ...study.record.directory import TRACKED

Line = tuple[str, str, str, str]
"""A tracker, its place, the name of a run, and its mark."""


class Logged:
    """Lines are appended by several threads, each in one write."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / TRACKED
        self.lines: set[Line] = set()
        self.identity = ""
        for text in self.path.read_text(errors="replace").splitlines() if self.path.exists() else ():
            self._read(text)
        if not self.identity:
            self.identity = secrets.token_hex(8)
            self._append({"identity": self.identity})

    def _read(self, text: str) -> None:
        """A line that a kill cut off says nothing: its run is logged again, in place of the first one."""
        try:
            found = json.loads(text)
            if "identity" in found:
                self.identity = found["identity"]
            else:
                self.lines.add((found["tracker"], found["place"], found["run"], found["mark"]))
        except (ValueError, KeyError, TypeError):
            return

    def add(self, line: Line) -> None:
        self.lines.add(line)
        self._append(dict(zip(("tracker", "place", "run", "mark"), line, strict=True)))

    def _append(self, found: dict[str, str]) -> None:
        """On a full disk, what is not noted is logged again later, in place of the first one."""
        with contextlib.suppress(OSError), self.path.open("a") as file:
            file.write(json.dumps(found) + "\n")
