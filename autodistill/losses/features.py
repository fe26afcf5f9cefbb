"""Terms that compare features of student and teacher position by position, or relations between the samples of a batch.

Suffixes of shapes: B batch, P positions (of a map) or tokens, C channels, Z heads, R relation heads, D width of a head, X any.

Features are (B, P, C) or vectors (B, C). Position by position, both sides have one shape: `matching` pools and projects. For
relations, they may differ in every shape, and a pair of samples counts if both do (mask_B). A term is the mean over its layers
(for a paper that sums over n layers, use n times its weight).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import Outputs
from ..spec import Attention, Cosine, Hint, Relational, Similarity
from .logits import TINY, divergence, mean_over, precise


def per_sample(x_BX: Tensor) -> Tensor:
    """The mean over all numbers of a sample: (B, ...) to (B,)."""
    return x_BX.flatten(1).mean(1)


def unit(x_X: Tensor) -> Tensor:
    """Scales to length 1 along the last axis. Zeros stay 0 and get no gradient (F.normalize would scale it by 1e12)."""
    length_X: Tensor = torch.linalg.vector_norm(x_X, dim=-1, keepdim=True)
    there_X = length_X > TINY
    unit_X: Tensor = x_X * there_X / torch.where(there_X, length_X, 1.0)
    return unit_X


def hint(term: Hint, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Romero et al., ICLR 2015, equation 3: the mean of (r(student) - teacher)^2 over all numbers of a feature.

    r, a learned linear map of the channels with bias, is only used if their numbers differ. Zero when the features are equal.
    """
    return _mean_of_layers(lambda s, t: mean_over(per_sample((s - t).square()), mask_B), student, teacher)


def cosine(term: Cosine, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """DistilBERT, Sanh et al. 2019, L_cos: 1 - cos(r(student), teacher) of the channels, the mean over positions.

    r as in `hint`. Zero when the features are equal up to a positive factor at each position; 1 where one of them is 0.
    """
    return _mean_of_layers(
        lambda s, t: mean_over(per_sample(1 - (unit(s) * unit(t)).sum(-1, keepdim=True)), mask_B), student, teacher
    )


def attention(term: Attention, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """One of three kinds. Zero when the features are equal.

    activations: Zagoruyko and Komodakis, ICLR 2017, equation 2: the mean over positions of (u(student) - u(teacher))^2,
    u = a / |a|, a_p = sum_c x_pc^2; as in their code, not the norm of the difference. Zero also up to a factor.
    maps: MiniLM, Wang et al., NeurIPS 2020, section 3.1: KL(A_teacher || A_student), A = softmax(Q K^T / sqrt(D)), the mean
    over heads and queries. If the numbers of heads differ, the maps are averaged over heads first.
    relations: section 3.2: the same with A = softmax(V V^T / sqrt(D)), the values of all heads side by side and split
    again into `relation_heads` (by default the teacher's heads if they divide both widths, otherwise 1).
    The features of the latter two are queries, keys and values, (B, 3, Z, P, D).
    """
    kinds: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "activations": lambda s, t: per_sample((_energy(s) - _energy(t)).square()),
        "maps": _maps,
        "relations": lambda s, t: _relations(s, t, term.relation_heads),
    }
    return _mean_of_layers(lambda s, t: mean_over(kinds[term.kind](s, t), mask_B), student, teacher)


def _energy(x_BPC: Tensor) -> Tensor:
    return unit(x_BPC.square().sum(2))


def _maps(student_B3ZPD: Tensor, teacher_B3ZPD: Tensor) -> Tensor:
    s_BZPP, t_BZPP = (_attended(x_B3ZPD[:, 0], x_B3ZPD[:, 1]) for x_B3ZPD in (student_B3ZPD, teacher_B3ZPD))
    if s_BZPP.shape[1] != t_BZPP.shape[1]:
        s_BZPP, t_BZPP = (x_BZPP.logsumexp(1, keepdim=True) - math.log(x_BZPP.shape[1]) for x_BZPP in (s_BZPP, t_BZPP))
    return per_sample(divergence(s_BZPP, t_BZPP))


def _relations(student_B3ZPD: Tensor, teacher_B3ZPD: Tensor, heads: int | None) -> Tensor:
    heads = heads or relation_heads(student_B3ZPD.shape[2:], teacher_B3ZPD.shape[2:])
    s_BRPD, t_BRPD = (_split_anew(x_B3ZPD[:, 2], heads) for x_B3ZPD in (student_B3ZPD, teacher_B3ZPD))
    return per_sample(divergence(_attended(s_BRPD, s_BRPD), _attended(t_BRPD, t_BRPD)))


def relation_heads(student: tuple[int, ...], teacher: tuple[int, ...]) -> int:
    """Into how many heads values are split, given (heads, tokens, width of a head) of both networks."""
    heads = teacher[0]
    return heads if student[0] * student[2] % heads == 0 else 1


def _split_anew(values_BZPD: Tensor, heads: int) -> Tensor:
    side_by_side_BPC = values_BZPD.transpose(1, 2).flatten(2)
    batch, tokens, width = side_by_side_BPC.shape
    return side_by_side_BPC.view(batch, tokens, heads, width // heads).transpose(1, 2)


def _attended(queries_BZPD: Tensor, keys_BZPD: Tensor) -> Tensor:
    """Logarithms of the attention (B, Z, P, P)."""
    return F.log_softmax(queries_BZPD @ keys_BZPD.transpose(2, 3) / math.sqrt(queries_BZPD.shape[3]), dim=3)


def relational(term: Relational, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Park et al., CVPR 2019, section 3.2: distance * mean_ij h(d_ij) + angle * mean_ijk h(a_ijk).

    For vectors x_i (the means over positions): d_ij = |x_i - x_j| over its mean for all i != j; a_ijk = cosine of the angle
    at x_i between x_j and x_k; h = Huber loss of student minus teacher. Means over B^2 and B^3, as in the authors' code.
    Zero when the student's vectors are the teacher's, moved, rotated or scaled, and for a batch of one sample.
    Memory grows with B^3 and with B^2 C.
    """
    return _mean_of_layers(lambda s, t: _relational(term, s, t, mask_B), student, teacher)


def _relational(term: Relational, student_X: Tensor, teacher_X: Tensor, mask_B: Tensor | None) -> Tensor:
    (s_BB, s_BBB), (t_BB, t_BBB) = _geometry(student_X, mask_B), _geometry(teacher_X, mask_B)
    mask_BB = None if mask_B is None else mask_B * mask_B[:, None]
    mask_BBB = None if mask_B is None else mask_B * mask_B[:, None] * mask_B[:, None, None]
    distance = mean_over(F.smooth_l1_loss(s_BB, t_BB, reduction="none"), mask_BB)
    angle = mean_over(F.smooth_l1_loss(s_BBB, t_BBB, reduction="none"), mask_BBB)
    return term.distance * distance + term.angle * angle


def _geometry(feature_X: Tensor, mask_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances (B, B) over their mean, cosines of angles (B, B, B) with the vertex first."""
    x_BC = feature_X if feature_X.ndim == 2 else feature_X.mean(1)
    edges_BBC = x_BC[None] - x_BC[:, None]
    distances_BB = torch.linalg.vector_norm(edges_BBC, dim=2)
    counts_B = torch.ones_like(x_BC[:, 0]) if mask_B is None else mask_B.to(x_BC.dtype)
    pairs = counts_B.sum() * (counts_B.sum() - 1)  # of two different samples; the distance of one to itself is 0
    mean = (distances_BB * counts_B * counts_B[:, None]).sum() / pairs.clamp(min=1)
    directions_BBC = unit(edges_BBC)
    return distances_BB / mean.clamp(min=TINY), directions_BBC @ directions_BBC.transpose(1, 2)


def similarity(term: Similarity, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Tung and Mori, ICCV 2019, section 3: |G_student - G_teacher|^2 / B^2 in the Frobenius norm.

    G (B, B): rows of x x^T, each of length 1; x (B, P * C), the features of one sample in each row. Zero when these are
    the teacher's, rotated or scaled, and for a batch of one sample (unless one is 0).
    """
    count: Tensor | int = len(student.logits) if mask_B is None else mask_B.sum().clamp(min=1)
    squares: Tensor = _mean_of_layers(lambda s, t: (_gram(s, mask_B) - _gram(t, mask_B)).square().sum(), student, teacher)
    return squares / count**2


def _gram(feature_X: Tensor, mask_B: Tensor | None) -> Tensor:
    x_BX = feature_X.flatten(1)
    x_BX = x_BX if mask_B is None else x_BX * mask_B[:, None]
    return unit(x_BX @ x_BX.T)


def _mean_of_layers(f: Callable[[Tensor, Tensor], Tensor], student: Outputs, teacher: Outputs) -> Tensor:
    layers = zip(student.features.values(), teacher.features.values(), strict=True)
    return torch.stack([f(precise(s_X), precise(t_X)) for s_X, t_X in layers]).mean()
