"""What a tracker gets, as values: one run for each teacher, each trial that has ended and each label-only baseline, and one for
the search as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from ...metrics.metric import Metric, named
from ...spec import Checkpoint, Stage, chain, describe, digest, label_only
from ...spec.measurement import COUNTS, Measurement
from ...spec.value import Json
from ...study.record.notes import Trial
from ...study.record.rows import Stages, frontier
from ...study.schedule.scheduler import Study

Setting = str | int | float | bool
Kind = Literal["teacher", "trial", "baseline", "search"]
ARTIFACTS = ("frontier.png", "frontier.svg", "frontier.json", "trials.csv", "report.html")
"""The files of a study that belong to the run of its search, as far as they exist."""


class Step(NamedTuple):
    """The values of metrics on the validation samples after a number of epochs."""

    epochs: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the study `study`, whose `identity` no other study has.

    `mark` tells a run from another one of the same name: the key of the stage, or how many trials had ended. `settings` are
    parameters, `facts` are texts, `steps` are metrics by epoch, `finals` the numbers at the end, `files` are artifacts.
    """

    study: str
    identity: str
    name: str
    kind: Kind
    mark: str
    state: str
    settings: Mapping[str, Setting]
    facts: Mapping[str, str]
    steps: Sequence[Step] = ()
    finals: Mapping[str, float]
    files: Sequence[Path] = ()

    @property
    def key(self) -> str:
        """Of 16 letters and digits, the same whenever the same run is logged."""
        return digest([self.identity, self.name, self.mark if self.kind != "search" else ""])[:16]

    @property
    def search_key(self) -> str:
        """The key of the run of the search that this one belongs to."""
        return digest([self.identity, SEARCH, ""])[:16]


SEARCH = "search"


class Tracker(Protocol):
    """Logs runs at one `place`; `way` says what to do if it cannot."""

    name: str
    place: str
    way: str

    def log(self, run: Run) -> None:
        """Logs a run as a whole. Logging it again adds no second run. May raise anything, and may take any time."""
        ...


class Due(NamedTuple):
    """A run to log, which is made when its turn has come."""

    name: str
    mark: str
    make: Callable[[], Run]


class Source:
    """Makes the runs of a study; each trial is looked at until it has ended, and no more."""

    def __init__(self, study: Study, identity: str, place: Path) -> None:
        self.study, self.identity, self.place = study, identity, place
        self._seen, self._open = 0, list[int]()
        self._teachers = dict(enumerate(study.teachers, 1))
        self._baselines: set[str] = set()

    def new(self) -> Iterator[Due]:
        """The teachers and label-only baselines that were stored, and the trials that have ended, since the last call."""
        for number, key in list(self._teachers.items()):
            if self.study.stages.has(key):
                del self._teachers[number]
                name = "teacher" if number == 1 else f"teacher-{number}"
                yield Due(name, key, partial(self._teacher, key, name))
        trials = self.study.record.trials
        self._open += range(self._seen, len(trials))
        self._seen = len(trials)
        ended = [trials[number] for number in self._open if trials[number].state != "running"]
        self._open = [number for number in self._open if trials[number].state == "running"]
        for trial in ended:
            yield Due(f"trial-{trial.number:04}", trial.facts.stage, partial(self._trial, trial))
        for key in (self.study.pending.baselines or {}).keys() - self._baselines:
            if self.study.stages.has(key):
                self._baselines.add(key)
                yield Due(_name(key), key, partial(self._baseline, key))

    def _teacher(self, key: str, name: str) -> Run:
        network, found = self.study.stages.network(key), self.study.stages.measured(key)
        return Run(
            **self._of_study(name),
            kind="teacher",
            mark=key,
            state="complete",
            settings={"architecture": describe(network.architecture)},
            facts={"role": "teacher", "chain": chain(network), "stage": key},
            steps=_steps(self.study.stages, key),
            finals=_numbers(found, self.study.metric),
        )

    def _trial(self, trial: Trial) -> Run:
        facts, stages = trial.facts, self.study.stages
        there = trial.state == "complete" and stages.has(facts.stage)
        rungs = [Step(epochs, {self.study.metric.column: value}) for epochs, value in facts.rungs]
        texts = {"role": facts.role, "architecture": facts.architecture, "chain": facts.chain, "stage": facts.stage}
        notes = {"reason": facts.reason, "enqueued": facts.enqueued, "repeats": "yes" if facts.repeats else None}
        return Run(
            **self._of_study(f"trial-{trial.number:04}"),
            kind="trial",
            mark=facts.stage,
            state=trial.state,
            settings={"trial": trial.number, **{name: _setting(value) for name, value in trial.params.items()}},
            facts=texts | {name: text for name, text in notes.items() if text is not None},
            steps=_steps(stages, facts.stage) if there else rungs,
            finals=_numbers(stages.measured(facts.stage), self.study.metric) if there else _finite(trial.sizes._asdict()),
        )

    def _baseline(self, key: str) -> Run:
        """`of` are the beginnings of the keys of the students that it is compared with."""
        stages, network = self.study.stages, self.study.stages.network(key)
        students = [(row.stage, stages.network(row.stage)) for row in frontier(self.study.rows())]
        of = [one[:12] for one, student in students if isinstance(student, Stage) and label_only(student).key() == key]
        return Run(
            **self._of_study(_name(key)),
            kind="baseline",
            mark=key,
            state="complete",
            settings={"architecture": describe(network.architecture)},
            facts={"role": "label-only baseline", "of": " ".join(of), "chain": chain(network), "stage": key},
            steps=_steps(stages, key),
            finals=_numbers(stages.measured(key), self.study.metric),
        )

    def search(self) -> Due:
        """The run of the search, with the pictures, the tables and the page as its files."""
        return Due(SEARCH, str(self.study.trials.told), self._search)

    def _search(self) -> Run:
        spec, counts = self.study.spec, self.study.trials
        numbers = {"trials": counts.counted_done, "failed": counts.counted_failed, "members": len(self.study.frontier())}
        return Run(
            **self._of_study(SEARCH),
            kind="search",
            mark=str(counts.told),
            state="complete",
            settings={"metric": self.study.metric.column, "sampler": spec.search.sampler, "seed": spec.search.seed},
            facts={"role": SEARCH, "directory": str(self.place)},
            finals=_finite(numbers),
            files=tuple(path for name in ARTIFACTS if (path := self.place / name).exists()),
        )

    def _of_study(self, name: str) -> Json:
        return {"study": self.study.spec.study, "identity": self.identity, "name": name}


def _name(baseline: str) -> str:
    """The name of the run of a label-only baseline."""
    return f"label-only-{baseline[:8]}"


def _steps(stages: Stages, key: str) -> list[Step]:
    """All metrics at the rungs and, for a network that was trained, at its end."""
    network, facts = stages.network(key), stages.facts(key)
    found = [Step(rung.epochs, _columns(rung.values)) for rung in facts.rungs]
    return found if isinstance(network, Checkpoint) else [*found, Step(_epochs(network), _values(facts.measurement))]


def _epochs(network: Stage) -> int:
    return network.until or network.recipe.epochs


def _values(found: Measurement) -> dict[str, float]:
    return _columns({name: score.value for name, score in found.scores.items()})


def _columns(values: Mapping[str, float]) -> dict[str, float]:
    """By the names that metrics have in tables: those of your own have long ones in scores."""
    return _finite({named(name).column: value for name, value in values.items()})


def _numbers(found: Measurement, metric: Metric) -> dict[str, float]:
    """Every metric, the interval of the study's own, the sizes, and the seconds of training."""
    own = found.scores[metric.name]
    sizes = {name: getattr(found, name) for name in (*COUNTS, "seconds")}
    return _values(found) | _finite({f"{metric.column}_low": own.low, f"{metric.column}_high": own.high, **sizes})


def _finite(found: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _setting(value: object) -> Setting:
    """A parameter as every tracker takes it."""
    return value if isinstance(value, str | int | float | bool) else str(value)
