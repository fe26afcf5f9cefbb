"""The picture of a study: accuracy against size, the frontier, the teacher.

Equal rows give equal bytes: no date, no random ids, matplotlib's own defaults and its own font. Nothing of matplotlib's
global state is used or left changed (no pyplot, no backend).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..study.record.folder import replace
from ..study.record.rows import TrialRow

Floats = npt.NDArray[np.float64]

INCHES, DPI = (40 / 3, 7.5), 120  # a 16:9 slide, 1600 x 900 pixels
AXES = (0.075, 0.115, 0.905, 0.735)  # left, bottom, width, height as shares of the figure
SIZES = {"params": "parameters", "macs": "multiply-adds per sample", "bytes": "bytes"}
UNITS = {"params": "params", "macs": "MACs", "bytes": "bytes"}
MARKS = {"student": ("o", "#0072B2"), "assistant": ("^", "#D55E00"), "label-only": ("s", "#009E73")}
LINE, TEACHER, INCUMBENT = (
    "#56B4E9",
    "#CC79A7",
    "#000000",
)  # all from the palette of Okabe and Ito 2008, for every kind of color vision
WORSE = "#E69F00"
INK, GRAY, TEXT_GRAY = "#222222", "#8C8C8C", "#666666"
LEGEND: dict[str, Any] = {"fontsize": 14, "handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 1.4}
CLOSE, MANY = {"handlelength": 1.0, "handletextpad": 0.2, "columnspacing": 0.6}, 8
"""Tighter spacing for a legend with this many entries."""
CROWD = {
    "dominated": ("dominated", GRAY),
    "stopped": ("stopped early", "white"),
    "outside": ("outside the region", "#D0D0D0"),
}
DIRECTIONS = np.array([(x, y) for x in (-1, -0.5, 0, 0.5, 1) for y in (1, 0.5, 0, -0.5, -1) if 1 in (abs(x), abs(y))])
STYLE = {
    "svg.hashsalt": "autodistill",
    "font.size": 15,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
}


class Point(NamedTuple):
    """A mark: `size` in the unit of the x axis; accuracy and its interval in percent.

    `kind`: teacher, incumbent, frontier (in the region of interest), outside (on the frontier only), dominated or stopped.
    """

    size: float
    accuracy: float
    low: float
    high: float
    role: str
    kind: str
    architecture: str
    worse: bool = False  # than its label-only baseline

    @classmethod
    def of(cls, row: TrialRow, size: str) -> Point:
        """A complete row, or a stopped one at the accuracy of its last rung. `size`: params, macs or bytes, at least 1."""
        if row.is_complete:
            shares = (row.accuracy, *row.interval)
        else:
            assert row.origin is not None
            shares = (row.origin.rungs[-1][1],) * 3
        special = row.role in ("incumbent", "teacher")
        kind: str = row.role if special else "stopped" if row.state == "stopped" else "dominated"
        kind = ("frontier" if row.inside else "outside") if row.frontier else kind
        amount, worse = max(1, getattr(row.sizes, size)), bool(row.worse_than_label_only)
        accuracy, low, high = (100 * share for share in shares)
        return cls(float(amount), accuracy, low, high, row.role, kind, row.architecture, worse)


def draw(points: Sequence[Point], *, title: str, size: str = "params", floor: float | None = None, target: Path) -> None:
    """Writes target.png (1600 x 900) and target.svg, each whole or not at all.

    `size` names the unit of the points: params, macs or bytes. A line is drawn at the accuracy `floor`, at which the region of
    interest begins. Raises ValueError for a point that cannot be drawn.
    """
    from matplotlib import style

    if size not in SIZES:
        raise ValueError(f"size is {size!r}; choose one of {', '.join(SIZES)}")
    for number, point in enumerate(points):
        _check(point, size, number)
    with style.context(STYLE, after_reset=True):
        figure = _figure(points, title, size, floor)
        for kind in ("png", "svg"):
            replace(target.with_suffix(f".{kind}"), _render(figure, kind))


def _check(point: Point, size: str, number: int) -> None:
    if point.role not in (*MARKS, "incumbent", "teacher"):
        raise ValueError(f"point {number}: role is {point.role!r}; give one of {', '.join(MARKS)}, incumbent, teacher")
    if not 0 < point.size < float("inf"):
        raise ValueError(f"point {number}: {size} is {point.size!r}; a logarithmic axis needs a number above 0")
    if not all(0 <= value <= 100 for value in point[1:4]):
        raise ValueError(f"point {number}: accuracy, low and high are {list(point[1:4])}; give percentages from 0 to 100")


def _render(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _figure(points: Sequence[Point], title: str, size: str, floor: float | None) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes(AXES)
    figure.text(AXES[0], 0.945, _plain(title, 64, "bold"), fontsize=21, weight="bold", parse_math=False)
    members = sorted(point for point in points if point.kind == "frontier")
    teachers = sorted((point for point in points if point.kind == "teacher"), key=lambda point: point.accuracy)
    steps = _steps(members, teachers)
    _scale(axes, points, members, size)
    _draw_frontier(axes, members, steps)
    if floor is not None and members:
        _draw_floor(axes, 100 * floor)
    _draw_teachers(axes, teachers)
    incumbents = [point for point in points if point.kind == "incumbent"]
    _draw_incumbent(axes, incumbents)
    _draw_crowd(axes, points)
    _draw_labels(axes, members, [*incumbents, *teachers[-1:]], _obstacles(axes, points, steps), UNITS[size])
    if points:
        entries = len(axes.get_legend_handles_labels()[1])
        style = LEGEND if entries < MANY else LEGEND | CLOSE
        figure.legend(loc="lower left", bbox_to_anchor=(AXES[0] - 0.014, 0.868), ncols=entries, frameon=False, **style)
    else:
        axes.text(0.5, 0.5, "no trials yet", transform=axes.transAxes, ha="center", fontsize=20)
    return figure


def _scale(axes: Any, points: Sequence[Point], members: Sequence[Point], size: str) -> None:
    """Limits and ticks: all sizes, but only the accuracies that the frontier and the teacher need."""
    left, right = _size_limits([point.size for point in points] or [1e3, 1e6])
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_xticks(ticks := size_ticks(left, right), labels=[short(tick) for tick in ticks])
    axes.minorticks_off()
    bottom, top = _accuracy_limits(points, members)
    axes.set_ylim(bottom, top)
    axes.spines.left.set_bounds(bottom, min(top, 100))
    axes.set_yticks([tick for tick in axes.get_yticks() if max(bottom, 0) <= tick <= min(top, 100)])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel(f"{SIZES[size]} (logarithmic)", labelpad=8)
    axes.set_ylabel("validation accuracy in %" + " (bars: 95 % interval)" * bool(members), labelpad=8)


def _size_limits(sizes: Sequence[float]) -> tuple[float, float]:
    """The sizes with a margin on both sides, at least a factor of 6 apart."""
    low, high = np.log10(min(sizes)), np.log10(max(sizes))
    margin = max(0.07 * (high - low), (np.log10(6) - (high - low)) / 2)
    return float(10 ** (low - margin)), float(10 ** (high + margin))


def _accuracy_limits(points: Sequence[Point], members: Sequence[Point]) -> tuple[float, float]:
    """From a bit below the lowest member of the frontier or teacher; room for a label above the best."""
    seen = [point for point in points if point.kind in ("frontier", "incumbent", "teacher")] if members else points
    low = min((min(point.low, point.accuracy) for point in seen), default=0.0)
    high = max((max(point.high, point.accuracy) for point in points), default=100.0)
    span = max(high - low, 4.0)
    return low - 0.13 * span, high + 0.16 * span


def size_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high: powers of ten, and numbers in between if these are fewer than four."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for between in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [step * 10.0**power for power in powers for step in between if low <= step * 10.0**power <= high]
        if len(ticks) >= 4:
            break
    return ticks


def short(amount: float) -> str:
    """Three digits and a unit: 399, 19.8k, 1M."""
    for power, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= 0.9995 * power:
            return f"{amount / power:.3g}{unit}"
    return f"{amount:.3g}"


def _plain(text: str, limit: int, weight: str = "normal") -> str:
    """One line of at most `limit` characters, with ? for those that the font does not have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(weight=weight)))
    line = "".join(letter if font.get_char_index(ord(letter)) else "?" for letter in " ".join(text.split()))
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    return (cut[: cut.rfind(" ")] if cut.rfind(" ") > limit // 2 else cut).rstrip() + "…"


def _steps(members: Sequence[Point], teachers: Sequence[Point]) -> Floats:
    """(k, 2) corners of the best accuracy at no more than a size, from the smallest member to the teacher's size."""
    if not members:
        return np.empty((0, 2))
    sizes = [point.size for point in members]
    end = max([sizes[-1], *(point.size for point in teachers)])
    best = np.maximum.accumulate([point.accuracy for point in members])
    return np.column_stack([np.repeat([*sizes, end], 2)[1:-1], np.repeat(best, 2)])


def _draw_frontier(axes: Any, members: Sequence[Point], steps: Floats) -> None:
    area = float(np.clip(3000 / max(len(members), 1), 75, 130))
    for role, (marker, color) in MARKS.items():
        if chosen := [point for point in members if point.role == role]:
            sizes, accuracies = [point.size for point in chosen], [point.accuracy for point in chosen]
            ends = [point.low for point in chosen], [point.high for point in chosen]
            axes.vlines(sizes, *ends, color=color, linewidth=1.6, alpha=0.65, zorder=4)
            style = {"marker": marker, "color": color, "edgecolor": "white", "linewidth": 1.2}
            axes.scatter(sizes, accuracies, s=area, zorder=6, label=role, **style)
    if worse := [(point.size, point.accuracy) for point in members if point.worse]:
        style = {"facecolor": "none", "edgecolor": WORSE, "linewidth": 2.2, "label": "worse than label-only"}
        axes.scatter(*zip(*worse, strict=True), s=2.6 * area, zorder=5.5, **style)
    if len(steps):
        axes.plot(*steps.T, color=LINE, linewidth=2.2, zorder=3, label="frontier", solid_joinstyle="miter")


def _draw_teachers(axes: Any, teachers: Sequence[Point]) -> None:
    for number, point in enumerate(teachers):
        axes.axhline(point.accuracy, color=TEACHER, linestyle=":", linewidth=2, zorder=2)
        style = {"marker": "*", "color": TEACHER, "edgecolor": "white", "label": None if number else "teacher"}
        axes.scatter(point.size, point.accuracy, s=480, zorder=7, **style)


def _draw_floor(axes: Any, floor: float) -> None:
    """Where the region of interest begins."""
    axes.axhline(floor, color=GRAY, linewidth=1.2, zorder=1.5)
    place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "bottom", "zorder": 1.5}
    axes.text(0.998, floor, "region of interest", color=TEXT_GRAY, fontsize=13, **place)


def _draw_incumbent(axes: Any, incumbents: Sequence[Point]) -> None:
    for point in incumbents:
        axes.vlines(point.size, point.low, point.high, color=INCUMBENT, linewidth=1.6, alpha=0.65, zorder=4)
        style = {"marker": "D", "facecolor": "none", "edgecolor": INCUMBENT, "linewidth": 2.2, "label": "incumbent"}
        axes.scatter(point.size, point.accuracy, s=95, zorder=6.5, **style)


def _draw_crowd(axes: Any, points: Sequence[Point]) -> None:
    """The trials that are not on the frontier; those below the picture are marked on its lower edge and counted."""
    bottom = axes.get_ylim()[0]
    crowd = [point for point in points if point.kind in CROWD and point.accuracy >= bottom]
    for kind, (label, face) in CROWD.items():
        if chosen := [(point.size, point.accuracy) for point in crowd if point.kind == kind]:
            style = {"facecolor": face, "edgecolor": GRAY, "alpha": 0.75, "label": label}
            axes.scatter(*zip(*chosen, strict=True), s=34 if len(crowd) < 100 else 20, zorder=2.5, **style)
    if below := [point.size for point in points if point.accuracy < bottom]:
        edge = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        axes.scatter(below, [0.0] * len(below), s=40, marker="v", color=GRAY, **edge)
        axes.figure.text(AXES[0] + AXES[2], 0.03, f"▾ {len(below)} below", color=TEXT_GRAY, fontsize=14, ha="right")


def _obstacles(axes: Any, points: Sequence[Point], steps: Floats) -> Floats:
    """(k, 3) pixel positions that a label should not cover, and how bad it is: marks, bars and the line of steps."""
    spots = [(point.size, point.accuracy, 1.0 if point.kind in CROWD else 20.0) for point in points]
    shown = [point for point in points if point.kind in ("frontier", "incumbent", "teacher")]
    spots += [(point.size, y, 2.0) for point in shown for y in np.linspace(point.low, point.high, 12)]
    for (x, y), (to_x, to_y) in zip(steps[:-1], steps[1:], strict=True):
        spots += [(*spot, 3.0) for spot in zip(np.geomspace(x, to_x, 40), np.linspace(y, to_y, 40), strict=True)]
    left, right = axes.get_xlim()
    lines = [point.accuracy for point in points if point.kind == "teacher"]
    spots += [(x, accuracy, 0.5) for accuracy in lines for x in np.geomspace(left, right, 200)]
    table = np.array(spots, dtype=np.float64).reshape(-1, 3)
    table[:, :2] = axes.transData.transform(table[:, :2])
    return table


def _draw_labels(axes: Any, members: Sequence[Point], named: Sequence[Point], obstacles: Floats, unit: str) -> None:
    """Labels the named points and both ends of the frontier, each where the label covers least."""
    ends = [members[-1], members[0]] if len(members) > 1 else members
    for point in [*named, *ends]:
        name = _plain(point.architecture, 34)
        name = f"{point.kind}: {name}" if point.kind != "frontier" else name
        text = f"{name}\n{short(point.size)} {unit}, {point.accuracy:.1f} %"
        anchor = axes.transData.transform((point.size, point.accuracy))
        box = _place(axes, text, anchor, obstacles)
        _write(axes, text, anchor, box)
        grid = np.stack(np.meshgrid(*np.linspace(box[0], box[1], 12).T), axis=-1).reshape(-1, 2)
        obstacles = np.vstack([obstacles, np.column_stack([grid, np.full(len(grid), 50.0)])])


def _place(axes: Any, text: str, anchor: Floats, obstacles: Floats) -> Floats:
    """(2, 2) lower left and upper right corner in pixels of the best place for a text near the anchor."""
    half = _half_extent(axes, text)
    frame = axes.get_window_extent().get_points()
    best, least = np.empty((2, 2)), np.inf
    for gap in (16.0, 30.0, 50.0, 80.0, 120.0, 170.0):
        for direction in DIRECTIONS:
            center = anchor + direction * (half + gap)
            box = np.stack([center - half, center + half])
            near = ((obstacles[:, :2] > box[0] - 6) & (obstacles[:, :2] < box[1] + 6)).all(axis=1)
            outside = np.maximum(frame[0] + 4 - box[0], 0).sum() + np.maximum(box[1] - frame[1] + 4, 0).sum()
            if (bad := obstacles[near, 2].sum() + 10 * outside + gap / 20) < least:
                best, least = box, bad
    return best


def _half_extent(axes: Any, text: str) -> Floats:
    """(2,) half the width and height of a text in pixels."""
    probe = axes.figure.text(0, 0, text, fontsize=14, parse_math=False)
    extent = probe.get_window_extent()
    probe.remove()
    return np.array([extent.width, extent.height]) / 2


def _write(axes: Any, text: str, anchor: Floats, box: Floats) -> None:
    offset = (box.mean(axis=0) - anchor) * 72 / DPI
    far = np.abs(np.clip(anchor, box[0], box[1]) - anchor).max() > 24
    axes.annotate(
        text,
        axes.transData.inverted().transform(anchor),
        offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=14,
        zorder=8,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
        arrowprops={"arrowstyle": "-", "color": TEXT_GRAY, "linewidth": 1, "shrinkA": 2, "shrinkB": 7} if far else None,
    )
