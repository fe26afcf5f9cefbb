"""Facts and properties of the model families. Shape suffixes: B batch, K classes; `x` is (B, *shape)."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from autodistill.data import InputSpec
from autodistill.models import FAMILIES, Network, build
from autodistill.models.families import groups
from autodistill.models.sizes import sizes
from autodistill.spec import (
    MLP,
    ConvNet,
    ConvNeXt,
    Imported,
    MobileNet,
    ResNet,
    Timm,
    TimmResNet,
    Transformers,
    UsageError,
    Value,
    ViT,
)
from autodistill.spec.architectures import Architecture

torch.set_num_threads(1)

Shape = tuple[int, ...]
CLASSES = 3
SMALL = st.integers(1, 4)
ONE_OR_TWO = st.integers(1, 2)
IMAGES = st.tuples(st.integers(1, 3), st.sampled_from([8, 16]), st.sampled_from([8, 12]))
TIMM = (
    Timm(name="resnet18", arguments={"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 8]}),
    Timm(name="convnext_atto", arguments={"depths": [1, 1, 1, 1], "dims": [4, 8, 8, 8]}),
    Timm(
        name="vit_tiny_patch16_224",
        arguments={"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3},
    ),
)


def linear(features: int, classes: int = CLASSES) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(features, classes))


def three() -> int:
    return 3


def fails() -> nn.Module:
    raise RuntimeError("no weights")


def imported(name: str, **arguments: Any) -> Imported:
    return Imported(factory=f"{__name__}:{name}", arguments=arguments)


SHAPES = st.one_of(
    st.tuples(st.integers(1, 12)),
    st.tuples(st.integers(1, 3), st.integers(1, 12)),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
)
CASES: dict[type[Value], st.SearchStrategy[tuple[Value, Shape]]] = {
    MLP: st.tuples(st.builds(MLP, depth=SMALL, width=SMALL), SHAPES),
    ConvNet: st.tuples(st.builds(ConvNet, depth=st.integers(1, 10), width=SMALL, hidden=st.integers(0, 4)), SHAPES),
    ResNet: st.tuples(st.builds(ResNet, depth=st.integers(1, 2), width=SMALL), SHAPES),
    TimmResNet: st.tuples(st.builds(TimmResNet, depth=ONE_OR_TWO, width=SMALL, stages=st.integers(2, 4)), IMAGES),
    ViT: st.tuples(st.builds(ViT, depth=ONE_OR_TWO, heads=SMALL, head_width=SMALL), IMAGES),
    ConvNeXt: st.tuples(st.builds(ConvNeXt, depth=ONE_OR_TWO, width=SMALL, stages=st.integers(2, 3)), IMAGES),
    MobileNet: st.tuples(st.builds(MobileNet, depth=ONE_OR_TWO, width=SMALL, expansion=SMALL), IMAGES),
    Timm: st.tuples(st.sampled_from(TIMM), st.sampled_from([(1, 32, 32), (3, 32, 32)])),
    Imported: SHAPES.map(lambda shape: (imported("linear", features=math.prod(shape)), shape)),
}
every_family = pytest.mark.parametrize("family", [*FAMILIES, Imported])


def seeded(architecture: Value, shape: Shape, **numbers: Any) -> Network:
    torch.manual_seed(0)
    return build(architecture, inputs=InputSpec.x(shape), classes=CLASSES, **numbers)


def samples(shape: Shape, count: int = 4) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_every_schema_has_its_function() -> None:
    (union, _) = get_args(Architecture)
    assert {*FAMILIES, Transformers, Imported} == {get_args(one)[0] for one in get_args(union)}


@every_family
@settings(max_examples=25)
@given(data=st.data())
def test_gives_finite_logits_and_is_a_function_of_the_seed(family: type[Value], data: st.DataObject) -> None:
    architecture, shape = data.draw(CASES[family])
    one, two = seeded(architecture, shape), seeded(architecture, shape)
    assert one.state_dict().keys() == two.state_dict().keys()
    assert all(torch.equal(tensor, two.state_dict()[name]) for name, tensor in one.state_dict().items())
    outputs = one({"x": samples(shape)})
    assert outputs.logits.shape == (4, CLASSES) and outputs.logits.dtype == torch.float32
    assert outputs.logits.isfinite().all() and outputs.features == {}


@every_family
@settings(max_examples=20)
@given(data=st.data())
def test_sizes_are_those_of_the_built_network_and_draw_nothing(family: type[Value], data: st.DataObject) -> None:
    architecture, shape = data.draw(CASES[family])
    network = seeded(architecture, shape)
    generator = torch.get_rng_state()
    known = sizes(architecture, InputSpec.x(shape), CLASSES)
    assert torch.equal(generator, torch.get_rng_state())
    assert known.params == count(network) and known.macs > 0
    assert known.bytes == sum(tensor.nbytes for tensor in network.state_dict().values())


@every_family
@settings(max_examples=15)
@given(data=st.data())
def test_can_be_trained(family: type[Value], data: st.DataObject) -> None:
    architecture, shape = data.draw(CASES[family])
    network = seeded(architecture, shape)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    F.cross_entropy(network({"x": samples(shape)}).logits, torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    after = list(network.parameters())
    assert all(parameter.grad is not None and parameter.isfinite().all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("shape", [(5,), (2, 5), (3, 4, 5)])
@pytest.mark.parametrize("architecture", [MLP(depth=1, width=4), ConvNet(depth=2, width=2), ResNet(depth=1, width=2)])
def test_standardizes_by_channel(architecture: Value, shape: Shape) -> None:
    channels = shape[0] if len(shape) > 1 else 1
    mean, std = [3.0, -1.0, 0.5][:channels], [2.0, 0.1, 7.0][:channels]
    by_channel = (channels, *[1] * (len(shape) - 1))
    inside = seeded(architecture, shape, mean=mean, std=std)
    assert inside.mean is not None and inside.mean.shape == by_channel
    x = samples(shape)
    outside = (x - torch.tensor(mean).reshape(by_channel)) / torch.tensor(std).reshape(by_channel)
    torch.testing.assert_close(inside({"x": x}).logits, seeded(architecture, shape)({"x": outside}).logits)


@pytest.mark.parametrize("architecture", [ResNet(depth=1, width=2), imported("linear", features=64)])
def test_whole_numbers_equal_floats(architecture: Value) -> None:
    network = seeded(architecture, (1, 8, 8), mean=[100.0], std=[50.0])
    raw = (samples((1, 8, 8)).abs() * 80).to(torch.uint8)
    assert torch.equal(network({"x": raw}).logits, network({"x": raw.double()}).logits)


def test_mean_and_std_travel_with_the_weights() -> None:
    network = seeded(MLP(depth=1, width=2), (2, 3), mean=[1, 2], std=[3, 4])
    other = seeded(MLP(depth=1, width=2), (2, 3))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other({"x": samples((2, 3))}).logits, network({"x": samples((2, 3))}).logits)


def test_imported_module_gets_raw_numbers() -> None:
    network = seeded(imported("linear", features=6), (6,), mean=[5.0], std=[9.0])
    assert all(name.startswith("body.") for name in network.state_dict())
    assert torch.equal(network({"x": samples((6,))}).logits, network.body(samples((6,))))


@pytest.mark.parametrize(
    ("depth", "width", "params"),
    [(1, 1, 399), (1, 2, 1384), (1, 3, 2965), (1, 4, 5142), (1, 8, 19810), (2, 32, 696042)],
)
def test_resnets_have_their_known_sizes(depth: int, width: int, params: int) -> None:
    assert count(build(ResNet(depth=depth, width=width), inputs=InputSpec.x((1, 8, 8)), classes=10)) == params


def resnet_params(d: int, w: int, channels: int, classes: int, kernel: int) -> int:
    """Stem and blocks of `kernel` numbers, two 1x1 projections, two numbers for each normalized channel, classifier."""
    squared = 32 * kernel + 10 + 42 * kernel * (d - 1)
    return squared * w * w + (kernel * channels + 42 + 28 * (d - 1) + 4 * classes) * w + classes


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 6), (2, 7), (9,)])
def test_resnet_params_follow_the_formula(shape: Shape) -> None:
    kernel, channels = (9, shape[0]) if len(shape) == 3 else (3, shape[0] if len(shape) == 2 else 1)
    for depth, width, classes in [(1, 1, 2), (1, 5, 10), (2, 3, 10), (3, 2, 7), (5, 4, 10)]:
        network = build(ResNet(depth=depth, width=width), inputs=InputSpec.x(shape), classes=classes)
        assert count(network) == resnet_params(depth, width, channels, classes, kernel)
    assert resnet_params(1, 6, 1, 10, 9) == 298 * 36 + 91 * 6 + 10


def test_resnet_starts_with_variance_two_over_fan_out() -> None:
    network = seeded(ResNet(depth=1, width=32), (1, 8, 8))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 2000:
            fan_out = layer.out_channels * layer.weight[0, 0].numel()
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


@pytest.mark.parametrize(
    ("depth", "width", "expected"),
    [
        (1, 16, [(16,)]),
        (2, 16, [(16,), (16,)]),
        (3, 16, [(16,), (16, 16)]),
        (4, 16, [(16, 16), (32, 32)]),
        (5, 16, [(16, 16), (32, 32, 32)]),
        (6, 16, [(16, 16), (32, 32), (64, 64)]),
        (8, 16, [(16, 16), (32, 32), (64, 64), (128, 128)]),
        (10, 32, [(32, 32), (64, 64), (128, 128), (256, 256, 256, 256)]),
    ],
)
def test_convnet_has_the_papers_groups(depth: int, width: int, expected: list[Shape]) -> None:
    assert groups(depth, width) == expected


@given(st.integers(1, 200), st.integers(1, 64))
def test_convnet_has_depth_convolutions(depth: int, width: int) -> None:
    assert sum(map(len, groups(depth, width))) == depth


def test_convnet_pools_each_side_down_to_one() -> None:
    for shape, features in [((1, 32, 32), 8 * 4), ((1, 7, 1), 8), ((3, 1), 8), ((1, 64, 4), 8 * 4)]:
        network = build(ConvNet(depth=8, width=1), inputs=InputSpec.x(shape), classes=2)
        assert [layer.in_features for layer in network.modules() if isinstance(layer, nn.Linear)] == [features]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("architecture", [ConvNet(depth=1, width=1), ResNet(depth=1, width=1)])
def test_refuses_samples_of_more_sides(architecture: Value, shape: Shape) -> None:
    with pytest.raises(UsageError, match=r"not \(2, 3, 4, 5.*use family mlp"):
        build(architecture, inputs=InputSpec.x(shape), classes=2)


@pytest.mark.parametrize(
    ("architecture", "shape", "message"),
    [
        (Timm(name="resnet18"), (64,), r"takes images .* shape \(64,\); use family resnet, convnet, or mlp"),
        (Timm(name="resnet81"), (3, 8, 8), "no model 'resnet81'; the nearest are .*resnet18"),
        (Timm(name="qqqzzz"), (3, 8, 8), "list_models"),
        (Timm(name="hf-hub:timm/resnet18"), (3, 8, 8), "no model 'hf-hub"),
        (Timm(name="resnet18", arguments={"widths": 3}), (3, 8, 8), "resnet18 rejected .*'widths': 3.*unexpected"),
        (Timm(name="resnet18", arguments={"pretrained": True}), (3, 8, 8), "pretrained, which autodistill sets"),
        (Timm(name="resnet18", arguments={"checkpoint_path": "x"}), (3, 8, 8), "checkpoint_path, which"),
        (imported("three"), (4,), "returned 3 of type int; return a torch.nn.Module"),
        (imported("fails"), (4,), r"fails\(\) failed with RuntimeError: no weights"),
        (imported("linear", wings=2), (4,), r"linear\(features, classes=3\) has no argument 'wings'; remove it"),
        (imported("linaer"), (4,), "did you mean 'linear'"),
        (imported("CLASSES"), (4,), "is of type int, which is not callable; name a function"),
        (Imported(factory="no_such_package.part:net"), (4,), "'no_such_package', or add its folder to PYTHONPATH"),
    ],
)
def test_errors_say_what_and_the_way_out(architecture: Value, shape: Shape, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(architecture, inputs=InputSpec.x(shape), classes=CLASSES)


def test_an_import_that_breaks_says_where(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module_of_ones_own.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="ZeroDivisionError: division by zero; try it alone: python -c"):
        build(Imported(factory="broken_module_of_ones_own:net"), inputs=InputSpec.x((2,)), classes=2)
