"""Folders of .npy files, named like the arrays of an .npz file: x.npy and y.npy, or x_train.npy, ...; they can be mapped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..spec import DataError
from ..spec.arrays import Array
from ..spec.imports import reason
from .arrays import NAMES, is_known
from .mapped import pieces

PART = 1 << 24
"""Bytes that are read at a time for a hash."""


def read_npy(folder: Path, most: int) -> dict[str, Array]:
    """The arrays of a folder by name, memory-mapped if they have more than `most` bytes. Raises DataError."""
    if not os.path.isdir(folder):
        way = "give a path relative to the spec's directory, or an absolute path"
        raise DataError(f"task.dataset: {str(folder)!r} is not a folder of .npy files; {way}")
    files = {path.stem: path for path in sorted(folder.glob("*.npy")) if is_known(path.stem) or path.stem == NAMES}
    if not files:
        raise DataError(f"task.dataset: {folder} has no x.npy; save the samples as x.npy and the labels as y.npy")
    mapped = sum(path.stat().st_size for path in files.values()) > most
    return {name: _opened(path, mapped) for name, path in files.items()}


def _opened(path: Path, mapped: bool) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(f"task.dataset: {path} cannot be read ({reason(error)}); write it again with numpy.save") from None
    if mapped and not found.flags.c_contiguous:  # the numbers of a sample are all over the file
        way = "write it again with numpy.save(path, numpy.ascontiguousarray(array)), or set task.memory: resident"
        raise DataError(f"task.dataset: {path} is in Fortran order, and too large to be read at once; {way}")
    return found


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


def save_arrays(folder: Path, arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        with new_array(folder / f"{name}.npy", array.shape, array.dtype) as append:
            for piece in pieces(array):
                append(piece)


def digest_of(folder: Path) -> str:
    """The sha256 of the files of a folder and their names."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        found.update(f"{path.name}\0{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while part := file.read(PART):
                found.update(part)
    return found.hexdigest()
