"""Terms that compare features of student and teacher position by position, or relations between the samples of a batch.

Suffixes of shapes: B batch, P positions (of a map) or tokens, C channels, Z heads, R relation heads, D width of a head, X any.

Features are (B, P, C) or vectors (B, C). Position by position, both sides have one shape: `matching` pools and projects. For
relations, they may differ in every shape, and a pair of samples counts if both do (mask_B). A term is the mean over its layers
(for a paper that sums over n layers, use n times its weight).

Where samples are texts, `real` of the student (B, P; the teacher reads the same tokens) says which positions hold tokens. Only
these count: a mean over positions is the mean over the tokens of a sample, and then over samples, as MiniLM (Wang et al.,
NeurIPS 2020, section 3.1) divides by |x|, the length of the text. A loss thus depends neither on padding nor on what else is in
the batch; the mean over all tokens of a batch, as in DistilBERT's code, lets long texts count more. Features with another
number of positions (pooled ones, say) have no padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import Outputs
from ..spec import Attention, Cosine, Hint, Relational, Similarity
from ..spec.losses import PROJECTED
from .logits import TINY, divergence, mean_over, precise


def per_sample(x_BX: Tensor, real_BX: Tensor | None = None) -> Tensor:
    """The mean over all numbers of a sample, (B, ...) to (B,), or over those at real positions; 0 where there are none.

    `real_BX` has the axes of `x_BX`, of size 1 where it is the same for all.
    """
    if real_BX is None:
        return x_BX.flatten(1).mean(1)
    numbers = math.prod(x_BX.shape[1:]) // max(1, math.prod(real_BX.shape[1:]))
    return (x_BX * real_BX).flatten(1).sum(1) / (real_BX.flatten(1).sum(1) * numbers).clamp(min=1)


def positions(feature_X: Tensor, real_BN: Tensor | None) -> Tensor | None:
    """Which positions of a feature are real, (B, P); None if all are."""
    if real_BN is None or feature_X.ndim < 3 or feature_X.shape[-2] != real_BN.shape[1]:
        return None
    return real_BN


def filled(feature_X: Tensor, real_BN: Tensor | None) -> Tensor:
    """The feature with zeros at padding, which gets no gradient, whatever is there."""
    real_BP = positions(feature_X, real_BN)
    if real_BP is None:
        return feature_X
    batch, tokens = real_BP.shape
    return feature_X.masked_fill(~real_BP.reshape(batch, *[1] * (feature_X.ndim - 3), tokens, 1), 0.0)


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
    return _mean_of_layers(lambda s, t, real: mean_over(per_sample((s - t).square(), _columns(real)), mask_B), student, teacher)


def cosine(term: Cosine, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """DistilBERT, Sanh et al. 2019, L_cos: 1 - cos(r(student), teacher) of the channels, the mean over positions.

    r as in `hint`. Zero when the features are equal up to a positive factor at each position; 1 where one of them is 0.
    """
    return _mean_of_layers(
        lambda s, t, real: mean_over(per_sample(1 - (unit(s) * unit(t)).sum(-1, keepdim=True), _columns(real)), mask_B),
        student,
        teacher,
    )


def _columns(real_BP: Tensor | None) -> Tensor | None:
    return None if real_BP is None else real_BP[:, :, None]


def attention(term: Attention, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """One of three kinds. Zero when the features are equal.

    activations: Zagoruyko and Komodakis, ICLR 2017, equation 2: the mean over positions of (u(student) - u(teacher))^2,
    u = a / |a|, a_p = sum_c x_pc^2; as in their code, not the norm of the difference. Zero also up to a factor.
    maps: MiniLM, Wang et al., NeurIPS 2020, section 3.1: KL(A_teacher || A_student), A = softmax(Q K^T / sqrt(D)), the mean
    over heads and queries. If the numbers of heads differ, the maps are averaged over heads first.
    relations: section 3.2: the same with A = softmax(V V^T / sqrt(D)), the values of all heads side by side and split
    again into `relation_heads` (by default the teacher's heads if they divide both widths, otherwise 1). `between` adds
    queries and keys, as in MiniLMv2 (Wang et al., Findings of ACL 2021, equation 4), and is the mean over these.
    The features of the latter two are queries, keys, and values, (B, 3, Z, P, D). Padding is neither a query nor a key.
    """
    kinds: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
        "activations": lambda s, t, real: per_sample((_energy(s) - _energy(t)).square(), real),
        "maps": _maps,
        "relations": partial(_relations, term),
    }
    return _mean_of_layers(lambda s, t, real: mean_over(kinds[term.kind](s, t, real), mask_B), student, teacher)


def _energy(x_BPC: Tensor) -> Tensor:
    return unit(x_BPC.square().sum(2))


def _maps(student_B3ZPD: Tensor, teacher_B3ZPD: Tensor, real_BP: Tensor | None) -> Tensor:
    s_BZPP, t_BZPP = (_attended(x_B3ZPD[:, 0], x_B3ZPD[:, 1], real_BP) for x_B3ZPD in (student_B3ZPD, teacher_B3ZPD))
    if s_BZPP.shape[1] != t_BZPP.shape[1]:
        s_BZPP, t_BZPP = (x_BZPP.logsumexp(1, keepdim=True) - math.log(x_BZPP.shape[1]) for x_BZPP in (s_BZPP, t_BZPP))
    return _diverging(s_BZPP, t_BZPP, real_BP)


def _relations(term: Attention, student_B3ZPD: Tensor, teacher_B3ZPD: Tensor, real_BP: Tensor | None) -> Tensor:
    heads = term.relation_heads or relation_heads(student_B3ZPD.shape[2:], teacher_B3ZPD.shape[2:])

    def between(place: int) -> Tensor:
        s_BRPD, t_BRPD = (_split_anew(x_B3ZPD[:, place], heads) for x_B3ZPD in (student_B3ZPD, teacher_B3ZPD))
        return _diverging(_attended(s_BRPD, s_BRPD, real_BP), _attended(t_BRPD, t_BRPD, real_BP), real_BP)

    return torch.stack([between(PROJECTED.index(name)) for name in term.between or ("values",)]).mean(0)


def relation_heads(student: tuple[int, ...], teacher: tuple[int, ...]) -> int:
    """Into how many heads values are split, given (heads, tokens, width of a head) of both networks."""
    heads = teacher[0]
    return heads if student[0] * student[2] % heads == 0 else 1


def _split_anew(values_BZPD: Tensor, heads: int) -> Tensor:
    side_by_side_BPC = values_BZPD.transpose(1, 2).flatten(2)
    batch, tokens, width = side_by_side_BPC.shape
    return side_by_side_BPC.view(batch, tokens, heads, width // heads).transpose(1, 2)


def _attended(queries_BZPD: Tensor, keys_BZPD: Tensor, real_BP: Tensor | None) -> Tensor:
    """Logarithms of the attention (B, Z, P, P), which does not see keys of padding."""
    scores_BZPP = queries_BZPD @ keys_BZPD.transpose(2, 3) / math.sqrt(queries_BZPD.shape[3])
    if real_BP is not None:
        scores_BZPP = scores_BZPP.masked_fill(~real_BP[:, None, None], torch.finfo(scores_BZPP.dtype).min)
    return F.log_softmax(scores_BZPP, dim=3)


def _diverging(student_BZPP: Tensor, teacher_BZPP: Tensor, real_BP: Tensor | None) -> Tensor:
    """KL (B,) of two attentions, given as logarithms, the mean over heads and real queries."""
    if real_BP is None:
        return per_sample(divergence(student_BZPP, teacher_BZPP))
    s_BZPP, t_BZPP = (x_BZPP.masked_fill(~real_BP[:, None, None], 0.0) for x_BZPP in (student_BZPP, teacher_BZPP))
    return per_sample(divergence(s_BZPP, t_BZPP), real_BP[:, None])


def relational(term: Relational, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Park et al., CVPR 2019, section 3.2: distance * mean_ij h(d_ij) + angle * mean_ijk h(a_ijk).

    For vectors x_i (means over positions): d_ij = |x_i - x_j| over its mean for all i != j; a_ijk = cosine of the angle
    at x_i between x_j and x_k; h = Huber loss of student minus teacher. Means over B^2 and B^3, as in the authors' code.
    Zero when the student's vectors are the teacher's, moved, rotated, or scaled, and for a batch of one sample.
    Memory grows with B^3 and with B^2 C.
    """
    return _mean_of_layers(
        lambda s, t, _: _relational(term, _vectors(s, student.real), _vectors(t, student.real), mask_B), student, teacher
    )


def _vectors(feature_X: Tensor, real_BN: Tensor | None) -> Tensor:
    """(B, C): the mean over positions, or over those that are real; the others are 0."""
    if feature_X.ndim == 2:
        return feature_X
    real_BP = positions(feature_X, real_BN)
    return feature_X.mean(1) if real_BP is None else feature_X.sum(1) / real_BP.sum(1, keepdim=True).clamp(min=1)


def _relational(term: Relational, s_BC: Tensor, t_BC: Tensor, mask_B: Tensor | None) -> Tensor:
    (s_BB, s_BBB), (t_BB, t_BBB) = _geometry(s_BC, mask_B), _geometry(t_BC, mask_B)
    mask_BB = None if mask_B is None else mask_B * mask_B[:, None]
    mask_BBB = None if mask_B is None else mask_B * mask_B[:, None] * mask_B[:, None, None]
    distance = mean_over(F.smooth_l1_loss(s_BB, t_BB, reduction="none"), mask_BB)
    angle = mean_over(F.smooth_l1_loss(s_BBB, t_BBB, reduction="none"), mask_BBB)
    return term.distance * distance + term.angle * angle


def _geometry(x_BC: Tensor, mask_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances (B, B) over their mean, cosines of angles (B, B, B) with the vertex first."""
    edges_BBC = x_BC[None] - x_BC[:, None]
    distances_BB = torch.linalg.vector_norm(edges_BBC, dim=2)
    counts_B = torch.ones_like(x_BC[:, 0]) if mask_B is None else mask_B.to(x_BC.dtype)
    pairs = counts_B.sum() * (counts_B.sum() - 1)  # of two different samples; the distance of one to itself is 0
    mean = (distances_BB * counts_B * counts_B[:, None]).sum() / pairs.clamp(min=1)
    directions_BBC = unit(edges_BBC)
    return distances_BB / mean.clamp(min=TINY), directions_BBC @ directions_BBC.transpose(1, 2)


def similarity(term: Similarity, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Tung and Mori, ICCV 2019, section 3: |G_student - G_teacher|^2 / B^2 in the Frobenius norm.

    G (B, B): rows of x x^T, each of length 1; x (B, P * C), the features of one sample in each row, 0 at padding. Zero when
    these are the teacher's, rotated or scaled, and for a batch of one sample (unless one is 0).
    """
    count: Tensor | int = len(student.logits) if mask_B is None else mask_B.sum().clamp(min=1)
    squares: Tensor = _mean_of_layers(lambda s, t, _: (_gram(s, mask_B) - _gram(t, mask_B)).square().sum(), student, teacher)
    return squares / count**2


def _gram(feature_X: Tensor, mask_B: Tensor | None) -> Tensor:
    x_BX = feature_X.flatten(1)
    x_BX = x_BX if mask_B is None else x_BX * mask_B[:, None]
    return unit(x_BX @ x_BX.T)


def _mean_of_layers(f: Callable[[Tensor, Tensor, Tensor | None], Tensor], student: Outputs, teacher: Outputs) -> Tensor:
    """The mean over layers of a function of both features, with zeros at padding, and of the real positions (B, P)."""

    pairs = zip(student.features.values(), teacher.features.values(), strict=True)
    layers = [(filled(precise(s_X), student.real), filled(precise(t_X), student.real)) for s_X, t_X in pairs]
    return torch.stack([f(s_X, t_X, positions(s_X, student.real)) for s_X, t_X in layers]).mean()
