"""The families of timm's blocks: every depth and width is built, measured and trained. Shape suffixes: B batch, K classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch.nn import functional as F

from autodistill.data import InputSpec
from autodistill.models import build
from autodistill.models import sizes as measure
from autodistill.spec import MLP, ConvNet, ConvNeXt, MobileNet, ResNet, Timm, TimmResNet, UsageError, Value, ViT, describe

torch.set_num_threads(1)

Shape = tuple[int, ...]
Family = Callable[[int, int], Value]
FAMILIES: dict[str, Family] = {
    "timm_resnet": lambda depth, width: TimmResNet(depth=depth, width=width),
    "timm_resnet of two stages": lambda depth, width: TimmResNet(depth=depth, width=width, stages=2, stem="imagenet"),
    "vit": lambda depth, width: ViT(depth=depth, heads=width, head_width=4),
    "convnext": lambda depth, width: ConvNeXt(depth=depth, width=width),
    "convnext of four stages": lambda depth, width: ConvNeXt(depth=depth, width=width, stages=4),
    "mobilenet": lambda depth, width: MobileNet(depth=depth, width=width),
}
GRID = list(itertools.product((1, 2, 3), (1, 3, 4)))
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_shape = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)], ids=str)


def params(architecture: Value, shape: Shape, classes: int = 10) -> int:
    return measure.sizes(architecture, InputSpec.x(shape), classes).params


@every_family
@every_shape
def test_every_size_is_built_measured_and_trained(family: Family, shape: Shape) -> None:
    for depth, width in GRID:
        network = build(family(depth, width), inputs=InputSpec.x(shape), classes=10).train()
        known = measure.sizes(family(depth, width), InputSpec.x(shape), 10)
        assert known.params == sum(parameter.numel() for parameter in network.parameters()) and known.macs > 0
        assert known.core_params == known.params
        assert known.bytes == sum(tensor.nbytes for tensor in network.state_dict().values())
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        logits_BK = network({"x": torch.randn(4, *shape)}).logits
        assert logits_BK.shape == (4, 10)
        F.cross_entropy(logits_BK, torch.arange(4)).backward()
        optimizer.step()
        assert all(each.grad is not None and bool(each.isfinite().all()) for each in network.parameters())


@pytest.mark.slow
@every_family
@every_shape
def test_params_and_macs_grow_with_depth_and_width(family: Family, shape: Shape) -> None:
    for depth, width in GRID:
        sizes = measure.sizes(family(depth, width), InputSpec.x(shape), 10)
        for larger in (family(depth + 1, width), family(depth, width + 1)):
            more = measure.sizes(larger, InputSpec.x(shape), 10)
            assert more.params > sizes.params and more.macs > sizes.macs


@pytest.mark.parametrize(
    ("architecture", "name", "published"),
    [
        (TimmResNet(depth=2, width=64, stem="imagenet"), "resnet18", 11_689_512),
        (ViT(depth=12, heads=3, head_width=64, patch_size=16), "deit_tiny_patch16_224", 5_717_416),
        (ConvNeXt(depth=3, width=96, stages=4, patch_size=4), "convnext_tiny", 28_589_128),
    ],
)
def test_published_sizes_are_the_published_networks(architecture: Value, name: str, published: int) -> None:
    assert params(architecture, (3, 224, 224), 1000) == published
    with torch.device("meta"):
        theirs, ours = timm.create_model(name), build(architecture, inputs=InputSpec.x((3, 224, 224)), classes=1000).body
    shapes = {key: tensor.shape for key, tensor in theirs.state_dict().items()}
    assert {key: tensor.shape for key, tensor in ours.state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("architecture", "name", "arguments"),
    [
        (TimmResNet(depth=1, width=64, stem="imagenet"), "resnet18", {"layers": (1, 1, 1, 1)}),
        (
            ConvNeXt(depth=1, width=4, stages=4, patch_size=4),
            "convnext_tiny",
            {"depths": (1, 1, 3, 1), "dims": (4, 8, 16, 32)},
        ),
    ],
)
def test_published_networks_compute_the_same(architecture: Value, name: str, arguments: dict[str, Any]) -> None:
    theirs = timm.create_model(name, num_classes=10, **arguments).eval()
    ours = build(architecture, inputs=InputSpec.x((3, 64, 64)), classes=10).body.eval()
    ours.load_state_dict(theirs.state_dict())
    x_BCHW = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x_BCHW), theirs(x_BCHW))


def mobilenet_params(w: int, expansion: int, channels: int, classes: int) -> int:
    """At depth 1: each convolution with its normalization's two numbers for each channel, then the classifier."""

    def conv(before: int, after: int, kernel: int) -> int:
        return before * after * kernel + 2 * after

    widths = [w, 3 * w // 2, 2 * w, 4 * w, 6 * w]
    stem = conv(channels, 2 * w, 9) + conv(1, 2 * w, 9) + conv(2 * w, w, 1)
    stages = 0
    for before, after in itertools.pairwise(widths):
        inner = expansion * before
        stages += conv(before, inner, 1) + conv(1, inner, 9) + conv(inner, after, 1)
    return stem + stages + conv(6 * w, 24 * w, 1) + (24 * w + 1) * classes


@pytest.mark.parametrize(("width", "expansion"), [(8, 4), (16, 6), (16, 1)])
def test_mobilenets_follow_the_formula(width: int, expansion: int) -> None:
    architecture = MobileNet(depth=1, width=width, expansion=expansion)
    assert params(architecture, (3, 32, 32)) == mobilenet_params(width, expansion, 3, 10)


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [
        (
            TimmResNet(depth=1, width=2),
            {"layer1": (2, 28, 28), "layer2": (4, 14, 14), "layer3": (8, 7, 7), "layer4": (16, 4, 4)},
        ),
        (TimmResNet(depth=1, width=2, stages=2, stem="imagenet"), {"layer1": (2, 7, 7), "layer2": (4, 4, 4)}),
        (ViT(depth=2, heads=2, head_width=3, patch_size=7), {"blocks.0": (17, 6), "blocks.1": (17, 6)}),
        (ConvNeXt(depth=1, width=2), {"stages.0": (2, 14, 14), "stages.1": (4, 7, 7), "stages.2": (8, 3, 3)}),
        (
            MobileNet(depth=2, width=2),
            {"blocks.0": (2, 28, 28), "blocks.1": (3, 14, 14), "blocks.2": (4, 7, 7), "blocks.4": (12, 4, 4)},
        ),
    ],
)
def test_stages_are_the_layers_to_match(architecture: Value, layers: dict[str, Shape]) -> None:
    known = measure.layers(architecture, InputSpec.x((1, 28, 28)), 10)
    assert known.layers == layers and list(known.layers) == list(layers)
    attentions = {f"{name}.attn": (3, 2, 17, 3) for name in layers} if isinstance(architecture, ViT) else {}
    assert known.attentions == attentions


@every_family
def test_refuses_what_is_no_image(family: Family) -> None:
    with pytest.raises(UsageError, match=r"takes images \(C, H, W\), not samples of shape \(64,\); use family resnet"):
        params(family(1, 1), (64,))


def test_refuses_patches_that_do_not_tile_the_image() -> None:
    with pytest.raises(UsageError, match="patch_size 4 does not divide images of 28x30; use one of 1, 2"):
        params(ViT(depth=1, heads=1), (1, 28, 30))


def test_refuses_images_that_the_stages_use_up() -> None:
    with pytest.raises(UsageError, match=r"convnext depth=1 width=2 stages=4 cannot take samples of shape \(1, 8, 8\)"):
        params(ConvNeXt(depth=1, width=2, stages=4), (1, 8, 8))


@pytest.mark.parametrize(
    ("architecture", "line"),
    [
        (MLP(depth=1, width=2), "mlp depth=1 width=2"),
        (ConvNet(depth=2, width=4, hidden=0), "convnet depth=2 width=4"),
        (ConvNet(depth=2, width=4, hidden=8), "convnet depth=2 width=4 hidden=8"),
        (ResNet(depth=1, width=2), "resnet depth=1 width=2"),
        (TimmResNet(depth=1, width=8), "timm_resnet depth=1 width=8"),
        (TimmResNet(depth=1, width=8, stages=3, stem="imagenet"), "timm_resnet depth=1 width=8 stages=3 stem=imagenet"),
        (ViT(depth=3, heads=2, mlp_ratio=2), "vit depth=3 heads=2 mlp_ratio=2.0"),
        (MobileNet(depth=1, width=8, expansion=4), "mobilenet depth=1 width=8"),
        (Timm(name="resnet18"), "timm name=resnet18"),
        (Timm(name="resnet18", arguments={"layers": [1]}), "timm name=resnet18 arguments={'layers': [1]}"),
    ],
)
def test_descriptions_leave_defaults_out(architecture: Value, line: str) -> None:
    assert describe(architecture) == line
