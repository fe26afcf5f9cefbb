"""The part of a spec that says how to search for students."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, JsonValue, model_validator

from .architectures import Architecture, Normalize
from .errors import wrong
from .measurement import Sized
from .value import AsTuple, Count, Duration, FilePath, Seed, Value, seconds_of

Size = Literal["params", "core_params", "macs", "bytes"]
SIZES: tuple[Size, ...] = get_args(Size)
Params = dict[str, JsonValue]
Amount = Annotated[int, Field(ge=1, le=10**18)]
ALL: Literal["all"] = "all"
MANY = 1_000_000
"""The most trials of a search that only `time` or `stop` ends."""


class Limits(Value):
    """The largest student that may be proposed. `core_params` are the params without those of embeddings."""

    params: Amount | None = None
    core_params: Amount | None = None
    macs: Amount | None = None
    bytes: Amount | None = None

    def given(self) -> dict[str, int]:
        """The limits that are set, by size."""
        return self.model_dump(exclude_none=True)

    def exceeded(self, sizes: Sized) -> list[str]:
        """The sizes of a network that are above their limit."""
        return [name for name, most in self.given().items() if getattr(sizes, name) > most]


class Halving(Value):
    """Students report the metric after the fraction `first` of their epochs, and again each time that fraction has grown
    `factor`-fold.

    At each of these rungs, the best `share` continues, and so does each student that no student of its size or smaller beats.
    """

    first: Annotated[float, Field(ge=1e-6, lt=1)] = 0.5
    factor: Annotated[float, Field(ge=1.01, le=1000)] = 2.0
    share: Annotated[float, Field(ge=0.001, lt=1)] = 0.75

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
    """The search ends when half as many more trials are expected to raise the hypervolume by a fraction below `gain`."""

    gain: Annotated[float, Field(gt=0, lt=1)]


class Incumbent(Value):
    """The student in use today: its weights and, unless it is a stage of a study, its architecture."""

    checkpoint: FilePath
    architecture: Architecture | None = None
    normalize: Normalize | None = None


class Search(Value):
    """`trials`, `time` and `stop` say when a search ends: as soon as one of those given is reached. No trial starts after
    `time`, such as 90s, 30m or 2h, but running trials finish, and the label-only baselines are still trained.

    With `label_baselines`, each frontier member is also trained from labels at the end, to show whether distillation beats
    that.

    `objectives` are the metric of the task and one or more sizes. `target` makes the search look for the smallest student whose
    metric reaches it on the validation samples. `enqueue` lists configurations to try first, by the paths of their parameters;
    `incumbent` is the student in use today, to see whether another dominates it. The search stops when at least three finished
    trials failed and their fraction is above `tolerate_failures`. `region` says where to look for students: above this fraction
    of the way from a network that ignores its input to the teacher (with a target: closer to the target), and below the sizes
    of the teacher, the incumbent and the limits; `all`: everywhere.
    """

    trials: Count | None = None
    time: Duration | None = None
    stop: Stop | None = None
    objectives: Annotated[tuple[str, ...], AsTuple] = ("accuracy", "params")
    sampler: Literal["auto", "ehvi", "tpe", "gp", "nsga2", "random"] = "auto"
    seed: Seed = 0
    limits: Limits = Limits()
    label_baselines: bool = True
    halving: Halving | Literal[False] = Halving()
    target: Annotated[float, Field(gt=0, le=1e9)] | None = None
    enqueue: Annotated[tuple[Params, ...], AsTuple] = ()
    incumbent: Incumbent | None = None
    tolerate_failures: Annotated[float, Field(ge=0, le=1)] = 0.2
    region: Annotated[float, Field(gt=0, lt=1)] | Literal["all"] = 0.9

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
            raise wrong(None, "null: nothing ends the search; set search.trials, search.time or search.stop", ("trials",))
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
