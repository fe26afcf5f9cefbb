"""The runner that reads what trainings would come to: it drives a study as the others do, on a clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autodistill.distill import Job, Rung
from autodistill.runners import Runner
from autodistill.runners.attempts import Serial
from autodistill.spec import Spec, Stage
from autodistill.spec.measurement import SoftTargetEntropy, StageFacts
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.record import Record
from autodistill.study.schedule.scheduler import Study
from benchmarks.replay.memory import Memory
from benchmarks.replay.replay import Answer, Replay, measurement

from .conftest import timeless

SOFT_TARGETS = SoftTargetEntropy(entropy={"1": 1.0, "4": 1.3, "8": 1.35}, classes=4, train_accuracy=0.9)


def open_study(spec: Spec, folder: Path, store: Store | None = None) -> Study:
    """A study in memory, unless it is given a store."""
    folder.mkdir(exist_ok=True)
    spec, splits = load_data(spec, cuda=False)
    space = space_of(spec, splits, store or Store(folder / "data"))
    record = Record(None, spec, space.domains)
    record.note(replace(record.notes, teachers=tuple(teacher.key() for teacher in space.teachers)))
    return Study(spec, space, store or Memory(), record, floors=splits.floors)


def formula(study: Study, seconds: Callable[[Job], float] = lambda job: 1.0, scatter: float = 0.0) -> Callable[[Job], Answer]:
    """Larger students and more epochs are better, but for the scatter, which is of a stage: at most that share is lost."""

    def answer(job: Job) -> Answer:
        if not job.trains:
            return Answer(seconds=seconds(job))
        assert isinstance(job.network, Stage)
        sizes, epochs = study.space.sizes(job.network.architecture), job.network.recipe.epochs
        lost = scatter * random.Random(job.network.key()).random()
        best = (0.5 + 0.4 * sizes.params / (200 + sizes.params)) * (1 - lost)
        found = {epoch: best * (1 - 0.2 / epoch) for epoch in range(1, epochs + 1)}
        told = measurement(found[epochs], sizes, 1000)
        return Answer(
            seconds=seconds(job),
            accuracies=found,
            measurement=told,
            soft_targets=None if job.network.teachers else SOFT_TARGETS,
        )

    return answer


def told(study: Study) -> list[Any]:
    return [(trial.params, trial.state, trial.values, timeless(trial.facts)) for trial in study.record.trials]


def test_what_serial_trained_replayed_gives_the_same_trials(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """Given the accuracies that Serial's trainings reported, the study comes to exactly the same."""
    spec = tiny(search={"trials": 14}, assistants__at_most=2, student__recipe={"epochs": 6, "learning_rate": 0.01})
    trained = open_study(spec, tmp_path / "trained", Store(tmp_path / "store"))
    reported = watched(trained)
    Serial().run(trained, lambda: None, print)

    def answer(job: Job) -> Answer:
        if not job.trains:
            return Answer(seconds=0.1)
        key = job.network.key()
        found = StageFacts.of(trained.store.manifest("stages", key)) if trained.store.has("stages", key) else None
        return Answer(
            seconds=1.0,
            accuracies=reported.get(key, {}),
            measurement=None if found is None else found.measurement,
            soft_targets=None if found is None else found.soft_targets,
        )

    replayed = open_study(spec, tmp_path / "replayed")
    Replay(answer).run(replayed, lambda: None)
    assert told(replayed) == told(trained) and replayed.finished()
    assert {"stopped", "complete"} <= {trial.state for trial in replayed.record.trials}


def watched(study: Study) -> Mapping[str, Mapping[int, float]]:
    """The accuracies that trainings report, as they come."""
    reported: dict[str, dict[int, float]] = {}
    original = study.continues

    def continues(job: Job, rung: Rung) -> bool:
        reported.setdefault(job.network.key(), {})[rung.epochs] = rung.values["accuracy"]
        return original(job, rung)

    study.continues = continues  # type: ignore[method-assign]
    return reported


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_all_trials_end_whatever_the_workers(tiny: Callable[..., Spec], tmp_path: Path, workers: int) -> None:
    study = open_study(tiny(search={"trials": 30, "sampler": "random"}, student__recipe={"epochs": 4}), tmp_path)
    runner: Runner = Replay(formula(study, scatter=0.3), workers=workers)
    runner.run(study, lambda: None)
    assert study.finished() and len(study.frontier()) > 0
    states = [trial.state for trial in study.record.trials]
    assert set(states) == {"complete", "stopped"} and 3 <= states.count("stopped") <= 15


def test_one_worker_takes_the_sum_of_all_seconds(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """Without stops: a teacher, its outputs and as many students, 1 s each."""
    spec = tiny(search={"trials": 10, "sampler": "random", "halving": False, "label_baselines": False}, assistants__at_most=0)
    study = open_study(spec, tmp_path)
    replay, jobs = Replay(formula(study)), list[float]()
    replay.run(study, lambda: jobs.append(replay.clock))
    assert jobs == [float(second) for second in range(1, 2 + len(study.trained))]


def test_a_stopped_training_has_cost_its_share_and_goes_on_from_there(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(search={"trials": 4, "sampler": "random"}, student__recipe={"epochs": 10, "learning_rate": 0.01})
    study = open_study(spec, tmp_path)
    replay = Replay(formula(study, lambda job: 10.0))
    stage = study.space.decode({path: domain.ends()[0] for path, domain in study.space.domains.items()})
    job = Job(network=stage, rungs=(3, 6))
    answers = iter([False, True])
    ends: list[float] = []
    for _ in range(2):
        one = _One(study, job, answers)
        replay.run(one, lambda: ends.append(replay.clock))  # type: ignore[arg-type]
    assert ends == [3.0, 10.0] and one.rungs == [6]


class _One:
    """A study of one job."""

    def __init__(self, study: Study, job: Job, answers: Any) -> None:
        self.store, self.jobs, self.answers, self.workers = study.store, [job], answers, 1
        self.rungs: list[int] = []

    def next(self) -> Job | None:
        return self.jobs.pop() if self.jobs else None

    def continues(self, job: Job, rung: Rung) -> bool:
        self.rungs.append(rung.epochs)
        return bool(next(self.answers))

    def done(self, job: Job, failure: str | None = None) -> None:
        assert failure is None and self.store.has(*job.address())
