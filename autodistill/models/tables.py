"""Networks for rows of a table: an embedding for each category, then a network of a family on all numbers as one vector.

Shape suffixes: B batch, D numbers, C categories, E all embeddings of a row one after the other, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data import InputSpec
from ..data.encoding import CATEGORIES


class Embedding(nn.Embedding):
    """The embedding of one category. Row 0, for unknown values, begins at zero: if no training row has one, it adds nothing."""

    def __init__(self, values: int, width: int) -> None:
        super().__init__(values, width)
        with torch.no_grad():
            self.weight[0] = 0


class Embedded(nn.Module):
    """categories_BC and numbers_BD (absent in a table without numbers) -> the network of (B, E + D) -> logits_BK."""

    def __init__(self, values: Sequence[int], most: int | None, network: nn.Module) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([Embedding(one, width_of(one, most)) for one in values])
        self.network = network
        info = getattr(network, "feature_info", None)
        if info is not None:
            self.feature_info = [{"module": f"network.{entry['module']}"} for entry in info]

    def forward(self, categories: Tensor, numbers: Tensor | None = None) -> Tensor:
        parts = [embedding(categories[:, place]) for place, embedding in enumerate(self.embeddings)]
        return self.network(torch.cat([*parts, *([] if numbers is None else [numbers])], 1))  # type: ignore[no-any-return]


def width_of(values: int, most: int | None) -> int:
    """The width of the embedding of a category with this many values, at most `most`.

    The rule of fastai's tabular models, 1.6 * values ** 0.56 (fastai.tabular.model.emb_sz_rule), a fit to what worked in
    practice.
    """
    return min(round(1.6 * math.pow(values, 0.56)), 600, most or 600)


def width(inputs: InputSpec, most: int | None) -> int:
    """E + D: how many numbers of a row the network of a family gets."""
    numbers = sum(math.prod(field.largest) for field in inputs.fields if field.name != CATEGORIES)
    return numbers + sum(width_of(one, most) for one in values_of(inputs))


def values_of(inputs: InputSpec) -> tuple[int, ...]:
    """How many values each category has."""
    return next((field.values for field in inputs.fields if field.values is not None), ())
