"""Schemas of the loss terms (`objectives.TERMS` maps each to its function)."""

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


OBJECTIVE: TypeAdapter[Any] = TypeAdapter(Objective)
