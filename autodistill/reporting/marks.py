"""What a figure of a metric against size shows. picture.py draws it with matplotlib, page/plots.py with plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np

from ..metrics.metric import Metric
from ..metrics.words import on_axis, scaled
from ..spec import Spec
from ..spec.measurement import Sizes
from ..spec.search import SIZES
from ..study import pareto
from ..study.record.rows import TrialRow, may_be_member
from .summary import StudySummary

Kind = Literal["teacher", "incumbent", "frontier", "outside", "dominated", "stopped"]
MEMBERS, CROWD = ("student", "assistant", "label-only"), ("dominated", "stopped", "outside")


class Axis(NamedTuple):
    """A logarithmic axis: its title in the picture and on the page, and the unit of a label."""

    title: str
    long: str
    unit: str


AXES = {
    "params": Axis("parameters", "parameters", "params"),
    "core_params": Axis("parameters without embeddings", "parameters without embeddings", "core params"),
    "macs": Axis("multiply-adds per sample", "multiply-adds (MACs) per sample", "MACs"),
    "bytes": Axis("bytes", "bytes (float32)", "bytes"),
    "latency_ms": Axis("milliseconds", "milliseconds for one sample (median)", "ms"),
}


class Look(NamedTuple):
    """An entry of a legend: its name in the picture and on the page, marker and color of matplotlib, symbol and color (a CSS
    variable) of plotly.
    """

    name: str
    long: str
    marker: str
    ink: str
    symbol: str
    color: str


LOOKS = {
    "student": Look("student", "student, on the frontier", "o", "#0072B2", "circle", "--student"),
    "assistant": Look("assistant", "assistant, on the frontier", "^", "#D55E00", "triangle-up", "--assistant"),
    "label-only": Look("label-only", "label-only, on the frontier", "s", "#009E73", "square", "--labels"),
    "incumbent": Look("incumbent", "incumbent", "D", "#000000", "diamond-open", "--text"),
    "teacher": Look("teacher", "teacher, validation", "*", "#CC79A7", "star", "--teacher"),
    "dominated": Look("dominated", "dominated, validation", "o", "#8C8C8C", "circle", "--muted"),
    "stopped": Look("stopped early", "stopped early", "o", "white", "circle-open", "--muted"),
    "outside": Look("outside the region", "outside the region, validation", "o", "#D0D0D0", "diamond", "--muted"),
}
"""By `Mark.look`; the inks are from the palette of Okabe and Ito 2008, for every kind of color vision."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A network in a figure: `x` by axis, at least 1 for sizes; the value of the metric and its 95% interval (equal if
    unknown), in percent or in units of the metric.

    `kind`: teacher, incumbent, frontier (in the region of interest), outside (on the frontier only), dominated, or stopped.
    `worse`: than its label-only baseline.
    """

    metric: Metric
    role: str
    kind: Kind
    architecture: str
    chain: str
    sizes: Sizes
    x: Mapping[str, float | None]
    value: float
    low: float
    high: float
    worse: bool = False
    note: str = ""

    @classmethod
    def of(cls, row: TrialRow, latency_ms: float | None = None) -> Self:
        """A complete row, or a stopped one at the value of its last rung."""
        rungs = row.origin.rungs if row.origin else ()
        known = (row.value, *row.interval) if row.is_complete else (rungs[-1][1],) * 3
        value, low, high = (scaled(row.metric, one) for one in known)
        return cls(
            **{name: getattr(row, name) for name in ("metric", "role", "architecture", "chain", "sizes")},
            kind=_kind(row),
            x=places(row.sizes, latency_ms),
            value=value,
            low=low,
            high=high,
            worse=bool(row.worse_than_label_only),
            note="stopped at a rung" if row.state == "stopped" else "",
        )

    @property
    def look(self) -> str:
        return self.role if self.kind == "frontier" else self.kind

    @property
    def text(self) -> str:
        """The value with its unit."""
        return on_axis(self.metric, self.value) + "%" * self.metric.percent

    @property
    def cost(self) -> float:
        """In units in which smaller is better."""
        return self.metric.cost(self.value)

    def baseline(self, found: float, note: str = "") -> Mark:
        """The same network trained from labels, with this value of the metric; it is equally fast."""
        value, role = scaled(self.metric, found), "the same student trained from labels"
        return replace(self, role=role, chain="", value=value, low=value, high=value, note=note)


def _kind(row: TrialRow) -> Kind:
    if row.role == "teacher" or row.role == "incumbent":
        return row.role
    if row.state == "stopped":
        return "stopped"
    return "dominated" if not row.frontier else "frontier" if row.inside else "outside"


def places(sizes: Sizes, latency_ms: float | None) -> dict[str, float | None]:
    """Where a network is on each axis."""
    return {name: max(1, getattr(sizes, name)) for name in SIZES} | {"latency_ms": latency_ms}


class Line(NamedTuple):
    """A reference model, which has no parameters to count: its value, in percent or in units of the metric, and its name."""

    value: float
    name: str


@dataclass(frozen=True, kw_only=True)
class View:
    """The networks of a study by a metric on the validation samples; `able` may be on a frontier. `size` is the axis, one
    of SIZES. The region of interest begins at `floor`, in percent or in units of the metric; None if it is everywhere.
    `lines` are the reference models.
    """

    metric: Metric
    marks: Sequence[Mark]
    size: str = "params"
    floor: float | None = None
    able: Sequence[Mark] = ()
    lines: Sequence[Line] = ()

    def of(self, *kinds: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.kind in kinds]

    def at(self, mark: Mark) -> float:
        """Where a mark is on the axis."""
        amount = mark.x[self.size]
        assert amount is not None, "only a latency may be unknown"
        return amount

    def members(self) -> list[Mark]:
        """The frontier in the region of interest, smallest first."""
        return sorted(self.of("frontier"), key=lambda mark: (self.at(mark), mark.value, mark.role, mark.architecture))

    def teachers(self) -> list[Mark]:
        """The best one is last."""
        return sorted(self.of("teacher"), key=lambda mark: mark.cost, reverse=True)


def view(spec: Spec, found: StudySummary, latency: Mapping[str, float] | None = None) -> View:
    """The rows of a study in their order; `latency` has milliseconds by stage."""
    known = latency or {}
    shown = [(row, Mark.of(row, known.get(row.stage))) for row in found.rows if row.is_complete or row.state == "stopped"]
    metric, region = found.metric, found.region
    return View(
        metric=metric,
        marks=[mark for _, mark in shown],
        size=spec.search.objectives[1:][0],
        floor=None if region.everything else scaled(metric, region.floor),
        able=[mark for row, mark in shown if may_be_member(row, spec)],
        lines=[Line(scaled(metric, one.score.value), one.reference.label) for one in found.references],
    )


def best(marks: Sequence[Mark], axis: str) -> list[Mark]:
    """The marks that are better than all that are at most as large on this axis, smallest first."""
    known = [(mark, size) for mark in marks if (size := mark.x[axis]) is not None]
    table = np.array([(mark.cost, size) for mark, size in known], dtype=np.float64).reshape(-1, 2)
    return [known[index][0] for index in pareto.frontier(table)]
