"""What stages read and write in the store: data, networks, and teacher logits. safetensors, .npy and JSON only."""

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
from ..models.sizes import count_correct, evaluate, sizes, soft_target_entropy
from ..spec import Checkpoint, Stage, StageFailed, Task, UsageError, describe
from ..spec.architectures import AnyArchitecture
from ..spec.imports import running
from ..spec.measurement import Measurement, SoftTargetEntropy
from ..store import Store
from .data import Data, open_data
from .seeds import seeded
from .weights import Weights, load_into

MOST_SAMPLES = 2000


def build_for(data: Data, architecture: AnyArchitecture) -> Network:
    return build(architecture, shape=data.shape, classes=data.classes, mean=data.mean, std=data.std)


def load_network(store: Store, network: Stage | Checkpoint, device: torch.device) -> Network:
    """A stored network in eval mode, its parameters frozen. Raises StoreError if its file is damaged."""
    built = build_for(open_data(store, network.task.data), network.architecture)
    built.load_state_dict(load_file(store.file("stages", network.key(), "model.safetensors")))
    return built.to(device).eval().requires_grad_(False)


def batch_for(data: Data) -> int:
    """The batch size for inference: at most 4 million numbers and 1,024 samples."""
    return max(1, min(1024, 4_000_000 // math.prod(data.shape)))


def plain_state(network: Network) -> dict[str, torch.Tensor]:
    """Its tensors on the CPU, contiguous, with tied ones copied: what safetensors can hold."""
    return {
        name: tensor.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }


def save_network(folder: Path, network: Network) -> None:
    state = plain_state(network)
    (folder / "model.safetensors").write_bytes(save(state))  # save_file hides the system's error when a disk is full


def measurement(
    network: Network, data: Data, architecture: AnyArchitecture, device: torch.device, *, seconds: float
) -> Measurement:
    """Validation accuracy and exact sizes of a trained network. Raises StageFailed if its outputs are not logits."""
    correct, n = count_right(network, data, device), len(data.validation_y)
    size = sizes(architecture, data.shape, data.classes)
    return Measurement(accuracy=correct / n, correct=correct, n=n, **size._asdict(), seconds=seconds)


def count_right(network: Network, data: Data, device: torch.device) -> int:
    """How many validation samples a network predicts correctly. Raises StageFailed if its outputs are not logits."""
    return count_correct(logits_of(network, data, data.validation_x, device), data.validation_y)


def soft_targets(network: Network, data: Data, device: torch.device) -> SoftTargetEntropy:
    """Facts on a network's soft targets, from at most MOST_SAMPLES training samples."""
    rows = np.linspace(0, len(data.train_y) - 1, min(MOST_SAMPLES, len(data.train_y))).astype(int)
    return soft_target_entropy(logits_of(network, data, data.fetch(rows), device), np.array(data.train_y)[rows])


def logits_of(network: Network, data: Data, x: Pixels, device: torch.device) -> torch.Tensor:
    """Finite logits (N, classes) of samples x. Raises StageFailed if they are not."""
    return checked_logits(evaluate(network, x, batch_size=batch_for(data), device=device), data.classes)


def checked_logits(logits: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits (N, classes), float32 on the CPU. Raises StageFailed if they have other classes or are not finite."""
    if logits.shape[1] != classes or not bool(torch.isfinite(logits).all()):
        what = "are not finite" if logits.shape[1] == classes else f"have {logits.shape[1]} classes, not {classes}"
        raise StageFailed(f"the outputs {what}")
    return logits.float().cpu()


def adopt(
    store: Store, task: Task, architecture: AnyArchitecture, weights: Weights | None, device: torch.device, seed: int = 0
) -> Checkpoint:
    """Adds an existing network to the store: its weights, or an imported module as its factory made it.

    `seed` initializes what the weights leave out. Raises UsageError if the weights do not fit the architecture or the
    outputs do not fit the data.
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
        with running(describe(architecture)):  # it may work on two samples and fail on more
            found = measurement(network, data, architecture, device, seconds=0.0)
            seen = soft_targets(network, data, device)
        return {
            "network": checkpoint.model_dump(mode="json"),
            "measurement": found.model_dump(),
            "soft_targets": seen.model_dump(),
        }

    store.make("stages", checkpoint.key(), fill)
    return checkpoint


def _check_outputs(network: Network, data: Data, name: str, device: torch.device) -> None:
    with running(f"the forward pass of {name} on samples of shape {data.shape}"):
        logits = evaluate(network, data.validation_x[:2], batch_size=2, device=device)
    if tuple(logits.shape) != (2, data.classes):
        raise UsageError(f"{name} returns {tuple(logits.shape)} for 2 samples; the data need (2, {data.classes})")
