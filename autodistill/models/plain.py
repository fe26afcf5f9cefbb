"""Networks as torch modules that everybody knows: tensors in, logits out.

Shape suffixes: B batch, K classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from torch import Tensor, nn

from ..data import InputSpec
from ..data.columns import X
from . import Network


class Plain(nn.Module):
    """A network with logits as its only output: the graphs are made from it. The single input `x` is positional."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network({X: x}).logits  # type: ignore[no-any-return]


class Named(nn.Module):
    """The same for other inputs, which have names."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network

        def forward(**inputs: Tensor) -> Tensor:
            return network(inputs).logits  # type: ignore[no-any-return]

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in names]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward
        """torch.export takes the names from its signature; for **inputs, the graph has guards that torch.onnx cannot read."""


def plain(network: Network, inputs: InputSpec) -> Plain | Named:
    """The network as a module: raw numbers of the data, such as x (B, *shape), by name where there are several -> logits_BK."""
    return Plain(network) if inputs.only is not None else Named(network, list(inputs.tensors()))
