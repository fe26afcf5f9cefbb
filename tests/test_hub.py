"""Facts of data sets of Hugging Face and of WebDataset, small ones in local folders."""

from __future__ import annotations

import gc
import io
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autodistill.data import hub, read, split
from autodistill.spec import DataError, Split, TaskSpec

from .pictures import fill, pixels

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")


def png(seed: int, height: int = 8, width: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(seed, height, width)).save(stream, "png")
    return stream.getvalue()


def shards(folder: Path, damaged: bool = False, counts: dict[str, int] | None = None, side: int = 8) -> Path:
    """Two shards of training samples and one of test samples, with what tells them apart."""
    folder.mkdir()
    files = {"train": ["train-0.tar", "train-1.tar"], "test": ["test-0.tar"]}
    info: dict[str, Any] = {}
    for split_, names in files.items():
        for number, name in enumerate(names):
            with tarfile.open(folder / name, "w") as archive:
                for row in range(12):
                    image = png(100 * number + row, side if row == 5 else 8)
                    for end, data in (("png", image[:40] if damaged and row == 3 else image), ("cls", str(row % 3).encode())):
                        member = tarfile.TarInfo(f"{number}-{row:02}.{end}")
                        member.size = len(data)
                        archive.addfile(member, io.BytesIO(data))
        count = (counts or {}).get(split_, 12 * len(names))
        info[split_] = {"name": split_, "num_samples": count, "filenames": names, "shard_lengths": [12] * len(names)}
    (folder / "_info.json").write_text(json.dumps({"splits": info}))
    return folder


def wds(folder: Path, **changes: Any) -> TaskSpec:
    pytest.importorskip("webdataset")
    return TaskSpec(dataset=f"wds/{folder}", split=Split(validation=0.25), **changes)


def test_shards(tmp_path: Path) -> None:
    task = wds(shards(tmp_path / "shards"))
    raw = read(task)
    assert raw.x["x"].shape == (24, 3, 8, 8) and raw.x["x"].dtype == np.uint8 and raw.y.tolist() == [0, 1, 2] * 8
    for row in (0, 11, 12, 23):
        assert (raw.x["x"][row] == pixels(100 * (row // 12) + row % 12).transpose(2, 0, 1)).all()  # type: ignore[index]
    splits = split(raw, task)
    assert splits.own_test and len(splits.test) == 12 and splits.memory == "resident"
    assert split(read(task), task).fingerprint == splits.fingerprint
    gray = wds(tmp_path / "shards", channels=1, image_size=[4, 6])
    assert split(read(gray), gray).inputs.only == (1, 4, 6)


WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a damaged image": ({"damaged": True}, ("a sample cannot be read", "write that shard again")),
    "fewer than it says": ({"counts": {"train": 30}}, ("declares 30 samples, but has 24", "correct that number")),
    "more than it says": ({"counts": {"train": 20}}, ("declares 20 samples, but has 21 or more",)),
    "other sizes": ({"side": 9}, ("task.image_size is missing", "8 x 8 and 9 x 8")),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shards(name: str, tmp_path: Path) -> None:
    made, words = WRONG[name]
    with pytest.raises(DataError) as caught:
        read(wds(shards(tmp_path / "shards", **made)))
    for word in words:
        assert word in str(caught.value)
    del caught
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves a shard open that is not read to its end
        gc.collect()


def test_shards_need_their_index(tmp_path: Path) -> None:
    (shards(tmp_path / "shards") / "_info.json").unlink()
    with pytest.raises(DataError, match="no readable _info.json; put one next to the shards: .*num_samples"):
        read(wds(tmp_path / "shards"))


def hfds(folder: Path, **changes: Any) -> TaskSpec:
    pytest.importorskip("datasets")
    return TaskSpec(dataset=f"hfds/{folder}", split=Split(validation=0.25), folder=str(folder.parent / "cache"), **changes)


def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "train")
    fill(tmp_path / "images" / "test", each=2, seed=50)
    task = hfds(tmp_path / "images")
    raw = read(task)
    assert raw.x["x"].shape == (36, 3, 8, 8) and np.bincount(raw.y).tolist() == [12, 12, 12]
    expected = {(pixels(1000 * number + row).tobytes(), number) for number in range(3) for row in range(12)}
    assert {
        (np.ascontiguousarray(x.transpose(1, 2, 0)).tobytes(), int(y)) for x, y in zip(raw.x["x"], raw.y, strict=True)
    } == expected  # type: ignore[arg-type]
    splits = split(raw, task)
    assert splits.own_test and len(splits.test) == 6
    assert split(read(task), task).fingerprint == splits.fingerprint


def test_a_table_without_images(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "train.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(DataError, match="has no column of type Image, only a .Value., b .Value.; cast one"):
        read(hfds(folder))


def test_a_damaged_image_of_hugging_face(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "train")
    (tmp_path / "images" / "train" / "cat" / "003.png").write_bytes(png(0)[:60])
    with pytest.raises(DataError, match="task.dataset: image 3 of train cannot be read"):
        read(hfds(tmp_path / "images"))


def test_a_name_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def no_network(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "get_dataset_split_names", no_network)
    with pytest.raises(
        DataError,
        match="hfds/nobody/nothing cannot be read .ConnectionError: no network.; connect to the internet for the first",
    ):
        read(TaskSpec(dataset="hfds/nobody/nothing"))


@pytest.mark.parametrize(("dataset", "package", "extra"), [("hfds/x/y", "datasets", "hfds"), ("wds/x", "webdataset", "wds")])
def test_a_missing_package(dataset: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(DataError) as caught:
        read(TaskSpec(dataset=dataset))
    for word in ("task.dataset", f"needs the package {package}", f"pip install 'autodistill-search[{extra}]'"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shards_are_named_when_they_do_not_fit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodistill.data.sources.RESIDENT_MOST", 0)
    test_wrong_shards(name, tmp_path)
