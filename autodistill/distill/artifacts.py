"""What stages read and write in the store: data, networks, and teachers' outputs. safetensors, .npy and JSON only."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from ..data import Pixels
from ..models import Network, build
from ..models.sizes import count_correct, evaluate, sizes, soft_target_facts
from ..spec import Checkpoint, Stage, StageFailed, Task, UsageError, describe
from ..spec.architectures import AnyArchitecture
from ..spec.imports import running
from ..store import Store
from .data import Data, open_data
from .seeds import seeded
from .weights import Weights, load_into

MOST_SAMPLES = 2000


def build_for(data: Data, architecture: AnyArchitecture) -> Network:
    return build(architecture, shape=data.shape, classes=data.classes, mean=data.mean, std=data.std)


def load_network(store: Store, network: Stage | Checkpoint, device: torch.device) -> Network:
    """A stored network in eval mode, its parameters frozen. Raises StoreError when its file is damaged."""
    built = build_for(open_data(store, network.task.data), network.architecture)
    built.load_state_dict(load_file(store.file("stages", network.key(), "model.safetensors")))
    return built.to(device).eval().requires_grad_(False)


def batch_for(data: Data) -> int:
    """Samples at once where nothing is trained: 4 million numbers, 1,024 at most."""
    return max(1, min(1024, 4_000_000 // math.prod(data.shape)))


def plain_state(network: Network) -> dict[str, torch.Tensor]:
    """Its tensors on the CPU, in plain order, tied ones each for itself: what safetensors can hold."""
    return {
        name: tensor.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }


def save_network(folder: Path, network: Network) -> None:
    state = plain_state(network)
    (folder / "model.safetensors").write_bytes(save(state))  # save_file hides what the system says of a full disk


def measurement(network: Network, data: Data, architecture: AnyArchitecture, device: torch.device) -> dict[str, Any]:
    """Validation accuracy and exact sizes of a trained network. Raises StageFailed when its outputs are no logits."""
    correct, n = count_right(network, data, device), len(data.validation_y)
    size = sizes(architecture, data.shape, data.classes)
    return {"accuracy": correct / n, "correct": correct, "n": n, "params": size.params, "macs": size.macs, "bytes": size.bytes}


def count_right(network: Network, data: Data, device: torch.device) -> int:
    """How many validation samples a network is right on. Raises StageFailed when its outputs are no logits."""
    return count_correct(logits_of(network, data, data.validation_x, device), data.validation_y)


def soft_targets(network: Network, data: Data, device: torch.device) -> dict[str, Any]:
    """What a network has to teach, seen on at most MOST_SAMPLES training samples."""
    rows = np.linspace(0, len(data.train_y) - 1, min(MOST_SAMPLES, len(data.train_y))).astype(int)
    return soft_target_facts(logits_of(network, data, data.fetch(rows), device), np.array(data.train_y)[rows])


def logits_of(network: Network, data: Data, x: Pixels, device: torch.device) -> torch.Tensor:
    """Finite logits (N, classes) of samples x. Raises StageFailed when they are not."""
    return checked_logits(evaluate(network, x, batch_size=batch_for(data), device=device), data.classes)


def checked_logits(logits: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits (N, classes), float32 on the CPU. Raises StageFailed when they are not of these classes or not finite."""
    if logits.shape[1] != classes or not bool(torch.isfinite(logits).all()):
        what = "not finite" if logits.shape[1] == classes else f"of {logits.shape[1]} classes, not {classes}"
        raise StageFailed(f"the outputs are {what}")
    return logits.float().cpu()


def adopt(
    store: Store, task: Task, architecture: AnyArchitecture, weights: Weights | None, device: torch.device, seed: int = 0
) -> Checkpoint:
    """Takes a network from outside into the store: its weights, or an imported module as its factory made it.

    `seed` draws what the weights leave out. Raises UsageError when the weights do not fit the architecture or the outputs
    do not fit the data.
    """
    data = open_data(store, task.data)
    with seeded(seed, "init", torch.device("cpu")):
        network = build_for(data, architecture)
    if weights is not None:
        load_into(network, weights, architecture, data.classes)
    checkpoint = Checkpoint(
        task=task, architecture=architecture, weights=hashlib.sha256(save(plain_state(network))).hexdigest()
    )
    network.to(device).eval().requires_grad_(False)
    _check_outputs(network, data, describe(architecture), device)

    def fill(folder: Path) -> dict[str, Any]:
        save_network(folder, network)
        with running(describe(architecture)):  # right on two samples, it may be wrong on more
            found = measurement(network, data, architecture, device) | {"seconds": 0.0}
            seen = soft_targets(network, data, device)
        return {"network": checkpoint.model_dump(mode="json"), "measurement": found, "soft_targets": seen}

    store.make("stages", checkpoint.key(), fill)
    return checkpoint


def _check_outputs(network: Network, data: Data, name: str, device: torch.device) -> None:
    with running(f"the forward pass of {name} on samples of shape {data.shape}"):
        logits = evaluate(network, data.validation_x[:2], batch_size=2, device=device)
    if tuple(logits.shape) != (2, data.classes):
        raise UsageError(f"{name} returns {tuple(logits.shape)} for 2 samples; the data need (2, {data.classes})")
