"""Sizes of a network, known before any training, and the number of its correct predictions.

Shape suffixes: B batch, N samples, K classes. A sample's `shape` is channels first: (D,), (C, L) or (C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..data import Pixels
from ..spec import (
    MLP,
    ConvNet,
    ConvNeXt,
    Imported,
    MobileNet,
    ResNet,
    TimmResNet,
    UsageError,
    Value,
    ViT,
    describe,
    digest,
    located,
)
from ..spec.measurement import Sizes, SoftTargetEntropy
from . import Network, build, inherit
from .outputs import Layers

Samples = Tensor | Pixels
T = TypeVar("T")


TEMPERATURES = (1, 4, 8)


LINEAR: dict[type[Value], int] = {MLP: 2, ConvNet: 8, ResNet: 2, TimmResNet: 2, ViT: 2, ConvNeXt: 2, MobileNet: 2}
"""The depth from which each further layer of a family adds the same size: building a hundred layers takes long."""
QUADRATIC: set[type[Value]] = {MLP, ConvNet, ResNet, TimmResNet, ConvNeXt}
"""Families whose sizes are all polynomials of degree 2 in the width."""
_CAN_INHERIT: set[tuple[str, str, tuple[int, ...], int]] = set()
_KNOWN: dict[tuple[str, tuple[int, ...], int], Sizes] = {}


def sizes(architecture: Value, shape: tuple[int, ...], classes: int) -> Sizes:
    """Sizes of `architecture` for samples of `shape`, without any weights in memory; cached within the process.

    An Imported module is actually built, on the CPU. Does not use torch's global generator. Raises UsageError if the
    network cannot be built, does not take the shape, or does not return logits of shape (1, classes).
    """
    key = (digest(architecture), shape, classes)
    if key not in _KNOWN:
        _KNOWN[key] = _sizes(architecture, shape, classes)
    return _KNOWN[key]


def layers(architecture: Value, shape: tuple[int, ...], classes: int, names: Sequence[str] = ()) -> Layers:
    """What `architecture` can give by layer, without any weights in memory; cached within the process.

    `names`: modules that a spec names; they are listed among the layers, in the order in which they run. Raises UsageError
    if a named module does not exist or gives no tensor with a batch axis, and as `sizes` does.
    """
    key = (digest(architecture), shape, classes, tuple(names))
    if key not in _LAYERS:
        with located(f"family {architecture.identity()['family']}"):
            _LAYERS[key] = _built(architecture, shape, classes, lambda network: _layers(network, shape, names))
    return _LAYERS[key]


_LAYERS: dict[tuple[str, tuple[int, ...], int, tuple[str, ...]], Layers] = {}


def _layers(network: Network, shape: tuple[int, ...], names: Sequence[str]) -> Layers:
    """Runs two samples, so that outputs without a batch axis (windows of an image, say) are noticed and left out."""
    attentions = network.attention_names()
    asked = list(dict.fromkeys([*network.layer_names(), *attentions, *names]))
    with torch.no_grad():
        features = network({"x": torch.zeros(2, *shape)}, asked).features if asked else {}
    shapes = {name: tuple(feature.shape[1:]) for name, feature in features.items() if feature.shape[:1] == (2,)}
    for name in names:
        if name not in shapes:
            raise UsageError(
                f"{name!r} does not output a tensor with a batch axis; use one of {', '.join(shapes) or 'no layer'}"
            )
    return Layers(
        layers={name: size for name, size in shapes.items() if name not in attentions},
        attentions={name: size for name, size in shapes.items() if name in attentions},
    )


def check_inherit(architecture: Value, source: Value, shape: tuple[int, ...], classes: int) -> None:
    """Raises the UsageError of `inherit` if `architecture` cannot start from weights of `source`; needs no weights."""
    key = (digest(architecture), digest(source), shape, classes)
    if key not in _CAN_INHERIT:
        _check_inherit(architecture, source, shape, classes)
        _CAN_INHERIT.add(key)


def _check_inherit(architecture: Value, source: Value, shape: tuple[int, ...], classes: int) -> None:
    def copied(student: Network) -> None:
        _built(source, shape, classes, lambda network: inherit(student, network))

    with located(f"{describe(architecture)} cannot inherit from {describe(source)}"):
        _built(architecture, shape, classes, copied)


def _sizes(architecture: Value, shape: tuple[int, ...], classes: int) -> Sizes:
    """Extrapolated from shallower or narrower networks of the family where that is exact, otherwise measured."""
    depth, width, family = getattr(architecture, "depth", 0), getattr(architecture, "width", 0), type(architecture)

    def of(**changes: int) -> Sizes:
        return sizes(architecture.model_copy(update=changes), shape, classes)

    try:
        if depth > (first := LINEAR.get(family, depth)) + 1:
            return _line(of(depth=first), of(depth=first + 1), depth - first)
        if family in QUADRATIC and width > 3:
            return _parabola(of(width=1), of(width=2), of(width=3), width - 1)
    except UsageError:
        pass  # measuring raises the same error for the requested network
    return _measured(architecture, shape, classes)


def _line(zero: Sizes, one: Sizes, x: int) -> Sizes:
    """The sizes at `x` of a polynomial of degree 1 with these at 0 and 1."""
    return Sizes(*(before + x * (after - before) for before, after in zip(zero, one, strict=True)))


def _parabola(zero: Sizes, one: Sizes, two: Sizes, x: int) -> Sizes:
    """The sizes at `x` of a polynomial of degree 2 with these at 0, 1 and 2 (Newton's forward differences)."""
    each = zip(zero, one, two, strict=True)
    return Sizes(*(a + x * (b - a) + x * (x - 1) // 2 * (c - 2 * b + a) for a, b, c in each))


def _measured(architecture: Value, shape: tuple[int, ...], classes: int) -> Sizes:
    def measured(network: Network) -> Sizes:
        return Sizes(params=_params(network), macs=_macs(network, shape, classes), bytes=_bytes(network))

    return _built(architecture, shape, classes, measured)


def _built(architecture: Value, shape: tuple[int, ...], classes: int, measure: Callable[[Network], T]) -> T:
    """The result of `measure` for the network in eval mode, on the meta device (Imported: on the CPU)."""
    device = torch.device("cpu" if isinstance(architecture, Imported) else "meta")
    try:
        with torch.random.fork_rng(devices=[]), device:
            return measure(build(architecture, shape=shape, classes=classes).eval())
    except UsageError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"{describe(architecture)} cannot take samples of shape {shape} with {classes} classes: {cause}"
        ) from error


def _params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in network.state_dict().values())


def bytes_float16(network: nn.Module) -> int:
    """Bytes of all stored tensors, with floating-point numbers in half precision."""
    state = network.state_dict().values()
    return sum(tensor.numel() * (2 if tensor.is_floating_point() else tensor.itemsize) for tensor in state)


def _macs(network: Network, shape: tuple[int, ...], classes: int) -> int:
    """Half of the floating-point operations that torch counts, because a multiply-add is two; on the current device.

    Raises ValueError if the network returns anything but logits_1K.
    """
    x = torch.zeros(1, *shape)
    with torch.no_grad(), _unfused(), FlopCounterMode(display=False) as counter:
        logits = network({"x": x}).logits
    if not isinstance(logits, Tensor):
        raise ValueError(f"it returns a {type(logits).__name__}, not a tensor of logits")
    if logits.shape != (1, classes):
        raise ValueError(f"it returns shape {tuple(logits.shape)}, not logits of shape {(1, classes)}")
    return int(counter.get_total_flops()) // 2


@contextmanager
def _unfused() -> Iterator[None]:
    """Runs attention as matrix products, because the counter does not know its fused CPU kernels."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def evaluate(network: nn.Module, x: Samples, *, batch_size: int, device: torch.device | str) -> Tensor:
    """logits_NK of all samples `x` (N, *shape), float32 on the CPU.

    Runs in eval mode and restores each module's mode; moves the network to `device`. Needs at least one sample.
    """
    assert len(x) > 0, "nothing to evaluate"
    network.to(device)
    with _eval_mode(network), torch.inference_mode():
        batches = [_logits(network, x[start : start + batch_size], device) for start in range(0, len(x), batch_size)]
    return torch.cat(batches)  # outside of inference mode, so that autograd may use the result


def count_correct(logits_NK: Tensor, y: Samples) -> int:
    """How many of the labels `y` (N,) have the largest logit (of several, the first)."""
    return int((logits_NK.argmax(dim=1) == _tensor(y).to(logits_NK.device)).sum())


def soft_target_entropy(logits_NK: Tensor, y: Samples) -> SoftTargetEntropy:
    """How much a teacher's outputs say beyond the label (Hinton, Vinyals and Dean 2015): on training samples, the mean
    entropy in nats of softmax(logits / T) at several T (log K if all classes are equally likely), and its accuracy.
    """
    entropies = {str(temperature): float(entropy(logits_NK, temperature).mean()) for temperature in TEMPERATURES}
    accuracy = count_correct(logits_NK, y) / len(y)
    return SoftTargetEntropy(entropy=entropies, classes=logits_NK.shape[1], train_accuracy=accuracy)


def entropy(logits_NK: Tensor, temperature: float) -> Tensor:
    """(N,) entropies of softmax(logits / T) in nats."""
    log_NK = torch.log_softmax(logits_NK.float() / temperature, 1)
    return -(log_NK.exp() * log_NK).sum(1)


def _logits(network: nn.Module, x: Samples, device: torch.device | str) -> Tensor:
    logits_BK = network({"x": _tensor(x).to(device)}).logits
    if not isinstance(logits_BK, Tensor) or logits_BK.ndim != 2 or len(logits_BK) != len(x):
        got = tuple(logits_BK.shape) if isinstance(logits_BK, Tensor) else type(logits_BK).__name__
        raise UsageError(f"a batch of {len(x)} samples gives {got}, not logits of shape ({len(x)}, classes)")
    return logits_BK.float().cpu()


def _tensor(x: Samples) -> Tensor:
    """A copy of an array, because torch warns about sharing a read-only one."""
    return x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
