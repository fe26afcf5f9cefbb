"""The strict YAML door: from a file to a Spec, or to all that is wrong with it at once."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from .document import Spec
from .domains import KINDS
from .errors import Problem, SpecError

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
Lines = dict[tuple[Any, ...], int]


def load(path: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Reads a spec; `overrides` are `key.path=value` with the value in YAML.

    Raises SpecError with every problem: its file, line and path, the value and the way out.
    """
    path = Path(path)
    raw, lines = read_yaml(path)
    places: dict[tuple[Any, ...], str] = {}
    for override in overrides:
        places[_override(raw, override)] = f"--set {override}"
    return parse(raw, Places(file=str(path), lines=lines, overrides=places))


class Places:
    """Where a path in the raw document was written."""

    def __init__(self, file: str = "spec", lines: Lines | None = None, overrides: dict[tuple[Any, ...], str] | None = None):
        self.file, self.lines, self.overrides = file, lines or {}, overrides or {}

    def of(self, path: tuple[Any, ...]) -> str:
        for override, place in self.overrides.items():
            if override[: len(path)] == path != ():
                return place
        for end in range(len(path), -1, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
            if path[:end] in self.lines:
                return f"{self.file}:{self.lines[path[:end]]}"
        return self.file


def parse(raw: Any, places: Places | None = None) -> Spec:
    """A Spec from plain dicts and lists. Raises SpecError."""
    places = places or Places()
    if not isinstance(raw, dict):
        raise SpecError([Problem(place=places.file, path="", message=f"is not a mapping of keys but {raw!r:.60}")])
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        raise SpecError(_problems(error, raw, places)) from None


def _problems(error: ValidationError, raw: Any, places: Places) -> list[Problem]:
    found = {}
    for line in error.errors(include_url=False):
        path = _path_in(raw, line["loc"], line["type"])
        message = _message(dict(line), raw, path)
        found[path, message] = Problem(place=places.of(path), path=_dotted(path), message=message)
    return list(found.values())


def _path_in(raw: Any, location: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    """`location` without the names of union members, which are not keys of the document."""
    path: list[Any] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(raw, dict) and part in raw or isinstance(raw, list | tuple) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        elif not (last and kind in ("missing", "extra_forbidden")):
            continue
        path.append(part)
    return tuple(path)


def _dotted(path: tuple[Any, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _message(line: dict[str, Any], raw: Any, path: tuple[Any, ...]) -> str:
    value, kind, context = line["input"], line["type"], line.get("ctx", {})
    text = line["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"{path[-1]!r} is not a key here; {_nearest(str(path[-1]), _siblings(path))}"
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        return f"{context['tag']!r} is none of {', '.join(tags)}; {_nearest(str(context['tag']), tags)}"
    if kind == "union_tag_not_found":
        return "has no family; give one of mlp, convnet, resnet, timm"
    if isinstance(value, dict) and len(value) == 1 and kind not in ("value_error", "wrong"):
        key = str(next(iter(value)))
        return f"{key!r} is no domain; {_nearest(key, list(KINDS))}"
    if kind in ("value_error", "wrong"):
        return str(text)
    return f"{_short(value)} is wrong: {text[:1].lower()}{text[1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(word: str, candidates: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(candidates))}"


def _siblings(path: tuple[Any, ...]) -> list[str]:
    """The keys that the schema knows at the place of an unknown key."""
    from .keys import keys_at

    return keys_at(path[:-1])


def _override(raw: Any, override: str) -> tuple[Any, ...]:
    key, equals, text = override.partition("=")
    problem = Problem(place=f"--set {override}", path=key, message="is not of the form key.path=value")
    path = tuple(int(part) if part.isdigit() else part for part in key.replace("[", ".").replace("]", "").split("."))
    if not equals or not all(part != "" for part in path):
        raise SpecError([problem])
    *above, last = path
    for part in above:
        raw = raw.setdefault(part, {}) if isinstance(raw, dict) else raw[part] if _has(raw, part) else None
    if isinstance(raw, dict) or _has(raw, last):
        raw[last] = _from_text(text, f"--set {override}")[0]
        return path
    raise SpecError([Problem(place=problem.place, path=key, message="does not lead to a place in the spec")])


def _has(raw: Any, index: Any) -> bool:
    return isinstance(raw, list) and isinstance(index, int) and index < len(raw)


def read_yaml(path: Path) -> tuple[Any, Lines]:
    """The document of a YAML 1.2 file and the line of each path in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError([Problem(place=str(path), path="", message=f"cannot be read: {error.strerror or error}")]) from None
    if len(data) > MAX_BYTES:
        message = f"has {len(data):,} bytes; a spec has at most {MAX_BYTES:,}"
        raise SpecError([Problem(place=str(path), path="", message=message)])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError([Problem(place=str(path), path="", message=f"is not UTF-8 text: {error}")]) from None
    return _from_text(text, str(path))


def _from_text(text: str, place: str) -> tuple[Any, Lines]:
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(io.StringIO(text))
        lines: Lines = {}
        _Budget(lines).visit(node, ())
        return yaml.load(io.StringIO(text)), lines
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place}:{mark.line + 1}" if mark else place
        raise SpecError([Problem(place=where, path="", message=f"is no valid YAML: {error.problem}")]) from None
    except (YAMLError, ValueError, RecursionError, OverflowError) as error:
        message = str(error) if not isinstance(error, RecursionError) else "is nested too deeply"
        raise SpecError([Problem(place=place, path="", message=f"is no valid YAML: {message.splitlines()[0]}")]) from None


class _Budget:
    """Notes the line of every node, and refuses a document that aliases blow up."""

    def __init__(self, lines: Lines) -> None:
        self.lines, self.nodes = lines, 0

    def visit(self, node: Any, path: tuple[Any, ...]) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ValueError(f"unfolds to more than {MAX_NODES:,} values; are there aliases of aliases?")
        if node is None:
            return
        self.lines.setdefault(path, node.start_mark.line + 1)
        for key, child in _children(node):
            self.visit(child, (*path, key))


def _children(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield (item[0].value, item[1]) if isinstance(item, tuple) else (index, item)
