"""Charts that PowerPoint draws and people can edit: bars with intervals, and a metric against size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import (
    XL_AXIS_CROSSES,
    XL_CHART_TYPE,
    XL_LABEL_POSITION,
    XL_LEGEND_POSITION,
    XL_MARKER_STYLE,
    XL_TICK_LABEL_POSITION,
    XL_TICK_MARK,
)
from pptx.enum.dml import MSO_LINE
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from ..page.plots import Ticks
from .deck import FONT, Box, color, describe, palette, tint
from .fitting import clean

if TYPE_CHECKING:
    from pptx.chart.axis import _BaseAxis as Axis
    from pptx.chart.chart import Chart
    from pptx.chart.series import BarSeries, XySeries
    from pptx.slide import Slide

MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE,
    "triangle-up": XL_MARKER_STYLE.TRIANGLE,
    "square": XL_MARKER_STYLE.SQUARE,
    "diamond": XL_MARKER_STYLE.DIAMOND,
    "star": XL_MARKER_STYLE.STAR,
    "star-diamond": XL_MARKER_STYLE.STAR,
}
"""By the symbols of the page; a symbol that ends in `-open` is pale, because LibreOffice fills hollow markers."""
DASHES = {"dot": MSO_LINE.ROUND_DOT, "dash": MSO_LINE.DASH, "longdash": MSO_LINE.LONG_DASH, "solid": MSO_LINE.SOLID}
FEW = 4
"""Bars whose names may be as large as other text."""
THIN, THICK = 1.25, 2.25
"""Points of lines."""


class Row(NamedTuple):
    """A bar, with its interval if that is known."""

    name: str
    value: float
    color: str
    low: float | None = None
    high: float | None = None


class Pair(NamedTuple):
    """One of the two bars at each name."""

    name: str
    color: str
    values: Sequence[float]


class Points(NamedTuple):
    """Networks of one kind: x and y, and the ends of the intervals of y."""

    name: str
    xy: Sequence[tuple[float, float]]
    color: str
    symbol: str
    ends: Sequence[tuple[float, float]] = ()
    size: int = 9


class Label(NamedTuple):
    """A text in a chart, above or below a place."""

    text: str
    x: float
    y: float
    below: bool = False


class Stroke(NamedTuple):
    """A line through corners."""

    name: str
    xy: Sequence[tuple[float, float]]
    color: str
    dash: str


class Span(NamedTuple):
    """An axis from `low` to `high` with a number at each step."""

    title: str
    low: float
    high: float
    step: float
    reversed: bool = False


def name_of(text: str) -> str:
    """The name of a category or a series, which may have several lines. A spreadsheet would take some names for formulas or
    links: those begin with a space of no width.
    """
    shown = "\n".join(map(clean, text.split("\n"))).strip() or "(no name)"
    return shown if shown[0].isalnum() and "://" not in shown and ":" not in shown[:9] else f"\u200b{shown}"


def add_bars(slide: Slide, rows: Sequence[Row], box: Box, text: str, span: Span | None = None) -> None:
    """Horizontal bars, the first one on top; without a `span`, from 0 to 100 and without an axis."""
    shown = rows[::-1]  # PowerPoint begins below
    data = CategoryChartData()
    data.categories = [name_of(one.name) for one in shown]
    data.add_series("value", [one.value for one in shown])
    chart = _added(slide, XL_CHART_TYPE.BAR_CLUSTERED, data, box, text, 12 if len(rows) <= FEW else 10)
    plot, series = chart.plots[0], chart.plots[0].series[0]
    plot.gap_width, plot.vary_by_categories, series.invert_if_negative = 45, False, False
    for point, one in zip(series.points, shown, strict=False):  # it never ends
        point.format.fill.solid()
        point.format.fill.fore_color.rgb = color(one.color)
    if any(one.low is not None for one in rows):
        ends = [(one.low, one.high) if one.low is not None and one.high is not None else (one.value,) * 2 for one in shown]
        _add_intervals(series, [one.value for one in shown], ends, "cat", palette()["--text"])
    _spread(chart, span)
    chart.has_legend = False


def add_pairs(slide: Slide, names: Sequence[str], pairs: Sequence[Pair], box: Box, text: str, span: Span) -> None:
    """Horizontal bars for each name, the first one on top, and one for each of the `pairs`."""
    data = CategoryChartData()
    data.categories = [name_of(one) for one in names[::-1]]
    for pair in pairs[::-1]:
        data.add_series(pair.name, pair.values[::-1])
    chart = _added(slide, XL_CHART_TYPE.BAR_CLUSTERED, data, box, text)
    plot = chart.plots[0]
    plot.gap_width, plot.overlap = 60, 0
    for series, pair in zip(plot.series, pairs[::-1], strict=True):
        series.format.fill.solid()
        series.format.fill.fore_color.rgb = color(pair.color)
    _spread(chart, span)
    _add_legend(chart)


def _spread(chart: Chart, span: Span | None) -> None:
    """The axes of horizontal bars."""
    names, values = chart.category_axis, chart.value_axis
    names.tick_label_position, names.has_major_gridlines = XL_TICK_LABEL_POSITION.LOW, False
    names._element.find(qn("c:noMultiLvlLbl")).addprevious(parse_xml(f'<c:tickLblSkip {nsdecls("c")} val="1"/>'))
    names.major_tick_mark = names.minor_tick_mark = XL_TICK_MARK.NONE
    names.format.line.color.rgb, names.format.line.width = color("--text"), Pt(THIN)
    if span is None:
        values.minimum_scale, values.maximum_scale = 0, 100
        values.visible = values.has_major_gridlines = False
    else:
        _scale(values, span)


def add_scatter(
    slide: Slide,
    points: Sequence[Points],
    strokes: Sequence[Stroke],
    labels: Sequence[Label],
    box: Box,
    text: str,
    *,
    x: Span,
    y: Span,
    ticks: Ticks,
) -> None:
    """A metric against size on a logarithmic axis. PowerPoint writes numbers only at powers, so that the `ticks` are the labels
    of a series of their own along the axis.
    """
    # LibreOffice leaves out markers if a later series is longer; this order also puts large crowds behind
    both: list[Points | Stroke] = [*strokes, *points]
    drawn = sorted(both, key=lambda one: -len(one.xy))
    data = XyChartData()
    for one in drawn:
        _add_points(data, one.name, one.xy)
    edge = y.high if y.reversed else y.low
    texts = [*(Label(text, at, edge, below=True) for at, text in zip(*ticks, strict=True)), *labels]
    _add_points(data, "labels", [(one.x, one.y) for one in texts])
    chart = _added(slide, XL_CHART_TYPE.XY_SCATTER, data, box, text)
    *series, names = chart.plots[0].series
    for one, its in zip(drawn, series, strict=True):
        _mark(its, one) if isinstance(one, Points) else _draw(its, one)
    _write_labels(names, texts)
    _scale(chart.value_axis, y)
    _log(chart.category_axis, x)
    chart.category_axis.crosses = XL_AXIS_CROSSES.MINIMUM
    chart.value_axis.crosses = XL_AXIS_CROSSES.MAXIMUM if y.reversed else XL_AXIS_CROSSES.MINIMUM
    named = {one.name for one in points}
    twice = [place for place, one in enumerate(drawn) if isinstance(one, Stroke) and one.name in named]
    _add_legend(chart, [*twice, len(drawn)])


def _write_labels(series: XySeries, labels: Sequence[Label]) -> None:
    """At the points of a series that is not drawn."""
    series.format.line.fill.background()
    series.marker.style = XL_MARKER_STYLE.NONE
    for place, one in enumerate(labels):
        label = series.points[place].data_label
        label.position = XL_LABEL_POSITION.BELOW if one.below else XL_LABEL_POSITION.ABOVE
        run = label.text_frame.paragraphs[0].add_run()
        run.text = clean(one.text)
        run.font.size, run.font.name, run.font.color.rgb = Pt(12), FONT, color("--text")


def _add_points(data: XyChartData, name: str, xy: Sequence[tuple[float, float]]) -> None:
    series = data.add_series(name_of(name))
    for x, y in xy:
        series.add_data_point(x, y)


def _added(
    slide: Slide, kind: XL_CHART_TYPE, data: CategoryChartData | XyChartData, box: Box, text: str, points: float = 12
) -> Chart:
    frame = slide.shapes.add_chart(kind, *box.place(), data)
    describe(frame, text)
    chart: Chart = frame.chart
    chart.has_title = False
    chart.font.size, chart.font.name, chart.font.color.rgb = Pt(points), FONT, color("--text")
    return chart


def _add_legend(chart: Chart, hidden: Sequence[int] = ()) -> None:
    """Without the series at the places `hidden`."""
    chart.has_legend = True
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
    chart.legend.font.size = Pt(11)
    for place in reversed(hidden):
        xml = f'<c:legendEntry {nsdecls("c")}><c:idx val="{place}"/><c:delete val="1"/></c:legendEntry>'
        chart.legend._element.legendPos.addnext(parse_xml(xml))


def _mark(series: XySeries, one: Points) -> None:
    series.format.line.fill.background()
    ink, marker = color(one.color), series.marker
    marker.style, marker.size = MARKERS[one.symbol.removesuffix("-open")], one.size
    marker.format.line.color.rgb, marker.format.line.width = ink, Pt(THICK if "star" in one.symbol else THIN)
    marker.format.fill.solid()
    marker.format.fill.fore_color.rgb = tint(one.color) if one.symbol.endswith("-open") else ink
    if one.ends:
        _add_intervals(series, [y for _, y in one.xy], one.ends, "xVal", palette()[one.color])


def _draw(series: XySeries, one: Stroke) -> None:
    series.marker.style, series.smooth = XL_MARKER_STYLE.NONE, False
    series.format.line.color.rgb, series.format.line.width = color(one.color), Pt(THICK if one.dash == "solid" else THIN)
    series.format.line.dash_style = DASHES[one.dash]


def _scale(axis: Axis, span: Span) -> None:
    axis.minimum_scale, axis.maximum_scale, axis.major_unit = span.low, span.high, span.step
    axis.reverse_order, axis.has_major_gridlines = span.reversed, True
    axis.major_gridlines.format.line.color.rgb = color("--rule")
    axis.format.line.fill.background()
    axis.major_tick_mark = axis.minor_tick_mark = XL_TICK_MARK.NONE
    axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "General", False
    _entitle(axis, span.title)


def _log(axis: Axis, span: Span) -> None:
    axis.minimum_scale, axis.maximum_scale = span.low, span.high
    axis._element.scaling.insert(0, parse_xml(f'<c:logBase {nsdecls("c")} val="10"/>'))
    axis.has_major_gridlines, axis.tick_label_position = False, XL_TICK_LABEL_POSITION.NONE
    axis.major_tick_mark = axis.minor_tick_mark = XL_TICK_MARK.NONE
    axis.format.line.color.rgb = color("--quiet")
    _entitle(axis, f"\n{span.title}")


def _entitle(axis: Axis, title: str) -> None:
    axis.has_title = True
    frame = axis.axis_title.text_frame
    for place, text in enumerate(title.split("\n")):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        run = paragraph.add_run()
        run.text = clean(text)
        run.font.size, run.font.bold, run.font.name, run.font.color.rgb = Pt(12), False, FONT, color("--quiet")


def _add_intervals(
    series: BarSeries | XySeries, values: Sequence[float], ends: Sequence[tuple[float, float]], before: str, ink: str
) -> None:
    """Error bars, for which python-pptx has no words. They stand before the element `before` of the series."""
    above = _literals([high - value for value, (_, high) in zip(values, ends, strict=True)])
    below = _literals([value - low for value, (low, _) in zip(values, ends, strict=True)])
    direction = '<c:errDir val="y"/>' if before == "xVal" else ""
    xml = (
        f'<c:errBars {nsdecls("c", "a")}>{direction}<c:errBarType val="both"/><c:errValType val="cust"/><c:noEndCap val="1"/>'
        f'<c:plus>{above}</c:plus><c:minus>{below}</c:minus><c:spPr><a:ln w="{Pt(THIN)}"><a:solidFill><a:srgbClr val="{ink}"/>'
        "</a:solidFill></a:ln></c:spPr></c:errBars>"
    )
    series._element.find(qn(f"c:{before}")).addprevious(parse_xml(xml))


def _literals(amounts: Sequence[float]) -> str:
    points = "".join(f'<c:pt idx="{place}"><c:v>{amount!r}</c:v></c:pt>' for place, amount in enumerate(map(float, amounts)))
    return f'<c:numLit><c:formatCode>General</c:formatCode><c:ptCount val="{len(amounts)}"/>{points}</c:numLit>'
