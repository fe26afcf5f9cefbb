"""Batches of texts of similar length: a network computes as much for padding as for tokens.

Suffixes of shapes: N samples, S steps of an epoch, B batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..spec.arrays import Array

POOL = 50
"""How many batches are drawn at random and then formed by length: more of them save little more padding."""
TOKENS_MOST = 1 << 15
"""The most tokens of a batch for inference, with padding: activations of a wide encoder then take some hundred MB."""


def of_similar_length(rows_SB: Tensor, lengths_N: Tensor, generator: torch.Generator) -> Tensor:
    """The same rows (S, B) in other batches, which come in random order.

    In every POOL batches, the rows are sorted by length; rows of equal length keep their random order. The batches depend on
    the rows and the generator alone.
    """
    batch = rows_SB.shape[1]
    pools = [pool[torch.argsort(lengths_N[pool], stable=True)] for pool in torch.split(rows_SB.flatten(), POOL * batch)]
    sorted_SB = torch.cat(pools).view(-1, batch)
    return sorted_SB[torch.randperm(len(sorted_SB), generator=generator)]


def by_length(lengths_N: Array, most: int) -> list[Array]:
    """All rows in batches for inference, by length: at most `most` samples and, unless one is longer, TOKENS_MOST tokens."""
    order, found, start = np.argsort(lengths_N, kind="stable"), list[Array](), 0
    while start < len(order):
        sizes = lengths_N[order[start : start + most]] * np.arange(1, min(most, len(order) - start) + 1)
        end = start + max(1, int(np.searchsorted(sizes, TOKENS_MOST, side="right")))
        found.append(order[start:end])
        start = end
    return found
