"""The part of a spec that says how to search for students."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, JsonValue, model_validator

from .architectures import Architecture, Normalize
from .errors import wrong
from .measurement import Sized
from .value import AsTuple, Count, Duration, FilePath, Json, Seed, Value, having, seconds_of

Size = Literal["params", "core_params", "macs", "bytes"]
SIZES: tuple[Size, ...] = get_args(Size)
Params = dict[str, JsonValue]
Amount = Annotated[int, Field(ge=1, le=10**18)]
ALL: Literal["all"] = "all"
MANY = 1_000_000
"""The most trials of a search that only `time` or `stop` ends."""


class Limits(Value):
    """The largest student that may be proposed."""

    params: Amount | None = None
    """Largest number of parameters; by default there is no limit."""
    core_params: Amount | None = None
    """Largest number of parameters without those of embeddings; by default there is no limit."""
    macs: Amount | None = None
    """Largest number of multiply-adds of one sample; by default there is no limit."""
    bytes: Amount | None = None
    """Largest number of bytes of all stored tensors; by default there is no limit."""

    def given(self) -> dict[str, int]:
        """The limits that are set, by size."""
        return self.model_dump(exclude_none=True)

    def exceeded(self, sizes: Sized) -> list[str]:
        """The sizes of a network that are above their limit."""
        return [name for name, most in self.given().items() if getattr(sizes, name) > most]


class Halving(Value):
    """Students report the metric after a fraction of their epochs, and again each time that fraction has grown by a factor.

    At each of these rungs, the best share continues, and so does each student that no student of its size or smaller beats.
    """

    first: Annotated[float, Field(ge=1e-6, lt=1)] = 0.5
    """Fraction of the epochs after which students first report."""
    factor: Annotated[float, Field(ge=1.01, le=1000)] = 2.0
    """How many times longer the fraction is at each further rung."""
    share: Annotated[float, Field(ge=0.001, lt=1)] = 0.75
    """Share of the students that continue at a rung."""

    def at(self, rung: int) -> float:
        """The fraction of the epochs that are done at a rung; the first rung is 0."""
        return self.first * self.factor**rung

    def places(self, epochs: int) -> dict[int, int]:
        """The epochs after which a training of that many reports, in increasing order, and the rung of each.

        If several rungs fall on one epoch, the last one counts. Rounds to nine digits: 0.1 * 3 * 10 epochs are 3, not 4.
        """
        found, rung = dict[int, int](), 0
        while (place := max(1, math.ceil(round(self.at(rung) * epochs, 9)))) < epochs:
            found[place] = rung
            rung += 1
        return found


class Stop(Value):
    """The search ends when 50% more trials are expected to add too small a fraction to the hypervolume."""

    gain: Annotated[float, Field(gt=0, lt=1)]
    """Fraction that 50% more trials must be expected to add to the hypervolume, or the search ends."""


class Incumbent(Value):
    """The student in use today."""

    checkpoint: FilePath
    """File of its weights (.safetensors, .pth), or the folder of a stage of a study."""
    architecture: Architecture | None = None
    """Its architecture, unless it is a stage of a study."""
    normalize: Normalize | None = None
    """What it expects of its inputs; by default what this tool does."""


METRIC_AND_SIZES: Json = {
    "prefixItems": [{"type": "string", "not": {"enum": [*SIZES]}}],
    "items": {"enum": [*SIZES]},
    "minItems": 2,
    "uniqueItems": True,
}


class Search(Value):
    """How students are searched. The search ends as soon as one of `trials`, `time` and `stop` that is given is reached.

    With a target, the region begins closer to it.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": [having(name) for name in ("trials", "time", "stop")]})
    trials: Count | None = None
    """Largest number of students to train; by default time or stop ends the search."""
    time: Duration | None = None
    """No trial starts after this time, such as 90s, 30m or 2h, but running trials finish, and the label-only baselines are
    still trained; by default trials or stop ends the search.
    """
    stop: Stop | None = None
    """Ends the search when more trials are expected to add little; by default trials or time ends it."""
    objectives: Annotated[tuple[str, ...], AsTuple, Field(json_schema_extra=METRIC_AND_SIZES)] = ("accuracy", "params")
    """What the search trades off: the metric of the task, then one or more sizes."""
    sampler: Literal["auto", "ehvi", "tpe", "gp", "nsga2", "random"] = "auto"
    """Algorithm that proposes students; auto is ehvi, the best by measurement."""
    seed: Seed = 0
    """Seed of the sampler."""
    limits: Limits = Limits()
    """The largest student that may be proposed."""
    label_baselines: bool = True
    """Whether each frontier member is also trained from labels alone at the end, to show whether distillation beats that."""
    halving: Halving | Literal[False] = Halving()
    """When students report and may be stopped early; false trains every student to the end."""
    target: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Value of the metric for which the search looks for the smallest student, on the validation samples; by default it looks
    for all trade-offs.
    """
    enqueue: Annotated[tuple[Params, ...], AsTuple] = ()
    """Configurations to try first: the value of each parameter by its path, such as architecture.width."""
    incumbent: Incumbent | None = None
    """The student in use today, to see whether another dominates it; by default none."""
    tolerate_failures: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Fraction of finished trials that may fail before the search stops, once at least three have failed."""
    region: Annotated[float, Field(gt=0, lt=1)] | Literal["all"] = 0.9
    """Where to look for students: above this fraction of the way from a network that ignores its input to the teacher, and
    below the sizes of the teacher, the incumbent and the limits; all means everywhere.
    """

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = self.objectives
        if len(names) < 2 or len(set(names)) < len(names) or names[0] in SIZES:
            message = f"{list(names)} is invalid: put the metric first, then one or more of {', '.join(SIZES)}"
            raise wrong(names, message, ("objectives",))
        for number, name in enumerate(names[1:], 1):
            if name not in SIZES:
                raise wrong(name, f'"{name}" is not a size; use one of {", ".join(SIZES)}', ("objectives", number))
        if self.trials is None and self.time is None and self.stop is None:
            raise wrong(None, "null: nothing ends the search; set search.trials, search.time, or search.stop", ("trials",))
        if len(self.enqueue) > self.most():
            message = f"lists {len(self.enqueue)} configurations for {self.trials} trials; raise search.trials or list fewer"
            raise wrong(self.enqueue, message, ("enqueue",))
        return self

    def most(self) -> int:
        """The largest number of trials."""
        return MANY if self.trials is None else self.trials

    def seconds(self) -> float:
        """`time` in seconds; infinity if it is not given."""
        return math.inf if self.time is None else seconds_of(self.time)

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which a student reports if it trains for this many epochs: none without halving."""
        return tuple(self.places(epochs))

    def places(self, epochs: int) -> dict[int, int]:
        """The rung of each of these epochs: students are compared at equal fractions of their epochs."""
        return self.halving.places(epochs) if self.halving else {}
