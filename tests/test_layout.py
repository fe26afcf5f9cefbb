"""Gradients are right with every instruction set that the processor has, and no kernel ends the process.

Suffixes of shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from autodistill.data import InputSpec
from autodistill.distill.layout import LAST, PLAIN, SAFE, Layout, Subsampled, lay_out, subsample, without_onednn
from autodistill.models import Network, build
from autodistill.spec import MLP, ConvNeXt, MobileNet, ResNet, TimmResNet, Value

from .gradients import CPU, FAMILIES, Functional, Scaled

FLAGS = {"SSE41": "sse4_1", "AVX2": "avx2", "AVX512_CORE": "avx512dq"}
"""Instruction sets of oneDNN, and the flag of a processor that has them."""
CHECKED = {"MALLOC_CHECK_": "3", "LD_PRELOAD": "libc_malloc_debug.so.0"}
"""A write past the end of a block ends the process. glibc 2.34 and later need the library for it; elsewhere it does nothing."""
X = torch.randn(2, 3, 8, 8)


def has(level: str) -> bool:
    path = Path("/proc/cpuinfo")
    return not path.exists() or FLAGS[level] in path.read_text().split("flags", 1)[-1].split("\n", 1)[0].split()


LEVELS = [pytest.param(level, marks=pytest.mark.skipif(not has(level), reason="not of this processor")) for level in FLAGS]


def check(family: str, level: str, deepest: int) -> None:
    environment = os.environ | CHECKED | {"ONEDNN_MAX_CPU_ISA": level}
    command = [sys.executable, "-m", "tests.gradients", family, "17", str(deepest)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, f"{level}: ended with {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(3700)
@pytest.mark.parametrize("family", ["resnet", "timm_resnet", "own"])
def test_the_gradients_of_strided_shortcuts_are_those_of_float64(family: str) -> None:
    """With the kernels that have the fault of oneDNN issue 6035 on every processor of these days."""
    check(family, "AVX2", 1)


@pytest.mark.slow
@pytest.mark.timeout(3700)
@pytest.mark.parametrize("family", [*FAMILIES, "own"])
@pytest.mark.parametrize("level", LEVELS)
def test_gradients_of_every_family_are_those_of_float64(family: str, level: str) -> None:
    check(family, level, 3)


@settings(max_examples=60)
@given(
    ins=st.integers(1, 20),
    outs=st.integers(1, 20),
    groups=st.sampled_from([1, 1, 2, 3]),
    side=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    bias=st.booleans(),
)
def test_rows_first_and_then_stride_one_is_the_same_convolution(
    ins: int, outs: int, groups: int, side: tuple[int, int], stride: tuple[int, int], bias: bool
) -> None:
    """Outputs and gradients, in float64 without oneDNN, where nothing but the order of sums can differ."""
    conv = nn.Conv2d(ins * groups, outs * groups, 1, stride=stride, bias=bias, groups=groups).double()
    both = [conv, copy.deepcopy(conv)]
    subsample(both[1])
    assert isinstance(both[1], Subsampled) == (stride != (1, 1))
    xs = [torch.randn(3, ins * groups, *side, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) for _ in both]
    with without_onednn():
        for module, x in zip(both, xs, strict=True):
            module(x.requires_grad_()).square().sum().backward()
    torch.testing.assert_close(xs[0].grad, xs[1].grad)
    for one, other in zip(both[0].parameters(), both[1].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_weights_and_names_stay() -> None:
    network = build(ResNet(depth=1, width=3), inputs=InputSpec.x((3, 8, 8)), classes=5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    names = [name for name, _ in network.named_modules()]
    lay_out([network], lambda: {"x": X}, CPU)
    after = network.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert [name for name, _ in network.named_modules()] == names
    build(ResNet(depth=1, width=3), inputs=InputSpec.x((3, 8, 8)), classes=5).load_state_dict(after)


class Mapped(nn.Module):
    """A strided shortcut that is no module of torch's own class, on maps of some kind."""

    def __init__(self, maps: Callable[[Tensor], Tensor], channels: int) -> None:
        super().__init__()
        self.maps, self.conv = maps, Scaled(channels, 5, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.maps(x)).mean((2, 3))  # type: ignore[no-any-return]


class Uncopied(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 5)
        self.rows = (row for row in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))  # type: ignore[no-any-return]


def decided(body: nn.Module | Value) -> Layout:
    network = Network(body) if isinstance(body, nn.Module) else build(body, inputs=InputSpec.x((3, 8, 8)), classes=5)
    return lay_out([network], lambda: {"x": X}, CPU)


@pytest.mark.parametrize(
    "architecture",
    [
        ResNet(depth=1, width=3),
        TimmResNet(depth=1, width=3),
        ConvNeXt(depth=1, width=3),
        MobileNet(depth=1, width=3),
        MLP(depth=1, width=3),
    ],
)
def test_families_are_trained_with_channels_last(architecture: Value) -> None:
    assert decided(architecture) == LAST


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda: Functional(3, 4, last=False), PLAIN),
        (lambda: Functional(3, 4, last=True), SAFE),
        (lambda: nn.Sequential(Scaled(3, 5, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), PLAIN),
        (lambda: nn.Sequential(nn.ConvTranspose2d(3, 5, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), PLAIN),
        (lambda: nn.Sequential(nn.Conv2d(3, 5, 1, stride=2, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), PLAIN),
        (lambda: nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), LAST),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 5, 1, stride=2), nn.Flatten(), nn.Linear(160, 5)), LAST),
        (lambda: Mapped(lambda x: x[:, :1].permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), 1), SAFE),
        (lambda: Mapped(lambda x: x[:, :2], 2), PLAIN),
        (lambda: Mapped(lambda x: x, 3).to(memory_format=torch.channels_last), PLAIN),
        (lambda: Uncopied(), PLAIN),
    ],
)
def test_what_cannot_be_replaced_is_trained_in_plain_order(body: Callable[[], nn.Module], expected: Layout) -> None:
    assert decided(body()) == expected


def test_a_teacher_that_runs_along_decides_too() -> None:
    student = build(ResNet(depth=1, width=3), inputs=InputSpec.x((3, 8, 8)), classes=5)
    teacher = Network(Functional(3, 4, last=False))
    assert lay_out([student, teacher], lambda: {"x": X}, CPU) == PLAIN


class Counting(nn.Module):
    """Keeps count in a buffer and draws numbers, as batch norm and dropout do."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.conv = nn.Conv2d(3, 5, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return F.dropout(self.conv(x).mean((2, 3)), training=self.training)


def test_to_be_tried_changes_neither_the_network_nor_the_random_numbers() -> None:
    network = Network(Counting())
    before = torch.get_rng_state()
    lay_out([network], lambda: {"x": X}, CPU)
    assert torch.equal(torch.get_rng_state(), before) and float(network.body.count) == 0 and network.training


def test_plain_kernels_are_plain_only_within() -> None:
    enabled = torch.backends.mkldnn.enabled
    with SAFE.kernels():
        assert not torch.backends.mkldnn.enabled
    assert torch.backends.mkldnn.enabled == enabled
    with LAST.kernels():
        assert torch.backends.mkldnn.enabled == enabled


def test_only_images_have_an_order() -> None:
    assert LAST.arranged(X).is_contiguous(memory_format=torch.channels_last)
    flat = X.flatten(1)
    assert LAST.arranged(flat) is flat
