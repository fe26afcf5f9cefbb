"""Strategies replayed on a table, seed by seed, and what they come to."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from autodistill.spec import UsageError
from autodistill.spec.search import Search
from autodistill.study.record.directory import replace
from autodistill.study.record.record import Record
from autodistill.study.record.region import region_of
from autodistill.study.record.rows import volume
from autodistill.study.schedule.scheduler import Study

from .curves import draw
from .fresh import Fresh
from .memory import Memory
from .replay import Replay
from .table import Draw, Table

SAMPLERS = get_args(Search.model_fields["sampler"].annotation)
HALVING, EVERYWHERE = "halving", "all"
"""What may follow a sampler's name, after a +: halving, and a region of interest that is everything."""
NEARLY = 0.99
POINTS = 120
Points = Sequence[tuple[int, float]]
Line = dict[str, Any]
QUARTILES = {"median": 0.5, "q25": 0.25, "q75": 0.75}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`trials`: as many as the table has configurations unless given; `chance`: accuracy of who guesses; `teacher`: accuracy
    of the teacher, the best of the table unless given.

    `halving`: where it differs from the default, for the strategies that have it.
    """

    strategies: Sequence[str]
    seeds: int = 50
    workers: int = 1
    trials: int | None = None
    target: float | None = None
    chance: float = 0.0
    teacher: float | None = None
    halving: Mapping[str, float] = field(default_factory=dict)


class Event(NamedTuple):
    """After `trials` have ended: the hypervolume as a share of the whole table's, params of the smallest at the target.

    `found`: whether that is the smallest of the table.
    """

    seconds: float
    trials: int
    hypervolume: float
    smallest: float
    found: bool


NOTHING = Event(0.0, 0, 0.0, math.inf, False)


def bench(table: Table, asked: Asked, out: Path | None = None) -> dict[str, Any]:
    """Replays each strategy from each seed; writes curves.csv, summary.json and curves.png into `out`.

    A strategy is a sampler, perhaps with +halving or +all (a region of interest that is everything). Seed k draws one training
    of each configuration, the same for all strategies, which all evaluate as many. Raises UsageError.
    """
    _check(table, asked)
    runs = {
        name: [run(table.draw(seed, asked.teacher), name, seed, asked) for seed in range(asked.seeds)]
        for name in asked.strategies
    }
    found = {
        "table": str(table.path),
        "configurations": len(table.students),
        **{name: getattr(asked, name) for name in ("seeds", "workers", "target", "chance", "teacher")},
        "strategies": {name: _summary(each) for name, each in runs.items()},
    }
    if out is not None:
        lines = [line for name, each in runs.items() for line in _curve(name, each)]
        out.mkdir(parents=True, exist_ok=True)
        replace(out / "summary.json", json.dumps(found, indent=1).encode() + b"\n")
        replace(out / "curves.csv", _csv(lines))
        draw(lines, title=table.path.stem, target=asked.target, path=out / "curves.png")
    return found


def _check(table: Table, asked: Asked) -> None:
    for name in asked.strategies:
        sampler, *more = name.split("+")
        if sampler not in SAMPLERS or not {HALVING, EVERYWHERE}.issuperset(more):
            given = f"give one of {', '.join(SAMPLERS)}, with +{HALVING} or +{EVERYWHERE} after it"
            raise UsageError(f"--strategies {name}: {given}")
        if HALVING in more and table.epochs == 1:
            raise UsageError(
                f"--strategies {name}: {table.path} has one accuracy a student, none to halve by; leave out +{HALVING}"
            )
    for option, share in (("--target", asked.target), ("--chance", asked.chance), ("--teacher", asked.teacher)):
        if share is not None and not 0 <= share <= 1:
            raise UsageError(f"{option} {share:g}: give a share from 0 to 1")
    if asked.seeds < 1 or asked.workers < 1 or (asked.trials is not None and asked.trials < 1):
        raise UsageError(f"--seeds {asked.seeds} --workers {asked.workers} --trials {asked.trials}: give 1 or more of each")


def run(drawn: Draw, strategy: str, seed: int, asked: Asked) -> list[Event]:
    """One search, and what it had come to whenever a trial ended."""
    sampler, *more = strategy.split("+")
    search: dict[str, Any] = {"trials": asked.trials or len(drawn.students), "sampler": sampler, "seed": seed}
    search |= {"halving": dict(asked.halving) if HALVING in more else False}
    search |= {"region": "all"} if EVERYWHERE in more else {}
    search |= {} if asked.target is None else {"target": asked.target}
    spec = drawn.spec(search)
    space = drawn.space(spec)
    study = Study(spec, space, Memory(), Record(None, spec, space.domains), floors={"accuracy": asked.chance})
    study.trials.sampler = Fresh(spec.search, space, drawn.everything(), lambda: study.region)
    replay, score, found = Replay(drawn.answer, workers=asked.workers), Score(drawn, asked), list[Event]()

    def after() -> None:
        over = [one for one in study.record.trials if one.state in ("complete", "stopped") and not one.facts.repeats]
        if len(over) > (found[-1].trials if found else 0):
            students = [(one.facts.params, one.values[0]) for one in over if one.values is not None]
            found.append(Event(replay.clock, len(over), *score(students)))

    replay.run(study, after)
    return found


class Score:
    """Of some students of a draw, against all of it: by the hypervolume in the region of interest that is the default."""

    def __init__(self, drawn: Draw, asked: Asked) -> None:
        self.target = asked.target
        plain = Search.model_validate({"trials": 1})
        self.region = region_of(plain, chance=asked.chance, teacher=drawn.teacher())
        everything = [(one.sizes.params, one.accuracies[-1]) for one in drawn.students.values()]
        self.best, self.smallest = self.volume(everything), self.reaching(everything)
        if self.best <= 0:
            raise UsageError(
                f"no student of the table is above {self.region.floor:.3f}, where the region of interest begins; give "
                f"--chance, the accuracy of who guesses (it was {asked.chance:g}), or a lower --teacher"
            )

    def __call__(self, students: Points) -> tuple[float, float, bool]:
        smallest = self.reaching(students)
        return self.volume(students) / self.best, smallest, math.isfinite(smallest) and smallest == self.smallest

    def volume(self, students: Points) -> float:
        return volume([(accuracy, params) for params, accuracy in students], self.region)

    def reaching(self, students: Points) -> float:
        """Params of the smallest that reaches the target, inf where none does."""
        reached = [params for params, accuracy in students if self.target is not None and accuracy >= self.target]
        return float(min(reached, default=math.inf))


def _summary(runs: Sequence[Sequence[Event]]) -> dict[str, Any]:
    """Quartiles over the runs; None where no student came so far."""
    near = [next((event for event in events if event.hypervolume >= NEARLY), None) for events in runs]
    found = [next((event for event in events if event.found), None) for events in runs]
    return {
        "trials": _quartiles([events[-1].trials for events in runs]),
        "hypervolume": _quartiles([events[-1].hypervolume for events in runs]),
        "seconds_to_99": _quartiles([event.seconds if event else math.inf for event in near]),
        "trials_to_99": _quartiles([event.trials if event else math.inf for event in near]),
        "seconds_to_smallest": _quartiles([event.seconds if event else math.inf for event in found]),
        "trials_to_smallest": _quartiles([event.trials if event else math.inf for event in found]),
    }


def _quartiles(values: Sequence[float]) -> dict[str, float | None]:
    """Each one of the values, so that some may be inf: not reached, None."""
    taken = {name: float(np.quantile(values, share, method="inverted_cdf")) for name, share in QUARTILES.items()}
    return {name: value if math.isfinite(value) else None for name, value in taken.items()}


def _curve(name: str, runs: Sequence[Sequence[Event]]) -> list[Line]:
    """Quartiles over the runs at POINTS times."""
    lines = []
    for seconds in np.linspace(0, max(events[-1].seconds for events in runs), POINTS):
        at = [next((event for event in reversed(events) if event.seconds <= seconds), NOTHING) for events in runs]
        line: Line = {"strategy": name, "seconds": round(float(seconds), 6)}
        line["trials"] = _quartiles([event.trials for event in at])["median"]
        for what in ("hypervolume", "smallest"):
            line |= {f"{what}_{share}": v for share, v in _quartiles([getattr(event, what) for event in at]).items()}
        lines.append(line)
    return lines


def _csv(lines: Sequence[Line]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue().encode()
