"""Augmented views of samples, each fixed by (seed, sample, view).

"Consistent teaching" (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022): the
teacher and the student see the same view, so the teacher's outputs on k views can be cached and shared by many students.

What a view does is drawn on the CPU for all samples at once. Each option has its own generator, which depends only on
(seed, view, option), not on the batch, its order, the device or another option. So two trainings that differ in one option
share what all other options do.

Suffixes of shapes: N samples, B batch, C channels, H height, W width, O operations of RandAugment; `rows_B` are indices of
samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..spec import Augmentation, RandAugment, UsageError
from ..spec.arrays import Array
from .pixels import LARGEST, MOVES, cropped, cut_out, flipped, mixed, randomly_augmented


class Seen(NamedTuple):
    """x_B (B, *sample) in its original dtype; with mixup float32, plus the row of the other sample and the share of x's own.

    The target of x is share_B times that of its own sample plus 1 - share_B times that of partner_B.
    """

    x_B: Tensor
    partner_B: Tensor | None
    share_B: Tensor | None


class Views:
    """The augmented views of a data set. `shape` is the shape of a sample, `fill` the mean of each channel in the data's units;
    the first `labeled` samples have labels (None: all).

    The order is crop, flip, RandAugment, cutout, mixup. Raises UsageError for an augmentation that does not fit the shape.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        *,
        seed: int,
        samples: int,
        shape: tuple[int, ...],
        fill: Sequence[float],
        device: torch.device | str,
        labeled: int | None = None,
    ) -> None:
        check(augmentation, shape)
        self.augmentation, self.seed, self.samples, self.shape = augmentation, seed, samples, shape
        self.labeled = labeled
        self.device = torch.device(device)
        self.fill_C11 = torch.tensor(fill, dtype=torch.float32).view(-1, 1, 1).to(self.device)
        self._current: tuple[int, Table] | None = None

    def batch(self, fetch: Callable[[Tensor], Tensor], rows_B: Tensor, view: int) -> Seen:
        """View `view` of the samples in `rows_B`; `fetch(rows)` returns the unchanged samples, uint8 or float32."""
        table = self.table(view)
        if table.partner_N is None or table.share_N is None:
            return Seen(self._changed(fetch(rows_B), table.of(rows_B)), None, None)
        partner_B, share_B = table.partner_N[rows_B], table.share_N[rows_B]
        rows_2B = torch.cat([rows_B, partner_B])
        own_B, other_B = self._changed(fetch(rows_2B), table.of(rows_2B)).chunk(2)
        return Seen(mixed(own_B, other_B, share_B), partner_B, share_B)

    def table(self, view: int) -> Table:
        """What view `view` does to each sample, on the device; kept until another view is requested."""
        if self._current is None or self._current[0] != view:
            how, labeled = self.augmentation, self.samples if self.labeled is None else self.labeled
            table = draw(how, seed=self.seed, view=view, samples=self.samples, shape=self.shape, labeled=labeled)
            self._current = view, table.to(self.device)
        return self._current[1]

    def _changed(self, x_B: Tensor, table: Table) -> Tensor:
        """Samples in their original dtype, each changed by its own row of the table."""
        if table.offset_N2 is not None:
            x_B = cropped(x_B, table.offset_N2, self.augmentation.crop)
        if table.flip_N is not None:
            x_B = flipped(x_B, table.flip_N)
        if table.operation_NO is not None and table.strength_NO is not None and table.matrix_N23 is not None:
            x_B = randomly_augmented(x_B, (table.operation_NO, table.strength_NO), table.matrix_N23, self.fill_C11)
        if table.center_N2 is not None:
            x_B = cut_out(x_B, table.center_N2, self.augmentation.cutout, self.fill_C11)
        return x_B


def check(augmentation: Augmentation, shape: tuple[int, ...]) -> None:
    """Raises UsageError for an augmentation that does not fit samples of `shape`."""
    names = augmentation.of_images()
    if names and len(shape) != 3:
        raise UsageError(
            f"augmentation.{names[0]}: takes images of shape (C, H, W), not samples of shape {shape}; "
            "remove it (mixup takes any shape)"
        )
    for name in ("crop", "cutout"):
        side, least = getattr(augmentation, name), min(shape[1:], default=0)
        if side and side >= least:
            raise UsageError(
                f"augmentation.{name}: {side} can leave nothing of samples of shape {shape}; use at most {least - 1}"
            )


class Table(NamedTuple):
    """What one view does to each sample; None if the option is off."""

    offset_N2: Tensor | None  # of the crop, y and x
    flip_N: Tensor | None
    operation_NO: Tensor | None  # see CODE
    strength_NO: Tensor | None  # of the operation, signed
    matrix_N23: Tensor | None  # all moves of pixels: maps where a pixel is to where it comes from
    center_N2: Tensor | None  # of the square cut out, y and x
    partner_N: Tensor | None
    share_N: Tensor | None

    def of(self, rows_B: Tensor) -> Table:
        return Table(*(None if column_N is None else column_N[rows_B] for column_N in self))

    def to(self, device: torch.device) -> Table:
        return Table(*(None if column_N is None else column_N.to(device) for column_N in self))


def draw(augmentation: Augmentation, *, seed: int, view: int, samples: int, shape: tuple[int, ...], labeled: int) -> Table:
    """View `view` of `samples` samples of `shape`, of which the first `labeled` have labels, on the CPU."""

    def generator(option: str) -> np.random.Generator:
        name = hashlib.sha256(f"{seed}/view/{view}/{option}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(name, "big")))

    crop, cutout, mixup, random = augmentation.crop, augmentation.cutout, augmentation.mixup, augmentation.randaugment
    offset_N2 = generator("crop").integers(0, 2 * crop, (samples, 2), endpoint=True) if crop else None
    flip_N = generator("flip").random(samples) < 0.5 if augmentation.flip else None
    operations = _operations(random, generator("randaugment"), samples, shape) if random else (None, None, None)
    center_N2 = generator("cutout").integers(0, shape[1:], (samples, 2)) if cutout else None
    partner_N, share_N = _mixes(mixup, generator("mixup"), samples, labeled) if mixup else (None, None)
    columns = (offset_N2, flip_N, *operations, center_N2, partner_N, share_N)
    return Table(*(None if column_N is None else torch.from_numpy(column_N) for column_N in columns))


def _operations(
    random: RandAugment, generator: np.random.Generator, samples: int, shape: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    """Operations drawn with replacement, at one magnitude, each with its own sign; and the moves among them as one map."""
    size = (samples, random.operations)
    operation_NO = generator.integers(0, len(LARGEST), size)
    sign_NO = generator.choice([-1.0, 1.0], size)
    strength_NO = sign_NO * random.magnitude / 10 * np.array(list(LARGEST.values()))[operation_NO]
    return operation_NO, strength_NO.astype(np.float32), composed(operation_NO, strength_NO, *shape[1:])


def composed(operation_NO: Array, strength_NO: Array, height: int, width: int) -> Array:
    """matrix_N23: one affine map for all moves of a sample, about its center, in pixels; rows are x and y."""
    matrix_N33 = np.broadcast_to(np.eye(3), (len(operation_NO), 3, 3))
    for operation_N, strength_N in zip(operation_NO.T, strength_NO.T, strict=True):
        angle, shear_x, shear_y, shift_x, shift_y = (np.where(operation_N == code, strength_N, 0.0) for code in MOVES)
        cos, sin, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
        rows = [[cos, shear_x - sin, shift_x * width], [shear_y + sin, cos, shift_y * height], [zero, zero, one]]
        matrix_N33 = matrix_N33 @ np.array(rows).transpose(2, 0, 1)
    return matrix_N33[:, :2].astype(np.float32)


def _mixes(alpha: float, generator: np.random.Generator, samples: int, labeled: int) -> tuple[Array, Array]:
    """A permutation, so that each sample is the partner of one other, and shares of at least one half: max(l, 1 - l), l ~ Beta.

    Samples with labels are mixed only with each other: a mixture with an unknown label has no label.
    """
    partner_N = np.concatenate([generator.permutation(labeled), labeled + generator.permutation(samples - labeled)])
    share_N = generator.beta(alpha, alpha, samples)
    return partner_N, np.maximum(share_N, 1 - share_N).astype(np.float32)
