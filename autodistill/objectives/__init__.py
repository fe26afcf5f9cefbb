"""Floor 1: loss terms as pure functions in one table.

Suffixes of shapes: B batch, K classes.

A term takes the student's Outputs, its teachers' Outputs, the targets and an optional mask of the samples that count;
it returns a scalar, the mean over these samples. Several teachers: the mean over them (a sum would multiply the gradient).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batch import Outputs
from ..spec import CrossEntropy, Objective, SoftTargets, Term

Teachers = Sequence[Outputs]


def cross_entropy(
    term: CrossEntropy, student: Outputs, teachers: Teachers, targets_B: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """-log p(target), the mean over the samples. Zero when the student is certain of every target."""
    return _mean(F.cross_entropy(student.logits.float(), targets_B, reduction="none"), mask_B)


def soft_targets(
    term: SoftTargets, student: Outputs, teachers: Teachers, targets_B: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """Hinton, Vinyals and Dean 2015, section 2.1: T^2 * sum_k p_k log(p_k / q_k), the mean over the samples.

    p = softmax(teacher / T), q = softmax(student / T), logits (B, K). T^2 keeps the size of the gradient as T changes.
    Zero when the student's logits equal the teacher's up to a constant.
    """
    temperature = term.temperature
    student_BK = F.log_softmax(student.logits.float() / temperature, dim=1)
    losses_B = [
        F.kl_div(student_BK, F.log_softmax(teacher.logits.float() / temperature, dim=1), reduction="none", log_target=True).sum(
            1
        )
        for teacher in teachers
    ]
    return temperature**2 * _mean(torch.stack(losses_B).mean(0), mask_B)


def _mean(losses_B: Tensor, mask_B: Tensor | None) -> Tensor:
    if mask_B is None:
        return losses_B.mean()
    return (losses_B * mask_B).sum() / mask_B.sum().clamp(min=1)


TERMS: dict[type[Term], Callable[..., Tensor]] = {CrossEntropy: cross_entropy, SoftTargets: soft_targets}


def loss_of(objective: Objective) -> Callable[[Outputs, Teachers, Tensor], Tensor]:
    """The weighted sum of an objective's terms as one function of (student, teachers, targets)."""
    parts: list[tuple[Any, Term, Callable[..., Tensor]]] = [
        (term.weight, term, TERMS[type(term)]) for term in objective.terms().values()
    ]

    def loss(student: Outputs, teachers: Teachers, targets_B: Tensor) -> Tensor:
        return torch.stack([weight * f(term, student, teachers, targets_B) for weight, term, f in parts]).sum()

    return loss
