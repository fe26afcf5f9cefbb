"""The plain stacks of Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020.

Shape suffixes: B batch, C channels, H height, W width, L length, D features, K classes. `x` is (B, C, H, W), (B, C, L)
or (B, D); the last is treated as (B, 1, D).
"""

from __future__ import annotations

import math

from torch import nn

from ..spec import ConvNet
from .features import Stack
from .sides import CONV, NORM, POOL, with_channels


def groups(depth: int, width: int) -> list[tuple[int, ...]]:
    """The channels of each convolution, group by group.

    The paper's groups: (16 | 16) at depth 2, (16 16 | 32 32) at 4, (32 32 | 64 64 | 128 128 | 256 256 256 256) at 10.
    """
    if depth < 4:
        return [(width,), (width,) * (depth - 1)][: min(depth, 2)]
    count = min(4, depth // 2)
    lengths = [2] * (count - 1) + [depth - 2 * (count - 1)]
    return [(width * 2**index,) * length for index, length in enumerate(lengths)]


def build_convnet(architecture: ConvNet, shape: tuple[int, ...], classes: int) -> Stack:
    """x -> logits_BK; torch's own initialization."""
    channels, *sides = with_channels(shape, "convnet")
    layers: list[nn.Module] = [nn.Unflatten(1, (1, *shape))] if len(shape) == 1 else []
    for group in groups(architecture.depth, architecture.width):
        for width in group:
            layers += _convolution(channels, width, len(sides))
            channels = width
        layers.append(_pool(sides))
        sides = [max(1, side // 2) for side in sides]
    head = _head(channels * math.prod(sides), architecture.hidden, classes)
    return Stack(*layers, nn.Flatten(), *head, matched=POOL[len(sides)])


def _convolution(before: int, after: int, sides: int) -> list[nn.Module]:
    return [CONV[sides](before, after, 3, padding=1), NORM[sides](after), nn.ReLU()]


def _pool(sides: list[int]) -> nn.Module:
    """Halves every side, rounding down; a side of 1 stays."""
    return POOL[len(sides)](tuple(min(2, side) for side in sides))


def _head(features: int, hidden: int, classes: int) -> list[nn.Module]:
    if hidden:
        return [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return [nn.Linear(features, classes)]
