"""Terms on the outputs of tasks other than classification: several labels for each sample, and values.

Suffixes of shapes: B batch, K labels or values.

Logits or values are (B, K), and so are targets, which are NaN for a sample without labels: it never counts in the terms that
learn from labels and counts everywhere else. Values and their targets are standardized. mask_B: samples that count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import Outputs
from ..spec import CrossEntropy, SoftTargets, SquaredError
from .logits import mean_over, precise


def binary_cross_entropy(
    term: CrossEntropy, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """-(w y log q + (1 - y) log(1 - q)), the mean over labels and samples; q = sigmoid(student), y (B, K) from 0 to 1.

    With label_smoothing s, y becomes (1 - s) y + s / 2. `class_weights` are the w of each label, as torch's pos_weight. Zero
    when s = 0 and the student is certain of every label.
    """
    logits_BK = precise(student.logits)
    counts_B, known_BK = _known(targets.to(logits_BK.dtype), mask_B)
    smooth_BK = (1 - term.label_smoothing) * known_BK + term.label_smoothing / 2
    assert term.class_weights != "balanced", "weigh the labels first"
    weights_K = None if term.class_weights is None else logits_BK.new_tensor(term.class_weights)
    losses_BK = F.binary_cross_entropy_with_logits(logits_BK, smooth_BK, pos_weight=weights_K, reduction="none")
    return mean_over(losses_BK.mean(1), counts_B)


def binary_soft_targets(
    term: SoftTargets, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """T^2 * KL of each label's probabilities, the mean over labels and samples; p = sigmoid(teacher / T), q likewise.

    As Hinton, Vinyals and Dean 2015, label by label. Zero when the student's logits equal the teacher's.
    """
    student_BK, teacher_BK = precise(student.logits) / term.temperature, precise(teacher.logits) / term.temperature
    p_BK = teacher_BK.sigmoid()
    yes_BK = p_BK * (F.logsigmoid(teacher_BK) - F.logsigmoid(student_BK))
    no_BK = (1 - p_BK) * (F.logsigmoid(-teacher_BK) - F.logsigmoid(-student_BK))
    return term.temperature**2 * mean_over((yes_BK + no_BK).mean(1), mask_B)


def squared_error(
    term: SquaredError, student: Outputs, teacher: Outputs | None, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """(student - target)^2, the mean over values and samples that have a target; with `huber`, see `distance`.

    Zero when the student's values are the targets.
    """
    values_BK = precise(student.logits)
    counts_B, known_BK = _known(targets.to(values_BK.dtype), mask_B)
    return mean_over(distance(values_BK, known_BK, term.huber).mean(1), counts_B)


def teachers_values(
    term: SoftTargets, student: Outputs, teacher: Outputs, targets: Tensor, mask_B: Tensor | None = None
) -> Tensor:
    """The same distance to the teacher's values, the mean over values and samples. Zero when the student's equal these."""
    return mean_over(distance(precise(student.logits), precise(teacher.logits), term.huber).mean(1), mask_B)


def distance(own_BK: Tensor, other_BK: Tensor, huber: float | None) -> Tensor:
    """Squared differences or, beyond `huber` = d, 2 d |difference| - d^2: twice Huber's loss (1964)."""
    if huber is None:
        return (own_BK - other_BK) ** 2
    return 2 * F.huber_loss(own_BK, other_BK, reduction="none", delta=huber)


def _known(targets_BK: Tensor, mask_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which samples have labels and count, and the targets with 0 for those without."""
    labeled_B = ~torch.isnan(targets_BK).any(1)
    counts_B = labeled_B if mask_B is None else labeled_B * mask_B
    return counts_B, torch.where(labeled_B[:, None], targets_BK, 0.0)
