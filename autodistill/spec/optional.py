"""`optional: true` in a searched term: the search also decides whether to use the term at all."""

from __future__ import annotations

from typing import Any

from .domains import wrong


def with_optionals(raw: Any) -> Any:
    """A loss's raw tree with {optional: true, ...} replaced by {choice: [null, {...}]}, also in the options of a choice.

    Raises pydantic's ValidationError if `optional` is neither true nor false.
    """
    if not isinstance(raw, dict):
        return raw
    options = _options(raw)
    if options is not None:
        return {"choice": [with_optionals(option) for option in options]}
    return {name: _term(item, (name,)) for name, item in raw.items()}


def _term(raw: Any, path: tuple[Any, ...]) -> Any:
    if not isinstance(raw, dict):
        return raw
    options = _options(raw)
    if options is not None:
        return {"choice": [_term(option, (*path, "choice", index)) for index, option in enumerate(options)]}
    if "optional" not in raw:
        return raw
    if not isinstance(raw["optional"], bool):
        raise wrong(raw["optional"], f"{raw['optional']!r:.60} is invalid: use true or false", (*path, "optional"))
    term = {name: item for name, item in raw.items() if name != "optional"}
    return {"choice": [None, term]} if raw["optional"] else term


def _options(raw: dict[str, Any]) -> list[Any] | None:
    """The options of a choice; None if this is something else, or invalid (which is reported later)."""
    options = raw.get("choice")
    return list(options) if raw.keys() == {"choice"} and isinstance(options, list | tuple) else None
