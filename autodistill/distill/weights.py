"""Existing networks: files, stages of other studies, timm's pretrained models, your own modules. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..data import InputSpec
from ..models import Network
from ..models.encoders import Encoder
from ..spec import NETWORK, Checkpoint, DataError, Task, Timm, UsageError, Value, describe
from ..spec.architectures import Architecture
from ..spec.imports import reason, running
from ..store import Store, parsed
from .checkpoints import completed, has_classifier, in_order, is_folder, read_folder
from .data import Data, open_data
from .networks import build_for, plain_state, save_network, seeded
from .predictions import evaluate, measurement, said_beyond_labels

INSIDE = ("state_dict", "model_state_dict", "model", "net", "module")
"""Where training scripts put the weights within a .pth file."""
DEEPEST = 8
"""The most nested dicts to search: a dict may contain itself."""


class Weights(NamedTuple):
    """Tensors of a whole Network, or only of its body, by name.

    A body expects (x / scale - mean) / std; None: mean and std of the task's data. `lenient`: a classifier for other
    classes keeps its random weights, because it is trained again. `labels` are the names of its logits, if they have some.
    """

    state: dict[str, Tensor]
    name: str
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    scale: float | None = None
    lenient: bool = False
    labels: tuple[str, ...] = ()


def read_weights(path: Path, architecture: Architecture | None) -> tuple[Architecture, Weights]:
    """Weights of a .safetensors or .pth file, of the folder of a stored stage, which records its architecture, or of a folder
    of the package transformers.

    Raises DataError if they cannot be read, UsageError if the architecture is missing or differs.
    """
    if is_folder(path):
        state, labels = read_folder(path, architecture)
        assert architecture is not None, "read_folder refuses None"
        return architecture, Weights(state, str(path), labels=labels)
    if os.path.isdir(path):
        return _stage(path, architecture)
    if not os.path.isfile(path):
        raise DataError(f"{str(path)!r} is not a file; give a path relative to the spec's directory, or an absolute path")
    if architecture is None:
        raise UsageError(f"{path} contains only weights; add the key architecture beside checkpoint")
    state = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    return architecture, Weights(state, str(path))


def _stage(path: Path, architecture: Architecture | None) -> tuple[Architecture, Weights]:
    """A folder <store>/stages/<key>."""
    store, key = Store(path.parent.parent), path.name
    if path.parent.name != "stages" or not store.has("stages", key):
        raise DataError(f"{path} is not a stage of a study; give .../store/stages/KEY, or a weights file")
    network = parsed(store, "stages", key, lambda manifest: NETWORK.validate_python(manifest["network"], strict=False))
    if architecture not in (None, network.architecture):
        raise UsageError(f"{path} is a {describe(network.architecture)}; remove the key architecture, or give this one")
    return network.architecture, Weights(load_file(store.file("stages", key, "model.safetensors")), str(path))


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
        return state
    except (OSError, SafetensorError) as error:
        way = "save it with safetensors.torch.save_file(model.state_dict(), path)"
        raise DataError(f"{path} is not a readable safetensors file ({error}); {way}") from None


def _pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote. Code in the file is rejected, never run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file with code in it, or a damaged one, fails in many ways
        raise DataError(
            f"{path} cannot be read as tensors only ({type(error).__name__}); save it with torch.save(model.state_dict(), path)"
        ) from None
    for _ in range(DEEPEST):
        if isinstance(found, dict):
            found = next((found[name] for name in INSIDE if isinstance(found.get(name), dict)), found)
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"{path} contains no state_dict of tensors; save it with torch.save(model.state_dict(), path)")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def pretrained(architecture: Timm, inputs: InputSpec, classes: int, seed: int = 0) -> Weights:
    """timm's weights, from its cache or the hub; a classifier for other classes is drawn from the seed.

    Raises UsageError if they are not available, or if samples are not images.
    """
    import timm

    name = architecture.name
    channels = inputs.numbers_of_x(f"timm's {name}", "use a teacher of your own (import)")[0]
    try:
        with warnings.catch_warnings(), seeded(seed, "init"):
            warnings.simplefilter("ignore")
            network = timm.create_model(name, pretrained=True, num_classes=classes, in_chans=channels, **architecture.arguments)
    except Exception as error:  # no such weights, no network, a refused argument
        raise UsageError(
            f"timm cannot load a pretrained {name} ({reason(error)}); without internet access, give its file as checkpoint"
        ) from error
    config = network.pretrained_cfg
    mean, std = (_by_channel(config[part], channels) for part in ("mean", "std"))
    return Weights(network.state_dict(), f"pretrained {name}", mean, std)


def _by_channel(numbers: Sequence[float], channels: int) -> list[float]:
    """For gray images, timm sums the first layer over colors, so the numbers of the colors are averaged."""
    return list(numbers) if len(numbers) == channels else [sum(numbers) / len(numbers)] * channels


def load_into(network: Network, weights: Weights, architecture: Value, classes: int) -> None:
    """Raises UsageError if the tensors do not fit the architecture."""
    state = weights.state
    whole = any(name.startswith("body.") for name in state)
    if whole and weights.mean is not None:
        raise UsageError(f"{weights.name} contains its own normalization; remove normalize")
    target = network if whole else network.body
    if isinstance(network.body, Encoder) and not whole:
        state = completed(network.body, state, weights.name, trained=weights.lenient)
    elif weights.lenient:
        own = target.state_dict()
        drawn = {name for name, tensor in state.items() if name in own and _of_other_classes(own[name], tensor, classes)}
        state = {name: own[name] if name in drawn else tensor for name, tensor in state.items()}
    try:
        target.load_state_dict(state)
    except RuntimeError as error:
        what = f"does not fit {describe(architecture)}: {' '.join(str(error).split())[:300]}"
        raise UsageError(f"{weights.name} {what}; give the architecture of these weights") from None
    if weights.mean is not None and weights.std is not None:
        _normalize(network, weights)


def _of_other_classes(own: Tensor, given: Tensor, classes: int) -> bool:
    """Whether two tensors differ only in the first axis, which is that of the classes here."""
    return own.shape != given.shape and own.shape[:1] == (classes,) and own.shape[1:] == given.shape[1:]


def _normalize(network: Network, weights: Weights) -> None:
    """Raises UsageError unless there is one number for each channel."""
    assert weights.scale is not None
    if network.mean is None:
        raise UsageError("normalize does not apply to a module of your own, which takes the raw numbers of the data; remove it")
    for name, numbers in (("mean", weights.mean), ("std", weights.std)):
        buffer = getattr(network, name)
        assert numbers is not None
        if len(numbers) != buffer.numel():
            what = f"{len(numbers)} number{'s' * (len(numbers) != 1)} for {buffer.numel()} channel{'s' * (buffer.numel() != 1)}"
            raise UsageError(f"normalize.{name} has {what}; give one for each")
        buffer.copy_((torch.tensor(numbers, dtype=torch.float32) * weights.scale).view_as(buffer))


def adopt(
    store: Store, task: Task, architecture: Architecture, weights: Weights | None, device: torch.device, seed: int = 0
) -> Checkpoint:
    """Adds an existing network to the store: its weights, or an imported module as its factory made it.

    `seed` initializes what the weights leave out. Raises UsageError if the weights do not fit the architecture or the
    outputs do not fit the data.
    """
    data, name = open_data(store, task.data), describe(architecture)
    with seeded(seed, "init"):
        network = build_for(data, architecture)
    anew = isinstance(network.body, Encoder) and weights is not None and not has_classifier(network.body, weights.state)
    if network.target_mean is not None and network.target_scale is not None and not anew:  # it predicts in the data's units
        network.target_mean.zero_()
        network.target_scale.fill_(1.0)
    if weights is not None:
        if isinstance(network.body, Encoder) and data.text is not None:
            weights = weights._replace(state=in_order(network.body, weights.state, weights.labels, data.text.encoding.classes))
        load_into(network, weights, architecture, data.classes)
    digest = hashlib.sha256(save(plain_state(network))).hexdigest()
    checkpoint = Checkpoint(task=task, architecture=architecture, weights=digest)
    network.to(device).eval().requires_grad_(False)
    _check_outputs(network, data, name, device)

    def fill(folder: Path) -> dict[str, object]:
        save_network(folder, network)
        with running(name):  # it may work on two samples and fail on more
            return {
                "network": checkpoint.model_dump(mode="json"),
                "measurement": measurement(network, data, architecture, device, seconds=0.0).model_dump(),
                **({} if anew else said_beyond_labels(network, data, device)),  # nothing yet
            }

    store.make("stages", checkpoint.key(), fill)
    return checkpoint


def _check_outputs(network: Network, data: Data, name: str, device: torch.device) -> None:
    with running(f"the forward pass of {name} on samples of {data.inputs.label}"):
        logits = evaluate(network, data.validation_x.take(np.arange(2)), batch_size=2, device=device)
    if tuple(logits.shape) != (2, data.classes):
        raise UsageError(f"{name} returns {tuple(logits.shape)} for 2 samples; the data need (2, {data.classes})")
