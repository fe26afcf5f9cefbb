"""Augmented views of samples, each fixed by (seed, sample, view).

"Consistent teaching" (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022): the
teacher and the student see the same view, so the teacher's outputs on k views can be cached and shared by many students.

Suffixes of shapes: N samples, B batch, C channels, H height, W width; `rows_B` are indices of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...spec import Augmentation, UsageError
from .pixels import cropped, cut_out, flipped, mixed, randomly_augmented
from .tables import Table, draw

__all__ = ["Seen", "Table", "Views", "check"]


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
            table = draw(
                self.augmentation,
                seed=self.seed,
                view=view,
                samples=self.samples,
                shape=self.shape,
                labeled=self.labeled,
            )
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
