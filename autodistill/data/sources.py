"""From the name in a spec to checked arrays."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..imports import import_function, reason
from ..spec import DataError, TaskSpec, UsageError
from ..spec.task import ImportedData

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FORMS = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))
MOST_CLASSES = 2**31
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Raw:
    """x (N, ...) numbers and y (N,) labels from 0 to classes - 1; a test split of its own where the data set has one."""

    name: str
    x: Array
    y: Array
    x_test: Array | None = None
    y_test: Array | None = None


def read(task: TaskSpec) -> Raw:
    """The data set that `task` names.

    Raises DataError when it is not there or cannot be used.
    """
    dataset = task.dataset
    if isinstance(dataset, ImportedData):
        return check(f"task.dataset: {dataset.factory}", _call(dataset))
    if dataset.endswith(".npz"):
        path = locate(dataset, place="task.dataset")
        return check(f"task.dataset: {path}", _npz(path))
    if dataset == "sklearn/digits":
        return check(dataset, _digits())
    if dataset == "fashion_mnist":
        return check(dataset, _fashion_mnist(_folder(task)))
    return check(dataset, _downloaded(dataset.removeprefix("torchvision/"), _folder(task), ""))


def locate(name: str, *, place: str) -> Path:
    """The file `name`. Raises DataError, with `place` as where it was named."""
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"{place}: {str(path)!r} is not a file; give a path from the spec's folder, or a whole one")
    return path


def _folder(task: TaskSpec) -> Path:
    return Path(task.folder or os.environ.get("AUTODISTILL_DATA") or Path.home() / ".cache" / "autodistill").expanduser()


def _call(dataset: ImportedData) -> Mapping[str, Any]:
    found = _returned(dataset)
    if isinstance(found, tuple | list) and len(found) in (2, 4):
        return dict(zip(FORMS[1] if len(found) == 2 else FORMS[0], found, strict=True))
    if isinstance(found, Mapping):
        return found
    what = f"{type(found).__name__} of {len(found)}" if isinstance(found, tuple | list) else type(found).__name__
    raise DataError(
        f"task.dataset.import: {dataset.factory} returned {what}; return (x, y), "
        "(x_train, y_train, x_test, y_test), or a dict with these names"
    )


def _returned(dataset: ImportedData) -> Any:
    try:
        return import_function(dataset.factory)(**dataset.arguments)
    except UsageError as error:
        raise DataError(f"task.dataset.import: {error}") from error
    except (Exception, SystemExit) as error:  # one's own code may raise anything
        call = f"{dataset.factory} called with {f'arguments {dataset.arguments}' if dataset.arguments else 'no arguments'}"
        raise DataError(f"task.dataset.import: {call} failed with {reason(error)}") from error


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
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(
            f"task.dataset: {path} cannot be read ({error}); install the package dataset-fashion-mnist again"
        ) from None


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
    if not zipfile.is_zipfile(path):
        raise DataError(f"task.dataset: {path} is no .npz file, or only part of one; write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = [key for key in archive.files if key in {*FORMS[0], *FORMS[1]}]
            return {key: archive[key] for key in wanted or archive.files}
    except ValueError as error:
        raise DataError(f"task.dataset: {path}: {error}; save plain arrays of numbers, not objects") from None
    except Exception as error:  # a damaged file fails in many ways: BadZipFile, zlib.error, KeyError, NotImplementedError
        raise DataError(f"task.dataset: {path} is damaged ({reason(error)}); write it again with numpy.savez") from None


def check(name: str, arrays: Mapping[str, Any]) -> Raw:
    """Checked arrays. Raises DataError naming the array, the first bad row and the way out."""
    keys = next((form for form in FORMS if set(form) <= set(arrays)), None)
    if keys is None:
        there = ", ".join(map(str, arrays)) or "nothing"
        raise DataError(f"{name} has {there}; give x and y, or x_train, y_train, x_test and y_test")
    found = [_array(name, key, arrays[key]) for key in keys]
    for index in range(0, len(found), 2):
        found[index] = _numbers(name, keys[index], found[index])
        found[index + 1] = _labels(name, keys[index + 1], found[index + 1], len(found[index]))
    _classes(name, keys[1], found[1])
    if len(found) == 4:
        _same_task(name, found)
    return Raw(name=name, **dict(zip(("x", "y", "x_test", "y_test"), found, strict=False)))


def _array(name: str, key: str, value: Any) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths, a tensor on a GPU
        raise DataError(f"{name}: {key} cannot be made an array ({reason(error)}); give a numpy array") from None


def _numbers(name: str, key: str, x: Array) -> Array:
    if x.dtype.kind not in "uifb":
        raise DataError(f"{name}: {key} has dtype {x.dtype}; give numbers")
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{name}: {key} has shape {x.shape}; give (samples, ...) with at least one number a sample")
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    if len(bad):
        what = f"holds NaN, infinity or a number beyond float32 ({len(bad):,} of {len(x):,} rows do)"
        raise DataError(f"{name}: {key} row {bad[0]} {what}; drop, fill or scale such rows")
    return x


def _labels(name: str, key: str, y: Array, samples: int) -> Array:
    if y.shape != (samples,):
        raise DataError(f"{name}: {key} has shape {y.shape} for {samples} samples; give one label a sample, shape ({samples},)")
    if y.dtype.kind not in "ui":
        raise DataError(f"{name}: {key} has dtype {y.dtype}; give integer labels, such as {key}.astype(int)")
    bad = np.flatnonzero((y < 0) | (y >= MOST_CLASSES))
    if len(bad):
        raise DataError(f"{name}: {key} row {bad[0]} has label {y[bad[0]]}, out of range; number the classes from 0")
    return y.astype(np.int64)


def _classes(name: str, key: str, y: Array) -> None:
    present = np.unique(y)
    if len(present) < 2:
        raise DataError(f"{name}: {key} has one class only ({present[0]}); a classifier needs two: give samples of another")
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise DataError(
            f"{name}: {key} has {len(present)} classes but labels up to {present[-1]}, out of range: no sample has label "
            f"{gaps[0]}; number the classes from 0 to {len(present) - 1}"
        )


def _same_task(name: str, found: list[Array]) -> None:
    x, y, x_test, y_test = found
    if x.shape[1:] != x_test.shape[1:]:
        raise DataError(f"{name}: x_train has samples of shape {x.shape[1:]} but x_test of {x_test.shape[1:]}; make them equal")
    if y_test.max() > y.max():
        row = int(np.argmax(y_test > y.max()))
        raise DataError(
            f"{name}: y_test row {row} has label {y_test[row]}, out of range: y_train has labels up to {y.max()}; "
            "give training samples of that class, or drop these"
        )
