"""Terms that compare features of student and teacher position by position.

Suffixes of shapes: B batch, P positions (of a map) or tokens, C channels, Z heads, R relation heads, D width of a head.

Features are (B, P, C) or vectors (B, C), of one shape on both sides: `matching` pools and projects. A term is the mean over
its layers (for a paper that sums over n layers, use n times its weight).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import Outputs
from ..spec import Attention, Cosine, Hint
from .parts import divergence, mean_over, per_sample, precise, unit


def hint(term: Hint, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Romero et al., ICLR 2015, equation 3: the mean of (r(student) - teacher)^2 over all numbers of a feature.

    r, a learned linear map of the channels with bias, is only used if their numbers differ. Zero when the features are equal.
    """
    return _mean_of_layers(lambda s, t: per_sample((s - t).square()), student, teacher, mask_B)


def cosine(term: Cosine, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """DistilBERT, Sanh et al. 2019, L_cos: 1 - cos(r(student), teacher) of the channels, the mean over positions.

    r as in `hint`. Zero when the features are equal up to a positive factor at each position; 1 where one of them is 0.
    """
    return _mean_of_layers(lambda s, t: per_sample(1 - (unit(s) * unit(t)).sum(-1, keepdim=True)), student, teacher, mask_B)


def attention(
    term: Attention, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
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
    return _mean_of_layers(kinds[term.kind], student, teacher, mask_B)


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


def _mean_of_layers(
    f: Callable[[Tensor, Tensor], Tensor], student: Outputs, teacher: Outputs | None, mask_B: Tensor | None
) -> Tensor:
    assert teacher is not None
    layers = zip(student.features.values(), teacher.features.values(), strict=True)
    return torch.stack([mean_over(f(precise(s), precise(t)), mask_B) for s, t in layers]).mean()
