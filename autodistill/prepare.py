"""Floor 5: from a spec to its data, its teacher and its space."""

from __future__ import annotations

import os

from .data import Splits, read, split
from .data.sources import locate
from .distill import adopt, save_data
from .space import Space, teacher_stage
from .spec import Checkpoint, Imported, Spec, Stage, located
from .spec.resolve import resolve
from .store import Store


def load_data(spec: Spec, *, cuda: bool) -> tuple[Spec, Splits]:
    """The resolved spec and the splits of its data. Raises DataError."""
    splits = split(read(spec.task), spec.task)
    spec = resolve(spec, fingerprint=splits.fingerprint, cuda=cuda)
    return spec, splits


def space_of(spec: Spec, splits: Splits, store: Store) -> Space:
    """The space of a resolved spec; puts the data, and a teacher from outside, into the store."""
    save_data(store, splits)
    teacher = _teacher(spec, splits, store)
    return Space(spec, task=splits.task(spec.task), teacher=teacher, shape=splits.shape, classes=splits.classes)


def _teacher(spec: Spec, splits: Splits, store: Store) -> Stage | Checkpoint:
    import torch

    task, teacher = splits.task(spec.task), spec.teacher
    if teacher.recipe is not None:
        return teacher_stage(teacher, task, spec.seed)
    device = torch.device("cuda" if spec.resources.gpus and torch.cuda.is_available() else "cpu")
    if teacher.factory is not None:
        architecture = Imported(factory=teacher.factory, arguments=teacher.arguments or {})
        with located("teacher.import"):
            return adopt(store, task, architecture, None, device)
    assert teacher.checkpoint is not None and teacher.architecture is not None
    with located("teacher.checkpoint"):
        return adopt(store, task, teacher.architecture, locate(teacher.checkpoint, place="teacher.checkpoint"), device)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
