"""How the page formats numbers."""

from __future__ import annotations

import math

from ..terminal import clock as whole


def percent(share: float) -> str:
    return f"{share:.1%}"


def floor_percent(share: float) -> str:
    """Rounded down: a bound may not become larger."""
    return f"{math.floor(1000 * share) / 10:.1f}%"


def points(share: float) -> str:
    """Signed, in hundredths, with one digit; never a negative zero."""
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "\u2212")


def number(value: float) -> str:
    return f"{value:,}"


def clock(seconds: float) -> str:
    """9.5 s, 3:20 minutes, 2:05:00 hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{whole(seconds)} {'hours' if round(seconds) >= 3600 else 'minutes'}"


def hours(seconds: float) -> str:
    """Two digits and, below ten hours, minutes and seconds too."""
    if seconds >= 36000:
        return f"{seconds / 3600:,.0f} hours"
    return f"{seconds / 3600:.2g} hours ({clock(seconds)})"
