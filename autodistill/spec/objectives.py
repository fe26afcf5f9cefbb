"""Schemas of the loss terms and of the recipe (`objectives.TERMS` maps each term to its function)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from .value import Value

Weight = Annotated[float, Field(ge=0)] | Literal["rest"]


class Term(Value):
    """`weight` multiplies the term; `rest` is 1 minus the other weights."""

    needs_teachers: ClassVar[bool] = False
    weight: Weight = 1.0


class CrossEntropy(Term):
    version: ClassVar[int] = 1


class SoftTargets(Term):
    """Hinton, Vinyals and Dean 2015: T^2 * KL(teacher at T || student at T)."""

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = True
    temperature: Annotated[float, Field(gt=0)] = 4.0


class Objective(Value):
    """A weighted sum of terms."""

    ce: CrossEntropy | None = None
    kd: SoftTargets | None = None

    def terms(self) -> dict[str, Term]:
        return {name: term for name, term in self if term is not None}

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        terms = self.terms()
        if not terms:
            raise ValueError("has no term; give at least ce: {weight: 1}")
        rests = [name for name, term in terms.items() if term.weight == "rest"]
        if len(rests) > 1:
            raise ValueError(f"weight: rest stands in {' and '.join(rests)}; only one term can take the rest")
        others = _sum(terms)
        if rests and others > 1:
            raise ValueError(f"the other weights can add up to {others:g}, which leaves {rests[0]} less than 0")
        if not rests and others <= 0:
            raise ValueError("all weights are 0; at least one must be above")
        return self

    def resolved(self) -> Objective:
        """`rest` as a number, terms of weight 0 left out: what a stage holds."""
        terms = self.terms()
        rest = round(max(0.0, 1.0 - _sum(terms)), 12)  # 1 - 0.9 is to equal a 0.1 that was written
        weights = {name: rest if term.weight == "rest" else term.weight for name, term in terms.items()}
        kept = {name: terms[name].model_copy(update={"weight": weight}) for name, weight in weights.items() if weight}
        return Objective(**kept)  # type: ignore[arg-type]

    def needs_teachers(self) -> bool:
        return any(term.needs_teachers for term in self.terms().values())


def _sum(terms: dict[str, Term]) -> float:
    return sum(term.weight for term in terms.values() if term.weight != "rest")


class Recipe(Value):
    """How a stage is trained. `learning_rate` is the peak of the schedule; the last batch of an epoch is dropped if short."""

    version: ClassVar[int] = 1  # of the training loop: raise it when its numerics change
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _momentum_is_of_sgd(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("optimizer") == "sgd" and data.get("momentum") is None:
            return data | {"momentum": 0.9}
        return data

    @model_validator(mode="after")
    def _no_other_has_momentum(self) -> Self:
        if self.optimizer != "sgd" and self.momentum is not None:
            raise ValueError(f"momentum is of sgd, not of {self.optimizer}; leave it out or set optimizer: sgd")
        return self


OBJECTIVE: TypeAdapter[Any] = TypeAdapter(Objective)
RECIPE: TypeAdapter[Any] = TypeAdapter(Recipe)
