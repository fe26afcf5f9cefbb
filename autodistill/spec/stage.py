"""The one idea: a chain is a Stage whose teacher is a Stage."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from .architectures import AnyArchitecture, describe
from .objectives import Objective
from .recipe import Recipe
from .value import AsTuple, Value, digest

Share = Annotated[float, Field(gt=0, lt=1)]


class Split(Value):
    """Shares of all samples (of `task.samples`, where given, for validation).

    `test` is not used where a data set has a test split of its own.
    """

    validation: Share = 0.15
    test: Share = 0.15
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        return self


class Task(Value):
    """What is to be learnt: `data` is the fingerprint of training and validation data, never of the test data."""

    data: str
    split: Split
    samples: int | None = None
    metric: Literal["accuracy"] = "accuracy"


class Checkpoint(Value):
    """A trained network that came from outside: `weights` is the sha256 of its tensors."""

    kind: Literal["checkpoint"] = "checkpoint"
    task: Task
    architecture: AnyArchitecture
    weights: str

    @cached_property
    def _key(self) -> str:
        return digest(self)

    def key(self) -> str:
        return self._key


class Stage(Value):
    """One training: an architecture, an objective, a recipe and the teachers whose outputs it learns from.

    teachers=() trains from labels; a teacher that has a teacher makes a chain. `key()` is the sha256 of the canonical
    form, in which teachers stand by their keys (a Merkle tree): equal stages have equal keys.
    """

    version: ClassVar[int] = 1
    kind: Literal["stage"] = "stage"
    task: Task
    architecture: AnyArchitecture
    objective: Objective
    recipe: Recipe
    seed: int
    teachers: Annotated[tuple[Network, ...], AsTuple] = ()

    @model_validator(mode="after")
    def _is_resolved(self) -> Self:
        assert all(term.weight != "rest" for term in self.objective.terms().values()), "resolve the objective first"
        assert self.recipe.precision != "auto", "resolve the precision first"
        if self.objective.needs_teachers() != bool(self.teachers):
            raise ValueError("a term on teachers needs a teacher, and a teacher such a term")
        return self

    @cached_property
    def _key(self) -> str:
        parts = {name: value for name, value in self.identity().items() if name != "teachers"}
        return digest(parts | {"teachers": [teacher.key() for teacher in self.teachers]})

    def key(self) -> str:
        return self._key

    def ancestors(self) -> list[Network]:
        """All networks that must be there before this one, each once, teachers first."""
        found: dict[str, Network] = {}
        for teacher in self.teachers:
            above = teacher.ancestors() if isinstance(teacher, Stage) else []
            found |= {network.key(): network for network in [*above, teacher]}
        return list(found.values())


Network = Annotated[Stage | Checkpoint, Field(discriminator="kind")]


NETWORK: TypeAdapter[Stage | Checkpoint] = TypeAdapter(Network)
"""From plain data back to a stage with its chain, or a checkpoint."""


def chain(network: Stage | Checkpoint) -> str:
    """The way from the teacher down, such as `resnet depth=2 width=32 > resnet depth=1 width=8`."""
    above = network.ancestors() if isinstance(network, Stage) else []
    return " > ".join(describe(each.architecture) for each in [*above, network])
