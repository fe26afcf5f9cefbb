"""Data sets given from Python: which forms there are, what is written of them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, random_split

from autodistill.data import read, split
from autodistill.data.given import save_given
from autodistill.data.npy import digest_of, read_npy
from autodistill.spec import DataError, TaskSpec

MOST = 1 << 30
TASK = TaskSpec(dataset="npy/given")
X = torch.arange(24 * 3 * 4 * 4).reshape(24, 3, 4, 4).to(torch.float32)
Y = torch.arange(24) % 3
WHOLE = TensorDataset(X, Y)


FRAME = pd.DataFrame({"a": range(6), "label": [0, 1] * 3})


class Fields(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"image": X[index], "vector": X[index, 0, 0], "label": int(Y[index])}


def saved(data: object, folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    assert save_given(data, folder, TASK, MOST) == "npy"
    return read_npy(folder, MOST)


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        list(WHOLE),
        [{"x": x, "label": y} for x, y in WHOLE],
        (X, Y),
        (X.numpy(), Y.tolist()),
        {"x": X, "y": Y},
        Subset(WHOLE, range(24)),
    ],
)
def test_every_form_of_the_same_samples_is_written_as_the_same_files(data: object, tmp_path: Path) -> None:
    found = saved(data, tmp_path / "one")
    assert found.keys() == {"x", "y"} and (found["x"] == X.numpy()).all() and found["y"].tolist() == Y.tolist()
    saved(WHOLE, tmp_path / "other")
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "other")


def test_a_field_of_a_dict_is_an_array(tmp_path: Path) -> None:
    found = saved(Fields(), tmp_path / "fields")
    assert found.keys() == {"x_image", "x_vector", "y"} and found["x_vector"].shape == (24, 4)


@pytest.mark.parametrize("as_dict", [False, True])
def test_given_splits_are_used_as_they_are(as_dict: bool, tmp_path: Path) -> None:
    train, validation, test = random_split(WHOLE, [12, 6, 6], torch.Generator().manual_seed(1))
    saved({"train": train, "validation": validation, "test": test} if as_dict else (train, validation, test), tmp_path / "x")
    task = TaskSpec(dataset=f"npy/{tmp_path / 'x'}")
    found = split(read(task), task)
    for samples, part in ((found.train, train), (found.validation, validation), (found.test.unseal(), test)):
        assert (samples.x["x"] == torch.stack([x for x, _ in part]).numpy()).all()  # type: ignore[attr-defined]
        assert samples.y.tolist() == [int(y) for _, y in part]
    assert found.own_test and found.own_validation


@pytest.mark.parametrize("as_dict", [False, True])
def test_parts_may_be_dicts_of_arrays(as_dict: bool, tmp_path: Path) -> None:
    parts = [{"x": X[first:last], "y": Y[first:last]} for first, last in ((0, 12), (12, 18), (18, 24))]
    saved(dict(zip(("train", "val", "test"), parts, strict=True)) if as_dict else tuple(parts), tmp_path / "x")
    found = read_npy(tmp_path / "x", MOST)
    assert found["y_train"].tolist() == Y[:12].tolist() and (found["x_validation"] == X[12:18].numpy()).all()
    assert found["x_test"].shape == (6, 3, 4, 4)


def test_items_that_come_while_a_data_set_is_read_are_not_of_it(tmp_path: Path) -> None:
    found = saved(Growing(), tmp_path / "x")
    assert found["x"][:, 0].tolist() == list(range(6)) and len(found["y"]) == 6


def test_a_table_that_parquet_cannot_hold_is_refused(tmp_path: Path) -> None:
    task = TaskSpec(dataset="table.parquet", label="label")
    for column in (pd.arrays.SparseArray([0, 1] * 3), [1, "a", "b", "c", "d", "e"]):
        with pytest.raises(DataError, match="data: the table cannot be written as Parquet"):
            save_given(FRAME.assign(b=column), tmp_path, task, MOST)


def test_without_a_test_part_one_is_taken_from_the_training_samples(tmp_path: Path) -> None:
    data = {"train": (X, Y), "validation": (X[:9] + 1, Y[:9])}
    saved(data, tmp_path / "x")
    task = TaskSpec(dataset=f"npy/{tmp_path / 'x'}")
    found = split(read(task), task)
    assert len(found.validation) == 9 and len(found.train) + len(found.test) == 24 and not found.own_test


def test_samples_of_different_lengths_come_as_a_list_of_arrays(tmp_path: Path) -> None:
    rows = [np.ones((2, length), np.float32) for length in (3, 5, 3, 4)]
    found = saved({"x": rows, "y": [0, 1, 0, 1]}, tmp_path / "x")
    assert found["x"].shape == (4, 2, 5) and found["x_lengths"].tolist() == [3, 5, 3, 4]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    images = [Image.fromarray(np.full((8, 8, 3), number, np.uint8)) for number in range(24)]
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b", "c"])})
    one = datasets.Dataset.from_dict({"image": images, "kind": Y.tolist()}, features=features)
    found = saved(one, tmp_path / "one")
    assert found["x"].shape == (24, 8, 8, 3) and found["x"].dtype == np.uint8
    assert found["class_names"].tolist() == ["a", "b", "c"]
    assert saved(datasets.DatasetDict(train=one, test=one.select(range(24))), tmp_path / "two").keys() >= {"x_train", "x_test"}
    datasets.DatasetDict(train=one, validation=one, test=one).save_to_disk(tmp_path / "saved")
    for name in (f"hfds/{tmp_path / 'saved'}", f"folder/{tmp_path / 'saved'}"):
        task = TaskSpec(dataset=name)
        splits = split(read(task), task)
        assert splits.own_validation and splits.inputs.only == (3, 8, 8) and len(splits.train) == 24


class Counted(Dataset[Any]):
    """Item `wrong` is what is given, others are of shape (3,)."""

    def __init__(self, wrong: object) -> None:
        self.wrong = wrong

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> object:
        if index == 4 and isinstance(self.wrong, Exception):
            raise self.wrong
        return self.wrong if index == 4 else (torch.ones(3), index % 2)


class Noisy(Dataset[Any]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> object:
        return torch.randn(3), index % 2


class Guessed(Noisy):
    def __getitem__(self, index: int) -> object:
        return torch.full((3,), index), torch.rand(())


class Growing(Noisy):
    def __len__(self) -> int:
        self.length = getattr(self, "length", 5) + 1
        return self.length

    def __getitem__(self, index: int) -> object:
        return torch.full((3,), index), index % 2


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield torch.ones(3), 0


WRONG: dict[str, tuple[object, tuple[str, ...]]] = {
    "iterable": (Stream(), ("Stream is an iterable data set", "make it map-style", "write its samples to disk")),
    "generator": ((item for item in WHOLE), ("generator is an iterator", "map-style")),
    "loader": (DataLoader(WHOLE), ("DataLoader", "data=loader.dataset")),
    "empty": ([], ("list is empty",)),
    "raises": (Counted(OSError("no file")), ("item 4 cannot be read (OSError: no file)",)),
    "shapes": (Counted((torch.ones(2), 1)), ("item 4 has shape (2,), but item 0 has (3,)", "pad the samples")),
    "dtypes": (Counted((torch.ones(3) * 1j, 1)), ("item 4: x", "complex64", "give numbers")),
    "a word": (Counted((torch.ones(3), "cat")), ("label of item 4 has dtype <U3, but item 0 has int64",)),
    "three": (Counted((1, 2, 3)), ("item 4 is a tuple of 3", "give (x, y)")),
    "no label": (Counted({"x": torch.ones(3)}), ("item 4 has x, but no label",)),
    "text": ([{"text": "so it goes", "label": 0}], ("item 0: text is a string ('so it goes')", "encode it")),
    "random": (Noisy(), ("differs when it is read again", "random transforms", "augmentation")),
    "random labels": (Guessed(), ("item 0 differs when it is read again",)),
    "wider numbers": (
        [(np.ones(3, np.uint8), 0), (np.full(3, 256, np.uint16), 1)],
        ("x of item 1 has dtype uint16, but item 0 has uint8",),
    ),
    "tables": ({"train": FRAME, "test": FRAME[:2]}, ("DataFrame is a part", "give one table of all rows")),
    "same object": ((WHOLE, WHOLE, Subset(WHOLE, [1])), ("train and validation", "the same TensorDataset", "item 0")),
    "overlap": (
        (Subset(WHOLE, [0, 1, 2]), Subset(WHOLE, [3]), Subset(WHOLE, [5, 2])),
        ("train and test", "both have its item 2", "random_split"),
    ),
    "two": ((WHOLE, Fields()), ("of two data sets", '{"train": ..., "test": ...}')),
    "no train": ({"test": WHOLE}, ("has test, but no train",)),
    "another part": ({"train": WHOLE, "dev": Fields()}, ("'dev' is not a part", "train, validation, and test")),
    "gaps": ((X, Y * 2), ("data: y has 3 classes but labels up to 4",)),
    "a number": (7, ("int is not a data set", "map-style")),
    "a table": ([{"a": 1, "b": 2.0, "label": 0}], ("row of a table", "pandas.DataFrame")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_place_and_a_way_out(name: str, tmp_path: Path) -> None:
    data, words = WRONG[name]
    with pytest.raises(DataError) as caught:
        save_given(data, tmp_path, TASK, MOST)
    assert str(caught.value).startswith("data") and all(word in str(caught.value) for word in words), caught.value


def test_a_folder_of_arrays_is_refused_by_name(tmp_path: Path) -> None:
    for place, words in ((tmp_path, "has no x.npy"), (tmp_path / "no", "is not a folder of .npy files")):
        with pytest.raises(DataError, match=words):
            read(TaskSpec(dataset=f"npy/{place}"))
    np.save(tmp_path / "x.npy", X.numpy())
    np.save(tmp_path / "y.npy", Y.numpy())
    np.save(tmp_path / "x_validation.npy", X.numpy())
    with pytest.raises(DataError, match="has x_validation, but no y_validation; give both"):
        read(TaskSpec(dataset=f"npy/{tmp_path}"))
