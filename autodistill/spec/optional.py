"""`optional: true` beside the fields of a searched term: whether the term is there at all is searched too."""

from __future__ import annotations

from typing import Any

from .domains import wrong


def with_optionals(raw: Any) -> Any:
    """A loss's raw tree in which {optional: true, ...} has become {choice: [null, {...}]}.

    Options of a choice are looked into. Raises pydantic's ValidationError where `optional` is neither true nor false.
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
        raise wrong(raw["optional"], f"{raw['optional']!r:.60} is wrong: give true or false", (*path, "optional"))
    term = {name: item for name, item in raw.items() if name != "optional"}
    return {"choice": [None, term]} if raw["optional"] else term


def _options(raw: dict[str, Any]) -> list[Any] | None:
    """The options of a choice, None where this is something else or is wrong (of which the tree will say so)."""
    options = raw.get("choice")
    return list(options) if raw.keys() == {"choice"} and isinstance(options, list | tuple) else None
