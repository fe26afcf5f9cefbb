"""Arrays of samples and labels, checked before anything else sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..spec import DataError
from ..spec.imports import reason
from .images import Array, Images, Pixels, spread

FORMS = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))
UNLABELED, GROUPS, NAMES = "x_unlabeled", ("groups", "groups_test"), "class_names"
RENAMED = {"x_unlabelled": UNLABELED}
"""Arrays of data made before the first release; to be removed with it."""
MOST_CLASSES = 2**31
FAR = 50
"""Arrays whose values differ by this factor have different scales: 0 to 255 against 0 to 1 is a factor of 255."""
COMPARED = 256, 4096
"""How many samples, and how many values of each, are used to compare the scales of two arrays."""


@dataclass(frozen=True, kw_only=True)
class Raw:
    """x (N, ...) numbers or image files and y (N,) labels from 0 to classes - 1.

    x_test, y_test: the data set's own test split, if it has one. x_unlabeled (U, ...): samples without labels.
    groups (N,): the group of each sample (of x_test, if that is given), for test accuracies by group.
    names: readable names of the classes.
    """

    name: str
    x: Pixels
    y: Array
    x_test: Pixels | None = None
    y_test: Array | None = None
    x_unlabeled: Pixels | None = None
    groups: Array | None = None
    names: tuple[str, ...] | None = None


def check(name: str, arrays: Mapping[str, object]) -> Raw:
    """Checked arrays. Raises DataError naming the array, the first bad row and what to do."""
    x_key, y_key, *test_keys = _form(name, arrays)
    x, y = _pair(name, arrays, x_key, y_key)
    x_test, y_test = _pair(name, arrays, *test_keys) if test_keys else (None, None)
    _classes(name, y_key, y)
    if x_test is not None and y_test is not None:
        _same_task(name, x, y, x_test, y_test)
    return Raw(
        name=name,
        x=x,
        y=y,
        x_test=x_test,
        y_test=y_test,
        x_unlabeled=_unlabeled(name, x_key, x, arrays.get(UNLABELED)),
        groups=_groups(name, GROUPS[bool(test_keys)], arrays, len(y if y_test is None else y_test)),
        names=_names(name, arrays.get(NAMES), int(y.max()) + 1),
    )


def _form(name: str, arrays: Mapping[str, object]) -> tuple[str, ...]:
    """The names of the arrays of samples and labels, of the test split's last."""
    old = next((key for key in RENAMED if key in arrays), None)
    if old is not None:
        raise DataError(f"{name} has {old}, which is called {RENAMED[old]} now; rename it")
    keys = next((form for form in FORMS if set(form) <= set(arrays)), None)
    if keys is None:
        there = ", ".join(map(str, arrays)) or "nothing"
        raise DataError(f"{name} has {there}; give x and y, or x_train, y_train, x_test and y_test")
    others = [key for form in FORMS for key in form if key in arrays and key not in keys]
    if others:
        both = f"{', '.join(keys)} and {', '.join(others)}"
        raise DataError(f"{name} has {both}; give either x and y, or x_train, y_train, x_test and y_test")
    return keys


def _pair(name: str, arrays: Mapping[str, object], x_key: str, y_key: str) -> tuple[Pixels, Array]:
    x = _pixels(name, x_key, arrays[x_key])
    return x, _labels(name, y_key, _array(name, y_key, arrays[y_key]), len(x))


def _names(name: str, given: object, classes: int) -> tuple[str, ...] | None:
    if given is None:
        return None
    found = _array(name, NAMES, given)
    if found.shape != (classes,) or not all(isinstance(one, str) for one in found.tolist()):
        what = f"shape {found.shape} and dtype {found.dtype} for {classes} classes"
        raise DataError(f"{name}: {NAMES} has {what}; give one string per class, shape ({classes},), dtype str, or remove it")
    return tuple(_printable(one) or str(number) for number, one in enumerate(found.tolist()))


def _printable(name: str) -> str:
    """Names of folders may contain any character."""
    return "".join(sign if sign.isprintable() else "?" for sign in name).strip()


def with_names(arrays: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Adds the class names if each class has samples; otherwise labels and names would not match."""
    labels = arrays["y_train"] if "y_train" in arrays else arrays["y"]
    return arrays | ({NAMES: np.array(names)} if len(names) == len(np.unique(labels)) else {})


def _groups(name: str, key: str, arrays: Mapping[str, object], samples: int) -> Array | None:
    if key not in arrays:
        return None
    found = _array(name, key, arrays[key])
    if found.shape != (samples,) or found.dtype.kind not in "uiUb":
        what = f"shape {found.shape} and dtype {found.dtype} for {samples} samples"
        raise DataError(f"{name}: {key} has {what}; give one number or string per sample, shape ({samples},)")
    return found


def _unlabeled(name: str, key: str, x: Pixels, given: object) -> Pixels | None:
    if given is None or isinstance(given, Images):
        return given
    found = _pixels(name, UNLABELED, given)
    _same_form(name, UNLABELED, found, key, x)
    _same_scale(name, key, x, UNLABELED, found)
    return found


def _same_form(name: str, one_key: str, one: Pixels, other_key: str, other: Pixels) -> None:
    if one.shape[1:] != other.shape[1:] or one.dtype != other.dtype:
        what = f"samples of shape {one.shape[1:]} and dtype {one.dtype}, but {other_key} of {other.shape[1:]} and {other.dtype}"
        raise DataError(f"{name}: {one_key} has {what}; make them equal")


def _same_scale(name: str, key: str, one: Pixels, other_key: str, other: Pixels) -> None:
    """Raises DataError if only one of the two arrays was scaled."""
    if isinstance(one, Images) or isinstance(other, Images):
        return
    ratio = _ratio(one, other)
    if not 1 / FAR < ratio < FAR:
        what = f"{ratio:.0f} times larger" if ratio > 1 else f"{1 / ratio:.0f} times smaller"
        raise DataError(f"{name}: the values of {other_key} are about {what} than those of {key}; scale both the same way")


def _ratio(one: Array, other: Array) -> float:
    """How many times larger the values of `other` are: the median over features of the ratio of their medians."""
    medians = np.stack([_medians(one), _medians(other)])
    kept = medians[:, (medians > 0).all(axis=0)]
    return float(np.median(kept[1] / kept[0])) if kept.size else 1.0


def _medians(x: Array) -> Array:
    """The medians of the absolute values of each feature, or of some features."""
    few = x[spread(len(x), COMPARED[0])].reshape(min(len(x), COMPARED[0]), -1)
    return np.median(np.abs(few[:, spread(few.shape[1], COMPARED[1])].astype(np.float64)), axis=0)


def _array(name: str, key: str, value: object) -> Array:
    if any(map(np.ma.isMaskedArray, [value, *(value if isinstance(value, list | tuple) else ())])):
        way = "drop the masked samples, or fill in their values"
        raise DataError(f"{name}: {key} is a masked array, which is not supported; {way}")
    try:
        return np.asarray(value)
    except Exception as error:  # rows of different lengths, a tensor on a GPU, any error of a user's class
        raise DataError(f"{name}: {key} cannot be converted to an array ({reason(error)}); give a numpy array") from None


def _pixels(name: str, key: str, value: object) -> Pixels:
    """Image files, or finite numbers as uint8 or float32."""
    if isinstance(value, Images):
        return value
    x = _array(name, key, value)
    if x.dtype.kind not in "uifb":
        raise DataError(f"{name}: {key} has dtype {x.dtype}; give numbers")
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{name}: {key} has shape {x.shape}; give (samples, ...) with at least one number per sample")
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    if len(bad):
        what = f"has NaN, infinity or a number beyond float32 ({len(bad):,} of {len(x):,} rows do)"
        raise DataError(f"{name}: {key} row {bad[0]} {what}; drop, fill or scale such rows")
    return x


def _labels(name: str, key: str, y: Array, samples: int) -> Array:
    if y.shape != (samples,):
        raise DataError(
            f"{name}: {key} has shape {y.shape} for {samples} samples; give one label per sample, shape ({samples},)"
        )
    if y.dtype.kind not in "ui":
        raise DataError(f"{name}: {key} has dtype {y.dtype}; give integer labels, such as {key}.astype(int)")
    bad = np.flatnonzero((y < 0) | (y >= MOST_CLASSES))
    if len(bad):
        raise DataError(f"{name}: {key} row {bad[0]} has label {y[bad[0]]}, which is out of range; number the classes from 0")
    return y.astype(np.int64)


def _classes(name: str, key: str, y: Array) -> None:
    present = np.unique(y)
    if len(present) < 2:
        raise DataError(f"{name}: {key} has only one class ({present[0]}); a classifier needs two: add another")
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise DataError(
            f"{name}: {key} has {len(present)} classes but labels up to {present[-1]}, out of range: no sample has label "
            f"{gaps[0]}; number the classes from 0 to {len(present) - 1}"
        )


def _same_task(name: str, x: Pixels, y: Array, x_test: Pixels, y_test: Array) -> None:
    _same_form(name, "x_train", x, "x_test", x_test)
    _same_scale(name, "x_train", x, "x_test", x_test)
    if y_test.max() > y.max():
        row = int(np.argmax(y_test > y.max()))
        raise DataError(
            f"{name}: y_test row {row} has label {y_test[row]}, which is out of range: y_train has labels up to {y.max()}; "
            "add training samples of that class, or drop these"
        )
