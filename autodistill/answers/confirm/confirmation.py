"""What was confirmed, as frozen values: the content of confirm.json, and of confirm.npz with the predictions.

The fields are the keys of confirm.json. Scores are by metric; a single number is the metric of the study. Gains are positive if
the metric is better, whatever its direction. Accuracies are shares from 0 to 1, intervals are 95% intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, JsonValue, SkipValidation

from ...metrics.intervals import Effect, Interval, effect, mean_interval
from ...metrics.latency import Timing
from ...metrics.metric import Metric, Outcome, named
from ...spec import TaskKind, Value
from ...spec.measurement import Reference, Score
from ...study.record.notes import Role
from ...study.record.record import Record


class Part(Value):
    """The accuracy on a part of the test samples; `drop` is how far it is below the teacher's there."""

    n: int
    accuracy: float
    teacher: float
    drop: float


class ClassPart(Part):
    """One class, or one of several labels: then the accuracy is the share of samples for which the label is predicted
    correctly.
    """

    label: int = Field(alias="class")
    name: str


class GroupPart(Part):
    group: bool | int | float | str


class GroupScore(Value):
    """The study's metric on `n` test samples of one group, for a regression; `drop` is how much worse than the teacher's it is.

    Few samples of a group say little, so nothing is claimed about a single group.
    """

    group: bool | int | float | str
    n: int
    value: float
    teacher: float
    drop: float


class OnTest(Value):
    """All that is known about a network on the test samples; by group only if the data set has groups.

    Values of a regression have no classes, no calibration, and no agreement.
    """

    scores: dict[str, Score]
    by_class: tuple[ClassPart, ...]
    worst_drop: ClassPart | None
    by_group: tuple[GroupPart, ...] | tuple[GroupScore, ...] | None
    worst_group: GroupPart | GroupScore | None
    calibration_error: float | None
    agreement: float | None
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
    """The mean of values over seeds, or of differences that are paired by seed."""

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


class Baseline(Spread):
    """The test metric of a baseline over seeds; `gain` is how much better the member is."""

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
    """One frozen weight file: `chosen` is its key, `weights` the sha256 of the file, `stage` the network it was chosen for.

    `metric` is the name of the study's metric; `validation` has the scores by metric.
    """

    metric: str
    stage: str
    architecture: str
    params: int
    core_params: int
    macs: int
    longest_macs: int
    bytes: int
    bytes_float16: int
    seconds: float
    chosen: str
    weights: str
    validation: dict[str, Score]
    test: OnTest
    latency: Latency

    @property
    def on_validation(self) -> Score:
        """The study's metric on the validation samples."""
        return self.validation[self.metric]

    @property
    def on_test(self) -> Score:
        """The study's metric on the test samples."""
        return self.test.scores[self.metric]

    def smaller_than(self, other: FrozenNetwork) -> float:
        """How many times as many params the other network has."""
        return other.params / max(1, self.params)

    def faster_than(self, other: FrozenNetwork) -> float:
        """How many times as long the other network takes for one sample (median)."""
        return other.latency.one.p50_ms / max(self.latency.one.p50_ms, 1e-9)

    def as_json(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json", by_alias=True)


class FrozenReference(Reference):
    """A reference model, fitted again from the same samples and measured on the test samples. `scores` are those on the
    validation samples.
    """

    metric: str
    test: OnTest
    latency: Latency

    @property
    def on_validation(self) -> Score:
        """The study's metric on the validation samples."""
        return self.scores[self.metric]

    @property
    def on_test(self) -> Score:
        """The study's metric on the test samples."""
        return self.test.scores[self.metric]


class SeedResult(Value):
    """One training of a student, as it was searched or with a fresh seed, and its metric; a network from a file has no seed."""

    key: str
    kind: Literal["searched", "fresh"]
    seed: int | None
    validation: float
    test: float


class Member(FrozenNetwork):
    """A student on the frontier or close to it. The one of its `networks` that has the best validation metric was chosen.

    `seeds` has the test metric over the fresh seeds; None if there are none.
    """

    role: Role
    on_frontier: bool
    chain: str
    seconds_chain: float | None
    networks: tuple[SeedResult, ...]
    seeds: Spread | None
    baselines: Baselines


class SealedSplit(Value):
    """The test split; `digest` tells whether two studies use the same samples."""

    n: int
    classes: int
    digest: str
    class_names: tuple[str, ...] | None
    kind: TaskKind = "classification"


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
    """The results of `confirm` on the test split.

    `members` are sorted by size, the smallest first. `trials` is the number of trials that had ended when the split was opened,
    and `ended` has the beginnings of the keys of their stages. `opening` is the checksum of the last opening in opened.json,
    and `answers` is the sha256 of confirm.npz.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    study: str
    metric: str
    also: tuple[str, ...] = ()
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
    references: tuple[FrozenReference, ...] = ()
    answers: str = ""
    outcomes: SkipValidation[dict[str, Outcome]] = Field(exclude=True, repr=False, default_factory=dict)
    """The predictions on the test samples, by the keys of all networks that were tested."""

    @property
    def measure(self) -> Metric:
        """The metric of the study."""
        return named(self.metric)

    def scored(self, key: str, metric: Metric) -> Score:
        """The score of a network on the test samples."""
        return metric.score(self.outcomes[key], self.test.classes)

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
