"""The positions of the boxes and arrows of a chain's picture; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...metrics.metric import ACCURACY, Metric
from ...metrics.words import gain_over, stated
from ..explain import Link
from .finalists import Finalist

WIDTH, BOX, GAP, EDGE = 340, 62, 46, 1
"""Width of the picture, height of a box, gap for an arrow between two boxes, and border; in pixels."""
LETTERS = 40
"""Characters of an architecture that fit into a box; the description and the table show all of it."""


class Box(NamedTuple):
    """A network of the chain, from the pixel `y` down."""

    y: int
    role: str
    name: str
    numbers: str
    seconds: float


class Arrow(NamedTuple):
    """From a teacher to the network below it; the last one has the gain as `text`."""

    y: int
    to: int
    text: str = ""
    verdict: str = ""


class Picture(NamedTuple):
    """`label` says the same in words, for readers who cannot see it. Lengths are in pixels; `box` is the height of a box."""

    width: int
    height: int
    box: int
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    label: str


def picture(one: Finalist, teacher: str, metric: Metric) -> Picture:
    """The chain of a finalist, its teacher on top."""
    boxes = [_box(link, place, len(one.links), teacher, metric) for place, link in enumerate(one.links)]
    arrows = [Arrow(box.y + BOX, box.y + BOX + GAP) for box in boxes[:-1]]
    if arrows:
        text, verdict = _gain(one, metric)
        arrows[-1] = arrows[-1]._replace(text=text, verdict=verdict)
    height = len(boxes) * BOX + (len(boxes) - 1) * GAP + 2 * EDGE
    label = _label(one.links, arrows, metric)
    return Picture(width=WIDTH, height=height, box=BOX, boxes=boxes, arrows=arrows, label=label)


def _box(link: Link, place: int, count: int, teacher: str, metric: Metric) -> Box:
    name, measured = link.architecture, "validation" if metric == ACCURACY else f"validation {metric.label}"
    return Box(
        y=EDGE + place * (BOX + GAP),
        role="student" if place == count - 1 else "teacher" if not link.teachers or link.stage == teacher else "assistant",
        name=name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}\u2026",
        numbers=f"{metric.text(link.value)} {measured}, {link.params:,} params",
        seconds=link.seconds,
    )


def _gain(one: Finalist, metric: Metric) -> tuple[str, str]:
    """The text beside the last arrow, and its verdict: the gain from the assistants or, without any, from learning from the
    teacher. Empty if neither is known.
    """
    for gain, over in ((one.gains.direct, "over direct"), (one.gains.label_only, "over label-only")):
        if gain is not None:
            note = {"not_significant": " (not significant)", "unknown": " (too few seeds)"}.get(gain.verdict, "")
            return f"{gain_over(metric, gain.mean)} {over}{note}", gain.verdict
    return "", ""


def _label(links: Sequence[Link], arrows: Sequence[Arrow], metric: Metric) -> str:
    names = [f"{link.architecture} ({stated(metric, link.value)}, {link.params:,} params)" for link in links]
    label = ", which teaches ".join(names) if len(names) > 1 else f"{names[0]}, trained from labels"
    return label + (f"; {arrows[-1].text}" if arrows and arrows[-1].text else "")
