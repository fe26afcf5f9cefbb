"""The picture of a study, drawn with matplotlib: a metric against size, the frontier, the teacher.

Equal marks give equal bytes: no date, no random ids, matplotlib's own defaults and its own font. Nothing of matplotlib's
global state is used or left changed (no pyplot, no backend).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics.metric import Metric
from ..metrics.words import axis_title, scaled
from ..spec.arrays import Floats
from ..spec.search import SIZES
from ..study.record.directory import replace
from .marks import AXES, CROWD, LOOKS, MEMBERS, Mark, View, best

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = dict[str, Any]
"""Arguments of matplotlib."""

INCHES, DPI = (40 / 3, 7.5), 120  # a 16:9 slide, 1600 x 900 pixels
FRAME = (0.075, 0.115, 0.905, 0.735)
"""Left, bottom, width, and height of the axes, as shares of the figure."""
LINE, WORSE, REFERENCE = "#56B4E9", "#E69F00", "#8A5300"
INK, GRAY, TEXT_GRAY = "#222222", "#8C8C8C", "#666666"
LEGEND: Style = {"fontsize": 14, "handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 1.4}
CLOSE, MANY = {"handlelength": 1.0, "handletextpad": 0.2, "columnspacing": 0.6}, 8
"""Tighter spacing for a legend with this many entries."""
ABOVE = 0.06
"""The height of the name of a reference model, as a share of the picture."""
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


def draw(found: View, *, title: str, target: Path) -> None:
    """Writes target.png (1600 x 900) and target.svg, each whole or not at all: the frontier, the teacher, and all other trials.

    Raises ValueError for a mark that cannot be drawn.
    """
    from matplotlib import style

    if found.size not in SIZES:
        raise ValueError(f"size is {found.size!r}; choose one of {', '.join(SIZES)}")
    for number, mark in enumerate(found.marks):
        _check(mark, found.size, number)
    with style.context(STYLE, after_reset=True):
        save(_figure(found, title), target)


def _check(mark: Mark, size: str, number: int) -> None:
    amount, values = mark.x[size], _ends(mark)
    least, most = _bounds(mark.metric)
    if mark.role not in (*MEMBERS, "incumbent", "teacher"):
        raise ValueError(f"point {number}: role is {mark.role!r}; give one of {', '.join(MEMBERS)}, incumbent, teacher")
    if amount is None or not 0 < amount < float("inf"):
        raise ValueError(f"point {number}: {size} is {amount!r}; a logarithmic axis needs a number above 0")
    if not all(least <= value <= most and isfinite(value) for value in values):
        unit = "percentages" if mark.metric.percent else "finite values"
        raise ValueError(
            f"point {number}: {mark.metric.label}, low, and high are {values}; give {unit} from {least:g} to {most:g}"
        )


def _bounds(metric: Metric) -> tuple[float, float]:
    """The smallest and the largest possible value, in the units of the axis."""
    return scaled(metric, metric.low), scaled(metric, metric.high)


def save(figure: Figure, target: Path) -> None:
    """Writes target.png and target.svg, each whole or not at all."""
    for kind, metadata in (("png", None), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
        replace(target.with_suffix(f".{kind}"), buffer.getvalue())


def _figure(found: View, title: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes(FRAME)
    figure.text(FRAME[0], 0.945, _plain(title, 64, "bold"), fontsize=21, weight="bold", parse_math=False)
    steps = _steps(found)
    _scale(axes, found)
    _draw_frontier(axes, found, steps)
    _draw_teachers(axes, found)
    _draw_references(axes, found)
    _draw_incumbent(axes, found)
    _draw_crowd(axes, found)
    _draw_labels(axes, found, _obstacles(axes, found, steps))
    if found.marks:
        entries = len(axes.get_legend_handles_labels()[1])
        style = LEGEND if entries < MANY else LEGEND | CLOSE
        figure.legend(loc="lower left", bbox_to_anchor=(FRAME[0] - 0.014, 0.868), ncols=entries, frameon=False, **style)
    else:
        axes.text(0.5, 0.5, "no trials yet", transform=axes.transAxes, ha="center", fontsize=20)
    return figure


def _scale(axes: Axes, found: View) -> None:
    """Limits and ticks: all sizes, but only the values that the frontier and the teacher need. The better end is on top."""
    left, right = _size_limits([found.at(mark) for mark in found.marks] or [1e3, 1e6])
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_xticks(ticks := size_ticks(left, right), labels=[short(tick) for tick in ticks])
    axes.minorticks_off()
    bottom, top = _limits(found)
    axes.set_ylim(bottom, top)
    ends = sorted(float(end) for end in np.clip((bottom, top), *_bounds(found.metric)))
    axes.spines.left.set_bounds(bottom, ends[found.metric.higher])
    axes.set_yticks([tick for tick in axes.get_yticks() if ends[0] <= tick <= ends[1]])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel(f"{AXES[found.size].title} (logarithmic)", labelpad=8)
    title = f"validation {axis_title(found.metric)}"
    axes.set_ylabel(title + " (bars: 95% interval)" * bool(found.of("frontier")), labelpad=8)


def _size_limits(sizes: Sequence[float]) -> tuple[float, float]:
    """The sizes with a margin on both sides, at least a factor of 6 apart."""
    low, high = np.log10(min(sizes)), np.log10(max(sizes))
    margin = max(0.07 * (high - low), (np.log10(6) - (high - low)) / 2)
    return float(10 ** (low - margin)), float(10 ** (high + margin))


def _limits(found: View) -> tuple[float, float]:
    """From a bit below the worst member of the frontier or teacher; room for a label above the best."""
    height, seen = found.metric.height, _shown(found) if found.of("frontier") else found.marks
    none = height([0.0, scaled(found.metric, 1.0)])
    lines = [float(height(one.value)) for one in found.lines]
    low = min([*(float(height(_ends(mark)).min()) for mark in seen), *lines], default=float(none.min()))
    high = max([*(float(height(_ends(mark)).max()) for mark in found.marks), *lines], default=float(none.max()))
    least = 0.04 * max(abs(low), abs(high)) if found.metric.natural else scaled(found.metric, 0.04)
    span = max(high - low, least, 1e-300)
    return float(height(low - 0.13 * span)), float(height(high + 0.16 * span))


def _ends(mark: Mark) -> list[float]:
    return [mark.value, mark.low, mark.high]


def _shown(found: View) -> list[Mark]:
    """The marks that are drawn with their intervals."""
    return found.of("frontier", "incumbent", "teacher")


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


def _steps(found: View) -> Floats:
    """(k, 2) corners of the best accuracy at no more than a size, from the smallest member to the teacher's size."""
    members = best(found.of("frontier"), found.size)
    if not members:
        return np.empty((0, 2))
    sizes = [found.at(mark) for mark in members]
    end = max([sizes[-1], *(found.at(mark) for mark in found.of("teacher"))])
    return np.column_stack([np.repeat([*sizes, end], 2)[1:-1], np.repeat([mark.value for mark in members], 2)])


def _spots(found: View, marks: Sequence[Mark]) -> tuple[list[float], list[float]]:
    return [found.at(mark) for mark in marks], [mark.value for mark in marks]


def _draw_frontier(axes: Axes, found: View, steps: Floats) -> None:
    members = found.members()
    area = float(np.clip(3000 / max(len(members), 1), 75, 130))
    for name in MEMBERS:
        if chosen := [mark for mark in members if mark.role == name]:
            look = LOOKS[name]
            _draw_intervals(axes, found, chosen, look.ink)
            style: Style = {"marker": look.marker, "color": look.ink, "label": look.name}
            axes.scatter(*_spots(found, chosen), s=area, zorder=6, edgecolor="white", linewidth=1.2, **style)
    if worse := [mark for mark in members if mark.worse]:
        ring: Style = {"facecolor": "none", "edgecolor": WORSE, "linewidth": 2.2, "label": "worse than label-only"}
        axes.scatter(*_spots(found, worse), s=2.6 * area, zorder=5.5, **ring)
    if members:
        axes.plot(*steps.T, color=LINE, linewidth=2.2, zorder=3, label="frontier", solid_joinstyle="miter")
    if members and found.floor is not None:
        axes.axhline(found.floor, color=GRAY, linewidth=1.2, zorder=1.5)
        place: Style = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "bottom", "zorder": 1.5}
        axes.text(0.998, found.floor, "region of interest", color=TEXT_GRAY, fontsize=13, **place)


def _draw_intervals(axes: Axes, found: View, marks: Sequence[Mark], color: str) -> None:
    ends = [mark.low for mark in marks], [mark.high for mark in marks]
    axes.vlines([found.at(mark) for mark in marks], *ends, color=color, linewidth=1.6, alpha=0.65, zorder=4)


def _draw_teachers(axes: Axes, found: View) -> None:
    look = LOOKS["teacher"]
    for number, mark in enumerate(found.teachers()):
        axes.axhline(mark.value, color=look.ink, linestyle=":", linewidth=2, zorder=2)
        style: Style = {"marker": look.marker, "color": look.ink, "edgecolor": "white", "label": None if number else look.name}
        axes.scatter(*_spots(found, [mark]), s=480, zorder=7, **style)


def _draw_references(axes: Axes, found: View) -> None:
    """A line at the value of each reference model, with its name at the left end: above it, or below if a teacher is there."""
    bottom, top = axes.get_ylim()
    for one in found.lines:
        axes.axhline(one.value, color=REFERENCE, linestyle="--", linewidth=1.6, zorder=1.8)
        above = [(mark.value - one.value) / (top - bottom) for mark in found.of("teacher")]
        side = "top" if any(0 <= share < ABOVE for share in above) else "bottom"
        place: Style = {"transform": axes.get_yaxis_transform(), "ha": "left", "va": side, "zorder": 1.8}
        axes.text(0.004, one.value, one.name, color=REFERENCE, fontsize=13, **place)


def _draw_incumbent(axes: Axes, found: View) -> None:
    look = LOOKS["incumbent"]
    for mark in found.of("incumbent"):
        _draw_intervals(axes, found, [mark], look.ink)
        style: Style = {"marker": look.marker, "facecolor": "none", "edgecolor": look.ink, "linewidth": 2.2, "label": look.name}
        axes.scatter(*_spots(found, [mark]), s=95, zorder=6.5, **style)


def _draw_crowd(axes: Axes, found: View) -> None:
    """The trials that are not on the frontier; those below the picture are marked on its lower edge and counted."""
    bottom = axes.get_ylim()[0]
    crowd = [mark for mark in found.of(*CROWD) if found.metric.reaches(mark.value, bottom)]
    for kind in CROWD:
        if chosen := [mark for mark in crowd if mark.kind == kind]:
            style: Style = {"facecolor": LOOKS[kind].ink, "edgecolor": GRAY, "alpha": 0.75, "label": LOOKS[kind].name}
            axes.scatter(*_spots(found, chosen), s=34 if len(crowd) < 100 else 20, zorder=2.5, **style)
    if below := [found.at(mark) for mark in found.marks if not found.metric.reaches(mark.value, bottom)]:
        edge: Style = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        axes.scatter(below, [0.0] * len(below), s=40, marker="v", color=GRAY, **edge)
        where = "below" if found.metric.higher else "worse"
        axes.figure.text(FRAME[0] + FRAME[2], 0.03, f"▾ {len(below)} {where}", color=TEXT_GRAY, fontsize=14, ha="right")


def _obstacles(axes: Axes, found: View, steps: Floats) -> Floats:
    """(k, 3) pixel positions that a label should not cover, and how bad it is: marks, bars, lines, and their captions."""
    spots = [(found.at(mark), mark.value, 1.0 if mark.kind in CROWD else 20.0) for mark in found.marks]
    spots += [(found.at(mark), y, 2.0) for mark in _shown(found) for y in np.linspace(mark.low, mark.high, 12)]
    for (x, y), (to_x, to_y) in zip(steps[:-1], steps[1:], strict=True):
        spots += [(*spot, 3.0) for spot in zip(np.geomspace(x, to_x, 40), np.linspace(y, to_y, 40), strict=True)]
    across = np.geomspace(*axes.get_xlim(), 200)
    spots += [(x, mark.value, 0.5) for mark in found.of("teacher") for x in across]
    spots += [(x, one.value, 0.5) for one in found.lines for x in across]
    table = np.array(spots, dtype=np.float64).reshape(-1, 3)
    table[:, :2] = axes.transData.transform(table[:, :2])
    return np.vstack([table, *(_filled(caption.get_window_extent().get_points()) for caption in axes.texts)])


def _filled(box: Floats) -> Floats:
    """The obstacles (k, 3) in a box of text."""
    grid = np.stack(np.meshgrid(*np.linspace(box[0], box[1], 12).T), axis=-1).reshape(-1, 2)
    return np.column_stack([grid, np.full(len(grid), 50.0)])


def _draw_labels(axes: Axes, found: View, obstacles: Floats) -> None:
    """Labels the incumbent, the best teacher and both ends of the frontier, each where the label covers least."""
    members = found.members()
    ends = [members[-1], members[0]] if len(members) > 1 else members
    for mark in [*found.of("incumbent"), *found.teachers()[-1:], *ends]:
        name = _plain(mark.architecture, 34)
        name = f"{mark.kind}: {name}" if mark.kind != "frontier" else name
        text = f"{name}\n{short(found.at(mark))} {AXES[found.size].unit}, {mark.text}"
        anchor = axes.transData.transform((found.at(mark), mark.value))
        box = _place(axes, text, anchor, obstacles)
        _write(axes, text, anchor, box)
        obstacles = np.vstack([obstacles, _filled(box)])


def _place(axes: Axes, text: str, anchor: Floats, obstacles: Floats) -> Floats:
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


def _half_extent(axes: Axes, text: str) -> Floats:
    """(2,) half the width and height of a text in pixels."""
    probe = axes.figure.text(0, 0, text, fontsize=14, parse_math=False)
    extent = probe.get_window_extent()
    probe.remove()
    return np.array([extent.width, extent.height]) / 2


def _write(axes: Axes, text: str, anchor: Floats, box: Floats) -> None:
    offset = (box.mean(axis=0) - anchor) * 72 / DPI
    far = np.abs(np.clip(anchor, box[0], box[1]) - anchor).max() > 24
    axes.annotate(
        text,
        tuple(axes.transData.inverted().transform(anchor)),
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
