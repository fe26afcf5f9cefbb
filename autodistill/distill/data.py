"""Training and validation data in the store, where workers read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..data import Splits
from ..store import Store

Array = NDArray[Any]
PARTS = ("train_x", "train_y", "validation_x", "validation_y")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Training and validation samples, memory-mapped; `shape` is a sample's, channels first."""

    train_x: Array
    train_y: Array
    validation_x: Array
    validation_y: Array
    shape: tuple[int, ...]
    classes: int
    mean: list[float]
    std: list[float]


def save_data(store: Store, splits: Splits) -> None:
    """Puts training and validation data where workers read them. The test split is not among them."""
    mean, std = splits.scale()

    def fill(folder: Path) -> dict[str, Any]:
        arrays = (splits.train.x, splits.train.y, splits.validation.x, splits.validation.y)
        for name, array in zip(PARTS, arrays, strict=True):
            save_array(folder / f"{name}.npy", array)
        return {"shape": list(splits.shape), "classes": splits.classes, "mean": mean, "std": std}

    store.make("data", splits.fingerprint, fill)


def save_array(path: Path, array: Array) -> None:
    """A .npy file. numpy.save would hide what the system says of a full disk."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        write_header(file, array.shape, array.dtype)
        file.write(array.data)


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Of a .npy file whose numbers, in C order, come after it."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def open_data(store: Store, fingerprint: str) -> Data:
    record = store.record("data", fingerprint)
    arrays = {name: np.load(store.file("data", fingerprint, f"{name}.npy"), mmap_mode="r") for name in PARTS}
    facts = {name: record[name] for name in ("classes", "mean", "std")}
    return Data(**arrays, shape=tuple(record["shape"]), **facts)
