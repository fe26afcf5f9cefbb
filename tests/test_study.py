"""The controller without workers: asking, telling, resuming, readiness, failures."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from scipy.stats import kendalltau

from autodistill.distill import Job, Rung, make_outputs, train
from autodistill.reporting.summary import counts, summary
from autodistill.reporting.terminal import remarks
from autodistill.reporting.write import as_json
from autodistill.spec import Spec, Stage, StudyError, UsageError
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.findings import Concordance, concordance
from autodistill.study.record.notes import Notes
from autodistill.study.record.record import Record
from autodistill.study.schedule.jobs import needs
from autodistill.study.schedule.policy import REPEATS
from autodistill.study.schedule.scheduler import Study
from autodistill.study.space import Proposal

CPU = torch.device("cpu")


def open_study(spec: Spec, root: Path, store: Store | None = None) -> Study:
    spec, splits = load_data(spec, cuda=False)
    store = store or Store(root / "store")
    space = space_of(spec, splits, store)
    record = Record(root / "study.db", spec, space.domains)
    record.note(replace(record.notes, teachers=tuple(teacher.key() for teacher in space.teachers)))
    return Study(spec, space, store, record, floors=splits.floors)


def do(study: Study, job: Job) -> None:
    if job.cache is not None:
        make_outputs(study.store, job.network, job.cache, CPU)
    else:
        assert isinstance(job.network, Stage)
        train(study.store, job.network, CPU)
    study.done(job)


def run(study: Study, most: int = 1000) -> list[Job]:
    done: list[Job] = []
    while len(done) < most and (job := study.next()) is not None:
        do(study, job)
        done.append(job)
    return done


def told(study: Study) -> list[Any]:
    return [(trial.params, trial.state, trial.values, trial.facts) for trial in study.record.trials]


@pytest.fixture
def study(tiny: Callable[..., Spec], folder: Path) -> Callable[..., Study]:
    return lambda **changes: open_study(tiny(**changes), folder)


def test_the_teacher_comes_first_and_alone(study: Callable[..., Study]) -> None:
    one = study()
    one.workers = 4
    job = one.next()
    assert job is not None and job.network.key() == one.space.teachers[0].key() and job.trains
    assert one.next() is None and one.record.trials == []


def test_no_job_starts_before_what_it_needs_is_stored(study: Callable[..., Study]) -> None:
    one = study(assistants__at_most=2, search__trials=8)
    one.workers = 3
    pending: list[Job] = []
    while not one.finished():
        while len(pending) < one.workers and (job := one.next()) is not None:
            before = list(needs(job.network))[:-1] if job.trains else list(needs(job.network))
            assert all(one.store.has(*need.address()) for need in before)
            assert job.address() not in [other.address() for other in pending]
            pending.append(job)
        assert len([trial for trial in one.record.trials if trial.state == "running"]) <= one.workers + len(one.space.ladder)
        do(one, pending.pop(0))
    assert one.next() is None and not pending


def test_while_outputs_are_computed_no_more_trials_are_open_than_workers(study: Callable[..., Study]) -> None:
    one = study(search__trials=8, student__loss={"ce": {"weight": 0.5}, "kd": {"weight": 0.5, "temperature": 2.0}})
    one.workers = 2
    teacher = one.next()
    assert teacher is not None
    do(one, teacher)
    outputs = one.next()
    assert outputs is not None and not outputs.trains
    while one.next() is not None:
        pass
    assert len(one.record.trials) == 2 < one.workers + len(one.space.ladder)


def test_while_an_assistant_is_trained_more_trials_are_open_than_workers(study: Callable[..., Study]) -> None:
    one = study(search__trials=8, assistants__at_least=1, assistants__ladder=[{"family": "mlp", "depth": 1, "width": 32}])
    one.workers = 2
    run(one, 1)
    while (job := one.next()) is not None and not job.trains:
        do(one, job)
    assert job is not None and one.jobs.unblocks(job)  # the assistant's training
    while one.next() is not None:
        pass
    assert len(one.record.trials) == 3 == one.workers + len(one.space.ladder)


def test_twelve_trials_on_one_assistant_train_it_once(study: Callable[..., Study]) -> None:
    one = study(
        assistants__at_least=1,
        assistants__ladder=[{"family": "mlp", "depth": 1, "width": 32}],
        search__trials=12,
        student__loss={"kd": {"weight": 1.0, "temperature": {"log": [1, 16]}}},
    )
    one.workers = 4
    jobs = run(one)
    keys = [job.network.key() for job in jobs if job.trains]
    assert len(keys) == len(set(keys)) == 1 + 1 + 12
    assistants = {key for trial in one.record.trials for key in trial.facts.above} - set(one.teachers)
    assert len(assistants) == 1
    assert one.reused() == 11


def test_a_finished_study_opens_finished_and_as_it_was(study: Callable[..., Study]) -> None:
    one = study()
    run(one)
    again = study()
    assert again.finished() and again.next() is None
    assert told(again) == told(one)
    assert again.frontier().equals(one.frontier())


@pytest.mark.slow
@pytest.mark.parametrize("stop", range(1, 12, 2))
def test_stopped_anywhere_the_study_becomes_the_same(tiny: Callable[..., Spec], folder: Path, stop: int) -> None:
    """Killed after any number of jobs, even between a stage's being stored and its being told."""
    whole = open_study(tiny(), folder / "whole")
    run(whole)
    one = open_study(tiny(), folder / "cut")
    run(one, stop)
    job = one.next()
    if job is not None and job.trains:
        assert isinstance(job.network, Stage)
        train(one.store, job.network, CPU)  # stored, then killed
    again = open_study(tiny(), folder / "cut")
    run(again)
    assert told(again) == told(whole)


@pytest.fixture(autouse=True)
def folders(folder: Path) -> None:
    for name in ("whole", "cut"):
        (folder / name).mkdir()


@pytest.mark.parametrize(
    "sampler", ["auto", *(pytest.param(one, marks=pytest.mark.slow) for one in ("tpe", "random", "nsga2", "gp"))]
)
def test_every_sampler_finishes_and_resumes(tiny: Callable[..., Spec], folder: Path, sampler: str) -> None:
    spec = tiny(search={"trials": 14, "sampler": sampler})
    whole = open_study(spec, folder / "whole")
    run(whole)
    assert whole.finished()
    run(open_study(spec, folder / "cut"), 9)
    again = open_study(spec, folder / "cut")
    run(again)
    assert [trial.params for trial in again.record.trials] == [trial.params for trial in whole.record.trials]


def test_values_told_are_natural_units(study: Callable[..., Study]) -> None:
    one = study()
    run(one)
    stored = optuna.load_study(study_name="tiny", storage=one.record.storage)
    assert [direction.name for direction in stored.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial in stored.trials:
        found = one.stages.measured(trial.user_attrs["facts"]["stage"])
        assert trial.values == [found.scores["accuracy"].value, found.params]


def test_an_assistant_that_is_a_student_too_is_told_and_not_counted(study: Callable[..., Study]) -> None:
    one = study(student__architecture={"family": "mlp", "depth": 1, "width": {"int": [1, 32]}}, search__trials=8)
    run(one)
    assistants = [trial for trial in one.record.trials if trial.facts.role == "assistant"]
    assert assistants and all(trial.state == "complete" for trial in assistants)
    assert len(one.record.trials) - len(assistants) == 8 + sum(trial.facts.repeats for trial in one.record.trials)


@pytest.mark.slow
def test_a_repeat_is_told_its_stored_values_and_does_not_count(study: Callable[..., Study]) -> None:
    one = study(
        student={
            "architecture": {"family": "mlp", "depth": 1, "width": {"int": [1, 3]}},
            "loss": {"ce": {"weight": 1.0}},
            "recipe": {"epochs": 1},
        },
        assistants={"at_most": 0},
        search__trials=10,
    )
    run(one)
    first = {trial.facts.stage: trial.values for trial in one.record.trials if not trial.facts.repeats}
    repeats = [trial for trial in one.record.trials if trial.facts.repeats]
    assert len(first) == 3 and len(repeats) >= REPEATS
    assert all(trial.values == first[trial.facts.stage] for trial in repeats)
    assert one.finished() and one.policy.ended is not None and "20 proposals in a row" in one.policy.ended
    assert counts(one.rows()).complete == 3
    again = study(**_small())
    assert again.finished()


def _small() -> dict[str, Any]:
    return {
        "student": {
            "architecture": {"family": "mlp", "depth": 1, "width": {"int": [1, 3]}},
            "loss": {"ce": {"weight": 1.0}},
            "recipe": {"epochs": 1},
        },
        "assistants": {"at_most": 0},
        "search__trials": 10,
    }


def test_limits_are_never_a_failed_trial(study: Callable[..., Study]) -> None:
    one = study(search={"trials": 8, "limits": {"params": 60}})
    run(one)
    students = [trial for trial in one.record.trials if trial.facts.role != "assistant"]
    assert {trial.state for trial in students} == {"complete"}
    assert all(trial.facts.params <= 60 for trial in students)


def test_limits_that_leave_nothing_are_said(study: Callable[..., Study]) -> None:
    one = study(search={"trials": 8, "limits": {"params": 5}})
    with pytest.raises(UsageError, match="search.limits.*too large"):
        run(one)


def fail(study: Study, is_wanted: Callable[[Job], bool]) -> None:
    while (job := study.next()) is not None:
        if job.trains and job.network.key() not in study.teachers and is_wanted(job):
            study.done(job, "the loss became nan")
        else:
            do(study, job)


def test_a_failed_student_is_one_failed_trial_with_its_reason(study: Callable[..., Study]) -> None:
    one = study()
    broken: list[str] = []

    def first(job: Job) -> bool:
        stage = job.network
        wanted = not broken and stage.key() in [trial.facts.stage for trial in one.record.trials]
        broken.extend([stage.key()] if wanted else [])
        return wanted

    fail(one, first)
    rows = one.rows()
    assert counts(rows) == (5, 0, 1)
    assert [row.reason for row in rows if row.state == "failed"] == ["the loss became nan"]
    assert study().finished()


def test_a_failed_assistant_fails_its_dependants_by_name_and_closes_its_rung(study: Callable[..., Study]) -> None:
    changes = {"assistants__at_least": 1, "search__trials": 8}
    one = study(**changes)
    one.workers = 4
    fail(one, lambda job: job.network.architecture.width == 16)
    reasons = [trial.facts.reason for trial in one.record.trials if trial.state == "failed"]
    assert reasons and set(reasons) == {"assistant mlp depth=1 width=16 failed: the loss became nan"}
    closed = [trial.number for trial in one.record.trials if trial.state == "failed"]
    later = [trial for trial in one.record.trials if trial.number > max(closed)]
    assert all("width=16" not in trial.facts.chain for trial in later)
    assert one.space.closed == {0} == study(**changes).space.closed
    assert one.finished()


def test_when_every_ladder_size_is_closed_the_study_ends_and_says_why(study: Callable[..., Study]) -> None:
    one = study(assistants__at_least=1, search__trials=8)
    fail(one, lambda job: job.network.architecture.width in (16, 32))
    assert one.finished() and one.policy.ended is not None and "ladder sizes that failed" in one.policy.ended


def test_a_result_that_another_study_stored_is_told(study: Callable[..., Study], folder: Path) -> None:
    one = study()
    two = open_study(one.spec, _beside(folder), one.store)
    while (job := two.next()) is not None:
        do(two, job)
    assert two.finished()
    run(one)
    assert one.finished() and told(one) == told(two)


def test_open_trials_of_one_stage_that_was_stored_meanwhile_are_all_told(study: Callable[..., Study], folder: Path) -> None:
    """A worker may outlive its driver and store what two trials wait for; so may the student that is another's assistant."""
    one = study(search__trials=3)
    do(one, one.next())  # the teacher
    for _ in range(20):
        one.next()
    opened = [trial.params for trial in one.trials.open.values()]
    for params in opened:
        one.pending.add(Proposal(dict(params)))
    assert sum(trial.facts.repeats for trial in one.trials.open.values()) >= len(opened) > 0
    keys = {trial.facts.stage for trial in one.trials.open.values()}
    one.record.close()
    other = open_study(one.spec, _beside(folder), one.store)
    while (job := other.next()) is not None:
        do(other, job)
    again = open_study(one.spec, folder)
    held = {key for key in keys if one.store.has("stages", key)}
    assert held and {trial.state for key in held for trial in again.trials.of(key)} == {"complete"}
    run(again)
    assert again.finished()


def _beside(folder: Path) -> Path:
    (folder / "beside").mkdir()
    return folder / "beside"


def test_retry_failed_asks_for_the_same_again(study: Callable[..., Study]) -> None:
    changes = {"assistants__at_least": 1, "search__trials": 8}
    one = study(**changes)
    fail(one, lambda job: job.network.architecture.width == 16)
    failed = [trial for trial in one.record.trials if trial.state == "failed"]
    again = study(**changes)
    assert again.pending.retry_failed() == len(failed) and not again.space.closed
    run(again)
    assert again.finished() and counts(again.rows()) == (8, 0, 0)
    tried = [again.record.trials[trial.retried] for trial in again.record.trials if trial.retried is not None]
    assert [trial.params for trial in tried] == [trial.params for trial in failed]


def test_a_teacher_near_chance_ends_the_search(study: Callable[..., Study]) -> None:
    one = study(teacher__recipe={"epochs": 1, "learning_rate": 1e-9})
    with pytest.raises(StudyError, match="no better than a network that ignores its input"):
        run(one)


def test_a_failed_teacher_ends_the_search(study: Callable[..., Study]) -> None:
    one = study()
    job = one.next()
    assert job is not None
    with pytest.raises(StudyError, match="the teacher mlp depth=1 width=64 failed: boom"):
        one.done(job, "boom")


def test_a_teacher_that_failed_once_is_trained_by_the_same_command(study: Callable[..., Study]) -> None:
    one = study()
    job = one.next()
    assert job is not None
    with pytest.raises(StudyError):
        one.done(job, "the worker process died")
    again = study()
    run(again)
    assert again.finished()


def test_outputs_that_failed_are_tried_again(study: Callable[..., Study]) -> None:
    one = study(search__trials=2)
    refused = 0
    while (job := one.next()) is not None:
        if not job.trains and refused < 2:
            refused += 1
            one.done(job, "the worker process died")
        else:
            do(one, job)
    assert refused == 2 and counts(one.rows()) == (2, 0, 0)


def test_the_frontier_is_whole_and_consistent(study: Callable[..., Study]) -> None:
    one = study(search__trials=10)
    run(one)
    found = summary(one.spec, one.rows(), one.chance)
    members = found.frontier
    assert [row.params for row in members] == sorted({row.params for row in members})
    assert [row.value for row in members] == sorted({row.value for row in members})
    for row in one.rows():
        if row.role == "teacher" or not row.is_complete:
            continue
        assert any(m.params <= row.params and m.value >= row.value for m in members)
    assert all(row.interval.low <= row.value <= row.interval.high for row in members)
    reference = as_json(found)["hypervolume"]["reference"]
    assert reference == {"accuracy": one.chance, "params": found.teacher.params} and found.hypervolume > 0


def test_an_assistant_above_the_limits_is_no_member(study: Callable[..., Study]) -> None:
    one = study(search={"trials": 6, "limits": {"params": 100}}, assistants__at_least=1)
    run(one)
    roles = {row.role: row for row in one.rows()}
    assert roles["assistant"].params > 100
    assert all(row.params <= 100 for row in one.rows() if row.frontier)


def test_a_kill_right_after_a_job_was_handed_out_loses_no_proposal(tiny: Callable[..., Spec], folder: Path) -> None:
    """A process that is killed with SIGKILL as soon as it was given a student: the resumed study holds the same one."""
    run(open_study(tiny(), folder), 3)
    held = folder / "held.json"
    if (child := os.fork()) == 0:
        one = open_study(tiny(), folder)
        while not any(trial.state == "running" for trial in one.record.trials):
            one.next()
        held.write_text(json.dumps([[trial.params, trial.state, asdict(trial.facts)] for trial in one.record.trials]))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    again = open_study(tiny(), folder)
    found = [[trial.params, trial.state, asdict(trial.facts)] for trial in again.record.trials]
    assert json.loads(json.dumps(found)) == json.loads(held.read_text())
    run(again)
    whole = open_study(tiny(), folder / "whole")
    run(whole)
    assert told(again) == told(whole)


def test_what_is_told_of_a_trial_is_there_whole_or_not_at_all(tiny: Callable[..., Spec], folder: Path) -> None:
    one = open_study(tiny(), folder)
    run(one, 2)
    trial = next(trial for trial in one.record.trials if trial.state == "running")
    with pytest.raises(TypeError):
        facts = replace(trial.facts, rungs=((1, 0.5),), reason=object())  # type: ignore[arg-type]
        one.record.tell(trial, facts)
    one.record.close()
    assert not [path.name for path in folder.iterdir() if path.name.startswith("study.db-")]
    one.record.note(replace(one.record.notes, looks=1))  # it is opened again
    again = Record(folder / "study.db", tiny(), one.space.domains)
    assert again.trials[trial.number].state == "running" and not again.trials[trial.number].facts.rungs
    assert again.notes.looks == 1


def reporting(study: Study, accuracies: Callable[[Job, int], float]) -> list[Job]:
    """Trains as `run` does, but reports made-up accuracies at rungs; returns the jobs that were stopped."""
    stopped: list[Job] = []
    while (job := study.next()) is not None:
        if all(
            study.continues(job, Rung(epochs, {"accuracy": accuracies(job, epochs)}, float(epochs))) for epochs in job.rungs
        ):
            do(study, job)
        else:
            stopped.append(job)
    return stopped


LONG = {"epochs": 10, "batch_size": 32, "learning_rate": 0.01}
HALVES: dict[str, Any] = {"search__halving": {"first": 0.3, "factor": 2, "share": 0.5}}
"""Rungs after 3 and 6 of 10 epochs."""


def test_stopped_trials_are_no_members_and_are_counted_and_shown(study: Callable[..., Study]) -> None:
    changes: dict[str, Any] = HALVES | {"search__trials": 12, "student__recipe": LONG, "student__architecture__width": 4}
    one = study(**changes)
    stopped = reporting(one, lambda job, epochs: 1 / (2 + len(one.record.trials)))
    keys = {job.network.key() for job in stopped}
    rows = one.rows()
    found = [row for row in rows if row.state == "stopped"]
    assert found and {row.stage for row in found} == keys and counts(rows).stopped == len(keys)
    assert not any(row.frontier for row in found) and one.finished()
    for row in found:
        passed = one.record.trials[row.origin.trial].facts.rungs
        assert row.origin.rungs[-1] == passed[-1] and not row.is_complete
        assert row.seconds == row.origin.rungs[-1][0], "as it was reported"
    assert told(study(**changes)) == told(one)


def test_a_repeat_of_a_stopped_stage_is_a_new_trial_that_goes_on(study: Callable[..., Study]) -> None:
    changes: dict[str, Any] = _small() | HALVES | {"search__trials": 8, "search__sampler": "random"}
    changes["student"]["recipe"] = LONG
    one = study(**changes)
    reporting(one, lambda job, epochs: 1 / (2 + len(one.record.trials)))
    by_key: dict[str, list[Any]] = {}
    for trial in one.record.trials:
        by_key.setdefault(trial.facts.stage, []).append(trial)
    again = [trials for trials in by_key.values() if trials[0].state == "stopped" and len(trials) > 1]
    assert again
    for trials in again:
        assert (
            not trials[1].facts.repeats
            and len(trials[1].facts.rungs) > len(trials[0].facts.rungs)
            or (trials[1].state == "complete")
        )


def test_an_assistant_that_was_stopped_as_a_student_is_trained_to_its_end_and_told(study: Callable[..., Study]) -> None:
    changes: dict[str, Any] = HALVES | {
        "student__architecture": {"family": "mlp", "depth": 1, "width": {"int": [1, 32]}},
        "student__loss": {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 4}},
        "student__recipe": LONG,
        "assistants__recipe": LONG,
        "search__trials": 1,
    }
    one = study(**changes)
    low = {path: domain.ends()[0] for path, domain in one.space.domains.items()}
    run(one, 2)  # the teacher and its outputs
    student, below = low | {"architecture.width": 16}, low | {"architecture.width": 2, "assistants.count": 1}
    key = one.space.decode(student).key()
    assert key in [network.key() for network in one.space.decode(below).ancestors()]
    for params in (low | {"architecture.width": 8}, student):
        one.pending.add(Proposal(params))
    reporting(one, lambda job, epochs: 0.1 if job.network.key() == key else 0.9)
    assert [trial.state for trial in one.trials.of(key)] == ["stopped"]
    one.pending.add(Proposal(below))
    reporting(one, lambda job, epochs: 0.95)
    assert [trial.state for trial in one.trials.of(key)] == ["stopped", "complete"]
    assert one.trials.of(key)[1].is_assistant


def test_the_tau_of_rungs_is_that_of_complete_trials(study: Callable[..., Study]) -> None:
    one = study(search__trials=9, student__recipe=LONG, search__halving={"first": 0.3, "factor": 2, "share": 0.999})
    reporting(one, lambda job, epochs: one.space.sizes(job.network.architecture).params * 1e-6)
    rows = one.rows()
    found = summary(one.spec, rows, one.chance).rungs
    complete = [row for row in rows if row.state == "complete" and row.role not in ("teacher", "assistant")]
    pairs = {row.stage: (row.origin.rungs[-1][1], row.value) for row in complete}.values()
    assert [(rung.share_of_epochs, rung.n) for rung in found] == [(0.3, len(pairs)), (0.6, len(pairs))]
    assert found[1].tau == pytest.approx(kendalltau(*zip(*pairs, strict=True)).statistic)
    low = replace(summary(one.spec, rows, one.chance), rungs=[Concordance(0.3, 8, 0.3)])
    assert any("0.30 after 30% of the epochs): raise search.halving.first" in line for line in remarks(low))


def test_a_rung_of_searched_lengths_is_one_share(study: Callable[..., Study]) -> None:
    """After half of 2, 6 or 10 epochs the order is that at full length, after a quarter the reverse."""
    recipe = {"epochs": {"choice": [2, 6, 10]}, "batch_size": 32, "learning_rate": 0.01}
    halving = {"first": 0.25, "factor": 2, "share": 0.999}
    one = study(search={"trials": 12, "sampler": "random", "halving": halving}, student__recipe=recipe)
    reporting(one, lambda job, epochs: 0.5)
    rows = [row for row in one.rows() if row.is_complete and row.origin and row.origin.rungs]
    assert {(row.origin.params["recipe.epochs"], *(epochs for epochs, _ in row.origin.rungs)) for row in rows} == {
        (2, 1),
        (6, 2, 3),
        (10, 3, 5),
    }
    told = []
    for row in rows:
        half = row.origin.params["recipe.epochs"] // 2
        rungs = tuple((epochs, row.value if epochs == half else -row.value) for epochs, _ in row.origin.rungs)
        told.append(replace(row, origin=replace(row.origin, rungs=rungs)))
    found = {rung.share_of_epochs: rung.tau for rung in concordance(one.spec, told)}
    assert found == {0.25: pytest.approx(-1), 0.5: pytest.approx(1)}


def test_an_unreadable_record_is_said(folder: Path, tiny: Callable[..., Spec]) -> None:
    (folder / "study.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StudyError, match="not a readable study.*--fresh"):
        Record(folder / "study.db", tiny())


def test_an_interruption_in_mid_transaction_is_what_is_raised_and_loses_nothing(
    folder: Path, tiny: Callable[..., Spec]
) -> None:
    """SQLAlchemy closes the connection that an interruption hits, so there is nothing left to roll back."""
    from sqlalchemy import event

    def interrupt(cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT"):
            raise KeyboardInterrupt

    record = Record(folder / "study.db", tiny())
    record.note(Notes(looks=1))
    event.listen(record.storage.engine, "do_execute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record.note(replace(record.notes, elapsed=2.0))
    event.remove(record.storage.engine, "do_execute", interrupt)
    record.note(replace(record.notes, drawn=3))
    record.close()
    again = Record(folder / "study.db", tiny())
    assert again.notes == Notes(looks=1, drawn=3)
    again.close()
