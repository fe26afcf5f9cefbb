"""The plan for a chain, as frozen values: the content of chain.json, its table and its sentences.

The fields are the keys of chain.json. Values are those of the study's metric on the validation samples. A gain is over direct
distillation, paired by seed, with its 95% interval; it is positive if the metric is better, whatever its direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import JsonValue
from rich.table import Table

from ...metrics.intervals import Interval
from ...metrics.metric import ACCURACY, Metric, named
from ...metrics.words import signed
from ...spec import Value
from ..confirm.confirmation import Mean
from .compare import Kind, Why


class Teacher(Value):
    architecture: str
    params: int
    value: float


class SeedValues(Value):
    """The values of `n` seeds; the mean and the standard deviation are None if there are too few."""

    n: int
    mean: float | None
    deviation: float | None
    values: tuple[float, ...]


class Compared(Value):
    """A candidate: its training runs below the teacher, and the results.

    `path` lists the architectures of its assistants, and `why` says why it is a candidate. `stages` counts its training runs
    below the teacher. `seconds` is the time that these take, as the mean over its seeds. `extra` is how much longer that is
    than for direct distillation, and `marginal` is the time of the training runs that no other candidate needs. All three are
    None if nothing was trained. The gain leaves out the first seed, on which paths were chosen.
    """

    name: str
    kind: Kind
    path: tuple[str, ...]
    guidance: Literal["serial", "dense"] | None
    epochs: int
    why: tuple[str, ...]
    chain: str
    stages: int
    value: SeedValues
    gain: Mean | None
    seconds: float | None
    extra: float | None
    marginal: float | None
    state: Literal["compared", "dropped", "not trained"]

    def cells(self, metric: Metric) -> list[str]:
        name = f"{self.name}, {self.epochs} epochs" if self.kind == "long" else self.name
        why = ", ".join(self.why) + (f" ({self.state})" if self.state != "compared" else "")
        return [name, *self._numbers(metric), why.strip()]

    def _numbers(self, metric: Metric) -> list[str]:
        value, gain = self.value, None if self.kind == "direct" else self.gain
        if value.mean is None or self.seconds is None or self.marginal is None:
            return ["", "", "", "", "", str(self.stages), "0"]
        mean = metric.text(value.mean) + ("" if value.deviation is None else f" ± {metric.text(value.deviation)}")
        gained = ["", ""] if gain is None else [_bare(gain.mean, metric), _span(gain.interval, metric)]
        return [mean, *gained, f"{self.seconds:.1f}", f"{self.marginal:.1f}", str(self.stages), str(value.n)]


class Node(Value):
    """A network in the graph: the teacher first, the student last, and the best network of each ladder size in between."""

    name: str
    role: Literal["teacher", "assistant", "student"]
    params: int
    value: float | None


class Edge(Value):
    """One network teaches another; both are positions of nodes. The gain is over learning from the teacher itself."""

    above: int
    below: int
    gain: float | None
    chosen: bool


class Graph(Value):
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class ChainPlan(Value):
    """A comparison of chains, and its answer.

    `candidates` has first those that were compared to the end, the best mean first, and then those that were dropped. `metric`
    is the name of the study's metric. `chain` is the name of the best chain, with its gain and interval, and `answer` is the
    name of the best choice; compare.Verdict explains `why`. `cut` is true if time was up before all seeds were trained.
    `trained` is how many seconds all compared training runs took, and `seconds` is how long this run took. `settings` has the
    values of the student's other searched fields, and `failures` has the reasons of failed training runs, by key.
    """

    study: str
    metric: str
    student: str
    architecture: str
    settings: dict[str, JsonValue]
    teacher: Teacher
    params: int
    seeds: int
    cut: bool
    candidates: tuple[Compared, ...]
    chain: str | None
    answer: str
    why: Why
    gain: float | None
    low: float | None
    high: float | None
    graph: Graph
    trained: float
    seconds: float
    failures: dict[str, str]

    @property
    def measure(self) -> Metric:
        """The metric of the study."""
        return named(self.metric)

    @property
    def is_open(self) -> bool:
        """Whether time was up before any chain was trained, so that there is no answer."""
        return self.chain is None and self.cut

    def as_json(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json")

    def sentence(self) -> str:
        """The answer in one sentence."""
        if self.is_open:
            return "Not enough time: no chain was trained; run the same command with more --time to resume"
        if self.chain is None or self.gain is None:
            return "No assistant: no chain was trained"
        gained = f"{_gain(self.gain, self.measure)} over direct distillation"
        best = f"No assistant: the best chain, through {self.chain}, has {gained}"
        if self.why == "unknown" or self.low is None or self.high is None:
            return f"{best}, with too few seeds to test it"
        sure = f"(95%: {_span(Interval(self.low, self.high), self.measure)})"
        if self.why == "helps":
            return f"Through {self.chain}: {gained} {sure}"
        if self.why == "worse":
            lost = _gain(self.gain, self.measure)
            return f"No assistant: even the best chain, through {self.chain}, is worse than direct distillation: {lost} {sure}"
        as_good = "as accurate" if self.measure == ACCURACY else "as good"
        return f"{best} {sure}, " + (
            "which is not significant" if self.why == "not_significant" else f"but {self.answer} is {as_good}"
        )

    def lines(self) -> list[str]:
        """The answer first, then facts, each with its name in 12 columns."""
        return [self.sentence(), *(f"{name:12} {text}" for name, text in self._facts())]

    def _facts(self) -> Iterator[tuple[str, str]]:
        rows = {row.name: row for row in self.candidates}
        if self.chain is not None and (extra := rows[self.chain].extra) is not None:
            more = rows[self.chain].stages - next(row.stages for row in self.candidates if row.kind == "direct")
            yield "extra cost", f"{extra:+.1f} s per seed and {more} more stage{'s' * (more != 1)} than direct"
        if self.why != "helps" and not self.is_open:
            yield "no assistant", _without(rows[self.answer], self.measure)
        yield "teacher", f"{_value(self.teacher.value, self.measure)} with {self.teacher.params:,} params"
        if self.settings:
            yield "settings", ", ".join(f"{name} {_short(value)}" for name, value in self.settings.items())
        if any(row.kind == "early" for row in self.candidates):
            yield "earlier", "checkpoints of the teacher's training count as free, although they were retrained here"
        if self.cut:
            yield "time", f"up after {self.seeds} seed{'s' * (self.seeds != 1)}; run the same command again to resume"
        for key, reason in self.failures.items():
            yield "failed", f"{key[:8]}: {reason}"

    def table(self) -> Table:
        """All candidates."""
        title = (
            f"{self.study}: {self.architecture} ({self.params:,} params) from {self.teacher.architecture}; "
            f"validation {self.measure.label}; gains over direct are paired by seed"
        )
        made = Table(title=title, title_justify="left")
        made.add_column("candidate", overflow="fold")
        for name in (self.measure.label, "gain over direct", "95% interval", "seconds", "marginal", "stages", "seeds"):
            made.add_column(name, justify="right")
        made.add_column("reason", overflow="fold")
        for row in self.candidates:
            style = "bold" if row.name == self.answer else "dim" if row.state != "compared" else None
            made.add_row(*row.cells(self.measure), style=style)
        return made


def _bare(gain: float, metric: Metric) -> str:
    """A gain without its unit, for tables and intervals."""
    return signed(metric, gain).removesuffix(" points")


def _span(interval: Interval | None, metric: Metric) -> str:
    return "" if interval is None else f"{_bare(interval.low, metric)} to {_bare(interval.high, metric)}"


def _gain(gain: float, metric: Metric) -> str:
    """Such as `+1.20 points`, or `a gain of +0.0120 in log loss`, which means a lower one."""
    return signed(metric, gain) if metric == ACCURACY else f"a gain of {signed(metric, gain)} in {metric.label}"


def _value(value: float, metric: Metric) -> str:
    """Such as `93.1%`, or `0.412 log loss`."""
    return metric.text(value) if metric == ACCURACY else f"{metric.text(value)} {metric.label}"


def _without(row: Compared, metric: Metric) -> str:
    assert row.value.mean is not None, "an answer was trained"
    value = f"{row.name} has {_value(row.value.mean, metric)} in {row.seconds:.1f} s per seed"
    if row.kind == "direct" or row.gain is None:
        return value
    gained = f"{value}, {_gain(row.gain.mean, metric)} over direct"
    if row.gain.interval is None:
        return f"{gained}, with one seed"
    note = ", not significant" if row.gain.effect == "not_significant" else ""
    return f"{gained} (95%: {_span(row.gain.interval, metric)}){note}"


def _short(value: JsonValue) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
