"""Arrays of samples and labels, checked before anything else sees them.

`x` holds samples of a single field; several have an array each, `x_image` and `x_vector` for example. The data set's own test
split and samples without labels are called likewise: `x_train_image`, `x_test_image`, `x_unlabeled_image`.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..spec import ABOUT, DataError, TaskKind
from ..spec.arrays import Array
from ..spec.kinds import FORMS as LABEL_FORMS
from ..spec.task import FieldOptions
from .columns import Columns, Ragged, X, mask_of
from .fields import LENGTHS, Keyed, array_of, check_alike, column_of, opened, same_length
from .images import Images
from .labels import RANKING, Labels, labels_of, outputs_of

if TYPE_CHECKING:  # pandas is only imported where there is a table
    from .corpus import Texts
    from .fitting import Table

FORMS = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))
VALIDATION = ("x_validation", "y_validation")
"""Beside either form, if the data set has a validation part of its own."""
UNLABELED, GROUPS, NAMES = "x_unlabeled", ("groups", "groups_test"), "class_names"
RENAMED = {"x_unlabelled": UNLABELED}
"""Arrays of data made before the first release; to be removed with it."""
MEANT = {"images": "x", "data": "x", "features": "x", "labels": "y", "target": "y", "targets": "y"}
"""Names that others give to samples and labels."""
RESERVED = ("train", "validation", "test", "unlabeled")
"""No field has such a name: `x_train` is a part of `x`."""
NO_OPTIONS = FieldOptions()


@dataclass(frozen=True, kw_only=True)
class Raw:
    """x: N samples, numbers or image files by field; y: their labels, of the kind of task (see `labels.Labels`).

    x_validation, y_validation and x_test, y_test: the data set's own parts, if it has them. x_unlabeled: U samples without
    labels. groups (N,): the group of each sample (of x_test, if that is given), for test scores by group. names: readable names
    of the outputs.

    Only of a table or of texts: `source` has its columns, and `x`, `x_test`, ... the numbers of its rows until `parts.split`
    encodes it; its groups stay together in the splits, and times (N,) split it in time.
    """

    name: str
    x: Columns
    y: Array
    x_validation: Columns | None = None
    y_validation: Array | None = None
    x_test: Columns | None = None
    y_test: Array | None = None
    x_unlabeled: Columns | None = None
    groups: Array | None = None
    names: tuple[str, ...] | None = None
    kind: TaskKind = "classification"
    source: Table | Texts | None = None
    times: Array | None = None


def check(
    name: str,
    arrays: Mapping[str, object],
    options: Mapping[str, FieldOptions] | None = None,
    kind: TaskKind | Literal["auto"] = "auto",
) -> Raw:
    """Checked arrays; `options` are those of the spec by field.

    Raises DataError naming the array, the first bad row and what to do.
    """
    arrays = keyed(arrays)
    x_key, y_key, *test_keys = _form(name, arrays)
    given = _has_validation(name, y_key, arrays)
    parts = [x_key, *test_keys[:1], *([VALIDATION[0]] if given else []), *([UNLABELED] if _keys_of(UNLABELED, arrays) else [])]
    columns = dict(zip(parts, _columns(name, parts, arrays, options or {}), strict=True))
    labels = labels_of(name, y_key, arrays[y_key], len(columns[x_key]), kind, None)
    pairs = [VALIDATION] if given else []
    pairs += [(test_keys[0], test_keys[1])] if test_keys else []
    others = {key: labels_of(name, key, arrays[key], len(columns[x]), labels.kind, labels).y for x, key in pairs}
    y, y_test = labels.y, others[test_keys[1]] if test_keys else None
    return Raw(
        name=name,
        x=columns[x_key],
        y=y,
        x_validation=columns.get(VALIDATION[0]),
        y_validation=others.get(VALIDATION[1]),
        x_test=columns[test_keys[0]] if test_keys else None,
        y_test=y_test,
        x_unlabeled=columns.get(UNLABELED),
        groups=_groups(name, GROUPS[bool(test_keys)], arrays, len(y if y_test is None else y_test)),
        names=_names(name, arrays.get(NAMES), labels) or labels.names,
        kind=labels.kind,
    )


def keyed(arrays: Mapping[str, object]) -> dict[str, object]:
    """A mapping of fields, as a function may return it for `x`, as one array for each: `x_image`, `x_image_lengths`, ..."""
    found: dict[str, object] = {}
    for key, value in arrays.items():
        if isinstance(value, Mapping):
            found |= {_key_of(str(key), str(field)): value[field] for field in value}
        elif value is not None:
            found[str(key)] = value
    return found


def _key_of(part: str, field: str) -> str:
    if field in (X, X + LENGTHS):
        return part + field.removeprefix(X)
    return f"{part}_{field}"


def is_known(key: str) -> bool:
    """Whether an array of this name may be part of a data set."""
    names = {*FORMS[0], *FORMS[1], *VALIDATION, UNLABELED, *RENAMED, *GROUPS, *RANKING}
    return key in names or key.startswith(f"{X}_")


def _keys_of(part: str, arrays: Mapping[str, object]) -> dict[str, str]:
    """The arrays of a part (x, x_train, x_test, x_unlabeled) by field, in the order of their names."""
    named = {} if part not in arrays else {X: part}
    for key in sorted(arrays):
        field = key.removeprefix(f"{part}_")
        other = part == X and field.startswith(RESERVED) and field.split("_")[0] in RESERVED
        if field != key and not other and not key.endswith(LENGTHS):
            named[field] = key
    return named


def _columns(
    name: str, parts: Sequence[str], arrays: Mapping[str, object], options: Mapping[str, FieldOptions]
) -> list[Columns]:
    """The samples of each part, the same fields in all. Raises DataError as `check` does."""
    keys = [_keys_of(part, arrays) for part in parts]
    _check_fields(name, parts, keys, arrays, options)
    found: list[dict[str, Keyed]] = [{} for _ in parts]
    for field in keys[0]:
        given = options.get(field, NO_OPTIONS)
        each = opened([Keyed(part[field], column_of(name, part[field], arrays, given)) for part in keys], arrays)
        for other in each[1:]:
            if not isinstance(other.column, Images):
                check_alike(name, each[0], other)
        for columns, one in zip(found, each, strict=True):
            columns[field] = one
    for columns in found:
        same_length(name, list(columns.values()))
    whole = [Columns({field: one.column for field, one in columns.items()}) for columns in found]
    _check_masks(name, whole[0])
    return whole


def _check_fields(
    name: str,
    parts: Sequence[str],
    keys: Sequence[Mapping[str, str]],
    arrays: Mapping[str, object],
    options: Mapping[str, FieldOptions],
) -> None:
    """Raises DataError for fields that cannot be told apart, cannot be arguments, or differ between the parts."""
    first, *others = keys
    for part, fields in zip(parts, keys, strict=True):
        if X in fields and len(fields) > 1:
            there = ", ".join(fields.values())
            raise DataError(f"{name} has {there}; give one array {part}, or one for each field, such as {part}_image")
    for field in first:
        if not field.isidentifier() or keyword.iskeyword(field) or field == "self":
            raise DataError(f"{name}: {first[field]} names the field {field!r}, not a valid argument name; use letters and _")
    for part, fields in zip(parts[1:], others, strict=True):
        if fields.keys() != first.keys():
            what = f"{part} has the fields {', '.join(fields)}, but {parts[0]} has {', '.join(first)}"
            raise DataError(f"{name}: {what}; give both the same fields")
    stray = [key for key in arrays if key.startswith(X) and key.endswith(LENGTHS) and key.removesuffix(LENGTHS) not in arrays]
    if stray:
        raise DataError(f"{name} has {stray[0]}, but no {stray[0].removesuffix(LENGTHS)}; give both, or remove it")
    unknown = [field for field in options if field not in first]
    if unknown:
        raise DataError(f"task.inputs: the data have no field {unknown[0]!r}; use one of {', '.join(first)} ({name})")


def _check_masks(name: str, x: Columns) -> None:
    """Raises DataError if a field has the name of another one's mask."""
    for field in x:
        if isinstance(x[field], Ragged) and mask_of(field) in list(x):
            raise DataError(f"{name}: {mask_of(field)} is the name of the mask of {field}; rename that field")


def _form(name: str, arrays: Mapping[str, object]) -> tuple[str, ...]:
    """The names of samples and labels, of the test split's last."""
    old = next((key for key in RENAMED if key in arrays), None)
    if old is not None:
        raise DataError(f"{name} has {old}, which is called {RENAMED[old]} now; rename it")
    ranking = next((key for key in RANKING if key in arrays), None)
    if ranking is not None:
        raise DataError(f"{name} has {ranking}, which is for ranking, but labels may be {LABEL_FORMS}; remove it")
    there = {key for form in FORMS for key in form if (_keys_of(key, arrays) if key.startswith(X) else key in arrays)}
    keys = next((form for form in FORMS if set(form) <= there), None)
    if keys is None:
        found = ", ".join(map(str, arrays)) or "nothing"
        known = {key for form in FORMS for key in form}
        meant = {key: _meant(key) for key in arrays if key not in there and _meant(key) in known - there}
        hint = f"; did you mean {' and '.join(f'{new} for {old}' for old, new in meant.items())}?" if meant else ""
        raise DataError(f"{name} has {found}; give x and y, or x_train, y_train, x_test, and y_test{hint}")
    others = [key for form in FORMS for key in form if key in there and key not in keys]
    if others:
        both = f"{', '.join(keys)} and {', '.join(others)}"
        raise DataError(f"{name} has {both}; give either x and y, or x_train, y_train, x_test, and y_test")
    return keys


def _meant(key: str) -> str:
    """What an array is called here: X_train is x_train, and labels are y."""
    lower = key.lower()
    return MEANT.get(lower, lower)


def _has_validation(name: str, y_key: str, arrays: Mapping[str, object]) -> bool:
    """Whether the data set has a validation part of its own. Raises DataError if it has samples or labels only."""
    x_key, label = VALIDATION
    samples, labels = bool(_keys_of(x_key, arrays)), label in arrays
    if samples != labels:
        there, lacking = (x_key, label) if samples else (label, x_key)
        raise DataError(
            f"{name} has {there}, but no {lacking}; give both, or remove it to use a part of {y_key} for validation"
        )
    return samples


def _names(name: str, given: object, labels: Labels) -> tuple[str, ...] | None:
    if given is None:
        return None
    found, count, about = array_of(name, NAMES, given), outputs_of(labels.kind, labels.y), ABOUT[labels.kind]
    if found.shape != (count,) or not all(isinstance(one, str) for one in found.tolist()):
        what = f"shape {found.shape} and dtype {found.dtype} for {count:,} {about.one if count == 1 else about.many}"
        way = f"give one string per {about.one}, shape ({count},), dtype str, or remove it"
        raise DataError(f"{name}: {NAMES} has {what}; {way}")
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
    found = array_of(name, key, arrays[key])
    if found.shape != (samples,) or found.dtype.kind not in "uiUb":
        what = f"shape {found.shape} and dtype {found.dtype} for {samples} samples"
        raise DataError(f"{name}: {key} has {what}; give one number or string per sample, shape ({samples},)")
    return found
