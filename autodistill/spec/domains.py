"""Domains that a search chooses from, and trees of values that hold them.

A tree consists of YAML's dicts, lists and scalars, with a Domain wherever something is searched. A path names a place in a
tree: `architecture.depth`, `arguments.layers[0]`, and `architecture{1}.width` inside the second option of a choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from .value import AsTuple, Json, Value

Params = Mapping[str, Any]
"""The value of each parameter, by the path of its domain."""
Tree = object
"""A dict, a tuple, a scalar or a domain; dicts, tuples and choices hold further trees."""
Whole = Annotated[int, Field(ge=-(10**18), le=10**18)]
LEAST, NARROW = 1e-15, 1e-9
"""The smallest bound of a range other than 0, and the smallest width of a range, relative to its larger bound."""


class _Range(Value):
    low: float
    high: float

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        """Samplers divide by the width of the range."""
        if self.low > self.high:
            raise ValueError(f"[{self.low}, {self.high}] is empty; put the smaller number first")
        tiny = [end for end in (self.low, self.high) if 0 < abs(end) < LEAST]
        if tiny:
            raise ValueError(f"{tiny[0]:g} is too close to 0 to search; use 0, or at least {LEAST:g}")
        if 0 < self.high - self.low < NARROW * max(abs(self.low), abs(self.high)):
            raise ValueError(f"[{self.low}, {self.high}] is too narrow to search; use a single value, or a wider range")
        return self

    def ends(self) -> tuple[Any, ...]:
        return (self.low, self.high)


class Int(_Range):
    """Whole numbers from low to high, both included."""

    low: Whole
    high: Whole

    def count(self) -> float:
        return self.high - self.low + 1

    def __contains__(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high


class Uniform(_Range):
    low: float
    high: float

    def count(self) -> float:
        return 1 if self.low == self.high else math.inf

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


class Log(Uniform):
    """Uniform on a logarithmic scale."""

    low: Annotated[float, Field(gt=0)]


class Choice(Value):
    """One of several options; an option may be a tree that holds further domains."""

    options: Annotated[tuple[Any, ...], AsTuple, Field(min_length=1)]

    @property
    def plain(self) -> bool:
        """Whether every option is a scalar, so that the option itself is the parameter's value (else its position)."""
        return all(option is None or isinstance(option, bool | int | float | str) for option in self.options)

    def values(self) -> tuple[Any, ...]:
        return self.options if self.plain else tuple(range(len(self.options)))

    def ends(self) -> tuple[Any, ...]:
        return self.values()

    def count(self) -> float:
        return len(self.options)

    def pick(self, value: Any) -> int:
        """The position of the option that a parameter chooses."""
        return self.options.index(value) if self.plain else int(value)

    def __contains__(self, value: object) -> bool:
        return any(option == value and type(option) is type(value) for option in self.options)


Domain = Int | Uniform | Log | Choice
RANGES: dict[str, type[Int | Uniform]] = {"int": Int, "uniform": Uniform, "log": Log}
KINDS = (*RANGES, "choice")


def at(path: str, key: str | int) -> str:
    """The path of an item of a mapping or a list."""
    return f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key


def domains(tree: Tree, path: str = "") -> dict[str, Domain]:
    """All domains of a tree by path, including those inside options of a choice."""
    return dict(_walk(tree, path))


def reached(tree: Tree, params: Params, path: str = "") -> Iterator[str]:
    """The paths of the domains that `fill` looks at: not those inside an option that is not chosen."""
    return (place for place, _ in _walk(tree, path, params))


def _walk(tree: Tree, path: str, params: Params | None = None) -> Iterator[tuple[str, Domain]]:
    """The domains of a tree with their paths; with `params`, only inside the options that these choose."""
    if isinstance(tree, Choice):
        yield path, tree
        for index in range(len(tree.options)) if params is None else [tree.pick(params[path])]:
            yield from _walk(tree.options[index], f"{path}{{{index}}}", params)
    elif isinstance(tree, Int | Uniform):
        yield path, tree
    elif isinstance(tree, dict | tuple):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _walk(item, at(path, key), params)


def fill(tree: Tree, params: Params, path: str = "") -> Any:
    """The tree with each domain replaced by its value in `params`: plain dicts, lists and scalars."""
    if isinstance(tree, Choice):
        index = tree.pick(params[path])
        return fill(tree.options[index], params, f"{path}{{{index}}}")
    if isinstance(tree, Int | Uniform):
        return params[path]
    if isinstance(tree, dict):
        return {key: fill(item, params, at(path, key)) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return [fill(item, params, at(path, index)) for index, item in enumerate(tree)]
    return tree


def plain(tree: Tree) -> Any:
    """A tree as plain YAML values, from which `searchable` makes it again."""
    if isinstance(tree, Choice):
        return {"choice": [plain(option) for option in tree.options]}
    if isinstance(tree, Int | Uniform):
        kind = next(name for name, one in RANGES.items() if one is type(tree))
        return {kind: [tree.low, tree.high]}
    if isinstance(tree, dict):
        return {key: plain(item) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return [plain(item) for item in tree]
    return tree


def match(tree: Tree, value: object, path: str = "") -> Json | None:
    """Parameters with which `fill` gives `value` (fields that the tree leaves out are not compared), or None."""
    if isinstance(tree, Choice):
        return _match_choice(tree, value, path)
    if isinstance(tree, Int | Uniform):
        return {path: value} if value in tree else None
    if isinstance(tree, dict) and isinstance(value, dict) and tree.keys() <= value.keys():
        return _merged(match(item, value[key], at(path, key)) for key, item in tree.items())
    if isinstance(tree, tuple) and isinstance(value, list | tuple) and len(tree) == len(value):
        return _merged(match(item, value[index], at(path, index)) for index, item in enumerate(tree))
    return {} if tree == value else None


def _match_choice(tree: Choice, value: object, path: str) -> Json | None:
    """Takes the option that matches most of `value`: an option may be another one minus a field."""
    best, most = None, 0
    for index, option in enumerate(tree.options):
        here = f"{path}{{{index}}}"
        inner = match(option, value, here)
        if inner is not None and _count(fill(option, inner, here)) > most:
            best, most = {path: tree.values()[index], **inner}, _count(fill(option, inner, here))
    return best


def _count(value: object) -> int:
    """The number of values within a value, including itself."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, items))


def _merged(parts: Iterable[Json | None]) -> Json | None:
    found: Json = {}
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def probes(tree: Tree) -> list[Json]:
    """Assignments that visit every end of every domain: all low, all high, and each end with the others low."""
    found = domains(tree)
    low = {path: domain.ends()[0] for path, domain in found.items()}
    high = {path: domain.ends()[-1] for path, domain in found.items()}
    single = [low | {path: end} for path, domain in found.items() for end in domain.ends()]
    return [low, *single, high]
