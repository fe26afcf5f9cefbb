"""Pages that are made from the code: the keys of a spec from its schema, and the commands from their parser.

A page has the comment `<!-- keys -->` or `<!-- commands -->`, which is replaced when Sphinx reads it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Schema = dict[str, Any]
SEARCHED = {"Student": {"architecture": "families", "loss": "LossSpec", "recipe": "Recipe", "pretrain": "Pretraining"}}
"""Fields that hold domains, and the model of their values: the schema takes any value there."""
ENDLESS = 1e9
"""A bound beyond this is there only so that nothing overflows."""
OWN = "Imported"
"""The architecture whose keys are the arguments of your own function."""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _as_rst)
    app.connect("autodoc-skip-member", _is_left_out)
    return {"parallel_read_safe": True}


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Sphinx passes the text of a page as a list of one."""
    for word, made in (("keys", keys), ("commands", commands)):
        if f"<!-- {word} -->" in source[0]:
            source[0] = source[0].replace(f"<!-- {word} -->", made())


def _as_rst(app: Sphinx, what: str, name: str, one: object, options: object, lines: list[str]) -> None:
    """`Example:` before indented code is a literal block; `Returns:` and `Raises:` stand out."""
    text = re.sub(r"^Example:$", "**Example**::\n", "\n".join(lines), flags=re.M)
    lines[:] = re.sub(r"^(Returns|Raises):", r"**\1**:", text, flags=re.M).splitlines()


def _is_left_out(app: Sphinx, what: str, name: str, one: object, skip: bool, options: object) -> bool | None:
    """Leaves out the fields of named tuples, whose docstring only says which number they have, and pydantic's own settings."""
    is_alias = str(getattr(one, "__doc__", "")).startswith("Alias for field number")
    return True if is_alias or name == "model_config" else None


def keys() -> str:
    """A section for each mapping of a spec, with a table of its keys."""
    from autodistill.spec import Spec

    whole = Spec.model_json_schema()
    models = {"Spec": whole} | {name: model for name, model in whole["$defs"].items() if "properties" in model}
    titles = _titles(models)
    return "\n".join(_section(name, models[name], titles) for name in titles)


def _titles(models: dict[str, Schema]) -> dict[str, str]:
    """What each model is called, in the order in which a spec names them: the place of its only parent, or else its key."""
    parents: dict[str, list[tuple[str, str]]] = {"Spec": []}
    _walk("Spec", models, parents)
    titles: dict[str, str] = {}
    for name, places in parents.items():
        family = models[name]["properties"].get("family", {}).get("const")
        owner, key = places[0] if places else ("", "the spec")
        only = len({parent for parent, _ in places}) == 1 and owner != "Spec"
        titles[name] = f"family: {family}" if family else f"{titles[owner]}.{key}" if only else key
    titles[OWN] = "your own network"
    return titles


def _walk(name: str, models: dict[str, Schema], parents: dict[str, list[tuple[str, str]]]) -> None:
    for key, field in models[name]["properties"].items():
        for inner in _models(field, SEARCHED.get(name, {}).get(key), models):
            known = inner in parents
            parents.setdefault(inner, []).append((name, key))
            if not known:
                _walk(inner, models, parents)


def _models(field: object, searched: str | None, models: dict[str, Schema]) -> list[str]:
    """The models that a field may hold."""
    if searched is not None:
        families = [name for name, model in models.items() if "family" in model["properties"] and name != OWN]
        return [*families, OWN] if searched == "families" else [searched]
    if isinstance(field, list):
        return [name for one in field for name in _models(one, None, models)]
    if not isinstance(field, dict):
        return []
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return [name] if name in models else []
    return [name for key, one in field.items() if key != "default" for name in _models(one, None, models)]


def _section(name: str, model: Schema, titles: dict[str, str]) -> str:
    head = f"({_target(titles[name])})=\n## {titles[name]}\n\n{cleandoc(model.get('description', ''))}\n"
    if name == OWN:
        return head
    rows = [_row(name, key, field, key in model.get("required", ()), titles) for key, field in model["properties"].items()]
    return "\n".join([head, "| key | value | default | what it is |", "|---|---|---|---|", *rows, ""])


def _row(name: str, key: str, field: Schema, required: bool, titles: dict[str, str]) -> str:
    searched = SEARCHED.get(name, {}).get(key)
    if searched is None:
        value = _value(field, titles)
    else:
        families = [one for one, title in titles.items() if title.startswith("family: ") or one == OWN]
        names = families if searched == "families" else [searched]
        value = f"{_either([_link(titles[one]) for one in names])}, with domains"
    default = "required" if required else _default(field.get("default"))
    return f"| `{key}` | {value} | {default} | {_cell(field.get('description', ''))} |"


def _target(title: str) -> str:
    return "key-" + re.sub(r"[^a-z0-9_]+", "-", title.lower())


def _link(title: str) -> str:
    return f"[{title.removeprefix('family: ')}](#{_target(title)})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def _default(value: object) -> str:
    """Nothing for null, for an empty list, and for a mapping, which has a section of its own."""
    return "" if value is None or value == [] or isinstance(value, dict) else f"`{json.dumps(value)}`"


def _value(field: Schema, titles: dict[str, str]) -> str:
    """What a field may hold, in words."""
    return _either(list(dict.fromkeys(_ways(field, titles))))


def _ways(field: Schema, titles: dict[str, str]) -> Iterator[str]:
    """Those in which a field may be given. What is said beside them holds for each."""
    word = next((word for word in ("anyOf", "oneOf") if word in field), None)
    if word is None:
        yield _one_way(field, titles)
        return
    kind = {"type": field["type"]} if "type" in field else {}
    for one in field[word]:
        if one.get("type") != "null":
            yield from _ways(kind | one, titles)


def _one_way(field: Schema, titles: dict[str, str]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return _link(titles[name]) if name in titles else "any value"
    if "enum" in field or "const" in field:
        return _either([f"`{json.dumps(one)}`".replace('"', "") for one in field.get("enum", [field.get("const")])])
    kind = "integer" if field.get("multipleOf") == 1 else field.get("type")
    if kind == "array":
        return "a list of " + (_value(field["items"], titles) if "items" in field else f"{field.get('minItems', '')} values")
    if kind == "object":
        inner = field.get("additionalProperties")
        return "names with " + (_value(inner, titles) if isinstance(inner, dict) and inner else "any value")
    words = {"integer": "a whole number", "number": "a number", "boolean": "`true` or `false`", "string": "text"}
    return words.get(str(kind), "any value") + _bounds(field)


def _bounds(field: Schema) -> str:
    """Not those that only keep a number finite."""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    given = {key: field[key] for key in words if key in field and abs(field[key]) < ENDLESS}
    shown = {key: f"{value:,}" if isinstance(value, int) else f"{value:,.15g}" for key, value in given.items()}
    if shown.keys() == {"minimum", "maximum"}:
        return f" from {shown['minimum']} to {shown['maximum']}"
    return " " + " and ".join(f"{words[key]} {value}" for key, value in shown.items()) if shown else ""


def _either(ways: Sequence[str]) -> str:
    return ", ".join(ways[:-1]) + (" or " if len(ways) > 1 else "") + ways[-1] if ways else "any value"


def commands() -> str:
    """A section for each command, with a table of its arguments."""
    from autodistill.cli import parser

    top = parser()
    inner = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return "\n".join(_command(name, one) for name, one in inner.choices.items())


def _command(name: str, one: argparse.ArgumentParser) -> str:
    given = [action for action in one._actions if not isinstance(action, argparse._HelpAction)]
    bare = [action for action in given if not action.option_strings]
    synopsis = [f"{action.metavar or action.dest.upper()}{' ...' * (action.nargs == '+')}" for action in bare]
    required = [f"{action.option_strings[0]} {action.metavar}" for action in given if action.option_strings and action.required]
    usage = " ".join(["autodistill", name, *synopsis, *required, "[OPTIONS]"])
    rows = [f"| {_argument(action)} | {_cell(action.help or '')} |" for action in given]
    head = f"(command-{name})=\n## {name}\n\n{one.description}\n\n```text\n{usage}\n```\n"
    return "\n".join([head, "| argument | what it is |", "|---|---|", *rows, "", *_epilog(one)])


def _epilog(one: argparse.ArgumentParser) -> Iterator[str]:
    if one.epilog:
        yield f"```text\n{cleandoc(one.epilog)}\n```\n"


def _argument(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    value = f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.metavar or ""
    takes = "" if action.nargs == 0 else value
    return f"`{' '.join(filter(None, [names, str(takes)]))}`"
