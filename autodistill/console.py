"""A console that prints paths and messages as they are."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from rich.console import Console


def plain(file: TextIO | None = None, **options: Any) -> Console:
    """Prints to `file`, by default standard error, with these options of rich. `[a]` is no markup, and `:key:` is no emoji."""
    return Console(file=file or sys.stderr, highlight=False, markup=False, emoji=False, **options)
