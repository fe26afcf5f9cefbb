"""From the name in a spec to checked arrays."""

from __future__ import annotations

import gzip
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..imports import import_function
from ..spec import DataError, TaskSpec
from ..spec.document import ImportedData

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
TORCHVISION = ("CIFAR10", "CIFAR100")
NAMES = (
    "sklearn/digits, fashion_mnist, torchvision/CIFAR10, torchvision/CIFAR100, a .npz file or {import: package.module:function}"
)
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Raw:
    """x (N, ...) numbers and y (N,) labels from 0 to classes - 1; a test split of its own where the data set has one."""

    name: str
    x: Array
    y: Array
    x_test: Array | None = None
    y_test: Array | None = None


def read(task: TaskSpec, near: Path | None = None) -> Raw:
    """The data set that `task` names; a relative path is looked up beside the spec (`near`), then in the working folder.

    Raises DataError when it is not there or cannot be used.
    """
    dataset = task.dataset
    if isinstance(dataset, ImportedData):
        name = f"import {dataset.factory}"
        return check(name, _call(dataset))
    if dataset == "sklearn/digits":
        return check(dataset, _digits())
    if dataset == "fashion_mnist":
        return check(dataset, _fashion_mnist(_folder(task)))
    if dataset.startswith("torchvision/"):
        return check(dataset, _torchvision(dataset.removeprefix("torchvision/"), _folder(task)))
    if dataset.endswith(".npz"):
        path = locate(dataset, near)
        return check(str(path), _npz(path))
    raise DataError(f"task.dataset: {dataset!r} is unknown; there are {NAMES}")


def locate(name: str, near: Path | None) -> Path:
    """The file `name` beside the spec, else in the working folder. Raises DataError."""
    places = [Path(near, name) if near else Path(name), Path(name)]
    for place in places:
        if place.is_file():
            return place.resolve()
    looked = " or ".join(dict.fromkeys(str(place.absolute()) for place in places))
    raise DataError(f"{name!r} is not a file: looked for {looked}")


def _folder(task: TaskSpec) -> Path:
    return Path(task.folder or os.environ.get("AUTODISTILL_DATA") or Path.home() / ".cache" / "autodistill").expanduser()


def _call(dataset: ImportedData) -> Mapping[str, Any]:
    found = import_function(dataset.factory)(**dataset.arguments)
    if isinstance(found, tuple) and len(found) in (2, 4):
        return dict(zip(("x", "y") if len(found) == 2 else ("x_train", "y_train", "x_test", "y_test"), found, strict=True))
    if isinstance(found, Mapping):
        return found
    raise DataError(
        f"task.dataset: {dataset.factory} returned {type(found).__name__}; return (x, y), "
        "(x_train, y_train, x_test, y_test), or a dict with these names"
    )


def _digits() -> Mapping[str, Any]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return {"x": bunch.images.astype(np.uint8), "y": bunch.target}


def _fashion_mnist(folder: Path) -> Mapping[str, Any]:
    if not (DEBIAN_FASHION_MNIST / "train-images-idx3-ubyte.gz").exists():
        return _downloaded("FashionMNIST", folder, "apt-get install dataset-fashion-mnist, or ")
    files = {
        "x_train": "train-images-idx3",
        "y_train": "train-labels-idx1",
        "x_test": "t10k-images-idx3",
        "y_test": "t10k-labels-idx1",
    }
    return {name: _idx(DEBIAN_FASHION_MNIST / f"{file}-ubyte.gz") for name, file in files.items()}


def _idx(path: Path) -> Array:
    """An IDX file: a magic number whose last byte is the number of dimensions, these as big-endian int32, then bytes."""
    try:
        data = gzip.decompress(path.read_bytes())
        sides = np.frombuffer(data, ">i4", count=data[3], offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sides)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{path} cannot be read ({error}); install the package dataset-fashion-mnist again") from None


def _torchvision(name: str, folder: Path) -> Mapping[str, Any]:
    if name not in TORCHVISION:
        raise DataError(f"task.dataset: 'torchvision/{name}' is unknown; there are {', '.join(TORCHVISION)}")
    return _downloaded(name, folder, "")


def _downloaded(name: str, folder: Path, other_way: str) -> Mapping[str, Any]:
    from torchvision import datasets

    try:
        train, test = (getattr(datasets, name)(folder, train=train, download=True) for train in (True, False))
    except Exception as error:  # a download fails in many ways: RuntimeError, URLError, OSError, a wrong checksum
        raise DataError(
            f"task.dataset: {name} is neither in {folder} nor could torchvision download it ({error}); {other_way}"
            f"let torchvision download it once where there is a network and name that folder in task.folder"
        ) from None
    arrays = {"x_train": train.data, "y_train": train.targets, "x_test": test.data, "y_test": test.targets}
    return {key: np.asarray(value) for key, value in arrays.items()}


def _npz(path: Path) -> Mapping[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except ValueError as error:
        raise DataError(f"{path}: {error}; save plain arrays of numbers, not objects") from None
    except (OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path} is no readable .npz file ({error}); write it with numpy.savez") from None


def check(name: str, arrays: Mapping[str, Any]) -> Raw:
    """Checked arrays. Raises DataError naming the array, the first bad row and the way out."""
    forms = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))
    keys = next((form for form in forms if set(form) <= set(arrays)), None)
    if keys is None:
        raise DataError(f"{name} has {sorted(arrays)}; give x and y, or x_train, y_train, x_test and y_test")
    found = [np.asarray(arrays[key]) for key in keys]
    for index in range(0, len(found), 2):
        found[index] = _numbers(name, keys[index], found[index])
        found[index + 1] = _labels(name, keys[index + 1], found[index + 1], len(found[index]))
    _classes(name, keys[1], found[1])
    if len(found) == 4:
        _same_task(name, found)
    return Raw(name=name, **dict(zip(("x", "y", "x_test", "y_test"), found, strict=False)))


def _numbers(name: str, key: str, x: Array) -> Array:
    if x.dtype.kind not in "uifb":
        raise DataError(f"{name}: {key} has dtype {x.dtype}; give numbers")
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{name}: {key} has shape {x.shape}; give (samples, ...) with at least one number a sample")
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1)) if x.dtype != np.uint8 else np.array([])
    if len(bad):
        raise DataError(f"{name}: {key} row {bad[0]} holds NaN or infinity ({len(bad)} rows do); drop or fill these rows")
    return x


def _labels(name: str, key: str, y: Array, samples: int) -> Array:
    if y.shape != (samples,):
        raise DataError(f"{name}: {key} has shape {y.shape} for {samples} samples; give one label a sample, shape ({samples},)")
    if y.dtype.kind not in "ui":
        raise DataError(f"{name}: {key} has dtype {y.dtype}; give integer labels, such as {key}.astype(int)")
    if y.min() < 0:
        row = int(np.flatnonzero(y < 0)[0])
        raise DataError(f"{name}: {key} row {row} has label {y[row]}, out of range; labels count from 0")
    return y.astype(np.int64)


def _classes(name: str, key: str, y: Array) -> None:
    present = np.unique(y)
    if len(present) < 2:
        raise DataError(f"{name}: {key} has one class only ({present[0]}); a classifier needs two")
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise DataError(
            f"{name}: {key} has {len(present)} classes but labels up to {present[-1]}, out of range: no sample has label "
            f"{gaps[0]}; number the classes 0 to {len(present) - 1}"
        )


def _same_task(name: str, found: list[Array]) -> None:
    x, y, x_test, y_test = found
    if x.shape[1:] != x_test.shape[1:]:
        raise DataError(f"{name}: x_train has samples of shape {x.shape[1:]} but x_test of {x_test.shape[1:]}; make them equal")
    if y_test.max() > y.max():
        row = int(np.argmax(y_test > y.max()))
        raise DataError(f"{name}: y_test row {row} has label {y_test[row]}, out of range: y_train has labels up to {y.max()}")
