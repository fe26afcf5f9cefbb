"""What a transformer takes over from a larger one: layers, heads, rows of tokens, and embeddings of a smaller width.

bert, electra, roberta, and distilbert have the same tensors under different names, so that each can begin from any of them;
other models begin from their own kind. Shape suffixes: V tokens, P positions, H width, E width of the embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..spec import UsageError
from ..spec.checkpoints import Config, offset
from .encoders import Encoder
from .features import taken

WAY_OUT = "inherit from a transformer that is at least as deep and as wide, and has at least as many heads"
WORDS, PLACES, TYPES = (f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type"))
NORM, PROJECT = "embeddings.LayerNorm", "embeddings_project"
HEAD = "head."
"""What reads the first token; a model that classifies the mean of the tokens has none."""
NAMES = (
    (r"^(pooler\.dense|classifier\.dense|pre_classifier)\.", HEAD),
    (r"^classifier\.out_proj\.", "classifier."),
    (r"\.attention\.([qkv])_lin\.", r".attention.self.\1."),
    (r"\.attention\.self\.(query|key|value)\.", lambda found: f".attention.self.{found[1][0]}."),
    (r"\.attention\.out_lin\.", ".attention.output.dense."),
    (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.ffn\.lin1\.", ".intermediate.dense."),
    (r"\.ffn\.lin2\.", ".output.dense."),
    (r"\.output_layer_norm\.", ".output.LayerNorm."),
)
"""How the names in transformers become names that are the same for all models."""
BY_HEADS = {".attention.self.": 0, ".attention.output.dense.weight": 1}
"""Tensors with an axis that consists of heads, and which axis that is."""
BY_QUERY = ".attention.self.q."
"""A tensor that a model has if its heads can be told apart."""


class Copy(NamedTuple):
    """A tensor of the student, and what it becomes."""

    target: Tensor
    part: Tensor


def copies(student: Encoder, source: Encoder, layers: Sequence[int] | None = None) -> list[Copy]:
    """All tensors of the student with what they become; its blocks become `layers` of the source, by default every k-th.

    Raises UsageError if the student is larger, or of another kind, or not as deep as the list of layers.
    """
    mine, theirs = _named(student), _named(source)
    blocks = _blocks(_depth(student), _depth(source), layers)
    if _shape(student) != _shape(source) and not any(BY_QUERY in name for name in mine):
        way = "give the student the same hidden and heads"
        raise UsageError(f"a {_kind(student)} can only take whole layers, not a part of their width; {way}")
    if PROJECT + ".weight" in theirs and PROJECT + ".weight" not in mine:
        raise UsageError("the source's embeddings are narrower than its layers; give the student a key embedding, too")
    found = dict(_embeddings(student, source, mine, theirs))
    for name, target in mine.items():
        if name not in found:
            wanted = re.sub(r"^layers\.(\d+)\.", lambda block: f"layers.{blocks[int(block[1])]}.", name)
            if wanted not in theirs and name.startswith(HEAD) and source.mean:
                continue  # what reads the first token begins anew
            if wanted not in theirs:
                raise UsageError(f"the source, a {_kind(source)}, has no {wanted} for a {_kind(student)}; {WAY_OUT}")
            found[name] = _sliced(name, target, theirs[wanted], _heads(student), _heads(source))
    return [Copy(mine[name], part) for name, part in found.items()]


def _blocks(count: int, of: int, layers: Sequence[int] | None) -> Sequence[int]:
    if layers is None and count > of:
        raise UsageError(f"the student is {count} layers deep, but the source only {of}; {WAY_OUT}")
    if layers is not None and len(layers) != count:
        many = f"{len(layers)} layer{'s' * (len(layers) != 1)}"
        raise UsageError(f"init lists {many}, but the student has {count}; list one for each")
    if layers is not None and max(layers) >= of:
        raise UsageError(f"init lists layer {max(layers)}, but the source has layers 0 to {of - 1}; list these only")
    return taken(count, of) if layers is None else layers


def _kind(encoder: Encoder) -> str:
    config: Config = encoder.model.config
    return str(config.model_type)


def _depth(encoder: Encoder) -> int:
    return len(encoder.feature_info)


def _shape(encoder: Encoder) -> tuple[int, int]:
    """The width and the heads."""
    config: Config = encoder.model.config
    return int(config.hidden_size), int(config.num_attention_heads)


def _heads(encoder: Encoder) -> int:
    return _shape(encoder)[1]


def _named(encoder: Encoder) -> dict[str, Tensor]:
    """The parameters by names that are the same for all models."""
    model: Any = encoder.model
    words, base = model.get_input_embeddings().weight, f"{model.base_model_prefix}."
    blocks = {f"{info['module'].removeprefix('model.')}.": f"layers.{at}." for at, info in enumerate(encoder.feature_info)}
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        within = next((block for block in blocks if name.startswith(block)), "")
        short = blocks[within] + name.removeprefix(within) if within else name.removeprefix(base)
        for pattern, by in NAMES:
            short = re.sub(pattern, by, short)
        found[WORDS if parameter is words else short] = parameter
    return found


def _embeddings(
    student: Encoder, source: Encoder, mine: dict[str, Tensor], theirs: dict[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """The rows of tokens by id, those of positions, and of types; factorized if only the student has a smaller width."""
    narrow = f"{PROJECT}.weight" in mine and f"{PROJECT}.weight" not in theirs
    wide = mine[f"{PROJECT}.weight"].shape[0] if narrow else mine[WORDS].shape[1]
    rows = {WORDS: _words(student, source, theirs[WORDS])[:, :wide]}
    if PLACES in mine and PLACES in theirs:
        rows[PLACES] = _places(student, source, mine[PLACES], theirs, apart=TYPES in mine)[:, :wide]
    if TYPES in mine:
        rows[TYPES] = _types(mine[TYPES], theirs.get(TYPES), theirs[WORDS])[:, :wide]
    if narrow:
        norm = [theirs[f"{NORM}.{name}"][:wide] for name in ("weight", "bias")]
        rows = factorized(rows, norm[0], norm[1], mine[WORDS].shape[1])
    for name, part in rows.items():
        if part.shape != mine[name].shape:
            raise _larger(name, mine[name], part)
        yield name, part


def _words(student: Encoder, source: Encoder, weight_VH: Tensor) -> Tensor:
    """The source's rows for the tokens that the student keeps; one that the source lacks has that of the unknown token."""
    ids = student.kept()
    if source.table is None and len(ids) > len(weight_VH):
        raise UsageError(f"the student has rows for {len(ids):,} tokens, the source for {len(weight_VH):,}; {WAY_OUT}")
    return weight_VH[ids if source.table is None else source.table.long()[ids]]


def _places(student: Encoder, source: Encoder, own: Tensor, theirs: dict[str, Tensor], *, apart: bool) -> Tensor:
    """The first positions. A student without types adds the first type, that of every token of a single text."""
    after, before = (offset(_kind(one), _padding(one)) for one in (source, student))
    part = theirs[PLACES][after : after + len(own) - before]
    part = part if apart or TYPES not in theirs else part + theirs[TYPES][0]
    return torch.cat([own[:before, :1].expand(before, part.shape[1]) * 0, part]) if before else part


def _padding(encoder: Encoder) -> int:
    config: Config = encoder.model.config
    return int(config.pad_token_id)


def _types(own: Tensor, given: Tensor | None, like: Tensor) -> Tensor:
    """The types that the source has; zero for others."""
    found = like.new_zeros(len(own), like.shape[1])
    if given is not None:
        found[: len(given)] = given[: len(own)]
    return found


def _sliced(name: str, target: Tensor, source: Tensor, heads: int, of: int) -> Tensor:
    """The leading slice of the source's tensor, by heads where it has some. Raises UsageError if the student's is larger."""
    axis = next((axis for part, axis in BY_HEADS.items() if part in name), None)
    fits = target.dim() == source.dim() and all(map(int.__le__, target.shape, source.shape))
    if not fits or axis is not None and (heads > of or target.shape[axis] // heads > source.shape[axis] // of):
        raise _larger(name, target, source)
    if axis is None:
        return source[tuple(slice(size) for size in target.shape)]
    each = target.shape[axis] // heads
    apart = source.reshape(*source.shape[:axis], of, -1, *source.shape[axis + 1 :])
    parts: Tensor = apart.narrow(axis, 0, heads).narrow(axis + 1, 0, each).flatten(axis, axis + 1)
    return parts[tuple(slice(size) for size in target.shape)]


def _larger(name: str, target: Tensor, source: Tensor) -> UsageError:
    mine, theirs = tuple(target.shape), tuple(source.shape)
    return UsageError(f"the student's {name} {mine} is larger than the source's {theirs}, or has wider heads; {WAY_OUT}")


def factorized(rows: dict[str, Tensor], weight_H: Tensor, bias_H: Tensor, width: int) -> dict[str, Tensor]:
    """Embeddings of `width` E, their norm, and the linear layer after it, for embeddings of H numbers with a norm after them.

    Centered rows of tokens are projected on their first E - 1 principal directions (a truncated singular value decomposition of
    these rows), which lie in the hyperplane of E numbers with mean 0, so that the norm only divides by their length, as it did
    before. With E = H, and with tokens in E - 1 directions, nothing changes: the projection of the new norm is the old norm.
    """
    wide, centered = len(weight_H), {name: part - part.mean(1, keepdim=True) for name, part in rows.items()}
    words = centered[WORDS].double()
    if words.is_meta:
        basis_HE = weight_H.new_empty(wide, width)
    else:
        directions = torch.linalg.eigh(words.T @ words).eigenvectors.flip(1)[:, : width - 1]
        basis_HE = (directions @ _mean_zero(width).T[: directions.shape[1]]).to(weight_H.dtype)
    return {name: part @ basis_HE for name, part in centered.items()} | {
        f"{NORM}.weight": weight_H.new_ones(width),
        f"{NORM}.bias": weight_H.new_zeros(width),
        f"{PROJECT}.weight": weight_H[:, None] * basis_HE * (wide / width) ** 0.5,
        f"{PROJECT}.bias": bias_H,
    }


def _mean_zero(width: int) -> Tensor:
    """An orthonormal basis (E, E - 1) of the vectors with mean 0: Helmert's."""
    found = torch.zeros(width, width - 1, dtype=torch.float64)
    for column in range(1, width):
        found[:column, column - 1], found[column, column - 1] = 1.0, -float(column)
        found[:, column - 1] /= (column * (column + 1)) ** 0.5
    return found
