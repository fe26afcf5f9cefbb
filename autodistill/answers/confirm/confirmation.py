"""What was confirmed, as frozen values: the content of confirm.json, and of confirm.npz with the correct predictions.

The fields are the keys of confirm.json. Accuracies are shares from 0 to 1, intervals are 95 % intervals; N is for samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, JsonValue, SkipValidation

from ...metrics.intervals import Effect, Interval, effect, mean_interval, wilson
from ...metrics.latency import Timing
from ...spec import Value
from ...study.record.notes import Role
from ...study.record.record import Record

Right = NDArray[np.bool_]
"""A mask (N,) of the test samples that a network predicts correctly."""


class Share(Value):
    """An accuracy, `correct` of `n` predictions, with its interval over samples."""

    accuracy: float
    correct: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, correct: int, n: int) -> Share:
        interval = wilson(correct, n)
        return cls(accuracy=correct / n, correct=correct, n=n, low=interval.low, high=interval.high)


class Part(Value):
    """The accuracy on a part of the test samples; `drop` is how far it is below the teacher's there."""

    n: int
    accuracy: float
    teacher: float
    drop: float


class ClassPart(Part):
    label: int = Field(alias="class")
    name: str


class GroupPart(Part):
    group: bool | int | float | str


class OnTest(Share):
    """All that is known of a network on the test samples; by group only if the data set has groups."""

    by_class: tuple[ClassPart, ...]
    worst_drop: ClassPart
    by_group: tuple[GroupPart, ...] | None
    worst_group: GroupPart | None
    calibration_error: float
    agreement: float
    """The share of predictions that are the same as the teacher's."""


class Mean(Value):
    """A mean over `n` seeds; its interval is None for one seed, and for equal values."""

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> Interval | None:
        return None if self.low is None or self.high is None else Interval(self.low, self.high)

    @property
    def effect(self) -> Effect:
        """What this shows if it is a mean of differences."""
        return effect(self.interval)


class Spread(Mean):
    """Of values over seeds, or of differences that are paired by seed."""

    deviation: float | None
    values: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], **more: Any) -> Self:
        """`more` are fields of a subclass."""
        interval = mean_interval(values)
        return cls(
            n=len(values),
            mean=float(np.mean(values)),
            deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            low=interval and interval.low,
            high=interval and interval.high,
            values=tuple(values),
            **more,
        )


class OverSeeds(Spread):
    """Of test accuracies."""

    values: tuple[float, ...] = Field(alias="accuracies")


class Baseline(OverSeeds):
    """`gain` is the member's test accuracy minus the baseline's."""

    epochs: int
    gain: Spread


class Baselines(Value):
    """None if there is no such baseline, or if none of its trainings succeeded."""

    label_only: Baseline | None
    direct: Baseline | None
    direct_long: Baseline | None


class Latency(Value):
    one: Timing
    batched: Timing


class FrozenNetwork(Value):
    """One frozen weight file: `chosen` is its key, `weights` the sha256 of the file, `stage` the network it was chosen for."""

    stage: str
    architecture: str
    params: int
    macs: int
    bytes: int
    bytes_float16: int
    seconds: float
    chosen: str
    weights: str
    validation: Share
    test: OnTest
    latency: Latency

    def as_json(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json", by_alias=True)


class SeedResult(Value):
    """One training of a student, as it was searched or with a fresh seed; a network from a file has no seed."""

    key: str
    kind: Literal["searched", "fresh"]
    seed: int | None
    validation: float
    test: float


class Member(FrozenNetwork):
    """A student on the frontier or close to it. Of its `networks`, the one with the best validation accuracy was chosen.

    `seeds` has the fresh seeds; None if there are none.
    """

    role: Role
    on_frontier: bool
    chain: str
    seconds_chain: float | None
    networks: tuple[SeedResult, ...]
    seeds: OverSeeds | None
    baselines: Baselines


class SealedSplit(Value):
    """The test split; `digest` tells whether two studies use the same samples."""

    n: int
    digest: str
    class_names: tuple[str, ...] | None


class Device(Value):
    """What latency was measured on."""

    name: str
    kind: str
    threads: int


class Look(Value):
    """An opening of the sealed test split: when, after how many trials, for how many networks, whether it was forced."""

    when: str
    trials: int
    forced: bool
    networks: int


class Confirmation(Value):
    """`members` are smallest first. `trials` had ended when this was confirmed; `ended` are their stages, by the beginnings
    of their keys. `opening` is the checksum of the last opening in opened.json, `answers` the sha256 of confirm.npz.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    study: str
    seeds: int
    test: SealedSplit
    device: Device
    environment: dict[str, str]
    failures: dict[str, str]
    teacher: FrozenNetwork
    members: tuple[Member, ...]
    opened: tuple[Look, ...]
    opening: str
    trials: int
    ended: tuple[str, ...]
    own_test: bool
    answers: str = ""
    right: SkipValidation[dict[str, Right]] = Field(exclude=True, repr=False, default_factory=dict)
    """By the keys of all networks that were tested."""

    @property
    def forced(self) -> int:
        """How often the test split was opened by force."""
        return sum(one.forced for one in self.opened)

    def later(self, record: Record) -> int:
        """How many trials of students that had not been tried before have ended since."""
        return len(ended(record) - set(self.ended))

    def as_json(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json", by_alias=True)


def ended(record: Record) -> set[str]:
    """The stages of all trials that have ended, by the beginnings of their keys."""
    return {trial.facts.stage[:16] for trial in record.trials if trial.state != "running"}
