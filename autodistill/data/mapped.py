"""Arrays on disk that are read by row, for samples that do not fit in memory.

Suffixes of shapes: N samples, M rows of the array on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..spec.arrays import Array, DType
from .images import Images

PIECE = 1 << 20
"""How many numbers are read at a time where all samples are looked at."""
DECODED = 64
"""How many image files are decoded at a time, at least: in parallel."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapped:
    """N rows of `array` (M, ...), a memory-mapped array or a view of one, as numbers of `dtype`; `rows` (N,), or None for all.

    Indexing by a slice, or by an array of rows, gives a new array in memory.
    """

    array: Array
    dtype: DType
    rows: Array | None = None

    def __len__(self) -> int:
        return len(self.array) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.array.shape[1:])

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def take(self, rows: Array) -> Mapped:
        """These rows; no sample is read."""
        return replace(self, rows=np.asarray(rows if self.rows is None else self.rows[rows]))

    def __getitem__(self, rows: slice | Array) -> Array:
        asked = rows if self.rows is None else self.rows[rows]
        with np.errstate(over="ignore"):  # a number beyond float32 is infinite, which the check of the data refuses
            return np.array(self.array[asked], self.dtype, order="C")

    def __array__(self, *_: object, **__: object) -> Array:
        what = f"{len(self):,} samples on disk ({self.nbytes / 1e9:.1f} GB)"
        raise TypeError(f"{what} are not one array; take rows from them, or set task.memory: resident")


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Samples of several parts that look like one concatenated array; indexing reads only the requested rows."""

    parts: tuple[Array | Images | Mapped, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> DType:
        return self.parts[0].dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def __getitem__(self, rows: slice | Array) -> Array:
        asked = np.arange(len(self))[rows]
        found = np.empty((len(asked), *self.shape[1:]), self.dtype)
        start = 0
        for part in self.parts:
            here = (asked >= start) & (asked < start + len(part))
            if here.any():
                found[here] = part[asked[here] - start]
            start += len(part)
        return found


Pixels = Array | Images | Mapped | Joined


def pieces(x: Pixels) -> Iterator[Array]:
    """The samples in order, some at a time, as contiguous arrays: the same ones whether `x` is in memory or not."""
    step = max(DECODED if isinstance(x, Images) else 1, PIECE // max(1, math.prod(x.shape[1:])))
    for start in range(0, len(x), step):
        yield np.ascontiguousarray(x[start : start + step])
