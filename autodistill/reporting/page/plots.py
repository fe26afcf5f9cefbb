"""The contents of the two figures of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...study.record.rows import TrialRow
from .figure import COLORS, MARKS, figure, level, line, spot, trace
from .study import Study

Facts = dict[str, Any]
CROWD = {"dominated": "circle", "stopped": "circle-open", "outside": "diamond"}
NAMES = {"dominated": "dominated, validation", "stopped": "stopped early", "outside": "outside the region, validation"}


def frontier_figure(study: Study, target: float | None) -> Facts:
    """Accuracy against size: the frontier on validation and, once confirmed, on test, all trials, and baselines."""
    traces = _on_validation(study)
    teacher = study.teacher
    levels = [level(teacher.accuracy, "teacher, validation", split="validation", color="--teacher", dash="dot")]
    if study.confirmed is not None:
        traces += _on_test(study)
        share = study.confirmed.teacher.test.accuracy
        levels.append(level(share, "teacher, test", split="test", color="--teacher", dash="dot"))
    if target is not None:
        for split in ("validation", "test") if study.confirmed is not None else ("validation",):
            levels.append(level(target, f"target {target:.1%}", split=split, color="--bad", dash="dash"))
    return figure(traces, levels, near=None if study.region.everything else study.region.floor)


def _on_validation(study: Study) -> list[Facts | None]:
    latency = _latencies(study)
    spots = []
    for row in study.rows:
        cells, kind = row.columns(), row.role if row.role in ("teacher", "incumbent") else _kind(row)
        if kind == "stopped":
            cells["accuracy"] = cells["rung_accuracy"]
        if cells["accuracy"] is not None:
            note = "stopped at a rung" if kind == "stopped" else ""
            spots.append(spot(cells, role=row.role, kind=kind, seen=cells, latency=latency.get(row.stage), note=note))
    cells_of = [row.columns() for row in study.able]
    able = [spot(cells, role="", kind="", seen=cells, latency=latency.get(cells["stage"])) for cells in cells_of]
    split = "validation"
    crowd = [_crowd(spots, kind) for kind in CROWD]
    baselines = [_baseline(row, latency.get(row.stage)) for row in study.members if row.label_only is not None]
    return [
        *crowd,
        line(able, name="frontier, validation", split=split, color="--student"),
        _baselines(baselines, "label-only baselines, validation", split),
        *_members(spots, split, ""),
        _role([one for one in spots if one["kind"] == "incumbent"], "incumbent", "incumbent", split),
        _role([one for one in spots if one["kind"] == "teacher"], "teacher", "teacher, validation", split),
    ]


def _kind(row: TrialRow) -> str:
    if row.state == "stopped":
        return "stopped"
    return "dominated" if not row.frontier else "frontier" if row.inside else "outside"


def _latencies(study: Study) -> dict[str, float]:
    """Milliseconds of confirmed students, by the stage that was searched."""
    if study.confirmed is None:
        return {}
    known = [study.confirmed.teacher, *study.confirmed.members]
    return {one.stage: one.latency.one.p50_ms for one in known}


def _crowd(spots: Sequence[Facts], kind: str) -> Facts | None:
    chosen = [one for one in spots if one["kind"] == kind]
    return trace(chosen, name=NAMES[kind], split="validation", color="--muted", symbol=CROWD[kind], size=7, intervals=False)


def _baseline(row: TrialRow, latency: float | None) -> Facts:
    """Trained from labels, it is the same network and equally fast."""
    seen = {"accuracy": row.label_only}
    return spot(
        row.columns() | {"chain": ""},
        role="the same student trained from labels",
        kind="baseline",
        seen=seen,
        latency=latency,
    )


def _baselines(baselines: Sequence[Facts], name: str, split: str) -> Facts | None:
    """Without intervals: the bars in the figure are intervals over samples for one network each."""
    return trace(baselines, intervals=False, name=name, split=split, color="--labels", symbol="square-open", size=9)


def _members(spots: Sequence[Facts], split: str, end: str) -> list[Facts | None]:
    members = [one for one in spots if one["kind"] == "frontier"]
    return [
        _role([one for one in members if one["role"] == role], role, f"{role}{end or ', on the frontier'}", split)
        for role in ("student", "assistant", "label-only")
    ]


def _role(spots: Sequence[Facts], role: str, name: str, split: str) -> Facts | None:
    size = 17 if role == "teacher" else 11
    return trace(spots, name=name, split=split, color=COLORS[role], symbol=MARKS[role], size=size)


def _on_test(study: Study) -> list[Facts | None]:
    assert study.confirmed is not None
    teacher, members = study.confirmed.teacher.model_dump(), [one.model_dump() for one in study.confirmed.members]
    spots = [_tested(one, one["role"], "frontier" if one["on_frontier"] else "close to it") for one in members]
    baselines = [
        spot(
            {**one, "chain": ""},
            role="the same student trained from labels",
            kind="baseline",
            seen={"accuracy": baseline["mean"]},
            latency=one["latency"]["one"]["p50_ms"],
            note=f"mean over {baseline['n']} seeds",
        )
        for one in members
        if (baseline := one["baselines"]["label_only"])
    ]
    on_it = [one for one, member in zip(spots, members, strict=True) if member["on_frontier"]]
    near = [one for one, member in zip(spots, members, strict=True) if not member["on_frontier"]]
    return [
        trace(near, name="close to the frontier, test", split="test", color="--muted", symbol="diamond", size=8),
        line(on_it, name="frontier, test", split="test", color="--tested", dash="dash"),
        _baselines(baselines, "label-only baselines, test (mean over seeds)", "test"),
        trace(on_it, name="chosen weights, test", split="test", color="--tested", symbol="diamond", size=11),
        trace(
            [_tested(teacher, "teacher", "")],
            name="teacher, test",
            split="test",
            color="--teacher",
            symbol="star-diamond",
            size=15,
        ),
    ]


def _tested(one: Mapping[str, Any], role: str, note: str) -> Facts:
    latency = one["latency"]["one"]["p50_ms"]
    return spot(
        one, role=role, kind="frontier", seen=one["test"], latency=latency, note=", ".join(filter(None, [note, "test samples"]))
    )


def course_figure(course: Sequence[Mapping[str, Any]]) -> Facts:
    """The hypervolume over the trials that ended."""
    import plotly.graph_objects as go

    texts = [f"{one['value']:.3f} after {one['trials']} trials, {one['seconds'] / 60:.1f} minutes" for one in course]
    drawn = {
        "type": "scatter",
        "mode": "lines",
        "name": "hypervolume",
        "x": [one["trials"] for one in course],
        "y": [one["value"] for one in course],
        "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
        "line": {"shape": "hv", "width": 2},
        "meta": {"color": "--student", "split": "validation"},
    }
    layout = {
        "xaxis": {"title": {"text": "trials that ended"}, "automargin": True},
        "yaxis": {"title": {"text": "hypervolume"}, "automargin": True, "rangemode": "tozero"},
        "showlegend": False,
        "margin": {"l": 10, "r": 12, "t": 10, "b": 10},
    }
    checked = go.Figure(data=[drawn], layout=layout).to_plotly_json()
    return {"data": checked["data"], "layout": {k: v for k, v in checked["layout"].items() if k != "template"}, "levels": []}
