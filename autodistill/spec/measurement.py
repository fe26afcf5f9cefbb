"""What is measured on a trained network and written into the manifest of its stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from .value import Value

SATURATED = 0.02
"""Share of the largest entropy below which outputs at T 4 say little more than the label."""
GAP = 0.1
"""A larger difference between training and validation accuracy triggers a warning."""


COUNTS = ("params", "core_params", "macs", "longest_macs", "bytes")
"""The sizes of a network, as values and files have them."""


class Sizes(NamedTuple):
    """`params` counts parameters, `macs` multiply-adds of one sample, `bytes` those of all stored tensors, each tensor once.

    `embeddings` are the params of embeddings, from which a sample takes a few rows; the others are `core_params`. The `macs`
    are those of a text of median length, for which the longest one takes `further_macs` more, or of the longest sample of
    other data.
    """

    params: int
    macs: int
    bytes: int
    embeddings: int = 0
    further_macs: int = 0

    @property
    def core_params(self) -> int:
        return self.params - self.embeddings

    @property
    def longest_macs(self) -> int:
        return self.macs + self.further_macs

    @classmethod
    def of(cls, one: Sized) -> Self:
        """Those of anything that has them."""
        return cls(one.params, one.macs, one.bytes, one.params - one.core_params, one.longest_macs - one.macs)

    def facts(self) -> dict[str, Any]:
        """The sizes, whole numbers, by their names in COUNTS: arguments of a value that has them."""
        return {name: getattr(self, name) for name in COUNTS}

    def text(self) -> str:
        """Such as `1,000 params (200 without embeddings), 3,000 MACs (9,000 for the longest sample), 4,000 bytes`."""
        core = f" ({self.core_params:,} without embeddings)" if self.embeddings else ""
        longest = f" ({self.longest_macs:,} for the longest sample)" if self.further_macs else ""
        return f"{self.params:,} params{core}, {self.macs:,} MACs{longest}, {self.bytes:,} bytes"


class Score(Value):
    """The value of a metric on `n` samples, its standard error, and its 95% interval over samples."""

    value: float
    error: float
    low: float
    high: float
    n: int


class Measurement(Value):
    """The validation score of every metric, by name, exact sizes, and `seconds` of training (0 for a network from a file).

    A network that has learned from texts alone has no scores.
    """

    scores: dict[str, Score]
    params: int
    core_params: int
    macs: int
    longest_macs: int
    bytes: int
    seconds: float


REFERENCES = {"hist_gradient_boosting": "gradient-boosted trees", "tf_idf_linear": "tf-idf + linear"}
"""What reference models are called, by their names in `baselines`."""


class Reference(Value):
    """A fitted reference model of another library, with the validation score of every metric.

    `bytes` are those of a file of it (of the pickled trees; of a bag of words, the words and float32 weights), because such a
    model has no parameters to count. `seconds` are those of fitting.
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
    def core_params(self) -> int: ...

    @property
    def macs(self) -> int: ...

    @property
    def longest_macs(self) -> int: ...

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
