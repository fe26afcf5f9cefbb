"""Sizes of a network and the shapes of its features, known before any training and without any weights in memory.

If samples differ in length, these are the sizes for the longest one; multiply-adds are also known for a text of median length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..data import InputSpec
from ..data.encoding import TOKENS
from ..spec import (
    MLP,
    BuildError,
    ConvNet,
    ConvNeXt,
    Imported,
    MobileNet,
    ResNet,
    TimmResNet,
    Transformers,
    UsageError,
    Value,
    ViT,
    describe,
    digest,
    located,
)
from ..spec.measurement import Sizes
from . import Layers, Network, build, inherit
from .encoders import simpler
from .features import attentions_of, layers_of

T = TypeVar("T")
LINEAR: dict[type[Value], int] = {MLP: 2, ConvNet: 8, ResNet: 2, TimmResNet: 2, ViT: 2, ConvNeXt: 2, MobileNet: 2}
"""The depth from which each further layer of a family adds the same size: building a hundred layers takes long."""
QUADRATIC: set[type[Value]] = {MLP, ConvNet, ResNet, TimmResNet, ConvNeXt}
"""Families whose sizes are all polynomials of degree 2 in the width."""
_SIZES: dict[tuple[str, InputSpec, int], Sizes] = {}
_LAYERS: dict[tuple[str, InputSpec, int, tuple[str, ...]], Layers] = {}
_CAN_INHERIT: set[tuple[str, str, InputSpec, int, tuple[int, ...] | None]] = set()
_NEED_WEIGHTS: set[str] = set()
"""Functions of your own whose networks cannot be built without weights."""


def sizes(architecture: Value, inputs: InputSpec, classes: int) -> Sizes:
    """Sizes of `architecture` for samples of `inputs`, without any weights in memory; cached within the process.

    An Imported module that cannot be built without weights is built with them. Does not use torch's global generator. Raises
    UsageError if the network cannot be built, does not take such samples, or does not return logits of shape (1, classes);
    BuildError if another one of the same function might.
    """
    key = (digest(architecture), inputs, classes)
    if key not in _SIZES:
        _SIZES[key] = _sizes(architecture, inputs, classes)
    return _SIZES[key]


def layers(architecture: Value, inputs: InputSpec, classes: int, names: Sequence[str] = ()) -> Layers:
    """What `architecture` can give by layer, without any weights in memory; cached within the process.

    `names`: modules that a spec names; they are listed among the layers, in the order in which they run. Raises UsageError
    if a named module does not exist or gives no tensor with a batch axis, and as `sizes` does.
    """
    key = (digest(architecture), inputs, classes, tuple(names))
    if key not in _LAYERS:
        name = architecture.factory if isinstance(architecture, Imported) else f"family {architecture.identity()['family']}"
        with located(name):
            _LAYERS[key] = _of_networks([architecture], inputs, classes, lambda found: _layers(found[0], inputs, names))
    return _LAYERS[key]


def _layers(network: Network, inputs: InputSpec, names: Sequence[str]) -> Layers:
    """Runs two samples, so that outputs without a batch axis (windows of an image, say) are noticed and left out."""
    attentions = attentions_of(network.body)
    asked = list(dict.fromkeys([*layers_of(network.body), *attentions, *names]))
    with torch.no_grad():
        features = network(inputs.dummy(2), asked).features if asked else {}
    shapes = {name: tuple(feature.shape[1:]) for name, feature in features.items() if feature.shape[:1] == (2,)}
    for name in names:
        if name not in shapes:
            raise UsageError(
                f"{name!r} does not output a tensor with a batch axis; use one of {', '.join(shapes) or 'no layer'}"
            )
    return Layers(
        layers={name: size for name, size in shapes.items() if name not in attentions},
        attentions={name: size for name, size in shapes.items() if name in attentions},
        tokens=next((field.longest for field in inputs.fields if field.name == TOKENS), None),
    )


def check_inherit(
    architecture: Value, source: Value, inputs: InputSpec, classes: int, layers: tuple[int, ...] | None = None
) -> None:
    """Raises the UsageError of `inherit` if `architecture` cannot start from weights of `source`; needs no weights."""
    key = (digest(architecture), digest(source), inputs, classes, layers)
    if key not in _CAN_INHERIT:
        with located(f"{describe(architecture)} cannot inherit from {describe(source)}"):
            _of_networks([architecture, source], inputs, classes, lambda found: inherit(found[0], found[1], layers))
        _CAN_INHERIT.add(key)


def _sizes(architecture: Value, inputs: InputSpec, classes: int) -> Sizes:
    """Extrapolated from shallower or narrower networks of the family where that is exact, otherwise measured."""
    if isinstance(architecture, Transformers) and (line := simpler(architecture, inputs)) is not None:
        ends = [sizes(one, inputs, classes) for one in (line.at_0, line.at_1)]
        return _extrapolated(ends, line.x)
    depth, width, family = getattr(architecture, "depth", 0), getattr(architecture, "width", 0), type(architecture)

    def of(**changes: int) -> Sizes:
        return sizes(architecture.model_copy(update=changes), inputs, classes)

    try:
        if depth > (first := LINEAR.get(family, depth)) + 1:
            return _extrapolated([of(depth=first), of(depth=first + 1)], depth - first)
        if family in QUADRATIC and width > 3:
            return _extrapolated([of(width=1), of(width=2), of(width=3)], width - 1)
    except UsageError:
        pass  # measuring raises the same error for the requested network
    return _measured(architecture, inputs, classes)


def _extrapolated(known: Sequence[Sizes], x: int) -> Sizes:
    """The sizes at `x` of the polynomial of the lowest degree with these at 0, 1, ... (Newton's forward differences)."""
    differences = [np.diff(np.array(known, object), order, axis=0)[0] for order in range(len(known))]
    return Sizes(*sum(math.comb(x, order) * difference for order, difference in enumerate(differences)))


def _measured(architecture: Value, inputs: InputSpec, classes: int) -> Sizes:
    return _of_networks([architecture], inputs, classes, lambda found: _sizes_of(found[0], inputs, classes))


def _sizes_of(network: Network, inputs: InputSpec, classes: int) -> Sizes:
    macs, longest = (_macs(network, one, classes) for one in (inputs.typical, inputs))
    return Sizes(
        params=sum(parameter.numel() for parameter in network.parameters()),
        macs=macs,
        bytes=sum(tensor.numel() * tensor.itemsize for tensor in _stored(network)),
        embeddings=_embedded(network),
        further_macs=longest - macs,
    )


def _embedded(network: nn.Module) -> int:
    """The params of all embeddings, also those that a linear layer shares with one."""
    modules = (module for module in network.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag))
    found = {id(one): one for module in modules for one in module.parameters(recurse=False)}
    return sum(one.numel() for one in found.values())


def _stored(network: nn.Module) -> list[Tensor]:
    """The tensors of the state, each once, though it may have several names."""
    return list({id(tensor): tensor for tensor in network.state_dict(keep_vars=True).values()}.values())


def _of_networks(architectures: Sequence[Value], inputs: InputSpec, classes: int, what: Callable[[list[Network]], T]) -> T:
    """What a function says of these networks, which have no weights in memory; with some if your own code needs them."""
    own = {one.factory for one in architectures if isinstance(one, Imported)}
    if not own & _NEED_WEIGHTS:
        try:
            return _on("meta", architectures, inputs, classes, what)
        except Exception:
            if not own:
                raise
    found = _on("cpu", architectures, inputs, classes, what)
    _NEED_WEIGHTS.update(own)
    return found


def _on(device: str, architectures: Sequence[Value], inputs: InputSpec, classes: int, what: Callable[[list[Network]], T]) -> T:
    """Builds the networks in eval mode on a device, where all tensors of the function are created, too."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            return what([build(one, inputs=inputs, classes=classes).eval() for one in architectures])
    except UsageError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise BuildError(
            f"{describe(architectures[0])} cannot take samples of {inputs.label} with {classes:,} "
            f"output{'s' * (classes != 1)}: {cause}"
        ) from error


def bytes_float16(network: nn.Module) -> int:
    """Bytes of all stored tensors, with floating-point numbers in half precision."""
    return sum(tensor.numel() * (2 if tensor.is_floating_point() else tensor.itemsize) for tensor in _stored(network))


def _macs(network: Network, inputs: InputSpec, classes: int) -> int:
    """Half of the floating-point operations that torch counts, because a multiply-add is two; on the current device.

    Raises ValueError if the network returns anything but logits_1K.
    """
    with torch.no_grad(), _unfused(), FlopCounterMode(display=False) as counter:
        logits = network(inputs.dummy(1)).logits
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
