"""The positions of the boxes and arrows of a chain's picture; the template draws them."""

from __future__ import annotations

from ...metrics.metric import ACCURACY, Metric
from ...metrics.words import gain_over, stated
from ..explain import Link
from .finalists import Facts

WIDTH, BOX, GAP, EDGE = 340, 62, 46, 1
"""Width of the picture, height of a box, gap for an arrow between two boxes, and border; in pixels."""
LETTERS = 40
"""Characters of an architecture that fit into a box; the description and the table show all of it."""


def picture(one: Facts, teacher: str, metric: Metric) -> Facts:
    """The chain of a finalist, its teacher on top. `label` says the same in words, for readers who cannot see it."""
    links = one["links"]
    boxes = [_box(link, place, len(links), teacher, metric) for place, link in enumerate(links)]
    arrows = [
        {"x": WIDTH / 2, "y": box["y"] + BOX, "to": box["y"] + BOX + GAP, "text": "", "verdict": ""} for box in boxes[:-1]
    ]
    if arrows:
        arrows[-1] |= _gain(one, metric)
    height = len(boxes) * BOX + (len(boxes) - 1) * GAP + 2 * EDGE
    return {
        "width": WIDTH,
        "box": BOX,
        "height": height,
        "boxes": boxes,
        "arrows": arrows,
        "label": _label(links, arrows, metric),
    }


def _box(link: Link, place: int, count: int, teacher: str, metric: Metric) -> Facts:
    role = "student" if place == count - 1 else "teacher" if not link.teachers or link.stage == teacher else "assistant"
    name, measured = link.architecture, "validation" if metric == ACCURACY else f"validation {metric.label}"
    return {
        "y": EDGE + place * (BOX + GAP),
        "role": role,
        "name": name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}\u2026",
        "numbers": f"{metric.text(link.value)} {measured}, {link.params:,} params",
        "seconds": link.seconds,
    }


def _gain(one: Facts, metric: Metric) -> Facts:
    """The text beside the last arrow: the gain from the assistants or, without any, from learning from the teacher."""
    for name, over in (("direct", "over direct"), ("label_only", "over label-only")):
        gain = one["gains"].get(name)
        if gain is not None:
            note = {"not_significant": " (not significant)", "unknown": " (too few seeds)"}.get(gain["verdict"], "")
            return {"text": f"{gain_over(metric, gain['mean'])} {over}{note}", "verdict": gain["verdict"]}
    return {}


def _label(links: list[Link], arrows: list[Facts], metric: Metric) -> str:
    names = [f"{link.architecture} ({stated(metric, link.value)}, {link.params:,} params)" for link in links]
    label = ", which teaches ".join(names) if len(names) > 1 else f"{names[0]}, trained from labels"
    return label + (f"; {arrows[-1]['text']}" if arrows and arrows[-1]["text"] else "")
