"""Terms on logits, and what all terms are made of: precision, means over the samples that count, divergences.

Suffixes of shapes: B batch, K classes, J = K - 1 classes that are not the target, X any.

Logits are (B, K); targets are (B,) classes, or (B, K) probabilities if samples were mixed. A sample without a label has
target -1 (all probabilities 0): it never counts in `cross_entropy` and counts everywhere else. mask_B: samples that count.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import Outputs
from ..spec import CrossEntropy, Decoupled, Dist, MaskedTokens, SoftTargets

TINY = 1e-12


def precise(z: Tensor) -> Tensor:
    """In float32; float64 stays float64."""
    return z if z.dtype == torch.float64 else z.float()


def mean_over(losses_B: Tensor, mask_B: Tensor | None) -> Tensor:
    """The mean over the samples that count; 0 if none does."""
    if mask_B is None:
        return losses_B.mean()
    return (losses_B * mask_B).sum() / mask_B.sum().clamp(min=1)


def divergence(student_X: Tensor, teacher_X: Tensor) -> Tensor:
    """KL(teacher || student) over the last axis, of log-probabilities."""
    return F.kl_div(student_X, teacher_X, reduction="none", log_target=True).sum(-1)


def cross_entropy(
    term: CrossEntropy, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """-sum_k y_k log q_k, the mean over the samples that have a label; y = (1 - s) * target + s / K, s = label_smoothing.

    Szegedy et al., CVPR 2016, section 7. Zero when s = 0 and the student is certain of every target. With `class_weights` w:
    -sum_k w_k y_k log q_k, and the mean is weighted by w of the target, as in torch.
    """
    logits_BK = precise(student.logits)
    labeled_B = targets >= 0 if targets.ndim == 1 else targets.sum(1) > 0
    targets = targets if targets.ndim == 1 else targets.to(logits_BK.dtype)
    counts_B = labeled_B if mask_B is None else labeled_B * mask_B
    losses = functools.partial(
        F.cross_entropy, logits_BK, targets, ignore_index=-1, label_smoothing=term.label_smoothing, reduction="none"
    )
    if term.class_weights is None:
        return mean_over(losses(), counts_B)
    assert term.class_weights != "balanced", "weigh the classes first"
    weights_K = logits_BK.new_tensor(term.class_weights)
    losses_B = losses(weight=weights_K)
    weights_B = weights_K[targets.clamp(min=0)] if targets.ndim == 1 else targets @ weights_K
    return (losses_B * counts_B).sum() / (weights_B * counts_B).sum().clamp(min=TINY)


def masked_tokens(
    term: MaskedTokens, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """-log q_k, the mean over the masked tokens of a batch (Devlin et al., NAACL 2019, section 3.1); k is what was masked.

    Logits (B, K) and targets (B,) are those of B masked tokens of a vocabulary of K, not of samples. A target of -1 does not
    count. Zero when the student is certain of every token, or no token is masked.
    """
    losses_B = F.cross_entropy(precise(student.logits), targets, ignore_index=-1, reduction="none")
    known_B = targets >= 0
    return mean_over(losses_B, known_B if mask_B is None else known_B * mask_B)


def soft_targets(
    term: SoftTargets, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """Hinton, Vinyals and Dean 2015, section 2.1: T^2 * sum_k p_k log(p_k / q_k), the mean over the samples.

    p = softmax(teacher / T), q = softmax(student / T), logits (B, K). T^2 keeps the size of the gradient as T changes.
    `standardized`: logits z become (z - mean(z)) / (std(z) + 1e-7) over the classes first (Sun et al., CVPR 2024).
    Zero when the student's logits equal the teacher's up to a constant (standardized: and up to a positive factor).
    """
    student_BK, teacher_BK = precise(student.logits), precise(teacher.logits)
    if term.standardized:
        student_BK, teacher_BK = _standardized(student_BK), _standardized(teacher_BK)
    student_BK = F.log_softmax(student_BK / term.temperature, dim=1)
    teacher_BK = F.log_softmax(teacher_BK / term.temperature, dim=1)
    return term.temperature**2 * mean_over(divergence(student_BK, teacher_BK), mask_B)


def _standardized(logits_BK: Tensor) -> Tensor:
    return (logits_BK - logits_BK.mean(1, keepdim=True)) / (logits_BK.std(1, keepdim=True) + 1e-7)


def decoupled(term: Decoupled, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Zhao et al., CVPR 2022, equation 7: T^2 * (alpha * KL(b_p || b_q) + beta * KL(r_p || r_q)), the mean over the samples.

    b = (probability of the target, of all others), r = softmax over the others alone, both at T, logits (B, K). The target of
    a sample without a label is the teacher's class, that of mixed samples the likeliest class. Zero when soft_targets is.
    """
    teacher_BK = precise(teacher.logits) / term.temperature
    classes_B = _classes(targets, teacher_BK)
    student_B2, student_BJ = _parted(precise(student.logits) / term.temperature, classes_B)
    teacher_B2, teacher_BJ = _parted(teacher_BK, classes_B)
    target_B, others_B = divergence(student_B2, teacher_B2), divergence(student_BJ, teacher_BJ)
    return term.temperature**2 * mean_over(term.alpha * target_B + term.beta * others_B, mask_B)


def _classes(targets: Tensor, teacher_BK: Tensor) -> Tensor:
    if targets.ndim == 2:
        targets = torch.where(targets.sum(1) > 0, targets.argmax(1), -1)
    return torch.where(targets >= 0, targets, teacher_BK.argmax(1))


def _parted(logits_BK: Tensor, classes_B: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of (the class, all others), and among the others."""
    columns_J = torch.arange(logits_BK.shape[1] - 1, device=logits_BK.device)
    class_B1 = classes_B[:, None]
    others_BJ = logits_BK.gather(1, columns_J + (columns_J >= class_B1))
    pair_B2 = torch.cat([logits_BK.gather(1, class_B1), others_BJ.logsumexp(1, keepdim=True)], dim=1)
    return F.log_softmax(pair_B2, dim=1), F.log_softmax(others_BJ, dim=1)


def dist(term: Dist, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Huang et al., NeurIPS 2022, section 3: T^2 * (inter * mean_b (1 - r_b) + intra * mean_k (1 - r_k)).

    r_b is Pearson's correlation of softmax(student / T) and softmax(teacher / T), (B, K), over the classes of sample b, r_k
    that over the samples for class k. T^2, and 1e-8 beside the product of the norms, as in the authors' code. Zero (but
    for these 1e-8) when the student's logits equal the teacher's up to a constant. Constants have correlation 0: in a batch
    of one sample every r_k is 0.
    """
    student_BK = F.softmax(precise(student.logits) / term.temperature, dim=1)
    teacher_BK = F.softmax(precise(teacher.logits) / term.temperature, dim=1)
    inter_B = 1 - _correlation(_centered(student_BK), _centered(teacher_BK))
    intra_K = 1 - _correlation(_centered(student_BK.T, mask_B), _centered(teacher_BK.T, mask_B))
    return term.temperature**2 * (term.inter * mean_over(inter_B, mask_B) + term.intra * intra_K.mean())


def _centered(x_XX: Tensor, mask_X: Tensor | None = None) -> Tensor:
    """Minus the mean along the last axis; entries that do not count are 0."""
    if mask_X is None:
        return x_XX - x_XX.mean(1, keepdim=True)
    return (x_XX - (x_XX * mask_X).sum(1, keepdim=True) / mask_X.sum().clamp(min=1)) * mask_X


def _correlation(a_XX: Tensor, b_XX: Tensor) -> Tensor:
    a_X, b_X = torch.linalg.vector_norm(a_XX, dim=1), torch.linalg.vector_norm(b_XX, dim=1)
    r_X: Tensor = (a_XX * b_XX).sum(1) / (a_X * b_X + 1e-8)
    return r_X
