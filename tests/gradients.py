"""One training step of many networks beside the same step in float64 without oneDNN: `python -m tests.gradients CASES`.

A process of its own, because a kernel at fault may end it; `ONEDNN_MAX_CPU_ISA` says which kernels it takes. It prints what
differs, and exits with 1 where anything does.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autodistill.data import InputSpec
from autodistill.distill.layout import lay_out, without_onednn
from autodistill.models import Network, build
from autodistill.spec import MLP, ConvNet, ConvNeXt, MobileNet, ResNet, Timm, TimmResNet, Value, ViT

CPU = torch.device("cpu")
FAMILIES = {
    "resnet": lambda depth, width: ResNet(depth=depth, width=width),
    "convnet": lambda depth, width: ConvNet(depth=depth, width=width),
    "mlp": lambda depth, width: MLP(depth=depth, width=width),
    "timm_resnet": lambda depth, width: TimmResNet(depth=depth, width=width),
    "vit": lambda depth, width: ViT(depth=depth, heads=width, head_width=2),
    "convnext": lambda depth, width: ConvNeXt(depth=depth, width=width),
    "mobilenet": lambda depth, width: MobileNet(depth=depth, width=width),
}
SHAPES = ((1, 28, 28), (3, 8, 8))
BATCH, CLASSES, FLIPPED, AGAIN = 32, 5, 8, 4
"""A difference below FLIPPED may come from ReLUs whose inputs are rounding away from 0, so up to AGAIN other batches are tried.

A mobilenet of depth 3 and width 2 is off by 20% of some tensor, another one in each batch; a kernel at fault was off by 120%
in every batch.
"""


class Functional(nn.Module):
    """Somebody's residual stage whose shortcut is no module; with `last`, on maps that it puts channels last itself."""

    def __init__(self, channels: int, width: int, last: bool) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(channels, width, 3, padding=1), last
        self.conv = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.shortcut = nn.Parameter(torch.randn(2 * width, width, 1, 1))
        self.classifier = nn.Linear(2 * width, CLASSES)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        map_BCHW = F.relu(self.stem(x_BCHW))
        if self.last:
            map_BCHW = map_BCHW.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        return self.classifier((self.conv(map_BCHW) + F.conv2d(map_BCHW, self.shortcut, stride=2)).mean((2, 3)))


class Scaled(nn.Conv2d):
    """A convolution of somebody's own, which computes more than torch's."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def networks(which: str, widths: range, depths: range) -> Iterator[tuple[str, Network, tuple[int, ...]]]:
    torch.manual_seed(0)
    for shape in SHAPES:
        for width in widths:
            if which == "own":
                for last in (False, True):
                    yield f"functional, last={last}, {width} {shape}", Network(Functional(shape[0], width, last)), shape
                plain = [nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU(), Scaled(width, 8, 1, stride=2), nn.ReLU()]
                yield f"scaled, {width} {shape}", Network(nn.Sequential(*plain, nn.Flatten(), nn.LazyLinear(CLASSES))), shape
                continue
            for depth in depths:
                architecture: Value = FAMILIES[which](depth, width)
                yield f"{architecture} {shape}", build(architecture, inputs=InputSpec.x(shape), classes=CLASSES), shape
    if which == "timm_resnet":
        small = Timm(name="resnet26d", arguments={"layers": [1, 1, 1, 1], "channels": [4, 6, 8, 12]})
        yield "resnet26d", build(small, inputs=InputSpec.x((3, 64, 64)), classes=CLASSES), (3, 64, 64)


def difference(network: Network, shape: tuple[int, ...]) -> float:
    """Of the gradients: the largest of any parameter, in units of what rounding may cost.

    That is 5%, since a ReLU whose input is rounding away from 0 may open or not; a kernel at fault was off by 120%.
    """
    x_B, y_B = torch.randn(BATCH, *shape), torch.arange(BATCH) % CLASSES
    network.train().zero_grad()
    network({"x": x_B[:2]})  # makes what is lazy
    exact, fast = copy.deepcopy(network).double(), network
    with without_onednn():
        F.cross_entropy(exact.body(x_B.double()), y_B).backward()
    layout = lay_out([fast], lambda: {"x": x_B[:2]}, CPU)
    for _ in range(3):
        fast.zero_grad()
        with layout.kernels():
            F.cross_entropy(fast({"x": layout.arranged(x_B)}).logits, y_B).backward()
    expected = [parameter.grad for parameter in exact.parameters()]
    whole = torch.cat([each.flatten() for each in expected if each is not None]).norm()
    found = [
        float((of(parameter) - each).norm() / (0.05 * each.norm() + 1e-4 * whole))
        for parameter, each in zip(fast.parameters(), expected, strict=True)
        if each is not None
    ]
    return float(torch.tensor(found).max())  # Python's own would pass over a NaN


def of(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def main(which: str, widest: int, deepest: int) -> int:
    torch.set_num_threads(2)  # with two, wrong numbers are seen where one thread only writes past an end
    wrong = 0
    for name, network, shape in networks(which, range(1, widest + 1), range(1, deepest + 1)):
        found = difference(network, shape)
        again = 0
        while 1 <= found < FLIPPED and again < AGAIN:
            found, again = difference(network, shape), again + 1
        if not found < 1:
            wrong += 1
            print(f"{name}: {found:.1f} times what rounding may cost")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
