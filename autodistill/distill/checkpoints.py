"""Weights of folders of the package transformers: what they lack, and where a classifier begins anew."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.encoders import Encoder, classifier_of
from ..spec import DataError, Transformers, UsageError
from ..spec.architectures import Architecture
from ..spec.checkpoints import CONFIG, quiet
from ..spec.imports import reason

TRAIN = "give the teacher a recipe, which trains one"
POOLER = "pooler"
"""The part of some models between the layers and the classifier, which a checkpoint may lack as well."""
UNNAMED = r"LABEL_\d+"
"""What transformers calls labels that have no names."""


def is_folder(path: Path) -> bool:
    return (path / CONFIG).is_file()


def read_folder(path: Path, architecture: Architecture | None) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors that the folder has, by their names in an Encoder, and the names of its labels, if it has some.

    Raises DataError if they cannot be read, UsageError if the architecture is another family's.
    """
    if not isinstance(architecture, Transformers):
        raise UsageError(f"{path} was saved by transformers, and its config.json gives the architecture; remove architecture")
    try:
        with quiet(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            model, info = classifier_of(architecture).from_pretrained(
                path, output_loading_info=True, use_safetensors=True, dtype=torch.float32, local_files_only=True
            )
    except Exception as error:  # no safetensors, a damaged file, tensors of another shape than config.json says
        what = f"{path} cannot be loaded by transformers ({reason(error)})"
        raise DataError(f"{what}; save it again with save_pretrained") from error
    lacking = set(info["missing_keys"])
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items() if name not in lacking}
    labels = tuple(str(model.config.id2label[index]) for index in sorted(model.config.id2label))
    return state, () if all(re.fullmatch(UNNAMED, label) for label in labels) else labels


def completed(encoder: Encoder, state: Mapping[str, Tensor], name: str, *, trained: bool) -> dict[str, Tensor]:
    """The tensors of an encoder from those of a folder, whose classifier may be missing or may have other classes.

    A network that is `trained` afterward gets a new classifier, which is zero, and keeps the random weights of what else is
    missing between the layers and the classifier. Raises UsageError if others are missing or differ in shape, or if the network
    is not trained.
    """
    found: dict[str, Tensor] = {}
    for key, own in encoder.state_dict().items():
        given = state.get(key)
        if given is not None and given.shape == own.shape:
            found[key] = given
        elif not _replaceable(encoder, key):
            shape, part = tuple(own.shape), key.removeprefix("model.")
            what = f"lacks {part} {shape}" if given is None else f"has {part} of shape {tuple(given.shape)} instead of {shape}"
            raise UsageError(f"{name} {what}; give a folder whose files match")
        elif not trained:
            what = "no classifier" if given is None else f"a classifier with {given.shape[0]} labels instead of {len(own)}"
            raise UsageError(f"{name} has {what}; {TRAIN}")
        else:
            found[key] = torch.zeros_like(own) if key.rpartition(".")[0] == encoder.last else own
    return found


def _replaceable(encoder: Encoder, key: str) -> bool:
    """Whether a tensor comes after the layers."""
    base: Any = encoder.model.base_model_prefix
    return not key.startswith(f"model.{base}.") or POOLER in key.split(".")


def in_order(encoder: Encoder, state: dict[str, Tensor], labels: Sequence[str], classes: Sequence[str]) -> dict[str, Tensor]:
    """The tensors with the logits in the order of the data's classes, if the classifier names the same ones."""
    if len(labels) != len(classes) or set(labels) != set(classes):
        return state
    order = torch.tensor([labels.index(name) for name in classes])
    return {key: given[order] if key.rpartition(".")[0] == encoder.last else given for key, given in state.items()}


def has_classifier(encoder: Encoder, state: Mapping[str, Tensor]) -> bool:
    return f"{encoder.last}.weight" in state
