"""Floor 0: what passes between models and terms: a batch is (inputs: dict of tensors, targets); models return Outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Outputs(NamedTuple):
    """`logits` (batch, classes) and `features` by layer."""

    logits: Tensor
    features: dict[str, Tensor]
