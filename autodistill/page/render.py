"""From plain facts to one HTML file that needs no network. Text is escaped by Jinja; what is marked as safe is our own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, facts: Mapping[str, Any]) -> str:
    """The template `name` with these facts, its style, its script and plotly.js written into it."""
    from plotly.offline import get_plotlyjs

    room = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    room.filters |= {"pc": percent, "floor_pc": floor_percent, "points": points, "num": number, "clock": clock, "hours": hours}
    own = {"style": _read("style.css"), "script": _read("page.js"), "plotly": Markup(get_plotlyjs())}  # noqa: S704
    return room.get_template(name).render(**own, **facts)


def _read(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text())


def percent(share: float) -> str:
    return f"{share:.1%}"


def floor_percent(share: float) -> str:
    """Rounded down: a bound may not become larger."""
    return f"{math.floor(1000 * share) / 10:.1f}%"


def points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\u2212")


def number(value: float) -> str:
    return f"{value:,}"


def clock(seconds: float) -> str:
    """9.5 s, 3:20 minutes, 2:05:00 hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    from ..text import clock as whole

    return f"{whole(seconds)} {'hours' if round(seconds) >= 3600 else 'minutes'}"


def hours(seconds: float) -> str:
    """Two digits and, where that says more, minutes and seconds too."""
    if seconds >= 36000:
        return f"{seconds / 3600:,.0f} hours"
    return f"{seconds / 3600:.2g} hours ({clock(seconds)})"
