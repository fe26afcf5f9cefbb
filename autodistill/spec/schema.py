"""Which keys a spec may have, and where: read from the schemas themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import get_args, get_origin

from pydantic import BaseModel

from .architectures import Families, Imported
from .document import Spec
from .errors import Location
from .losses import LossSpec, Term
from .pretraining import Pretraining
from .recipe import Recipe

Models = list[type[BaseModel]]
FAMILIES: Models = [kind for kind in get_args(Families) if kind is not Imported]
"""Those whose keys are known: beside `import` stand the arguments of your own function."""
SEARCHED: dict[tuple[str, ...], Models] = {
    ("student", "architecture"): FAMILIES,
    ("student", "loss"): [LossSpec],
    ("student", "recipe"): [Recipe],
    ("student", "pretrain"): [Pretraining],
}
"""The schemas of what is searched."""
FEW = 3
"""The most places that a message names."""


def keys_at(path: Location, family: object = None) -> list[str]:
    """The valid keys at a path; for an architecture, those of `family` or, if it is unknown, of all families."""
    kinds: Models = [Spec]
    names = [part for part in path if isinstance(part, str) and part != "choice"]
    free = False
    for index, name in enumerate(names):
        if free:  # the name of an item of a mapping
            free = False
            continue
        searched = SEARCHED.get(tuple(names[: index + 1]))
        free = any(_is_mapping(kind, name) for kind in kinds)
        kinds = searched or [model for kind in kinds for model in models_of(kind, name)]
    named = [kind for kind in kinds if "family" in kind.model_fields and kind.model_fields["family"].default == family]
    found = {field.alias or name for kind in named or kinds for name, field in kind.model_fields.items()}
    is_optional = path[:1] == ("student",) and any(issubclass(kind, Term | Pretraining) for kind in kinds)
    return sorted(found | ({"optional"} if is_optional else set()))


def models_of(model: type[BaseModel], name: str) -> Models:
    """The models that the field of this name or alias may hold; none if there is no such field."""
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    return _within(fields[name].annotation) if name in fields else []


def _is_mapping(model: type[BaseModel], name: str) -> bool:
    """Whether the field of this name holds models by name."""
    field = model.model_fields.get(name)
    forms = () if field is None else (field.annotation, *get_args(field.annotation))
    return any(get_origin(one) is dict and _within(one) for one in forms)


def _within(annotation: object) -> Models:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) if get_origin(annotation) for model in _within(part)]


def homes(key: str, here: Location) -> list[str]:
    """The nearest places at which a key is valid, as paths with dots: the topmost of many, and none if these are many, too."""
    names = [part for part in here if isinstance(part, str)]
    found = [(place, _shared(place[:-1], names)) for place in _places() if place[-1] == key]
    most = max((shared for _, shared in found), default=0)
    near = [place for place, shared in found if shared == most]
    if len(near) > FEW:
        near = [place for place in near if len(place) == min(map(len, near))]
    return [".".join(place) for place in near] if len(near) <= FEW else []


def _shared(one: tuple[str, ...], other: list[str]) -> int:
    """How many first keys two places have in common."""
    pairs = zip(one, other, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@cache
def _places() -> list[tuple[str, ...]]:
    """Every key of a spec, except those of single loss terms, architectures, and the members of an ensemble."""
    return list(_below(Spec, ()))


def _below(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        place = (*path, field.alias or name)
        yield place
        if place[-1] == "ensemble" or _is_mapping(model, name):
            continue
        for inner in SEARCHED.get(place) or models_of(model, place[-1]):
            if not issubclass(inner, Term) and inner not in FAMILIES:
                yield from _below(inner, place)
