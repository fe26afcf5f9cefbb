"""Scores of stored networks by metrics that were not known when these were trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..metrics.metric import named
from ..spec import Network
from ..spec.measurement import Score
from ..store import Store
from .data import open_data
from .networks import load_network
from .predictions import on_validation


def scored(store: Store, network: Network, names: Sequence[str]) -> dict[str, Score]:
    """The scores of a stored network on the validation samples, on the CPU. Raises UsageError for metrics that fail."""
    device, data = torch.device("cpu"), open_data(store, network.task.data)
    found = on_validation(load_network(store, network, device), data, device)
    return {name: named(name).score(found, data.classes) for name in names}
