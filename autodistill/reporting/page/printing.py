"""One HTML file that needs no network, and the PDF that a Chromium prints from it. Text is escaped by Jinja; what is marked as
safe is our own.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ...answers import percent as exact
from ...metrics import words
from ...metrics.metric import ACCURACY
from ...spec import StudyError
from ...study.record.directory import replace
from ...version import __version__
from ..terminal import clock as whole

TEMPLATES = Path(__file__).parent / "templates"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PRINT_SECONDS = 120
Layout = Literal["base.html", "live.html", "part.html"]
COMMAND = re.compile(r"`([a-z-]+)`")
"""A command in a sentence, such as `confirm`."""
WORDS = ("share_kept", "gain_over", "gain_unit", "gained", "gains_in", "plural", "safe", "stated")
"""Functions of words.py that templates call."""


def render(name: str, layout: Layout = "base.html", **facts: object) -> str:
    """The template `name` with these facts. The layout `base.html` has its style, its script and plotly.js written into it,
    `live.html` also the script that asks for news, and `part.html` only its body.
    """
    room = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    room.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": vars}
    room.filters |= {
        "exact_pc": exact,
        "pc": "{:.1%}".format,
        "capital": capital,
        "coded": coded,
        "num": "{:,}".format,
        "clock": clock,
        "hours": hours,
    }
    room.globals |= {name: getattr(words, name) for name in WORDS} | {"accuracy": ACCURACY}
    own = {"style": _read("style.css"), "script": _read("page.js"), "plotly": packed_plotly()}
    own["live"] = _read("live.js")
    return room.get_template(name).render(**own, **facts, layout=layout, version=__version__)


@cache
def packed_plotly() -> str:
    """plotly.js, compressed and as base64: with it, a page has a third of the size. page.js unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _read(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text())


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[:1].upper() + text[1:]


def coded(text: str) -> Markup:
    """With the commands of a sentence as code."""
    return Markup(COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # on a Markup, it would escape the tags, too


def uncoded(text: str) -> str:
    """Without the marks around the commands of a sentence."""
    return COMMAND.sub(r"\1", text)


def clock(seconds: float) -> str:
    """9.5 s, 3:20 minutes, 2:05:00 hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{whole(seconds)} {'hours' if round(seconds) >= 3600 else 'minutes'}"


def hours(seconds: float) -> str:
    """As `clock`, but whole hours from ten hours on."""
    return f"{seconds / 3600:,.0f} hours" if seconds >= 36000 else clock(seconds)


def chromium() -> str | None:
    """The path of a Chromium on PATH, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_pdf(page: Path) -> Path | None:
    """Prints `page` to a .pdf beside it; None if no Chromium is installed. Raises StudyError if printing fails."""
    browser, target = chromium(), page.with_suffix(".pdf")
    if browser is None:
        return None
    with tempfile.TemporaryDirectory(prefix="autodistill-", ignore_cleanup_errors=True) as directory:
        draft = Path(directory) / "page.pdf"
        command = [browser, "--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={directory}/profile"]
        command += ["--no-sandbox"] * (os.geteuid() == 0)  # Chromium refuses its sandbox to root
        command += ["--window-size=760,1000", "--no-pdf-header-footer", "--virtual-time-budget=10000"]
        _run([*command, f"--print-to-pdf={draft}", page.absolute().as_uri()])
        if not draft.exists():
            raise StudyError(f"{browser} printed nothing for {page}; open it in a browser and print it there")
        replace(target, draft.read_bytes())
    return target


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PRINT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudyError(f"{command[0]} could not print the page ({error}); open it in a browser and print it there") from error
