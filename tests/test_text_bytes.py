"""The same bytes from the same spec: studies of transformers on texts, run twice, in any order, and cut off in the middle."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill import spec
from autodistill.distill import Job, perform, save_data
from autodistill.spec import Spec, Stage, Transformers
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data

from .searching import search
from .test_resume import Cut, counted, cut_off, found
from .test_search import start, stored, wait_for_stages
from .test_search import written as saved
from .textual import document, reviews, written

pytest.importorskip("transformers")
pytestmark = pytest.mark.xdist_group("text bytes")  # one study for all of these tests
torch.set_num_threads(1)

TRIALS = 5


def encoders(path: Path, **search: Any) -> Spec:
    """Students with dropout and layers of the teacher, some with fewer tokens, learn from stored logits and live features."""
    raw = document(path, max_length=16, unlabeled=str(path.with_name("more.csv")))
    recipe = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
    sizes = {"family": "transformers", "hidden": 16, "heads": 2, "dropout": 0.1}
    raw["teacher"] = {"architecture": sizes | {"layers": 2}, "recipe": recipe | {"epochs": 4}}
    raw["student"] = {
        "architecture": sizes | {"layers": {"int": [1, 2]}, "vocabulary": {"choice": ["full", "used", 100]}},
        "init": "from_teacher",
        "loss": {
            "ce": {"weight": "rest"},
            "kd": {"weight": {"uniform": [0.2, 0.8]}, "temperature": 2},
            "attention": {"kind": "relations", "layers": [1.0], "weight": 1.0, "optional": True},
        },
        "recipe": recipe,
    }
    raw["search"] |= {"trials": TRIALS} | search
    return spec.parse(raw)


def files(root: Path) -> Path:
    reviews(60, seed=1)[["review"]].to_csv(root / "more.csv", index=False)
    return written(root, reviews(120))


TIMED = ("attempt", "checksum", "measurement", "rungs")


def bytes_of(root: Path) -> dict[str, Any]:
    """What a store holds, by kind, key and file: its sha256; and the manifests, without times and the names of attempts."""
    store, result = Store(root), dict[str, Any]()
    for kind in ("stages", "outputs", "data"):
        for key in store.keys(kind):
            store.verify(kind, key)
            manifest = store.manifest(kind, key)
            result[key] = {name: value for name, value in manifest.items() if name not in TIMED}
            if kind == "stages":
                result[key] |= {"measurement": manifest["measurement"] | {"seconds": 0}}
                result[key] |= {"rungs": [rung[:2] for rung in manifest["rungs"]]}
    return result


def stages_of(store: Store) -> list[Stage]:
    return [Stage.model_validate(store.manifest("stages", key)["network"]) for key in store.keys("stages")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the texts and a study of them."""
    root = tmp_path_factory.mktemp("whole")
    search(encoders(files(root)), out=root / "out", runner="serial")
    return root


def test_the_same_spec_twice_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    again = encoders(whole / "reviews.csv")
    search(again, out=tmp_path / "out", runner="serial")
    expected = bytes_of(whole / "out" / "store")
    assert bytes_of(tmp_path / "out" / "store") == expected and len(expected) == 1 + 1 + 1 + TRIALS
    assert found(tmp_path / "out", again) == found(whole / "out", again)
    students = [stage for stage in stages_of(Store(whole / "out" / "store")) if stage.teachers]
    assert {stage.loss.attention is None for stage in students} == {True, False}
    architectures = [stage.architecture for stage in students if isinstance(stage.architecture, Transformers)]
    assert {one.vocabulary for one in architectures} == {"full", "used", 100}


def test_stages_in_another_order_and_after_other_work_have_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """The data, the teacher and its logits are there first, as ever; other batches of texts and random numbers come between."""
    first, other = Store(whole / "out" / "store"), Store(tmp_path)
    _, splits = load_data(encoders(whole / "reviews.csv"), cuda=False)
    save_data(other, splits)
    stages = stages_of(first)
    students = sorted((stage for stage in stages if stage.teachers), key=lambda stage: stage.key(), reverse=True)
    (teacher,) = [stage for stage in stages if not stage.teachers]
    perform(Job(network=teacher), other, cuda=False, threads=1)
    perform(Job(network=teacher, cache=students[0].logits_cache()), other, cuda=False, threads=1)
    for stage in [*students, *students[:1]]:
        torch.rand(3)
        torch.manual_seed(7)
        np.random.default_rng(1).random(3)
        perform(Job(network=stage.model_copy(update={"seed": 5})), other, cuda=False, threads=1)
        perform(Job(network=stage), other, cuda=False, threads=1)
    expected, result = bytes_of(first.root), bytes_of(other.root)
    assert {key: result[key] for key in expected} == expected and len(result) == len(expected) + TRIALS


@pytest.mark.parametrize("cut", [9, pytest.param(2, marks=pytest.mark.slow)])
def test_a_study_that_is_cut_off_becomes_the_one_that_was_not(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """In a student, and in the teacher."""
    same = encoders(whole / "reviews.csv")
    cut_off(monkeypatch, counted(monkeypatch), cut)
    with pytest.raises(Cut):
        search(same, out=tmp_path / "out", runner="serial")
    search(same, out=tmp_path / "out", runner="serial")
    assert found(tmp_path / "out", same) == found(whole / "out", same)
    assert bytes_of(tmp_path / "out" / "store") == bytes_of(whole / "out" / "store")


@pytest.mark.slow
def test_a_killed_study_goes_on_in_another_process_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    same, out = encoders(whole / "reviews.csv"), tmp_path / "out"
    process = start(saved(same, tmp_path), out, "--runner", "serial")
    wait_for_stages(out / "store", 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stored(out / "store")
    assert len(Store(out / "store").keys("stages")) < 1 + TRIALS
    process = start(tmp_path / "spec.yaml", out, "--runner", "serial")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    after = stored(out / "store")
    assert before and {name: after[name] for name in before} == before
    assert found(out, same) == found(whole / "out", same)
    assert bytes_of(out / "store") == bytes_of(whole / "out" / "store")
