"""Several studies' frontiers on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

from ...spec import Stage, UsageError
from ...study.record.folder import replace
from ...version import __version__
from .figure import figure, level, line, spot, trace
from .finalists import finalists, the_teacher
from .render import render
from .study import Study, read_study

Facts = dict[str, Any]
COLORS = ("--student", "--assistant", "--labels", "--teacher", "--tested", "--warn", "--good", "--bad")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "star", "pentagon", "hexagon")
PAGE = "compare.html"


def compare(folders: Sequence[Path | str], to: Path | str) -> Facts:
    """Writes compare.html into `to`: the frontiers of these studies in one figure, and one table.

    Raises UsageError for fewer than two studies, one named twice, or studies of different data: accuracies on different
    samples are not comparable.
    """
    paths = [Path(folder).absolute() for folder in folders]
    if len(paths) < 2:
        raise UsageError(f"compare needs two studies or more, got {len(paths)}; give the --out of each search")
    twice = [str(path) for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named twice; name each study once")
    studies = [read_study(path) for path in paths]
    _refuse_other_data(studies)
    found = facts(studies)
    target = Path(to).absolute() / PAGE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, render("compare.html", found).encode())
    except OSError as error:
        raise UsageError(f"--to {to} cannot be written to: {error.strerror}; give another folder") from error
    return {
        "page": str(target),
        "studies": [{name: one[name] for name in ("name", "folder", "best")} for one in found["studies"]],
    }


def _task(study: Study) -> Facts:
    """What decides which samples the accuracies are measured on."""
    network = study.stages.network(study.teacher.stage)
    task = network.task
    assert isinstance(network, Stage) or network.kind == "checkpoint"
    return {
        "data": task.data,
        "split": task.split.model_dump(),
        "samples": task.samples,
    }


def _refuse_other_data(studies: Sequence[Study]) -> None:
    first = _task(studies[0])
    for study in studies[1:]:
        other = _task(study)
        for name, what in (("data", "the fingerprint of its data"), ("split", "task.split"), ("samples", "task.samples")):
            if other[name] != first[name]:
                raise UsageError(
                    f"{study.path} and {studies[0].path} do not use the same samples: {what} is {_short(other[name])}, not "
                    f"{_short(first[name])}. Accuracies on different samples are not comparable; give studies of one task"
                )


def _short(value: Any) -> str:
    return value[:16] if isinstance(value, str) else str(value)


def facts(studies: Sequence[Study]) -> Facts:
    """All that compare.html shows: test accuracies if every study is confirmed on the same samples, latencies if all were
    measured on the same kind of device with the same number of threads.
    """
    names = _names(studies)
    tests = {None if one.confirmed is None else one.confirmed.test.digest for one in studies}
    tested = None not in tests and len(tests) == 1
    known = [one.confirmed is not None for one in studies]
    opened = [() if one.confirmed is None else one.confirmed.opened for one in studies]
    devices = {None if one.confirmed is None else one.confirmed.device for one in studies}
    timed = tested and len(devices) == 1
    if not tested:  # else a file chosen among seeds would be compared with one that was searched
        studies = [replace_fields(one, confirmed=None) for one in studies]
    rows = [
        {**one, "study": name, "place": place, "latency": one["latency"] if timed else None}
        for place, (name, study) in enumerate(zip(names, studies, strict=True))
        for one in [*_frontier(study), the_teacher(study)]
    ]
    return {
        "studies": [
            _described(name, study) | {"opened": looks} for name, study, looks in zip(names, studies, opened, strict=True)
        ],
        "figure": _figure(studies, names, tested, timed),
        "rows": sorted(rows, key=lambda one: (one["params"], one["place"])),
        "tested": tested,
        "timed": timed,
        "some_confirmed": any(known),
        "n": studies[0].n,
        "version": __version__,
    }


def _names(studies: Sequence[Study]) -> list[str]:
    """The studies' names; with their directories if two have the same name."""
    counts = Counter(one.spec.study for one in studies)
    return [one.spec.study if counts[one.spec.study] == 1 else f"{one.spec.study} ({one.path.name})" for one in studies]


def _frontier(study: Study) -> list[Facts]:
    return [one for one in finalists(study) if one["on_frontier"]]


def _described(name: str, study: Study) -> Facts:
    best = max(study.members, key=lambda row: row.accuracy, default=None)
    return {
        "name": name,
        "folder": str(study.path),
        "trials": study.summary.trials._asdict(),
        "hypervolume": study.summary.hypervolume,
        "reference": study.summary.region.below.get("params"),
        "best": best and {key: getattr(best, key) for key in ("architecture", "params", "accuracy")},
        "teacher": {key: getattr(study.teacher, key) for key in ("architecture", "params", "accuracy")},
    }


def _figure(studies: Sequence[Study], names: Sequence[str], tested: bool, timed: bool) -> Facts:
    traces: list[Facts | None] = []
    levels: list[Facts] = []
    for place, (study, name) in enumerate(zip(studies, names, strict=True)):
        for split in ("validation", "test") if tested else ("validation",):
            traces += _drawn(study, name, split, place, timed)
            accuracy = (the_teacher(study)[split] or {})["accuracy"]
            levels.append(level(accuracy, f"teacher of {name}", split=split, color=COLORS[place % len(COLORS)], dash="dot"))
    return figure(traces, levels)


def _drawn(study: Study, name: str, split: str, place: int, timed: bool) -> list[Facts | None]:
    color, symbol = COLORS[place % len(COLORS)], SYMBOLS[place % len(SYMBOLS)]
    spots = [
        spot(
            one,
            role=one["role"],
            kind="frontier",
            seen=one[split],
            latency=one["latency"]["one"]["p50_ms"] if timed and one["latency"] else None,
            note=name,
        )
        for one in _frontier(study)
    ]
    ends = f"{name}, {split}"
    return [
        line(spots, name=ends, split=split, color=color),
        trace(spots, name=ends, split=split, color=color, symbol=symbol, showlegend=False),
    ]
