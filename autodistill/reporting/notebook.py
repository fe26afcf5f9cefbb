"""What a notebook shows: the progress of a search in one place of a cell, tables and pictures as HTML."""

from __future__ import annotations

import base64
import contextlib
import html
import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..console import plain
from .summary import StudySummary
from .terminal import frontier_table, remarks

STYLE = "text-align: right; padding: 1px 8px"


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook, not in a terminal or a script."""
    python = sys.modules.get("IPython")
    shell: Any = None if python is None else python.get_ipython()
    return hasattr(shell, "kernel")


def console_of(console: Console | None) -> Console:
    """The given one. By default standard error or, in a notebook, plain text in the cell's output."""
    if console is not None:
        return console
    if in_notebook():
        return plain(file=sys.stdout, force_jupyter=False, force_terminal=False, color_system=None, width=120)
    return plain()


class Cell:
    """A place in a cell's output that is updated: HTML, and plain text for what shows no HTML."""

    def __init__(self) -> None:
        from IPython.display import DisplayHandle

        with contextlib.suppress(ImportError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets, tqdm warns that it cannot draw; it draws nothing here
            importlib.import_module("tqdm.auto")
        make: Any = DisplayHandle
        self._handle = make()
        self._handle.display({"text/html": "", "text/plain": ""}, raw=True)

    def show(self, text: str, as_html: str) -> None:
        self._handle.update({"text/html": as_html, "text/plain": text}, raw=True)


def lines_html(*lines: str) -> str:
    return "".join(f"<div>{html.escape(line)}</div>" for line in lines if line)


def table_html(table: Table) -> str:
    """A table as the terminal shows it."""
    head = "".join(f'<th style="{STYLE}">{html.escape(str(column.header))}</th>' for column in table.columns)
    cells = zip(*(list(column.cells) for column in table.columns), strict=True)
    rows = ["".join(f'<td style="{STYLE}">{html.escape(str(cell))}</td>' for cell in row) for row in cells]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><caption>{html.escape(str(table.title))}</caption><tr>{head}</tr>{body}</table>"


def study_html(found: StudySummary, picture: Path) -> str:
    """The answers by share of the teacher, the frontier, and its picture if there is one."""
    text = lines_html(*found.answers()) + table_html(frontier_table(found))
    text += lines_html(*remarks(found))
    if picture.exists():
        text += f'<img width="640" src="data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}">'
    return text
