"""What a network gives: its logits, and features by layer, captured by forward hooks for one call.

Shape suffixes: B batch, N tokens, D features of a head. Names are those of modules within the body, such as `stages.1`.
A layer gives its output; an attention gives its queries, keys, and values, stacked: qkv (B, 3, heads, N, D).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..spec import UsageError

Inputs = dict[str, Tensor]
"""A batch as a network takes it: tensors (B, ...) by name."""
STEMS = frozenset({"act1", "bn1", "conv_stem", "stem"})
"""Stems in timm's `feature_info`: they come before the first stage, so they are not matched."""
APART = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"))
HEADS = ("num_attention_heads", "num_heads", "n_heads")
"""What attentions with a linear layer each for queries, keys, and values call these, and the number of their heads."""


class Outputs(NamedTuple):
    """`logits` (B, classes), or (B, positions, classes), and `features` by layer.

    `real` (B, N): True at the positions of tokens, False at padding; None where samples have no tokens.
    """

    logits: Tensor
    features: dict[str, Tensor]
    real: Tensor | None = None


class Layers(NamedTuple):
    """What a network can give besides its logits: the shapes of its features, without the batch axis, from input to output.

    `layers`: maps (C, H, W) or (C, L), tokens (N, D), vectors (D,). `attentions`: queries, keys, and values, (3, heads, N, D).
    `tokens` is how many the longest text has, if samples are texts; it is the N of these shapes.
    """

    layers: dict[str, tuple[int, ...]]
    attentions: dict[str, tuple[int, ...]]
    tokens: int | None = None


class Stack(nn.Sequential):
    """A sequence of layers; `feature_info` lists those to match, as in timm's models."""

    def __init__(self, *layers: nn.Module, matched: type[nn.Module]) -> None:
        super().__init__(*layers)
        self.feature_info = [{"module": name} for name, layer in self.named_children() if isinstance(layer, matched)]


def layers_of(body: nn.Module) -> list[str]:
    """The layers to match by relative depth, from input to output.

    Those in the body's `feature_info` without the stem (timm's convention, which our families follow and your own
    module may); for a body without it, its direct children except the last, which is assumed to be the classifier.
    """
    info: Any = getattr(body, "feature_info", None)
    if info is None:
        return [name for name, _ in body.named_children()][:-1]
    there = {name for name, _ in body.named_modules()}
    names = [str(entry["module"]) for entry in info]
    return [name for name in names if name in there and name.split(".")[0] not in STEMS]


def taken(count: int, of: int) -> list[int]:
    """Which of the source's `of` blocks the student's `count` take: i * (of - 1) / (count - 1), halves rounded up.

    6 of 12 take 0 2 4 7 9 11; a single block takes the first.
    """
    assert 0 <= count <= of, f"{count} of {of}"
    gaps = max(1, count - 1)
    return [(2 * index * (of - 1) + gaps) // (2 * gaps) for index in range(count)]


def attentions_of(body: nn.Module) -> list[str]:
    """The self-attention modules whose queries, keys, and values come from linear layers, from input to output."""
    return [name for name, module in body.named_modules() if is_attention(module)]


def find(body: nn.Module, name: str) -> nn.Module:
    """The module of that name. Raises UsageError, which names the nearest ones, if the body has none."""
    modules: dict[str, nn.Module] = {each: module for each, module in body.named_modules() if each}
    if name not in modules:
        near = difflib.get_close_matches(name, list(modules), n=3, cutoff=0.4) or layers_of(body)
        way = f"the nearest are {', '.join(near)}" if near else "the body is a single module, without layers to name"
        raise UsageError(f"there is no layer {name!r}; {way}")
    return modules[name]


@contextmanager
def tapped(body: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What the named modules give while the body runs, in the order in which they end; the block removes the hooks at its end.

    A module that runs more than once gives its last output; a model of transformers gives its last hidden states; one that
    returns neither these nor a tensor gives nothing. Raises UsageError for an unknown name.
    """
    taken: dict[str, Tensor] = {}
    versions: dict[str, int] = {}
    parts: dict[str, dict[str, Tensor]] = {}

    def keep(name: str, found: Tensor | None) -> None:
        if found is not None:
            taken[name], versions[name] = found, _version(found)

    def take(name: str, module: nn.Module, _: nn.Module, __: object, output: object) -> None:
        found = output if isinstance(output, Tensor) else getattr(output, "last_hidden_state", None)
        keep(name, _split(module, found) if found is not None and is_attention(module) else found)

    def take_part(name: str, attention: nn.Module, part: str, _: nn.Module, __: object, output: Tensor) -> None:
        found = parts.setdefault(name, {})
        found[part] = output
        if len(found) == 3:
            keep(name, _stacked(attention, found))
            found.clear()

    modules = {name: find(body, name) for name in names}
    with ExitStack() as hooks:
        for name, module in modules.items():
            apart = projections(module)
            for part in apart:
                hook = partial(take_part, name, module, part)
                hooks.enter_context(module.get_submodule(part).register_forward_hook(hook))
            if not apart:
                hooked = module.get_submodule("qkv") if is_attention(module) else module
                hooks.enter_context(hooked.register_forward_hook(partial(take, name, module)))
        yield taken
    for name, feature in taken.items():
        if versions[name] != _version(feature):
            raise UsageError(f"layer {name!r} is overwritten in place by a later module; name that module, or another layer")


def _version(feature: Tensor) -> int:
    """How often a tensor was changed in place; inference tensors do not count this."""
    return 0 if feature.is_inference() else feature._version


def is_attention(module: nn.Module) -> bool:
    """Whether queries, keys, and values come from linear layers: one each (`projections`), or `qkv` as in timm's Attention,
    which maps to 3 * `num_heads` * `head_dim` numbers.
    """
    linear, heads, d = (getattr(module, name, None) for name in ("qkv", "num_heads", "head_dim"))
    is_whole = isinstance(heads, int) and isinstance(d, int)
    fused = isinstance(linear, nn.Linear) and is_whole and linear.out_features == 3 * heads * d  # type: ignore[operator]
    return fused or bool(projections(module))


def projections(module: nn.Module) -> tuple[str, ...]:
    """The names of an attention's linear layers for queries, keys, and values, if these are apart and as wide as each other."""
    for names in APART:
        linears = [getattr(module, name, None) for name in names]
        widths = {linear.out_features for linear in linears if isinstance(linear, nn.Linear)}
        if all(isinstance(linear, nn.Linear) for linear in linears) and len(widths) == 1 and heads_of(module):
            return names if widths.pop() % heads_of(module) == 0 else ()
    return ()


def heads_of(attention: nn.Module) -> int:
    """How many heads an attention has; 0 if it does not say."""
    found = (getattr(attention, name, None) for name in HEADS)
    return next((heads for heads in found if isinstance(heads, int) and heads > 0), 0)


def _stacked(attention: nn.Module, parts: dict[str, Tensor]) -> Tensor | None:
    """qkv (B, 3, heads, N, D) of queries, keys, and values (B, N, heads * D); None for attention to other tokens."""
    found = [parts[name] for name in projections(attention)]
    if len({part.shape for part in found}) > 1 or found[0].dim() != 3:
        return None
    (batch, tokens, _), heads = found[0].shape, heads_of(attention)
    return torch.stack([part.reshape(batch, tokens, heads, -1).transpose(1, 2) for part in found], dim=1)


def _split(attention: Any, out: Tensor) -> Tensor | None:
    """qkv (B, 3, heads, N, D) as the attention multiplies them: after its normalization of queries and keys."""
    if out.dim() != 3:
        return None
    batch, tokens, _ = out.shape
    q, k, v = out.reshape(batch, tokens, 3, attention.num_heads, attention.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
    q_norm, k_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    return torch.stack([q_norm(q) if q_norm else q, k_norm(k) if k_norm else k, v], dim=1)
