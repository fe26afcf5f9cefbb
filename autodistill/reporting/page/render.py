"""From plain facts to one HTML file that needs no network. Text is escaped by Jinja; what is marked as safe is our own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...answers import percent as exact
from .words import clock, floor_percent, hours, number, percent, points

TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, facts: Mapping[str, Any]) -> str:
    """The template `name` with these facts, its style, its script and plotly.js written into it."""
    from plotly.offline import get_plotlyjs

    room = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    room.filters |= {
        "exact_pc": exact,
        "pc": percent,
        "floor_pc": floor_percent,
        "points": points,
        "num": number,
        "clock": clock,
        "hours": hours,
    }
    own = {"style": _read("style.css"), "script": _read("page.js"), "plotly": Markup(get_plotlyjs())}  # noqa: S704
    return room.get_template(name).render(**own, **facts)


def _read(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text())
