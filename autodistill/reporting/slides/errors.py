"""The fourth slide: where the student errs, against its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...answers.verdict import MUCH, losses_of
from ...metrics.metric import ACCURACY
from ...metrics.words import axis_title
from ..marks import AXES
from ..page import sentences
from ..page.bars import by_class
from ..page.confusion import confused
from ..page.finalists import Finalist
from ..page.printing import capital
from .charts import Pair, Span, add_pairs
from .deck import BODY, PADDING, Box, add_notes, add_slide, add_table, add_text
from .fitting import Line, shortened
from .shown import Shown, in_words

if TYPE_CHECKING:
    from pptx.presentation import Presentation as File
    from pptx.slide import Slide

CLASSES, LOSSES, NAME = 10, 4, 26
"""Classes and losses that are shown, and letters of a name."""
ASIDE, GAP, WORDS, CAUTIONS, ROW = 4.3, 0.25, 0.75, 2.3, 0.45
"""Inches: the column beside the chart, the space between them, and the heights of what is said above both, of cautions, and of
a row with two lines.
"""


def add_errors(file: File, shown: Shown) -> None:
    slide = add_slide(file, "Where the student errs", above=shown.title)
    said = sentences.compared(shown.study, shown.student)
    add_text(slide, [Line(text=said)], Box(BODY.left, BODY.top, BODY.width, WORDS), 16)
    below = Box(BODY.left, BODY.top + WORDS + 0.1, BODY.width, BODY.height - WORDS - 0.1)
    chart = Box(below.left, below.top, below.width - ASIDE - GAP, below.height)
    aside = Box(below.left + below.width - ASIDE, below.top, ASIDE, below.height)
    if shown.student is None:
        add_text(slide, [Line(text=shown.answer.sentence)], below, 18)
    elif shown.student.test is not None and shown.student.test.by_class:
        _add_classes(slide, shown.student, chart)
        top = add_text(slide, list(_cautions(shown)), aside._replace(height=CAUTIONS), 14, panel=True) + GAP
        _add_mistakes(slide, shown, shown.student, Box(aside.left, top, ASIDE, aside.top + aside.height - top))
    else:
        _add_scores(slide, shown, shown.student, chart)
        add_text(slide, list(_cautions(shown)), aside, 16, panel=True)


def _add_classes(slide: Slide, student: Finalist, box: Box) -> None:
    """The classes that lose most, as pairs of bars."""
    bars = by_class(student)
    assert student.test is not None, "classes are known only on test"
    names, left = bars[:CLASSES], len(student.test.by_class) - len(bars[:CLASSES])
    more = f" {left} more classes lose less." if left > 0 else ""
    words = f"The share of each class that is predicted correctly, the largest loss first.{more}"
    add_text(slide, [Line(text=words)], Box(box.left, box.top, box.width, 0.5), 13)
    pairs = [
        Pair("teacher", "--teacher", [bar.mark or 0.0 for bar in names]),
        Pair("student", "--student", [bar.width for bar in names]),
    ]
    place = Box(box.left, box.top + 0.5, box.width, box.height - 0.5)
    text = f"{words} " + "; ".join(f"{bar.name}: {bar.text}" for bar in names)
    span = Span(axis_title(ACCURACY), 0, 100, 20)
    add_pairs(slide, [shortened(bar.name, NAME) for bar in names], pairs, place, text, span)
    add_notes(slide, [f"{bar.name}: {bar.text}" for bar in bars])


def _cautions(shown: Shown) -> Iterator[Line]:
    yield Line(text="Cautions", bold=True, scale=1.15)
    confirmed = shown.study.confirmed
    if confirmed is None:
        yield Line(text=f"{sentences.UNCONFIRMED} All numbers {sentences.OPTIMISTIC}")
    elif confirmed.test.kind == "regression":
        yield Line(text="A regression has no classes, so it has no cautions.")
    else:
        members = [one for one in confirmed.members if one.chosen == shown.answer.verdict.chosen]
        found = [loss for one in members for loss in losses_of(confirmed, one)]
        much = f"at least {100 * MUCH:g} points, significantly"
        start = f"The student loses a lot of accuracy ({much}) on"
        yield Line(text=f"{start}:" if found else f"{start} no class or group.")
        for one in found[:LOSSES]:
            yield Line(text=capital(str(one._replace(name=shortened(one.name, NAME)))), color="--warn")
        if len(found) > LOSSES:
            yield Line(text=f"and {len(found) - LOSSES} more", color="--warn")
    if unrecognized := sentences.unrecognized(shown.study):
        yield Line(text=unrecognized)
    for start, rest in sentences.warnings(shown.answer):
        yield Line(text=f"{start}{rest}", color="--warn")


def _add_mistakes(slide: Slide, shown: Shown, student: Finalist, box: Box) -> None:
    """The most frequent mistakes, if the task has classes."""
    confirmed = shown.study.confirmed
    found = None if confirmed is None else confused(confirmed, student.chosen)
    if found is None or not found.pairs:
        return
    words = "The most frequent mistakes of the student on the test samples, and how often its teacher makes them"
    top = add_text(slide, [Line(text=f"{words}.")], Box(box.left, box.top, box.width, 0.5), 13) + PADDING
    place = box._replace(top=top, height=box.top + box.height - top)
    most = int(place.height / ROW) - 1
    rows = [["true class", "predicted", "student", "teacher"]]
    rows += [
        [shortened(pair.label, NAME), shortened(pair.said, NAME), f"{pair.student:,}", f"{pair.teacher:,}"]
        for pair in found.pairs[:most]
    ]
    add_table(slide, rows, (1.7, 1.7, 1, 1), place, words)


def _add_scores(slide: Slide, shown: Shown, student: Finalist, box: Box) -> None:
    """All metrics of the student and its teacher, where there are no classes to compare."""
    split, both = sentences.split(shown.study), (shown.teacher, student)
    rows = [[f"on {student.score.n:,} {split} samples", "teacher", "student"]]
    for metric in (shown.study.metric, *shown.study.also):
        seen = [(one.test.scores if one.test else one.validation)[metric.name] for one in both]
        rows.append([metric.label, *(in_words(metric, score) for score in seen)])
    if shown.teacher.latency is not None and student.latency is not None:
        rows.append(["latency", *(f"{one.latency.one.p50_ms:.3g} ms" for one in both if one.latency)])
    rows += [[AXES[name].long, *(f"{getattr(one, name):,}" for one in both)] for name in ("params", "macs", "bytes")]
    add_text(slide, [Line(text="With 95% intervals over samples.")], Box(box.left, box.top, box.width, 0.4), 13)
    words = "The metrics of the teacher and the student"
    add_table(slide, rows, (1.3, 1.4, 1.4), Box(box.left, box.top + 0.45, box.width, box.height - 0.45), words)
