"""Checks of the samples of one field: an array in memory or on disk, arrays of different lengths, padded arrays with lengths,
image files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..spec import DataError
from ..spec.arrays import Array, DType
from ..spec.imports import reason
from ..spec.task import FieldOptions
from .columns import Column, JoinedRagged, Ragged
from .images import Images, spread
from .mapped import Joined, Mapped, Pixels, pieces

FAR = 50
"""Arrays whose values differ by this factor have different scales: 0 to 255 against 0 to 1 is a factor of 255."""
COMPARED = 256, 4096
"""How many samples, and how many values of each, are used to compare the scales of two arrays."""
LENGTHS = "_lengths"


class Keyed(NamedTuple):
    """The name of an array in the data set, and the samples in it."""

    key: str
    column: Column


def column_of(name: str, key: str, arrays: Mapping[str, object], options: FieldOptions) -> Column:
    """Image files, or numbers as uint8, float32 or int64, with the axis open if the samples differ in length. A memory-mapped
    array stays on disk.
    """
    given = arrays[key]
    if isinstance(given, Images):
        return given
    if isinstance(given, np.memmap) and key + LENGTHS not in arrays:
        return _numbers(name, key, given, options, listed=False)
    if key + LENGTHS in arrays:
        return _cut(name, key, array_of(name, key, given), array_of(name, key + LENGTHS, arrays[key + LENGTHS]), options)
    samples = _of_different_lengths(name, key, given)
    if samples is not None:
        return _ragged(name, key, Ragged.of([_checked_kind(name, key, one, options) for one in samples]), options)
    return _numbers(name, key, array_of(name, key, given), options, listed=isinstance(given, list | tuple))


def array_of(name: str, key: str, value: object) -> Array:
    if any(map(np.ma.isMaskedArray, [value, *(value if isinstance(value, list | tuple) else ())])):
        way = "drop the masked samples, or fill in their values"
        raise DataError(f"{name}: {key} is a masked array, which is not supported; {way}")
    try:
        return np.asarray(value)
    except Exception as error:  # rows of different lengths, a tensor on a GPU, any error of a user's class
        raise DataError(f"{name}: {key} cannot be converted to an array ({reason(error)}); give a numpy array") from None


def _of_different_lengths(name: str, key: str, value: object) -> list[Array] | None:
    """The samples, if they are arrays that differ in shape. Raises DataError unless only the last axis differs."""
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.dtype == object):
        return None
    if not all(isinstance(one, np.ndarray) and one.ndim for one in value) or len({one.shape for one in value}) < 2:
        return None
    first = value[0].shape
    for row, one in enumerate(value):
        if one.shape[:-1] != first[:-1]:
            what = f"row {row} has shape {one.shape}, but row 0 has {first}"
            raise DataError(f"{name}: {key} {what}; only the last axis may differ: transpose the samples, or pad the others")
        if one.shape[-1] == 0:
            raise DataError(f"{name}: {key} row {row} has length 0; drop it, or give it at least one position")
    return list(value)


def _cut(name: str, key: str, x: Array, lengths: Array, options: FieldOptions) -> Ragged:
    """Padded samples (N, ..., L) without their padding."""
    _check_form(name, key, x)
    if lengths.shape != (len(x),) or lengths.dtype.kind not in "ui":
        what = f"shape {lengths.shape} and dtype {lengths.dtype} for {len(x)} samples"
        raise DataError(f"{name}: {key}{LENGTHS} has {what}; give one whole number per sample, shape ({len(x)},)")
    bad = np.flatnonzero((lengths < 1) | (lengths > x.shape[-1]))
    if len(bad):
        what = f"row {bad[0]} is {lengths[bad[0]]}, out of range"
        raise DataError(f"{name}: {key}{LENGTHS} {what}; use 1 to {x.shape[-1]}, the last axis of {key}")
    real_NL = np.arange(x.shape[-1]) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    kept = Ragged(values=_checked_kind(name, key, np.moveaxis(x, -1, 1)[real_NL], options), offsets=offsets)
    return _ragged(name, key, kept, options)


def _ragged(name: str, key: str, found: Ragged, options: FieldOptions) -> Ragged:
    values = _cast(found.values, _dtype(found.values, options))
    _check_finite(name, key, values, np.repeat(np.arange(len(found)), found.lengths), len(found))
    _check_padding(name, key, values.dtype, options.padding)
    return Ragged(values=values, offsets=found.offsets, padding=options.padding)


def _check_padding(name: str, key: str, dtype: DType, padding: float) -> None:
    if dtype.kind not in "ui":
        return
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if padding != int(padding) or not low <= padding <= high:
        what = f"task.inputs has padding {padding:g} for {key}, whose dtype is {dtype}"
        raise DataError(f"{name}: {what}; use a whole number from {low} to {high}")


def _numbers(name: str, key: str, x: Array, options: FieldOptions, *, listed: bool) -> Array | Mapped:
    """Finite numbers of one shape a sample; with `listed`, those of another part may differ in length."""
    _check_form(name, key, _checked_kind(name, key, x, options))
    if options.padding and not listed:
        raise DataError(f"{name}: task.inputs has padding for {key}, whose samples have one shape; remove it")
    dtype = _dtype(x, options)
    found = Mapped(array=x, dtype=dtype) if isinstance(x, np.memmap) else _cast(x, dtype)
    _check_finite(name, key, found, np.arange(len(x)), len(x))
    return found


def _check_form(name: str, key: str, x: Array) -> None:
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{name}: {key} has shape {x.shape}; give (samples, ...) with at least one number per sample")


def _checked_kind(name: str, key: str, x: Array, options: FieldOptions) -> Array:
    if x.dtype.kind not in "uifb":
        raise DataError(f"{name}: {key} has dtype {x.dtype}; give numbers")
    if options.dtype == "int64" and (x.dtype.kind not in "ui" or x.size and int(x.max()) > np.iinfo(np.int64).max):
        what = f"{x.dtype}" if x.dtype.kind not in "ui" else f"{x.dtype} beyond int64"
        raise DataError(f"{name}: {key} has dtype {what}, but task.inputs says int64; give integers, or remove that dtype")
    return x


def _dtype(x: Array, options: FieldOptions) -> DType:
    """That of the samples."""
    return np.dtype("int64" if options.dtype == "int64" else "uint8" if x.dtype == np.uint8 else "float32")


def _cast(x: Array, dtype: DType) -> Array:
    with np.errstate(over="ignore"):
        return x.astype(dtype, copy=False)


def _check_finite(name: str, key: str, x: Pixels, rows: Array, samples: int) -> None:
    """`rows` has the sample of each entry of `x`."""
    if x.dtype.kind != "f":
        return
    finite = [np.isfinite(piece.reshape(len(piece), -1)).all(axis=1) for piece in pieces(x)]
    bad = np.unique(rows[~np.concatenate(finite)])
    if len(bad):
        what = f"has NaN, infinity, or a number beyond float32 ({len(bad):,} of {samples:,} rows do)"
        raise DataError(f"{name}: {key} row {bad[0]} {what}; drop, fill, or scale such rows")


# Whether the arrays of two parts, such as those for training and the test, belong together


def opened(parts: Sequence[Keyed], arrays: Mapping[str, object]) -> list[Keyed]:
    """The parts of one field: if one has samples of different lengths, lists of equally long ones are open, too."""
    first = next((part.column for part in parts if isinstance(part.column, Ragged)), None)
    return [part if first is None else part._replace(column=_opened(part, arrays, first.padding)) for part in parts]


def _opened(part: Keyed, arrays: Mapping[str, object], padding: float) -> Column:
    column = part.column
    if isinstance(column, np.ndarray) and isinstance(arrays[part.key], list | tuple):
        return replace(Ragged.of(list(column)), padding=padding)
    return column


def check_alike(name: str, first: Keyed, other: Keyed) -> None:
    """Raises DataError if shape, dtype, or scale differ between two parts of one field."""
    _same_form(name, other, first)
    _same_scale(name, first, other)


def _form(column: Column) -> tuple[object, object]:
    return ((*column.rest, "length") if isinstance(column, Ragged | JoinedRagged) else column.shape[1:]), column.dtype


def _same_form(name: str, one: Keyed, other: Keyed) -> None:
    (shape, dtype), (other_shape, other_dtype) = _form(one.column), _form(other.column)
    if (shape, dtype) == (other_shape, other_dtype):
        return
    way = "make them equal"
    if isinstance(one.column, Ragged) != isinstance(other.column, Ragged):
        way = f"add {(other if isinstance(one.column, Ragged) else one).key}{LENGTHS}"
    what = f"samples of shape {_text(shape)} and dtype {dtype}, but {other.key} of {_text(other_shape)} and {other_dtype}"
    raise DataError(f"{name}: {one.key} has {what}; {way}")


def _text(shape: object) -> str:
    return str(shape).replace("'", "")


def _same_scale(name: str, one: Keyed, other: Keyed) -> None:
    """Raises DataError if only one of the two arrays was scaled. Integers that name something have no scale."""
    first, second = (part.column for part in (one, other))
    others = (Images, Joined, JoinedRagged)
    if isinstance(first, others) or isinstance(second, others) or first.dtype == np.int64:
        return
    ratio = _ratio(_values(first), _values(second))
    if not 1 / FAR < ratio < FAR:
        what = f"{ratio:.0f} times larger" if ratio > 1 else f"{1 / ratio:.0f} times smaller"
        way = "scale both the same way"
        raise DataError(f"{name}: the values of {other.key} are about {what} than those of {one.key}; {way}")


def _values(column: Array | Mapped | Ragged) -> Array | Mapped:
    return column.values if isinstance(column, Ragged) else column


def _ratio(one: Array | Mapped, other: Array | Mapped) -> float:
    """How many times larger the values of `other` are: the median over features of the ratio of their medians."""
    medians = np.stack([_medians(one), _medians(other)])
    kept = medians[:, (medians > 0).all(axis=0)]
    return float(np.median(kept[1] / kept[0])) if kept.size else 1.0


def _medians(x: Array | Mapped) -> Array:
    """The medians of the absolute values of each feature, or of some features."""
    few = x[spread(len(x), COMPARED[0])].reshape(min(len(x), COMPARED[0]), -1)
    return np.median(np.abs(few[:, spread(few.shape[1], COMPARED[1])].astype(np.float64)), axis=0)


def same_length(name: str, columns: Sequence[Keyed]) -> None:
    """Raises DataError unless all fields have as many samples as the first one."""
    first, *others = columns
    for one in others:
        if len(one.column) != len(first.column):
            what = f"{one.key} has {len(one.column):,} samples, but {first.key} has {len(first.column):,}"
            raise DataError(f"{name}: {what}; give both one row per sample")
