"""Facts of data in the store: streamed images equal held ones bit for bit, and what is read ahead never hangs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill.data import Columns, Images, InputSpec, Joined, Splits, read, split
from autodistill.distill import Data, Job, open_data, perform, save_data, train
from autodistill.distill.predictions import evaluate
from autodistill.distill.samples import Samples
from autodistill.models import build
from autodistill.spec import (
    MLP,
    Augmentation,
    CrossEntropy,
    DataError,
    LossSpec,
    Recipe,
    ResNet,
    Split,
    Stage,
    StudyError,
    TaskSpec,
)
from autodistill.store import Store

from .pictures import fill, pixels, write

PARTS = ("train_x", "train_y", "validation_x", "validation_y", "unlabeled_x")


def splits_of(root: Path, **changes: Any) -> Splits:
    task = TaskSpec(**{"dataset": f"folder/{root}", "split": Split(validation=0.25, test=0.25)} | changes)
    return split(read(task), task)


def stored(store: Store, splits: Splits) -> Data:
    save_data(store, splits)
    return open_data(store, splits.fingerprint)


def streamed(tmp_path: Path, **changes: Any) -> Data:
    return stored(Store(tmp_path / "store"), splits_of(fill(tmp_path / "images"), memory="stream", **changes))


def test_streamed_equals_resident(tmp_path: Path) -> None:
    """With images of several sizes, and some without labels."""
    fill(tmp_path / "images")
    for row in range(6):
        write(tmp_path / "images" / "cat" / f"{row:03}.png", pixels(row, 9 + row, 12))
    found = {}
    for memory in ("resident", "stream"):
        splits = splits_of(tmp_path / "images", memory=memory, image_size=[8, 7], labeled=0.5)
        assert splits.memory == memory
        found[memory] = (splits.fingerprint, stored(Store(tmp_path / memory), splits))
    (one_key, one), (other_key, other) = found.values()
    assert one_key == other_key and one.mean == other.mean and one.std == other.std
    assert one.inputs == other.inputs == InputSpec.x((3, 8, 7), "uint8")
    assert other.train_x.files and not one.train_x.files
    for name in PARTS:
        held, read_ = (getattr(part, name) if name[-1] == "y" else getattr(part, name)["x"] for part in (one, other))
        assert held.dtype == read_.dtype and held.shape == read_.shape and held.ndim == read_.ndim
        assert (np.asarray(held[:]) == read_[:]).all(), name
    assert one.rows == other.rows == len(one.train_y) + len(one.unlabeled_x)  # type: ignore[arg-type]
    rows = np.random.default_rng(0).permutation(one.rows)[:11]
    assert (one.fetch(rows)["x"] == other.fetch(rows)["x"]).all()
    names = {path.name for path in (tmp_path / "stream" / "data").rglob("*") if path.is_file()}
    lists = {"train_x.json", "validation_x.json", "unlabeled_x.json"}
    assert names == {"data.json", "train_y.npy", "validation_y.npy", *lists}, "no pixels"


def test_auto_goes_by_the_decoded_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    needed = 27 * 3 * 8 * 8
    for most, memory in ((needed, "resident"), (needed - 1, "stream")):
        monkeypatch.setattr("autodistill.data.sources.RESIDENT_MOST", most)
        assert splits_of(tmp_path).memory == memory
        assert splits_of(tmp_path, memory="resident").memory == "resident"
    assert splits_of(tmp_path).nbytes == needed


def test_a_list_gives_way_to_what_is_held_and_that_to_nothing(tmp_path: Path) -> None:
    """Others may read what is held, so it is never taken away."""
    root, store = fill(tmp_path / "images"), Store(tmp_path / "store")
    for memory, is_streamed in (("stream", True), ("resident", False), ("stream", False)):
        data = stored(store, splits_of(root, memory=memory))
        assert data.train_x.files == is_streamed
        attempts = [path.name for path in store.folder("data", store.keys("data")[0]).iterdir()]
        save_data(store, splits_of(root, memory=memory))
        assert [path.name for path in store.folder("data", store.keys("data")[0]).iterdir()] == attempts


def test_images_that_were_moved_are_listed_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    stored(store, splits_of(fill(tmp_path / "images"), memory="stream"))
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"\.png no longer exists; restore it"):
        open_data(store, store.keys("data")[0]).train_x["x"][:]
    data = stored(store, splits_of(tmp_path / "moved", memory="stream"))
    assert len(store.keys("data")) == 1 and len(data.train_x["x"][:]) == len(data.train_y)


def test_indices_are_those_of_an_array(tmp_path: Path) -> None:
    x = streamed(tmp_path).train_x["x"]
    assert isinstance(x, Images)
    whole = x[:]
    for rows in (slice(2, 5), slice(None, None, 3), np.array([4, 1, 1]), np.array([-1]), slice(3, 3), whole[:, 0, 0, 0] > 99):
        assert (x[rows] == whole[rows]).all() and x[rows].shape == whole[rows].shape
    assert len(x) == len(whole) and x.shape == whole.shape and x.nbytes == whole.nbytes
    with pytest.raises(TypeError, match="by slices or arrays of rows"):
        x[3]  # type: ignore[index]
    with pytest.raises(IndexError):
        x[np.array([1000])]


def test_image_files_are_no_array(tmp_path: Path) -> None:
    x = streamed(tmp_path).train_x["x"]
    for make in (np.asarray, np.array):
        with pytest.raises(TypeError, match="18 image files .* are not one array; take rows from them, or set task.memory"):
            make(x)


def test_joined_is_one_array_after_the_other() -> None:
    one, other = np.arange(10).reshape(5, 2), np.arange(10, 16).reshape(3, 2)
    joined = Joined(parts=(one, other))
    whole = np.concatenate([one, other])
    assert len(joined) == 8 and joined.shape == (8, 2) and joined.ndim == 2 and joined.dtype == whole.dtype
    for rows in (np.array([7, 0, 4, 5, 0]), slice(3, 7), slice(None), np.array([], int), slice(6, 2, -1)):
        assert (joined[rows] == whole[rows]).all()


def test_evaluate_takes_streamed_samples(tmp_path: Path) -> None:
    x = streamed(tmp_path).validation_x
    network = build(MLP(depth=1, width=4), inputs=InputSpec.x((3, 8, 8)), classes=3)
    logits = [evaluate(network, each, batch_size=4, device="cpu") for each in (x, Columns(x.batch(slice(None))))]
    assert torch.equal(*logits)


def stage_on(splits: Splits, **recipe: Any) -> Stage:
    task = splits.task(TaskSpec(dataset="folder/x", split=Split(validation=0.25, test=0.25)))
    given = Recipe(**{"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "precision": "float32"} | recipe)
    loss = LossSpec(ce=CrossEntropy())
    return Stage(task=task, architecture=ResNet(depth=1, width=2), loss=loss, recipe=given, seed=0)


@pytest.mark.parametrize("augmentation", [None, Augmentation(flip=True, crop=1, mixup=0.5)])
def test_a_network_trained_on_streamed_images_has_the_same_bytes(tmp_path: Path, augmentation: Augmentation | None) -> None:
    fill(tmp_path / "images")
    found = []
    for memory in ("resident", "stream"):
        splits, store = splits_of(tmp_path / "images", memory=memory), Store(tmp_path / memory)
        save_data(store, splits)
        stage = stage_on(splits, augmentation=augmentation)
        train(store, stage, torch.device("cpu"))
        found.append(store.file("stages", stage.key(), "model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_an_image_that_breaks_while_training_is_named(tmp_path: Path) -> None:
    splits, store = splits_of(fill(tmp_path / "images"), memory="stream"), Store(tmp_path / "store")
    save_data(store, splits)
    bad = Path(open_data(store, splits.fingerprint).train_x["x"].paths[5])  # type: ignore[union-attr]
    bad.write_bytes(bad.read_bytes()[:60])
    before = threading.active_count()
    with pytest.raises(StudyError, match=f"{bad} is not a readable image.*then run the same command again"):
        perform(Job(network=stage_on(splits)), store, cuda=False, threads=1)
    assert threading.active_count() <= before + 8, "no more than the decoders, which live on"


def test_the_next_batch_is_read_while_one_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits, store = splits_of(fill(tmp_path / "images"), memory="stream"), Store(tmp_path / "store")
    save_data(store, splits)
    samples = Samples(open_data(store, splits.fingerprint), None, 0, torch.device("cpu"))
    asked: list[int] = []
    original = samples.batch
    monkeypatch.setattr(samples, "batch", lambda rows, view: asked.append(int(rows[0])) or original(rows, view))
    order = torch.arange(12).view(6, 2)
    found = samples.batches(order, 0)
    rows_B, _ = next(found)
    time.sleep(0.3)
    assert rows_B.tolist() == [0, 1] and asked == [0, 2], "one is taken, one is ready"
    assert [rows.tolist() for rows, _ in found] == order[1:].tolist()
