"""Text that stays in its box: a guess of its height, and the largest size that fits. PowerPoint itself fits text only when
people edit it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

SIZES = (24, 22, 20, 18, 16, 15, 14, 13, 12, 11, 10)
"""Points that text may have; smaller text cannot be read from the back of a room."""
HEIGHT, GAP = 1.22, 0.3
"""Of a line, and between paragraphs; times the size."""
BOLD, CODED = 1.06, 1.35
"""How much wider than regular text."""
EMS = {
    **dict.fromkeys("ijl'|", 0.24),
    **dict.fromkeys(" ft.,:;!()[]/\\I", 0.3),
    **dict.fromkeys('r-"*{}`', 0.36),
    **dict.fromkeys("ckJsvxyz", 0.5),
    **dict.fromkeys("wC", 0.72),
    **dict.fromkeys("mMG%@W", 0.95),
}
"""The widths of letters in Arial, in units of the size, rounded up."""
BREAKS = re.compile(r"(?<=[\s\-/])")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A paragraph; `scale` is its size relative to the others in its box, `color` the name of a CSS variable."""

    text: str
    scale: float = 1.0
    bold: bool = False
    color: str = "--text"
    font: str | None = None


def clean(text: str) -> str:
    """On one line, with � for what XML or a font cannot show, and without marks that reverse the text behind them."""
    shown = []
    for letter in " ".join(text.split()):
        kind = unicodedata.category(letter)
        if unicodedata.bidirectional(letter) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"):
            continue
        shown.append("\ufffd" if kind in ("Cc", "Cs") or ord(letter) & 0xFFFE == 0xFFFE else letter)
    return "".join(shown)


def shortened(text: str, most: int) -> str:
    """At most so many letters, with … for those that are left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def rows_of(text: str, size: float, width: float) -> int:
    """How many rows a text of this size, in points, needs in so many inches. Rows break at spaces, hyphens and slashes."""
    room, count, used = 72 * width / size, 1, 0.0
    for word in BREAKS.split(text):
        long = _ems(word.rstrip())
        if used and used + long > room:
            count, used = count + 1, 0.0
        count += int(long // room)  # a word that is longer than a row
        used += _ems(word) % room if long > room else _ems(word)
    return count


def _ems(text: str) -> float:
    """The width of a text in units of its size."""
    return sum(map(_em, text))


def _em(letter: str) -> float:
    if letter in EMS:
        return EMS[letter]
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.72 if letter.isupper() else 0.57


def height_of(lines: Sequence[Line], size: float, width: float) -> float:
    """Inches."""
    gaps = GAP * max(0, len(lines) - 1)
    rows = (one.scale * rows_of(one.text, size * one.scale * _wider(one), width) for one in lines)
    return size * (HEIGHT * sum(rows) + gaps) / 72


def _wider(line: Line) -> float:
    """Than regular Arial: letters of code are all equally wide."""
    return CODED if line.font else BOLD if line.bold else 1.0


def fitted(lines: Sequence[Line], width: float, height: float, largest: int = SIZES[0]) -> tuple[int, Sequence[Line]]:
    """The largest size at which the lines fit, and the lines: shorter if even the smallest size is too large."""
    for size in (one for one in SIZES if one <= largest):
        if height_of(lines, size, width) <= height:
            return size, lines
    found, most = list(lines), max(len(one.text) for one in lines)
    while height_of(found, SIZES[-1], width) > height and most > 1:
        most = int(0.9 * most)
        found = [replace(one, text=shortened(one.text, most)) for one in lines]
    return SIZES[-1], found
