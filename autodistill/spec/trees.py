"""Turns plain values into a tree of domains and checks both ends of each domain with a schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from .domains import KINDS, RANGES, Choice, Params, Tree, at, fill, probes
from .errors import Location, refusal, wrong
from .value import Yaml

Faults = list[ErrorDetails]
BROKEN = object()
"""The placeholder in a tree for an invalid domain."""


def searchable(raw: object, adapter: TypeAdapter[Any]) -> Tree:
    """The tree of `raw`, with {int: [1, 3]} and the like turned into domains.

    Raises pydantic's ValidationError, located in `raw`, for each invalid domain, and for whatever the schema of `adapter`
    refuses at any end of any domain.
    """
    faults: Faults = []
    tree = _tree(raw, (), faults)
    for params in probes(tree):
        faults += _refused(tree, params, adapter)
    first = {(fault["loc"], fault["type"]): fault for fault in reversed(faults)}  # of those at one place, of one kind
    if first:
        raise refusal(reversed(first.values()))
    return tree


def _tree(raw: object, location: Location, faults: Faults) -> Tree:
    if isinstance(raw, dict) and len(raw) == 1 and next(iter(raw)) in KINDS:
        ((kind, argument),) = raw.items()
        return _domain(kind, argument, (*location, kind), faults)
    if isinstance(raw, dict):
        return {key: _tree(item, (*location, key), faults) for key, item in raw.items()}
    if isinstance(raw, list | tuple):
        return tuple(_tree(item, (*location, index), faults) for index, item in enumerate(raw))
    return raw


def _domain(kind: str, argument: object, location: Location, faults: Faults) -> object:
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


def _choice(argument: object, location: Location, faults: Faults) -> Choice:
    if not isinstance(argument, list | tuple) or not argument:
        raise wrong(argument, f"{argument!r:.60} is invalid: choice takes a list of at least one option")
    options = [_tree(option, (*location, index), faults) for index, option in enumerate(argument)]
    for index, option in enumerate(options):
        if option is not BROKEN and option in options[:index]:
            raise wrong(
                option, f"{argument[index]!r:.60} equals option {options.index(option)} of the choice; keep only one", (index,)
            )
    return Choice(options=tuple(options))


def _refused(tree: Tree, params: Params, adapter: TypeAdapter[Any]) -> Faults:
    """The schema's errors for one assignment, except for BROKEN domains, which are reported already."""
    try:
        adapter.validate_python(fill(tree, params))
    except ValidationError as error:
        found = _relocated(error, lambda line: origin(tree, line["loc"], line["type"], params))
        return [fault for fault in found if not _is_of_broken(fault)]
    return []


def _is_of_broken(fault: ErrorDetails) -> bool:
    value, kind = fault["input"], fault["type"]
    if kind == "union_tag_invalid":
        return value["family"] is BROKEN
    return value is BROKEN and kind != "extra_forbidden"


def _relocated(error: ValidationError, locate: Callable[[ErrorDetails], Location]) -> Faults:
    return [{**line, "loc": locate(line)} for line in error.errors(include_url=False)]


def origin(tree: Yaml, location: Location, kind: str, params: Params | None = None, path: str = "") -> Location:
    """The place in a document of an error that pydantic locates in the tree that `fill` made from it.

    Adds the option of each choice, and leaves out the names of union members, which are not keys of the document.
    """
    if isinstance(tree, Choice) and params is not None:
        index = tree.pick(params[path])
        return ("choice", index, *origin(tree.options[index], location, kind, params, f"{path}{{{index}}}"))
    if not location:
        return ("family",) if kind == "union_tag_invalid" and isinstance(tree, dict) and "family" in tree else ()
    head, *rest = location
    below = tuple(rest)
    inside = head in tree if isinstance(tree, dict) else isinstance(tree, list | tuple) and head in range(len(tree))
    if inside:
        return (head, *origin(tree[head], below, kind, params, at(path, head)))
    if not rest and kind in ("missing", "extra_forbidden", "wrong"):
        return (head,)
    return origin(tree, below, kind, params, path)
