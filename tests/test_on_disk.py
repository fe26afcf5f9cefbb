"""Samples that do not fit in memory: from every source, read by row, they are the same as held ones, bit for bit."""

from __future__ import annotations

import copy
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, random_split

import autodistill
from autodistill.answers.confirm.judge import digest_of
from autodistill.data import Joined, Mapped, Splits, read, split
from autodistill.data.arrays import check
from autodistill.data.given import save_given
from autodistill.data.held import Room
from autodistill.data.mapped import PIECE, pieces
from autodistill.distill import open_data, save_data, train
from autodistill.distill.samples import Samples
from autodistill.spec import MLP, CrossEntropy, DataError, LossSpec, Recipe, Split, Stage, TaskSpec
from autodistill.store import Store

from .conftest import DOCUMENT, blobs
from .pictures import fill
from .test_hub import shards

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
SPLIT = Split(validation=0.25, test=0.25)
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (48, 6, 6, 3)).astype(np.uint8)
FLOATS = RNG.normal(size=(48, 5))
Y = np.arange(48) % 3


class Pictures(Dataset[Any]):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(X[index]), int(Y[index])


def npz(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "data.npz", **({"x": X, "y": Y} | arrays))
    return str(folder / "data.npz")


def npy(folder: Path, data: Any) -> str:
    (folder / "given").mkdir()
    save_given(data, folder / "given", TaskSpec(dataset="npy/given"), 1 << 30)
    return f"npy/{folder / 'given'}"


def images(folder: Path) -> str:
    """Two splits of images of Hugging Face."""
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    made = {
        name: datasets.Dataset.from_dict({"image": list(map(Image.fromarray, X[rows])), "label": Y[rows]}, features=features)
        for name, rows in {"train": slice(0, 36), "test": slice(36, 48)}.items()
    }
    datasets.DatasetDict(made).save_to_disk(folder / "saved")
    return f"hfds/{folder / 'saved'}"


def columns(folder: Path) -> str:
    """Two columns of numbers of Hugging Face."""
    datasets = pytest.importorskip("datasets")
    kinds = {"image": datasets.Array3D((6, 6, 3), "uint8"), "vector": datasets.Sequence(datasets.Value("float32"), length=5)}
    features = datasets.Features(kinds | {"label": datasets.ClassLabel(names=["a", "b", "c"])})
    made = datasets.Dataset.from_dict({"image": X, "vector": FLOATS.astype(np.float32), "label": Y}, features=features)
    made.save_to_disk(folder / "saved")
    return f"folder/{folder / 'saved'}"


def shard(folder: Path) -> str:
    pytest.importorskip("webdataset")
    return f"wds/{shards(folder / 'shards')}"


def hub(folder: Path) -> str:
    pytest.importorskip("datasets")
    fill(folder / "images" / "train")
    return f"hfds/{folder / 'images'}"


SOURCES: dict[str, tuple[Callable[[Path], str], dict[str, Any]]] = {
    "a .npz file": (npz, {}),
    "labels of some": (npz, {"labeled": 0.5}),
    "without labels": (lambda folder: npz(folder, x_unlabeled=X[:5] // 2), {"labeled": 0.5}),
    "float64": (lambda folder: npz(folder, x=FLOATS), {}),
    "integers": (lambda folder: npz(folder, x=X.reshape(48, -1).astype(np.int16)), {"inputs": {"x": {"dtype": "int64"}}}),
    "flat": (npz, {"layout": "D"}),
    "signals": (lambda folder: npz(folder, x=X[..., 0]), {"layout": "CL"}),
    "gray": (lambda folder: npz(folder, x=X[..., 0]), {}),
    "fields": (lambda folder: npy(folder, {"x_image": X, "x_vector": FLOATS, "y": Y}), {}),
    "parts": (lambda folder: npy(folder, ((X[:24], Y[:24]), (X[24:36], Y[24:36]), (X[36:], Y[36:]))), {}),
    "a data set of torch": (lambda folder: npy(folder, Pictures()), {}),
    "saved images": (images, {}),
    "saved columns": (columns, {}),
    "shards": (shard, {}),
    "a hub": (hub, {}),
}


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bool], None]:
    """Lets no samples fit in memory, or all."""
    monkeypatch.setenv("AUTODISTILL_DATA", str(tmp_path / "cache"))
    return lambda on: monkeypatch.setattr("autodistill.data.sources.RESIDENT_MOST", 0 if on else 1 << 32)


def loaded(name: str | dict[str, Any], **changes: Any) -> Splits:
    task = TaskSpec(**{"dataset": name, "split": SPLIT} | changes)
    return split(read(task), task)


def files_of(store: Store, key: str) -> dict[str, bytes]:
    return {name: store.file("data", key, name).read_bytes() for name in store.manifest("data", key)["files"]}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_samples_whether_they_fit_or_not(
    name: str, tmp_path: Path, low: Callable[[bool], None]
) -> None:
    """Keys, stored files, mean and deviation, and the test split; nothing is left in the cache."""
    make, changes = SOURCES[name]
    dataset, found = make(tmp_path), []
    for on in (False, True):
        low(on)
        splits, store = loaded(dataset, **changes), Store(tmp_path / str(on))
        save_data(store, splits)
        found.append((splits, files_of(store, splits.fingerprint)))
    (held, held_files), (streamed, streamed_files) = found
    assert (held.memory, streamed.memory) == ("resident", "stream")
    assert held.fingerprint == streamed.fingerprint and held.inputs == streamed.inputs and held.nbytes == streamed.nbytes
    assert held_files == streamed_files and held.scale() == streamed.scale()
    tests = [splits.test.unseal() for splits in (held, streamed)]
    assert digest_of(tests[0]) == digest_of(tests[1]) and (tests[0].y == tests[1].y).all()
    for splits in (held, streamed):
        assert loaded(dataset, memory=splits.memory, **changes).memory == splits.memory, "the spec may decide"
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def stage_on(splits: Splits, batch: int = 8) -> Stage:
    task = splits.task(TaskSpec(dataset="npy/x", split=SPLIT))
    recipe = Recipe(epochs=2, batch_size=batch, learning_rate=0.01, precision="float32")
    return Stage(task=task, architecture=MLP(depth=1, width=4), loss=LossSpec(ce=CrossEntropy()), recipe=recipe, seed=0)


@pytest.mark.parametrize("labeled", [None, 0.5])
def test_a_network_trained_on_samples_on_disk_has_the_same_bytes(
    labeled: float | None, tmp_path: Path, low: Callable[[bool], None]
) -> None:
    """With samples without labels, two arrays are read batch by batch."""
    dataset, found = npy(tmp_path, Pictures()), []
    for on in (False, True):
        low(on)
        splits, store = loaded(dataset, labeled=labeled), Store(tmp_path / str(on))
        save_data(store, splits)
        samples = Samples(open_data(store, splits.fingerprint), None, 0, torch.device("cpu"))
        assert (samples.resident is None) == (on and labeled is not None)
        train(store, stage_on(splits), torch.device("cpu"))
        found.append(store.file("stages", stage_on(splits).key(), "model.safetensors").read_bytes())
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_search_finds_the_same_students_on_disk(tmp_path: Path, low: Callable[[bool], None]) -> None:
    """All stages have the same keys and the same bytes, and the claims are the same."""
    spec = {name: value for name, value in DOCUMENT.items() if name != "assistants"}
    spec |= {"task": {"split": {"validation": 0.25, "test": 0.25}}, "search": DOCUMENT["search"] | {"trials": 2}}
    items, found = list(zip(*blobs().values(), strict=True)), []
    for on in (False, True):
        low(on)
        out = tmp_path / str(on)
        study = autodistill.search(copy.deepcopy(spec), data=items, out=out, runner="serial")
        confirmed = study.confirm(seeds=3, runner="serial")
        store = Store(out / "store")
        weights = {key: store.file("stages", key, "model.safetensors").read_bytes() for key in store.keys("stages")}
        found.append((weights, confirmed.test, [one.on_test for one in confirmed.members]))
    assert found[0] == found[1] and len(found[0][0]) > 3


# Rows on disk


def mapped(x: np.ndarray[Any, Any], folder: Path) -> np.memmap[Any, Any]:
    path = folder / f"{x.dtype}.npy"
    np.save(path, x)
    found: np.memmap[Any, Any] = np.load(path, mmap_mode="r")
    return found


def test_indices_are_those_of_an_array(tmp_path: Path) -> None:
    rows = np.array([7, 3, 3, 40])
    for x, whole in (
        (Mapped(array=mapped(FLOATS, tmp_path), dtype=np.dtype("float32")), FLOATS.astype(np.float32)),
        (Mapped(array=mapped(X, tmp_path), dtype=np.dtype("uint8")).take(rows), X[rows]),
        (Mapped(array=mapped(X, tmp_path), dtype=np.dtype("uint8")).take(rows).take(np.array([2, 0])), X[rows[[2, 0]]]),
    ):
        assert len(x) == len(whole) and x.shape == whole.shape and x.nbytes == whole.nbytes and x.ndim == whole.ndim
        for asked in (slice(None), slice(1, 3), slice(3, None, -2), np.array([1, 0, -1]), np.arange(len(x)) > 0):
            assert x[asked].dtype == whole.dtype and (x[asked] == whole[asked]).all() and x[asked].flags.c_contiguous
        with pytest.raises(TypeError, match=r"samples on disk .* are not one array; take rows .*memory: resident"):
            np.asarray(x)


def test_pieces_follow_one_another() -> None:
    x = np.arange(5 * PIECE // 2).reshape(-1, 1024)
    found = list(pieces(np.asfortranarray(x)))
    assert len(found) == 3 and all(one.flags.c_contiguous for one in found) and (np.concatenate(found) == x).all()


def test_samples_without_labels_may_be_on_disk_beside_held_ones(tmp_path: Path) -> None:
    on_disk = mapped(X, tmp_path)
    task, some = TaskSpec(dataset="npy/x", split=SPLIT, labeled=0.5), {"x": X[:40], "y": Y[:40]}
    splits, held = (split(check("arrays", some | {"x_unlabeled": x}), task) for x in (on_disk, X))
    assert splits.unlabeled is not None and isinstance(splits.unlabeled["x"], Joined) and splits.memory == "stream"
    assert splits.fingerprint == held.fingerprint and splits.scale() == held.scale()


def parts_of_pictures(name: str) -> object:
    """A data set, or its parts, for specs."""
    if name == "broken":
        return Broken()
    return Pictures() if name == "whole" else random_split(Pictures(), [24, 12, 12], torch.Generator().manual_seed(0))


def imported(name: str) -> dict[str, Any]:
    return {"import": "tests.test_on_disk:parts_of_pictures", "arguments": {"name": name}}


@pytest.mark.parametrize("name", ["whole", "parts"])
def test_a_function_in_a_spec_may_return_data_sets(name: str, tmp_path: Path, low: Callable[[bool], None]) -> None:
    """They are the same as those given from Python, and leave no files."""
    given = loaded(npy(tmp_path, parts_of_pictures(name)))
    for on in (False, True):
        low(on)
        splits = loaded(imported(name))
        assert splits.fingerprint == given.fingerprint and splits.memory == ("stream" if on else "resident")
        assert digest_of(splits.test.unseal()) == digest_of(given.test.unseal()) and splits.own_validation == (name == "parts")
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(DataError, match=r"task.dataset.import: tests.*: data: item 17 cannot be read .ValueError: a broken"):
        loaded(imported("broken"))


# What is wrong


class Lying(Pictures):
    """Says that it has more items than it has."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return super().__getitem__(index)


class Broken(Pictures):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 17:
            raise ValueError("a broken file")
        return super().__getitem__(index)


class Growing(Pictures):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return (torch.zeros(6, 7, 3, dtype=torch.uint8), 0) if index == 17 else super().__getitem__(index)


class NotFinite(Dataset[Any]):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return FLOATS[index] / (index != 17), int(Y[index])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Lying(), ("data: item 48 cannot be read (IndexError", "__len__")),
        (Broken(), ("data: item 17 cannot be read (ValueError: a broken file)", "leave it out")),
        (Growing(), ("x of item 17 has shape (6, 7, 3), but item 0 has (6, 6, 3)", "pad the samples to one shape")),
        (NotFinite(), ("data: x row 17 has NaN, infinity", "(1 of 48 rows do)")),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_wrong_item_of_a_data_set_that_does_not_fit_is_named(data: object, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        save_given(data, tmp_path, TaskSpec(dataset="npy/given"), 0)
    assert all(word in str(caught.value) for word in words), caught.value


def test_saved_columns_of_different_lengths_that_do_not_fit_are_refused(tmp_path: Path, low: Callable[[bool], None]) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [[1.0] * (6 + (row == 17)) for row in range(48)]
    datasets.Dataset.from_dict({"x": rows, "label": Y}).save_to_disk(tmp_path / "saved")
    low(True)
    with pytest.raises(DataError, match=r"x of item 17 has shape \(7,\) .*, but item 0 has \(6,\) .*; pad the samples to one"):
        loaded(f"folder/{tmp_path / 'saved'}")


def test_a_damaged_archive_that_does_not_fit_is_named(tmp_path: Path, low: Callable[[bool], None]) -> None:
    path = Path(npz(tmp_path))
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)
    low(True)
    with pytest.raises(DataError, match=r"data.npz is damaged .*; write it again with numpy.savez"):
        loaded(str(path))


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_arrays_in_fortran_order_that_do_not_fit_are_refused(kind: str, tmp_path: Path, low: Callable[[bool], None]) -> None:
    (tmp_path / "arrays").mkdir()
    arrays = {"x": np.asfortranarray(FLOATS), "y": Y}
    np.savez(tmp_path / "data.npz", **arrays)
    for name, array in arrays.items():
        np.save(tmp_path / "arrays" / f"{name}.npy", array)
    dataset = str(tmp_path / "data.npz") if kind == "npz" else f"npy/{tmp_path / 'arrays'}"
    low(False)
    assert len(loaded(dataset).train) > 0
    low(True)
    with pytest.raises(DataError, match=r"ascontiguousarray.*or set (task\.)?memory: resident"):
        loaded(dataset)


def room(folder: Path) -> Room:
    return Room(most=0, folder=lambda: folder, name="wds/shards")


def test_a_full_disk_is_named_before_anything_is_decoded(tmp_path: Path) -> None:
    def samples() -> Iterator[Any]:
        yield np.zeros(1 << 20)
        raise AssertionError("the second one is decoded")

    with pytest.raises(DataError, match=r"task.folder: wds/shards takes .* and .* has only .* GB left; free some space"):
        room(tmp_path).stacked(samples(), 1 << 40)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_fills_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open("/dev/full", "w+b", buffering=0))
    with pytest.raises(
        DataError, match=f"cannot be written to .{os.strerror(errno.ENOSPC)}.; free some space, set task.folder"
    ):
        room(tmp_path).stacked(iter(X), len(X))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/cache cannot be written to"):
        room(tmp_path / "file" / "cache").stacked(iter(X), len(X))


def test_data_from_python_that_fill_the_disk_are_refused(tmp_path: Path) -> None:
    """By a limit on the size of a file, which counts as full."""
    code = (
        "import resource, sys, pathlib; from tests.test_on_disk import *; "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "save_given(Pictures(), pathlib.Path(sys.argv[1]), TaskSpec(dataset='npy/given'), 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=250)
    assert f"DataError: data: the samples do not fit on the disk of {tmp_path.parent} (File too large)" in done.stderr


# How much memory it takes

MEMORY = """
import sys, threading, time
from pathlib import Path
import numpy as np, torch
from autodistill.data import read, sources, split
from autodistill.data.given import save_given
from autodistill.distill import save_data, train
from autodistill.spec import TaskSpec
from autodistill.store import Store
from tests.test_on_disk import SPLIT, stage_on

class Data:
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, row):
        if row >= self.count: raise IndexError(row)
        return np.random.default_rng(row).integers(0, 256, (3, 128, 128), np.uint8), row % 3

def anonymous():
    text = Path("/proc/self/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) << 10

def work(count, folder):
    folder.mkdir(parents=True)
    save_given(Data(count), folder, TaskSpec(dataset="npy/given"), sources.most_held())
    task = TaskSpec(dataset=f"npy/{folder}", split=SPLIT, labeled=0.5)
    splits, store = split(read(task), task), Store(folder / "store")
    save_data(store, splits)
    train(store, stage_on(splits, batch=64), torch.device("cpu"))
    return splits.memory

most = sources.RESIDENT_MOST = int(sys.argv[2]) << 20
work(600, Path(sys.argv[1]) / "small")
before, peak, done = anonymous(), 0, False

def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
try:
    memory = work(2048, Path(sys.argv[1]) / "large")
finally:
    done = True
    watcher.join()
print(memory, (peak - before) >> 20)
"""

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""glibc gives freed memory back to the system at once, so that what is measured is what is in use."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_samples_that_do_not_fit_take_little_memory(tmp_path: Path) -> None:
    """100 MB of samples where 16 MB fit: anonymous memory, which the system cannot take back as it can mapped files, grows by
    less than half of the samples, from reading them to training on them. Held ones take more than all of them.
    """
    found = {}
    for most in (16, 1024):
        command = [sys.executable, "-c", MEMORY, str(tmp_path / str(most)), str(most)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=os.environ | GIVE_BACK)
        assert done.returncode == 0, done.stderr
        memory, grown = done.stdout.split()
        found[memory] = int(grown)
    assert found["stream"] < 48 and found["resident"] > 96, found
