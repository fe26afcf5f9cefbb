"""The third slide: what distillation bought over labels alone, and what assistants bought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...metrics.metric import Metric
from ...metrics.words import gain_unit, scaled
from ..page import sentences
from ..page.bars import Bar, assisted, distilled
from ..page.finalists import Gain
from ..page.lines import ticks
from ..page.printing import capital
from ..summary import referred
from ..terminal import spaced
from .charts import Row, Span, add_bars
from .deck import BODY, Box, add_slide, add_text
from .fitting import Line
from .shown import Shown

if TYPE_CHECKING:
    from pptx.presentation import Presentation as File
    from pptx.slide import Slide

MOST = 6
"""Bars that are drawn, spread evenly from the smallest student to the largest; the page shows all."""
GAP, WORDS, REASON = 0.4, 1.65, 2.2
"""Inches: between the two parts, and the heights of what is said above the bars and of what is said without any."""


def add_gains(file: File, shown: Shown) -> None:
    slide = add_slide(file, "What distillation bought", above=shown.title)
    study, students = shown.study, shown.students
    first, second = distilled(students), assisted(students)
    said = sentences.distillation(study, measured=bool(first))
    more = sentences.assistants(study, students, measured=bool(second))
    width = (BODY.width - GAP) / 2
    left, right = (Box(BODY.left + place * (width + GAP), BODY.top, width, BODY.height) for place in (0, 1))
    _add_part(slide, shown, "Over labels alone", said, first, left)
    _add_part(slide, shown, "What assistants bought", more, second, right)
    if not first and not second and study.summary.references:
        others = [Line(text=capital(f"{referred(one)}.")) for one in study.summary.references]
        title = Line(text="Models of other libraries, on the validation samples", bold=True, scale=1.15)
        below = Box(BODY.left, BODY.top + REASON + GAP, BODY.width, BODY.height - REASON - GAP)
        add_text(slide, [title, *others], below, 18)


def _add_part(slide: Slide, shown: Shown, title: str, said: str, bars: Sequence[Bar], box: Box) -> None:
    """What was measured, with a bar for each gain; without any, the reason why."""
    words = [Line(text=title, bold=True, scale=1.15)]
    if not bars:
        add_text(slide, [*words, Line(text=said)], box._replace(height=REASON), 20, panel=True)
        return
    drawn = bars if len(bars) <= MOST else [bars[place] for place in spaced(len(bars), MOST)]
    left = len(bars) - len(drawn)
    rest = f" The page shows {left} more." if left else ""
    add_text(slide, [*words, Line(text=said + rest)], Box(box.left, box.top, box.width, WORDS), 13)
    metric = shown.study.metric
    rows = [_row(metric, bar, bar.gain) for bar in drawn if bar.gain is not None]
    text = f"{title}: " + "; ".join(f"{bar.name} {bar.text}" for bar in drawn)
    span = _span(rows, gain_unit(metric))
    add_bars(slide, rows, Box(box.left, box.top + WORDS + 0.1, box.width, box.height - WORDS - 0.1), text, span)


def _row(metric: Metric, bar: Bar, gain: Gain) -> Row:
    """A bar in the units of the axis."""
    low, high = (None if end is None else scaled(metric, end) for end in (gain.low, gain.high))
    return Row(f"{bar.name}\n{bar.text}", scaled(metric, gain.mean), bar.color, low, high)


def _span(rows: Sequence[Row], title: str) -> Span:
    """From the smallest to the largest end, with zero, to the next round numbers."""
    ends = [0.0, *(end for one in rows for end in (one.value, one.low, one.high) if end is not None)]
    low, high = min(ends), max(ends)
    found = ticks(low, max(high, low + 1e-9))
    step = found[1] - found[0]
    return Span(title, found[0] - step * (found[0] > low), found[-1] + step * (found[-1] < high), step)
