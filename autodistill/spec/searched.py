"""The JSON schema of what may be searched: each value may be a domain of such values, as `trees.searchable` reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .architectures import IS_DOMAIN
from .domains import LEAST
from .losses import SCHEMAS
from .pretraining import Pretraining
from .value import Json

PREFIX = "#/$defs/"
ANY = "AnySearched"
"""The name of the schema of a value of which only its own function knows what it may be."""
RANGES = {
    "int": "All whole numbers from the first to the second, both included.",
    "uniform": "All numbers from the first to the second.",
    "log": "All numbers from the first to the second, which are above 0, uniform on a logarithmic scale.",
}
CHOICE = "One of these options; an option may hold further domains."
OPTIONAL: Json = {
    "type": "boolean",
    "default": False,
    "description": "Whether the search also decides if this is used at all. Default: false.",
}
OPTIONALS = {Pretraining.__name__, *(kind.__name__ for kind in SCHEMAS.values())}
"""What may be left out by the search: the terms of a loss, and the first phase."""
NUMBERS = ("integer", "number")


class Searched:
    """Writes searched copies of schemas into `defs`, with names that end in Searched."""

    def __init__(self, defs: dict[str, Json]) -> None:
        self.defs = defs
        self.domains: dict[str, str] = {}
        defs[ANY] = _anything()

    def value(self, node: Json, *further: Json) -> Json:
        """The schema of a value of `node`, or of a domain of such values; `further` are more searched forms."""
        said: Json = {name: node[name] for name in ("description", "default") if name in node}
        plain = [*self._alternatives({name: item for name, item in node.items() if name not in said}), *further]
        if plain == [_reference(ANY)]:
            return plain[0] | said
        return {"anyOf": [*plain, self._domain(plain)], **said}

    def _alternatives(self, node: Json) -> list[Json]:
        """The forms of a value, whose parts may be domains."""
        for union in ("anyOf", "oneOf"):
            if union in node and "type" not in node and "$ref" not in node:
                return [one for option in node[union] for one in self._alternatives(option)]
        if not node or node == _reference("JsonValue"):
            return [_reference(ANY)]
        return [self._inside(node)]

    def _inside(self, node: Json) -> Json:
        found = dict(node)
        if "$ref" in node:
            found["$ref"] = PREFIX + self._named(node["$ref"].removeprefix(PREFIX))
        if "properties" in node:
            found["properties"] = {name: self._property(name, one) for name, one in node["properties"].items()}
        if isinstance(node.get("additionalProperties"), dict):
            found["additionalProperties"] = _reference(ANY)
        if "items" in node:
            found["items"] = self.value(node["items"])
        return found

    def _property(self, name: str, node: Json) -> Json:
        """The family decides which keys there are, so a choice of families has a schema of its own."""
        return node if name == "family" else self.value(node)

    def _domain(self, plain: Sequence[Json]) -> Json:
        """A domain of values of these forms: a choice of them, and ranges of the numbers among them; one for equal forms."""
        name = self.domains.setdefault(json.dumps(plain, sort_keys=True), f"Domain{len(self.domains) + 1}")
        if name not in self.defs:
            numbers = next((one for one in plain if one.get("type") in NUMBERS), None)
            option = {"anyOf": [*plain, _reference(name)]}
            kinds = ({} if numbers is None else _ranges(numbers)) | {"choice": _choice(option)}
            one = {"type": "object", "properties": kinds, "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
            self.defs[name] = one
        return _reference(name)

    def _named(self, name: str) -> str:
        """The name of the searched copy of a definition."""
        found = f"{name}Searched"
        if found not in self.defs:
            self.defs[found] = {}  # a definition may refer to itself
            self.defs[found] = self._inside(self.defs[name])
            if name in OPTIONALS:
                self.defs[found]["properties"]["optional"] = OPTIONAL
        return found


def _reference(name: str) -> Json:
    return {"$ref": PREFIX + name}


def _choice(option: Json) -> Json:
    return {"type": "array", "items": option, "minItems": 1, "uniqueItems": True, "description": CHOICE}


def _ranges(number: Json) -> dict[str, Json]:
    """The ranges of a whole number or of any number; both ends are values of it."""
    known = {"int": number | {"type": "integer"}}
    if number["type"] == "number":
        known["uniform"] = number | {"not": {"exclusiveMinimum": 0, "exclusiveMaximum": LEAST}}
        known["log"] = number | {"exclusiveMinimum": 0}
    return {name: _pair(end, RANGES[name]) for name, end in known.items()}


def _pair(end: Json, text: str) -> Json:
    return {"type": "array", "items": end, "minItems": 2, "maxItems": 2, "description": text}


def _anything() -> Json:
    """Any value, in which a mapping with one key that is the name of a domain is one."""
    again = _reference(ANY)
    whole = 10**18
    kinds = _ranges({"type": "number"}) | {
        "int": _pair({"type": "integer", "minimum": -whole, "maximum": whole}, RANGES["int"])
    }
    kinds["choice"] = _choice(again)
    return {
        "description": "Any value, or a domain of values.",
        "if": IS_DOMAIN,
        "then": {"properties": kinds},
        "else": {"items": again, "additionalProperties": again},
    }
