"""Labels: what kind of task they make, and the checks of each kind. The only place that reads them.

Shape suffixes: N samples, K labels or values.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from ..spec import DataError, TaskKind
from ..spec.arrays import Array
from ..spec.kinds import FORMS
from .fields import array_of

MOST_CLASSES = 2**31
FEW = 20
"""Floats that are at most this many different whole numbers may be classes or values."""
LOST = 1e-3
"""The most noise that rounding to float32 may add to values, relative to their standard deviation."""
RANKING = ("qid", "query", "query_id")
"""Arrays of data for ranking."""


class Labels(NamedTuple):
    """int64 classes (N,), int64 labels of 0 and 1 (N, K), or float32 values (N, K); `names` of classes that were words."""

    kind: TaskKind
    y: Array
    names: tuple[str, ...] | None = None


def labels_of(
    name: str, key: str, given: object, samples: int, kind: TaskKind | Literal["auto"], known: Labels | None
) -> Labels:
    """Checked labels; `known` are those of the training samples, if these are others.

    Raises DataError naming the array, the first bad row and what to do.
    """
    y = _array(name, key, given)
    if y.ndim == 0 or len(y) != samples or y.ndim > 2 or y.size == 0:
        raise DataError(f"{name}: {key} has shape {y.shape} for {samples} samples; {_way(y, samples, key)}")
    kind = known.kind if known is not None else _guessed(name, key, y) if kind == "auto" else kind
    if kind == "regression":
        found = Labels(kind, _values(name, key, y))
        if known is None:
            check_precision(f"{name}: {key}", y.reshape(found.y.shape), found.y)
    elif kind == "multilabel":
        found = Labels(kind, _marks(name, key, y))
    else:
        found = _classes(name, key, y, known)
    if known is not None:
        _same_task(name, key, known.y, found.y)
    elif kind == "classification":
        _check_classes(name, key, found.y)
    else:
        _check_columns(name, key, found)
    return found


def outputs_of(kind: TaskKind, y: Array) -> int:
    """How many outputs a network needs: classes, labels, or values."""
    return int(y.max()) + 1 if kind == "classification" else int(y.shape[1])


def _array(name: str, key: str, given: object) -> Array:
    try:
        return array_of(name, key, given)
    except DataError as error:  # such as lists of boxes
        raise DataError(f"{error}; labels may be {FORMS}") from None


def _way(y: Array, samples: int, key: str) -> str:
    if y.ndim > 2:
        return f"labels may be {FORMS}"
    if y.ndim and len(y) != samples:
        return f"give one label per sample, shape ({samples},)"
    return f"give one label per sample, shape ({samples},), or ({samples}, K) for several"


def _guessed(name: str, key: str, y: Array) -> TaskKind:
    """The kind by dtype and shape. Raises DataError where these do not tell."""
    if y.dtype.kind == "O":
        return "classification" if y.ndim == 1 and all(isinstance(one, str) for one in y.tolist()) else _refused(name, key, y)
    if y.dtype.kind not in "uibfUS":
        _refused(name, key, y)
    if y.dtype.kind == "f":
        return _of_floats(name, key, y)
    if y.ndim == 1:
        return "classification"
    if y.shape[1] == 1 or y.dtype.kind in "US":
        return _refused(name, key, y, f"give {key}.ravel(), one label per sample, shape ({len(y)},)")
    if not np.isin(y, (0, 1)).all():
        row = int(np.argmax(~np.isin(y, (0, 1)).all(axis=1)))
        return _refused(name, key, y, f"row {row} has {y[row][~np.isin(y[row], (0, 1))][0]}, but labels may be {FORMS}")
    _refuse_one_hot(name, key, y)
    return "multilabel"


def _refuse_one_hot(name: str, key: str, y: Array) -> None:
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        what = f"shape {y.shape} with exactly one 1 in each row: classes in one-hot form"
        raise DataError(f"{name}: {key} has {what}; give {key}.argmax(1), shape ({len(y)},), or set task.kind: multilabel")


def _of_floats(name: str, key: str, y: Array) -> TaskKind:
    _refuse_one_hot(name, key, y)
    present = np.unique(y[np.isfinite(y)])
    if len(present) > FEW or not (present == np.round(present)).all():
        return "regression"
    shown = ", ".join(f"{one:g}" for one in present[:5])
    other = "multilabel" if y.ndim == 2 else "classification"
    what = f"floats that are only {len(present)} different whole numbers ({shown}{', ...' * (len(present) > 5)})"
    raise DataError(f"{name}: {key} has {what}, which may be labels or values; set task.kind: {other}, or regression")


def _refused(name: str, key: str, y: Array, way: str = "") -> TaskKind:
    raise DataError(f"{name}: {key} has dtype {y.dtype} and shape {y.shape}; {way or f'labels may be {FORMS}'}")


def _classes(name: str, key: str, y: Array, known: Labels | None) -> Labels:
    if y.ndim != 1:
        raise DataError(f"{name}: {key} has shape {y.shape} for {len(y)} samples; give one label per sample, shape ({len(y)},)")
    if y.dtype.kind in "USO" or known is not None and known.names is not None:
        return _of_words(name, key, y, known)
    if y.dtype.kind == "b" or y.dtype.kind == "f" and (np.isfinite(y) & (y == np.round(y))).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "ui":
        raise DataError(f"{name}: {key} has dtype {y.dtype}; give integer labels, such as {key}.astype(int)")
    bad = np.flatnonzero((y < 0) | (y >= MOST_CLASSES))
    if len(bad):
        raise DataError(f"{name}: {key} row {bad[0]} has label {y[bad[0]]}, which is out of range; number the classes from 0")
    return Labels("classification", y.astype(np.int64))


def _of_words(name: str, key: str, y: Array, known: Labels | None) -> Labels:
    """Words as classes, numbered in the order of the alphabet. Raises DataError for words where `known` are numbers."""
    if known is not None and known.names is None:
        raise DataError(f"{name}: {key} has words, but the training labels are numbers; use words or numbers in both")
    bad = next((row for row, one in enumerate(y.tolist()) if y.dtype.kind == "O" and not isinstance(one, str | bytes)), None)
    if bad is not None and known is None:
        what = f"row {bad} has {y[bad]!r:.40}, but labels of dtype object may only be words"
        raise DataError(f"{name}: {key} {what}; drop such rows, or give them a label")
    words = [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in y.tolist()]
    names = tuple(sorted(set(words))) if known is None or known.names is None else known.names
    number = {word: place for place, word in enumerate(names)}
    bad = next((row for row, word in enumerate(words) if word not in number), None)
    if bad is not None:
        what = f"row {bad} has label {words[bad]!r:.60}, which no training sample has"
        raise DataError(f"{name}: {key} {what}; add training samples of that class, or drop these")
    return Labels("classification", np.array([number[word] for word in words], np.int64), names)


def _marks(name: str, key: str, y: Array) -> Array:
    wrong = y.dtype.kind not in "uibf" or y.ndim != 2
    if wrong or not np.isin(y, (0, 1)).all():
        what = f"dtype {y.dtype} and shape {y.shape}" if wrong else "values other than 0 and 1"
        raise DataError(f"{name}: {key} has {what}; for multilabel, give 0 or 1 for each label, shape ({len(y)}, K)")
    return y.astype(np.int64)


def _values(name: str, key: str, y: Array) -> Array:
    if y.dtype.kind not in "uibf":
        raise DataError(f"{name}: {key} has dtype {y.dtype}; for regression, give numbers")
    with np.errstate(over="ignore"):
        found = y.reshape(len(y), -1).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        what = f"has NaN, infinity, or a number beyond float32 ({len(bad):,} of {len(y):,} rows do)"
        raise DataError(f"{name}: {key} row {bad[0]} {what}; drop such rows, or give them as x_unlabeled")
    return found


def check_precision(what: str, exact_NK: Array, found_NK: Array) -> None:
    """Raises DataError for values that are so far from 0 that float32 cannot tell them apart: networks compute with float32."""
    lost_K = np.std(found_NK - exact_NK.astype(np.float64), axis=0)
    bad = np.flatnonzero(lost_K > LOST * np.std(exact_NK.astype(np.float64), axis=0))
    if len(bad):
        mean, spread = (float(of(exact_NK[:, bad[0]].astype(np.float64))) for of in (np.mean, np.std))
        where = f"{what} has values of about {mean:.4g} that differ by about {spread:.2g}"
        raise DataError(f"{where}, which float32 cannot tell apart; subtract {mean:.4g} from them")


def _check_classes(name: str, key: str, y: Array) -> None:
    present = np.unique(y)
    if len(present) < 2:
        raise DataError(f"{name}: {key} has only one class ({present[0]}); a classifier needs two: add another")
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise DataError(
            f"{name}: {key} has {len(present)} classes but labels up to {present[-1]}, out of range: no sample has label "
            f"{gaps[0]}; number the classes from 0 to {len(present) - 1}"
        )


def _check_columns(name: str, key: str, found: Labels) -> None:
    """Raises DataError for a label or value that is the same in all samples: there is nothing to learn."""
    same = np.flatnonzero((found.y == found.y[0]).all(axis=0))
    if len(same):
        what = f"{key} is {found.y[0, same[0]]:g} in all samples"
        where = f" in column {same[0]}" if found.y.shape[1] > 1 else ""
        raise DataError(f"{name}: {what}{where}, so there is nothing to learn; drop it, or add other samples")


def _same_task(name: str, key: str, y: Array, other: Array) -> None:
    if y.shape[1:] != other.shape[1:]:
        many = f"{other.shape[1]} label{'s' * (other.shape[1] != 1)}"
        what = f"{key} has {many} for each sample, but the training samples have {y.shape[1]}"
        raise DataError(f"{name}: {what}; give both the same labels")
    if y.ndim == 1 and other.max() > y.max():
        row = int(np.argmax(other > y.max()))
        raise DataError(
            f"{name}: {key} row {row} has label {other[row]}, which is out of range: the training samples have labels up to "
            f"{y.max()}; add training samples of that class, or drop these"
        )
