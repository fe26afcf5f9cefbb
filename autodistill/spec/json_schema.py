"""The JSON schema of a spec, for editors, from the models that the door validates with.

A schema knows the keys of each mapping, and the type, form and bounds of each value. Only the door knows more: which values fit
together, what data, files and code there are, and what JSON does not tell apart, such as 2 and 2.0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from .architectures import ARCHITECTURE, Families, Imported
from .checkpoints import InCheckpoint
from .document import GUIDANCE, INIT, Spec
from .losses import LOSS
from .pretraining import PRETRAINING
from .recipe import RECIPE
from .searched import PREFIX, Searched
from .shorthand import BESIDE, DEFAULT, OF_TRANSFORMERS, SHARES
from .value import Json, Value

DIALECT = GenerateJsonSchema.schema_dialect
MODE: Literal["validation"] = "validation"
SIZES = (*SHARES, *OF_TRANSFORMERS)
FILE = Path(__file__).resolve().parent.parent / "schema.json"
"""A copy of the schema, for editors."""
Adapters = dict[tuple[str, ...], TypeAdapter[Any]]
SEARCHED: Adapters = {
    ("Student", "architecture"): ARCHITECTURE,
    ("Student", "loss"): LOSS,
    ("Student", "recipe"): RECIPE,
    ("Student", "init"): INIT,
    ("Student", "pretrain"): PRETRAINING,
    ("Assistants", "guidance"): GUIDANCE,
}
"""The fields whose values are trees of domains, and the schemas of the values."""
COPIED = (
    "Copies the teacher's architecture, except for its depth and width, which are searched: "
    f"from {DEFAULT[0]} to {DEFAULT[1]} times the teacher's, unless other fractions are given."
)
FOLDER = ("Teacher", "architecture")
"""The field that may name a folder of transformers."""


class _Generator(GenerateJsonSchema):
    """Writes no titles of fields, which only repeat their names, and no defaults of fields without one."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def encode_default(self, dft: object) -> object:
        return (
            dft.model_dump(mode="json", by_alias=True, exclude_none=True)
            if isinstance(dft, Value)
            else super().encode_default(dft)
        )


def json_schema() -> Json:
    """The JSON schema (draft 2020-12) of a spec. Whatever it refuses, `load` refuses, too."""
    adapters: Adapters = {**SEARCHED, FOLDER: TypeAdapter(InCheckpoint), (): TypeAdapter(Spec)}
    inputs = [(place, MODE, adapter) for place, adapter in adapters.items()]
    found, rest = TypeAdapter.json_schemas(inputs, schema_generator=_Generator)
    defs: dict[str, Json] = rest["$defs"]
    for family in _families(defs):
        family["required"] = ["family", *family.get("required", ())]
        del family["properties"]["family"]["default"]
    for definition in defs.values():
        _describe(definition, defs)
    _widen(defs, {place: found[place, MODE] for place in adapters})
    spec = defs.pop("Spec")
    return {"$schema": DIALECT, **spec, "$defs": {name: defs[name] for name in sorted(_used(spec, defs))}}


def _used(node: object, defs: dict[str, Json], found: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of the definitions that a schema refers to, directly or through others, besides those `found` already."""
    if isinstance(node, list):
        for item in node:
            found = _used(item, defs, found)
    elif isinstance(node, dict):
        name = str(node.get("$ref", "")).removeprefix(PREFIX)
        if name in defs and name not in found:
            found = _used(defs[name], defs, found | {name})
        found = _used([item for key, item in node.items() if key not in ("default", "enum", "const")], defs, found)
    return found


def as_text(schema: Json) -> str:
    """As a file holds it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def modeline(spec: Path) -> str:
    """The comment by which editors find the schema that is installed, from the place of a spec."""
    folder = spec.parent.resolve()
    return f"# yaml-language-server: $schema={Path(os.path.relpath(FILE, folder)).as_posix()}"


def _families(defs: dict[str, Json]) -> list[Json]:
    return [defs[kind.__name__] for kind in get_args(Families) if kind is not Imported]


def _describe(definition: Json, defs: dict[str, Json]) -> None:
    """Puts descriptions on one line, with the default of a key at their end; None needs no default, because the text tells."""
    definition["description"] = " ".join(definition.get("description", "").split())
    for key in definition.get("properties", {}).values():
        said = key.get("description") or defs[key["$ref"].removeprefix(PREFIX)]["description"]
        default = key.get("default")
        shown = "" if default in (None, []) or isinstance(default, dict) else f" Default: {_shown(default)}."
        key["description"] = " ".join(said.split()) + shown
        if default is None:
            key.pop("default", None)


def _shown(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)


def _widen(defs: dict[str, Json], found: dict[tuple[str, ...], Json]) -> None:
    """Puts in what the models themselves do not tell: trees of domains, and abbreviations."""
    searched = Searched(defs)
    for model, name in SEARCHED:
        keys = defs[model]["properties"]
        further = [_of_mixed_families(_families(defs))] if name == "architecture" else []
        keys[name] = searched.value(found[model, name], *further) | keys[name]
    defs["Student"]["properties"]["architecture"]["anyOf"].append(_like(defs["TransformersSearched"]["properties"]))
    model, name = FOLDER
    defs[model]["properties"][name]["anyOf"].append(found[FOLDER])


def _of_mixed_families(families: Sequence[Json]) -> Json:
    """An architecture whose family is searched, too: a key may be that of any family."""
    keys = sorted({name for family in families for name in family["properties"]})
    choice = {"type": "object", "required": ["choice"], "description": "A choice of families that have the same keys."}
    return {"type": "object", "properties": {"family": choice}, "required": ["family"], "propertyNames": {"enum": keys}}


def _like(transformers: Json) -> Json:
    """`like: teacher`, with the shares of what the teacher has: arguments of its own, too."""
    share = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    pair = {"type": "array", "items": share, "minItems": 2, "maxItems": 2}
    copied = {"const": "teacher", "description": COPIED}
    shares = {name: pair | {"description": f"Smallest and largest fraction of the teacher's {name}."} for name in SIZES}
    return {
        "type": "object",
        "properties": {"like": copied, **shares, **{name: transformers[name] for name in BESIDE}},
        "required": ["like"],
        "additionalProperties": pair,
    }
