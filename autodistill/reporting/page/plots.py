"""The interactive figures: plain plotly figures, whose colors are names of CSS variables.

A trace's `meta` holds its x by axis (params, macs, bytes, latency_ms; and y, if that depends on the axis), the `split` of its
values, and its `color`: page.js inserts the selected ones. All text is escaped, because plotly interprets tags in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from ...metrics.metric import ACCURACY, Metric
from ...metrics.words import axis_title, of_teacher, on_axis, scaled
from ...spec.measurement import Score, Sizes
from ...spec.value import Json
from ..marks import AXES, CROWD, LOOKS, MEMBERS, Mark, View, best, places, view
from ..picture import short, size_ticks
from .finalists import Finalist, finalists, the_teacher
from .references import reference_rows
from .study import Study

NEAR = 0.9
"""The share of the teacher's metric at which the part near the teacher starts."""
BEYOND = 1.5
"""How far numbers of an axis go beyond the marks, as a factor."""
ROOM = 0.05
"""Space above the best value, as a share of the axis."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A horizontal line at a value in the units of the axis, with its name."""

    value: float
    text: str
    split: str
    color: str
    dash: str


class Ticks(NamedTuple):
    """Where an axis has numbers, and how people read them: 1k, 10k."""

    values: Sequence[float]
    texts: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure as plotly.js takes it, checked by plotly; `levels` are for page.js."""

    data: Sequence[Json]
    layout: Json
    levels: Sequence[Level] = ()


@dataclass(frozen=True, kw_only=True)
class FrontierFigure(Figure):
    """A metric against size. When it shows the part near the teacher, the axis goes from `near` to the better end `top`, in
    the units of the axis; `range` is what it shows at first, `near` or `all`. `titles` and `ticks` are those of the axes of
    sizes, `known` the axes with a mark.
    """

    near: float
    top: float
    near_name: str
    range: str
    titles: Mapping[str, str]
    ticks: Mapping[str, Ticks]
    known: Sequence[str]
    splits: Sequence[str]


def mark(one: Finalist, seen: Score, *, latency: float | None, note: str) -> Mark:
    """A finalist, or the teacher, with its value and interval as `seen` on one split."""
    sizes, metric = Sizes.of(one), one.metric
    return Mark(
        metric=metric,
        role=one.role,
        kind="frontier",
        architecture=one.architecture,
        chain=one.chain,
        sizes=sizes,
        x=places(sizes, latency),
        value=scaled(metric, seen.value),
        low=scaled(metric, seen.low),
        high=scaled(metric, seen.high),
        note=note,
    )


def _text(one: Mark) -> str:
    low, high = (on_axis(one.metric, end) for end in (one.low, one.high))
    interval = "" if one.low == one.high else f" ({low} to {high})"
    name = "" if one.metric == ACCURACY else f"{one.metric.label} "
    latency, chain = one.x["latency_ms"], one.chain
    lines = [
        one.role + (f", {one.note}" if one.note else ""),
        f"{name}{one.text}{interval}",
        one.sizes.text(),
        *([] if latency is None else [f"{latency:.3g} ms per sample"]),
        *([f"chain: {chain}"] if " > " in chain else []),
    ]
    return "<br>".join([f"<b>{escape(one.architecture)}</b>", *map(escape, lines)])


def trace(
    marks: Sequence[Mark], *, name: str, split: str, color: str, symbol: str, size: float = 11, intervals: bool = True
) -> Json:
    """Marks of one kind, with bars at their intervals unless told otherwise."""
    above, below = [one.high - one.value for one in marks], [one.value - one.low for one in marks]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "width": 0, "thickness": 1.5}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [one.x["params"] for one in marks],
        "y": [one.value for one in marks],
        "hovertext": [_text(one) for one in marks],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {"symbol": symbol, "size": size, "line": {"width": 1.5}},
        "meta": {"x": {axis: [one.x[axis] for one in marks] for axis in AXES}, "split": split, "color": color},
        **({"error_y": bars} if intervals else {}),
    }


def line(marks: Sequence[Mark], *, name: str, split: str, color: str, dash: str = "solid") -> Json:
    """The best value up to each size, separately for each axis."""
    found = {axis: best(marks, axis) for axis in AXES}
    xs = {axis: [one.x[axis] for one in members] for axis, members in found.items()}
    ys = {axis: [one.value for one in members] for axis, members in found.items()}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(name),
        "x": xs["params"],
        "y": ys["params"],
        "hoverinfo": "skip",
        "line": {"shape": "hv", "width": 2, "dash": dash},
        "meta": {"x": xs, "y": ys, "split": split, "color": color},
    }


def figure(metric: Metric, traces: Sequence[Json], levels: Sequence[Level], near: float | None = None) -> FrontierFigure:
    """The figure of all traces that have marks, with the better end on top. `near` is where the part near the teacher starts,
    in the units of the axis: by default, at NEAR of the first level. If it is given, the figure shows that part at first.
    """
    shown = [one for one in traces if one["x"]]
    yaxis = {"title": f"{axis_title(metric)} (bars: 95% interval)"} | ({} if metric.higher else {"autorange": "reversed"})
    axes = {"xaxis": {"type": "log", "title": AXES["params"].long}, "yaxis": yaxis}
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
    drawn = _checked(shown, **axes, legend=legend, hovermode="closest")
    start = metric.keeping(levels[0].value, NEAR) if near is None else near
    return FrontierFigure(
        **drawn,
        levels=levels,
        near=start,
        top=_top(metric, shown, levels, start),
        near_name=_near_name(metric) if near is None else "region of interest",
        range="all" if near is None else "near",
        titles={name: axis.long for name, axis in AXES.items()},
        known=[axis for axis in AXES if _is_known(axis, [one["meta"]["x"] for one in shown])],
        ticks={axis: _ticks([x for one in shown for x in one["meta"]["x"][axis] if x is not None]) for axis in AXES},
        splits=sorted({one["meta"]["split"] for one in shown}, reverse=True),
    )


def _ticks(sizes: Sequence[float]) -> Ticks:
    """From a bit below the smallest to a bit above the largest size."""
    found = size_ticks(min(sizes) / BEYOND, BEYOND * max(sizes)) if sizes else []
    return Ticks(found, [short(one) for one in found])


def _is_known(axis: str, xs: Sequence[Mapping[str, Sequence[float | None]]]) -> bool:
    """Whether an axis has marks; that of `core_params` only counts if there are embeddings."""
    if axis == "core_params" and all(one[axis] == one["params"] for one in xs):
        return False
    return any(x is not None for one in xs for x in one[axis])


def _near_name(metric: Metric) -> str:
    """The name of the part near the teacher."""
    return f"{'from ' if metric.higher else ''}{of_teacher(metric, NEAR)}"


def _top(metric: Metric, shown: Sequence[Json], levels: Sequence[Level], near: float) -> float:
    """Where the axis ends: beyond the best value with its interval, but hardly beyond the best possible one."""
    ends = [level.value for level in levels]
    for one in shown:
        bars = one.get("error_y", {}).get("array" if metric.higher else "arrayminus", [0.0] * len(one["y"]))
        ends += [y + bar if metric.higher else y - bar for y, bar in zip(one["y"], bars, strict=True)]
    best = max(ends) if metric.higher else min(ends)
    top = best + ROOM * (best - near)
    return min(top, scaled(metric, metric.high) + scaled(metric, 0.005)) if metric.higher else top


def _checked(traces: Sequence[Json], **layout: Any) -> Json:
    """`data` and `layout` of a figure. Raises ValueError for what plotly.js does not take."""
    import plotly.graph_objects as go

    drawn = go.Figure(data=traces, layout={**layout, "margin": {"l": 10, "r": 12, "t": 10, "b": 10}})
    found: Json = drawn.update_xaxes(automargin=True).update_yaxes(automargin=True).to_plotly_json()
    del found["layout"]["template"]
    return found


def frontier_figure(study: Study, target: float | None) -> FrontierFigure:
    """A metric against size: the frontier on validation and, once confirmed, on test, all trials, and baselines."""
    found = view(study.spec, study.summary, _latencies(study))
    metric, values = study.metric, {"validation": study.teacher.value}
    traces = _on_validation(study, found)
    if study.confirmed is not None:
        traces += _on_test(study)
        values["test"] = study.confirmed.teacher.on_test.value
    levels = [
        Level(value=scaled(metric, value), text=f"teacher, {split}", split=split, color="--teacher", dash="dot")
        for split, value in values.items()
    ]
    levels += _references(study, list(values))
    if target is not None:
        line_at = scaled(metric, target), f"target {on_axis(metric, scaled(metric, target))}" + "%" * metric.percent
        levels += [Level(value=line_at[0], text=line_at[1], split=split, color="--bad", dash="dash") for split in values]
    return figure(metric, traces, levels, near=None if found.floor is None else _near(study, found.floor))


def _near(study: Study, floor: float) -> float:
    """Where the region of interest begins or, if it is worse, the worst end of an interval of a finalist in the region."""
    metric = study.metric
    seen = [score for one in finalists(study) if one.inside for score in (one.on_validation, one.on_test) if score is not None]
    ends = [floor, *(scaled(metric, score.low if metric.higher else score.high) for score in seen)]
    return min(ends) if metric.higher else max(ends)


def _references(study: Study, splits: Sequence[str]) -> list[Level]:
    """The lines of reference models on these splits, as far as they are measured there."""
    known = [(one, split, one.on(split)) for one in reference_rows(study) for split in splits]
    how = {"color": "--warn", "dash": "longdash"}
    return [
        Level(value=scaled(study.metric, score.value), text=f"{one.label}, {split}", split=split, **how)
        for one, split, score in known
        if score is not None
    ]


def _latencies(study: Study) -> dict[str, float]:
    """Milliseconds of confirmed students, by the stage that was searched."""
    if study.confirmed is None:
        return {}
    known = [study.confirmed.teacher, *study.confirmed.members]
    return {one.stage: one.latency.one.p50_ms for one in known}


def _on_validation(study: Study, found: View) -> list[Json]:
    latency = _latencies(study)
    baselines = [
        Mark.of(row, latency.get(row.stage)).baseline(row.label_only) for row in study.members if row.label_only is not None
    ]
    return [
        *(_looking(found, look, size=7, intervals=False) for look in CROWD),
        line(found.able, name="frontier, validation", split="validation", color="--student"),
        _baselines(baselines, "label-only baselines, validation", "validation"),
        *(_looking(found, look) for look in (*MEMBERS, "incumbent")),
        _looking(found, "teacher", size=17),
    ]


def _looking(found: View, name: str, *, size: float = 11, intervals: bool = True) -> Json:
    look, marks = LOOKS[name], [one for one in found.marks if one.look == name]
    known = {"name": look.long, "color": look.color, "symbol": look.symbol}
    return trace(marks, split="validation", size=size, intervals=intervals, **known)


def _baselines(baselines: Sequence[Mark], name: str, split: str) -> Json:
    """Without intervals: the bars in the figure are intervals over samples for one network each."""
    return trace(baselines, intervals=False, name=name, split=split, color="--labels", symbol="square-open", size=9)


def _on_test(study: Study) -> list[Json]:
    members = finalists(study)
    marks = [_tested(one, "frontier" if one.on_frontier else "close to it") for one in members]
    pairs = list(zip(marks, members, strict=True))
    baselines = [
        mark.baseline(gain.baseline, f"mean over {gain.n} seeds") for mark, one in pairs if (gain := one.gains.label_only)
    ]
    chosen, near = ([mark for mark, one in pairs if one.on_frontier is which] for which in (True, False))
    top = [_tested(the_teacher(study), "")]
    return [
        trace(near, name="close to the frontier, test", split="test", color="--muted", symbol="diamond", size=8),
        line(chosen, name="frontier, test", split="test", color="--tested", dash="dash"),
        _baselines(baselines, "label-only baselines, test (mean over seeds)", "test"),
        trace(chosen, name="chosen weights, test", split="test", color="--tested", symbol="diamond", size=11),
        trace(top, name="teacher, test", split="test", color="--teacher", symbol="star-diamond", size=15),
    ]


def _tested(one: Finalist, note: str) -> Mark:
    assert one.on_test is not None and one.latency is not None, "only confirmed networks are drawn on test"
    notes = ", ".join(filter(None, [note, "test samples"]))
    return mark(one, one.on_test, latency=one.latency.one.p50_ms, note=notes)
