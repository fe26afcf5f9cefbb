"""The abbreviations of a spec, which are written out before it is validated.

`like: teacher` is the teacher's architecture, of which only the depth and width are searched.

    student: {architecture: {like: teacher, depth: [0.25, 1], width: [0.25, 1]}}

becomes the teacher's family and other fields, with whole numbers from 0.25 to 1 times its depth and its width (for a vit, its
number of heads, each as wide as the teacher's). If the teacher is a network of your own, any whole numbers among its arguments
can be searched that way: `{like: teacher, hidden: [0.25, 1]}`. Of a transformer, these are its `layers`, its `hidden` width
(that is, its heads, each as wide as the teacher's) and, if it is given, `intermediate`; `vocabulary`, `embedding` and `dropout`
may be set or searched beside them.

`optional: true` in a searched term of a loss, or in `pretrain`, lets the search also decide whether to use it at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .architectures import ARCHITECTURE, IMPORT, Transformers
from .errors import Location, fault, refusal, shown, wrong
from .value import Json

AT: Location = ("student", "architecture")
SHARES = ("depth", "width")
OF_TRANSFORMERS = ("layers", "hidden", "intermediate")
BESIDE = ("vocabulary", "embedding", "dropout")
"""What may be set beside the shares of a transformer: nothing of them follows from the teacher's size."""
HEADS_BY = {"layers": "layers", "heads": "hidden"}
"""Which share decides which field of a transformer."""
DEFAULT = (0.25, 1)
STAND_IN = {"family": "mlp", "depth": 1, "width": 1}
"""The student's architecture if the teacher's is invalid, so that its problems are reported only once."""


def expanded(raw: Json) -> Json:
    """`raw` with the student's `like: teacher` expanded, or `raw` itself if there is none. Does not modify `raw`.

    Raises pydantic's ValidationError for all invalid keys and shares, and if the teacher's depth and width are unknown.
    """
    given, teacher = _architecture(raw, "student"), _architecture(raw, "teacher")
    if not isinstance(given, dict) or "like" not in given:
        return raw
    shares = _shares(teacher)
    faults = [*_wrong_keys(given, shares), *_wrong_shares(given, shares), *_wrong_teacher(teacher, shares)]
    if faults:
        raise refusal(faults)
    return raw | {"student": raw["student"] | {"architecture": _tree(given, teacher)}}


def _architecture(raw: Json, whose: str) -> Any:
    return raw[whose].get("architecture") if isinstance(raw.get(whose), dict) else None


def _shares(teacher: object) -> Sequence[str]:
    """What can be searched as a share of the teacher's: depth and width, or whole numbers among your own arguments."""
    if _is_transformer(teacher):
        return OF_TRANSFORMERS
    if not isinstance(teacher, dict) or IMPORT not in teacher:
        return SHARES
    return [name for name, value in teacher.items() if type(value) is int and value > 0 and name != "version"]


def _is_transformer(teacher: object) -> bool:
    return isinstance(teacher, dict) and teacher.get("family") == "transformers"


def _wrong_keys(given: dict[str, object], shares: Sequence[str]) -> Iterator[ErrorDetails]:
    known = ("like", *shares, *(BESIDE if shares == OF_TRANSFORMERS else ()))
    for key in given:
        if key not in known:
            message = f"{key!r} cannot be set with like, which copies the teacher's; use only {', '.join(known)}"
            yield fault(given[key], message, (*AT, key))
    if given["like"] != "teacher":
        message = f"{shown(given['like'])} is invalid: use teacher, or a family instead of like"
        yield fault(given["like"], message, (*AT, "like"))


def _wrong_shares(given: dict[str, object], shares: Sequence[str]) -> Iterator[ErrorDetails]:
    for key in shares:
        if key in given and not _are_shares(given[key]):
            message = f"{shown(given[key])} is invalid: use two fractions of the teacher's {key}, such as [0.25, 1]"
            yield fault(given[key], message, (*AT, key))


def _are_shares(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    are_numbers = all(isinstance(share, int | float) and not isinstance(share, bool) for share in value)
    return are_numbers and 0 < value[0] <= value[1] <= 1


def _wrong_teacher(teacher: object, shares: Sequence[str]) -> Iterator[ErrorDetails]:
    if teacher is None:
        what = "the teacher has no architecture in the spec"
    elif isinstance(teacher, dict) and IMPORT in teacher and not shares:
        what = "the teacher has no whole number among its arguments"
    elif isinstance(teacher, dict) and teacher.get("family") == "timm":
        what = f"the teacher's family {teacher['family']} has no depth and width"
    else:
        return
    message = f"{what}; give the student a family, such as {{family: resnet, depth: 1, width: 8}}"
    yield fault(teacher, message, (*AT, "like"))


def _tree(given: Json, teacher: Any) -> Json:
    try:
        architecture = ARCHITECTURE.validate_python(teacher)
    except ValidationError:
        return STAND_IN
    if IMPORT in teacher:
        return {**teacher, **{name: _range(given.get(name, DEFAULT), teacher[name]) for name in _asked(given, teacher)}}
    if isinstance(architecture, Transformers):
        return _transformer(given, architecture)
    names = {"depth": "depth", "width": "heads" if architecture.family == "vit" else "width"}
    amounts = {name: _range(given.get(key, DEFAULT), getattr(architecture, name)) for key, name in names.items()}
    return {**teacher, **amounts}


def _transformer(given: Json, teacher: Transformers) -> Json:
    """The teacher's model and settings, but those of its checkpoint alone: how many rows there are, and what it drops."""
    settings = {name: value for name, value in teacher.settings.items() if name != "vocab_size" and "drop" not in name}
    amounts = {name: _range(given.get(key, DEFAULT), getattr(teacher, name)) for name, key in HEADS_BY.items()}
    found: Json = {"family": "transformers", "model": teacher.model, **amounts, "head_width": teacher.wide // teacher.heads}
    inner = teacher.intermediate or 4 * teacher.wide
    if "intermediate" in given:
        found["intermediate"] = _range(given["intermediate"], inner)
    elif inner != 4 * teacher.wide:
        found["intermediate"] = inner
    kept = {"embedding": teacher.embedding} if teacher.embedding is not None else {}
    return found | ({"settings": settings} if settings else {}) | kept | {name: given[name] for name in BESIDE if name in given}


def _asked(given: Json, teacher: Json) -> Sequence[str]:
    """The arguments to search: those that are given, else all that may be sizes."""
    return [name for name in _shares(teacher) if name in given] or _shares(teacher)


def _range(shares: tuple[float, float], amount: int) -> dict[str, list[int]]:
    """Whole numbers within these fractions of `amount`, at least 1; exact in decimals, so that 0.1 of 30 is 3."""
    low, high = (Fraction(str(share)) * amount for share in shares)
    first = max(1, math.ceil(low))
    return {"int": [first, max(first, math.floor(high))]}


def with_optionals(raw: object, path: Location = ()) -> object:
    """A loss's raw tree with {optional: true, ...} replaced by {choice: [null, {...}]}, also in the options of a choice.

    Raises pydantic's ValidationError, located below `path`, if `optional` is neither true nor false.
    """
    if not isinstance(raw, dict):
        return raw
    options = _options(raw)
    if options is not None:
        return {"choice": [with_optionals(option, (*path, "choice", index)) for index, option in enumerate(options)]}
    return {name: _term(item, (*path, name)) for name, item in raw.items()}


def optional_phase(raw: object, path: Location = ()) -> object:
    """The raw tree of `pretrain`, in the same way: itself, and the terms of its loss."""
    if not isinstance(raw, dict):
        return raw
    options = _options(raw)
    if options is not None:
        return {"choice": [optional_phase(option, (*path, "choice", index)) for index, option in enumerate(options)]}
    return _term({name: with_optionals(item, (*path, name)) if name == "loss" else item for name, item in raw.items()}, path)


def _term(raw: object, path: Location) -> object:
    if not isinstance(raw, dict):
        return raw
    options = _options(raw)
    if options is not None:
        return {"choice": [_term(option, (*path, "choice", index)) for index, option in enumerate(options)]}
    if "optional" not in raw:
        return raw
    if not isinstance(raw["optional"], bool):
        raise wrong(raw["optional"], f"{raw['optional']!r:.60} is invalid: use true or false", (*path, "optional"))
    term = {name: item for name, item in raw.items() if name != "optional"}
    return {"choice": [None, term]} if raw["optional"] else term


def _options(raw: dict[str, object]) -> list[object] | None:
    """The options of a choice; None if this is something else, or invalid (which is reported later)."""
    options = raw.get("choice")
    return list(options) if raw.keys() == {"choice"} and isinstance(options, list | tuple) else None
