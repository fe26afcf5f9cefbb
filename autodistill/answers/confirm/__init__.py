"""Fresh seeds and baselines for the frontier, then the sealed test split, opened once for frozen networks."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from rich.console import Console

from ...console import plain
from ...data.splits import Samples
from ...metrics import latency
from ...metrics.metric import metric_of
from ...runners import Runner, runner_of
from ...spec import UsageError
from ...spec.document import ReferenceName
from ...study.preflight.prepare import load_data, space_of
from ...study.record.directory import StudyDirectory
from ...study.record.ledger import Networks, Opening, is_another
from ...study.record.opened import open_study
from ...study.record.rows import rows
from ...study.schedule.plan import Plan
from .candidates import candidates
from .confirmation import Confirmation, Device, Look, SealedSplit, ended
from .judge import Judged, digest_of, judge
from .references import allowed, judge_references, keys_of, lacking
from .results import Damaged, known_openings, note_opening, refuse_opened, save, unverified, verify, weights_of
from .results import read as read_confirmed

__all__ = ["Confirmation", "confirm", "confirmed", "read", "refuse_any_opening"]
SEEDS = 5


def confirm(
    directory: StudyDirectory,
    *,
    seeds: int = SEEDS,
    only: Sequence[str] = (),
    baselines: bool = True,
    runner: Runner | Literal["ray", "serial"] = "ray",
    force: bool = False,
    console: Console | None = None,
) -> Confirmation:
    """Retrains the frontier of a study, students that may be on the true frontier, and their `baselines` with fresh `seeds`.
    Then opens the sealed test split for these frozen networks and writes confirm.json and confirm.npz. With `only`, the
    beginnings of keys, retrains these students alone.

    Stored stages are reused. Raises StudyError if the split was opened before for other networks, unless `force` is given,
    which is recorded; UsageError if there is nothing to confirm.
    """
    if seeds < 0:
        raise UsageError(f"--seeds {seeds}: give the number of fresh seeds, such as {SEEDS}, or 0 for none")
    runner, console = runner_of(runner), console or plain()
    try:
        with directory:
            chosen = _Chosen(seeds, only, baselines)
            study = _Study(directory, chosen, console, force=force, cuda=runner.sees_cuda())
            before = study.before()  # raises before hours of training
            return study.tested(before, study.train(runner))
    finally:
        runner.end()


class _Chosen(NamedTuple):
    """How many fresh seeds are trained, of which students, and whether their baselines are trained, too."""

    seeds: int
    only: Sequence[str]
    baselines: bool


class _Study:
    """A finished search, and which of its students are confirmed."""

    def __init__(self, directory: StudyDirectory, chosen: _Chosen, console: Console, *, force: bool, cuda: bool) -> None:
        self.directory, self.path, self.console, self.force = directory, directory.path, console, force
        self.seeds = chosen.seeds
        with open_study(directory) as study:
            self.spec, self.splits = load_data(study.spec, cuda=cuda)
            self.teachers = space_of(self.spec, self.splits, study.store).teachers
            self.store, self.stages, self.looks = study.store, study.stages, study.notes.looks
            record, found = study.record, rows(self.spec, self.stages, study.record, self.splits.floors[self.spec.task.measure])
            self.trials, self.ended = sum(trial.state != "running" for trial in record.trials), ended(record)
        if tuple(teacher.key() for teacher in self.teachers) != study.notes.teachers:
            raise UsageError(f"the teacher of {self.path} has changed; search again with --fresh")
        self.wanted = candidates(self.spec, found, self.stages, self.teachers, **chosen._asdict())
        if not self.wanted:
            raise UsageError(f"{self.path} has no frontier to confirm; run search first")
        networks = [*self.teachers, *(network for one in self.wanted for network in (one.searched, *one.stages()))]
        self.networks = {one.key(): one for one in networks}
        """All networks that are evaluated on the test split."""
        self.references = keys_of(self.spec, self.teachers[0].task.data, self.stages)

    def weights(self) -> Networks:
        """The sha256 of the weights of each network, by key; None for a network that is not stored."""
        return {key: weights_of(self.store, key) if self.stages.has(key) else None for key in self.networks}

    def before(self) -> Confirmation | None:
        """The earlier confirmation; None if there is none, or if it is damaged: then says so, and it is created again.

        Raises StudyError if this would be another opening of the test split, unless `force`.
        """
        found, damage = None, None
        try:
            if known_openings(self.path, self.looks, self.force) is not None:
                found = unverified(self.path, self.looks)
        except Damaged as error:
            damage = error
        if not self.force:
            refuse_opened(self.path, self.looks, self.weights(), damage=damage)
        if damage is not None:
            self.console.print(f"{damage.what}; confirming the same networks again", soft_wrap=True)
        return found

    def train(self, runner: Runner) -> dict[str, str]:
        """Trains what is not stored yet; returns why some could not be trained."""
        plan = Plan(self.spec, self.store, self.splits, [stage for one in self.wanted for stage in one.stages()])
        if not plan.finished():
            students = sum(bool(one.fresh) for one in self.wanted)
            what = f"fresh seeds and baselines of {students:,} student{'s' * (students != 1)}"
            self.console.print(f"training runs left: {plan.left():,} of {plan.total():,} ({what})")
            runner.begin()
            runner.run(plan, _Progress(self.console, plan), self.console.print)
        return plan.failures

    def tested(self, before: Confirmation | None, failures: Mapping[str, str]) -> Confirmation:
        """The results on the test split: those of `before` if all are known, otherwise the split is opened."""
        weights, last = self.weights(), known_openings(self.path, self.looks, self.force) or []
        frozen = [key for key in self.networks if weights[key] is not None]
        references = allowed(self.references, None if self.force or not last else last[-1])
        opened = {**weights, **{key: key for key in references.values()}}
        if before is not None and set(frozen) <= set(before.outcomes) and not lacking(before, references):
            if not (self.force and is_another(last, opened)):
                verify(before, self.store)
                self._say_later(before)
                return before
        for key in frozen:
            self.store.verify("stages", key)
        test = self.splits.test.unseal()
        openings = note_opening(
            self.path, self.looks, opened, test=digest_of(test), trials=self.trials, seeds=self.seeds, force=self.force
        )  # before any prediction on the test split
        with open_study(self.directory) as now:
            now.record.note(replace(now.notes, looks=len(openings)))
        return save(self.path, self._judged(frozen, list(references), test, openings, failures))

    def _say_later(self, before: Confirmation) -> None:
        """Why nothing is done."""
        for name in lacking(before, self.references):
            what = f"the reference model {name} has no test score, because the test split was opened before it was added"
            self.console.print(f"{what}. Add --force to open the split again; every report will say so", soft_wrap=True)
        self.console.print("everything is already confirmed; nothing to do")

    def _judged(
        self,
        frozen: Sequence[str],
        references: Sequence[ReferenceName],
        test: Samples,
        openings: Sequence[Opening],
        failures: Mapping[str, str],
    ) -> Confirmation:
        """What the frozen networks and the reference models predict on the test samples."""
        resources, teacher = self.spec.resources, self.teachers[0]
        device = torch.device("cuda" if resources.gpus and torch.cuda.is_available() else "cpu")
        found = {key: judge(self.store, self.networks[key], test, device) for key in frozen}
        what = f"the test split ({len(test):,} samples) was opened for {len(frozen)} frozen networks"
        self.console.print(f"{what}; measuring latency")
        metric, classes = metric_of(self.spec.search), self.splits.classes
        known = Judged(metric, classes, self.splits.inputs, self.stages, teacher, found, test, device, resources.threads)
        return Confirmation(
            study=self.spec.study,
            metric=metric.name,
            also=self.spec.task.beside,
            seeds=max(len(one.fresh) for one in self.wanted),
            test=SealedSplit(
                n=len(test), classes=classes, digest=digest_of(test), class_names=test.names, kind=self.splits.kind
            ),
            device=Device(name=latency.name_of(device), kind=device.type, threads=resources.threads),
            environment={"torch": torch.__version__, "python": platform.python_version()},
            failures=dict(failures),
            teacher=known.frozen(teacher, teacher.key()),
            members=tuple(known.member(one) for one in self.wanted),
            opened=tuple(Look(**one.facts()) for one in openings),
            opening=openings[-1].checksum(),
            trials=self.trials,
            ended=tuple(sorted(self.ended)),
            own_test=self.splits.own_test,
            references=judge_references(known, references, self.console),
            outcomes={key: one.outcome for key, one in found.items()},
        )


class _Progress:
    """Prints a line at each tenth of the trainings."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.console, self.plan, self._tenth = console, plan, 0

    def __call__(self) -> None:
        tenth = 10 - 10 * self.plan.left() // max(1, self.plan.total())
        if tenth > self._tenth:
            self._tenth = tenth
            self.console.print(f"training runs done: {self.plan.total() - self.plan.left():,} of {self.plan.total():,}")


def read(directory: StudyDirectory) -> Confirmation | None:
    """The confirmation of a study, or None. Raises StudyError or StoreError if a file of it is damaged."""
    with open_study(directory) as study:
        return read_confirmed(study)


def refuse_any_opening(directory: StudyDirectory) -> None:
    """Raises StudyError if the test split was opened before."""
    with open_study(directory) as study:
        refuse_opened(directory.path, study.notes.looks)


def confirmed(directory: StudyDirectory) -> Confirmation:
    """The same, but raises UsageError if the study is not confirmed."""
    found = read(directory)
    if found is None:
        raise UsageError(f"{directory.path} is not confirmed yet; run: autodistill confirm {directory.path}")
    return found
