"""The memory format and the kernels of a training: safety first, then speed.

oneDNN computes a strided 1x1 convolution by copying the rows it needs into a workspace. In channels-last order, the backward
pass with respect to the weights writes past the end of that workspace if the input has fewer channels than a block (8 with
AVX2, 16 with AVX-512). With several threads it can also read rows that were never copied. Then the process crashes, hangs,
or computes wrong gradients (https://github.com/uxlfoundation/oneDNN/issues/6035). The shortcut of nearly every residual
stage is such a convolution. Slicing every second row and column first and then applying a convolution of stride 1 gives the
same result and never reaches that code.

Suffixes of shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._prims_common import suggest_memory_format
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from ..models import Inputs, Network


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The memory format of images, and whether optimized kernels (oneDNN, NNPACK, cuDNN, fused attention) are used."""

    order: torch.memory_format
    fast: bool = True

    def arranged(self, x: Tensor) -> Tensor:
        """A batch in this memory format; batches that are not images (B, C, H, W) are returned as they are."""
        return x.contiguous(memory_format=self.order) if x.ndim == 4 else x

    @contextmanager
    def kernels(self) -> Iterator[None]:
        """If `fast` is False, disables oneDNN, NNPACK, cuDNN, and fused attention in this context."""
        if self.fast:
            yield
            return
        nnpack, cudnn = torch.backends.nnpack.flags(enabled=False), torch.backends.cudnn.flags(enabled=False)
        with without_onednn(), nnpack, cudnn, sdpa_kernel(SDPBackend.MATH):
            yield


@contextmanager
def without_onednn() -> Iterator[None]:
    """Disables oneDNN. torch's own `mkldnn.flags` also sets options that torch then warns about."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


PLAIN = Layout(order=torch.contiguous_format)
LAST = Layout(order=torch.channels_last)
SAFE = Layout(order=torch.contiguous_format, fast=False)
"""Safe mode: for a training that crashed its process before."""


def lay_out(networks: Sequence[Network], fetch: Callable[[], Inputs], device: torch.device, *, safe: bool = False) -> Layout:
    """Converts the networks of one training (the student, then teachers that are not cached) to the fastest safe layout.

    This is channels last on a GPU, and on the CPU if no strided 1x1 convolution is left after `subsample`. If one is left, it
    is the contiguous format; if its input is channels last anyway, optimized kernels are disabled as well. `fetch()` gives two
    samples for a trial forward pass of each network. Weights and state_dict do not change. With `safe`, returns
    SAFE and runs no forward pass.
    """
    if safe:
        return SAFE
    layout = LAST if device.type == "cuda" else _safe_layout(networks, fetch())
    for network in networks:
        if all(parameter.ndim <= 4 for parameter in network.parameters()):
            network.to(memory_format=layout.order)
    return layout


def _safe_layout(networks: Sequence[Network], inputs: Inputs) -> Layout:
    for network in networks:
        subsample(network)
    found = [plain for network in networks for plain in _strided(network, inputs)]
    if not found:
        return LAST
    return PLAIN if all(found) else SAFE


def subsample(network: nn.Module) -> None:
    """Replaces strided 1x1 convolutions by `Subsampled`, in place. Leaves subclasses alone: they may compute more."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_strided(module.kernel_size, module.stride) and module.padding in ((0, 0), "valid"):
            module.__class__ = Subsampled


class Subsampled(nn.Conv2d):
    """A strided 1x1 convolution, computed as slicing and a convolution of stride 1; the result is the same."""

    def forward(self, input: Tensor) -> Tensor:
        down, across = self.stride
        return F.conv2d(input[..., ::down, ::across], self.weight, self.bias, groups=self.groups)


def _is_strided(kernel: Sequence[int], stride: Sequence[int]) -> bool:
    return math.prod(kernel) == 1 < math.prod(stride)


def _strided(network: Network, inputs: Inputs) -> list[bool]:
    """For each strided 1x1 convolution that a copy of the network calls in training: whether its input is contiguous."""
    watch = _Watch()
    try:
        tried = copy.deepcopy(network).to(memory_format=torch.contiguous_format).train()
        with torch.random.fork_rng(devices=[]), torch.no_grad(), watch:
            tried(inputs)
    except Exception:  # it cannot be copied, or cannot run two samples
        return [True]
    return watch.plain


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records all convolutions that run in this context."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.plain: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            input, weight, _, stride = args[:4]
            if weight.ndim > 3 and _is_strided(weight.shape[2:], stride):  # with one axis torch makes the input plain itself
                orders = {suggest_memory_format(input), suggest_memory_format(weight)}  # torch looks at both
                self.plain.append(orders == {torch.contiguous_format})
        return func(*args, **(kwargs or {}))
