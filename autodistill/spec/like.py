"""`like: teacher`: the teacher's architecture, of which only the depth and width are searched.

    student: {architecture: {like: teacher, depth: [0.25, 1], width: [0.25, 1]}}

becomes a plain tree before the spec is validated: the teacher's family and other fields, with whole numbers from 0.25 to 1
times its depth and its width (for a vit, its number of heads, each as wide as the teacher's).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

from pydantic import ValidationError

from .architectures import ARCHITECTURE
from .errors import Problem, SpecError
from .problems import Path, Places, dotted, shown

AT: Path = ("student", "architecture")
SHARES = ("depth", "width")
DEFAULT = (0.25, 1)
STAND_IN = {"family": "mlp", "depth": 1, "width": 1}
"""The student's architecture if the teacher's is invalid, so that its problems are reported only once."""


class _Wrong(NamedTuple):
    path: Path
    message: str


def expanded(raw: dict[str, Any], places: Places | None = None) -> dict[str, Any]:
    """`raw` with the student's `like: teacher` expanded, or `raw` itself if there is none. Does not modify `raw`.

    Raises SpecError for each invalid key or share, and if the teacher's depth and width are unknown.
    """
    given = _at(raw, AT)
    if not isinstance(given, dict) or "like" not in given:
        return raw
    teacher = _at(raw, ("teacher", "architecture"))
    found = [*_wrong_keys(given), *_wrong_shares(given), *_wrong_teacher(teacher)]
    if found:
        places = places or Places()
        raise SpecError([Problem(place=places.of(path), path=dotted(path), message=message) for path, message in found])
    return raw | {"student": raw["student"] | {"architecture": _tree(given, teacher)}}


def _at(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _wrong_keys(given: dict[str, Any]) -> list[_Wrong]:
    known = ("like", *SHARES)
    found = [
        _Wrong((*AT, key), f"{key!r} cannot be set with like, which copies the teacher's; use only {', '.join(known)}")
        for key in given
        if key not in known
    ]
    if given["like"] != "teacher":
        found.append(_Wrong((*AT, "like"), f"{shown(given['like'])} is invalid: use teacher, or a family instead of like"))
    return found


def _wrong_shares(given: dict[str, Any]) -> list[_Wrong]:
    return [
        _Wrong((*AT, key), f"{shown(given[key])} is invalid: use two fractions of the teacher's {key}, such as [0.25, 1]")
        for key in SHARES
        if key in given and not _are_shares(given[key])
    ]


def _are_shares(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    are_numbers = all(isinstance(share, int | float) and not isinstance(share, bool) for share in value)
    return are_numbers and 0 < value[0] <= value[1] <= 1


def _wrong_teacher(teacher: Any) -> list[_Wrong]:
    if teacher is None:
        what = "the teacher has no architecture in the spec"
    elif isinstance(teacher, dict) and teacher.get("family") in ("timm", "import"):
        what = f"the teacher's family {teacher['family']} has no depth and width"
    else:
        return []
    return [_Wrong((*AT, "like"), f"{what}; give the student a family, such as {{family: resnet, depth: 1, width: 8}}")]


def _tree(given: dict[str, Any], teacher: Any) -> dict[str, Any]:
    try:
        architecture = ARCHITECTURE.validate_python(teacher)
    except ValidationError:
        return STAND_IN
    names = {"depth": "depth", "width": "heads" if architecture.family == "vit" else "width"}
    amounts = {name: _range(given.get(key, DEFAULT), getattr(architecture, name)) for key, name in names.items()}
    return {**teacher, **amounts}


def _range(shares: Any, amount: int) -> dict[str, list[int]]:
    """Whole numbers within these fractions of `amount`, at least 1; exact in decimals, so that 0.1 of 30 is 3."""
    low, high = (Fraction(str(share)) * amount for share in shares)
    first = max(1, math.ceil(low))
    return {"int": [first, max(first, math.floor(high))]}
