"""Layers for samples with one side (signals) or two (images).

Shape suffixes: B batch, C channels, L length, H height, W width, D features. `sides` is how many sides a sample has
besides its channels: 1 for (C, L), 2 for (C, H, W).
"""

from __future__ import annotations

from torch import nn

from ..spec import UsageError

CONV: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}
NORM: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
POOL: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


def with_channels(shape: tuple[int, ...], family: str) -> tuple[int, ...]:
    """`shape`, with features (D,) treated as a signal of one channel, (1, D).

    Raises UsageError for shapes that are neither (D,), (C, L) nor (C, H, W).
    """
    if len(shape) == 1:
        return (1, *shape)
    if len(shape) - 1 not in CONV:
        raise UsageError(f"{family} takes samples of shape (D,), (C, L) or (C, H, W), not {shape}; use family mlp")
    return shape


def check_image(shape: tuple[int, ...], family: str) -> None:
    """Raises UsageError for samples that are not images (C, H, W)."""
    if len(shape) != 3:
        raise UsageError(f"{family} takes images (C, H, W), not samples of shape {shape}; use family resnet, convnet or mlp")
