"""Decides, once, what a spec leaves to the machine and to defaults, so that it can be recorded."""

from __future__ import annotations

from typing import Any

from .document import Spec
from .errors import DataError
from .losses import LossSpec
from .recipe import Recipe
from .value import Value

Tree = dict[str, Any]


def resolve(spec: Spec, *, fingerprint: str, cuda: bool) -> Spec:
    """The spec with every default, the precision, the GPUs and the data's fingerprint filled in.

    `cuda` says whether workers have CUDA. Raises DataError if the spec pins other data.
    """
    pinned = spec.task.fingerprint
    if pinned not in (None, fingerprint):
        message = f"the spec pins data {pinned:.12} but this is {fingerprint:.12}; use the same data, or remove the key"
        raise DataError(f"task.fingerprint: {message}")
    gpus = (1.0 if cuda else 0.0) if spec.resources.gpus == "auto" else spec.resources.gpus
    precision = "bfloat16" if gpus else "float32"
    document = spec.document()
    document["task"]["fingerprint"] = fingerprint
    document["resources"]["gpus"] = gpus
    student = document["student"]
    student["loss"] = _filled(student["loss"], LossSpec)
    student["recipe"] = _filled(student["recipe"], Recipe)
    for part in (document["teacher"], *document["teacher"].get("ensemble", ()), student, document["assistants"]):
        if part.get("recipe") is not None:
            part["recipe"] = _precise(part["recipe"], precision)
    return Spec.model_validate(document)


def _filled(tree: Any, model: type[Value]) -> Any:
    """A searched tree with the defaults of `model` and of the terms within it, in each option of a choice."""
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"choice"}:
        return {"choice": [_filled(option, model) for option in tree["choice"]]}
    fields = {name: field for name, field in model.model_fields.items() if not field.is_required()}
    defaults = {name: field.default for name, field in fields.items() if field.default is not None}
    return defaults | {name: _filled(item, _inner(model, name)) for name, item in tree.items()}


def _inner(model: type[Value], name: str) -> type[Value]:
    """The term of that name in a loss; elsewhere `Value`, which has no defaults."""
    kinds = getattr(model.model_fields[name].annotation, "__args__", ()) if name in model.model_fields else ()
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Value)), Value)


def _precise(recipe: Tree, precision: str) -> Tree:
    """A recipe with `precision: auto` decided, in each option of a choice."""
    if recipe.keys() == {"choice"}:
        return {"choice": [_precise(option, precision) for option in recipe["choice"]]}
    given = recipe.get("precision")
    if isinstance(given, dict):
        options = [precision if option == "auto" else option for option in given["choice"]]
        return recipe | {"precision": {"choice": list(dict.fromkeys(options))}}
    return recipe | ({"precision": precision} if given in (None, "auto") else {})
