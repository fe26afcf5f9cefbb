"""Turns pydantic's errors into problems with a place, the value, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .architectures import IMPORT, OWN
from .domains import KINDS
from .errors import Location, Problem, shown
from .reading import Places
from .schema import FAMILIES, homes, keys_at
from .trees import origin
from .value import CURRENCY, NAME, Yaml

OR_IMPORT = "or your own network, {import: package.module:function}"
OVERRIDE = "--set"
OURS = ("value_error", "wrong")
WAYS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a string",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "byte_size": "a number of bytes, or a string such as 20 GB",
    "byte_size_unit": "a number of bytes, or a string such as 20 GB",
}
PATTERNS = {
    NAME: "at most 100 letters, digits, '.', '_' and '-', starting with a letter or a digit",
    CURRENCY: "three capital letters, such as USD",
}
RENAMED = {
    "objective": "loss",
    "guard": "label_baselines",
    "like": "incumbent",
    "labelled": "labeled",
    "unlabelled": "unlabeled",
    "normalise": "normalize",
    "standardised": "standardized",
}
"""Keys of specs from before the first release; to be removed with that release."""
SYNONYMS = {
    "log": ("loguniform", "log_uniform", "logfloat", "logspace", "log10"),
    "int": ("randint", "uniform_int", "integer", "quniform", "qrandint", "int_uniform", "range", "min"),
    "uniform": ("float", "real", "low"),
    "choice": ("categorical", "values", "options", "enum", "grid", "grid_search", "one_of"),
}
"""What other tools call our domains."""
FROM_FILE = "it says what a network from a file expects"
"""Of `normalize`, which people look for in the task."""


def place_of(path: Location, places: Places) -> str:
    """Where the value at `path`, or the nearest one around it, is written, and the overrides of values inside it."""
    written = next(places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in places)
    inside = [place for other, place in places.items() if other[: len(path)] == path and place.startswith(OVERRIDE)]
    return " with ".join(dict.fromkeys([written, *inside]))


def explained(error: ValidationError, raw: Yaml, places: Places) -> list[Problem]:
    """Everything that is wrong, each mistake once."""
    found: dict[Location, list[ErrorDetails]] = {}
    for line in error.errors(include_url=False):
        found.setdefault(origin(raw, line["loc"], line["type"]), []).append(line)
    unknown = [path for path, lines in found.items() if lines[0]["type"] == "extra_forbidden"]
    meant = {(*path[:-1], _unknown(path, raw).meant) for path in unknown}
    return [
        Problem(place=place_of(path, places), path=dotted(path), message=message)
        for path, lines in found.items()
        if not (path in meant and lines[0]["type"] == "missing") and not _is_other_form(path, lines, found)
        for message in _messages(lines, raw, path)
    ]


def _is_other_form(path: Location, lines: list[ErrorDetails], found: dict[Location, list[ErrorDetails]]) -> bool:
    """Whether these errors only say that a mapping, which has errors of its own, is not a string or a literal."""
    inner = any(len(other) > len(path) and other[: len(path)] == path for other in found)
    return inner and all(line["type"] in ("string_type", "literal_error") for line in lines)


def dotted(path: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _messages(lines: list[ErrorDetails], raw: Yaml, path: Location) -> list[str]:
    """One message for each value: alternatives of a union are joined."""
    own = [line["msg"].removeprefix("Value error, ") for line in lines if line["type"] in OURS]
    if own:
        return list(dict.fromkeys(own))
    special = [message for line in lines if (message := _special(line, raw, path))]
    if special:
        return list(dict.fromkeys(special))
    ways: dict[str, list[str]] = {}
    for line in lines:
        ways.setdefault(shown(line["input"]), []).append(_way(line, path))
    return [f"{value} is invalid: use {', or '.join(dict.fromkeys(texts))}" for value, texts in ways.items()]


def _special(line: ErrorDetails, raw: Yaml, path: Location) -> str | None:
    value, kind = line["input"], line["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"{path[-1]!r} is not a key here; {_unknown(path, raw).way}"
    if kind == "union_tag_invalid":
        if value["family"] == IMPORT:
            return '"import" is not a family; write {import: package.module:function, ARGUMENT: ...} instead'
        tags = [tag for each in str(line["ctx"]["expected_tags"]).split(",") if (tag := each.strip(" '")) != OWN]
        return f"{shown(value['family'])} is not a known family; {_nearest(value['family'], tags)}, {OR_IMPORT}"
    if kind == "union_tag_not_found" and not isinstance(value, dict):
        return f"{shown(value)} is invalid: use a mapping; its keys are {', '.join(keys_at(path))}"
    if kind == "union_tag_not_found":
        return f"needs a family; use one of {', '.join(kind.model_fields['family'].default for kind in FAMILIES)}, {OR_IMPORT}"
    return _about_domains(value, path) if isinstance(value, dict) and value and kind != "string_type" else None


class _Unknown(NamedTuple):
    """What an unknown key was meant to be, and what to do."""

    meant: str | None
    way: str


def _unknown(path: Location, raw: Yaml) -> _Unknown:
    *above, key = path
    for part in above:
        raw = raw[part]
    valid = keys_at(path[:-1], raw.get("family"))
    absent = [name for name in valid if name not in raw]
    new = RENAMED.get(str(key))
    if new in valid:
        return _Unknown(new, f"it is now called {new!r}")
    if elsewhere := homes(str(new or key), path[:-1]):
        why = f"; {FROM_FILE}" if str(new or key) == "normalize" else ""
        return _Unknown(None, f"it belongs at {' or '.join(elsewhere)}{why}")
    return _Unknown(_near(key, absent), _nearest(key, valid, absent))


def _about_domains(value: dict[str, object], path: Location) -> str | None:
    key = str(next(iter(value)))
    own = next((kind for kind, names in SYNONYMS.items() if key.lower() in names), None)
    if path[:1] != ("student",):
        is_domain = key in KINDS or own is not None
        return f"{shown(value)} is a domain, but only student is searched; use a single value" if is_domain else None
    if own is not None:
        like = "[1, 2, 4]" if own == "choice" else "[LOW, HIGH]"
        return f"{key!r} is not a known domain; it is called {own!r} here: {{{own}: {like}}}"
    if len(value) == 1:
        return f"{key!r} is not a known domain; {_nearest(key, KINDS)}"
    return f"{shown(value)} is invalid: use a single value, or one domain such as {{int: [1, 3]}}"


def _way(line: ErrorDetails, path: Location) -> str:
    kind, text = line["type"], line["msg"]
    if kind == "string_pattern_mismatch":
        return PATTERNS[line["ctx"]["pattern"]]
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"a mapping; its keys are {', '.join(keys_at(path))}"
    if kind in WAYS:
        return WAYS[kind].format(**{name: _plain(value) for name, value in line.get("ctx", {}).items()})
    return f"a value that pydantic accepts: {text[:1].lower()}{text[1:]}"


def _plain(bound: object) -> object:
    """As YAML writes it."""
    return f"{bound:g}" if isinstance(bound, float) else "false" if bound == "False" else bound


def _nearest(word: object, candidates: Sequence[str], first: Sequence[str] = ()) -> str:
    """Suggests the nearest of `first`, otherwise the nearest of `candidates`, otherwise all of these."""
    near = _near(word, first, 0.6) or _near(word, candidates)
    return f"did you mean {near!r}?" if near else f"use one of {', '.join(sorted(candidates))}"


def _near(word: object, candidates: Sequence[str], cutoff: float = 0.5) -> str | None:
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=cutoff) if isinstance(word, str) else []
    return found[0] if found else None
