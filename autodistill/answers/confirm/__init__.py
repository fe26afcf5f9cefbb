"""Fresh seeds and baselines for the frontier, then the sealed test split, opened once for frozen networks."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from rich.console import Console

from ...data import Splits
from ...data.splits import Samples
from ...metrics import latency
from ...runners import Runner, runner_of
from ...spec import Checkpoint, Spec, Stage, UsageError
from ...study.preflight.prepare import load_data, space_of
from ...study.record.folder import LOOKS, Folder
from ...study.record.ledger import Networks, Opening, is_another
from ...study.record.opened import opened
from ...study.record.rows import Stages, TrialRow, rows
from ...study.schedule.plan import Plan
from .candidates import Candidate, candidates
from .confirmation import Confirmation, Device, Look, SealedSplit, ended
from .judge import Judged, digest_of, judge
from .results import Damaged, known_openings, note_opening, refuse_opened, save, unverified, verify, weights_of
from .results import read as read_confirmed

__all__ = ["Confirmation", "confirm", "confirmed", "read", "refuse_any_opening", "went_on"]
SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class _Study:
    """A finished search, opened to be confirmed."""

    spec: Spec
    splits: Splits
    stages: Stages
    teachers: Sequence[Stage | Checkpoint]
    rows: Sequence[TrialRow]
    told: int
    ended: set[str]
    looks: int

    def weights(self, networks: Iterable[str]) -> Networks:
        """The sha256 of the weights of each network, by key; None for a network that is not stored."""
        store = self.stages.store
        return {key: weights_of(store, key) if self.stages.has(key) else None for key in networks}


def confirm(
    folder: Folder,
    *,
    seeds: int = SEEDS,
    runner: Runner | Literal["ray", "serial"] = "ray",
    force: bool = False,
    console: Console | None = None,
) -> Confirmation:
    """Retrains the frontier of a study, students that may be on the true frontier, and their baselines with fresh `seeds`.
    Then opens the sealed test split for these frozen networks and writes confirm.json and confirm.npz.

    Stored stages are reused. Raises StudyError if the split was opened before for other networks, unless `force` is given,
    which is recorded; UsageError if there is nothing to confirm.
    """
    if seeds < 0:
        raise UsageError(f"--seeds {seeds}: give the number of fresh seeds, such as {SEEDS}, or 0 for none")
    runner, console = runner_of(runner), console or Console(file=sys.stderr)
    try:
        with folder:
            study = _opened(folder, cuda=runner.sees_cuda())
            wanted = candidates(study.spec, study.rows, study.stages, study.teachers, seeds)
            if not wanted:
                raise UsageError(f"{folder.path} has no frontier to confirm; run search first")
            before = _before(folder, study, wanted, force=force, console=console)  # raises before hours of training
            failures = _train(study, wanted, runner, console)
            return _tested(folder, study, wanted, failures, before, seeds=seeds, force=force, console=console)
    finally:
        runner.end()


def _opened(folder: Folder, *, cuda: bool) -> _Study:
    with opened(folder) as study:
        spec, splits = load_data(study.spec, cuda=cuda)
        space, stages, record = space_of(spec, splits, study.store), Stages(study.store), study.record
        found = rows(spec, stages, record, splits.chance)
        told, known = sum(trial.state != "running" for trial in record.trials), ended(record)
        looks = study.looks
    if [teacher.key() for teacher in space.teachers] != record.facts().get("teachers"):
        raise UsageError(f"the teacher of {folder.path} has changed; search again with --fresh")
    return _Study(
        spec=spec, splits=splits, stages=stages, teachers=space.teachers, rows=found, told=told, ended=known, looks=looks
    )


def _train(study: _Study, wanted: Sequence[Candidate], runner: Runner, console: Console) -> dict[str, str]:
    """Trains what is not stored yet; returns why some could not be trained."""
    stages = [stage for one in wanted for stage in one.stages()]
    plan = Plan(study.spec, study.stages.store, study.splits, stages)
    if not plan.finished():
        progress = _Progress(console, plan)
        console.print(
            f"{plan.left()} of {plan.total()} trainings are left: fresh seeds and baselines of {len(wanted)} students"
        )
        runner.begin()
        runner.run(plan, progress, console.print)
    return plan.failures


class _Progress:
    """Prints a line at each tenth of the trainings."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.console, self.plan = console, plan
        self._tenth = 0

    def __call__(self) -> None:
        tenth = 10 - 10 * self.plan.left() // max(1, self.plan.total())
        if tenth > self._tenth:
            self._tenth = tenth
            self.console.print(f"{self.plan.total() - self.plan.left()} of {self.plan.total()} trainings are done")


def _before(
    folder: Folder, study: _Study, wanted: Sequence[Candidate], *, force: bool, console: Console
) -> Confirmation | None:
    """The earlier confirmation; None if there is none or if it is damaged (then prints so, and it is created again).

    Raises StudyError if this would be another opening of the test split, unless `force`.
    """
    found, damage = None, None
    try:
        if known_openings(folder.path, study.looks, force) is not None:
            found = unverified(folder.path, study.looks)
    except Damaged as error:
        damage = error
    if not force:
        refuse_opened(folder.path, study.looks, study.weights(_networks(study, wanted)), damage=damage)
    if damage is not None:
        console.print(f"{damage.what}; confirming the same networks again", soft_wrap=True)
    return found


def _tested(
    folder: Folder,
    study: _Study,
    wanted: Sequence[Candidate],
    failures: Mapping[str, str],
    before: Confirmation | None,
    *,
    seeds: int,
    force: bool,
    console: Console,
) -> Confirmation:
    """The results on the test split: read if all are known, otherwise the split is opened."""
    networks = _networks(study, wanted)
    weights = study.weights(networks)
    frozen = {key: one for key, one in networks.items() if weights[key] is not None}
    if before is not None and set(frozen) <= set(before.right):
        if not (force and is_another(known_openings(folder.path, study.looks, force) or [], weights)):
            verify(before, study.stages.store)
            console.print("all of this was confirmed before; nothing to do")
            return before
    for key in frozen:
        study.stages.store.verify("stages", key)
    test = study.splits.test.unseal()
    openings = note_opening(
        folder.path, study.looks, weights, test=digest_of(test), trials=study.told, seeds=seeds, force=force
    )  # before any prediction on the test split
    with opened(folder) as now:
        now.record.note(LOOKS, len(openings))
    return save(folder.path, _judged(study, wanted, frozen, test, openings, failures, console))


def _judged(
    study: _Study,
    wanted: Sequence[Candidate],
    frozen: Mapping[str, Stage | Checkpoint],
    test: Samples,
    openings: Sequence[Opening],
    failures: Mapping[str, str],
    console: Console,
) -> Confirmation:
    """What the frozen networks predict on the test samples."""
    spec, stages, teacher = study.spec, study.stages, study.teachers[0]
    device = torch.device("cuda" if spec.resources.gpus and torch.cuda.is_available() else "cpu")
    predictions = {key: judge(stages.store, network, test, device) for key, network in frozen.items()}
    console.print(f"the test split ({len(test):,} samples) was opened for {len(frozen)} frozen networks; measuring latency")
    threads = spec.resources.threads
    known = Judged(stages=stages, teacher=teacher, predictions=predictions, test=test, device=device, threads=threads)
    return Confirmation(
        study=spec.study,
        seeds=max(len(one.fresh) for one in wanted),
        test=SealedSplit(n=len(test), digest=digest_of(test), class_names=test.names),
        device=Device(name=latency.name_of(device), kind=device.type, threads=threads),
        environment={"torch": torch.__version__, "python": platform.python_version()},
        failures=dict(failures),
        teacher=known.frozen(teacher, teacher.key()),
        members=tuple(known.member(one) for one in wanted),
        opened=tuple(Look(**one.facts()) for one in openings),
        opening=openings[-1].checksum(),
        trials=study.told,
        ended=tuple(sorted(study.ended)),
        own_test=study.splits.own_test,
        right={key: one.right for key, one in predictions.items()},
    )


def _networks(study: _Study, wanted: Sequence[Candidate]) -> dict[str, Stage | Checkpoint]:
    """All networks that are evaluated on the test split, by their keys."""
    networks = [*study.teachers, *(network for one in wanted for network in (one.searched, *one.stages()))]
    return {one.key(): one for one in networks}


def read(folder: Folder) -> Confirmation | None:
    """The confirmation of a study, or None. Raises StudyError or StoreError if a file of it is damaged."""
    with opened(folder) as study:
        return read_confirmed(study)


def refuse_any_opening(folder: Folder) -> None:
    """Raises StudyError if the test split was opened before."""
    with opened(folder) as study:
        refuse_opened(folder.path, study.looks)


def confirmed(folder: Folder) -> Confirmation:
    """The same, but raises UsageError if the study is not confirmed."""
    found = read(folder)
    if found is None:
        raise UsageError(f"{folder.path} is not confirmed yet; run: autodistill confirm {folder.path}")
    return found


def went_on(folder: Folder, found: Confirmation) -> int:
    """How many students were tried after the study was confirmed."""
    with opened(folder) as study:
        return found.later(study.record)
