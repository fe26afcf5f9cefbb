"""Building blocks of several terms: precision, means over the samples that count, directions, divergences.

Suffixes of shapes: B batch, K classes, X any.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-12


def precise(z: Tensor) -> Tensor:
    """In float32; float64 stays float64."""
    return z if z.dtype == torch.float64 else z.float()


def mean_over(losses_B: Tensor, mask_B: Tensor | None) -> Tensor:
    """The mean over the samples that count; 0 if none does."""
    if mask_B is None:
        return losses_B.mean()
    return (losses_B * mask_B).sum() / mask_B.sum().clamp(min=1)


def per_sample(x_BX: Tensor) -> Tensor:
    """The mean over all numbers of a sample: (B, ...) to (B,)."""
    return x_BX.flatten(1).mean(1)


def unit(x_X: Tensor) -> Tensor:
    """Scales to length 1 along the last axis. Zeros stay 0 and get no gradient (F.normalize would scale it by 1e12)."""
    length_X: Tensor = torch.linalg.vector_norm(x_X, dim=-1, keepdim=True)
    there_X = length_X > TINY
    unit_X: Tensor = x_X * there_X / torch.where(there_X, length_X, 1.0)
    return unit_X


def divergence(student_X: Tensor, teacher_X: Tensor) -> Tensor:
    """KL(teacher || student) over the last axis, of log-probabilities."""
    return F.kl_div(student_X, teacher_X, reduction="none", log_target=True).sum(-1)
