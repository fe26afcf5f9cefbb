"""Which keys are valid at a path of a spec, for errors that suggest the nearest one."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel

from .architectures import Architecture
from .document import Spec
from .losses import LossSpec, Term
from .recipe import Recipe

_TREES: dict[tuple[str, ...], Any] = {
    ("student", "architecture"): Architecture,
    ("student", "loss"): LossSpec,
    ("student", "recipe"): Recipe,
}


def keys_at(path: tuple[Any, ...], family: Any = None) -> list[str]:
    """The valid keys at a path; for an architecture, those of `family` or, if it is unknown, of all families."""
    kinds: list[Any] = [Spec]
    names = [part for part in path if isinstance(part, str) and part != "choice"]
    for index, name in enumerate(names):
        inner = [_TREES.get(tuple(names[: index + 1])) or _field(kind, name) for kind in kinds]
        kinds = [model for kind in inner for model in _models(kind)]
    named = [kind for kind in kinds if "family" in kind.model_fields and kind.model_fields["family"].default == family]
    searched = path[:2] == ("student", "loss") and any(issubclass(kind, Term) for kind in kinds)
    found = {field.alias or name for kind in named or kinds for name, field in kind.model_fields.items()}
    return sorted(found | ({"optional"} if searched else set()))


def _field(model: type[BaseModel], name: str) -> Any:
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    return fields[name].annotation if name in fields else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) if get_origin(annotation) for model in _models(part)]
