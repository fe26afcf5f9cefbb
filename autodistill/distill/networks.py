"""A stage's network: built with weights drawn from its seed or inherited, saved in the store, and loaded from it.

Randomness derives from (seed, purpose) alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ..models import Network, build, inherit
from ..spec import Checkpoint, Stage
from ..spec.architectures import Architecture
from ..store import Store
from .data import Data, open_data

CPU = torch.device("cpu")
NUMBERS = ("mean", "std", "target_mean", "target_scale")
"""The numbers of the data that networks standardize by."""


def derived_seed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")


@contextlib.contextmanager
def seeded(seed: int, purpose: str, device: torch.device = CPU) -> Iterator[None]:
    """Seeds torch's global generators by (seed, purpose); restores them afterward."""
    with generators_restored(device):
        torch.manual_seed(derived_seed(seed, purpose))
        yield


def generators_restored(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Restores torch's global generators afterward: the CPU's and, if the device is a GPU, its own."""
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else [])


def build_for(data: Data, architecture: Architecture) -> Network:
    numbers = {name: getattr(data, name) for name in NUMBERS}
    ranking, unknown = (None, None) if data.text is None else (data.text.ranking, data.text.encoding.unknown)
    return build(architecture, inputs=data.inputs, classes=data.classes, ranking=ranking, unknown=unknown, **numbers)


def initialized(store: Store, stage: Stage, data: Data) -> Network:
    """The stage's network on the CPU with the weights drawn from its seed, or inherited."""
    with seeded(stage.seed, "init"):
        network = build_for(data, stage.architecture)
    if stage.init is not None:
        inherit(network, load_network(store, stage.init, CPU), stage.init_layers)
    return network


def load_network(store: Store, network: Stage | Checkpoint, device: torch.device) -> Network:
    """A stored network in eval mode, its parameters frozen. Raises StoreError if its file is damaged."""
    built = build_for(open_data(store, network.task.data), network.architecture)
    built.load_state_dict(load_file(store.file("stages", network.key(), "model.safetensors")))
    return built.to(device).eval().requires_grad_(False)


def save_network(folder: Path, network: Network) -> None:
    content = save(plain_state(network))
    (folder / "model.safetensors").write_bytes(content)  # save_file hides the system's error when a disk is full


def plain_state(network: Network) -> dict[str, Tensor]:
    """Its tensors on the CPU, contiguous, with tied ones copied: what safetensors can hold."""
    return {
        name: tensor.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
