"""Architectures as torch modules, one function for each family in one table.

Shape suffixes: B batch, C channels, H height, W width, L length, D features, K classes. `shape` is the shape of a sample
whose only field is `x`, channels first: (D,), (C, L) or (C, H, W); `x` is (B, *shape). Rows of a table with categories become
such vectors (D,) by embeddings (`tables.Embedded`). Only a module of your own takes other samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data import InputSpec
from ..data.columns import X, mask_of
from ..data.encoding import TOKENS
from ..spec import MLP, ConvNet, ConvNeXt, Imported, MobileNet, ResNet, Timm, TimmResNet, Transformers, Value, ViT
from ..spec.arrays import Array
from .encoders import build_encoder
from .families import build_convnet, build_mlp, build_resnet
from .features import Inputs, Layers, Outputs, tapped
from .imported import build_imported
from .inherit import inherit
from .tables import Embedded, values_of, width
from .timm_families import build_convnext, build_mobilenet, build_timm, build_timm_resnet, build_vit

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
}
"""The function of each schema but Transformers and Imported: (architecture, shape, classes) -> the body.

A body takes x float32 (B, *shape) and gives logits_BK.
"""
OWN_WAY = "use a network of your own (import: package.module:function), whose forward takes {}"
KEPT = (torch.int64, torch.bool)
"""Dtypes that are not cast: integers that name something, and masks."""


class Network(nn.Module):
    """A body that takes a batch in the data's dtypes: numbers are cast to float32 and, with `mean` and `std`, standardized.

    A body with the single input `x` is called with it; otherwise it is called by name, `body(**inputs)`. An input NAME of open
    length comes with NAME_mask (B, L), True at real positions. `mean` and `std` (C, 1, ...) or, for samples (D,), (1,), are
    part of the weights and apply to `x`, which becomes (x - mean) / std; None: the body takes raw numbers. With `targets`, mean
    and scale (K,) of the values of a regression, which are part of the weights too, the body predicts standardized values, and
    the network returns them in the units of the data.
    """

    mean: Tensor | None
    std: Tensor | None
    target_mean: Tensor | None
    target_scale: Tensor | None

    def __init__(
        self,
        body: nn.Module,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        targets: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        assert (mean is None) == (std is None), "give both mean and std, or neither"
        self.body = body
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("target_mean", None if targets is None else targets[0])
        self.register_buffer("target_scale", None if targets is None else targets[1])

    def forward(self, inputs: Inputs, layers: Sequence[str] = ()) -> Outputs:
        """`features` holds what each of `layers` (names of layers or attentions within the body) gives in this call."""
        real = inputs.get(mask_of(TOKENS))
        if not layers:
            return Outputs(logits=self._logits(inputs), features={}, real=real)
        with tapped(self.body, layers) as features:
            return Outputs(logits=self._logits(inputs), features=features, real=real)

    def _logits(self, inputs: Inputs) -> Tensor:
        found = self._of_body(inputs)
        if self.target_mean is None or self.target_scale is None:
            return found
        return found * self.target_scale + self.target_mean

    def _of_body(self, inputs: Inputs) -> Tensor:
        if self.mean is not None and self.std is not None:
            return self.body((inputs[X].float() - self.mean) / self.std)  # type: ignore[no-any-return]
        cast = {name: one if one.dtype in KEPT else one.float() for name, one in inputs.items()}
        return self.body(cast[X]) if cast.keys() == {X} else self.body(**cast)  # type: ignore[no-any-return]


def build(
    architecture: Value,
    *,
    inputs: InputSpec,
    classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    target_mean: Sequence[float] | None = None,
    target_scale: Sequence[float] | None = None,
    ranking: Array | None = None,
    unknown: int | None = None,
) -> Network:
    """The network of `architecture` for samples of `inputs`, with weights drawn from torch's global generator.

    `mean` (default 0) and `std` (default 1) hold one number for each channel; for features (D,), one for all. An
    Imported module gets neither. `target_mean` and `target_scale` hold one number for each value of a regression. `ranking`
    (vocabulary,) has all token ids, those first that a smaller vocabulary keeps; None where only sizes matter. `unknown` is
    the id of the unknown token, if there is one. Raises UsageError if the family does not take such samples or its arguments.
    """
    targets = None
    if target_mean is not None and target_scale is not None:
        targets = torch.tensor(target_mean, dtype=torch.float32), torch.tensor(target_scale, dtype=torch.float32)
    if isinstance(architecture, Imported):
        return Network(build_imported(architecture, inputs, classes), targets=targets)
    if isinstance(architecture, Transformers):
        return Network(build_encoder(architecture, inputs, classes, ranking, unknown), targets=targets)
    if inputs.of_a_table:
        return Network(_for_table(architecture, inputs, classes), targets=targets)
    shape = inputs.numbers_of_x(f"family {architecture.identity()['family']}", OWN_WAY.format(", ".join(inputs.tensors())))
    body = FAMILIES[type(architecture)](architecture, shape, classes)
    return Network(body, _by_channel(mean, 0.0, shape), _by_channel(std, 1.0, shape), targets)


def _for_table(architecture: Value, inputs: InputSpec, classes: int) -> Embedded:
    most = getattr(architecture, "embedding", None)
    body = FAMILIES[type(architecture)](architecture, (width(inputs, most),), classes)
    return Embedded(values_of(inputs), most, body)


def _by_channel(numbers: Sequence[float] | None, default: float, shape: tuple[int, ...]) -> Tensor:
    """(C, 1, ...), or (1,) for samples (D,)."""
    channels = shape[0] if len(shape) > 1 else 1
    values = [default] * channels if numbers is None else [float(number) for number in numbers]
    assert len(values) == channels, f"{len(values)} numbers for {channels} channels of samples {shape}"
    return torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * (len(shape) - 1))
