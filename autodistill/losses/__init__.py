"""Loss terms as pure functions in one table, and their weighted sum.

Suffixes of shapes: B batch, K classes, X any.

A term takes its schema, the student's Outputs, one teacher's Outputs, the targets and an optional mask of the samples that
count; it returns a scalar, the mean over these samples, at least in float32. Features correspond in order: `Loss` matches
layers, projects them, and takes the mean over teachers (a sum would multiply the gradient). Terms on logits see rows: `Loss`
flattens positions, so logits may be (B, K) or (B, P, K), with targets (B, P) and a mask (B, P).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data import InputSpec
from ..models import Layers, Outputs
from ..models.sizes import layers
from ..models.token_head import TokenHead
from ..spec import (
    ABOUT,
    Attention,
    Cosine,
    CrossEntropy,
    Decoupled,
    Dist,
    FeatureTerm,
    Hint,
    LossSpec,
    MaskedTokens,
    Relational,
    Similarity,
    SoftTargets,
    SquaredError,
    TaskKind,
    Term,
    UsageError,
    Value,
)
from .features import attention, cosine, hint, relational, similarity
from .logits import cross_entropy, decoupled, dist, masked_tokens, soft_targets
from .matching import Match, aligned, pairs
from .outputs import binary_cross_entropy, binary_soft_targets, squared_error, teachers_values
from .rows import by_rows, by_sample

Terms = dict[type[Term], Callable[..., Tensor]]
FEATURES: Terms = {Hint: hint, Attention: attention, Relational: relational, Similarity: similarity, Cosine: cosine}
COMMON: Terms = {**FEATURES, MaskedTokens: masked_tokens}
TERMS: Terms = {CrossEntropy: cross_entropy, SoftTargets: soft_targets, Decoupled: decoupled, Dist: dist, **COMMON}
TERMS_OF: dict[TaskKind, Terms] = {
    "classification": TERMS,
    "multilabel": {CrossEntropy: binary_cross_entropy, SoftTargets: binary_soft_targets, **COMMON},
    "regression": {SquaredError: squared_error, SoftTargets: teachers_values, **COMMON},
}
"""The function of each term, by the kind of task."""
SMALLEST = 1e-8


class Loss(nn.Module):
    """The weighted sum of a spec's terms, with their learned projections, and the `head` of mlm, as its parameters.

    `student_layers` and `teacher_layers` (a list for each teacher) name the features that Outputs must hold. Call it outside
    autocast. Raises UsageError if a term cannot be computed for these networks.
    """

    target_mean: Tensor | None
    target_scale: Tensor | None

    def __init__(
        self,
        spec: LossSpec,
        student: Layers | None = None,
        teachers: Sequence[Layers] = (),
        kind: TaskKind = "classification",
        head: TokenHead | None = None,
    ) -> None:
        super().__init__()
        self.terms, self.kind, self.head = spec.terms(), kind, head
        for name in ("target_mean", "target_scale"):
            self.register_buffer(name, None, persistent=False)
        assert all(term.weight != "rest" for term in self.terms.values()), "resolve the spec first"
        self.scales = dict.fromkeys(self.terms, 1.0)
        """The factor of each term besides its weight; `balance` sets it."""
        self.matches: dict[str, list[list[Match]]] = {}
        self.projections = nn.ModuleDict()
        for name, term in self.terms.items():
            if isinstance(term, FeatureTerm):
                assert student is not None and teachers, f"{name} needs the layers of the student and its teachers"
                self.matches[name] = [pairs(term, student, teacher) for teacher in teachers]
                self.projections[name] = nn.ModuleList(map(_projections, self.matches[name]))
        found = self.matches.values()
        own = [match.student for each in found for matches in each for match in matches]
        self.student_layers = _once(own if head is None else [*own, head.layer])
        self.teacher_layers = [_once(match.teacher for each in found for match in each[t]) for t in range(len(teachers))]

    def standardize(self, mean: Sequence[float], scale: Sequence[float]) -> None:
        """Compares values (K,) of a regression in units in which the training targets have mean 0 and deviation 1."""
        self.target_mean, self.target_scale = torch.tensor(mean, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)

    def _standardized(self, values: Tensor) -> Tensor:
        if self.target_mean is None or self.target_scale is None:
            return values
        return (values - self.target_mean) / self.target_scale

    def forward(
        self,
        student: Outputs,
        teachers: Sequence[Outputs],
        targets: Tensor,
        mask: Tensor | None = None,
        progress: float = 1.0,
        which: Sequence[int] | None = None,
    ) -> Tensor:
        """The loss, a scalar. `progress` is the fraction of the training that is done; `which` as in `values`."""
        values = self.values(student, teachers, targets, mask, which)
        factors = [self.factor(name, progress) for name in values]
        loss: Tensor = functools.reduce(operator.add, map(operator.mul, values.values(), factors))
        return loss

    def values(
        self,
        student: Outputs,
        teachers: Sequence[Outputs],
        targets: Tensor,
        mask: Tensor | None = None,
        which: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """The terms by name, without weights, each the mean over the teachers.

        The mask (B,), or (B, P) of logits (B, P, K), says which samples or positions count. `which`: the
        places of `teachers` among all, if some were dropped.
        """
        found = {}
        if self.target_mean is not None:
            student, *teachers = (one._replace(logits=self._standardized(one.logits)) for one in (student, *teachers))
            targets = self._standardized(targets)
        rows, counted_B = by_rows(student, teachers, targets, mask), by_sample(mask)
        for name, term in self.terms.items():
            f = TERMS_OF[self.kind][type(term)]
            assert teachers or not term.needs_teachers, f"{name} needs a teacher"
            if name in self.matches:
                numbered = zip(which if which is not None else range(len(teachers)), teachers, strict=True)
                sides = [self._sides(name, student, teacher, index) for index, teacher in numbered]
                each = [f(term, own, its, targets, counted_B) for own, its in sides]
            else:
                others = rows.teachers if term.needs_teachers else [None]
                each = [f(term, rows.student, its, rows.targets, rows.mask) for its in others]
            found[name] = each[0] if len(each) == 1 else torch.stack(each).mean()
        return found

    def factor(self, name: str, progress: float = 1.0) -> float:
        """The factor of a term: the product of weight, warm-up, and scale."""
        term = self.terms[name]
        warm = min(1.0, progress / term.warm_up) if term.warm_up else 1.0
        return float(term.weight) * warm * self.scales[name]

    def balance(self, values: Sequence[dict[str, float]]) -> None:
        """Sets the scale of each term to 1 over its mean in `values`, its values in the first batches.

        Batches in which a term is 0 do not count (ce is 0 if no sample has a label); a term that is always 0 keeps scale 1.
        """
        for name in self.terms:
            found = [each[name] for each in values if each[name] >= SMALLEST]
            self.scales[name] = len(found) / sum(found) if found else 1.0

    def _sides(self, name: str, student: Outputs, teacher: Outputs, index: int) -> tuple[Outputs, Outputs]:
        """Student and teacher with the features that a term compares, in order."""
        own, its = {}, {}
        projections: Any = self.projections[name]
        for number, match in enumerate(self.matches[name][index]):
            s_X, its[str(number)] = aligned(match, student.features[match.student], teacher.features[match.teacher])
            own[str(number)] = projections[index][number](s_X)
        return student._replace(features=own), teacher._replace(features=its)


def _projections(matches: list[Match]) -> nn.ModuleList:
    """A linear layer with bias (on maps, a 1x1 convolution) if the numbers of channels differ, otherwise the identity."""
    return nn.ModuleList(nn.Identity() if match.projection is None else nn.Linear(*match.projection) for match in matches)


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def weighed(spec: LossSpec, counts: Sequence[int], kind: TaskKind = "classification", samples: int = 0) -> LossSpec:
    """The spec with its class weights as numbers, for that many training samples of each class, or with each label of all
    `samples`. For regression, kd measures the distance that mse does.

    Raises UsageError if there is not one weight for each class or label, or if all are 0.
    """
    if kind == "regression":
        return _with_huber(spec)
    ce, classes, many = spec.ce, len(counts), ABOUT[kind].many
    if ce is None or ce.class_weights is None:
        return spec
    if ce.class_weights == "balanced":
        weights = tuple(sum(counts) / (classes * max(1, count)) for count in counts)
        if kind == "multilabel":
            weights = tuple(max(1, samples - count) / max(1, count) for count in counts)
        return spec.model_copy(update={"ce": ce.model_copy(update={"class_weights": weights})})
    if len(ce.class_weights) != classes:
        given = len(ce.class_weights)
        what = f"{given:,} number{'s' * (given != 1)} for {classes:,} {many}"
        raise UsageError(f"ce.class_weights has {what}; give one for each, or balanced")
    if not any(ce.class_weights):
        raise UsageError("ce.class_weights are all 0; raise at least one")
    return spec


def _with_huber(spec: LossSpec) -> LossSpec:
    if spec.mse is None or spec.kd is None or spec.kd.huber is not None:
        return spec
    return spec.model_copy(update={"kd": spec.kd.model_copy(update={"huber": spec.mse.huber})})


def matched(
    spec: LossSpec,
    student: Value,
    teachers: Sequence[Value],
    inputs: InputSpec,
    classes: int,
    kind: TaskKind = "classification",
    head: TokenHead | None = None,
) -> Loss:
    """The loss of a spec between these architectures, its projections drawn from torch's global generator.

    Raises UsageError, with both shapes, if a term cannot compare them.
    """
    if not spec.needs_features():
        return Loss(spec, None, [Layers({}, {})] * len(teachers), kind, head)
    own, theirs = spec.named_layers()
    found = [layers(teacher, inputs, classes, theirs) for teacher in teachers]
    return Loss(spec, layers(student, inputs, classes, own), found, kind, head)
