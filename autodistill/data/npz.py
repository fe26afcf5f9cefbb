"""Reads .npz files; arrays of samples that do not fit in memory are unpacked to disk."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as headers

from ..spec import DataError
from ..spec.arrays import Array, DType
from ..spec.imports import reason
from .arrays import NAMES, is_known
from .columns import X
from .held import Room
from .mapped import PIECE

HEADERS = {(1, 0): headers.read_array_header_1_0, (2, 0): headers.read_array_header_2_0}


def read_npz(path: Path, room: Room) -> dict[str, Array]:
    """The arrays of a data set by name. Raises DataError."""
    if not os.path.isfile(path):
        raise DataError(
            f"task.dataset: {str(path)!r} is not a file; give a path relative to the spec's directory, or an absolute path"
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"task.dataset: {path} cannot be read: {error.strerror}; make it readable") from None
    if not zipfile.is_zipfile(path):
        raise DataError(f"task.dataset: {path} is not a complete .npz file; write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            room.refuse(sum(one.file_size for one in archive.zip.infolist()))
            wanted = [key for key in archive.files if is_known(key)]
            if not any(key.startswith(X) for key in wanted):  # samples of another name: the message lists all
                wanted = []
            also = [NAMES] if wanted and NAMES in archive.files else []
            return {key: _array(archive, key, room) for key in wanted + also or archive.files}
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"task.dataset: {path}: {error}; save plain arrays of numbers, not objects") from None
    except Exception as error:  # a damaged file fails in many ways: BadZipFile, zlib.error, KeyError, NotImplementedError
        raise DataError(f"task.dataset: {path} is damaged ({reason(error)}); write it again with numpy.savez") from None


def _array(archive: Any, key: str, room: Room) -> Array:
    """One array, unpacked piece by piece if it holds samples and is too large for memory."""
    name = f"{key}.npy"
    if not key.startswith(X) or name not in archive.zip.namelist() or archive.zip.getinfo(name).file_size <= room.most:
        found: Array = archive[key]
        return found
    with archive.zip.open(name) as file:
        read_header = HEADERS.get(headers.read_magic(file))
        shape, fortran, dtype = ((), True, None) if read_header is None else read_header(file)
        if dtype is None or fortran or dtype.hasobject or len(shape) < 2:
            what = "is too large for memory, and its rows do not follow one another in the file"
            way = "write it with numpy.savez(path, x=numpy.ascontiguousarray(x), ...), or set memory: resident"
            raise DataError(f"task.dataset: {room.name}: {key} {what}; {way}")
        return room.array(_blocks(file, shape, dtype), shape, dtype)


def _blocks(file: IO[bytes], shape: tuple[int, ...], dtype: DType) -> Iterator[Array]:
    """The rows of an array in a file, some at a time. Raises EOFError if there are too few."""
    numbers = math.prod(shape[1:])
    step = max(1, PIECE // max(1, numbers))
    for start in range(0, shape[0], step):
        rows = min(step, shape[0] - start)
        content = file.read(rows * numbers * dtype.itemsize)
        if len(content) < rows * numbers * dtype.itemsize:
            raise EOFError(f"it has fewer than {shape[0]:,} rows")
        yield np.frombuffer(content, dtype).reshape(rows, *shape[1:])
    file.read(1)  # at the end, zipfile compares the checksum
