"""Sizes against hand formulas; evaluation. Shape suffixes: N samples, K classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autodistill.data import Columns, InputSpec
from autodistill.data.inputs import InputField
from autodistill.distill.predictions import count_correct, evaluate
from autodistill.models import FAMILIES, Outputs, build
from autodistill.models import sizes as measure
from autodistill.models.sizes import bytes_float16, sizes
from autodistill.spec import (
    MLP,
    ConvNet,
    ConvNeXt,
    Imported,
    MobileNet,
    ResNet,
    Timm,
    TimmResNet,
    UsageError,
    Value,
    ViT,
    describe,
)
from autodistill.spec.measurement import Sizes

torch.set_num_threads(1)

VIT: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3}
BUILT: list[str] = []


class Frozen(nn.Module):
    """One transformer layer with gradients off, as a teacher would be: torch runs its fused CPU kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.classifier = nn.Linear(8, 3)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layer(x).mean(1))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Token and position embeddings, a layer by token, and outputs that share the first weights of the token embedding."""

    def __init__(self, shared: bool = True) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(30, 4), nn.Embedding(16, 4)
        self.layer, self.decoder = nn.Linear(4, 4), nn.Linear(4, 30, bias=False)
        if shared:
            self.decoder.weight = self.tokens.weight

    def forward(self, input_ids: Tensor, input_ids_mask: Tensor) -> Tensor:
        places = self.places(torch.arange(input_ids.shape[1], device=input_ids.device))
        return self.decoder(self.layer(self.tokens(input_ids) + places).mean(1))  # type: ignore[no-any-return]


def untied() -> nn.Module:
    return Tied(shared=False)


class Listed(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


class Counted(nn.Flatten):
    def __init__(self) -> None:
        super().__init__()
        BUILT.append("once more")
        torch.rand(7)


def vit() -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, **VIT)  # type: ignore[no-any-return]


def imported(name: str) -> Imported:
    return Imported(factory=f"{__name__}:{name}")


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 50), st.integers(1, 20), st.integers(1, 9))
def test_linear_layers_by_hand(depth: int, width: int, features: int, classes: int) -> None:
    known = sizes(MLP(depth=depth, width=width), InputSpec.x((features,)), classes)
    weights = features * width + (depth - 1) * width**2 + width * classes
    assert known == Sizes(weights + depth * width + classes, weights, 4 * (known.params + 2))
    assert (known.core_params, known.longest_macs) == (known.params, known.macs)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9)])
def test_convolutions_by_hand(shape: tuple[int, int, int]) -> None:
    (channels, height, width), w, k = shape, 6, 4
    known = sizes(ConvNet(depth=1, width=w), InputSpec.x(shape), k)
    pooled = (height // 2) * (width // 2)
    assert known.macs == height * width * 9 * channels * w + pooled * w * k
    assert known.params == 9 * channels * w + 3 * w + pooled * w * k + k
    buffers = 4 * (2 * w + 2 * channels) + 8  # running mean and variance, mean and std, the count of steps as int64
    assert known.bytes == 4 * known.params + buffers


def test_convolutions_on_signals_by_hand() -> None:
    assert sizes(ConvNet(depth=1, width=6), InputSpec.x((2, 10)), 4).macs == 10 * 3 * 2 * 6 + 5 * 6 * 4


def test_resnet_by_hand() -> None:
    w = 4
    stages = 64 * 18 * w**2 + 16 * (18 + 36 + 2) * w**2 + 4 * (72 + 144 + 8) * w**2
    assert sizes(ResNet(depth=1, width=w), InputSpec.x((1, 8, 8)), 10).macs == 64 * 9 * w + stages + 4 * w * 10 == 49_568


def test_attention_is_counted_alike_on_meta_and_cpu() -> None:
    meta = sizes(Timm(name="vit_tiny_patch16_224", arguments=VIT), InputSpec.x((3, 32, 32)), 10)
    cpu = sizes(imported("vit"), InputSpec.x((3, 32, 32)), 10)
    assert (meta.params, meta.macs, meta.bytes) == (cpu.params, cpu.macs, cpu.bytes + 4 * 6)


def test_fused_attention_is_counted() -> None:
    length, d, hidden = 5, 8, 16
    layer = length * (4 * d * d + 2 * d * hidden) + 2 * length * length * d
    assert sizes(imported("Frozen"), InputSpec.x((length, d)), 3).macs == layer + d * 3
    assert torch.backends.mha.get_fastpath_enabled()


TEXTS = InputSpec(fields=(InputField(name="input_ids", shape=(None,), dtype="int64", longest=16, vocabulary=30, typical=5),))


def test_embeddings_are_no_core_params_and_tied_weights_count_once() -> None:
    """Bytes, too: a state has the tied weights under both names."""
    shared, apart = (sizes(imported(name), TEXTS, 30) for name in ("Tied", "untied"))
    rest = 4 * 4 + 4
    assert (shared.params, shared.core_params, shared.embeddings) == (30 * 4 + 16 * 4 + rest, rest, 46 * 4)
    assert (apart.params, apart.core_params) == (shared.params + 30 * 4, rest + 30 * 4)
    assert shared.bytes == 4 * shared.params and apart.bytes == 4 * apart.params
    assert bytes_float16(Tied()) == 2 * shared.params


def test_texts_are_measured_at_their_median_and_at_their_largest_length() -> None:
    found = sizes(imported("Tied"), TEXTS, 30)
    assert (found.macs, found.longest_macs) == (5 * 16 + 120, 16 * 16 + 120)
    assert found.text() == "204 params (20 without embeddings), 200 MACs (376 for the longest sample), 816 bytes"
    assert Sizes.of(found) == found and Sizes(1, 2, 3).text() == "1 params, 2 MACs, 3 bytes"


def test_all_fields_of_a_pair_are_as_long_as_the_typical_one() -> None:
    types = InputField(name="token_type_ids", shape=(None,), dtype="int64", longest=16)
    other = InputField(name="signal", shape=(None,), longest=9)
    shapes = {name: tuple(one.shape) for name, one in InputSpec(fields=(*TEXTS.fields, types, other)).typical.dummy(2).items()}
    assert shapes["input_ids"] == shapes["token_type_ids"] == shapes["input_ids_mask"] == (2, 5) and shapes["signal"] == (2, 9)
    assert InputSpec(fields=(other,)).typical == InputSpec(fields=(other,))


def test_sizes_are_remembered_and_draw_nothing() -> None:
    generator = torch.get_rng_state()
    first, again = sizes(imported("Counted"), InputSpec.x((3,)), 3), sizes(imported("Counted"), InputSpec.x((3,)), 3)
    assert first == again and BUILT == ["once more"] and torch.equal(generator, torch.get_rng_state())


DEEP: list[tuple[Value, tuple[int, ...]]] = [
    (MLP(depth=1, width=3), (5,)),
    (ConvNet(depth=1, width=2), (1, 16, 12)),
    (ConvNet(depth=1, width=2, hidden=5), (2, 9)),
    (ResNet(depth=1, width=2), (1, 8, 8)),
    (ResNet(depth=1, width=3), (7,)),
    (TimmResNet(depth=1, width=2), (3, 8, 8)),
    (TimmResNet(depth=1, width=2, stages=2, stem="imagenet"), (1, 16, 16)),
    (ViT(depth=1, heads=2, head_width=4), (1, 8, 8)),
    (ConvNeXt(depth=1, width=2), (3, 16, 16)),
    (ConvNeXt(depth=1, width=2, stages=4), (1, 32, 32)),
    (MobileNet(depth=1, width=2), (3, 16, 16)),
]


def test_all_families_with_a_depth_are_compared() -> None:
    assert {type(one) for one, _ in DEEP} == {family for family in FAMILIES if "depth" in family.model_fields}


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "shape"), DEEP, ids=lambda one: describe(one) if isinstance(one, Value) else "")
def test_deep_networks_have_the_sizes_that_they_have_once_built(architecture: Value, shape: tuple[int, ...]) -> None:
    for depth in (4, 5, 7, 10, 12) if isinstance(architecture, ConvNet) else (4, 5, 8):
        deep = architecture.model_copy(update={"depth": depth})
        assert sizes(deep, InputSpec.x(shape), 3) == measure._measured(deep, InputSpec.x(shape), 3), depth


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "shape"), DEEP, ids=lambda one: describe(one) if isinstance(one, Value) else "")
def test_wide_networks_have_the_sizes_that_they_have_once_built(architecture: Value, shape: tuple[int, ...]) -> None:
    widths = "heads" if isinstance(architecture, ViT) else "width"
    for depth, width in ((1, 4), (2, 5), (2, 17), (1, 33), (5, 8)):
        wide = architecture.model_copy(update={"depth": depth, widths: width})
        assert sizes(wide, InputSpec.x(shape), 3) == measure._measured(wide, InputSpec.x(shape), 3), (depth, width)


def test_errors_of_sizes_name_the_architecture() -> None:
    with pytest.raises(UsageError, match="vit: patch_size 3 does not divide"):
        sizes(ViT(depth=9, heads=1, patch_size=3), InputSpec.x((1, 8, 8)), 3)


def test_large_models_need_no_memory() -> None:
    assert sizes(MLP(depth=100, width=65536), InputSpec.x((10,)), 10).bytes > 4 * 99 * 65536**2


@pytest.mark.parametrize(
    ("architecture", "shape", "cause"),
    [
        (Timm(name="vit_tiny_patch16_224", arguments=VIT), (3, 28, 28), r"vit_tiny.*\(3, 28, 28\).*doesn't match"),
        (Timm(name="resnet18", arguments={"features_only": True}), (3, 32, 32), r"\(3, 32, 32\).*list, not a tensor"),
        (Timm(name="resnet18"), (5,), r"resnet18.*\(5,\)"),
        (imported("Listed"), (4,), r"Listed.*\(4,\).*list, not a tensor of logits"),
        (imported("Counted"), (4,), r"Counted.*\(4,\) with 10 outputs.*shape \(1, 4\), not logits of shape \(1, 10\)"),
        (imported("Frozen"), (5, 7), r"Frozen.*\(5, 7\)"),
    ],
)
def test_errors_name_architecture_shape_and_cause(architecture: Value, shape: tuple[int, ...], cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        sizes(architecture, InputSpec.x(shape), 10)


class Echo(nn.Module):
    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        return Outputs(logits=inputs["x"].to(torch.bfloat16), features={})


@given(st.integers(1, 20), st.integers(1, 25))
def test_evaluate_keeps_order_and_the_last_short_batch(count: int, batch_size: int) -> None:
    x_NK = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    logits_NK = evaluate(Echo(), Columns({"x": x_NK}), batch_size=batch_size, device="cpu")
    assert logits_NK.dtype == torch.float32 and torch.equal(logits_NK, torch.from_numpy(x_NK))


def test_evaluate_takes_arrays_read_only_or_mapped(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (7, 1, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    read_only = x.copy()
    read_only.flags.writeable = False
    network = build(ResNet(depth=1, width=2), inputs=InputSpec.x((1, 8, 8)), classes=3, mean=[100.0], std=[60.0])
    forms = [x, read_only, np.load(tmp_path / "x.npy", mmap_mode="r")]
    first, *others = [evaluate(network, Columns({"x": form}), batch_size=3, device="cpu") for form in forms]
    assert first.shape == (7, 3) and all(torch.equal(first, other) for other in others)


def test_evaluate_changes_neither_modes_nor_statistics() -> None:
    network = build(ResNet(depth=1, width=2), inputs=InputSpec.x((1, 8, 8)), classes=3).train()
    frozen = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    logits_NK = evaluate(network, Columns({"x": np.ones((5, 1, 8, 8), np.float32)}), batch_size=2, device="cpu")
    assert not frozen.training and all(module.training for module in network.modules() if module is not frozen)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not logits_NK.is_inference() and not logits_NK.requires_grad


def test_evaluate_restores_modes_after_an_error() -> None:
    network = build(MLP(depth=1, width=2), inputs=InputSpec.x((4,)), classes=3).train()
    with pytest.raises(RuntimeError):
        evaluate(network, Columns({"x": np.zeros((2, 5))}), batch_size=2, device="cpu")
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("form", [np.array, torch.tensor])
def test_count_correct(form: Any) -> None:
    logits_NK = torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    assert count_correct(logits_NK, form([1, 2, 0, 2])) == 3
