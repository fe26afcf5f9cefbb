"""The picture of a comparison: hypervolume and the smallest student at the target against simulated seconds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.reporting.picture import DPI, FRAME, INCHES, STYLE, short, size_ticks
from autodistill.study.record.directory import replace

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8C8C8C")
PANELS = ((0.075, 0.115, 0.405, 0.735), (0.575, 0.115, 0.405, 0.735))


def draw(lines: Sequence[Mapping[str, Any]], *, title: str, target: float | None, path: Path) -> None:
    """Writes `path` (1600 x 900), whole or not at all, from the lines of curves.csv: medians, bands between quartiles."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context(STYLE, after_reset=True):
        figure = Figure(figsize=INCHES, dpi=DPI)
        FigureCanvasAgg(figure)
        figure.text(PANELS[0][0], 0.945, f"{title}: what searches find", fontsize=21, weight="bold", parse_math=False)
        left, *more = (figure.add_axes(panel) for panel in (PANELS if target is not None else (FRAME,)))
        _draw_bands(left, lines, "hypervolume", 100.0)
        left.set_ylabel("hypervolume in % of the table's")
        left.set_ylim(*_most(lines))
        for axes in more:
            _draw_smallest(axes, lines, target)
        for axes in (left, *more):
            _scale(axes, lines)
            axes.grid(axis="y")
            axes.tick_params(length=0, pad=8)
        figure.legend(*left.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.06, 0.935), ncols=8, frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
    replace(path, buffer.getvalue())


def _draw_smallest(axes: Any, lines: Sequence[Mapping[str, Any]], target: float | None) -> None:
    drawn = [line["smallest_median"] for line in lines if line["smallest_median"] is not None]
    if not drawn:
        axes.text(0.5, 0.5, f"no search reached {target:.3g}", transform=axes.transAxes, ha="center", fontsize=18)
        axes.set_axis_off()
        return
    _draw_bands(axes, lines, "smallest", 1.0)
    axes.set_yscale("log")
    axes.set_ylabel(f"params of the smallest student that reaches {target:.3g}")
    axes.set_yticks(ticks := size_ticks(*axes.get_ylim()), labels=[short(tick) for tick in ticks])


def _draw_bands(axes: Any, lines: Sequence[Mapping[str, Any]], what: str, unit: float) -> None:
    """A step for each strategy; from the first time that the quantity is there."""
    for number, name in enumerate(dict.fromkeys(line["strategy"] for line in lines)):
        own = [line for line in lines if line["strategy"] == name and line[f"{what}_median"] is not None]
        seconds, color = [line["seconds"] for line in own], COLORS[number % len(COLORS)]
        middle, low, high = (
            [np.nan if line[f"{what}_{share}"] is None else unit * line[f"{what}_{share}"] for line in own]
            for share in ("median", "q25", "q75")
        )
        axes.plot(seconds, middle, color=color, linewidth=2.4, drawstyle="steps-post", label=name, zorder=3)
        axes.fill_between(seconds, low, high, color=color, alpha=0.15, linewidth=0, step="post", zorder=2)


def _scale(axes: Any, lines: Sequence[Mapping[str, Any]]) -> None:
    seconds = [line["seconds"] for line in lines if line["seconds"] > 0]
    axes.set_xscale("log")
    axes.set_xlim(min(seconds), max(seconds))
    axes.set_xticks(ticks := size_ticks(min(seconds), max(seconds)), labels=[short(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("simulated seconds (logarithmic)")


def _most(lines: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The upper part, in which strategies differ."""
    ends = [100 * line["hypervolume_q25"] for line in lines if line["seconds"] > 0]
    return max(0.0, min(np.quantile(ends, 0.05), 90.0) - 1), 100.5
