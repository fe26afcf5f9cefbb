"""Domains that a search chooses from, and trees of values that hold them.

A tree is what YAML gives (dicts, lists, scalars) with a Domain wherever something is searched. A path names a place in
a tree: `architecture.depth`, `arguments.layers[0]`, and `architecture{1}.width` inside the second option of a choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from .value import AsTuple, Value

Params = Mapping[str, Any]


class _Range(Value):
    low: float
    high: float

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"[{self.low}, {self.high}] is empty: the low end comes first")
        return self

    def ends(self) -> tuple[Any, ...]:
        return (self.low, self.high)


class Int(_Range):
    """Whole numbers from low to high, both included."""

    low: int
    high: int

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
    """Uniform in the logarithm."""

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
    """The tree of `raw`, with {int: [1, 3]} and its like turned into domains.

    Raises pydantic's ValidationError, located at the domain.
    """
    if isinstance(raw, dict) and len(raw) == 1 and next(iter(raw)) in KINDS:
        ((kind, argument),) = raw.items()
        return _located((kind,), lambda: _domain(kind, argument))
    if isinstance(raw, dict):
        return {key: _located((key,), lambda item=item: parse(item)) for key, item in raw.items()}
    if isinstance(raw, list | tuple):
        return tuple(_located((index,), lambda item=item: parse(item)) for index, item in enumerate(raw))
    return raw


def _domain(kind: str, argument: Any) -> Domain:
    if kind == "choice":
        if not isinstance(argument, list | tuple) or not argument:
            raise wrong(argument, "choice takes a list of at least one option")
        options = [_located((index,), lambda option=option: parse(option)) for index, option in enumerate(argument)]
        return Choice(options=tuple(options))
    if not isinstance(argument, list | tuple) or len(argument) != 2:
        raise wrong(argument, f"{kind} takes a list of two numbers, [low, high]")
    return RANGES[kind](low=argument[0], high=argument[1])


def wrong(value: Any, message: str, location: tuple[int | str, ...] = ()) -> ValidationError:
    """A ValidationError of our own words at `location`."""
    error = PydanticCustomError("wrong", "{text}", {"text": message})
    return ValidationError.from_exception_data("", [InitErrorDetails(type=error, loc=location, input=value)])


def _located(location: tuple[int | str, ...], make: Any) -> Any:
    try:
        return make()
    except ValidationError as error:
        raise relocated(error, location) from None


def relocated(error: ValidationError, location: tuple[int | str, ...]) -> ValidationError:
    lines = [
        InitErrorDetails(
            type=PydanticCustomError(line["type"], "{text}", {"text": line["msg"], **line.get("ctx", {})}),
            loc=(*location, *line["loc"]),
            input=line["input"],
        )
        for line in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data("", lines)


def domains(tree: Any, path: str = "") -> dict[str, Domain]:
    """All domains of a tree by path, those inside options of a choice included."""
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
    for index, option in enumerate(tree.options):
        inner = match(option, value, f"{path}{{{index}}}")
        if inner is not None:
            return {path: tree.values()[index], **inner}
    return None


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
    """The tree of `raw`, once every end of every domain has passed the schema behind `adapter`."""
    tree = parse(raw)
    for params in probes(tree):
        adapter.validate_python(fill(tree, params))
    return tree
