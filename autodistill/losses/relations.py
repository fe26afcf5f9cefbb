"""Terms on relations between the samples of a batch: student and teacher may differ in every shape.

Suffixes of shapes: B batch, P positions (of a map) or tokens, C channels, X any.

Features are (B, P, C) or vectors (B, C). A pair of samples counts if both do (mask_B). A term is the mean over its layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import Outputs
from ..spec import Relational, Similarity
from .parts import TINY, precise, unit


def relational(
    term: Relational, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """Park et al., CVPR 2019, section 3.2: distance * mean_ij h(d_ij) + angle * mean_ijk h(a_ijk).

    For vectors x_i (the means over positions): d_ij = |x_i - x_j| over its mean for all i != j; a_ijk = cosine of the angle
    at x_i between x_j and x_k; h = Huber loss of student minus teacher. Means over B^2 and B^3, as in the authors' code.
    Zero when the student's vectors are the teacher's, moved, rotated or scaled, and for a batch of one sample.
    Memory grows with B^3 and with B^2 C.
    """
    assert teacher is not None
    layers = zip(student.features.values(), teacher.features.values(), strict=True)
    return torch.stack([_relational(term, s_X, t_X, mask_B) for s_X, t_X in layers]).mean()


def _relational(term: Relational, student_X: Tensor, teacher_X: Tensor, mask_B: Tensor | None) -> Tensor:
    (s_BB, s_BBB), (t_BB, t_BBB) = _relations(student_X, mask_B), _relations(teacher_X, mask_B)
    distance = _weighted(F.smooth_l1_loss(s_BB, t_BB, reduction="none"), mask_B)
    angle = _weighted(F.smooth_l1_loss(s_BBB, t_BBB, reduction="none"), mask_B)
    return term.distance * distance + term.angle * angle


def _relations(feature_X: Tensor, mask_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances (B, B) over their mean, cosines of angles (B, B, B) with the vertex first."""
    x_BC = precise(feature_X) if feature_X.ndim == 2 else precise(feature_X).mean(1)
    edges_BBC = x_BC[None] - x_BC[:, None]
    distances_BB = torch.linalg.vector_norm(edges_BBC, dim=2)
    counts_B = torch.ones_like(x_BC[:, 0]) if mask_B is None else mask_B.to(x_BC.dtype)
    pairs = counts_B.sum() * (counts_B.sum() - 1)  # of two different samples; the distance of one to itself is 0
    mean = (distances_BB * counts_B * counts_B[:, None]).sum() / pairs.clamp(min=1)
    directions_BBC = unit(edges_BBC)
    return distances_BB / mean.clamp(min=TINY), directions_BBC @ directions_BBC.transpose(1, 2)


def _weighted(losses_X: Tensor, mask_B: Tensor | None) -> Tensor:
    """The mean over the entries (B, B) or (B, B, B) whose samples all count."""
    if mask_B is None:
        return losses_X.mean()
    weights_X = mask_B * mask_B[:, None] if losses_X.ndim == 2 else mask_B * mask_B[:, None] * mask_B[:, None, None]
    return (losses_X * weights_X).sum() / weights_X.sum().clamp(min=1)


def similarity(
    term: Similarity, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """Tung and Mori, ICCV 2019, section 3: |G_student - G_teacher|^2 / B^2 in the Frobenius norm.

    G (B, B): rows of x x^T, each of length 1; x (B, P * C), the features of one sample in each row. Zero when these are
    the teacher's, rotated or scaled, and for a batch of one sample (unless one is 0).
    """
    assert teacher is not None
    count: Tensor | int = len(student.logits) if mask_B is None else mask_B.sum().clamp(min=1)
    losses = [
        (_gram(s_X, mask_B) - _gram(t_X, mask_B)).square().sum()
        for s_X, t_X in zip(student.features.values(), teacher.features.values(), strict=True)
    ]
    return torch.stack(losses).mean() / count**2


def _gram(feature_X: Tensor, mask_B: Tensor | None) -> Tensor:
    x_BX = precise(feature_X).flatten(1)
    x_BX = x_BX if mask_B is None else x_BX * mask_B[:, None]
    return unit(x_BX @ x_BX.T)
