"""Training and validation data in the store, where workers read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..data import Array, Images, Joined, Pixels, Splits
from ..spec import StoreError
from ..store import Store

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
    lists = {name: x.listed() for name, x in samples.items() if isinstance(x, Images) and splits.memory == "stream"}
    arrays = {name: x for name, x in samples.items() if name not in lists}
    arrays |= {"train_y": splits.train.y, "validation_y": splits.validation.y}

    def fill(folder: Path) -> dict[str, object]:
        mean, std = splits.scale()
        for name, text in lists.items():
            (folder / f"{name}.json").write_text(text)
        for name, array in arrays.items():
            with new_array(folder / f"{name}.npy", array.shape, array.dtype) as append:
                for start in range(0, len(array), DECODED):
                    append(array[start : start + DECODED])
        facts = {"shape": list(splits.shape), "classes": splits.classes, "mean": mean, "std": std}
        return facts | ({"memory": "stream"} if lists else {})

    _forget_other(store, splits.fingerprint, lists)
    store.make("data", splits.fingerprint, fill)


def _forget_other(store: Store, fingerprint: str, lists: dict[str, str]) -> None:
    """Removes a list of files if they will be held from now on, or are elsewhere. Held data stay: others may read them."""
    if store.has("data", fingerprint) and "memory" in store.manifest("data", fingerprint):
        known = {name: store.file("data", fingerprint, f"{name}.json").read_text() for name in lists}
        if not lists or known != lists:
            shutil.rmtree(store.folder("data", fingerprint))


@contextmanager
def new_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[Callable[[Array], None]]:
    """Writes a new .npy file row by row: gives a function that appends the next rows.

    numpy.save would hide the system's error when a disk is full, and writing to mapped memory would end the process.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:

        def append(rows: Array) -> None:
            file.write(np.ascontiguousarray(rows, dtype).data)

        np.lib.format.write_array_header_1_0(file, header)
        yield append


def open_data(store: Store, fingerprint: str) -> Data:
    """The stored data. Raises StoreError if a file is damaged, or if another version of autodistill wrote them."""
    manifest = store.manifest("data", fingerprint)
    there = {Path(name).stem for name in manifest["files"]}
    if not there <= {*SAMPLES, "train_y", "validation_y"}:
        raise StoreError(f"{store.folder('data', fingerprint)} was made by another version of autodistill; remove that folder")
    return Data(
        **{Path(name).stem: _opened(store.file("data", fingerprint, name)) for name in manifest["files"]},
        shape=tuple(manifest["shape"]),
        **{name: manifest[name] for name in ("classes", "mean", "std")},
    )


def _opened(path: Path) -> Any:
    return Images.of_list(path.read_text()) if path.suffix == ".json" else np.load(path, mmap_mode="c")
