"""Reads YAML 1.2 as plain values (mappings, lists, strings, numbers, true, false, null) with the line of each."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from .errors import Problem, SpecError

MAX_BYTES = 100_000
MAX_VALUES = 5_000
MAX_DEPTH = 40
CORE = "tag:yaml.org,2002:"
SCALARS = {f"{CORE}{name}" for name in ("null", "bool", "int", "float", "str")}
Where = tuple[Any, ...]
Lines = dict[Where, int]


def read_yaml(path: Path) -> tuple[Any, Lines]:
    """The document of a file and the line of each path in it. Raises SpecError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError([Problem(place=str(path), path="", message=f"cannot be read: {error.strerror or error}")]) from None
    if len(data) > MAX_BYTES:
        message = f"has more than {MAX_BYTES:,} bytes, which is too long for a spec"
        raise SpecError([Problem(place=str(path), path="", message=message)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"is not UTF-8 text: byte {data[error.start]:#04x}; save the file as UTF-8"
        raise SpecError([Problem(place=f"{path}:{line}", path="", message=message)]) from None
    return from_text(text, lambda line: f"{path}:{line}")


def from_text(text: str, place: Callable[[int], str]) -> tuple[Any, Lines]:
    """The value of a YAML text and the line of each path in it; `place` names a line in errors. Raises SpecError."""
    reader = _Reader()
    try:
        raw = reader.value(_composed(text), ())
    except _Stop as stop:
        reader.problems.append((stop.line, stop.message))
    except MarkedYAMLError as error:
        reader.problems.append(_syntax(error))
    except YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        reader.problems.append((line, f"is not valid YAML: {str(error).splitlines()[0]}"))
    except RecursionError:
        reader.problems.append((1, f"is nested more than {MAX_DEPTH} levels deep"))
    if reader.problems:
        raise SpecError([Problem(place=place(line), path="", message=message) for line, message in reader.problems])
    return raw, reader.lines


class _Stop(Exception):
    """The rest of the document cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        self.line, self.message = line, message


def _composed(text: str) -> Any:
    directive = re.search(r"^%.*", text, re.MULTILINE)
    if directive:
        line = text.count("\n", 0, directive.start()) + 1
        raise _Stop(line, f"{directive[0]!r} is a directive; remove it, because a spec is always YAML 1.2")
    return YAML(typ="safe", pure=True).compose(io.StringIO(text))


def _syntax(error: MarkedYAMLError) -> tuple[int, str]:
    mark = error.problem_mark or error.context_mark
    begun = f" that begins on line {error.context_mark.line + 1}" if error.context_mark else ""
    parts = [f"{error.context}{begun}" if error.context else "", error.problem or ""]
    return (mark.line + 1 if mark else 1), f"is not valid YAML: {', '.join(filter(None, parts))}"


class _Reader:
    """Turns nodes into values, copying each alias; records lines, and what is wrong with keys, tags and numbers."""

    def __init__(self) -> None:
        self.lines: Lines = {}
        self.problems: list[tuple[int, str]] = []
        self.values = 0
        self.constructor = YAML(typ="safe", pure=True).constructor

    def value(self, node: Any, path: Where) -> Any:
        if node is None:
            return None
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            raise _Stop(line, f"expands to more than {MAX_VALUES:,} values; are there aliases of aliases?")
        if len(path) > MAX_DEPTH:
            raise _Stop(line, f"is nested more than {MAX_DEPTH} levels deep")
        self.lines.setdefault(path, line)
        if isinstance(node, MappingNode) and node.tag == f"{CORE}map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{CORE}seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: Any, path: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode) or key.tag != f"{CORE}str":
                self.problems.append(
                    (line, f"{_shown(key)} is not a valid key: keys are strings; quote it if it is meant as one")
                )
            elif key.value in found:
                first = self.lines[*path, key.value]
                self.problems.append((line, f"key {key.value!r} is already on line {first}; keep only one"))
            else:
                self.lines[*path, key.value] = line
                found[key.value] = self.value(item, (*path, key.value))
        return found

    def _scalar(self, node: Any, line: int) -> Any:
        if not isinstance(node, ScalarNode) or node.tag not in SCALARS:
            tag = str(node.tag).replace(CORE, "!!")
            self.problems.append((line, f"{_shown(node)} has type {tag}; remove the tag, or quote the value"))
            return None
        try:
            node.value.encode()
            return self.constructor.construct_object(node)
        except Exception:  # a lone surrogate, a tag that does not fit its text, thousands of digits
            kind = node.tag.removeprefix(CORE)
            self.problems.append((line, f"{_shown(node)} cannot be read as {kind}; correct it, or quote it as a string"))
            return None


def _shown(node: Any) -> str:
    if not isinstance(node, ScalarNode):
        return "a mapping" if isinstance(node, MappingNode) else "a list"
    text = repr(node.value)
    return text if len(text) <= 60 else text[:57] + "..."
