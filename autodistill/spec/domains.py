"""Domains that a search chooses from, and trees of values that hold them.

A tree is what YAML gives (dicts, lists, scalars) with a Domain wherever something is searched. A path names a place in
a tree: `architecture.depth`, `arguments.layers[0]`, and `architecture{1}.width` inside the second option of a choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from .value import AsTuple, Value

Params = Mapping[str, Any]
Whole = Annotated[int, Field(ge=-(10**18), le=10**18)]
Location = tuple[int | str, ...]
Faults = list[Any]
LEAST, NARROW = 1e-15, 1e-9
"""The smallest bound of a range other than 0, and the smallest width of a range, relative to its larger bound."""
BROKEN: Any = object()
"""The placeholder in a tree for an invalid domain."""


class _Range(Value):
    low: float
    high: float

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"[{self.low}, {self.high}] is empty; put the smaller number first")
        return self

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        """Samplers divide by the width of the range."""
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

    def __contains__(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high


class Uniform(_Range):
    low: float
    high: float

    def count(self) -> float:
        return 1 if self.low == self.high else math.inf

    def __contains__(self, value: Any) -> bool:
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
        return self.options.index(value) if self.plain else int(value)

    def __contains__(self, value: Any) -> bool:
        return any(option == value and type(option) is type(value) for option in self.options)


Domain = Int | Uniform | Log | Choice
RANGES: dict[str, type[Int | Uniform]] = {"int": Int, "uniform": Uniform, "log": Log}
KINDS = (*RANGES, "choice")


def parse(raw: Any) -> Any:
    """The tree of `raw`, with {int: [1, 3]} and the like turned into domains.

    Raises pydantic's ValidationError, located at each invalid domain.
    """
    faults: Faults = []
    tree = _tree(raw, (), faults)
    _raise(faults)
    return tree


def _tree(raw: Any, location: Location, faults: Faults) -> Any:
    if isinstance(raw, dict) and len(raw) == 1 and next(iter(raw)) in KINDS:
        ((kind, argument),) = raw.items()
        return _domain(kind, argument, (*location, kind), faults)
    if isinstance(raw, dict):
        return {key: _tree(item, (*location, key), faults) for key, item in raw.items()}
    if isinstance(raw, list | tuple):
        return tuple(_tree(item, (*location, index), faults) for index, item in enumerate(raw))
    return raw


def _domain(kind: str, argument: Any, location: Location, faults: Faults) -> Any:
    """BROKEN if the argument is invalid, so that the values next to it are still checked."""
    try:
        if kind == "choice":
            return _choice(argument, location, faults)
        if not isinstance(argument, list | tuple) or len(argument) != 2:
            raise wrong(argument, f"{argument!r:.60} is invalid: {kind} takes a list of two numbers, [low, high]")
        return RANGES[kind](low=argument[0], high=argument[1])
    except ValidationError as error:
        faults += _relocated(error, lambda line: (*location, *line["loc"]))
        return BROKEN


def _choice(argument: Any, location: Location, faults: Faults) -> Choice:
    if not isinstance(argument, list | tuple) or not argument:
        raise wrong(argument, f"{argument!r:.60} is invalid: choice takes a list of at least one option")
    options = [_tree(option, (*location, index), faults) for index, option in enumerate(argument)]
    for index, option in enumerate(options):
        if option is not BROKEN and option in options[:index]:
            raise wrong(
                option, f"{argument[index]!r:.60} equals option {options.index(option)} of the choice; keep only one", (index,)
            )
    return Choice(options=tuple(options))


def wrong(value: Any, message: str, location: Location = ()) -> ValidationError:
    """A ValidationError with our own message at `location`."""
    error = PydanticCustomError("wrong", "{text}", {"text": message})
    return ValidationError.from_exception_data("", [InitErrorDetails(type=error, loc=location, input=value)])


def _relocated(error: ValidationError, locate: Callable[[Any], Location]) -> Faults:
    return [
        InitErrorDetails(
            type=PydanticCustomError(line["type"], "{text}", {"text": line["msg"], **line.get("ctx", {})}),
            loc=locate(line),
            input=line["input"],
        )
        for line in error.errors(include_url=False)
    ]


def _raise(faults: Faults) -> None:
    """Raises the first fault of each kind at each place, if there are any."""
    first = {(fault["loc"], fault["type"].type): fault for fault in reversed(faults)}
    if first:
        raise ValidationError.from_exception_data("", list(reversed(first.values())))


def domains(tree: Any, path: str = "") -> dict[str, Domain]:
    """All domains of a tree by path, including those inside options of a choice."""
    return dict(_walk(tree, path))


def _walk(tree: Any, path: str) -> Iterator[tuple[str, Domain]]:
    if isinstance(tree, Choice):
        yield path, tree
        for index, option in enumerate(tree.options):
            yield from _walk(option, f"{path}{{{index}}}")
    elif isinstance(tree, Int | Uniform):
        yield path, tree
    elif isinstance(tree, dict):
        for key, item in tree.items():
            yield from _walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, tuple):
        for index, item in enumerate(tree):
            yield from _walk(item, f"{path}[{index}]")


def reached(tree: Any, params: Params, path: str = "") -> Iterator[str]:
    """The paths of the domains that `fill` looks at: not those inside an option that is not chosen."""
    if isinstance(tree, Choice):
        yield path
        index = tree.pick(params[path])
        yield from reached(tree.options[index], params, f"{path}{{{index}}}")
    elif isinstance(tree, Int | Uniform):
        yield path
    elif isinstance(tree, dict):
        for key, item in tree.items():
            yield from reached(item, params, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, tuple):
        for index, item in enumerate(tree):
            yield from reached(item, params, f"{path}[{index}]")


def fill(tree: Any, params: Params, path: str = "") -> Any:
    """The tree with each domain replaced by its value in `params`: plain dicts, lists and scalars."""
    if isinstance(tree, Choice):
        index = tree.pick(params[path])
        return fill(tree.options[index], params, f"{path}{{{index}}}")
    if isinstance(tree, Int | Uniform):
        return params[path]
    if isinstance(tree, dict):
        return {key: fill(item, params, f"{path}.{key}" if path else str(key)) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return [fill(item, params, f"{path}[{index}]") for index, item in enumerate(tree)]
    return tree


def match(tree: Any, value: Any, path: str = "") -> dict[str, Any] | None:
    """Parameters with which `fill` gives `value` (fields that the tree leaves out are not compared), or None."""
    if isinstance(tree, Choice):
        return _match_choice(tree, value, path)
    if isinstance(tree, Int | Uniform):
        return {path: value} if value in tree else None
    if isinstance(tree, dict):
        return _match_dict(tree, value, path)
    if isinstance(tree, tuple):
        if not isinstance(value, list | tuple) or len(value) != len(tree):
            return None
        return _merged(match(item, value[index], f"{path}[{index}]") for index, item in enumerate(tree))
    return {} if tree == value else None


def _match_choice(tree: Choice, value: Any, path: str) -> dict[str, Any] | None:
    """Takes the option that matches most of `value`: an option may be another one minus a field."""
    best, most = None, 0
    for index, option in enumerate(tree.options):
        here = f"{path}{{{index}}}"
        inner = match(option, value, here)
        if inner is not None and _count(fill(option, inner, here)) > most:
            best, most = {path: tree.values()[index], **inner}, _count(fill(option, inner, here))
    return best


def _count(value: Any) -> int:
    """The number of values within a value, including itself."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, items))


def _match_dict(tree: dict[str, Any], value: Any, path: str) -> dict[str, Any] | None:
    if not isinstance(value, dict) or any(key not in value for key in tree):
        return None
    return _merged(match(item, value[key], f"{path}.{key}" if path else str(key)) for key, item in tree.items())


def _merged(parts: Iterator[dict[str, Any] | None]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def probes(tree: Any) -> list[dict[str, Any]]:
    """Assignments that visit every end of every domain: all low, all high, and each end with the others low."""
    found = domains(tree)
    low = {path: domain.ends()[0] for path, domain in found.items()}
    high = {path: domain.ends()[-1] for path, domain in found.items()}
    single = [low | {path: end} for path, domain in found.items() for end in domain.ends()]
    return [low, *single, high]


def searchable(raw: Any, adapter: TypeAdapter[Any]) -> Any:
    """The tree of `raw`, after every end of every domain has passed the schema of `adapter`."""
    faults: Faults = []
    tree = _tree(raw, (), faults)
    for params in probes(tree):
        faults += _refused(tree, params, adapter)
    _raise(faults)
    return tree


def _refused(tree: Any, params: Params, adapter: TypeAdapter[Any]) -> Faults:
    """The schema's errors for one assignment, except for BROKEN domains, which are reported already."""
    try:
        adapter.validate_python(fill(tree, params))
    except ValidationError as error:
        found = _relocated(error, lambda line: _origin(tree, params, line["loc"], line["type"]))
        return [fault for fault in found if not _is_of_broken(fault)]
    return []


def _is_of_broken(fault: Any) -> bool:
    value, kind = fault["input"], fault["type"].type
    if kind == "union_tag_invalid":
        return value["family"] is BROKEN
    return value is BROKEN and kind != "extra_forbidden"


def _origin(tree: Any, params: Params, location: Location, kind: str, path: str = "") -> Location:
    """The location in the raw tree of a location in the filled tree: inside which option of which choice."""
    if isinstance(tree, Choice):
        index = tree.pick(params[path])
        return ("choice", index, *_origin(tree.options[index], params, location, kind, f"{path}{{{index}}}"))
    if not location:
        return ("family",) if kind == "union_tag_invalid" else ()
    head, *rest = location
    if isinstance(tree, dict) and head in tree:
        return (head, *_origin(tree[head], params, tuple(rest), kind, f"{path}.{head}" if path else str(head)))
    if isinstance(tree, tuple) and isinstance(head, int):
        return (head, *_origin(tree[head], params, tuple(rest), kind, f"{path}[{head}]"))
    if not rest and kind in ("missing", "extra_forbidden"):
        return (head,)
    return _origin(tree, params, tuple(rest), kind, path)  # the name of a union member
