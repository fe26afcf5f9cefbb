"""What is measured on a trained network and written into the manifest of its stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .value import Value

SATURATED = 0.02
"""Share of the largest entropy below which outputs at T 4 say little more than the label."""
GAP = 0.1
"""A larger difference between training and validation accuracy triggers a warning."""


class Sizes(NamedTuple):
    """`params` counts parameters, `macs` multiply-adds of one sample, `bytes` those of all stored tensors."""

    params: int
    macs: int
    bytes: int


class Score(Value):
    """The value of a metric on `n` samples, its standard error, and its 95 % interval over samples."""

    value: float
    error: float
    low: float
    high: float
    n: int


class Measurement(Value):
    """The validation score of every metric, by name, exact sizes, and `seconds` of training (0 for a network from a file)."""

    scores: dict[str, Score]
    params: int
    macs: int
    bytes: int
    seconds: float


REFERENCES = {"hist_gradient_boosting": "gradient-boosted trees"}
"""What reference models are called, by their names in `baselines`."""


class Reference(Value):
    """A fitted reference model of another library, with the validation score of every metric.

    `bytes` are those of its pickle, because such a model has no parameters to count; `seconds` are those of fitting.
    """

    name: str
    library: str
    scores: dict[str, Score]
    bytes: int
    seconds: float

    @property
    def label(self) -> str:
        return REFERENCES[self.name]


class Sized(Protocol):
    """Anything that has the sizes of a network."""

    @property
    def params(self) -> int: ...

    @property
    def macs(self) -> int: ...

    @property
    def bytes(self) -> int: ...


class SoftTargetEntropy(Value):
    """How much a teacher's outputs say beyond the label (Hinton, Vinyals and Dean 2015), on training samples.

    `entropy` is the mean entropy in nats of softmax(logits / T) by temperature; log(classes) is the largest possible.
    """

    entropy: dict[str, float]
    classes: int
    train_accuracy: float

    def sentence(self) -> str:
        entropies = ", ".join(f"{value:.2f} at T {temperature}" for temperature, value in self.entropy.items())
        return f"mean entropy of the teacher's outputs: {entropies} nats (uniform: {math.log(self.classes):.2f})"

    def warnings(self, accuracy: float) -> list[str]:
        """Warnings about a teacher with these outputs and this validation accuracy."""
        found = []
        if self.entropy["4"] < SATURATED * math.log(self.classes):
            found.append(
                "the teacher is saturated: even at T 4 its outputs say little more than the label; search temperatures up to 16"
            )
        if self.train_accuracy - accuracy > GAP:
            found.append(
                f"the teacher's accuracy is {self.train_accuracy:.1%} on training samples but {accuracy:.1%} on "
                "validation samples: it has memorized the training samples; augmentation or unlabeled samples help"
            )
        return found


class Rung(NamedTuple):
    """What a training reports after a number of epochs: the value of every metric on the validation samples, by its name, and
    seconds of training so far.
    """

    epochs: int
    values: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class StageFacts:
    """The measured facts of a stored network. Only a network that was trained from labels, or that comes from a file, has
    `soft_targets`.
    """

    measurement: Measurement
    rungs: tuple[Rung, ...]
    soft_targets: SoftTargetEntropy | None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> StageFacts:
        """From the manifest of a stage."""
        soft = manifest.get("soft_targets")
        return cls(
            measurement=Measurement(**manifest["measurement"]),
            rungs=tuple(Rung(*one) for one in manifest.get("rungs", ())),
            soft_targets=None if soft is None else SoftTargetEntropy(**soft),
        )
