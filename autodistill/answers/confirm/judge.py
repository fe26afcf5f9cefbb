"""The predictions of one frozen network on the test samples.

Shape suffixes: N samples, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...data.splits import Samples
from ...distill import load_network, open_data
from ...distill.predictions import logits_of
from ...metrics.intervals import calibration_error, wilson
from ...spec import Checkpoint, Stage
from ...store import Store


class Verdict(NamedTuple):
    """Arrays (N,): the predicted class, its probability, and whether the prediction is correct."""

    predicted: NDArray[np.int64]
    sure: NDArray[np.float64]
    right: NDArray[np.bool_]


def judge(store: Store, network: Stage | Checkpoint, test: Samples, device: torch.device) -> Verdict:
    logits_NK = logits_of(load_network(store, network, device), open_data(store, network.task.data), test.x, device)
    sure = torch.softmax(logits_NK.double(), 1).amax(1).numpy()
    predicted = logits_NK.argmax(1).numpy()  # ties go to the first class, as on the validation samples
    return Verdict(predicted=predicted, sure=sure, right=predicted == test.y)


def accuracy_of(right: NDArray[np.bool_]) -> dict[str, Any]:
    """Accuracy with its 95 % interval over samples."""
    correct, n = int(right.sum()), len(right)
    interval = wilson(correct, n)
    return {"accuracy": correct / n, "correct": correct, "n": n, "low": interval.low, "high": interval.high}


def beside(own: Verdict, teacher: Verdict, test: Samples) -> dict[str, Any]:
    """All facts about a network on the test samples: compared with the teacher, by class, and by group."""
    classes = [
        part | {"name": str(part["class"]) if test.names is None else test.names[part["class"]]}
        for part in _parts(own, teacher, test.y, "class")
    ]
    groups = None if test.groups is None else _parts(own, teacher, test.groups, "group")
    return {
        **accuracy_of(own.right),
        "by_class": classes,
        "worst_drop": max(classes, key=lambda part: float(part["drop"])),
        "by_group": groups,
        "worst_group": groups and max(groups, key=lambda part: float(part["drop"])),
        "calibration_error": calibration_error(own.sure.tolist(), own.right.tolist()),
        "agreement": float((own.predicted == teacher.predicted).mean()),
    }


def _parts(own: Verdict, teacher: Verdict, of: NDArray[Any], name: str) -> list[dict[str, Any]]:
    """Accuracy on each part of the samples, and how far it is below the teacher's there."""
    found = []
    for part in np.unique(of):
        rows = of == part
        mine, theirs = float(own.right[rows].mean()), float(teacher.right[rows].mean())
        found.append({name: part.item(), "n": int(rows.sum()), "accuracy": mine, "teacher": theirs, "drop": theirs - mine})
    return found


def digest_of(test: Samples) -> str:
    """sha256 of the labels and, if they are in memory, of the samples: tells whether two studies use the same ones."""
    found = hashlib.sha256(np.ascontiguousarray(test.y).data)
    if isinstance(test.x, np.ndarray):
        found.update(np.ascontiguousarray(test.x).data)
    return found.hexdigest()


def spread(accuracies: Sequence[float], interval: Any) -> dict[str, Any]:
    """Mean, deviation, and interval over seeds."""
    return {
        "n": len(accuracies),
        "mean": float(np.mean(accuracies)),
        "deviation": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "accuracies": list(accuracies),
    }
