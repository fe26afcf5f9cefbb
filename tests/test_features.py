"""Features by layer: what is handed over, and that asking for it changes nothing.

Shape suffixes: B batch, N tokens, D features of a head.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autodistill.data import InputSpec
from autodistill.models import Layers, Network, build
from autodistill.models import sizes as measure
from autodistill.models.features import attentions_of, layers_of, tapped
from autodistill.spec import MLP, ConvNet, Imported, ResNet, Timm, UsageError, Value

torch.set_num_threads(1)

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
VIT = Timm(
    name="vit_tiny_patch16_224",
    arguments={"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3},
)
CASES: list[tuple[Value, Shape, Shapes, Shapes]] = [
    (MLP(depth=2, width=5), (2, 3), {"2": (5,), "4": (5,)}, {}),
    (ConvNet(depth=4, width=2), (1, 9, 8), {"6": (2, 4, 4), "13": (4, 2, 2)}, {}),
    (ConvNet(depth=1, width=3), (6,), {"4": (3, 3)}, {}),
    (ConvNet(depth=2, width=2, hidden=4), (1, 8, 8), {"3": (2, 4, 4), "7": (2, 2, 2)}, {}),
    (ResNet(depth=2, width=2), (1, 9, 8), {"stages.0": (2, 9, 8), "stages.1": (4, 5, 4), "stages.2": (8, 3, 2)}, {}),
    (ResNet(depth=1, width=2), (2, 8), {"stages.0": (2, 8), "stages.1": (4, 4), "stages.2": (8, 2)}, {}),
    (
        Timm(name="resnet18", arguments={"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 8]}),
        (3, 32, 32),
        {"layer1": (4, 8, 8), "layer2": (8, 4, 4), "layer3": (8, 2, 2), "layer4": (8, 1, 1)},
        {},
    ),
    (
        Timm(name="convnext_atto", arguments={"depths": [1, 1, 1, 1], "dims": [4, 8, 8, 8]}),
        (1, 32, 32),
        {"stages.0": (4, 8, 8), "stages.1": (8, 4, 4), "stages.2": (8, 2, 2), "stages.3": (8, 1, 1)},
        {},
    ),
    (
        VIT,
        (3, 32, 32),
        {"blocks.0": (17, 12), "blocks.1": (17, 12)},
        {"blocks.0.attn": (3, 3, 17, 4), "blocks.1.attn": (3, 3, 17, 4)},
    ),
]
every_case = pytest.mark.parametrize(("architecture", "shape", "layers", "attentions"), CASES)


class Forked(nn.Module):
    """Returns of its children a tensor, a tuple, and one without a batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 5)
        self.pair = Pair()
        self.total = Total()
        self.classifier = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.inner(x)
        self.total(inner)
        return self.classifier(self.pair(inner)[0])  # type: ignore[no-any-return]


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Total(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class Breaks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.classifier = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no forward")


FORKED = Imported(factory=f"{__name__}:Forked")


def seeded(architecture: Value, shape: Shape) -> Network:
    torch.manual_seed(0)
    return build(architecture, inputs=InputSpec.x(shape), classes=3).eval()


def samples(shape: Shape, count: int = 4) -> dict[str, Tensor]:
    return {"x": torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))}


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


@every_case
def test_shapes_are_known_without_weights(architecture: Value, shape: Shape, layers: Shapes, attentions: Shapes) -> None:
    known = measure.layers(architecture, InputSpec.x(shape), 3)
    assert known == Layers(layers, attentions) and list(known.layers) == list(layers)
    assert measure.layers(architecture, InputSpec.x(shape), 3) is known


@every_case
def test_features_have_those_shapes_and_change_nothing(
    architecture: Value, shape: Shape, layers: Shapes, attentions: Shapes
) -> None:
    network, inputs = seeded(architecture, shape), samples(shape)
    names = [*layers_of(network.body), *attentions_of(network.body)]
    assert names == [*layers, *attentions]
    outputs = network(inputs, names)
    assert {name: tuple(feature.shape[1:]) for name, feature in outputs.features.items()} == layers | attentions
    assert hooks(network) == 0
    plain = network(inputs)
    assert torch.equal(plain.logits, outputs.logits) and plain.features == {}


@every_case
def test_gradients_flow_through_features(architecture: Value, shape: Shape, layers: Shapes, attentions: Shapes) -> None:
    network = seeded(architecture, shape).train()
    features = network(samples(shape), [*layers, *attentions]).features
    sum((feature.square().sum() for feature in features.values()), torch.zeros(())).backward()
    first = next(iter(network.parameters()))
    assert first.grad is not None and first.grad.abs().sum() > 0


def test_features_are_those_of_a_manual_forward() -> None:
    network, inputs = seeded(ResNet(depth=1, width=2), (1, 8, 8)), samples((1, 8, 8))
    body: Any = network.body
    map_BCHW = body.norm(body.stem(inputs["x"])).relu()
    features = network(inputs, layers_of(network.body)).features
    for index, stage in enumerate(body.stages):
        map_BCHW = stage(map_BCHW)
        assert torch.equal(features[f"stages.{index}"], map_BCHW)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_attention_is_recomputed_from_its_queries_keys_and_values(qk_norm: bool) -> None:
    architecture = Timm(name=VIT.name, arguments=VIT.arguments | {"qk_norm": qk_norm})
    network = seeded(architecture, (3, 32, 32))
    attention: Any = network.body.get_submodule("blocks.1.attn")
    features = network(samples((3, 32, 32)), ["blocks.1.attn", "blocks.1.attn.proj"]).features
    q, k, v = features["blocks.1.attn"].unbind(1)
    context = ((q @ k.transpose(-2, -1)) * attention.scale).softmax(-1) @ v
    own = attention.proj(context.transpose(1, 2).flatten(2))
    torch.testing.assert_close(own, features["blocks.1.attn.proj"])


def test_hooks_go_when_the_body_raises() -> None:
    network = Network(Breaks())
    with pytest.raises(RuntimeError, match="no forward"):
        network(samples((4,)), ["inner"])
    assert hooks(network) == 0


def test_hooks_go_when_a_later_name_is_unknown() -> None:
    body = Breaks()
    with pytest.raises(UsageError, match="no layer 'iner'; the nearest are inner"), tapped(body, ["inner", "iner"]):
        pass
    assert hooks(body) == 0


def test_a_module_of_ones_own_hands_over_its_children_but_the_last() -> None:
    assert layers_of(Forked()) == ["inner", "pair", "total"] and attentions_of(Forked()) == []
    assert measure.layers(FORKED, InputSpec.x((4,)), 3) == Layers({"inner": (5,)}, {})
    assert layers_of(nn.Linear(2, 2)) == layers_of(nn.Sequential(nn.Linear(2, 2))) == []


def test_named_modules_stand_where_they_run() -> None:
    architecture = ResNet(depth=1, width=2)
    known = measure.layers(architecture, InputSpec.x((1, 8, 8)), 3, ("stages.1.0.conv1", "stem"))
    assert list(known.layers) == ["stem", "stages.0", "stages.1.0.conv1", "stages.1", "stages.2"]


@pytest.mark.parametrize(
    ("architecture", "name", "message"),
    [
        (ResNet(depth=1, width=2), "stages.7", r"family resnet: there is no layer 'stages.7'; the nearest are stages\."),
        (ResNet(depth=1, width=2), "", "there is no layer ''; the nearest are stages.0, stages.1, stages.2"),
        (FORKED, "pair", "tests.test_features:Forked: 'pair' does not output a tensor with a batch axis; use one of inner"),
        (FORKED, "total", "tests.test_features:Forked: 'total' does not output a tensor with a batch axis; use one of inner"),
    ],
)
def test_errors_name_the_layer_the_nearest_and_the_family(architecture: Value, name: str, message: str) -> None:
    shape = (4,) if architecture is FORKED else (1, 8, 8)
    with pytest.raises(UsageError, match=message):
        measure.layers(architecture, InputSpec.x(shape), 3, (name,))


class InPlace(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.rest = torch.nn.Linear(4, 4), torch.nn.ReLU(inplace=True)
        self.last = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.rest(self.first(x)))  # type: ignore[no-any-return]


def test_a_layer_that_is_overwritten_in_place_is_refused() -> None:
    """Its numbers would be those of the layer after it."""
    network = Network(InPlace())
    with pytest.raises(UsageError, match="'first' is overwritten in place"):
        network({"x": torch.randn(3, 4)}, ["first"])
    assert network({"x": torch.randn(3, 4)}, ["rest"]).features["rest"].min() >= 0
