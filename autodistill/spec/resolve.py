"""What a spec leaves to the machine and to defaults, decided once and written down."""

from __future__ import annotations

from typing import Any

from .document import Spec
from .errors import DataError
from .objectives import Recipe


def resolve(spec: Spec, *, fingerprint: str, cuda: bool) -> Spec:
    """The spec with every default, the precision, the GPUs and the data's fingerprint filled in.

    `cuda` says whether workers have CUDA. Raises DataError when the spec pins other data.
    """
    pinned = spec.task.fingerprint
    if pinned not in (None, fingerprint):
        raise DataError(f"task.fingerprint: the spec pins data {pinned:.12} but these are {fingerprint:.12}")
    gpus = (1.0 if cuda else 0.0) if spec.resources.gpus == "auto" else spec.resources.gpus
    precision = "bfloat16" if gpus else "float32"
    document = spec.document()
    document["task"]["fingerprint"] = fingerprint
    document["resources"]["gpus"] = gpus
    document["student"]["recipe"] = _defaults(document["student"]["recipe"])
    for part in ("teacher", "student", "assistants"):
        recipe = document[part].get("recipe")
        if recipe is not None and recipe.get("precision") == "auto":
            recipe["precision"] = precision
    return Spec.model_validate(document)


def _defaults(recipe: dict[str, Any]) -> dict[str, Any]:
    fields = Recipe.model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required() and field.default is not None} | recipe
