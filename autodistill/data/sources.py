"""Reads the data set that a spec names, as checked arrays."""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..spec import DataError, TaskSpec, UsageError
from ..spec.arrays import Array
from ..spec.imports import import_function, probe, running
from ..spec.task import ImportedData, Kind, kind_of
from .arrays import FORMS, UNLABELED, Raw, check, with_names
from .folders import read_folder, read_unlabeled
from .given import is_items, save_given
from .held import Room
from .hub import read_hub, read_wds
from .images import Images
from .npy import read_npy
from .npz import read_npz
from .saved import is_saved, read_saved

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
RESIDENT_MOST = 4 << 30
"""The most bytes of decoded samples that `memory: auto` holds, or a quarter of the machine's memory if that is less."""


def read(task: TaskSpec) -> Raw:
    """The data set that `task` names.

    Raises DataError if it does not exist or cannot be used.
    """
    dataset = task.dataset
    if isinstance(dataset, ImportedData):
        return check(f"task.dataset: {dataset.factory}", _call(dataset, task), task.inputs, task.kind)
    kind, name = kind_of(dataset)
    if kind == "npz":
        path = _whole(name)
        return check(f"task.dataset: {path}", read_npz(path, _room(task, str(path))), task.inputs, task.kind)
    if kind == "npy":
        _room(task, dataset).refuse(sum(path.stat().st_size for path in _whole(name).glob("*.npy")))
        return check(dataset, read_npy(_whole(name), most_of(task)), task.inputs, task.kind)
    if kind == "table":
        from .tables import read_file

        return read_file(_whole(name), task)
    if task.text is not None:
        return _texts(kind, name, task)
    if kind in ("folder", "hfds") and is_saved(_whole(name)):
        return check(f"task.dataset: {name}", read_saved(_whole(name), task, _room(task, name)), kind=task.kind)
    if kind == "folder":
        return _images(_whole(name), task)
    if kind == "hfds":
        return check(dataset, read_hub(name, task, _cache(task), _room(task, dataset)))
    if kind == "wds":
        return check(dataset, read_wds(_whole(name), task, _room(task, f"wds/{_whole(name)}")))
    if dataset == "sklearn/digits":
        return check(dataset, _digits())
    if dataset == "fashion_mnist":
        return check(dataset, _fashion_mnist(_folder(task)))
    if kind == "torch":
        return check(dataset, _torch(name, _folder(task)))
    return check(dataset, _downloaded(name.removeprefix("torchvision/"), _folder(task)))


def _texts(kind: Kind, name: str, task: TaskSpec) -> Raw:
    from .corpora import read_hub_texts, read_saved_texts, read_text_folder

    if is_saved(_whole(name)):
        return read_saved_texts(_whole(name), task)
    return read_text_folder(_whole(name), task) if kind == "folder" else read_hub_texts(name, task, _cache(task))


def _cache(task: TaskSpec) -> str | None:
    return task.folder and str(_folder(task))


def _images(root: Path, task: TaskSpec) -> Raw:
    found = read_folder(root, task)
    labeled = [part for part in found.values() if isinstance(part, Images)]
    extra = {} if task.unlabeled is None else {UNLABELED: read_unlabeled(_whole(task.unlabeled), task, labeled)}
    return check(f"task.dataset: {root}", {**found, **extra})


def memory_bytes() -> int:
    """The total memory of this machine."""
    import psutil

    return int(psutil.virtual_memory().total)


def most_held() -> int:
    return min(RESIDENT_MOST, memory_bytes() // 4)


def most_of(task: TaskSpec) -> int:
    """How many bytes of arrays are held in memory. No key depends on it."""
    return {"auto": most_held(), "resident": sys.maxsize, "stream": 0}[task.memory]


def _room(task: TaskSpec, name: str) -> Room:
    return Room(
        most=most_of(task),
        memory=memory_bytes() if task.memory == "resident" else None,
        folder=partial(_folder, task),
        name=name,
    )


def _whole(name: str) -> Path:
    return Path(os.path.expanduser(name)).absolute()


def _folder(task: TaskSpec) -> Path:
    given = task.folder or os.environ.get("AUTODISTILL_DATA") or "~/.cache/autodistill"
    found = os.path.expanduser(given)
    if found.startswith("~"):
        raise DataError(f"task.folder: {given}: the home directory is unknown; set task.folder or AUTODISTILL_DATA")
    return Path(found)


def _call(dataset: ImportedData, task: TaskSpec) -> Mapping[str, object]:
    found = _returned(dataset)
    if is_items(found):
        return _of_items(found, dataset, task)
    if isinstance(found, Mapping):
        return found
    if isinstance(found, tuple | list) and len(found) in (2, 4):
        return dict(zip(FORMS[1] if len(found) == 2 else FORMS[0], found, strict=True))
    what = f"{type(found).__name__} of {len(found)}" if isinstance(found, tuple | list) else type(found).__name__
    raise DataError(
        f"task.dataset.import: {dataset.factory} returned {what}; return (x, y), "
        "(x_train, y_train, x_test, y_test), a dict with these names (x may be a dict of fields), or a map-style data set"
    )


def _of_items(data: object, dataset: ImportedData, task: TaskSpec) -> Mapping[str, object]:
    """The arrays of a map-style data set, read item by item; the system removes their files once nobody maps them."""
    cache = _folder(task)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            save_given(data, Path(folder), task, most_of(task))
            return read_npy(Path(folder), most_of(task))
    except DataError as error:
        raise DataError(f"task.dataset.import: {dataset.factory}: {error}") from error
    except OSError as error:
        way = "set task.folder or AUTODISTILL_DATA to another folder"
        raise DataError(f"task.folder: {cache} cannot be written to ({error.strerror}); {way}") from None


def _returned(dataset: ImportedData) -> object:
    call = f"{dataset.factory} called with {f'arguments {dataset.arguments}' if dataset.arguments else 'no arguments'}"
    try:
        probe(dataset.factory, dataset.arguments)
        function = import_function(dataset.factory)
        with running(call):
            found: object = function(**dataset.arguments)
        with running(f"reading the return value of {dataset.factory}"):
            return {key: found[key] for key in found} if isinstance(found, Mapping) else found
    except UsageError as error:
        raise DataError(f"task.dataset.import: {error}") from error


def _digits() -> dict[str, Array]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return {"x": bunch.images.astype(np.uint8), "y": bunch.target}


def _fashion_mnist(folder: Path) -> dict[str, Array]:
    if not (DEBIAN_FASHION_MNIST / "train-images-idx3-ubyte.gz").exists():
        return _downloaded("FashionMNIST", folder, "apt-get install dataset-fashion-mnist, or ")
    files = {
        "x_train": "train-images-idx3",
        "y_train": "train-labels-idx1",
        "x_test": "t10k-images-idx3",
        "y_test": "t10k-labels-idx1",
    }
    return with_names({name: _idx(DEBIAN_FASHION_MNIST / f"{file}-ubyte.gz") for name, file in files.items()}, FASHION_MNIST)


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


def _torch(name: str, folder: Path) -> dict[str, Array]:
    """Reads a data set by timm's name, such as cifar100."""
    from timm.data import create_dataset

    def made(train: bool) -> Any:
        return create_dataset(f"torch/{name}", root=str(folder), split="train" if train else "validation", download=True)

    return _both(name, folder, made)


def _downloaded(name: str, folder: Path, other_way: str = "") -> dict[str, Array]:
    from torchvision import datasets

    return _both(name, folder, lambda train: getattr(datasets, name)(folder, train=train, download=True), other_way)


def _both(name: str, folder: Path, made: Callable[[bool], Any], other_way: str = "") -> dict[str, Array]:
    """The training and test parts of a torchvision data set."""
    try:
        train, test = made(True), made(False)
    except Exception as error:  # a download fails in many ways: RuntimeError, URLError, OSError, a wrong checksum
        raise DataError(
            f"task.dataset: {name} is not in {folder}, and torchvision could not download it ({error}); {other_way}"
            "download it with torchvision on a machine with internet access, and set task.folder to that folder"
        ) from None
    arrays = {"x_train": train.data, "y_train": train.targets, "x_test": test.data, "y_test": test.targets}
    found = {key: np.asarray(value) for key, value in arrays.items()}
    found = {key: value[:, 0] if key[0] == "y" and value.ndim == 2 else value for key, value in found.items()}  # QMNIST's
    return with_names(found, getattr(train, "classes", ()))
