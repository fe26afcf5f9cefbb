"""What stages read and write in the store: data, networks, and teachers' outputs. safetensors, .npy and JSON only."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..data import Pixels
from ..imports import reason
from ..measure import count_correct, evaluate, sizes
from ..models import Network, build
from ..spec import Checkpoint, DataError, Stage, StageFailed, Task, UsageError, describe, digest
from ..spec.architectures import AnyArchitecture
from ..store import Store
from .data import Array, Data, open_data, save_array


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
    logits = logits_of(network, data, data.validation_x, device)
    correct, n = count_correct(logits, data.validation_y), len(data.validation_y)
    size = sizes(architecture, data.shape, data.classes)
    return {"accuracy": correct / n, "correct": correct, "n": n, "params": size.params, "macs": size.macs, "bytes": size.bytes}


def logits_of(network: Network, data: Data, x: Pixels, device: torch.device) -> torch.Tensor:
    """Finite logits (N, classes) of samples x. Raises StageFailed when they are not."""
    logits = evaluate(network, x, batch_size=batch_for(data), device=device)
    if logits.shape[1] != data.classes or not bool(torch.isfinite(logits).all()):
        what = "not finite" if logits.shape[1] == data.classes else f"of {logits.shape[1]} classes, not {data.classes}"
        raise StageFailed(f"the outputs are {what}")
    return logits


def adopt(store: Store, task: Task, architecture: AnyArchitecture, weights: Path | None, device: torch.device) -> Checkpoint:
    """Takes a network from outside into the store: a safetensors file, or an imported module as its factory made it.

    Raises UsageError when the file does not fit the architecture or the outputs do not fit the data.
    """
    data = open_data(store, task.data)
    network = build_for(data, architecture)
    if weights is not None:
        _load_into(network, weights, architecture)
    checkpoint = Checkpoint(
        task=task, architecture=architecture, weights=hashlib.sha256(save(plain_state(network))).hexdigest()
    )
    network.to(device).eval().requires_grad_(False)
    _check_outputs(network, data, describe(architecture), device)

    def fill(folder: Path) -> dict[str, Any]:
        save_network(folder, network)
        found = measurement(network, data, architecture, device)
        return {"network": checkpoint.model_dump(mode="json"), "measurement": found | {"seconds": 0.0}}

    try:
        store.make("stages", checkpoint.key(), fill)
    except (StageFailed, RuntimeError) as failure:  # right on two samples, wrong on more
        raise UsageError(f"{describe(architecture)}: {reason(failure)}") from failure
    return checkpoint


def _load_into(network: Network, weights: Path, architecture: AnyArchitecture) -> None:
    """Takes a file of the whole network, or of its body alone (then the task's standardisation stands)."""
    try:
        state = load_file(weights)
        whole = "mean" in state or any(name.startswith("body.") for name in state)
        (network if whole else network.body).load_state_dict(state)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{weights} is no readable safetensors file ({error})") from None
    except RuntimeError as error:
        raise UsageError(f"{weights} does not fit {describe(architecture)}: {' '.join(str(error).split())[:300]}") from None


def _check_outputs(network: Network, data: Data, name: str, device: torch.device) -> None:
    try:
        logits = evaluate(network, data.validation_x[:2], batch_size=2, device=device)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # one's own module may raise anything
        raise UsageError(f"{name} fails on samples of shape {data.shape}: {reason(error)}") from error
    if tuple(logits.shape) != (2, data.classes):
        raise UsageError(f"{name} returns {tuple(logits.shape)} for 2 samples; the data need (2, {data.classes})")


def outputs_key(teacher: Stage | Checkpoint, dtype: Literal["float32"] = "float32") -> str:
    """Of one teacher's outputs on the training data, seen as they are."""
    return digest({"teacher": teacher.key(), "data": teacher.task.data, "views": None, "dtype": dtype})


def make_outputs(store: Store, teacher: Stage | Checkpoint, device: torch.device) -> None:
    """Computes a teacher's logits (N, K) on the training data, once for all its students."""

    def fill(folder: Path) -> dict[str, Any]:
        network = load_network(store, teacher, device)
        data = open_data(store, teacher.task.data)
        logits = logits_of(network, data, data.train_x, device)
        save_array(folder / "logits.npy", logits.numpy())
        return {"teacher": teacher.key()}

    store.make("outputs", outputs_key(teacher), fill)


def open_outputs(store: Store, teacher: Stage | Checkpoint) -> Array:
    path = store.file("outputs", outputs_key(teacher), "logits.npy")
    logits: Array = np.load(path, mmap_mode="r")
    return logits
