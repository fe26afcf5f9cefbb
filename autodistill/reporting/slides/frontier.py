"""The second slide: the frontier."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...metrics.metric import Metric
from ...metrics.words import of_teacher, on_axis, scaled
from ...study.record.rows import TrialRow
from ..marks import AXES
from ..page import sentences
from ..page.lines import ticks
from ..page.plots import BEYOND, FrontierFigure, frontier_figure
from ..page.printing import capital
from ..picture import short
from .charts import Label, Points, Span, Stroke, add_scatter
from .deck import BODY, Box, add_notes, add_slide, add_table, add_text
from .fitting import Line
from .shown import Shown

if TYPE_CHECKING:
    from pptx.presentation import Presentation as File
    from pptx.slide import Slide

ASIDE, GAP, HEADING = 4.2, 0.3, 0.3
"""Inches: the column beside the chart, the space between the two, and a heading."""
TOLD = 12
"""Networks of one kind in the alternative text."""
SMALL, MEDIUM, LARGE = 6, 9, 12
"""Points of marks: of trials that are not on the frontier, of the frontier, and of teachers."""


def add_frontier(file: File, shown: Shown) -> None:
    study, answer = shown.study, shown.answer
    slide = add_slide(file, "The frontier", above=shown.title)
    figure = frontier_figure(study, answer.target if answer.metric == study.metric else None)
    size, split = study.spec.search.objectives[1:][0], sentences.split(study)
    many = study.n if study.confirmed is None else study.confirmed.test.n
    points = list(_points(figure, size, split))
    x = _sizes(points, figure.titles[size])
    levels = [one for one in figure.levels if one.split == split]
    y = _values(study.metric, points, [one.value for one in levels], figure.layout["yaxis"]["title"]["text"])
    strokes = [*_lines(figure, size, split), *(Stroke(one.text, _across(x, one.value), one.color, one.dash) for one in levels)]
    text = f"{capital(study.metric.label)} against size on {many:,} {split} samples. {_told(study.metric, size, points)}"
    chart = Box(BODY.left, BODY.top, BODY.width - ASIDE - GAP, BODY.height)
    add_scatter(slide, points, strokes, list(_named(points, shown, size)), chart, text, x=x, y=y, ticks=figure.ticks[size])
    said = [sentences.FRONTIER, f"The chart shows the {study.metric.label} on {many:,} {split} samples.", *_cut(points, y)]
    aside = Box(BODY.left + BODY.width - ASIDE, BODY.top, ASIDE, 1.8)
    top = add_text(slide, [Line(text=one) for one in said], aside, 14) + GAP
    _add_headline(slide, shown, Box(aside.left, top, ASIDE, BODY.top + BODY.height - top))
    add_notes(slide, [one.sentence() for one in study.summary.headline])


def _add_headline(slide: Slide, shown: Shown, box: Box) -> None:
    """The smallest students by what they keep."""
    metric, words = shown.study.metric, "The smallest students of the search, on validation samples"
    rows = [["with", "params", "smaller", metric.label]]
    for one in shown.study.summary.headline:
        row = one.row
        cells = ["no student", "", ""] if row is None else _cells(row)
        rows.append([of_teacher(metric, one.of_teacher), *cells])
    add_text(slide, [Line(text=words, bold=True)], Box(box.left, box.top, box.width, HEADING), 13)
    place = Box(box.left, box.top + HEADING, box.width, box.height - HEADING)
    add_table(slide, rows, (2.0, 1.15, 1.25, 1.4), place, words)


def _cells(row: TrialRow) -> list[str]:
    return [short(row.params), f"{row.compression:.1f}x", row.metric.text(row.value)]


def _points(figure: FrontierFigure, size: str, split: str) -> Iterator[Points]:
    for one in figure.data:
        meta, bars = one["meta"], one.get("error_y")
        if one["mode"] != "markers" or meta["split"] != split:
            continue
        xy = list(zip(meta["x"][size], one["y"], strict=True))
        ends = [] if bars is None else list(zip(bars["arrayminus"], bars["array"], strict=True))
        ends = [(y - below, y + above) for (_, y), (below, above) in zip(xy, ends, strict=False)]
        symbol = one["marker"]["symbol"]
        area = LARGE if "star" in symbol else MEDIUM if ends else SMALL
        yield Points(html.unescape(one["name"]), xy, meta["color"], symbol, ends, size=area)


def _lines(figure: FrontierFigure, size: str, split: str) -> Iterator[Stroke]:
    """The best value up to each size, with the corners of its steps."""
    for one in figure.data:
        meta = one["meta"]
        if one["mode"] == "lines" and meta["split"] == split:
            xs, ys = meta["x"][size], meta["y"][size]
            corners = [corner for x, y, to in zip(xs, ys, [*xs[1:], xs[-1]], strict=True) for corner in ((x, y), (to, y))]
            yield Stroke(html.unescape(one["name"]), corners[:-1], meta["color"], one["line"]["dash"])


def _named(points: Sequence[Points], shown: Shown, size: str) -> Iterator[Label]:
    """The numbers of the student of the answer, at the better end of its interval."""
    student = shown.student
    if student is not None:
        place = (max(1, getattr(student, size)), scaled(student.metric, student.score.value))
        known = [
            pair[student.metric.higher] for one in points for xy, pair in zip(one.xy, one.ends, strict=False) if xy == place
        ]
        numbers = f"{short(place[0])} {AXES[size].unit}, {student.metric.text(student.score.value)}"
        yield from (Label(numbers, place[0], end) for end in known[:1])


def _sizes(points: Sequence[Points], title: str) -> Span:
    sizes = [x for one in points for x, _ in one.xy]
    return Span(f"{title} (logarithmic)", min(sizes) / BEYOND, BEYOND * max(sizes), 1)


def _values(metric: Metric, points: Sequence[Points], levels: Sequence[float], title: str) -> Span:
    """From the worst to the best of what has an interval or a line of its own, to the next round numbers."""
    ends = [end for one in points for pair in one.ends for end in pair]
    ends += levels
    low, high = min(ends), max(ends)
    reach = max(high - low, 0.05 * max(abs(low), abs(high)), 1e-9)
    first, *_, last = found = ticks(low - 0.05 * reach, high + 0.05 * reach)
    step = found[1] - first
    worst, best = (scaled(metric, end) for end in (metric.low, metric.high))
    low, high = max(worst, first - step * (first > low)), min(best, last + step * (last < high))
    return Span(title, low, high, step, reversed=not metric.higher)


def _told(metric: Metric, size: str, points: Sequence[Points]) -> str:
    """The chart for those who cannot see it, without the crowd."""
    shown = [(one.name, one.xy[:TOLD], len(one.xy) - TOLD) for one in points if one.ends]
    return " ".join(
        f"{capital(name)}: {', '.join(f'{short(x)} {AXES[size].unit} {on_axis(metric, y)}' for x, y in xy)}"
        f"{f' and {left} more' if left > 0 else ''}."
        for name, xy, left in shown
    )


def _across(x: Span, value: float) -> list[tuple[float, float]]:
    return [(x.low, value), (x.high, value)]


def _cut(points: Sequence[Points], y: Span) -> list[str]:
    """How many marks are beyond the worse end of the axis."""
    count = sum(value > y.high if y.reversed else value < y.low for one in points for _, value in one.xy)
    return [f"{count:,} more {'is' if count == 1 else 'are'} {'worse' if y.reversed else 'below'}."] if count else []
