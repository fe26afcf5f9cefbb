"""Training and validation data in the store, where workers read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..data import Images, Joined, Pixels, Splits
from ..data.images import described_images
from ..spec import StoreError
from ..store import Store

Array = NDArray[Any]
DECODED = 512
"""How many image files are decoded at a time when they are stored."""

SAMPLES = ("train_x", "validation_x", "unlabeled_x")
"""The files of samples, in the order of training; the last one only where there are samples without labels."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Training and validation samples: memory-mapped arrays, or image files. `shape` is that of a sample, channels first.

    Rows of training data have consecutive numbers: first the N with labels, then the U of `unlabeled_x`, if any.
    """

    train_x: Pixels
    train_y: Array
    validation_x: Pixels
    validation_y: Array
    shape: tuple[int, ...]
    classes: int
    mean: list[float]
    std: list[float]
    unlabeled_x: Pixels | None = None

    @property
    def streamed(self) -> bool:
        """Whether samples are read from image files while training."""
        return isinstance(self.train_x, Images)

    @property
    def rows(self) -> int:
        """N + U."""
        return len(self.x)

    @cached_property
    def x(self) -> Joined:
        """All training samples (N + U, *shape), the labeled ones first; `x[rows]` reads only those rows."""
        return Joined(parts=(self.train_x,) if self.unlabeled_x is None else (self.train_x, self.unlabeled_x))

    def fetch(self, rows: Array) -> Array:
        """Samples (B, *shape) at an array of rows, in its order. Raises DataError naming a file that cannot be read."""
        return self.x[rows]


def save_data(store: Store, splits: Splits) -> None:
    """Stores training and validation data for the workers, without the test split.

    Image files are decoded once or, with `memory: stream`, only listed, unless they are stored decoded already. A list of
    files in another place is replaced. Raises DataError naming a file that cannot be read.
    """
    pixels = (splits.train.x, splits.validation.x, splits.unlabeled)
    samples = {name: x for name, x in zip(SAMPLES, pixels, strict=True) if x is not None}
    streamed = {name: x.described() for name, x in samples.items() if isinstance(x, Images) and splits.memory == "stream"}

    def fill(folder: Path) -> dict[str, Any]:
        mean, std = splits.scale()
        for name, x in samples.items():
            _save(folder, name, x, streamed.get(name))
        save_array(folder / "train_y.npy", splits.train.y)
        save_array(folder / "validation_y.npy", splits.validation.y)
        facts = {"shape": list(splits.shape), "classes": splits.classes, "mean": mean, "std": std}
        return facts | ({"memory": "stream"} if streamed else {})

    _forget_other(store, splits.fingerprint, streamed)
    store.make("data", splits.fingerprint, fill)


def _save(folder: Path, name: str, x: Pixels, listed: dict[str, Any] | None) -> None:
    if listed is not None:
        (folder / f"{name}.json").write_text(json.dumps(listed))
    elif isinstance(x, Images):
        _save_decoded(folder / f"{name}.npy", x)
    else:
        save_array(folder / f"{name}.npy", x)


def _forget_other(store: Store, fingerprint: str, streamed: dict[str, Any]) -> None:
    """Removes a list of files if they will be held from now on, or are elsewhere. Held data stay: others may read them."""
    if not store.has("data", fingerprint) or "memory" not in store.manifest("data", fingerprint):
        return
    same = bool(streamed) and all(
        json.loads(store.file("data", fingerprint, f"{name}.json").read_bytes()) == listed for name, listed in streamed.items()
    )
    if not same:
        shutil.rmtree(store.folder("data", fingerprint))


def save_array(path: Path, array: Array) -> None:
    """Writes a .npy file. numpy.save would hide the system's error when a disk is full."""
    array = np.ascontiguousarray(array)
    _write(path, array.shape, array.dtype, iter([array]))


def _save_decoded(path: Path, images: Images) -> None:
    """The same for image files, with only some of them in memory at a time."""
    parts = (images[start : start + DECODED] for start in range(0, len(images), DECODED))
    _write(path, images.shape, images.dtype, parts)


def _write(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[Array]) -> None:
    with path.open("wb") as file:
        write_header(file, shape, dtype)
        for part in parts:
            file.write(part.data)


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Writes the header of a .npy file; its numbers, in C order, come next."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def open_data(store: Store, fingerprint: str) -> Data:
    manifest = store.manifest("data", fingerprint)
    there = {Path(name).stem for name in manifest["files"]}
    if not there <= {*SAMPLES, "train_y", "validation_y"}:
        raise StoreError(f"{store.folder('data', fingerprint)} was made by another version of autodistill; remove that folder")
    names = [name for name in SAMPLES if name in there]
    samples = {name: _open(store, fingerprint, name, "memory" in manifest) for name in names}
    labels = {name: _mapped(store, fingerprint, name) for name in ("train_y", "validation_y")}
    facts = {name: manifest[name] for name in ("classes", "mean", "std")}
    return Data(**samples, **labels, shape=tuple(manifest["shape"]), **facts)


def _open(store: Store, fingerprint: str, name: str, streamed: bool) -> Any:
    if not streamed:
        return _mapped(store, fingerprint, name)
    return described_images(json.loads(store.file("data", fingerprint, f"{name}.json").read_bytes()))


def _mapped(store: Store, fingerprint: str, name: str) -> Any:
    return np.load(store.file("data", fingerprint, f"{name}.npy"), mmap_mode="c")
