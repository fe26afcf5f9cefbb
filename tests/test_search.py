"""A search as a process: killed and resumed, finished, extended, refused, locked, shared."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistill.reporting.write import redraw
from autodistill.spec import Spec, StoreError, StudyError, UsageError, digest
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.record.directory import StudyDirectory, dump
from autodistill.study.record.record import Record

from .searching import search


def written(spec: Spec, folder: Path) -> Path:
    path = folder / "spec.yaml"
    path.write_text(dump(spec.document()))
    return path


def start(spec: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "autodistill", "search", str(spec), "--out", str(out), *more]
    # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def stored(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of finished stages, its bytes and its time."""
    store, found = Store(root), {}
    for key in store.keys("stages"):
        for path in store.folder("stages", key).rglob("*"):
            if path.is_file():
                found[str(path)] = (path.read_bytes(), path.stat().st_mtime_ns)
    return found


def trials(out: Path, spec: Spec) -> list[Any]:
    record = Record(out / "study.db", spec)
    found = [(trial.params, trial.state, trial.values) for trial in record.trials]
    record.close()
    return found


def wait_for_stages(root: Path, number: int, process: subprocess.Popen[str]) -> None:
    for _ in range(3600):
        if len(Store(root).keys("stages")) >= number or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("the search stored nothing")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["serial", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])])
def test_killed_in_mid_search_and_resumed(tiny: Callable[..., Spec], tmp_path: Path, runner: str) -> None:
    """Every file stored before keeps its bytes and time, nothing is trained twice, all trials end; serial: the same study."""
    recipe = {"epochs": 15, "batch_size": 8, "learning_rate": 0.01}
    spec = tiny(student__recipe=recipe, search__trials=8)
    path, out = written(spec, tmp_path), tmp_path / "out"
    process = start(path, out, "--runner", runner)
    wait_for_stages(out / "store", 4, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stored(out / "store")
    assert before and len(Store(out / "store").keys("stages")) < 9

    process = start(path, out, "--runner", runner, "--json")
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    found = json.loads(output)
    after = stored(out / "store")
    assert {name: after[name] for name in before} == before
    new = sum(name.endswith("stage.json") for name in after.keys() - before.keys())
    outlived = runner == "ray"  # a worker may outlive its driver by a moment, and store what it was at
    assert found["stages"]["trained"] == new or (outlived and found["stages"]["trained"] < new)
    assert found["trials"]["complete"] + found["trials"]["stopped"] == 8 and found["trials"]["failed"] == 0
    assert not [trial for trial in trials(out, spec) if trial[1] == "running"]
    if runner == "serial":
        search(spec, out=tmp_path / "whole", runner="serial")
        assert trials(out, spec) == trials(tmp_path / "whole", spec)


@pytest.mark.slow
def test_ctrl_c_ends_with_a_line_and_the_same_command_goes_on(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    recipe = {"epochs": 30, "batch_size": 8, "learning_rate": 0.01}
    path, out = written(tiny(student__recipe=recipe, search__trials=15), tmp_path), tmp_path / "out"
    process = start(path, out, "--runner", "serial")
    wait_for_stages(out / "store", 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "run the same command again to resume" in errors and "Traceback" not in errors
    process = start(path, out, "--runner", "serial")
    process.communicate(timeout=120)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["serial", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])])
def test_a_batch_system_that_ends_a_search_leaves_a_closed_record(
    tiny: Callable[..., Spec], tmp_path: Path, runner: str
) -> None:
    recipe = {"epochs": 30, "batch_size": 8, "learning_rate": 0.01}
    path, out = written(tiny(student__recipe=recipe, search__trials=15), tmp_path), tmp_path / "out"
    process = start(path, out, "--runner", runner)
    wait_for_stages(out / "store", 2, process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (1, -signal.SIGABRT)  # Ray aborts when all is done
    assert "run the same command again to resume" in errors
    assert {path.name for path in out.glob("study.db*")} == {"study.db"}


def snapshot(out: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}


def test_on_a_finished_study_the_same_command_changes_nothing(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    before = snapshot(tmp_path / "out")
    study = search(tiny(), out=tmp_path / "out", runner="serial")
    assert study.trained == [] and "is finished: 6 trials; nothing to do" in capsys.readouterr().err
    assert snapshot(tmp_path / "out") == before


def test_a_changed_spec_is_refused_with_the_ways_out(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    before = snapshot(tmp_path / "out")
    with pytest.raises(UsageError, match="(?<!search.)seed was 0, is 1.*another --out.*--fresh") as refused:
        search(tiny(seed=1), out=tmp_path / "out", runner="serial")
    assert "--extend" not in str(refused.value)
    with pytest.raises(UsageError, match="--extend to continue"):
        search(tiny(search__trials=9), out=tmp_path / "out", runner="serial")
    with pytest.raises(UsageError, match="another spec"):
        search(tiny(search__trials=3), out=tmp_path / "out", runner="serial", options=Options(extend=True))
    with pytest.raises(UsageError, match="another spec"):
        search(tiny(search__trials=9, seed=1), out=tmp_path / "out", runner="serial", options=Options(extend=True))
    assert snapshot(tmp_path / "out") == before


def test_other_resources_are_the_same_study(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    assert search(tiny(resources={"gpus": 0, "threads": 2}), out=tmp_path / "out", runner="serial").finished()


@pytest.mark.slow
def test_extended_it_is_the_longer_study(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    study = search(tiny(search__trials=9), out=tmp_path / "out", runner="serial", options=Options(extend=True))
    search(tiny(search__trials=9), out=tmp_path / "whole", runner="serial")
    assert study.trials.counted_done == 9
    assert trials(tmp_path / "out", study.spec) == trials(tmp_path / "whole", study.spec)


@pytest.mark.slow
def test_fresh_forgets_the_trials_and_keeps_the_stages(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    first = search(tiny(), out=tmp_path / "out", runner="serial")
    again = search(tiny(), out=tmp_path / "out", runner="serial", options=Options(fresh=True))
    assert again.trained == [] and again.reused() > 0
    assert first.frontier()[["stage", "accuracy"]].equals(again.frontier()[["stage", "accuracy"]])
    other = search(tiny(search__seed=5), out=tmp_path / "out", runner="serial", options=Options(fresh=True))
    assert other.finished()


def test_a_folder_in_use_is_refused(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    with StudyDirectory(tmp_path / "out"), pytest.raises(StudyError, match="in use by another search"):
        search(tiny(), out=tmp_path / "out", runner="serial")


@pytest.mark.slow
def test_a_shared_store_is_used_across_studies(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    options = Options(store=str(tmp_path / "shared"))
    one = search(tiny(), out=tmp_path / "one", runner="serial", options=options)
    two = search(tiny(), out=tmp_path / "two", runner="serial", options=options)
    assert len(one.trained) > 0 == len(two.trained)
    assert not (tmp_path / "two" / "store").exists()
    three = search(tiny(), out=tmp_path / "one", runner="serial")  # its record knows where the stages are
    assert three.finished() and three.store.root == tmp_path / "shared"
    with pytest.raises(UsageError, match="keeps its stages in"):
        search(tiny(), out=tmp_path / "one", runner="serial", options=Options(store=str(tmp_path / "elsewhere")))


@pytest.mark.slow
def test_scrambled_test_rows_change_no_key_and_no_weight(tiny: Callable[..., Spec], folder: Path) -> None:
    import numpy as np

    from autodistill.data import read, split

    spec = tiny()
    one = search(spec, out=folder / "one", runner="serial")
    raw = read(spec.task)
    test = split(raw, spec.task).test.unseal().x["x"]
    in_test = [bool((test == row).all(axis=1).any()) for row in raw.x["x"]]
    x = raw.x["x"].copy()
    x[in_test] = np.random.default_rng(0).permutation(x[in_test]) * 7 - 3
    np.savez(folder / "data.npz", x=x, y=raw.y)
    two = search(spec, out=folder / "two", runner="serial")
    assert {name.removeprefix(str(folder / "one")) for name in stored(folder / "one" / "store") if "stage.json" in name} == {
        name.removeprefix(str(folder / "two")) for name in stored(folder / "two" / "store") if "stage.json" in name
    }
    for key in one.store.keys("stages"):
        paths = [study.store.file("stages", key, "model.safetensors") for study in (one, two)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_data_in_the_same_folder_are_refused(tiny: Callable[..., Spec], folder: Path) -> None:
    import numpy as np

    from .conftest import blobs

    search(tiny(), out=folder / "out", runner="serial")
    np.savez(folder / "data.npz", **blobs(seed=1))
    with pytest.raises(UsageError, match="contains a study of other data"):
        search(tiny(), out=folder / "out", runner="serial")


def test_a_flipped_byte_in_the_teacher_is_found(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = search(tiny(), out=tmp_path / "out", runner="serial")
    path = study.store.folder("stages", study.space.teachers[0].key()) / "stage.json"
    content = bytearray(path.read_bytes())
    content[content.index(b'"value"') + 12] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged|cannot be read"):
        search(tiny(), out=tmp_path / "out", runner="serial")


def test_a_store_of_another_version_is_refused_by_name(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = search(tiny(search__trials=1), out=tmp_path / "out", runner="serial")
    path = study.store.folder("stages", study.space.teachers[0].key()) / "stage.json"
    manifest = json.loads(path.read_bytes())
    del manifest["checksum"], manifest["measurement"]["core_params"]
    path.write_text(json.dumps(manifest | {"checksum": digest(manifest)}))
    with pytest.raises(StoreError, match=r"stage.json was written by another version of autodistill"):
        search(tiny(search__trials=1), out=tmp_path / "out", runner="serial")
    with pytest.raises(StoreError, match=r"stage.json was written by another version of autodistill"):
        redraw(StudyDirectory(tmp_path / "out"))


def test_the_public_name_is_the_function_every_time(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    import autodistill

    for name in ("one", "two"):
        study = autodistill.search(tiny(search__trials=1), out=tmp_path / name, runner="serial")
        assert isinstance(study, autodistill.Study)


def test_a_refused_spec_leaves_its_folder_free_and_an_older_study_whole(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    wrong = tiny(search={"trials": 6, "limits": {"params": 3}})
    with pytest.raises(UsageError, match="search.limits leave no student: params 3 .the smallest student has"):
        search(wrong, out=tmp_path / "out", runner="serial")
    search(tiny(), out=tmp_path / "out", runner="serial")
    before = snapshot(tmp_path / "out")
    with pytest.raises(UsageError, match="search.limits"):
        search(wrong, out=tmp_path / "out", runner="serial", options=Options(fresh=True))
    assert snapshot(tmp_path / "out") == before


def test_another_teacher_under_an_existing_study_is_refused(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    before = snapshot(tmp_path / "out")
    monkeypatch.setattr("autodistill.spec.Recipe.version", 99)
    with pytest.raises(UsageError, match="the teacher of .* was .*another --out, or --fresh"):
        search(tiny(), out=tmp_path / "out", runner="serial")
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize(
    "recipe",
    [
        {"choice": [{"epochs": 1}, {"epochs": 2, "batch_size": 32}]},
        {"epochs": 1, "precision": {"choice": ["float32", "bfloat16"]}},
    ],
)
def test_recipes_are_searched_like_anything_else(tiny: Callable[..., Spec], tmp_path: Path, recipe: Any) -> None:
    from autodistill.study.preflight.check import check

    spec = tiny(student__recipe=recipe, search__trials=3)
    assert json.dumps(check(spec).as_json())
    assert search(spec, out=tmp_path / "out", runner="serial").finished()


def test_no_distillation_can_be_an_option_of_its_own(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    options = [{"ce": {"weight": 1.0}}, {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 1]}, "temperature": 4.0}}]
    study = search(tiny(student__loss={"choice": options}, search__trials=10), out=tmp_path / "out", runner="serial")
    assert {"student", "label-only"} <= {row.role for row in study.rows()}


def test_a_removed_stage_is_made_again(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """The way out that a damaged stage is given with: remove its folder, give the same command."""
    import shutil

    study = search(tiny(), out=tmp_path / "out", runner="serial")
    before = study.rows()
    student = next(row for row in before if row.role == "student")
    assistant = next(row for row in before if row.role == "assistant")
    for row in (student, assistant):
        shutil.rmtree(study.store.folder("stages", row.stage))
    found = redraw(StudyDirectory(tmp_path / "out")).rows
    assert "lost" in {row.state for row in found}
    again = search(tiny(), out=tmp_path / "out", runner="serial")
    assert set(again.trained) == {student.stage, assistant.stage}
    told = [(row.stage, row.measured and row.value, row.state) for row in before]
    assert [(row.stage, row.measured and row.value, row.state) for row in again.rows()] == told


@pytest.mark.slow
def test_a_record_without_its_spec_is_refused(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    (tmp_path / "out" / "spec.yaml").unlink()
    with pytest.raises(UsageError, match="study.db but no spec.yaml.*--fresh"):
        search(tiny(search__seed=3), out=tmp_path / "out", runner="serial")
    assert search(tiny(), out=tmp_path / "out", runner="serial", options=Options(fresh=True)).finished()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a?b", "a%20b", "a b", "a#b?mode=ro", "ü"])
def test_any_folder_name_holds_its_own_study(tiny: Callable[..., Spec], tmp_path: Path, name: str) -> None:
    search(tiny(search__trials=1), out=tmp_path / name, runner="serial")
    assert (tmp_path / name / "study.db").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {name, "data.npz"}
    assert search(tiny(search__trials=1), out=tmp_path / name, runner="serial").trained == []


def test_a_cut_off_attempt_is_swept(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = search(tiny(), out=tmp_path / "out", runner="serial")
    orphan = study.store.folder("stages", study.space.teachers[0].key()) / "cut-off"
    orphan.mkdir()
    search(tiny(), out=tmp_path / "out", runner="serial")
    assert not orphan.exists()


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_over_two_nodes(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """The driver joins a cluster by its address; of one CPU a node, so two workers are one on each."""
    path, out = written(tiny(search__trials=12), tmp_path), tmp_path / "out"
    script = f"""
import json, subprocess, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1}})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
code = subprocess.run([sys.executable, "-m", "autodistill", "search", {str(path)!r}, "--out", {str(out)!r},
    "--address", cluster.address, "--store", {str(tmp_path / "shared")!r}, "--json"]).returncode
cluster.shutdown()
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"RAY_AUTH_MODE": "disabled"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"complete": 12' in done.stdout
