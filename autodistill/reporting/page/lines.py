"""Small pictures of lines as SVG, which need no script: learning curves, and the course of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...metrics.words import axis_title, scaled
from ...spec import Stage
from ..picture import short
from .finalists import Finalist
from .health import CoursePoint
from .study import Study

Place = Callable[[float], float]
"""The pixel of a value."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 220, 46, 10, 10, 40
"""Of a picture, and its margins; in pixels."""
MOST = 100
"""Trials that are drawn."""


class Tick(NamedTuple):
    """A number at a pixel of an axis."""

    at: float
    text: str


class Line(NamedTuple):
    """`points` are pixels, as an SVG polyline has them."""

    points: str
    color: str
    width: float


class Chart(NamedTuple):
    """A picture with its axes; `label` says what it shows, `note` what it shows in numbers."""

    width: int
    height: int
    left: int
    right: int
    bottom: int
    label: str
    note: str
    x_title: str
    y_title: str
    lines: Sequence[Line]
    x: Sequence[Tick]
    y: Sequence[Tick]


class Series(NamedTuple):
    """A line from left to right, in the units of the axes."""

    points: Sequence[tuple[float, float]]
    color: str
    width: float = 1.0


def chart(series: Sequence[Series], *, label: str, note: str, x: str, y: str, steps: bool = False) -> Chart | None:
    """None if no line has two points. The horizontal axis counts something."""
    shown = [one for one in series if len(one.points) > 1]
    if not shown:
        return None
    xs, ys = ([point[axis] for one in shown for point in one.points] for axis in (0, 1))
    left, right = min(xs), max(max(xs), min(xs) + 1e-9)
    low, high = min(ys), max(ys)
    low, high = (low - 0.5, high + 0.5) if high - low < 1e-12 else (low - 0.05 * (high - low), high + 0.05 * (high - low))

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - left) / (right - left)

    def down(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    return Chart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
        label=label,
        note=note,
        x_title=x,
        y_title=y,
        lines=[Line(_points(one.points, across, down, steps), one.color, one.width) for one in shown],
        x=[Tick(across(value), short(value)) for value in ticks(left, right, least=1.0)],
        y=[Tick(down(value), f"{value:.4g}") for value in ticks(low, high)],
    )


def _points(points: Sequence[tuple[float, float]], across: Place, down: Place, steps: bool) -> str:
    found = [f"{across(points[0][0]):.1f},{down(points[0][1]):.1f}"]
    for (_, before), (x, y) in zip(points[:-1], points[1:], strict=True):
        found += [f"{across(x):.1f},{down(before):.1f}"] * steps + [f"{across(x):.1f},{down(y):.1f}"]
    return " ".join(found)


def ticks(low: float, high: float, least: float = 1e-12) -> list[float]:
    """Round numbers from low to high, at most six of them and at least `least` apart."""
    rough = max((high - low) / 5, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def course_chart(course: Sequence[CoursePoint]) -> Chart | None:
    """The hypervolume over the trials that ended."""
    if not course:
        return None
    last = course[-1]
    soon = next(one.trials for one in course if one.value >= 0.99 * last.value)
    note = f"{last.value:.3f} after {last.trials} trials; 99% of that was reached after {soon}."
    series = [Series([(0.0, 0.0), *((float(one.trials), one.value) for one in course)], "--student", 2.0)]
    label = f"Hypervolume after each trial that ended: {note}"
    return chart(series, label=label, note=note, x="trials that ended", y="hypervolume", steps=True)


def learning_chart(study: Study, shown: Finalist | None) -> Chart | None:
    """The validation metric of students after some of their epochs, with `shown` on top; None if trials were not stopped."""
    metric, stage = study.metric, None if shown is None else shown.stage
    found: list[Series] = []
    for row in study.rows[::-1]:
        if row.origin is None or not row.origin.rungs or (len(found) >= MOST and row.stage != stage):
            continue
        points = [(float(epochs), scaled(metric, value)) for epochs, value in row.origin.rungs]
        network = study.stages.network(row.stage) if row.is_complete else None
        if isinstance(network, Stage) and network.recipe.epochs > points[-1][0]:
            points.append((float(network.recipe.epochs), scaled(metric, row.value)))
        found.append(Series(points, "--student" if row.stage == stage else "--muted", 3.0 if row.stage == stage else 1.0))
    found.sort(key=lambda one: one.width)
    thick = "; the thick line is the student of the answer" if found and found[-1].width > 1 else ""
    note = f"Validation {metric.label} of {len(found)} trials at their rungs and at the end{thick}."
    return chart(found, label=note, note=note, x="epochs", y=axis_title(metric))


def loss_chart(study: Study, shown: Finalist) -> Chart | None:
    """The training loss of a student after each epoch; None for a network with fewer than two epochs."""
    losses = study.stages.store.manifest("stages", shown.stage).get("losses") or []
    points = [(float(place + 1), float(value)) for place, value in enumerate(losses)]
    note = f"Training loss after each of {len(points)} epochs, of the training in the search."
    return chart([Series(points, "--student", 2.0)], label=note, note=note, x="epochs", y="training loss")
