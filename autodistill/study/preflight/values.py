"""What is known of a spec before anything is trained, as values; `check --json` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from ...metrics.intervals import Interval
from ...spec.measurement import SoftTargetEntropy


class Span(NamedTuple):
    """The smallest and the largest of the students within the limits."""

    low: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Architectures:
    """How many architectures are within the limits and above them: `all` of the space, or those of a sample."""

    count: int
    all: bool
    too_large: int


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """An architecture and its sizes."""

    architecture: str
    params: int
    macs: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Tried(NetworkFacts):
    """A student that is tried first; `name` says where it is from."""

    name: str


@dataclass(frozen=True, kw_only=True)
class TeacherFacts(NetworkFacts):
    """A teacher; `source` says where its weights are from."""

    source: str


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """How many stages are trained at `most` (None: no limit), how many of them are `shared`, and, as 0 or 1, whether each
    member of the frontier gets a baseline.
    """

    most: int | None
    shared: int
    baselines: int


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Samples of the splits (`unlabeled` ones too), and what they are like; `bytes` are those of all when decoded.

    `own_test`: the data set has a test split of its own. `test_interval_at_90` is the 95 % interval of an accuracy of 90 %
    on the test split.
    """

    train: int
    validation: int
    test: int
    own_test: bool
    shape: tuple[int, ...]
    layout: str
    classes: int
    chance: float
    unlabeled: int
    memory: str
    bytes: int
    dtype: str
    test_interval_at_90: Interval


class Taught(NamedTuple):
    """How much a trained teacher says beyond the label, and its validation accuracy."""

    entropy: SoftTargetEntropy
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class RegionFacts:
    """The region of interest: as the spec has it, and its ends; `accuracy` is None while no teacher is trained."""

    region: float | Literal["all"]
    target: float | None
    accuracy: float | None
    below: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Estimated seconds of training: of the teachers, of each assistant and student, and in `total` for a number of trials."""

    teacher: float
    assistant_each: float
    student_each: float
    total: float | None


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """`first` is what is tried first, `cautions` what measurements advise against. `soft_targets` are those of each teacher
    (None: not trained yet). `seconds` are None if they cannot be estimated here.
    """

    study: str
    architectures: Architectures
    params: Span
    macs: Span
    bytes: Span
    first: tuple[Tried, ...]
    stages: StageCounts
    teachers: tuple[TeacherFacts, ...]
    assistants: tuple[NetworkFacts, ...]
    data: DataFacts
    cache_bytes: int
    precision: str
    gpus: float | str
    cautions: tuple[str, ...]
    soft_targets: tuple[Taught | None, ...] = ()
    region: RegionFacts | None = None
    seconds: Seconds | None = None

    def as_json(self) -> dict[str, Any]:
        """As `check --json` prints it."""
        found = asdict(self)
        found["soft_targets"] = [one and one.entropy.model_dump() | {"accuracy": one.accuracy} for one in self.soft_targets]
        seconds = found.pop("seconds") or {}
        return found | ({"seconds": {name: value for name, value in seconds.items() if value is not None}} if seconds else {})
