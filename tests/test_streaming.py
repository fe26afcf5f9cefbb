"""Facts of data in the store: streamed images equal held ones bit for bit, and what is read ahead never hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill.data import Images, Joined, Splits, batches, read, split
from autodistill.distill import Data, open_data, save_data
from autodistill.measure import evaluate
from autodistill.models import build
from autodistill.spec import MLP, DataError, Split, TaskSpec
from autodistill.store import Store

from .pictures import fill, pixels, write

PARTS = ("train_x", "train_y", "validation_x", "validation_y", "unlabelled_x")


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
        splits = splits_of(tmp_path / "images", memory=memory, image_size=[8, 7], labelled=0.5)
        assert splits.memory == memory
        found[memory] = (splits.fingerprint, stored(Store(tmp_path / memory), splits))
    (one_key, one), (other_key, other) = found.values()
    assert one_key == other_key and one.mean == other.mean and one.std == other.std and one.shape == other.shape == (3, 8, 7)
    assert other.streamed and not one.streamed
    for name in PARTS:
        held, read_ = getattr(one, name), getattr(other, name)
        assert held.dtype == read_.dtype and held.shape == read_.shape and held.ndim == read_.ndim
        assert (np.asarray(held[:]) == read_[:]).all(), name
    assert one.rows == other.rows == len(one.train_y) + len(one.unlabelled_x)  # type: ignore[arg-type]
    rows = np.random.default_rng(0).permutation(one.rows)[:11]
    assert (one.fetch(rows) == other.fetch(rows)).all()
    names = {path.name for path in (tmp_path / "stream" / "data").rglob("*") if path.is_file()}
    lists = {"train_x.json", "validation_x.json", "unlabelled_x.json"}
    assert names == {"data.json", "train_y.npy", "validation_y.npy", *lists}, "no pixels"


def test_auto_goes_by_the_decoded_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    needed = 27 * 3 * 8 * 8
    for most, memory in ((needed, "resident"), (needed - 1, "stream")):
        monkeypatch.setattr("autodistill.data.sources.RESIDENT_MOST", most)
        assert splits_of(tmp_path).memory == memory
        assert splits_of(tmp_path, memory="resident").memory == "resident"
    assert splits_of(tmp_path).nbytes == needed


def test_the_other_form_is_made_again_and_the_same_is_kept(tmp_path: Path) -> None:
    root, store = fill(tmp_path / "images"), Store(tmp_path / "store")
    for memory in ("stream", "resident", "stream"):
        data = stored(store, splits_of(root, memory=memory))
        assert data.streamed == (memory == "stream")
        attempts = [path.name for path in store.folder("data", store.keys("data")[0]).iterdir()]
        save_data(store, splits_of(root, memory=memory))
        assert [path.name for path in store.folder("data", store.keys("data")[0]).iterdir()] == attempts


def test_images_that_were_moved_are_listed_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    stored(store, splits_of(fill(tmp_path / "images"), memory="stream"))
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(DataError, match="000.png is gone; put it back|is gone; put it back"):
        open_data(store, store.keys("data")[0]).train_x[:]
    data = stored(store, splits_of(tmp_path / "moved", memory="stream"))
    assert len(store.keys("data")) == 1 and len(data.train_x[:]) == len(data.train_y)


def test_indices_are_those_of_an_array(tmp_path: Path) -> None:
    x = streamed(tmp_path).train_x
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
    x = streamed(tmp_path).train_x
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
    network = build(MLP(depth=1, width=4), shape=(3, 8, 8), classes=3)
    logits = [evaluate(network, each, batch_size=4, device="cpu") for each in (x, x[:])]
    assert torch.equal(*logits)


def image_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("images")]


def orders(count: int) -> list[np.ndarray[Any, Any]]:
    return [np.random.default_rng(seed).permutation(18)[:7] for seed in range(count)]


def test_batches_are_those_that_were_asked_for(tmp_path: Path) -> None:
    data = streamed(tmp_path)
    for x in (data.train_x, data.x):
        found = list(batches(x, iter(orders(6))))
        assert len(found) == 6
        assert all((one == x[rows]).all() for one, rows in zip(found, orders(6), strict=True))
    assert not image_threads()


def test_the_next_batches_are_read_in_the_background_but_not_all() -> None:
    read_: list[int] = []

    class Slow:
        def __getitem__(self, rows: Any) -> Any:
            read_.append(int(rows[0]))
            return rows

    found = batches(Slow(), (np.array([row]) for row in range(50)), ahead=2)
    assert next(found)[0] == 0
    time.sleep(0.3)
    assert read_ == [0, 1, 2, 3], "one is taken, two wait, one is in the reader's hand"
    found.close()  # type: ignore[attr-defined]
    assert not image_threads()


def test_what_goes_wrong_in_the_background_surfaces(tmp_path: Path) -> None:
    data = streamed(tmp_path)
    bad = Path(data.train_x.paths[5])  # type: ignore[union-attr]
    bad.write_bytes(bad.read_bytes()[:60])
    found = batches(data.x, [np.array([0, 1]), np.array([2, 5]), np.array([3])])
    assert len(next(found)) == 2
    with pytest.raises(DataError, match=f"{bad} is no readable image"):
        next(found)
    assert not image_threads()


def test_the_order_may_fail_too() -> None:
    def order() -> Iterator[Any]:
        yield np.array([0])
        raise RuntimeError("no more")

    found = batches(np.arange(3), order())
    next(found)
    with pytest.raises(RuntimeError, match="no more"):
        next(found)


def test_closing_ends_the_thread_that_waits() -> None:
    found = batches(np.arange(9), [np.array([row]) for row in range(9)], ahead=1)
    next(found)
    assert image_threads()
    del found
    assert not image_threads()
