"""Fully connected layers.

Shape suffixes: B batch, D features (all numbers of a sample), K classes. A sample has any shape: `x` is (B, *shape).
"""

from __future__ import annotations

import math

from torch import nn

from ..spec import MLP
from .features import Stack


def build_mlp(architecture: MLP, shape: tuple[int, ...], classes: int) -> Stack:
    """x (B, *shape) -> logits_BK; torch's own initialization."""
    widths = [math.prod(shape), *[architecture.width] * architecture.depth]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return Stack(*layers, nn.Linear(widths[-1], classes), matched=nn.ReLU)
