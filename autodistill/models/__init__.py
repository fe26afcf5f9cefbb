"""Architectures as torch modules, one function for each family in one table.

Shape suffixes: B batch, C channels, H height, W width, L length, D features, K classes. `shape` is a sample's shape,
channels first: (D,), (C, L) or (C, H, W); `x` is (B, *shape).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..spec import MLP, ConvNet, ConvNeXt, Imported, MobileNet, ResNet, Timm, TimmResNet, Value, ViT
from .families import build_convnet, build_mlp, build_resnet
from .features import Inputs, Layers, Outputs, tapped
from .inherit import inherit
from .timm_families import build_convnext, build_imported, build_mobilenet, build_timm, build_timm_resnet, build_vit

__all__ = ["FAMILIES", "Inputs", "Layers", "Network", "Outputs", "build", "inherit"]

FAMILIES: dict[type[Value], Callable[[Any, tuple[int, ...], int], nn.Module]] = {
    MLP: build_mlp,
    ConvNet: build_convnet,
    ResNet: build_resnet,
    TimmResNet: build_timm_resnet,
    ViT: build_vit,
    ConvNeXt: build_convnext,
    MobileNet: build_mobilenet,
    Timm: build_timm,
    Imported: build_imported,
}
"""Each schema's function: (architecture, shape, classes) -> the body, x float32 (B, *shape) -> logits_BK."""


class Network(nn.Module):
    """A body that takes raw numbers of any dtype: they are cast to float32 and standardized, (x - mean) / std.

    `mean` and `std` (C, 1, ...) or, for samples (D,), (1,), are part of the weights; None: the body takes raw numbers.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, body: nn.Module, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        assert (mean is None) == (std is None), "give both mean and std, or neither"
        self.body = body
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, inputs: Inputs, layers: Sequence[str] = ()) -> Outputs:
        """`features` holds what each of `layers` (names of layers or attentions within the body) gives in this call."""
        x = inputs["x"].float()
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        if not layers:
            return Outputs(logits=self.body(x), features={})
        with tapped(self.body, layers) as features:
            return Outputs(logits=self.body(x), features=features)


def build(
    architecture: Value,
    *,
    shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Network:
    """The network of `architecture` for samples of `shape`, with weights drawn from torch's global generator.

    `mean` (default 0) and `std` (default 1) hold one number for each channel; for features (D,), one for all. An
    Imported module gets neither. Raises UsageError if the family does not take the shape or its arguments.
    """
    body = FAMILIES[type(architecture)](architecture, shape, classes)
    if isinstance(architecture, Imported):
        return Network(body.cpu())
    return Network(body, _by_channel(mean, 0.0, shape), _by_channel(std, 1.0, shape))


def _by_channel(numbers: Sequence[float] | None, default: float, shape: tuple[int, ...]) -> Tensor:
    """(C, 1, ...), or (1,) for samples (D,)."""
    channels = shape[0] if len(shape) > 1 else 1
    values = [default] * channels if numbers is None else [float(number) for number in numbers]
    assert len(values) == channels, f"{len(values)} numbers for {channels} channels of samples {shape}"
    return torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * (len(shape) - 1))
