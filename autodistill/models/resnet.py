"""Residual networks: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 (CIFAR form).

Shape suffixes: B batch, C channels, H height, W width, L length, D features, K classes. `map_BCS` is a feature map with
one side, S = L, or two, S = (H, W).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..spec import ResNet
from .sides import CONV, NORM, with_channels


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

    The second and third stage halve each side, rounding up; the mean is over the remaining sides.
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


def build_resnet(architecture: ResNet, shape: tuple[int, ...], classes: int) -> Residual:
    channels, *sides = with_channels(shape, "resnet")
    body = Residual(architecture.depth, architecture.width, channels, len(sides), classes)
    return _initialized(body)


def _stage(depth: int, before: int, after: int, stride: int, sides: int) -> nn.Sequential:
    first = Block(before, after, stride, sides)
    return nn.Sequential(first, *[Block(after, after, 1, sides) for _ in range(depth - 1)])


def _initialized(body: Residual) -> Residual:
    """Convolutions normal with variance 2 / fan_out (He et al., ICCV 2015, eq. 14), the rest by torch's defaults."""
    for layer in body.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return body
