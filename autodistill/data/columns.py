"""Samples as columns by field: arrays in memory or on disk, image files, or numbers of different lengths.

Suffixes of shapes: N samples, B batch, L length, T the total length of all samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..spec.arrays import Array, DType
from .encoding import TOKENS
from .images import Images, joined
from .mapped import Joined, Mapped, Pixels, pieces

Rows = slice | Array
COMPACT = (np.dtype(np.uint16), np.dtype(np.int32))
"""Whole numbers, such as token ids, are kept as these; batches have int64."""
X = "x"
"""The usual field: networks get it as their only positional argument."""
ROWS = "row"
"""The only field until a table or texts are encoded: the numbers of their rows."""


def mask_of(name: str) -> str:
    """The name of the tensor that says which positions of a field are real."""
    return f"{name}_mask"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ragged:
    """Samples that differ in the length of their last axis. `padding` fills the positions after the end of a shorter one in a
    batch.

    values (T, *rest) holds the samples one after the other, that axis first; sample i, (*rest, L), is
    values[offsets[i]:offsets[i + 1]] with the axis moved to the end. offsets (N + 1,) int64.
    """

    values: Array
    offsets: Array
    padding: float = 0.0

    @classmethod
    def of(cls, samples: Sequence[Array]) -> Ragged:
        """From arrays (*rest, L) of one dtype; at least one."""
        offsets = np.concatenate([[0], np.cumsum([one.shape[-1] for one in samples])]).astype(np.int64)
        return cls(values=np.concatenate([np.moveaxis(one, -1, 0) for one in samples]), offsets=offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def dtype(self) -> DType:
        """That of batches."""
        return np.dtype(np.int64) if self.values.dtype in COMPACT else self.values.dtype

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.offsets.nbytes

    @property
    def rest(self) -> tuple[int, ...]:
        """The shape of a sample without its last axis."""
        return self.values.shape[1:]

    @property
    def lengths(self) -> Array:
        """(N,)."""
        return np.diff(self.offsets)

    def padded(self, rows: Rows) -> tuple[Array, Array]:
        """The samples at `rows`, (B, *rest, L) for the longest of them, and mask_BL: True at real positions."""
        chosen_B = np.arange(len(self))[rows]
        starts_B = self.offsets[chosen_B]
        lengths_B = self.offsets[chosen_B + 1] - starts_B
        steps_L = np.arange(lengths_B.max(initial=0))
        mask_BL = steps_L < lengths_B[:, None]
        places_BL = np.where(mask_BL, starts_B[:, None] + steps_L, 0)
        found = self.values[places_BL].astype(self.dtype, copy=False)
        found[~mask_BL] = self.padding
        return np.ascontiguousarray(np.moveaxis(found, 1, -1)), mask_BL

    def take(self, rows: Array) -> Ragged:
        """These rows, in their order."""
        lengths_B = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths_B)]).astype(np.int64)
        places_T = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths_B)
        return replace(self, values=self.values[places_T], offsets=offsets)

    def followed_by(self, others: Sequence[Ragged]) -> Ragged:
        """One column of all rows, in memory."""
        parts = [self, *others]
        starts = np.cumsum([0, *(len(part.values) for part in parts)])
        offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
        values = np.concatenate([part.values for part in parts])
        return replace(self, values=values, offsets=np.concatenate([[0], *offsets]).astype(np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedRagged:
    """Columns of different lengths that look like one; a batch reads only its rows. They have one dtype and one padding."""

    parts: tuple[Ragged, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def dtype(self) -> DType:
        return self.parts[0].dtype

    @property
    def padding(self) -> float:
        return self.parts[0].padding

    @property
    def rest(self) -> tuple[int, ...]:
        """As that of `Ragged`."""
        return self.parts[0].rest

    @property
    def lengths(self) -> Array:
        """(N,)."""
        return np.concatenate([part.lengths for part in self.parts])

    def padded(self, rows: Rows) -> tuple[Array, Array]:
        """As that of `Ragged`."""
        asked_B = np.arange(len(self))[rows]
        return self.take(asked_B).padded(slice(None))

    def take(self, rows: Array) -> Ragged:
        """These rows, in their order, in memory."""
        order, parts, start = list[Array](), list[Ragged](), 0
        for part in self.parts:
            here = np.flatnonzero((rows >= start) & (rows < start + len(part)))
            order.append(here)
            parts.append(part.take(rows[here] - start))
            start += len(part)
        return parts[0].followed_by(parts[1:]).take(np.argsort(np.concatenate(order)))


Column = Pixels | Ragged | JoinedRagged


@dataclass(frozen=True)
class Columns:
    """Samples by field, all of one length. `columns["x"]` is a column, `columns.batch(rows)` what networks get of some rows."""

    by_name: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.by_name.values())))

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __getitem__(self, name: str) -> Column:
        return self.by_name[name]

    @property
    def pixels(self) -> Pixels | None:
        """The column of the only field, if that is `x` with samples of one shape."""
        one = self.by_name.get(X)
        return None if len(self.by_name) > 1 or one is None or isinstance(one, Ragged | JoinedRagged) else one

    @property
    def tokens(self) -> Array | None:
        """(N,): how many tokens each sample has, if samples are texts."""
        column = self.by_name.get(TOKENS)
        return column.lengths if isinstance(column, Ragged | JoinedRagged) else None

    @property
    def nbytes(self) -> int:
        """The decoded size in bytes."""
        return sum(column.nbytes for column in self.by_name.values() if not isinstance(column, JoinedRagged))

    @property
    def files(self) -> bool:
        """Whether samples are read from image files."""
        return any(isinstance(column, Images) for column in self.by_name.values())

    @property
    def on_disk(self) -> bool:
        """Whether samples are read from arrays that do not fit in memory."""
        return any(isinstance(column, Mapped | Joined) for column in self.by_name.values())

    def batch(self, rows: Rows) -> dict[str, Array]:
        """The samples at `rows` by field (B, ...); a field of different lengths is followed by its mask.

        Raises DataError naming an image file that cannot be read.
        """
        found: dict[str, Array] = {}
        for name, column in self.by_name.items():
            if isinstance(column, Ragged | JoinedRagged):
                found[name], found[mask_of(name)] = column.padded(rows)
            else:
                found[name] = column[rows]
        return found

    def take(self, rows: Array) -> Columns:
        """These rows; image files are not decoded, and arrays on disk are not read."""
        return Columns({name: _taken(column, rows) for name, column in self.by_name.items()})

    def followed_by(self, others: Sequence[Columns]) -> Columns:
        """All rows as one, in memory; image files are not decoded, and arrays on disk stay there."""
        return Columns({name: _concatenated([column, *(one[name] for one in others)]) for name, column in self.by_name.items()})

    def joined(self, others: Sequence[Columns]) -> Columns:
        """The same, but arrays stay where they are."""
        return Columns({name: _joined([column, *(one[name] for one in others)]) for name, column in self.by_name.items()})

    def parts(self) -> Iterator[tuple[str, Pixels]]:
        """What decides the samples, for a hash: descriptions and arrays. Image files have their own."""
        for name, column in self.by_name.items():
            label = "" if self.pixels is not None else f"{name} "
            if isinstance(column, Ragged):
                yield f"{label}padding {column.padding!r} {column.offsets.shape}", column.offsets
                yield f"{column.values.dtype.str}{column.values.shape}", column.values
            elif not isinstance(column, Images):
                assert not isinstance(column, JoinedRagged), "only columns of one part are hashed"
                yield f"{label}{column.dtype.str}{column.shape}", column

    def contents(self) -> Iterator[memoryview]:
        """The contents of `parts`, for a hash, some at a time."""
        return (piece.data for _, part in self.parts() for piece in pieces(part))


def _taken(column: Column, rows: Array) -> Column:
    if isinstance(column, np.memmap):
        column = Mapped(array=column, dtype=column.dtype)
    return column.take(rows) if isinstance(column, Images | Ragged | JoinedRagged | Mapped) else column[rows]


def _concatenated(columns: Sequence[Column]) -> Column:
    first, *others = columns
    if isinstance(first, Ragged):
        return first.followed_by([one for one in others if isinstance(one, Ragged)])
    files = [one for one in columns if isinstance(one, Images)]
    if files:
        return joined(files)
    on_disk = any(isinstance(one, Mapped | Joined) for one in columns)
    return _joined(columns) if on_disk else np.concatenate([np.asarray(one) for one in columns])


def _joined(columns: Sequence[Column]) -> Column:
    first, *others = columns
    if isinstance(first, Ragged):
        ragged = tuple(one for one in columns if isinstance(one, Ragged))
        return JoinedRagged(parts=ragged) if others else first
    parts = [
        part
        for one in columns
        if not isinstance(one, Ragged | JoinedRagged)
        for part in (one.parts if isinstance(one, Joined) else [one])
    ]
    return Joined(parts=tuple(parts))
