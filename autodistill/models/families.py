"""The families written here: fully connected, the plain stacks of the teacher assistants, residual networks.

Shape suffixes: B batch, C channels, H height, W width, L length, D features, K classes. `x` is (B, C, H, W), (B, C, L)
or (B, D); `sides` is how many sides a sample has besides its channels. `map_BCS` is a feature map with one side, S = L, or
two, S = (H, W).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from ..spec import MLP, ConvNet, ResNet, UsageError
from .features import Stack

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
        raise UsageError(f"{family} takes samples of shape (D,), (C, L), or (C, H, W), not {shape}; use family mlp")
    return shape


def check_image(shape: tuple[int, ...], family: str) -> None:
    """Raises UsageError for samples that are not images (C, H, W)."""
    if len(shape) != 3:
        raise UsageError(f"{family} takes images (C, H, W), not samples of shape {shape}; use family resnet, convnet, or mlp")


def build_mlp(architecture: MLP, shape: tuple[int, ...], classes: int) -> Stack:
    """x (B, *shape), a sample of any shape -> logits_BK; torch's own initialization."""
    widths = [math.prod(shape), *[architecture.width] * architecture.depth]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return Stack(*layers, nn.Linear(widths[-1], classes), matched=nn.ReLU)


def build_convnet(architecture: ConvNet, shape: tuple[int, ...], classes: int) -> Stack:
    """x -> logits_BK; torch's own initialization.

    Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020: groups of convolutions, a pool
    after each.
    """
    channels, *sides = with_channels(shape, "convnet")
    layers: list[nn.Module] = [nn.Unflatten(1, (1, *shape))] if len(shape) == 1 else []
    for group in groups(architecture.depth, architecture.width):
        for width in group:
            layers += [CONV[len(sides)](channels, width, 3, padding=1), NORM[len(sides)](width), nn.ReLU()]
            channels = width
        layers.append(POOL[len(sides)](tuple(min(2, side) for side in sides)))  # halves each side; a side of 1 stays
        sides = [max(1, side // 2) for side in sides]
    head = _head(channels * math.prod(sides), architecture.hidden, classes)
    return Stack(*layers, nn.Flatten(), *head, matched=POOL[len(sides)])


def groups(depth: int, width: int) -> list[tuple[int, ...]]:
    """The channels of each convolution, group by group.

    The paper's groups: (16 | 16) at depth 2, (16 16 | 32 32) at 4, (32 32 | 64 64 | 128 128 | 256 256 256 256) at 10.
    """
    if depth < 4:
        return [(width,), (width,) * (depth - 1)][: min(depth, 2)]
    count = min(4, depth // 2)
    lengths = [2] * (count - 1) + [depth - 2 * (count - 1)]
    return [(width * 2**index,) * length for index, length in enumerate(lengths)]


def _head(features: int, hidden: int, classes: int) -> list[nn.Module]:
    if hidden:
        return [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return [nn.Linear(features, classes)]


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut: identity, or a 1x1 projection where the shape changes (option B)."""

    def __init__(self, before: int, after: int, stride: int, sides: int) -> None:
        super().__init__()
        conv, norm = CONV[sides], NORM[sides]
        self.conv1 = conv(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = norm(after)
        self.conv2 = conv(after, after, 3, padding=1, bias=False)
        self.norm2 = norm(after)
        self.shortcut: nn.Module = nn.Identity()
        if (before, stride) != (after, 1):
            self.shortcut = nn.Sequential(conv(before, after, 1, stride=stride, bias=False), norm(after))

    def forward(self, map_BCS: Tensor) -> Tensor:
        inner_BCS = F.relu(self.norm1(self.conv1(map_BCS)))
        return F.relu(self.norm2(self.conv2(inner_BCS)) + self.shortcut(map_BCS))


class Residual(nn.Module):
    """A stride-1 stem, three stages of `depth` blocks with 1, 2 and 4 times `width` channels, a mean, a classifier.

    The second and third stage halve each side, rounding up; the mean is over the remaining sides. He et al., "Deep Residual
    Learning for Image Recognition", CVPR 2016, section 4.2 (CIFAR form).
    """

    def __init__(self, depth: int, width: int, channels: int, sides: int, classes: int) -> None:
        super().__init__()
        self.stem = CONV[sides](channels, width, 3, padding=1, bias=False)
        self.norm = NORM[sides](width)
        self.stages = nn.Sequential(
            _stage(depth, width, width, 1, sides),
            _stage(depth, width, 2 * width, 2, sides),
            _stage(depth, 2 * width, 4 * width, 2, sides),
        )
        self.classifier = nn.Linear(4 * width, classes)
        self.feature_info = [{"module": f"stages.{index}"} for index in range(3)]

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W), (B, C, L) or (B, D), which is treated as (B, 1, D) -> logits_BK."""
        x_BCS = x.unsqueeze(1) if x.dim() == 2 else x
        map_BCS = self.stages(F.relu(self.norm(self.stem(x_BCS))))
        return self.classifier(map_BCS.flatten(2).mean(2))  # type: ignore[no-any-return]


def _stage(depth: int, before: int, after: int, stride: int, sides: int) -> nn.Sequential:
    first = Block(before, after, stride, sides)
    return nn.Sequential(first, *[Block(after, after, 1, sides) for _ in range(depth - 1)])


def build_resnet(architecture: ResNet, shape: tuple[int, ...], classes: int) -> Residual:
    """x -> logits_BK. Convolutions are normal with variance 2 / fan_out (He et al., ICCV 2015, eq. 14)."""
    channels, *sides = with_channels(shape, "resnet")
    body = Residual(architecture.depth, architecture.width, channels, len(sides), classes)
    for layer in body.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return body
