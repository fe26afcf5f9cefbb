"""Outputs by position as rows, before any term on logits sees them: the classification of a sample is the case of one position.

Suffixes of shapes: B batch, P positions, K classes, R = B * P rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..models import Outputs


class Rows(NamedTuple):
    """Logits (R, K) of the student and its teachers, targets (R,) or (R, K), and a mask (R,) of the rows that count."""

    student: Outputs
    teachers: list[Outputs]
    targets: Tensor
    mask: Tensor | None


def by_rows(student: Outputs, teachers: Sequence[Outputs], targets: Tensor, mask: Tensor | None = None) -> Rows:
    """Logits (B, P, K), targets (B, P) or (B, P, K), and a mask (B, P) as rows; logits (B, K) as they are.

    No row is left out, so that shapes do not depend on the mask and a GPU need not wait for it.
    """
    if student.logits.ndim == 2:
        return Rows(student, list(teachers), targets, mask)
    flat = [one._replace(logits=one.logits.flatten(0, 1)) for one in (student, *teachers)]
    return Rows(flat[0], flat[1:], targets.flatten(0, 1), None if mask is None else mask.flatten())


def by_sample(mask: Tensor | None) -> Tensor | None:
    """mask_B of the samples that count: those with a position that does."""
    return mask if mask is None or mask.ndim == 1 else mask.any(1)
