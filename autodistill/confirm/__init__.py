"""Floor 7: fresh seeds and twins for the frontier, then the sealed test split, opened once for frozen networks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from rich.console import Console

from ..data import Splits
from ..prepare import load_data, space_of
from ..runners import Runner, runner_of
from ..spec import Checkpoint, Spec, Stage, UsageError
from ..store import Store
from ..study.folder import Folder
from ..study.plan import Plan
from ..study.record import Record
from ..study.tables import Row, Stages, rows
from .candidates import Candidate, candidates
from .judge import judge
from .results import Confirmed, ended, note_opening, read, refuse_opened, save
from .write import Writer

__all__ = ["Confirmed", "confirm", "read", "refuse_opened", "went_on"]
SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class _Study:
    """A finished search, opened to be confirmed."""

    spec: Spec
    splits: Splits
    stages: Stages
    teachers: Sequence[Stage | Checkpoint]
    rows: Sequence[Row]
    told: int
    ended: set[str]


def confirm(
    folder: Folder,
    *,
    seeds: int = SEEDS,
    runner: Runner | Literal["ray", "serial"] = "ray",
    force: bool = False,
    console: Console | None = None,
) -> Confirmed:
    """Retrains the frontier of a study and what is within noise of it with fresh `seeds`, each beside its twins, then opens
    the sealed test split for these frozen networks and writes confirm.json and confirm.npz.

    What is there is reused. Raises StudyError where the split was opened before for other networks, unless `force` is given,
    which is written down; UsageError where there is nothing to confirm.
    """
    if seeds < 0:
        raise UsageError(f"--seeds {seeds}: give how many fresh seeds, such as {SEEDS}, or 0 for none")
    runner, console = runner_of(runner), console or Console(file=sys.stderr)
    try:
        with folder:
            study = _opened(folder, cuda=runner.sees_cuda())
            wanted = candidates(study.spec, study.rows, study.stages, study.teachers, seeds)
            if not wanted:
                raise UsageError(f"{folder.path} has no frontier to confirm; search first")
            keys = list(_networks(study, wanted))
            if not force:
                refuse_opened(folder.path, keys)  # before hours of training
            failures = _train(study, wanted, runner, console)
            return _tested(folder, study, wanted, failures, console)
    finally:
        runner.end()


def _opened(folder: Folder, *, cuda: bool) -> _Study:
    spec = folder.read()
    record = Record(folder.database, spec)
    with contextlib.closing(record):
        store = Store(folder.path / record.facts()["store"])
        spec, splits = load_data(spec, cuda=cuda)
        space, stages = space_of(spec, splits, store), Stages(store)
        found = rows(spec, stages, record)
        told, known = sum(trial.state != "running" for trial in record.trials), ended(record)
    if [teacher.key() for teacher in space.teachers] != record.facts().get("teachers"):
        raise UsageError(f"the teacher of {folder.path} is another one now; search again with --fresh")
    return _Study(spec=spec, splits=splits, stages=stages, teachers=space.teachers, rows=found, told=told, ended=known)


def _train(study: _Study, wanted: Sequence[Candidate], runner: Runner, console: Console) -> dict[str, str]:
    """Trains what is not stored yet; returns why some could not be trained."""
    stages = [stage for one in wanted for stage in one.stages()]
    plan = Plan(study.spec, study.stages.store, study.splits, stages)
    if not plan.finished():
        said = _Said(console, plan)
        console.print(f"{plan.left()} of {plan.total()} trainings are left: fresh seeds and twins of {len(wanted)} students")
        runner.begin()
        runner.run(plan, said)
    return plan.failures


class _Said:
    """A line at each tenth of the way."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.console, self.plan = console, plan
        self._tenth = 0

    def __call__(self) -> None:
        tenth = 10 - 10 * self.plan.left() // max(1, self.plan.total())
        if tenth > self._tenth:
            self._tenth = tenth
            self.console.print(f"{self.plan.total() - self.plan.left()} of {self.plan.total()} trainings are done")


def _tested(
    folder: Folder, study: _Study, wanted: Sequence[Candidate], failures: Mapping[str, str], console: Console
) -> Confirmed:
    """What was found on the test split: read where all of it is known, else the split is opened."""
    before = read(folder.path)
    networks = _networks(study, wanted)
    frozen = {key: one for key, one in networks.items() if study.stages.has(key)}
    if before is not None and set(frozen) <= set(before.right):
        console.print("all of this was confirmed before; nothing to do")
        return before
    for key in [*frozen, *(one.searched.key() for one in wanted), *(teacher.key() for teacher in study.teachers)]:
        study.stages.store.verify("stages", key)
    openings = note_opening(folder.path, list(networks), trials=study.told)
    device = torch.device("cuda" if study.spec.resources.gpus and torch.cuda.is_available() else "cpu")
    test = study.splits.test.unseal()
    verdicts = {key: judge(study.stages.store, network, test, device) for key, network in frozen.items()}
    console.print(f"the test split, {len(test):,} samples, was opened for {len(frozen)} frozen networks; now their latency")
    facts = Writer(study.spec, study.stages, study.teachers, verdicts, test, device).facts(wanted, failures)
    facts |= {"opened": openings, "trials": study.told, "ended": sorted(study.ended), "own_test": study.splits.own_test}
    found = Confirmed(facts=facts, right={key: verdict.right for key, verdict in verdicts.items()})
    return save(folder.path, found)


def _networks(study: _Study, wanted: Sequence[Candidate]) -> dict[str, Stage | Checkpoint]:
    """All that are to be seen on the test split, by their keys."""
    networks = [*study.teachers, *(network for one in wanted for network in (one.searched, *one.stages()))]
    return {one.key(): one for one in networks}


def went_on(folder: Folder, found: Confirmed) -> int:
    """How many students were tried since the study was confirmed."""
    with contextlib.closing(Record(folder.database, folder.read())) as record:
        return found.later(record)
