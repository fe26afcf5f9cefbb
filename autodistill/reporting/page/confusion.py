"""Which classes a student takes for which, on the test samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...answers.confirm.confirmation import Confirmation
from ...spec.arrays import Ints

MOST_CLASSES, MOST_PAIRS = 30, 8
"""Classes up to which the matrix is drawn, and pairs of classes that are listed."""
DARKEST = 0.4
"""How opaque a cell with all samples of a class is: text on it stays readable."""


class Cell(NamedTuple):
    """How many `samples`; `shade` is how opaque the cell is, from 0 to DARKEST."""

    samples: int
    shade: float


class Pair(NamedTuple):
    """How often a student, and its teacher, take samples of the class `label` for the class `said`."""

    label: str
    said: str
    student: int
    teacher: int


class Confused(NamedTuple):
    """`rows` by true class, with a cell for each predicted class: empty if there are too many classes. `pairs`: the most
    frequent mistakes of the student.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    pairs: Sequence[Pair]


def confused(found: Confirmation, chosen: str) -> Confused | None:
    """The predictions of the network with the key `chosen`; None unless the task has classes."""
    if found.test.kind != "classification":
        return None
    names = found.test.class_names or tuple(map(str, range(found.test.classes)))
    student, teacher = (counted(found, key) for key in (chosen, found.teacher.chosen))
    wrong = student - np.diag(np.diag(student))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    places = [divmod(int(one), len(names)) for one in order]
    pairs = [Pair(names[a], names[b], int(student[a, b]), int(teacher[a, b])) for a, b in places if wrong[a, b]]
    return Confused(names, _cells(student) if len(names) <= MOST_CLASSES else (), pairs)


def counted(found: Confirmation, key: str) -> Ints:
    """(K, K): how many samples of each class, by row, are predicted as each class."""
    outcome, classes = found.outcomes[key], found.test.classes
    flat = np.bincount(outcome.labels * classes + outcome.predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def _cells(counts: Ints) -> list[list[Cell]]:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = DARKEST * counts / totals
    return [[Cell(int(n), float(s)) for n, s in zip(*row, strict=True)] for row in zip(counts, shades, strict=True)]
