"""The picture of a comparison of chains: which network can teach which, what that gains, and the best chain.

Networks are on a line from the teacher to the student. An arc means that one network teaches another; its number is the gain
of the lower network over learning from the teacher itself. Equal facts give equal bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..answers.chains.chain_plan import ChainPlan, Edge, Node
from ..metrics.metric import ACCURACY, Metric
from ..metrics.words import signed
from .picture import DPI, INCHES, save, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {"svg.hashsalt": "autodistill", "font.size": 15, "text.color": "#222222"}
CHOSEN, OTHER, QUIET = "#0072B2", "#BFBFBF", "#666666"
COLORS = {"teacher": "#CC79A7", "assistant": "#D55E00", "student": "#009E73"}
"""A color from the palette of Okabe and Ito 2008."""
STEPS = 60


def draw(found: ChainPlan, target: Path) -> None:
    """Writes target.png (1600 x 900) and target.svg, each whole or not at all."""
    from matplotlib import style

    with style.context(STYLE, after_reset=True):
        save(_figure(found), target)


def _figure(found: ChainPlan) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    nodes, edges = found.graph.nodes, found.graph.edges
    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.04, 0.96, 0.78))
    axes.set_axis_off()
    last = len(nodes) - 1
    axes.set_xlim(-0.55, last + 0.55)
    axes.set_ylim(-0.5, 1.08)
    for edge in sorted(edges, key=lambda one: one.chosen):
        _draw_edge(axes, edge, last, found.measure)
    for place, node in enumerate(nodes):
        _draw_node(axes, node, place, found.measure)
    figure.text(0.03, 0.93, _title(found), fontsize=20, weight="bold", parse_math=False)
    figure.text(0.03, 0.875, _legend(found), fontsize=13, color=QUIET, parse_math=False)
    return figure


def _title(found: ChainPlan) -> str:
    if found.why == "helps":
        return f"{found.study}: assistants help {found.architecture}"
    return f"{found.study}: no assistant for {found.architecture}"


def _legend(found: ChainPlan) -> str:
    seeds = max(1, found.seeds - 1)
    counted = f"(assistants: the first seed; student: {seeds} seed{'s' * (seeds > 1)})"
    return f"arcs: {_gained(found.measure)} {counted}; blue: the best chain"


def _gained(metric: Metric) -> str:
    """Short enough for one line."""
    if metric == ACCURACY:
        return "points gained over learning from the teacher itself"
    return f"gains in {metric.label}{' (points)' if metric.percent else ''} over learning from the teacher"


def height(above: int, below: int, last: int) -> float:
    """The height of an arc: no two arcs have their tops at the same place, whatever their ends."""
    return (below - above) / last


def _draw_edge(axes: Axes, edge: Edge, last: int, metric: Metric) -> None:
    import numpy as np

    above, below = edge.above, edge.below
    angle = np.linspace(0, np.pi, STEPS)
    x = (above + below) / 2 - (below - above) / 2 * np.cos(angle)
    y = height(above, below, last) * np.sin(angle)
    color, width = (CHOSEN, 3.2) if edge.chosen else (OTHER, 1.2)
    axes.plot(x, y, color=color, linewidth=width, zorder=3 if edge.chosen else 2)
    text = "direct" if (above, below) == (0, last) else _gain(edge, metric)
    if text:
        place = ((above + below) / 2, height(above, below, last))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        ink = CHOSEN if edge.chosen else QUIET
        axes.text(*place, text, ha="center", va="center", fontsize=13, color=ink, bbox=box, zorder=4)


def _gain(edge: Edge, metric: Metric) -> str:
    if edge.gain is None:
        return ""
    if not edge.above:
        return "0"
    return f"{100 * edge.gain:+.1f}" if metric.percent else signed(metric, edge.gain)


def _draw_node(axes: Axes, node: Node, place: int, metric: Metric) -> None:
    axes.scatter([place], [0], s=420, color=COLORS[node.role], edgecolor="white", linewidth=1.5, zorder=5)
    value = "" if node.value is None else f"\n{metric.text(node.value)}"
    family, _, rest = node.name.partition(" ")
    text = f"{node.role}\n{family}\n{rest.replace(' ', chr(10))}\n{short(node.params)} params{value}"
    axes.text(place, -0.07, text, ha="center", va="top", fontsize=13, linespacing=1.35, zorder=5, parse_math=False)
