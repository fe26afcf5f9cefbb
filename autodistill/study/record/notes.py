"""What a record holds, as values: the facts about a study as a whole, and those about each of its trials. Without Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from ...spec import Stage, chain, describe
from ...spec.domains import Params
from ...spec.measurement import Sizes
from ...spec.value import Json

Role = Literal["teacher", "incumbent", "assistant", "student", "label-only"]
State = Literal["running", "complete", "stopped", "failed"]
Document = Json
"""A spec, or a part of one, as plain data."""


class First(NamedTuple):
    """A configuration to try first; `name` says where it is from: `search.enqueue[1]`, `search.incumbent[0]`, `default[2]`."""

    name: str
    params: Params


class Posterior(NamedTuple):
    """What the sampler's model estimates for a measured student: the mean and deviation of its expected metric (over seeds and
    validation samples), and the probability that it is on the frontier of expected values."""

    mean: float
    deviation: float
    on_frontier: float


class Improvement(NamedTuple):
    """The hypervolume that `trials` more trials would add, as shares of the current one: the mean and an 80% band.

    `trials` is the number that was simulated, which may be lower than the number requested.
    """

    trials: int
    mean: float
    low: float
    high: float


class Continued(NamedTuple):
    """The directory of the older study that a study started from, and how many of its finished students were kept."""

    path: str
    kept: int
    of: int


class Over(NamedTuple):
    """Why a search ended, and the trials, time, and gain that limited it."""

    limits: list[object]
    reason: str


class Question(NamedTuple):
    """A question of `smallest --within`: the spec that is searched for it, and the search of the spec before."""

    aimed: Document
    before: Document


@dataclass(frozen=True, kw_only=True)
class Notes:
    """The facts about a study as a whole.

    `store` is the place of its stages (a relative one is inside the study directory), `teachers` and `incumbent` are keys of
    stages, `chance` is the best value of a network that ignores its input. `specs` are the specs that it was searched with, as
    `comparable` gives them: two while a kill may come between study.db and spec.yaml. `references` are the keys of the fitted
    reference models, by their names in `baselines`. `first` is what is tried first, `edges`
    the default students of predicted sizes that follow (None: not known yet). `failed` has the reasons why networks could not
    be trained, `stopped` the seconds of trainings that an older study stopped. `looks` counts the openings of the test split,
    so that a removed opened.json is detected. `elapsed` are seconds of searching. `drawn` is how many trials had ended when
    the report was drawn for the last time; `posterior` and `expected_improvement` are the model's estimates then.
    """

    store: str | None = None
    teachers: tuple[str, ...] = ()
    chance: float = 0.0
    incumbent: str | None = None
    specs: tuple[Document, ...] = ()
    references: dict[str, str] = field(default_factory=dict)
    first: tuple[First, ...] = ()
    edges: tuple[First, ...] | None = None
    failed: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, float] = field(default_factory=dict)
    continues: Continued | None = None
    looks: int = 0
    question: Question | None = None
    elapsed: float = 0.0
    over: Over | None = None
    drawn: int | None = None
    expected_improvement: Improvement | None = None
    posterior: dict[str, Posterior] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """What is known about a trial in addition to its parameters and values.

    `stage` is the key of its student; `chain` and `above` are the networks that this learns from. `repeats`: it repeats a
    finished stage. `retries` and `kept` are numbers of trials: of the failed one that it retries, and of the one of an older
    study that it was. `enqueued` names the configuration to try first that it is (None: the sampler proposed it). `rungs`
    are the values of the metric at the rungs that it passed, by epochs. `seconds` are those of a stopped training, `reason` is
    why it failed.
    """

    stage: str
    role: Role
    architecture: str
    chain: str
    above: tuple[str, ...]
    params: int
    core_params: int
    macs: int
    longest_macs: int
    bytes: int
    repeats: bool = False
    retries: int | None = None
    kept: int | None = None
    enqueued: str | None = None
    rungs: tuple[tuple[int, float], ...] = ()
    seconds: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, stage: Stage, sizes: Sizes) -> TrialFacts:
        """The facts of a trial of this stage that a sampler proposes."""
        return cls(
            stage=stage.key(),
            role="student" if stage.teachers or stage.init else "label-only",
            architecture=describe(stage.architecture),
            chain=chain(stage),
            above=tuple(network.key() for network in stage.ancestors()),
            **sizes.facts(),
        )


@dataclass(kw_only=True)
class Trial:
    """A trial as the driver sees it; `sampled` is what the sampler stores with it, `retried` the number of the trial that
    retried it.
    """

    number: int
    params: Params
    state: State
    facts: TrialFacts
    values: list[float] | None = None
    sampled: Mapping[str, object] = field(default_factory=dict)
    retried: int | None = None

    @property
    def value(self) -> float:
        """The metric of a complete trial."""
        assert self.values is not None
        return self.values[0]

    @property
    def sizes(self) -> Sizes:
        return Sizes.of(self.facts)

    @property
    def is_assistant(self) -> bool:
        """Whether it is not a proposal but an assistant that the sampler learns from."""
        return self.facts.role == "assistant"

    @property
    def was_proposed(self) -> bool:
        """Whether a sampler chose it, rather than a spec, an older study, or a chain that needed it."""
        return not (self.is_assistant or self.facts.repeats or self.facts.enqueued) and self.facts.kept is None

    @property
    def counts(self) -> bool:
        """Whether it counts toward search.trials: not a repeat, an assistant, kept from an older study, or retried later."""
        return not (self.is_assistant or self.facts.repeats) and self.facts.kept is None and self.retried is None


NOTES, TRIAL_FACTS = TypeAdapter(Notes), TypeAdapter(TrialFacts)


def changed(now: Notes | TrialFacts, before: Notes | TrialFacts) -> dict[str, object]:
    """The fields with another value than before, by name."""
    return {name: value for name, value in vars(now).items() if value != getattr(before, name)}
