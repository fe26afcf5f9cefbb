"""Facts of samples without labels: from arrays, from a folder, and by leaving labels out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodistill.data import Images, Splits, read, split
from autodistill.data.sources import check
from autodistill.distill import open_data, save_data
from autodistill.spec import DataError, Split, TaskSpec
from autodistill.spec.task import ImportedData
from autodistill.store import Store

from .pictures import fill, pixels, write

Array = NDArray[Any]


def arrays(classes: int = 3, each: int = 20, **more: Any) -> dict[str, Any]:
    """Samples whose only feature is their row."""
    y = np.arange(classes * each) % classes
    return {"x": np.arange(len(y), dtype=np.float32)[:, None], "y": y} | more


def splits_of(given_: dict[str, Any], **changes: Any) -> Splits:
    return split(check("numbers", given_), TaskSpec(dataset="data.npz", **changes))


def rows_of(x: Any) -> list[int]:
    return [] if x is None else np.asarray(x)[:, 0].astype(int).tolist()


def test_unlabeled_arrays_of_a_file_and_of_a_function(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays(x_unlabeled=np.ones((7, 1))))
    for dataset in (
        str(tmp_path / "data.npz"),
        ImportedData(factory=f"{__name__}:arrays", arguments={"x_unlabeled": [[1.0]] * 7}),
    ):
        task = TaskSpec(dataset=dataset)
        splits = split(read(task), task)
        assert splits.unlabeled is not None and splits.unlabeled["x"].shape == (7, 1)
        assert splits.rows == len(splits.train) + 7


def test_unlabeled_samples_get_the_layout_of_the_others() -> None:
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 9, 3)).astype(np.uint8)
    splits = splits_of({"x": x, "y": np.arange(60) % 3, "x_unlabeled": x[:5]})
    assert splits.unlabeled is not None and (splits.unlabeled["x"] == x[:5].transpose(0, 3, 1, 2)).all()


WRONG: dict[str, tuple[Any, tuple[str, ...]]] = {
    "another shape": (
        np.ones((7, 2)),
        ("samples of shape (2,) and dtype float32, but x of (1,) and float32", "make them equal"),
    ),
    "another dtype": (np.ones((7, 1), np.uint8), ("uint8, but x of (1,) and float32", "make them equal")),
    "NaN": (np.array([[0.0], [np.nan]]), ("x_unlabeled row 1 has NaN", "drop, fill")),
    "no axis": (np.ones(7), ("x_unlabeled has shape (7,)", "(samples, ...)")),
    "text": (np.array([["a"]]), ("x_unlabeled has dtype <U1", "give numbers")),
    "none": (np.ones((0, 1)), ("x_unlabeled has shape (0, 1)",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_unlabeled_arrays(name: str) -> None:
    given_, words = WRONG[name]
    with pytest.raises(DataError) as caught:
        check("numbers", arrays(x_unlabeled=given_))
    for word in ("numbers: x_unlabeled", *words):
        assert word in str(caught.value)


def test_they_are_in_the_fingerprint_and_the_scale() -> None:
    plain = splits_of(arrays())
    one, other = (splits_of(arrays(x_unlabeled=np.full((5, 1), value))) for value in (1.0, 2.0))
    assert len({plain.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert plain.train.x["x"].tobytes() == one.train.x["x"].tobytes()  # type: ignore[union-attr]
    assert one.scale()[0] == pytest.approx([np.concatenate([one.train.x["x"], one.unlabeled["x"]]).mean()])  # type: ignore[arg-type]


def test_all_labels_or_none_said_is_the_same_task() -> None:
    plain, whole = splits_of(arrays()), splits_of(arrays(), labeled=1.0)
    assert whole.unlabeled is None and plain.fingerprint == whole.fingerprint and plain.scale() == whole.scale()


@settings(max_examples=30)
@given(st.floats(0.08, 1), st.floats(0.08, 1), st.integers(0, 2**33))
def test_shares_are_nested_stratified_and_leave_the_rest_alone(one: float, other: float, seed: int) -> None:
    low, high = sorted((one, other))
    parts = [splits_of(arrays(), labeled=share, split=Split(seed=seed)) for share in (low, high, 1.0)]
    few, more, whole = (set(rows_of(part.train.x["x"])) for part in parts)
    assert few <= more <= whole
    for part, share in zip(parts, (low, high, 1.0), strict=True):
        assert sorted(rows_of(part.train.x["x"]) + rows_of(part.unlabeled and part.unlabeled["x"])) == sorted(whole)
        assert rows_of(part.train.x["x"]) == sorted(rows_of(part.train.x["x"])), "the old order is kept"
        counts, all_ = np.bincount(part.train.y), np.bincount(parts[2].train.y)
        assert (counts == [round(share * count) for count in all_]).all()
        assert rows_of(part.validation.x["x"]) == rows_of(parts[2].validation.x["x"])
        assert rows_of(part.test.unseal().x["x"]) == rows_of(parts[2].test.unseal().x["x"])
        assert (part.train.y == np.array(rows_of(part.train.x["x"])) % 3).all()


def test_another_seed_keeps_other_labels() -> None:
    kept = [tuple(rows_of(splits_of(arrays(each=200), labeled=0.1, split=Split(seed=seed)).train.x["x"])) for seed in range(3)]
    assert len(set(kept)) == 3


def test_too_small_a_share_is_refused_with_one_that_is_enough() -> None:
    with pytest.raises(
        DataError, match="task.labeled: 0.01 of the 14 training samples of class 0 rounds to none; use at least 0.0"
    ) as e:
        splits_of(arrays(), labeled=0.01)
    enough = float(str(e.value).partition("at least ")[2].partition(",")[0])
    assert splits_of(arrays(), labeled=enough).train.y.tolist()


def test_both_kinds_come_one_after_the_other() -> None:
    splits = splits_of(arrays(x_unlabeled=np.full((5, 1), 99)), labeled=0.5)
    rest = rows_of(splits.unlabeled["x"])
    assert rest[-5:] == [99] * 5 and splits.rows == len(splits.train) + len(rest)


def test_the_store_has_them_after_the_labeled(tmp_path: Path) -> None:
    splits, store = splits_of(arrays(x_unlabeled=np.full((5, 1), 99)), labeled=0.5), Store(tmp_path)
    save_data(store, splits)
    data = open_data(store, splits.fingerprint)
    n = len(data.train_y)
    assert data.rows == splits.rows and not data.train_x.files and len(data.x) == data.rows
    assert rows_of(data.fetch(np.arange(data.rows))["x"]) == rows_of(splits.train.x["x"]) + rows_of(splits.unlabeled["x"])
    assert rows_of(data.fetch(np.array([n, 0, data.rows - 1]))["x"]) == [
        rows_of(splits.unlabeled["x"])[0],
        rows_of(splits.train.x["x"])[0],
        99,
    ]
    assert data.mean == splits.scale()[0]


def test_without_any_the_store_is_as_it_was(tmp_path: Path) -> None:
    splits, store = splits_of(arrays()), Store(tmp_path)
    save_data(store, splits)
    data = open_data(store, splits.fingerprint)
    assert data.unlabeled_x is None and data.rows == len(data.train_y)
    files = store.manifest("data", splits.fingerprint)["files"]
    assert sorted(files) == ["train_x.npy", "train_y.npy", "validation_x.npy", "validation_y.npy"]


def test_a_folder_without_labels(tmp_path: Path) -> None:
    fill(tmp_path / "images")
    for row in range(4):
        write(tmp_path / "more" / ("deep" if row % 2 else "") / f"{row}.png", pixels(row, 9, 11))
    task = TaskSpec(dataset=f"folder/{tmp_path / 'images'}", unlabeled=str(tmp_path / "more"), labeled=0.5)
    splits = split(read(task), task)
    assert isinstance(splits.unlabeled["x"], Images) and splits.unlabeled["x"].shape[1:] == (3, 8, 8)
    assert splits.unlabeled["x"].names[-4:] == ("0.png", "2.png", "deep/1.png", "deep/3.png")
    before = splits.fingerprint
    write(tmp_path / "more" / "0.png", pixels(77, 9, 11))
    assert split(read(task), task).fingerprint != before


def test_the_labeled_and_the_test_samples_are_no_samples_without_labels(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", each=2)
    for name in ("train", "test"):
        task = TaskSpec(dataset=f"folder/{tmp_path}", unlabeled=str(tmp_path / name))
        with pytest.raises(DataError, match=f"task.unlabeled: .*{name}/cat/000.png is also a labeled or a test sample"):
            read(task)
    with pytest.raises(DataError, match="task.unlabeled: '.*none' is not a folder"):
        read(TaskSpec(dataset=f"folder/{tmp_path}", unlabeled=str(tmp_path / "none")))
