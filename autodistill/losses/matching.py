"""Matches layers of the student with layers of a teacher, and makes the two comparable.

Suffixes of shapes: B batch, P positions (of a map) or tokens, C channels, X any. Shapes of layers are without the batch.

A layer is a vector (D,), tokens (N, D) or a map (C, L) or (C, H, W); two axes are tokens if the network has attentions
or the first is as long as the longest text, otherwise a map of one side. Attentions are (3, heads, N, D). Terms see
vectors (B, C) or (B, P, C).
"""

from __future__ import annotations

import difflib
import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ..models import Layers
from ..spec import Attention, FeatureTerm, Hint, Pair, Relational, Similarity, UsageError
from .features import relation_heads
from .logits import precise

Shape = tuple[int, ...]


class Match(NamedTuple):
    """A student's and a teacher's layer: names, kinds (vector, tokens, map, attentions).

    `sides`: the size that both maps are pooled to if theirs differ. `projection`: (channels of the student, of the teacher)
    if a linear map has to convert one to the other.
    """

    student: str
    teacher: str
    student_kind: str
    teacher_kind: str
    sides: Shape | None = None
    projection: tuple[int, int] | None = None


class _Layer(NamedTuple):
    """A layer of one network; `kind` as in Match."""

    name: str
    shape: Shape
    kind: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.kind} {self.shape})"


def pairs(term: FeatureTerm, student: Layers, teacher: Layers) -> list[Match]:
    """The layers that a term compares. Raises UsageError if there is no such layer, or if two cannot be compared."""
    own, its = _candidates(term, student, "student"), _candidates(term, teacher, "teacher")
    return [_matched(term, *_chosen(term, item, own, its)) for item in _items(term, len(own))]


def aligned(match: Match, student_X: Tensor, teacher_X: Tensor) -> tuple[Tensor, Tensor]:
    """Both features as terms see them, before the projection."""
    s_X, t_X = precise(student_X), precise(teacher_X)
    if match.sides is not None:
        s_X, t_X = _pooled(s_X, match.sides), _pooled(t_X, match.sides)
    return _by_position(s_X, match.student_kind), _by_position(t_X, match.teacher_kind)


def _pooled(map_X: Tensor, sides: Shape) -> Tensor:
    if map_X.shape[2:] == sides:
        return map_X
    return F.adaptive_avg_pool1d(map_X, sides[0]) if len(sides) == 1 else F.adaptive_avg_pool2d(map_X, (sides[0], sides[1]))


def _by_position(feature_X: Tensor, kind: str) -> Tensor:
    return feature_X.flatten(2).transpose(1, 2) if kind == "map" else feature_X


def _name(term: FeatureTerm) -> str:
    return type(term).__name__.lower()


def _candidates(term: FeatureTerm, network: Layers, whose: str) -> dict[str, _Layer]:
    """The layers that a term can use, from input to output."""
    layers = {name: _Layer(name, shape, _kind(shape, network)) for name, shape in network.layers.items()}
    maps = {name: layer for name, layer in layers.items() if layer.kind != "vector"}
    if isinstance(term, Attention) and term.kind != "activations":
        found = {name: _Layer(name, shape, "attentions") for name, shape in network.attentions.items()}
        needed = f"of kind {term.kind} needs self-attention"
    elif isinstance(term, Attention):
        found, needed = maps, "needs maps or tokens"
    else:
        found, needed = layers, "needs features by layer"
    if found:
        return found
    there = ", ".join(map(str, layers.values())) or "no layers"
    way = "attention: {kind: activations}" if maps else "relational or similarity" if layers else "kd"
    raise UsageError(f"{_name(term)} {needed}, but the {whose} has {there}; use {way}, or another architecture")


def _kind(shape: Shape, network: Layers) -> str:
    if len(shape) == 2 and (network.attentions or shape[0] == network.tokens):
        return "tokens"
    return "vector" if len(shape) == 1 else "map"


def _items(term: FeatureTerm, count: int) -> list[float | Pair]:
    """The items of `layers`; by default the middle for hint, all `count` of the student for attention, otherwise the last."""
    if term.layers is not None:
        return list(term.layers)
    if isinstance(term, Attention):
        return [index / count for index in range(1, count + 1)]
    return [0.5 if isinstance(term, Hint) else 1.0]


def _chosen(
    term: FeatureTerm, item: float | Pair, student: dict[str, _Layer], teacher: dict[str, _Layer]
) -> tuple[_Layer, _Layer]:
    if isinstance(item, Pair):
        return _known(term, item.student, student, "student"), _known(term, item.teacher, teacher, "teacher")
    return _at(item, student), _at(item, teacher)


def _at(depth: float, layers: dict[str, _Layer]) -> _Layer:
    """The layer at a relative depth: number ceil(depth * n) of n."""
    return list(layers.values())[max(math.ceil(round(depth * len(layers), 6)), 1) - 1]


def _known(term: FeatureTerm, name: str, layers: dict[str, _Layer], whose: str) -> _Layer:
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(name, layers, n=3, cutoff=0.5)
    way = f"did you mean {' or '.join(map(repr, near))}?" if near else f"use one of {', '.join(layers)}"
    raise UsageError(f"{_name(term)}.layers: {name!r} is not a layer of the {whose} for this term; {way}")


def _matched(term: FeatureTerm, own: _Layer, its: _Layer) -> Match:
    match = Match(own.name, its.name, own.kind, its.kind)
    if isinstance(term, Relational | Similarity):
        return match
    tokens = {"tokens": 0, "attentions": 2}.get(own.kind)  # the axis of their number, which cannot be pooled
    alike = own.kind == its.kind and len(own.shape) == len(its.shape)
    if not alike or tokens is not None and own.shape[tokens] != its.shape[tokens]:
        way = f"name comparable layers in {_name(term)}.layers, as [{{student: ..., teacher: ...}}]"
        message = f"the student's {own} cannot be compared with the teacher's {its}; {way}"
        raise UsageError(f"{_name(term)}: {message}, or use relational or similarity, which compare any two layers")
    if isinstance(term, Attention) and term.kind == "relations":
        _check_heads(term, own, its)
    if own.kind == "map" and own.shape[1:] != its.shape[1:]:
        match = match._replace(sides=tuple(map(min, own.shape[1:], its.shape[1:])))
    axis = 0 if own.kind == "map" else -1
    channels = own.shape[axis], its.shape[axis]
    needed = not isinstance(term, Attention) and channels[0] != channels[1]
    return match._replace(projection=channels) if needed else match


def _check_heads(term: Attention, own: _Layer, its: _Layer) -> None:
    """Raises UsageError unless the values of all heads, side by side, can be split again into as many heads as needed."""
    widths = [layer.shape[1] * layer.shape[3] for layer in (own, its)]
    heads = term.relation_heads or relation_heads(own.shape[1:], its.shape[1:])
    if any(width % heads for width in widths):
        most = math.gcd(*widths)
        divisors = " or ".join(str(heads) for heads in range(1, most + 1) if most % heads == 0)
        both = f"the student's {own} and the teacher's {its}"
        message = f"{heads} does not divide both widths, {widths[0]} and {widths[1]}, of {both}"
        raise UsageError(f"attention.relation_heads: {message}; use {divisors}, or remove it")
