"""A death is looked into: what the stage's code died of, for want of memory, or with its machine; and no failure is quiet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from autodistill.distill import Job, save_data
from autodistill.reporting.summary import counts, summary
from autodistill.runners import marks, runner_of
from autodistill.runners.machine import Process, private_folder, room
from autodistill.runners.marks import Mark
from autodistill.spec import MLP, CrossEntropy, Imported, LossSpec, Recipe, Spec, Stage, StudyError
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.preflight.prepare import load_data
from autodistill.study.record.findings import grouped
from autodistill.study.schedule.plan import Plan

from .searching import search
from .test_search import written

RUNNERS = ["serial", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])]
RECIPE = Recipe(epochs=1, batch_size=32, learning_rate=0.01, precision="float32")
LABELS = LossSpec(ce=CrossEntropy(weight=1.0))
GOOD = 4
EXPLODES = {"epochs": 3, "batch_size": 16, "optimizer": "sgd", "weight_decay": 1.0}
"""With a learning rate of 1000 each step multiplies all weights by -999."""


class Counted(Plan):
    """A plan that counts how often its jobs were begun again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.again: Counter[str] = Counter()

    def lost(self, job: Job, cause: str) -> None:
        self.again[cause] += 1
        super().lost(job, cause)


def plan(spec: Spec, root: Path, kind: str, once: Path | None = None) -> Counted:
    """Trainings of which the second has a fault."""
    spec, splits = load_data(spec, cuda=False)
    store = Store(root)
    save_data(store, splits)
    arguments = {"kind": kind} | ({"once": str(once)} if once is not None else {})
    architectures = [MLP(depth=1, width=width) for width in range(1, GOOD + 1)]
    architectures.insert(1, Imported(factory="tests.own:faulty", arguments=arguments))
    task = splits.task(spec.task)
    stages = [Stage(task=task, architecture=one, loss=LABELS, recipe=RECIPE, seed=0) for one in architectures]
    return Counted(spec, store, splits, stages)


def done(plan: Counted, runner: str) -> Counted:
    found = runner_of(runner)
    try:
        found.begin()
        found.run(plan, lambda: None, print)
    finally:
        found.end()
    assert plan.finished() and len(plan.store.keys("stages")) + len(plan.failures) == GOOD + 1
    return plan


def reason(plan: Counted) -> str:
    """Of the one failure."""
    (found,) = plan.failures.values()
    return found


def safe_mode(store: Store) -> list[bool]:
    return [bool(store.manifest("stages", key).get("safe_mode")) for key in store.keys("stages")]


# What is left behind


DIES = """
import sys
from pathlib import Path
from autodistill.runners.machine import Process
from autodistill.runners.marks import Mark
from tests.own import Faulty
import torch
with Mark(Path(sys.argv[1]), "key", "one").held(Process.own("node"), errors=sys.argv[3] == "errors"):
    Faulty(sys.argv[2]).train()(torch.zeros(3, 12))
"""


def died(store: Path, kind: str, errors: str = "errors") -> Mark:
    subprocess.run([sys.executable, "-c", DIES, str(store), kind, errors], check=False, capture_output=True)
    return Mark(store, "key", "one")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("abort", "SIGABRT"), ("segfault", "SIGSEGV")])
def test_a_crash_is_told_with_its_signal_and_last_words(tmp_path: Path, kind: str, name: str) -> None:
    mark = died(tmp_path, kind)
    death = mark.death()
    assert death.cause == "crash" and death.path == mark.path
    assert name in death.words and "somebody's last words" in death.words and "own.py" in death.words


def test_a_debugger_keeps_its_standard_error_and_the_signal_is_known_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DIES, str(tmp_path), "abort", "not"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGABRT and "somebody's last words" in done.stderr
    assert "SIGABRT" in Mark(tmp_path, "key", "one").death().words


def test_who_leaves_without_a_word_is_gone(tmp_path: Path) -> None:
    assert died(tmp_path, "leave").death().cause == "gone"


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        "*** SIGTERM received at time=1 on cpu 0 ***",
        "[2026-01-01 01:01:01,001 E 1 2] rpc_client.h:204: Failed to connect to GCS\n*** SIGABRT received at time=1 ***",
    ],
)
def test_who_was_told_to_go_or_lost_its_ray_did_not_crash(tmp_path: Path, said: str) -> None:
    mark = died(tmp_path, "leave")
    with mark.path.open("a") as file:
        file.write(said)
    assert mark.death().cause == "gone"


def test_a_mark_goes_with_its_job_however_that_ends(tmp_path: Path) -> None:
    mark = Mark(tmp_path, "key", "one")
    with mark.held(Process.own(), errors=True):
        assert mark.path.exists()
    assert not mark.path.exists()
    with pytest.raises(RuntimeError), mark.held(Process.own(), errors=True):
        raise RuntimeError
    assert not mark.path.exists()


@pytest.mark.slow
def test_marks_of_the_living_say_nothing_and_those_of_the_killed_are_removed(tmp_path: Path) -> None:
    died(tmp_path, "abort")
    died(tmp_path, "leave")
    with Mark(tmp_path, "key", "mine").held(Process.own(), errors=False):
        assert marks.left_behind(tmp_path, "key") == []
        assert len(list(marks.folder(tmp_path).iterdir())) == 1
    assert marks.left_behind(tmp_path, "other") == []


def test_the_deaths_at_all_jobs_are_known_and_forgotten_but_nothing_of_the_living(tmp_path: Path) -> None:
    dead = died(tmp_path, "abort")
    with Mark(tmp_path, "other", "mine").held(Process.own(), errors=False):
        assert [death.path for death in marks.left_behind(tmp_path, "*")] == [dead.path]
        marks.forget(tmp_path)
        assert [path.name for path in marks.folder(tmp_path).iterdir()] == ["other.mine.log"]


def test_what_the_system_killed_before_a_job_began_says_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker lives long: what counts are the kills since its job began, not since it began itself."""
    mark, kills = Mark(tmp_path, "key", "one"), marks.memory_kills()
    old = replace(Process.own(), kills=-3)
    with mark.held(old, errors=False):
        assert mark.death().cause == "gone"
        monkeypatch.setattr(marks, "memory_kills", lambda: kills + 1)
        assert mark.death().cause == "memory"


# Begun again


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_stage_that_raises_fails_at_once(tiny: Callable[..., Spec], tmp_path: Path, runner: str) -> None:
    found = done(plan(tiny(), tmp_path, "raise"), runner)
    assert "a batch of 32 is too much" in reason(found) and not found.again


@pytest.mark.slow
@pytest.mark.ray
def test_a_stage_that_takes_all_memory_is_stopped_tried_alone_and_said(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's monitor stops it, at a limit of 4 GB more than is used now."""
    used = psutil.virtual_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", str((used.total - used.available + 4e9) / used.total))
    found = done(plan(tiny(), tmp_path / "store", "allocate"), "ray")
    assert found.again["memory"] >= 1 and "ran out of memory twice, the second time while no other job ran" in reason(found)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_stage_that_runs_out_of_memory_is_tried_once_more(tiny: Callable[..., Spec], tmp_path: Path, runner: str) -> None:
    found = done(plan(tiny(), tmp_path, "memory"), runner)
    assert reason(found).startswith("it ran out of memory twice, the second time while no other job ran (out of memory: Memory")
    assert "GB were available" in reason(found) and found.again == {"memory": 1}


@pytest.mark.ray
@pytest.mark.slow
def test_a_stage_that_crashes_fast_kernels_is_trained_in_safe_mode(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    found = done(plan(tiny(), tmp_path, "onednn"), "ray")
    assert not found.failures and found.again == {"crash": 1} and safe_mode(found.store).count(True) == 1


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("kind", "name"), [("abort", "SIGABRT"), pytest.param("segfault", "SIGSEGV", marks=pytest.mark.slow)])
def test_a_stage_that_crashes_twice_fails_with_the_signal_and_the_place_of_the_rest(
    tiny: Callable[..., Spec], tmp_path: Path, kind: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = done(plan(tiny(), tmp_path, kind), "ray")
    assert found.again == {"crash": 1} and name in reason(found)
    assert "crashed twice, the second time in safe mode" in reason(found) and "somebody's last words" in reason(found)
    path = reason(found).rsplit("full log: ", 1)[1].partition(" (")[0]
    assert "own.py" in Path(path).read_text()
    output = capfd.readouterr()
    assert "raylet" not in output.err + output.out and "Fatal Python error" not in output.err


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_that_leaves_once_is_nothing_of_its_stage(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    found = done(plan(tiny(), tmp_path / "store", "leave", once=tmp_path / "once"), "ray")
    assert not found.failures and found.again == {"gone": 1} and not any(safe_mode(found.store))
    assert not list(marks.folder(found.store.root).iterdir())


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_that_always_leaves_is_given_up(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    found = done(plan(tiny(), tmp_path, "leave"), "ray")
    assert "its worker process or its node died 4 times" in reason(found) and found.again == {"gone": 3}


SERIAL = """
import sys
from pathlib import Path
from autodistill.spec import load
from tests.test_faults import done, plan
found = done(plan(load(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]), "serial")
print(found.failures, found.again)
"""


def serially(spec: Path, store: Path, kind: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SERIAL, str(spec), str(store), kind]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_stage_that_ends_the_process_of_a_serial_search_twice_has_failed(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    path = written(tiny(), tmp_path)
    for _ in range(2):
        assert serially(path, tmp_path / "store", "abort").returncode == -signal.SIGABRT
    last = serially(path, tmp_path / "store", "abort")
    assert last.returncode == 0 and "SIGABRT" in last.stdout and "in safe mode" in last.stdout, last.stderr
    assert len(Store(tmp_path / "store").keys("stages")) == GOOD


@pytest.mark.slow
def test_a_serial_search_trains_in_safe_mode_what_ended_it_once(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    path = written(tiny(), tmp_path)
    assert serially(path, tmp_path / "store", "onednn").returncode == -signal.SIGABRT
    last = serially(path, tmp_path / "store", "onednn")
    assert last.returncode == 0 and "{}" in last.stdout, last.stderr
    assert safe_mode(Store(tmp_path / "store")).count(True) == 1


@pytest.mark.slow
def test_a_serial_search_that_is_killed_in_one_stage_again_and_again_goes_on(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """What came from outside is not held against the stage: it is not even trained in safe mode."""
    path = written(tiny(), tmp_path)
    for _ in range(3):
        assert serially(path, tmp_path / "store", "leave").returncode == 3
    assert not marks.left_behind(tmp_path / "store", "*") and not list(marks.folder(tmp_path / "store").iterdir())


def test_a_retry_of_what_failed_is_given_a_fresh_start(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": {"choice": [0.01, 1000]}} | EXPLODES
    spec = tiny(student__recipe=recipe, search__trials=6, search__sampler="random", search__tolerate_failures=1.0)
    study = search(spec, out=tmp_path / "out", runner="serial")
    keys = [row.stage for row in study.rows() if row.state == "failed"]
    for key in keys:
        mark = Mark(study.store.root, key, "one")
        mark.path.write_text("{}\n\nFatal Python error: Aborted\n")
    assert keys and all(marks.left_behind(study.store.root, key) for key in keys)
    search(spec, out=tmp_path / "out", runner="serial", options=Options(retry_failed=True))
    assert not any(marks.left_behind(study.store.root, key) for key in keys)


# Alone


HOLDS = """
import sys, time
from autodistill.runners.machine import room
with room(alone=sys.argv[1] == "alone"):
    print("in", flush=True)
    sys.stdin.read()
"""


def holder(how: str, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, "-c", HOLDS, how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def is_in(process: subprocess.Popen[str], seconds: float) -> bool:
    import select

    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], seconds)[0])


def test_who_wants_to_be_alone_waits_for_the_others_and_keeps_those_to_come_out(tmp_path: Path) -> None:
    first, second = holder("beside", tmp_path), holder("beside", tmp_path)
    assert is_in(first, 30) and is_in(second, 30)
    alone = holder("alone", tmp_path)
    assert not is_in(alone, 2)
    later = holder("beside", tmp_path)
    first.kill()
    second.communicate("")
    assert is_in(alone, 30) and not is_in(later, 2)
    alone.kill()
    assert is_in(later, 30)
    later.communicate("")
    for process in (first, alone):
        process.communicate()


def test_temporary_files_are_in_a_folder_of_one_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = private_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(StudyError, match="accessible to other users.*TMPDIR"):
        private_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(StudyError, match="accessible to other users"), room(alone=False):
        pass


# No failure is quiet


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_search_in_which_all_fail_stops_and_says_what_and_the_way_out(
    tiny: Callable[..., Spec], tmp_path: Path, runner: str
) -> None:
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": 1000} | EXPLODES
    spec = tiny(student__recipe=recipe, search__trials=20, search__sampler="random", assistants__at_most=0)
    with pytest.raises(StudyError) as stopped:
        search(spec, out=tmp_path / "out", runner=runner)
    said = str(stopped.value)
    assert said.startswith("3 of 3 finished trials failed, more than search.tolerate_failures (0.2) allows. The most common")
    assert "lower the learning rate" in said and "--retry-failed" in said and stopped.value.exit_code == 1


def test_the_limit_moves_and_does_not_make_another_study(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": {"choice": [0.01, 1000]}} | EXPLODES
    spec = tiny(student__recipe=recipe, search__trials=16, search__sampler="random")
    with pytest.raises(StudyError, match="finished trials failed"):
        search(spec, out=tmp_path / "out", runner="serial")
    lenient = spec.model_copy(update={"search": spec.search.model_copy(update={"tolerate_failures": 1.0})})
    study = search(lenient, out=tmp_path / "out", runner="serial")
    found = counts(study.rows())
    assert study.finished() and sum(found) == 16 and found.failed > 3


def test_few_failures_are_said_first_and_grouped_by_reason(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": {"choice": [0.01, 1000]}} | EXPLODES
    spec = tiny(student__recipe=recipe, search__trials=12, search__sampler="random", search__tolerate_failures=1.0)
    study = search(spec, out=tmp_path / "out", runner="serial")
    found = summary(study.spec, study.rows(), study.chance)
    groups = grouped(study.rows())
    assert len(groups) == 1 and groups[0].count == found.trials.failed > 1
    first, second = found.why_failed()
    assert first.startswith(f"{groups[0].count} of 12 trials failed") and "lower the learning rate" in second
    document = json.loads((tmp_path / "out/frontier.json").read_text())
    assert list(document)[:2] == ["study", "failures"] and document["failures"][0]["count"] == groups[0].count


def test_a_death_has_words_for_a_person() -> None:
    lines = [
        "corrupted size vs. prev_size",
        "Fatal Python error: Aborted",
        "",
        "Current thread 0x1:",
        '  File "a.py", line 3 in f',
    ]
    assert marks.last_lines(lines) == 'corrupted size vs. prev_size | Fatal Python error: Aborted | File "a.py", line 3 in f'
    assert marks.last_lines(["[1] noise", "one", "Extension modules: a, b (total: 2)"]) == "one"
