"""Facts of data sets and their splits. Shape suffixes: N samples, D features, C channels, L length, H height, W width."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodistill.data import Columns, Raw, Splits, read, sources, split
from autodistill.data.arrays import check, with_names
from autodistill.spec import DataError, Split, TaskSpec, load
from autodistill.spec.task import ImportedData
from autodistill.study.record.directory import dump

from .conftest import DOCUMENT

Array = NDArray[Any]
TASK = TaskSpec(dataset="sklearn/digits")


def numbered(counts: tuple[int, ...], seed: int = 0) -> Raw:
    """Samples whose only feature is their row, shuffled."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    return check("numbers", {"x": np.arange(len(y), dtype=np.float32)[:, None], "y": y})


def parts(splits: Splits) -> list[Any]:
    return [splits.train, splits.validation, splits.test.unseal()]


def rows(splits: Splits) -> list[list[int]]:
    return [part.x["x"][:, 0].astype(int).tolist() for part in parts(splits)]


def task(**changes: Any) -> TaskSpec:
    return TASK.model_copy(update=changes)


@settings(max_examples=40)
@given(
    st.lists(st.integers(20, 60), min_size=2, max_size=5).map(tuple),
    st.floats(0.1, 0.4),
    st.floats(0.1, 0.4),
    st.integers(-(2**40), 2**40),
)
def test_splits_are_stratified_partitions(counts: tuple[int, ...], validation: float, test: float, seed: int) -> None:
    raw, one = numbered(counts), task(split=Split(validation=validation, test=test, seed=seed))
    splits = split(raw, one)
    train, held, sealed = rows(splits)
    assert sorted(train + held + sealed) == list(range(sum(counts)))
    assert all(part == sorted(part) for part in (train, held, sealed)), "the old order is kept"
    for part in parts(splits):
        share = np.array(counts) * len(part) / sum(counts)
        assert np.abs(np.bincount(part.y, minlength=len(counts)) - share).max() < 2
        assert (part.y == raw.y[part.x["x"][:, 0].astype(int)]).all()
    assert rows(split(raw, one)) == [train, held, sealed]


def test_each_part_has_its_share_of_each_class() -> None:
    """Within one sample of the exact share of all samples."""
    splits = split(numbered((100, 60, 41)), task(split=Split(validation=0.15, test=0.25)))
    sealed = np.bincount(splits.test.unseal().y)
    assert np.abs(sealed - 0.25 * np.array((100, 60, 41))).max() <= 1
    assert np.abs(np.bincount(splits.validation.y) - 0.15 * np.array((100, 60, 41))).max() <= 1


def test_another_seed_gives_other_splits() -> None:
    raw = numbered((50, 50))
    found = [rows(split(raw, task(split=Split(seed=seed)))) for seed in (0, 1, 2)]
    assert found[0] != found[1] != found[2] != found[0]
    assert len({split(raw, task(split=Split(seed=seed))).fingerprint for seed in (0, 1, 2)}) == 3


def test_samples_takes_a_stratified_part_and_leaves_the_test_alone() -> None:
    raw = numbered((100, 60, 40))
    whole, part = split(raw, TASK), split(raw, task(samples=50))
    assert len(part.train) + len(part.validation) == 50
    assert rows(part)[2] == rows(whole)[2]
    assert set(rows(part)[0] + rows(part)[1]) < set(rows(whole)[0] + rows(whole)[1])
    counts = np.bincount(np.concatenate([part.train.y, part.validation.y]))
    assert np.abs(counts - np.array((25, 15, 10))).max() <= 1
    assert len(part.validation) == round(TASK.split.validation * 50)


def own_test(x_test: Array | None = None, y_test: Array | None = None) -> Raw:
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(60, 4)), "y_train": np.arange(60) % 3}
    other = {"x_test": rng.normal(size=(12, 4)) if x_test is None else x_test, "y_test": np.arange(12) % 3}
    return check("numbers", arrays | other | ({} if y_test is None else {"y_test": y_test}))


def same(one: Splits, other: Splits) -> bool:
    pairs = [(one.train, other.train), (one.validation, other.validation)]
    arrays = all((a.x["x"] == b.x["x"]).all() and (a.y == b.y).all() for a, b in pairs)
    return (
        arrays and one.fingerprint == other.fingerprint and one.task(TASK) == other.task(TASK) and one.scale() == other.scale()
    )


def test_the_test_samples_of_a_pool_change_nothing_else() -> None:
    raw = numbered((50, 50))
    splits = split(raw, TASK)
    x = raw.x["x"].copy()
    x[rows(splits)[2]] = np.random.default_rng(1).normal(size=(len(splits.test), 1))
    other = split(Raw(name=raw.name, x=Columns({"x": x}), y=raw.y), TASK)
    assert same(splits, other) and not (splits.test.unseal().x["x"] == other.test.unseal().x["x"]).any()


def test_a_test_split_of_its_own_changes_nothing_else() -> None:
    other = own_test(x_test=np.ones((5, 4)), y_test=np.array([2, 2, 1, 0, 2]))
    splits = split(own_test(), TASK)
    assert splits.own_test and same(splits, split(other, TASK))
    assert len(splits.train) + len(splits.validation) == 60 and len(splits.test) == 12


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("name", ["x", "y"])
def test_one_number_changes_the_fingerprint(part: int, name: str) -> None:
    splits = split(numbered((50, 50)), TASK)
    before = splits.fingerprint
    array = getattr(parts(splits)[part], name)
    array = array["x"] if name == "x" else array
    array[3] = 1 - array[3]
    assert Splits(**{field: getattr(splits, field) for field in splits.__dataclass_fields__}).fingerprint != before


def test_the_fingerprint_knows_dtype_and_shape() -> None:
    y = np.arange(60) % 3
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8)
    found = [check("x", {"x": one, "y": y}) for one in (x, x.astype(np.float32), x.reshape(60, 64))]
    assert len({split(raw, TASK).fingerprint for raw in found}) == 3


SHAPES: list[tuple[tuple[int, ...], str, tuple[int, ...], str]] = [
    ((5,), "auto", (5,), "D"),
    ((1, 40), "auto", (1, 40), "CL"),
    ((3, 40), "auto", (3, 40), "CL"),
    ((8, 8), "auto", (1, 8, 8), "HW"),
    ((28, 20), "auto", (1, 28, 20), "HW"),
    ((8, 9, 3), "auto", (3, 8, 9), "HWC"),
    ((8, 9, 1), "auto", (1, 8, 9), "HWC"),
    ((3, 8, 9), "auto", (3, 8, 9), "CHW"),
    ((2, 3, 4, 5), "auto", (120,), "D"),
    ((8, 8), "CL", (8, 8), "CL"),
    ((8, 8), "D", (64,), "D"),
    ((3, 8, 9), "HWC", (9, 3, 8), "HWC"),
]


@pytest.mark.parametrize(("shape", "layout", "expected", "found"), SHAPES)
def test_layouts(shape: tuple[int, ...], layout: str, expected: tuple[int, ...], found: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)
    splits = split(
        check("x", {"x_train": x, "y_train": np.arange(40) % 2, "x_test": x, "y_test": np.arange(40) % 2}), task(layout=layout)
    )
    assert (splits.inputs.only, splits.layout) == (expected, found)
    moved = x.transpose(0, 3, 1, 2) if found == "HWC" else x
    assert (splits.test.unseal().x["x"] == moved.reshape(40, *expected)).all()


def test_dtypes() -> None:
    y = np.arange(60) % 3
    kinds = {np.uint8: np.uint8, np.float64: np.float32, np.float32: np.float32, np.float16: np.float32, np.int64: np.float32}
    for given_, kept in (kinds | {np.bool_: np.float32}).items():
        raw = check("x", {"x": np.ones((60, 2), given_), "y": y.astype(np.int8)})
        assert raw.x["x"].dtype == kept and raw.y.dtype == np.int64


MASKED: Array = np.ma.masked_equal(np.arange(1, 41, dtype=np.float32).reshape(20, 2), 7.0)


@pytest.mark.parametrize("key", ["x", "y", "x_unlabeled", "groups", "rows"])
def test_a_mask_is_not_dropped(key: str) -> None:
    arrays: dict[str, Any] = {"x": MASKED.data, "y": np.arange(20) % 2}  # type: ignore[attr-defined]
    given = {"x": MASKED, "y": np.ma.masked_equal(arrays["y"], 1), "x_unlabeled": MASKED, "groups": MASKED[:, 0]}
    changed = {"x": list(MASKED)} if key == "rows" else {key: given[key]}
    with pytest.raises(DataError, match=r"is a masked array, .* not supported; drop the masked samples.*or fill"):
        check("masked", arrays | changed)


def test_numbers_of_features_that_differ_are_no_other_scale() -> None:
    """Half of the features are ten thousand times as large, and a few samples are outliers."""
    rng = np.random.default_rng(0)
    x = (rng.lognormal(0, 2, (300, 6)) * [1, 1, 1, 1e4, 1e4, 1e4]).astype(np.float32)
    y = np.arange(300) % 3
    assert check("wide", {"x_train": x[:290], "y_train": y[:290], "x_test": x[290:], "y_test": y[290:]}).x_test is not None


def test_scale_is_the_mean_and_deviation_of_each_channel() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(60, 2, 5, 5)).astype(np.float32)
    x[:, 1] = 7
    splits = split(check("x", {"x": x, "y": np.arange(60) % 2}), TASK)
    channel = splits.train.x["x"][:, 0].astype(float)
    mean, deviation = splits.scale()
    assert mean == pytest.approx([channel.mean(), 7]) and deviation == pytest.approx([channel.std(), 1]), "constant: 1"


def test_scale_of_vectors_is_one_number() -> None:
    splits = split(check("x", {"x": np.arange(120.0).reshape(60, 2), "y": np.arange(60) % 2}), TASK)
    mean, deviation = splits.scale()
    assert mean == pytest.approx([splits.train.x["x"].mean()]) and deviation == pytest.approx([splits.train.x["x"].std()])


def test_chance_is_the_commonest_class() -> None:
    splits = split(numbered((80, 20)), TASK)
    assert splits.floors["accuracy"] == pytest.approx(0.8, abs=0.05) and splits.classes == 2


def test_digits() -> None:
    splits = split(read(TASK), TASK)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1257, 270, 270)
    assert splits.inputs.only == (1, 8, 8) and splits.classes == 10 and splits.train.x["x"].dtype == np.uint8


def test_fingerprints_are_what_they_were() -> None:
    """Keys of stages hang on them: what is stored would be trained again."""
    found = {samples: split(read(TASK), task(samples=samples)).fingerprint[:16] for samples in (None, 500)}
    assert found == {None: "d4414e04ba084be9", 500: "87a2af3c1f500f36"}


def test_a_file_is_looked_up_beside_the_spec_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near, here = tmp_path / "near", tmp_path / "here"
    for folder, classes in ((near, 2), (here, 3)):
        folder.mkdir()
        np.savez(folder / "data.npz", x=np.ones((12, 2)), y=np.arange(12) % classes, note=np.array(["left", "out"], object))
    (near / "spec.yaml").write_text(dump(DOCUMENT))
    monkeypatch.chdir(here)
    assert read(load(near / "spec.yaml").task).y.max() == 1
    assert read(task(dataset="data.npz")).y.max() == 2
    (near / "data.npz").unlink()
    assert read(load(near / "spec.yaml").task).y.max() == 2
    (here / "data.npz").unlink()
    with pytest.raises(DataError, match="task.dataset: '.*near.*data.npz' is not a file"):
        read(load(near / "spec.yaml").task)


# What `import:` finds here.
def pair(n: int = 12) -> Any:
    return np.ones((n, 2)), np.arange(n) % 2


def four() -> Any:
    return [*pair(), *pair(6)]


def named() -> Any:
    return dict(zip(("y", "x"), reversed(pair()), strict=True)) | {"note": "left out"}


def tensors() -> Any:
    import torch

    return torch.ones(12, 2), torch.arange(12) % 2


@pytest.mark.parametrize("name", ["pair", "four", "named", "tensors"])
def test_imported_data(name: str) -> None:
    raw = read(task(dataset=ImportedData(factory=f"{__name__}:{name}")))
    assert raw.x["x"].shape == (12, 2) and raw.y.tolist() == [0, 1] * 6
    assert (raw.x_test is not None) == (name == "four")


def test_imported_data_with_arguments() -> None:
    assert len(read(task(dataset=ImportedData(factory=f"{__name__}:pair", arguments={"n": 20}))).x) == 20
    with pytest.raises(DataError, match="pair called with arguments {'m': 3} failed with TypeError"):
        read(task(dataset=ImportedData(factory=f"{__name__}:pair", arguments={"m": 3})))


def idx(array: Array) -> bytes:
    sides = np.array(array.shape, ">i4").tobytes()
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sides + array.astype(np.uint8).tobytes())


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sources, "DEBIAN_FASHION_MNIST", tmp_path)
    return tmp_path


def test_fashion_mnist_of_debian(debian: Path) -> None:
    rng = np.random.default_rng(0)
    x = {"train": rng.integers(0, 256, (40, 28, 28)), "t10k": rng.integers(0, 256, (20, 28, 28))}
    for name, images in x.items():
        (debian / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (debian / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(len(images)) % 10))
    raw = read(task(dataset="fashion_mnist"))
    assert (raw.x["x"] == x["train"]).all() and raw.x_test is not None and (raw.x_test["x"] == x["t10k"]).all()
    assert raw.x["x"].dtype == np.uint8 and raw.y.tolist() == [*range(10)] * 4
    damaged = debian / "train-labels-idx1-ubyte.gz"
    for data in (b"hello", damaged.read_bytes()[:30], gzip.compress(b"\0\0\x08\x01\0\0\0\x28short"), gzip.compress(b"")):
        damaged.write_bytes(data)
        with pytest.raises(DataError, match="train-labels.*cannot be read.*install the package dataset-fashion-mnist again"):
            read(task(dataset="fashion_mnist"))


def test_names_are_taken_only_where_each_class_has_samples() -> None:
    """Of a list that names more, nobody knows which are missing."""
    arrays = {"x": np.zeros((4, 2)), "y": np.array([0, 1, 1, 0])}
    assert check("here", with_names(arrays, ["a", "b"])).names == ("a", "b")
    assert check("here", with_names(arrays, ["a", "b", "c"])).names is None
    assert check("here", arrays | {"class_names": ["", "b\x1b[31m\udcff"]}).names == ("0", "b?[31m?")


def no_network(*arguments: Any, **options: Any) -> None:
    raise OSError("no network")


def test_fashion_mnist_that_is_nowhere(debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways are named."""
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_network)
    with pytest.raises(DataError) as caught:
        read(task(dataset="fashion_mnist", folder=str(debian / "none")))
    for words in ("task.dataset", str(debian / "none"), "apt-get install dataset-fashion-mnist", "torchvision", "task.folder"):
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_that_is_nowhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    monkeypatch.setenv("AUTODISTILL_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError) as caught:
        read(task(dataset=f"torchvision/{name}"))
    for words in ("task.dataset", name, str(tmp_path / "none"), "torchvision", "task.folder"):
        assert words in str(caught.value)


def write_cifar(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Array, Array]:
    """A small data set in CIFAR's own format; torchvision knows files by their md5, so it is told those of these."""
    from torchvision import datasets

    kind = getattr(datasets, name)
    labels, base = ("labels", 10) if name == "CIFAR10" else ("fine_labels", 100)
    files = [file for file, _ in (*kind.train_list, *kind.test_list)]
    x = np.random.default_rng(0).integers(0, 256, (len(files), 2 * base, 3072)).astype(np.uint8)
    y = np.arange(2 * base) % base
    where = folder / kind.base_folder
    where.mkdir(parents=True)
    contents = {file: {"data": x[index], labels: y.tolist()} for index, file in enumerate(files)}
    contents[kind.meta["filename"]] = {kind.meta["key"]: [str(index) for index in range(base)]}
    sums = {}
    for file, content in contents.items():
        data = pickle.dumps(content)
        (where / file).write_bytes(data)
        sums[file] = hashlib.md5(data).hexdigest()
    monkeypatch.setattr(kind, "train_list", [[file, sums[file]] for file, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[file, sums[file]] for file, _ in kind.test_list])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums[kind.meta["filename"]]})
    return x, y


@pytest.mark.parametrize("prefix", ["torchvision", "torch"])
@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_of_a_local_folder(name: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = write_cifar(tmp_path, name, monkeypatch)
    dataset = f"torch/{name.lower()}" if prefix == "torch" else f"torchvision/{name}"
    one = task(dataset=dataset, folder=str(tmp_path), split=Split(validation=0.5))
    splits = split(read(one), one)
    assert splits.inputs.only == (3, 32, 32) and splits.layout == "HWC" and splits.own_test
    assert splits.classes == len(set(y)) and splits.train.x["x"].dtype == np.uint8
    sealed = splits.test.unseal()
    assert (sealed.x["x"] == x[-1].reshape(-1, 3, 32, 32)).all() and (sealed.y == y).all()
    assert len(splits.train) + len(splits.validation) == len(y) * (len(x) - 1)


@pytest.mark.skipif(not (sources.DEBIAN_FASHION_MNIST / "train-images-idx3-ubyte.gz").exists(), reason="package not installed")
def test_fashion_mnist_itself() -> None:
    raw = read(task(dataset="fashion_mnist"))
    assert raw.x["x"].shape == (60_000, 28, 28) and raw.x_test is not None and raw.x_test["x"].shape == (10_000, 28, 28)
    assert np.bincount(raw.y).tolist() == [6000] * 10


def test_a_sealed_split_tells_its_size_alone() -> None:
    sealed = split(own_test(), TASK).test
    assert len(sealed) == 12 and not hasattr(sealed, "x") and "array" not in repr(sealed)


@given(st.lists(st.integers(-3, 5), min_size=2, max_size=12))
def test_labels_are_taken_or_the_reason_is_given(labels: list[int]) -> None:
    """Labels from 0 to classes - 1, each of them there, at least two; all else is refused."""
    right = set(labels) == set(range(max(labels) + 1)) and len(set(labels)) > 1
    arrays = {"x": np.ones((len(labels), 1)), "y": np.array(labels)}
    if right:
        assert check("x", arrays).y.tolist() == labels
    else:
        with pytest.raises(DataError, match="out of range|only one class"):
            check("x", arrays)


def test_words_are_no_labels_of_a_part_whose_training_labels_are_numbers() -> None:
    """Numbered by themselves, the words 1, 1, 1 would be class 0."""
    arrays = {"x_train": np.ones((4, 1)), "y_train": np.array([0, 1, 0, 1]), "x_test": np.ones((3, 1))}
    with pytest.raises(DataError, match="y_test has words, but the training labels are numbers"):
        check("x", arrays | {"y_test": np.array(["1", "1", "1"])})


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_label_is_no_class(missing: object) -> None:
    y = np.array(["a", "b", missing, "a"], dtype=object)
    with pytest.raises(DataError, match="row 2 has (None|nan), but labels of dtype object may only be words"):
        check("x", {"x": np.ones((4, 1)), "y": y}, kind="classification")


@pytest.mark.parametrize("spread", [1.0, 100.0, 1e6])
def test_values_that_float32_cannot_tell_apart_are_refused(spread: float) -> None:
    y = 1.7e9 + spread * np.random.default_rng(0).normal(size=(50, 1))
    arrays = {"x": np.ones((50, 1)), "y": y}
    if spread == 1e6:
        assert np.allclose(check("x", arrays, kind="regression").y, y)
    else:
        with pytest.raises(DataError, match="x: y has values of about 1.7e[+]09 .* subtract 1.7e[+]09"):
            check("x", arrays, kind="regression")
