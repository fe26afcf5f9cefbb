"""The first slide: the verdict in one sentence, before and after, and what the sentence does not cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...answers import Kind
from ..page import sentences
from ..page.bars import Bars, before_after
from ..page.printing import capital, uncoded
from .charts import Row, add_bars
from .deck import BODY, PADDING, Box, add_notes, add_slide, add_text
from .fitting import Line, fitted
from .shown import Shown

if TYPE_CHECKING:
    from pptx.presentation import Presentation as File
    from pptx.slide import Slide

INKS = {Kind.SHIP: "--good", Kind.CAUTION: "--warn", Kind.UNPROVEN: "--warn", Kind.NO: "--bad"}
GAP, SENTENCE, QUIET, BARS = 0.2, 1.35, 0.65, 1.2
"""Inches: between cards, and the heights of the sentence, of what is below the cards, and of the bars on a card."""


def add_verdict(file: File, shown: Shown) -> None:
    answer = shown.answer
    slide = add_slide(file, capital(answer.verdict.kind.value), INKS[answer.verdict.kind], shown.title)
    sentence = Box(BODY.left, BODY.top, BODY.width, SENTENCE)
    add_text(slide, [Line(text=uncoded(answer.verdict.sentence))], sentence, 24)
    if shown.student is not None:
        found = before_after(shown.teacher, shown.student, shown.study.spec.resources.prices)
        width = (BODY.width - GAP * (len(found) - 1)) / len(found)
        top, height = BODY.top + SENTENCE + GAP, BODY.height - SENTENCE - QUIET - 2 * GAP
        boxes = [Box(BODY.left + place * (width + GAP), top, width, height) for place in range(len(found))]
        room = boxes[0].inner()
        size = min(fitted(_words(one), room.width, room.height - BARS, 20)[0] for one in found)
        for one, box in zip(found, boxes, strict=True):
            _add_card(slide, one, box, size)
    below = Box(BODY.left, BODY.top + BODY.height - QUIET, BODY.width, QUIET)
    add_text(slide, [Line(text=one, color="--quiet") for one in _below(shown)], below, 14)
    add_notes(slide, [f"In full: {answer.sentence}", *(f"{name}: {text}" for name, text in answer.lines)])


def _below(shown: Shown) -> list[str]:
    """What the sentence rests on, and what it does not cover."""
    lines = [f"{start}{rest}" for start, rest in sentences.warnings(shown.answer)]
    if shown.study.confirmed is None:
        lines.append(f"{sentences.UNCONFIRMED} All numbers {sentences.OPTIMISTIC}")
    if shown.student is not None:
        lines.append("The thin lines are 95% intervals over samples.")
    return lines


def _words(one: Bars) -> list[Line]:
    """What a card says."""
    numbers = [Line(text=f"{bar.name}: {bar.text}", scale=0.75, color=bar.color) for bar in one.bars]
    return [Line(text=one.title, scale=0.75, color="--quiet"), Line(text=capital(one.note), bold=True), *numbers]


def _add_card(slide: Slide, one: Bars, box: Box, size: int) -> None:
    """A measure in words, and below it the teacher and the student as bars."""
    text = f"{one.title}: {one.note}. " + ", ".join(f"{bar.name} {bar.text}" for bar in one.bars)
    add_text(slide, _words(one), box, size, panel=True, below=BARS)
    rows = [Row(bar.name, bar.width, bar.color, bar.low, bar.high) for bar in one.bars]
    place = Box(box.left + PADDING, box.top + box.height - BARS - PADDING, box.width - 2 * PADDING, BARS)
    add_bars(slide, rows, place, text)
