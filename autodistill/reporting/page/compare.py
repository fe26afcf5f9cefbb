"""Several studies' frontiers on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from ...metrics.metric import Metric
from ...metrics.words import scaled
from ...spec import UsageError
from ...spec.measurement import Score
from ...spec.value import Json
from ...study.record.directory import replace as write
from ..marks import Mark
from .finalists import Finalist, finalists, the_teacher
from .plots import FrontierFigure, Level, figure, line, mark, trace
from .printing import render
from .study import Study, read_study

COLORS = ("--student", "--assistant", "--labels", "--teacher", "--tested", "--warn", "--good", "--bad")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "star", "pentagon", "hexagon")
PAGE = "compare.html"


class CompareRow(NamedTuple):
    """A member of a study's frontier, or its teacher; `place` is that of the study."""

    study: str
    place: int
    network: Finalist


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that compare.html, the `page`, shows of `studies`, which are by name.

    The metric on the test split if every study is confirmed on the same samples (`tested`), latencies if all were measured on
    the same kind of device with the same number of threads (`timed`).
    """

    page: Path
    metric: Metric
    also: Sequence[Metric]
    studies: Mapping[str, Study]
    figure: FrontierFigure
    rows: Sequence[CompareRow]
    tested: bool
    timed: bool

    def as_json(self) -> list[dict[str, JsonValue]]:
        """What `compare --json` says of each study."""
        return [{"name": name, "directory": str(one.path), "best": self._best(one)} for name, one in self.studies.items()]

    def _best(self, study: Study) -> JsonValue:
        row = study.summary.best
        return None if row is None else {"architecture": row.architecture, "params": row.params, self.metric.column: row.value}


def compare(directories: Sequence[Path | str], to: Path | str) -> Comparison:
    """Writes compare.html into `to`: the frontiers of these studies in one figure, and one table.

    Raises UsageError for fewer than two studies, one named twice, or studies of different data or metrics: their values are not
    comparable.
    """
    paths = [Path(directory).absolute() for directory in directories]
    if len(paths) < 2:
        raise UsageError(f"compare needs two studies or more, got {len(paths)}; give the --out of each search")
    twice = [str(path) for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named twice; name each study once")
    studies = [read_study(path) for path in paths]
    _refuse_other_data(studies)
    _refuse_other_metric(studies)
    target = Path(to).absolute() / PAGE
    found = comparison(studies, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, render("compare.html", **vars(found)).encode())
    except OSError as error:
        raise UsageError(f"--to {to} cannot be written to: {error.strerror}; give another directory") from error
    return found


def _refuse_other_data(studies: Sequence[Study]) -> None:
    """Raises UsageError unless all studies are measured on the same samples."""
    tasks = [study.stages.network(study.teacher.stage).task.model_dump() for study in studies]
    for study, task in zip(studies, tasks, strict=True):
        for name, what in (("data", "the fingerprint of its data"), ("split", "task.split"), ("samples", "task.samples")):
            if task[name] != tasks[0][name]:
                raise UsageError(
                    f"{study.path} and {studies[0].path} do not use the same samples: {what} is {_short(task[name])}, not "
                    f"{_short(tasks[0][name])}. Accuracies on different samples are not comparable; give studies of one task"
                )


def _refuse_other_metric(studies: Sequence[Study]) -> None:
    """Raises UsageError unless all studies have the same metric."""
    first = studies[0]
    for study in studies:
        if study.metric != first.metric:
            raise UsageError(
                f"{study.path} and {first.path} do not have the same metric: task.metric is {study.metric.column}, not "
                f"{first.metric.column}. Their frontiers are not comparable; give studies of one metric"
            )


def _short(value: object) -> str:
    return value[:16] if isinstance(value, str) else str(value)


def comparison(studies: Sequence[Study], page: Path = Path(PAGE)) -> Comparison:
    named = dict(zip(_names(studies), studies, strict=True))
    known = [one.confirmed for one in studies if one.confirmed is not None]
    tested = len(known) == len(studies) and len({one.test.digest for one in known}) == 1
    timed = tested and len({one.device for one in known}) == 1
    # else a file chosen among seeds would be compared with one that was searched
    shown = named if tested else {name: replace(one, confirmed=None) for name, one in named.items()}
    rows = [
        CompareRow(name, place, one)
        for place, (name, study) in enumerate(shown.items())
        for one in [*_frontier(study), the_teacher(study)]
    ]
    rows.sort(key=lambda one: (one.network.params, one.place))
    also = dict.fromkeys(metric for one in studies for metric in one.also)
    return Comparison(
        page=page,
        metric=studies[0].metric,
        also=[metric for metric in also if metric != studies[0].metric],
        studies=named,
        figure=_figure(studies[0].metric, shown, tested, timed),
        rows=rows,
        tested=tested,
        timed=timed,
    )


def _names(studies: Sequence[Study]) -> list[str]:
    """The studies' names; with their directories if two have the same name."""
    counts = Counter(one.spec.study for one in studies)
    return [one.spec.study if counts[one.spec.study] == 1 else f"{one.spec.study} ({one.path.name})" for one in studies]


def _frontier(study: Study) -> list[Finalist]:
    return [one for one in finalists(study) if one.on_frontier]


def _figure(metric: Metric, studies: Mapping[str, Study], tested: bool, timed: bool) -> FrontierFigure:
    traces: list[Json] = []
    levels: list[Level] = []
    for place, (name, study) in enumerate(studies.items()):
        color, symbol = COLORS[place % len(COLORS)], SYMBOLS[place % len(SYMBOLS)]
        for split in ("validation", "test") if tested else ("validation",):
            marks, title = _marks(study, name, split, timed), f"{name}, {split}"
            traces.append(line(marks, name=title, split=split, color=color))
            traces.append(trace(marks, name=title, split=split, color=color, symbol=symbol) | {"showlegend": False})
            seen, text = _on(the_teacher(study), split), escape(f"teacher of {name}")
            levels.append(Level(value=scaled(metric, seen.value), text=text, split=split, color=color, dash="dot"))
    return figure(metric, traces, levels)


def _marks(study: Study, name: str, split: str, timed: bool) -> list[Mark]:
    marks = []
    for one in _frontier(study):
        latency = one.latency.one.p50_ms if timed and one.latency else None
        marks.append(mark(one, _on(one, split), latency=latency, note=name))
    return marks


def _on(one: Finalist, split: str) -> Score:
    seen = one.on_test if split == "test" else one.on_validation
    assert seen is not None, "test scores are shown only if every study is confirmed"
    return seen
