"""Reads YAML 1.2 as plain values (mappings, lists, strings, numbers, true, false, null) with the place of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .errors import Location, Problem, SpecError

MAX_BYTES = 100_000
MAX_VALUES = 5_000
MAX_DEPTH = 40
CORE = "tag:yaml.org,2002:"
SCALARS = {f"{CORE}{name}" for name in ("null", "bool", "int", "float", "str")}
Places = dict[Location, str]
"""The file and line, or the override, where the value at a location is written."""


def read_yaml(path: Path) -> tuple[JsonValue, Places]:
    """The document of a file and the place of each location in it. Raises SpecError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError.at(str(path), f"cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise SpecError.at(str(path), f"has more than {MAX_BYTES:,} bytes, which is too long for a spec")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"is not UTF-8 text: byte {data[error.start]:#04x}; save the file as UTF-8"
        raise SpecError.at(f"{path}:{line}", message) from None
    raw, places = from_text(text, lambda line: f"{path}:{line}")
    return raw, {(): str(path)} | places


def from_text(text: str, place: Callable[[int], str]) -> tuple[JsonValue, Places]:
    """The value of a YAML text and the place of each location in it; `place` names a line. Raises SpecError."""
    reader = _Reader(place)
    value = reader.value(_composed(text, place), ())
    if reader.problems:
        raise SpecError(reader.problems)
    return value, reader.places


def _composed(text: str, place: Callable[[int], str]) -> Node | None:
    directive = re.search(r"^%.*", text, re.MULTILINE)
    if directive:
        line = text.count("\n", 0, directive.start()) + 1
        raise SpecError.at(place(line), f"{directive[0]!r} is a directive; remove it, because a spec is always YAML 1.2")
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
        return node
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        begun = f" that begins on line {error.context_mark.line + 1}" if error.context_mark else ""
        parts = [f"{error.context}{begun}" if error.context else "", error.problem or ""]
        line, message = (mark.line + 1 if mark else 1), f"is not valid YAML: {', '.join(filter(None, parts))}"
    except YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        message = f"is not valid YAML: {str(error).splitlines()[0]}"
    except RecursionError:
        line, message = 1, f"is nested more than {MAX_DEPTH} levels deep"
    raise SpecError.at(place(line), message)


class _Reader:
    """Turns nodes into values, copying each alias; records places, and what is wrong with keys, tags and numbers."""

    def __init__(self, place: Callable[[int], str]) -> None:
        self.place = place
        self.places: Places = {}
        self.problems: list[Problem] = []
        self.values = 0
        self.constructor = YAML(typ="safe", pure=True).constructor

    def value(self, node: Node | None, path: Location) -> JsonValue:
        if node is None:
            return None
        self.values += 1
        if self.values > MAX_VALUES:
            self._note(node, f"expands to more than {MAX_VALUES:,} values; are there aliases of aliases?")
            raise SpecError(self.problems)
        if len(path) > MAX_DEPTH:
            self._note(node, f"is nested more than {MAX_DEPTH} levels deep")
            raise SpecError(self.problems)
        self.places.setdefault(path, self.place(_line(node)))
        if isinstance(node, MappingNode) and node.tag == f"{CORE}map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{CORE}seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _note(self, node: Node, message: str) -> None:
        self.problems.append(Problem(place=self.place(_line(node)), path="", message=message))

    def _mapping(self, node: Node, path: Location) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        lines: dict[str, int] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode) or key.tag != f"{CORE}str":
                self._note(key, f"{_shown(key)} is not a valid key: keys are strings; quote it if it is meant as one")
            elif key.value in found:
                self._note(key, f"key {key.value!r} is already on line {lines[key.value]}; keep only one")
            else:
                lines[key.value] = _line(key)
                self.places[*path, key.value] = self.place(_line(key))
                found[key.value] = self.value(item, (*path, key.value))
        return found

    def _scalar(self, node: Node) -> JsonValue:
        if not isinstance(node, ScalarNode) or node.tag not in SCALARS:
            tag = str(node.tag).replace(CORE, "!!")
            self._note(node, f"{_shown(node)} has type {tag}; remove the tag, or quote the value")
            return None
        try:
            node.value.encode()
            value: JsonValue = self.constructor.construct_object(node)
        except Exception:  # a lone surrogate, a tag that does not fit its text, thousands of digits
            kind = node.tag.removeprefix(CORE)
            self._note(node, f"{_shown(node)} cannot be read as {kind}; correct it, or quote it as a string")
            return None
        return value


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _shown(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return "a mapping" if isinstance(node, MappingNode) else "a list"
    text = repr(node.value)
    return text if len(text) <= 60 else text[:57] + "..."
