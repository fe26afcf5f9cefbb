"""Matches layers of the student with layers of a teacher, and makes the two comparable.

Suffixes of shapes: B batch, P positions (of a map) or tokens, C channels, X any. Shapes of layers are without the batch.

A layer is a vector (D,), tokens (N, D) or a map (C, L) or (C, H, W); two axes are tokens if the network has
attentions, otherwise a map of one side. Terms see vectors (B, C) or (B, P, C).
"""

from __future__ import annotations

import difflib
import math
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ..models import Layers
from ..spec import Attention, FeatureTerm, Hint, Pair, Relational, Similarity, UsageError
from .features import relation_heads
from .parts import precise

Shape = tuple[int, ...]


class Match(NamedTuple):
    """A student's and a teacher's layer: names, shapes, kinds (vector, tokens, map, attention).

    `sides`: the size that both maps are pooled to if theirs differ. `projection`: (channels of the student, of the teacher)
    if a linear map has to convert one to the other.
    """

    student: str
    teacher: str
    student_shape: Shape
    teacher_shape: Shape
    student_kind: str
    teacher_kind: str
    sides: Shape | None = None
    projection: tuple[int, int] | None = None


def pairs(term: FeatureTerm, student: Layers, teacher: Layers) -> list[Match]:
    """The layers that a term compares. Raises UsageError if there is no such layer, or if two cannot be compared."""
    theirs = _candidates(term, student, "student"), _candidates(term, teacher, "teacher")
    chosen = [_names(term, item, *theirs) for item in _items(term, theirs[0])]
    return [_matched(term, names, student, teacher) for names in chosen]


def aligned(match: Match, student_X: Tensor, teacher_X: Tensor) -> tuple[Tensor, Tensor]:
    """Both features as terms see them, before the projection."""
    s_X, t_X = precise(student_X), precise(teacher_X)
    if match.sides is not None:
        s_X, t_X = _pooled(s_X, match.sides), _pooled(t_X, match.sides)
    return _by_position(s_X, match.student_kind), _by_position(t_X, match.teacher_kind)


def _pooled(map_X: Tensor, sides: Any) -> Tensor:
    if map_X.shape[2:] == sides:
        return map_X
    return F.adaptive_avg_pool1d(map_X, sides[0]) if len(sides) == 1 else F.adaptive_avg_pool2d(map_X, sides)


def _by_position(feature_X: Tensor, kind: str) -> Tensor:
    return feature_X.flatten(2).transpose(1, 2) if kind == "map" else feature_X


def _name(term: FeatureTerm) -> str:
    return type(term).__name__.lower()


def _transformers(term: FeatureTerm) -> bool:
    return isinstance(term, Attention) and term.kind != "activations"


def _candidates(term: FeatureTerm, network: Layers, whose: str) -> dict[str, Shape]:
    """The layers that a term can use, from input to output."""
    if _transformers(term):
        found, needed = network.attentions, f"of kind {getattr(term, 'kind', '')} needs self-attention"
    elif isinstance(term, Attention):
        found, needed = {name: shape for name, shape in network.layers.items() if len(shape) > 1}, "needs maps or tokens"
    else:
        found, needed = network.layers, "needs features by layer"
    if found:
        return found
    there = ", ".join(f"{name!r} {_label(name, network)}" for name in network.layers) or "no layers"
    maps = any(len(shape) > 1 for shape in network.layers.values())
    other = (
        "attention: {kind: activations}"
        if _transformers(term) and maps
        else "relational or similarity"
        if network.layers
        else "kd"
    )
    raise UsageError(f"{_name(term)} {needed}, but the {whose} has {there}; use {other}, or another architecture")


def _items(term: FeatureTerm, student: dict[str, Shape]) -> list[Any]:
    """The items of `layers`; by default the middle for hint, all for attention, otherwise the last."""
    if term.layers is not None:
        return list(term.layers)
    if isinstance(term, Attention):
        return [index / len(student) for index in range(1, len(student) + 1)]
    return [0.5 if isinstance(term, Hint) else 1.0]


def _names(term: FeatureTerm, item: float | Pair, student: dict[str, Shape], teacher: dict[str, Shape]) -> tuple[str, str]:
    if isinstance(item, Pair):
        return _known(term, item.student, student, "student"), _known(term, item.teacher, teacher, "teacher")
    return _at(item, student), _at(item, teacher)


def _at(depth: float, layers: dict[str, Shape]) -> str:
    """The layer at a relative depth: number ceil(depth * n) of n."""
    return list(layers)[max(math.ceil(round(depth * len(layers), 6)), 1) - 1]


def _known(term: FeatureTerm, name: str, layers: dict[str, Shape], whose: str) -> str:
    if name in layers:
        return name
    near = difflib.get_close_matches(name, layers, n=3, cutoff=0.5)
    way = f"did you mean {' or '.join(map(repr, near))}?" if near else f"use one of {', '.join(layers)}"
    raise UsageError(f"{_name(term)}.layers: {name!r} is not a layer of the {whose} for this term; {way}")


def _kind(name: str, network: Layers) -> str:
    length = len(network.layers[name])
    return "vector" if length == 1 else "tokens" if length == 2 and network.attentions else "map"


def _label(name: str, network: Layers) -> str:
    return f"({_kind(name, network)} {network.layers[name]})"


def _matched(term: FeatureTerm, names: tuple[str, str], student: Layers, teacher: Layers) -> Match:
    if _transformers(term):
        return _of_attentions(term, names, student, teacher)
    shapes = student.layers[names[0]], teacher.layers[names[1]]
    kinds = _kind(names[0], student), _kind(names[1], teacher)
    match = Match(*names, *shapes, *kinds)
    if isinstance(term, Relational | Similarity):
        return match
    if kinds[0] != kinds[1] or len(shapes[0]) != len(shapes[1]) or kinds[0] == "tokens" and shapes[0][0] != shapes[1][0]:
        raise _refusal(term, names, (_label(names[0], student), _label(names[1], teacher)))
    if kinds[0] == "map" and shapes[0][1:] != shapes[1][1:]:
        match = match._replace(sides=tuple(map(min, shapes[0][1:], shapes[1][1:])))
    axis = 0 if kinds[0] == "map" else -1
    channels = shapes[0][axis], shapes[1][axis]
    needed = not isinstance(term, Attention) and channels[0] != channels[1]
    return match._replace(projection=channels) if needed else match


def _of_attentions(term: FeatureTerm, names: tuple[str, str], student: Layers, teacher: Layers) -> Match:
    """Attentions are (3, heads, N, D)."""
    assert isinstance(term, Attention)
    shapes = student.attentions[names[0]], teacher.attentions[names[1]]
    labels = f"(attentions {shapes[0]})", f"(attentions {shapes[1]})"
    if shapes[0][2] != shapes[1][2]:
        raise _refusal(term, names, labels)
    widths = tuple(shape[1] * shape[3] for shape in shapes)
    heads = term.relation_heads or relation_heads(shapes[0][1:], shapes[1][1:])
    if term.kind == "relations" and any(width % heads for width in widths):
        shown = f"the student's {names[0]!r} {labels[0]} and the teacher's {names[1]!r} {labels[1]}"
        message = f"{heads} does not divide both widths, {widths[0]} and {widths[1]}, of {shown}"
        raise UsageError(f"attention.relation_heads: {message}; use {_divisors(*widths)}, or remove it")
    return Match(*names, *shapes, "attention", "attention")


def _divisors(one: int, other: int) -> str:
    most = math.gcd(one, other)
    return " or ".join(str(heads) for heads in range(1, most + 1) if most % heads == 0)


def _refusal(term: FeatureTerm, names: tuple[str, str], labels: tuple[str, str]) -> UsageError:
    message = f"the student's {names[0]!r} {labels[0]} cannot be compared with the teacher's {names[1]!r} {labels[1]}"
    way = f"name comparable layers in {_name(term)}.layers, as [{{student: ..., teacher: ...}}]"
    return UsageError(f"{_name(term)}: {message}; {way}, or use relational or similarity, which compare any two")
