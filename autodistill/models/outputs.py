"""The interface between models and loss terms: a batch is (inputs: dict of tensors, targets); models return Outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Outputs(NamedTuple):
    """`logits` (batch, classes) and `features` by layer."""

    logits: Tensor
    features: dict[str, Tensor]


class Layers(NamedTuple):
    """What a network can give besides its logits: the shapes of its features, without the batch axis, from input to output.

    `layers`: maps (C, H, W) or (C, L), tokens (N, D), vectors (D,). `attentions`: queries, keys and values, (3, heads, N, D).
    """

    layers: dict[str, tuple[int, ...]]
    attentions: dict[str, tuple[int, ...]]
