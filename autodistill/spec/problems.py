"""From pydantic's errors to problems with a place, the value, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .architectures import IMPORT, OWN, Families, Imported
from .document import Spec
from .domains import KINDS
from .errors import Location, Problem, shown
from .losses import LossSpec, Term
from .reading import Places
from .recipe import Recipe
from .trees import origin
from .value import CURRENCY, NAME

Models = list[type[BaseModel]]
FAMILIES: Models = [kind for kind in get_args(Families) if kind is not Imported]
"""Those whose keys are known: beside `import` stand the arguments of your own function."""
OR_IMPORT = "or your own network, {import: package.module:function}"
SEARCHED: dict[tuple[str, ...], Models] = {
    ("student", "architecture"): FAMILIES,
    ("student", "loss"): [LossSpec],
    ("student", "recipe"): [Recipe],
}
"""The schemas of what is searched."""
OVERRIDE = "--set"
OURS = ("value_error", "wrong")
ELSEWHERE = {
    "metric": ("task",),
    "kind": ("task",),
    "dataset": ("task",),
    "target": ("search",),
    "trials": ("search",),
    "objectives": ("search",),
    "epochs": ("student", "recipe"),
    "learning_rate": ("student", "recipe"),
    "batch_size": ("student", "recipe"),
    "temperature": ("student", "loss", "kd"),
    "normalize": ("teacher",),
}
"""Where keys belong that are often written elsewhere."""
NORMALIZED = "for a network from outside: all others standardize their input themselves"
DOMAINS = {
    "loguniform": "log",
    "log_uniform": "log",
    "uniform_int": "int",
    "randint": "int",
    "range": "int",
    "float": "uniform",
    "categorical": "choice",
    "options": "choice",
}
"""What domains are called elsewhere."""
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


def place_of(path: Location, places: Places) -> str:
    """Where the value at `path`, or the nearest one around it, is written, and the overrides of values inside it."""
    written = next(places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in places)
    inside = [place for other, place in places.items() if other[: len(path)] == path and place.startswith(OVERRIDE)]
    return " with ".join(dict.fromkeys([written, *inside]))


def explained(error: ValidationError, raw: object, places: Places) -> list[Problem]:
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
    """Whether these only say that a mapping, which has errors of its own, is not a string or a literal."""
    inner = any(len(other) > len(path) and other[: len(path)] == path for other in found)
    return inner and all(line["type"] in ("string_type", "literal_error") for line in lines)


def dotted(path: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _messages(lines: list[ErrorDetails], raw: object, path: Location) -> list[str]:
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


def _special(line: ErrorDetails, raw: object, path: Location) -> str | None:
    value, kind = line["input"], line["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"{path[-1]!r} is not a key here; {_unknown(path, raw).way}"
    if kind == "union_tag_invalid":
        if value["family"] == IMPORT:
            return '"import" is no family; write {import: package.module:function, ARGUMENT: ...} instead'
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


def _unknown(path: Location, raw: Any) -> _Unknown:
    *above, key = path
    for part in above:
        raw = raw[part]
    valid = keys_at(path[:-1], raw.get("family"))
    absent = [name for name in valid if name not in raw]
    new = RENAMED.get(str(key))
    if new in valid:
        return _Unknown(new, f"it is now called {new!r}")
    place = ELSEWHERE.get(str(key))
    if place is not None and place != tuple(above) and not _near(key, absent, 0.8):
        why = f", {NORMALIZED}" if key == "normalize" else ""
        return _Unknown(None, f"it belongs to {'.'.join(place)}{why}")
    return _Unknown(_near(key, absent), _nearest(key, valid, absent))


def _about_domains(value: dict[str, object], path: Location) -> str | None:
    key = str(next(iter(value)))
    if path[:1] != ("student",):
        return f"{shown(value)} is a domain, but only student is searched; use a single value" if key in KINDS else None
    if len(value) == 1:
        meant = DOMAINS.get(key.lower())
        return f"{key!r} is not a known domain; {f'did you mean {meant!r}?' if meant else _nearest(key, KINDS)}"
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


def keys_at(path: Location, family: object = None) -> list[str]:
    """The valid keys at a path; for an architecture, those of `family` or, if it is unknown, of all families."""
    kinds: Models = [Spec]
    names = [part for part in path if isinstance(part, str) and part != "choice"]
    free = False
    for index, name in enumerate(names):
        if free:  # the name of an item of a mapping
            free = False
            continue
        searched = SEARCHED.get(tuple(names[: index + 1]))
        free = any(_is_mapping(kind, name) for kind in kinds)
        kinds = searched or [model for kind in kinds for model in models_of(kind, name)]
    named = [kind for kind in kinds if "family" in kind.model_fields and kind.model_fields["family"].default == family]
    found = {field.alias or name for kind in named or kinds for name, field in kind.model_fields.items()}
    is_term = path[:2] == ("student", "loss") and any(issubclass(kind, Term) for kind in kinds)
    return sorted(found | ({"optional"} if is_term else set()))


def models_of(model: type[BaseModel], name: str) -> Models:
    """The models that the field of this name or alias may hold; none if there is no such field."""
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    return _within(fields[name].annotation) if name in fields else []


def _is_mapping(model: type[BaseModel], name: str) -> bool:
    """Whether the field of this name holds models by name."""
    field = model.model_fields.get(name)
    forms = () if field is None else (field.annotation, *get_args(field.annotation))
    return any(get_origin(one) is dict and _within(one) for one in forms)


def _within(annotation: object) -> Models:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) if get_origin(annotation) for model in _within(part)]
