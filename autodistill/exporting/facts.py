"""The contents of a model card as plain facts: from the study's record and store, and from the confirmation.

The test split stays sealed: facts about it were recorded by `confirm`.

Shape suffixes: N validation samples, K classes.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..answers.confirm import went_on
from ..answers.confirm.judge import accuracy_of
from ..answers.confirm.results import Confirmed, opened_for, read
from ..distill import Data, load_network, open_data
from ..metrics.intervals import calibration_error
from ..models import Network
from ..models.sizes import bytes_float16
from ..reporting.explain import explain, own_folder
from ..spec import Checkpoint, Spec, Stage, chain, describe
from ..spec.task import kind_of
from ..study.record.folder import Folder
from ..study.record.ledger import Opening
from ..study.record.opened import open_study
from ..version import __version__

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A stored network to export, on the CPU, with its data and all that is known about it."""

    folder: Folder
    spec: Spec
    stage: str
    network: Stage | Checkpoint
    built: Network
    data: Data
    explained: Facts
    confirmed: Confirmed | None
    openings: tuple[Opening, ...]
    teachers: tuple[str, ...]


def chosen(folder: Folder, prefix: str) -> Chosen:
    """The stored network whose key begins with `prefix`. Raises UsageError if it matches none or several, StoreError if its
    files are damaged.
    """
    with open_study(folder) as study:
        found, openings = read(study), opened_for(folder.path, study.notes.looks)
    explained = explain(folder, prefix)
    network = study.stages.network(explained["stage"])
    return Chosen(
        folder=folder,
        spec=study.spec,
        stage=explained["stage"],
        network=network,
        built=load_network(study.store, network, torch.device("cpu")),
        data=open_data(study.store, network.task.data),
        explained=explained,
        confirmed=found,
        openings=tuple(openings),
        teachers=study.notes.teachers,
    )


def architecture_of(one: Chosen) -> Facts:
    """The contents of architecture.json: all that models.build needs, and the inputs and outputs."""
    mean, std = (None if part is None else part.flatten().tolist() for part in (one.built.mean, one.built.std))
    shape = list(one.data.shape)
    return {
        "stage": one.stage,
        "architecture": one.network.architecture.model_dump(mode="json", exclude_none=True),
        "shape": shape,
        "classes": one.data.classes,
        "class_names": _names(one),
        "mean": mean,
        "std": std,
        "input": {"name": "x", "dtype": "float32", "shape": ["batch", *shape], "numbers": "raw, as in the data"},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", one.data.classes]},
    }


def _names(one: Chosen) -> list[str] | None:
    """The names of the classes: known only if the study was confirmed."""
    return None if one.confirmed is None else one.confirmed.facts["test"]["class_names"]


def facts_of(one: Chosen, logits_NK: Tensor) -> Facts:
    """All facts except those about the files and their speed; `logits_NK` are those of the validation samples."""
    measured = one.explained["measurement"]
    return {
        "study": one.spec.study,
        "stage": one.stage,
        "architecture": describe(one.network.architecture),
        "from": _origin(one),
        "line": chain(one.network),
        "init": describe(one.network.init.architecture) if isinstance(one.network, Stage) and one.network.init else None,
        **{name: measured[name] for name in ("params", "macs", "bytes")},
        "bytes_float16": bytes_float16(one.built),
        "chain": [link | {"test": _on_test(one, link["stage"])} for link in one.explained["chain"]],
        **{name: one.explained[name] for name in ("loss", "recipe", "environment")},
        "seed": getattr(one.network, "seed", None),
        "data": _data(one),
        "normalizes": one.built.mean is not None,
        "validation": _on_validation(one.data, logits_NK, _names(one)) | {"recorded": measured["correct"]},
        "test": _on_test(one, one.stage),
        "teacher": one.confirmed and one.confirmed.teacher,
        "later": one.confirmed and went_on(one.folder, one.confirmed),
        "opened": [opening.facts() for opening in one.openings],
        "versions": _versions(),
    }


def _origin(one: Chosen) -> str:
    if isinstance(one.network, Checkpoint):
        return "outside"
    return "teachers" if one.network.teachers else "labels"


def _data(one: Chosen) -> Facts:
    data, task, found = one.data, one.spec.task, one.confirmed
    named = task.dataset if isinstance(task.dataset, str) else f"import: {task.dataset.factory}"
    return {
        "name": named,
        "kind": kind_of(task.dataset)[0],
        "fingerprint": one.network.task.data,
        "train": len(data.train_y),
        "unlabeled": 0 if data.unlabeled_x is None else len(data.unlabeled_x),
        "validation": len(data.validation_y),
        "test": found and found.facts["test"]["n"],
        "own_test": found and found.facts.get("own_test"),
        "split": task.split.identity(),
        "shape": list(data.shape),
        "classes": data.classes,
        "dtype": str(data.validation_x.dtype),
    }


def _on_validation(data: Data, logits_NK: Tensor, names: Sequence[str] | None) -> Facts:
    y, predicted = np.array(data.validation_y), logits_NK.argmax(1).numpy()
    sure = torch.softmax(logits_NK.double(), 1).amax(1)
    right = predicted == y
    return {
        **accuracy_of(right),
        "by_class": [
            {
                "class": int(label),
                "name": names[label] if names else str(label),
                "n": int((y == label).sum()),
                "accuracy": float(right[y == label].mean()),
            }
            for label in np.unique(y)
        ],
        "calibration_error": calibration_error(sure.tolist(), right.tolist()),
    }


def _on_test(one: Chosen, key: str) -> Facts | None:
    """All facts for a file that was chosen for its student; only the accuracy for others; None for untested ones."""
    if one.confirmed is None or key not in one.confirmed.right:
        return None
    files = {member["chosen"]: member["test"] for member in (*one.confirmed.members, one.confirmed.teacher)}
    plain: Facts = accuracy_of(one.confirmed.right[key])
    return dict(files.get(key, plain))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__, "autodistill": __version__}
    for name in ("onnx", "onnxruntime"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def again(one: Chosen, to: Path) -> list[str]:
    """The commands that create these weights, and then the files in `to`.

    Only a student with the spec's own seed is a search of its own, in a directory of its own.
    """
    folder, network, found = one.folder, one.network, one.confirmed
    made, place = shlex.join(["autodistill", "search", str(folder.spec), "--out", str(folder.path)]), str(folder.path)
    if one.stage not in one.teachers and isinstance(network, Stage):
        if network.seed == one.spec.seed:
            made, place = one.explained["command"], own_folder(folder, network)
        elif found is not None:
            made = shlex.join(["autodistill", "confirm", str(folder.path), "--seeds", str(found.facts["seeds"])])
    return [made, shlex.join(["autodistill", "export", place, "--stage", one.stage, "--to", str(to)])]
