"""On a GPU the road is the same from a search to a file handed over. Run: pytest -m gpu -n 0"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill import api
from autodistill.answers.chains import Home
from autodistill.answers.confirm import confirm, read
from autodistill.cli import main
from autodistill.distill import Job, load_network, open_data, perform
from autodistill.distill.jobs import StageFailed
from autodistill.distill.predictions import logits_of
from autodistill.distill.samples import Samples
from autodistill.metrics import latency
from autodistill.spec import Spec, Stage, parse
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.rows import network_of

from . import textual
from .conftest import blobs
from .searching import search
from .test_inputs import document
from .textual import reviews, written

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

RECIPE = {"epochs": 4, "batch_size": 32, "learning_rate": 0.01}
GPU = {"cpus": 1, "gpus": 0.25, "threads": 1}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.05)


def images(path: Path) -> str:
    """Blobs as gray images of bytes, 8 x 8."""
    found = blobs(features=64)
    x = np.clip(128 + 30 * found["x"], 0, 255).astype(np.uint8)
    np.savez(path / "images.npz", x=x.reshape(-1, 8, 8), y=found["y"])
    return str(path / "images.npz")


def changes(path: Path) -> dict[str, Any]:
    """A tiny spec's changes: convolutions, bfloat16 by `auto`, quarters of a GPU."""
    resnet = {"family": "resnet", "depth": {"int": [1, 2]}, "width": {"int": [1, 4]}}
    return {
        "task__dataset": images(path),
        "teacher": {"architecture": {"family": "resnet", "depth": 1, "width": 16}, "recipe": RECIPE | {"epochs": 8}},
        "student__architecture": resnet,
        "student__recipe": RECIPE,
        "assistants__ladder": [{"family": "resnet", "depth": 1, "width": 8}],
        "assistants__recipe": RECIPE,
        "resources": GPU,
    }


@pytest.fixture
def spec(tiny: Callable[..., Spec], tmp_path: Path) -> Spec:
    return tiny(**changes(tmp_path))


@pytest.mark.ray
def test_a_study_is_searched_confirmed_answered_and_handed_over_on_a_gpu(spec: Spec, tmp_path: Path) -> None:
    name = torch.cuda.get_device_name()
    out = str(tmp_path / "out")
    study = search(spec, out=tmp_path / "out")
    assert study.finished() and {trial.state for trial in study.record.trials} == {"complete"}
    found = confirm(StudyDirectory(tmp_path / "out"), seeds=1)
    assert read(StudyDirectory(tmp_path / "out")) is not None
    store = Store(tmp_path / "out" / "store")
    for key in found.outcomes:
        assert store.manifest("stages", key)["environment"]["device"] == f"cuda: {name}"
        stage = network_of(store, key)
        assert isinstance(stage, Stage) and stage.recipe.precision == "bfloat16", "auto, where a GPU was asked for"
    for one in [*found.members, found.teacher]:
        assert 0 < one.latency.one.p50_ms <= one.latency.one.p95_ms
    assert found.device.model_dump() == {"name": name, "kind": "cuda", "threads": 1}
    assert main(["smallest", out, "--accuracy", "0.3"]) == 0
    assert main(["export", out, "--accuracy", "0.3", "--to", str(tmp_path / "model")]) == 0
    assert name in (tmp_path / "model" / "card.md").read_text(), "the card tells its latency on the GPU too"
    assert main(["report", out]) == 0
    assert name in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.ray
def test_a_chain_is_planned_on_a_gpu(spec: Spec, tmp_path: Path) -> None:
    home = Home(directory=StudyDirectory(tmp_path / "out"), store=tmp_path / "store", out=tmp_path / "chain")
    found = api.chain(spec, student="depth=1,width=2", home=home, seeds=2)
    assert found.chain and not found.failures


def test_outputs_on_a_gpu_are_those_of_the_processor(spec: Spec, tmp_path: Path) -> None:
    """The same weights give the same logits, to rounding, wherever they run."""
    spec, splits = load_data(spec, cuda=True)
    store = Store(tmp_path / "store")
    space = space_of(spec, splits, store)
    (teacher,) = space.teachers
    perform(Job(network=teacher), store, cuda=True, threads=1)
    x = torch.from_numpy(np.array(splits.validation.x["x"]))
    with torch.inference_mode():
        here, there = (
            load_network(store, teacher, torch.device(device))({"x": x.to(device)}).logits for device in ("cpu", "cuda")
        )
    torch.testing.assert_close(there.cpu(), here, atol=2e-2, rtol=1e-2)


def test_samples_that_a_gpu_cannot_hold_are_read_batch_by_batch(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same weights."""
    spec, splits = load_data(spec, cuda=True)
    found = []
    for free in (1 << 40, 0):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        store = Store(tmp_path / str(free))
        stage = space_of(spec, splits, store).teachers[0]
        assert isinstance(stage, Stage)
        samples = Samples(open_data(store, splits.fingerprint), None, 0, torch.device("cuda"))
        assert (samples.resident is None) == (free == 0)
        perform(Job(network=stage), store, cuda=True, threads=1)
        found.append(store.file("stages", stage.key(), "model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_out_of_memory_fails_the_stage_and_gives_the_memory_back(spec: Spec, tmp_path: Path) -> None:
    spec, splits = load_data(spec, cuda=True)
    store = Store(tmp_path / "store")
    (teacher,) = space_of(spec, splits, store).teachers
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-9)
    try:
        with pytest.raises(StageFailed, match="out of memory on cuda: CUDA out of memory"):
            perform(Job(network=teacher), store, cuda=True, threads=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    perform(Job(network=teacher), store, cuda=True, threads=1)
    assert store.has("stages", teacher.key())


def test_signals_of_any_length_train_on_a_gpu_and_give_the_processors_logits(tmp_path: Path) -> None:
    """Through your own network, which gets the samples and their mask."""
    dataset = {"import": "tests.own:signals", "arguments": {"samples": 400}}
    changed = document(dataset, "heard")
    changed["resources"] = GPU
    study = search(parse(changed), out=tmp_path / "out", runner="serial")
    assert study.finished() and {trial.state for trial in study.record.trials} == {"complete"}
    data = open_data(study.store, study.space.task.data)
    for row in study.rows():
        network = network_of(study.store, row.stage)
        here, there = (
            logits_of(load_network(study.store, network, torch.device(name)), data, data.validation_x, torch.device(name))
            for name in ("cpu", "cuda")
        )
        torch.testing.assert_close(there, here, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_several_labels_and_values_are_learned_and_confirmed_on_a_gpu(
    kind: str, tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    x = blobs()["x"]
    y = x[:, :3] > 0 if kind == "multilabel" else 100 + 7 * x[:, :2]
    np.savez(tmp_path / "other.npz", x=x, y=y)
    term = "ce" if kind == "multilabel" else "mse"
    loss = {term: {"weight": "rest"}, "kd": {"weight": 0.5}}
    spec = tiny(task__dataset=str(tmp_path / "other.npz"), student__loss=loss, assistants__loss=loss, resources=GPU)
    study = search(spec, out=tmp_path / "out", runner="serial")
    assert study.finished() and {trial.state for trial in study.record.trials} == {"complete"}
    found = confirm(StudyDirectory(tmp_path / "out"), seeds=1, runner="serial")
    assert found.metric == {"multilabel": "f1_micro", "regression": "rmse"}[kind]
    assert main(["export", str(tmp_path / "out"), "--retain", "0.1", "--to", str(tmp_path / "model")]) in (0, 3)


def test_texts_are_learned_on_a_gpu(tmp_path: Path) -> None:
    """From masked tokens, then from labels, logits and relations, in bfloat16; the processor agrees on the outputs."""
    pytest.importorskip("transformers")
    reviews(60, seed=1)[["review"]].to_csv(tmp_path / "more.csv", index=False)
    raw = textual.document(written(tmp_path), unlabeled=str(tmp_path / "more.csv"))
    recipe, sizes = RECIPE | {"epochs": 6}, {"family": "transformers", "layers": 2, "hidden": 32, "heads": 2}
    raw |= {"teacher": {"architecture": sizes | {"pooling": "mean", "dropout": 0.1}, "recipe": recipe}, "resources": GPU}
    raw["student"] = {
        "architecture": sizes | {"layers": 1, "vocabulary": 100, "embedding": 16, "pooling": "mean"},
        "init": "from_teacher",
        "pretrain": {"loss": {"mlm": {}, "cosine": {"layers": [1.0]}}, "recipe": RECIPE},
        "loss": {
            "ce": {"weight": 0.5},
            "kd": {"weight": 0.5, "temperature": 2},
            "attention": {"kind": "relations", "layers": [1.0], "weight": 1.0},
        },
        "recipe": recipe,
    }
    raw["search"]["trials"] = 1
    study = search(parse(raw), out=tmp_path / "out", runner="serial")
    (row,) = [row for row in study.rows() if row.role == "student"]
    stage = network_of(study.store, str(row.stage))
    assert isinstance(stage, Stage) and stage.recipe.precision == "bfloat16" and row.value is not None and row.value > 0.6
    data = open_data(study.store, stage.task.data)
    here, there = (
        logits_of(load_network(study.store, stage, torch.device(device)), data, data.validation_x, torch.device(device))
        for device in ("cpu", "cuda")
    )
    torch.testing.assert_close(there.cpu(), here, atol=2e-2, rtol=1e-2)
