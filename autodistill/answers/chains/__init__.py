"""Which assistants, in which order, for this teacher and this student."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from ...console import plain
from ...data import Splits
from ...runners import Runner, check_cpus, runner_of
from ...spec import Spec, Stage, StudyError, UsageError, is_full
from ...store import Store
from ...study.preflight.prepare import load_data
from ...study.record.directory import OWN_STORE, StudyDirectory, refuse_anothers, replace
from ...study.record.opened import open_study
from ...study.record.rows import Stages, own_of
from ...study.schedule.plan import Plan
from .asked import with_student
from .chain_plan import ChainPlan
from .compare import DIRECT
from .planner import Batch, Planner
from .results import chain_plan
from .trainings import Measured, Trainings, trainings_of

__all__ = ["ChainPlan", "Home", "plan_chain"]
SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Home:
    """The paths of a plan: the study directory that is locked, the store of its stages, and the output directory."""

    directory: StudyDirectory
    store: Path
    out: Path

    @classmethod
    def of(cls, spec: Spec, student: str, study: Path | None = None, out: str | None = None, store: str | None = None) -> Home:
        """`study` is the directory of a search whose stages are reused; without it, `out` or else reports/<study>."""
        path = study or (Path(out) if out else Path("reports") / spec.study)
        directory, name = (
            StudyDirectory(path),
            "".join(letter if letter.isalnum() or letter in "=.," else "_" for letter in student),
        )
        known: Path | None = None
        if store is None and directory.exists():
            with open_study(directory) as study_there:
                known = study_there.store.root
        kept = Path(store) if store else known or directory.path / OWN_STORE
        place = Path(out).absolute() if out else directory.path / f"chain-{name.replace(',', '-').replace('=', '')}"
        return cls(directory=directory, store=kept, out=place)


def plan_chain(
    spec: Spec,
    *,
    student: str,
    home: Home,
    seeds: int = SEEDS,
    seconds: float | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    console: Console | None = None,
) -> ChainPlan:
    """Compares ways to distill the teacher of `spec` into one student (`student` is a text such as depth=1,width=4), on the
    validation samples, and writes chain.json.

    No new round begins after `seconds` of wall time. Stored stages are not trained again: the same call resumes. Raises
    UsageError for invalid arguments, StudyError if direct distillation itself cannot be trained.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: give 1 or more; with one seed, no gain can be tested")
    runner, console = runner_of(runner), console or plain()
    started = time.monotonic()
    spec = with_student(spec, student)
    try:
        with home.directory:
            _make(home.out)  # before hours of training
            check_cpus(spec, runner.cpus())
            spec, splits = load_data(spec, cuda=runner.sees_cuda())
            refuse_anothers(home.directory, home.store)
            store = Store(home.store).open()
            trainings = trainings_of(spec, splits, store)
            queue = _Queue(trainings, store, splits, console, started)
            planner, known = _run(queue, runner, seeds, math.inf if seconds is None else started + seconds)
    finally:
        runner.end()
    spent = time.monotonic() - started
    found = chain_plan(planner, known, student=student, seconds=spent, failures=queue.plan.failures)
    replace(home.out / "chain.json", json.dumps(found.as_json(), indent=1).encode() + b"\n")
    return found


def _make(out: Path) -> None:
    """Raises UsageError if no report can be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        if is_full(error):
            raise
        raise UsageError(f"--out {out} cannot be written to: {error.strerror}; give another --out") from error


def _run(queue: _Queue, runner: Runner, seeds: int, end: float) -> tuple[Planner, Measured]:
    """Trains round by round; none begins after `end`. Raises StudyError if direct distillation cannot be trained."""
    plan, trainings = queue.plan, queue.trainings
    numbers = trainings.seeds(seeds)
    known = Measured(
        trainings, Stages(plan.store, own_of(trainings.space.spec)), numbers[0], lambda: (end - time.monotonic()) * plan.workers
    )
    planner = Planner(known.ladder(), numbers, known, rivals=trainings.rivals(), long=known.long)
    queue.rounds = planner.rounds()
    plan.begin()
    if not plan.finished():
        runner.begin()
        runner.run(plan, lambda: None, queue.console.print)
    if not planner.seen(DIRECT):
        reason = next(iter(plan.failures.values()), "it was not trained")
        what = f"direct distillation of {trainings.direct.architecture} failed, so no chain can be compared with it"
        raise StudyError(f"{what}: {reason}")
    return planner, known


class _Queue:
    """Hands the batches of `rounds` to its plan, and prints a line for each batch with something left to train."""

    def __init__(self, trainings: Trainings, store: Store, splits: Splits, console: Console, started: float) -> None:
        self.trainings, self.console, self.started = trainings, console, started
        self.plan = Plan(trainings.space.spec, store, splits, [], self._more)
        self.rounds: Iterator[Batch] = iter(())

    def _more(self) -> list[Stage]:
        """The next batch that is not entirely stored or given up."""
        for batch in self.rounds:
            stages = [self.trainings.stage(one, seed) for one, seed in batch.wanted]
            left = list({stage.key(): stage for stage in stages if self._is_left(stage)}.values())
            if left:
                return left if self._is_begun(batch.what, left) else []
        return []

    def _is_left(self, stage: Stage) -> bool:
        return not self.plan.store.has("stages", stage.key()) and not self.plan.has_failed(stage)

    def _is_begun(self, what: str, left: list[Stage]) -> bool:
        """Caches above the limit are an error in the first batch; in a later one, they end the comparison."""
        clock = f"{time.monotonic() - self.started:.0f} s"
        try:
            self.plan.check_caches(left)
        except UsageError as error:
            if not self.plan.total():
                raise
            self.console.print(f"{clock:>6}  {what}: not started: {error}", soft_wrap=True)
            return False
        self.console.print(f"{clock:>6}  {what}: {len(left)} to train", soft_wrap=True)
        return True
