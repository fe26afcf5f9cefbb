"""The interactive figures: plain plotly figures, whose colors are names of CSS variables.

A trace's `meta` holds its x by axis (params, macs, bytes, latency_ms; and y, if that depends on the axis), the `split` of its
accuracies, and its `color`: page.js inserts the selected ones. All text is escaped, because plotly interprets tags in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ...study import pareto

Facts = dict[str, Any]
AXES = {
    "params": "parameters",
    "macs": "multiply-adds (MACs) per sample",
    "bytes": "bytes (float32)",
    "latency_ms": "milliseconds for one sample (median)",
}
NEAR = 0.9
MARKS = {
    "student": "circle",
    "assistant": "triangle-up",
    "label-only": "square",
    "incumbent": "diamond-open",
    "teacher": "star",
}
COLORS = {
    "student": "--student",
    "assistant": "--assistant",
    "label-only": "--labels",
    "incumbent": "--text",
    "teacher": "--teacher",
}


def spot(
    row: Mapping[str, Any], *, role: str, kind: str, seen: Mapping[str, Any], latency: float | None = None, note: str = ""
) -> Facts:
    """One mark: a network, with its accuracy and interval as `seen` on one split. `kind` is frontier, outside, dominated,
    stopped, teacher, incumbent or baseline.
    """
    sizes = {name: max(1, row[name]) for name in ("params", "macs", "bytes")}
    return {
        "role": role,
        "kind": kind,
        **sizes,
        "latency_ms": latency,
        **_shares(seen),
        "text": _text(row, role, seen, latency, note),
    }


def _shares(seen: Mapping[str, Any]) -> Facts:
    return {name: None if seen.get(name) is None else 100 * seen[name] for name in ("accuracy", "low", "high")}


def _text(row: Mapping[str, Any], role: str, seen: Mapping[str, Any], latency: float | None, note: str) -> str:
    lines = [f"<b>{escape(row['architecture'])}</b>", escape(role + (f", {note}" if note else ""))]
    interval = "" if seen.get("low") is None else f" ({100 * seen['low']:.1f} to {100 * seen['high']:.1f})"
    lines.append(f"{100 * seen['accuracy']:.1f} %{interval}")
    lines.append(f"{row['params']:,} params, {row['macs']:,} MACs, {row['bytes']:,} bytes")
    lines += [f"{latency:.3g} ms per sample"] if latency is not None else []
    chain = str(row.get("chain", ""))
    lines += [f"chain: {escape(chain)}"] if " > " in chain else []
    return "<br>".join(lines)


def trace(
    spots: Sequence[Facts],
    *,
    name: str,
    split: str,
    color: str,
    symbol: str,
    size: float = 11,
    intervals: bool = True,
    **options: Any,
) -> Facts | None:
    """Marks of one kind, with their intervals if these are known; None if there are no marks."""
    if not spots:
        return None
    xs = {axis: [one[axis] for one in spots] for axis in AXES}
    error: Facts = {}
    if intervals and any(one["low"] is not None for one in spots):
        above = [(one["high"] or one["accuracy"]) - one["accuracy"] for one in spots]
        below = [one["accuracy"] - (one["low"] or one["accuracy"]) for one in spots]
        error = {
            "error_y": {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "width": 0, "thickness": 1.5}
        }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": xs["params"],
        "y": [one["accuracy"] for one in spots],
        "hovertext": [one["text"] for one in spots],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {"symbol": symbol, "size": size, "line": {"width": 1.5}},
        "meta": {"x": xs, "split": split, "color": color},
        **error,
        **options,
    }


def line(spots: Sequence[Facts], *, name: str, split: str, color: str, dash: str = "solid") -> Facts | None:
    """The best accuracy up to each size, separately for each axis."""
    found: dict[str, list[Facts]] = {}
    for axis in AXES:
        known = [one for one in spots if one[axis] is not None]
        table = np.array([[-one["accuracy"], one[axis]] for one in known]).reshape(-1, 2)
        found[axis] = [known[index] for index in pareto.frontier(table)]
    if not found["params"]:
        return None
    xs = {axis: [one[axis] for one in members] for axis, members in found.items()}
    ys = {axis: [one["accuracy"] for one in members] for axis, members in found.items()}
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


def level(value: float, text: str, *, split: str, color: str, dash: str) -> Facts:
    """A horizontal line at an accuracy, with its name."""
    return {"value": 100 * value, "text": escape(text), "split": split, "color": color, "dash": dash}


def figure(traces: Sequence[Facts | None], levels: Sequence[Facts], near: float | None = None) -> Facts:
    """A figure as plotly.js takes it, checked by plotly; `levels`, `axes` and `near` are for page.js.

    `near` is the accuracy (0 to 1) at which the figure starts when it shows the part near the teacher: NEAR times the first
    level by default. If `near` is given, the figure shows that part at first.
    """
    import plotly.graph_objects as go

    shown = [one for one in traces if one is not None]
    layout = {
        "xaxis": {"type": "log", "title": {"text": AXES["params"]}, "automargin": True},
        "yaxis": {"title": {"text": "accuracy in % (bars: 95 % interval)"}, "automargin": True},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 10, "r": 12, "t": 10, "b": 10},
        "hovermode": "closest",
    }
    known = {axis for one in shown for axis, values in one["meta"]["x"].items() if any(value is not None for value in values)}
    checked = go.Figure(data=shown, layout=layout).to_plotly_json()
    return {
        "data": checked["data"],
        "layout": {name: value for name, value in checked["layout"].items() if name != "template"},
        "levels": list(levels),
        "near": NEAR * levels[0]["value"] if near is None else 100 * near,
        "near_name": f"from {NEAR:.0%} of the teacher's accuracy" if near is None else "region of interest",
        "range": "all" if near is None else "near",
        "axes": {name: {"title": text, "known": name in known} for name, text in AXES.items()},
        "splits": sorted({one["meta"]["split"] for one in shown}, reverse=True),
    }
