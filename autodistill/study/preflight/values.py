"""What is known about a spec before anything is trained, as values. JSON leaves out unset values."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...data import Encoding, InputSpec
from ...data.encoding import TextEncoding
from ...data.texts import Lengths
from ...metrics.intervals import Interval
from ...spec import TaskKind, Value
from ...spec.measurement import Score, SoftTargetEntropy
from ...spec.value import Json


class Span(NamedTuple):
    """The smallest and the largest of the students within the limits."""

    low: int
    high: int


class Architectures(Value):
    """How many architectures are within the limits and above them: `all` of the space, or those of a sample."""

    count: int
    all: bool
    too_large: int


class NetworkFacts(Value):
    """An architecture and its sizes; `source` says where a teacher comes from, `name` why an architecture is tried first.

    `score` is that of a teacher on the validation samples, if it is known already.
    """

    name: str = ""
    architecture: str
    params: int
    core_params: int
    macs: int
    longest_macs: int
    bytes: int
    source: str = ""
    score: Score | None = None


class CodeFacts(Value):
    """The `files` in `folder` whose contents are part of the keys of your networks with this `name`."""

    name: str
    folder: str
    files: tuple[str, ...]
    source: str


class StageCounts(Value):
    """How many stages are trained at `most` (None: no limit), how many of them are `shared`, and, as 0 or 1, whether each
    member of the frontier gets a baseline.
    """

    most: int | None
    shared: int
    baselines: int


class TextFacts(TextEncoding):
    """How texts become tokens, and how long the training texts are before they are cut."""

    lengths: Lengths


class DataFacts(Value):
    """Samples of the splits (`unlabeled` ones too), and what they are like by field; `bytes` are those of all when decoded.
    `majority` is the share of the most frequent class, if there are classes.

    `own_test`: the data set has a test split of its own. `test_interval_at_90` is the 95% interval of an accuracy of 90% on
    the test split. For a table, `table` says what its columns hold, `text` the same for texts.
    """

    train: int
    validation: int
    test: int
    own_test: bool
    inputs: InputSpec
    layout: str
    kind: TaskKind
    classes: int
    majority: float | None
    unlabeled: int
    memory: str
    bytes: int
    test_interval_at_90: Interval
    table: Encoding | None = None
    text: TextFacts | None = None


class Taught(SoftTargetEntropy):
    """How much a trained teacher says beyond the label, and its validation accuracy."""

    accuracy: float


class RegionFacts(Value):
    """The region of interest: as the spec has it, and its ends; `floor` is None while no teacher is trained. `ignorant` is the
    best value of a network that ignores its input.
    """

    region: float | Literal["all"]
    target: float | None
    metric: str
    floor: float | None
    ignorant: float
    below: dict[str, int]


class Seconds(Value):
    """Estimated seconds of training: of the teachers, of each assistant and student, and in `total` for a number of trials.

    `pretraining_each`: of the first phase of each student, which students of one architecture share.
    """

    teacher: float
    assistant_each: float
    student_each: float
    pretraining_each: float = 0.0
    total: float | None = None


class Preflight(Value):
    """What `check` finds out about a spec.

    `first` is what is tried first, and `cautions` is what measurements advise against. `soft_targets` has the soft-target
    entropy of each teacher (None: not trained yet). `seconds` is None if the time cannot be estimated on this machine.
    """

    study: str
    architectures: Architectures
    params: Span
    core_params: Span
    macs: Span
    longest_macs: Span
    bytes: Span
    first: tuple[NetworkFacts, ...]
    stages: StageCounts
    teachers: tuple[NetworkFacts, ...]
    assistants: tuple[NetworkFacts, ...]
    data: DataFacts
    cache_bytes: int
    precision: str
    gpus: float | Literal["auto"]
    cautions: tuple[str, ...]
    soft_targets: tuple[Taught | None, ...] = ()
    region: RegionFacts | None = None
    code: tuple[CodeFacts, ...] = ()
    seconds: Seconds | None = None

    def as_json(self) -> Json:
        """As `check --json` prints it."""
        return self.model_dump(mode="json", exclude_unset=True)
