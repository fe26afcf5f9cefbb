"""From pydantic's errors to problems with a place, the value, and what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from .domains import KINDS
from .errors import Problem
from .keys import keys_at
from .reading import Lines
from .value import CURRENCY, NAME

Path = tuple[Any, ...]
Line = dict[str, Any]
OWN = ("value_error", "wrong")
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
    "byte_size": "bytes, or a string such as 20 GB",
    "byte_size_unit": "bytes, or a string such as 20 GB",
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


class Places:
    """Where a path in the raw document was written."""

    def __init__(self, file: str = "spec", lines: Lines | None = None) -> None:
        self.file, self.lines = file, lines or {}
        self.overrides: dict[Path, str] = {}

    def override(self, path: Path, place: str) -> None:
        """Makes `place` replace everything that was written at `path` or below it."""
        self.lines = {old: line for old, line in self.lines.items() if old[: len(path)] != path}
        self.overrides = {old: other for old, other in self.overrides.items() if old[: len(path)] != path} | {path: place}

    def of(self, path: Path) -> str:
        inside = [place for other, place in self.overrides.items() if path and other != path and other[: len(path)] == path]
        return " with ".join([self._written(path), *inside])

    def _written(self, path: Path) -> str:
        for end in range(len(path), -1, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
            if path[:end] in self.lines:
                return f"{self.file}:{self.lines[path[:end]]}"
        return self.file


def explained(error: ValidationError, raw: Any, places: Places) -> list[Problem]:
    """Everything that is wrong, each mistake once."""
    found: dict[Path, list[Line]] = {}
    for line in error.errors(include_url=False):
        found.setdefault(_path_in(raw, line["loc"], line["type"]), []).append(dict(line))
    unknown = [path for path, lines in found.items() if lines[0]["type"] == "extra_forbidden"]
    meant = {(*path[:-1], _new_name(path, raw) or _near(path[-1], _absent(path, raw))) for path in unknown}
    return [
        Problem(place=places.of(path), path=dotted(path), message=message)
        for path, lines in found.items()
        if not (path in meant and lines[0]["type"] == "missing") and not _is_other_form(path, lines, found)
        for message in _messages(lines, raw, path)
    ]


def _is_other_form(path: Path, lines: list[Line], found: dict[Path, list[Line]]) -> bool:
    """Whether these only say that a mapping, which has errors of its own, is not a string or a literal."""
    inner = any(len(other) > len(path) and other[: len(path)] == path for other in found)
    return inner and all(line["type"] in ("string_type", "literal_error") for line in lines)


def _path_in(raw: Any, location: Path, kind: str) -> Path:
    """`location` without the names of union members, which are not keys of the document."""
    path: list[Any] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(raw, dict) and part in raw or isinstance(raw, list | tuple) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        elif not (last and kind in ("missing", "extra_forbidden", "wrong")):
            continue
        path.append(part)
    tagged = kind == "union_tag_invalid" and isinstance(raw, dict) and "family" in raw
    return (*path, "family") if tagged else tuple(path)


def dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _messages(lines: list[Line], raw: Any, path: Path) -> list[str]:
    """One message for each value: alternatives of a union are joined."""
    own = [line["msg"].removeprefix("Value error, ") for line in lines if line["type"] in OWN]
    if own:
        return list(dict.fromkeys(own))
    special = [message for line in lines if (message := _special(line, raw, path))]
    if special:
        return list(dict.fromkeys(special))
    ways: dict[str, list[str]] = {}
    for line in lines:
        ways.setdefault(shown(line["input"]), []).append(_way(line, raw, path))
    return [f"{value} is invalid: use {', or '.join(dict.fromkeys(texts))}" for value, texts in ways.items()]


def _special(line: Line, raw: Any, path: Path) -> str | None:
    value, kind = line["input"], line["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        new = _new_name(path, raw)
        way = f"it is now called {new!r}" if new else _nearest(path[-1], _keys(path, raw), _absent(path, raw))
        return f"{path[-1]!r} is not a key here; {way}"
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(line["ctx"]["expected_tags"]).split(",")]
        return f"{shown(value['family'])} is not a known family; {_nearest(value['family'], tags)}"
    if kind == "union_tag_not_found":
        return "needs a family; use one of mlp, convnet, resnet, timm_resnet, vit, convnext, mobilenet, timm"
    return _about_domains(value, path) if isinstance(value, dict) and value and kind != "string_type" else None


def _about_domains(value: dict[str, Any], path: Path) -> str | None:
    key = str(next(iter(value)))
    if path[:1] != ("student",):
        return f"{shown(value)} is a domain, but only student is searched; use a single value" if key in KINDS else None
    if len(value) == 1:
        return f"{key!r} is not a known domain; {_nearest(key, list(KINDS))}"
    return f"{shown(value)} is invalid: use a single value, or one domain such as {{int: [1, 3]}}"


def _way(line: Line, raw: Any, path: Path) -> str:
    kind, text = line["type"], line["msg"]
    if kind == "string_pattern_mismatch":
        return PATTERNS[line["ctx"]["pattern"]]
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"a mapping; its keys are {', '.join(keys_at(path))}"
    if kind in WAYS:
        return WAYS[kind].format(**{name: _plain(value) for name, value in line.get("ctx", {}).items()})
    return f"a value that pydantic accepts: {text[:1].lower()}{text[1:]}"


def _plain(bound: Any) -> Any:
    """As YAML writes it."""
    return f"{bound:g}" if isinstance(bound, float) else "false" if bound == "False" else bound


def shown(value: Any) -> str:
    """A value as YAML writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(word: Any, candidates: Sequence[str], first: Sequence[str] = ()) -> str:
    """Suggests the nearest of `first`, otherwise the nearest of `candidates`, otherwise all of these."""
    near = _near(word, first, 0.6) or _near(word, candidates)
    return f"did you mean {near!r}?" if near else f"use one of {', '.join(sorted(candidates))}"


def _near(word: Any, candidates: Sequence[str], cutoff: float = 0.5) -> str | None:
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=cutoff) if isinstance(word, str) else []
    return found[0] if found else None


def _new_name(path: Path, raw: Any) -> str | None:
    """The new name of the key at the end of `path`, if it is the old name of a key that is valid there."""
    new = RENAMED.get(path[-1])
    return new if new in _keys(path, raw) else None


def _absent(path: Path, raw: Any) -> list[str]:
    """The valid keys next to `path` that are not set."""
    there = _at(raw, path[:-1])
    return [key for key in _keys(path, raw) if key not in there]


def _keys(path: Path, raw: Any) -> list[str]:
    return keys_at(path[:-1], _at(raw, path[:-1]).get("family"))


def _at(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw[part]
    return raw
