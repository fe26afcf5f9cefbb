"""Training samples on a device, batch by batch, as both teachers and student see them.

Suffixes of shapes: N labeled and unlabeled samples, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.augment import Seen, Views
from ..models import Inputs
from ..spec import Augmentation
from .data import Data
from .layout import PLAIN

UNLABELED = -1


class Batch(NamedTuple):
    """`inputs`: x (B, *shape) in the data's units. `targets`: (B,), UNLABELED if there is none; (B, K) shares after mixup."""

    inputs: Inputs
    targets: Tensor


class Samples:
    """Rows 0 to N - 1, the labeled ones first. Arrays are resident on the device, image files are read batch by batch."""

    def __init__(self, data: Data, augmentation: Augmentation | None, seed: int, device: torch.device) -> None:
        self.data, self.device, self.labeled = data, device, len(data.train_y)
        self.layout = PLAIN
        """The layout of the batches; see `layout.lay_out`."""
        self.y_N = torch.full((data.rows,), UNLABELED)
        self.y_N[: self.labeled] = torch.from_numpy(np.array(data.train_y))
        self.y_N = self.y_N.to(device)
        self.x_N = None if data.streamed else _resident(data, device)
        self.views = None
        if augmentation is not None:
            self.views = Views(
                augmentation,
                seed=seed,
                samples=data.rows,
                shape=data.shape,
                fill=data.mean,
                device=device,
                labeled=self.labeled,
            )

    def __len__(self) -> int:
        return len(self.y_N)

    def fetch(self, rows_B: Tensor) -> Tensor:
        """The samples of these rows, unchanged."""
        if self.x_N is not None:
            return self.x_N[rows_B]
        return torch.from_numpy(np.ascontiguousarray(self.data.fetch(rows_B.cpu().numpy()))).to(self.device)

    def pair(self) -> Inputs:
        """Two samples for a trial forward pass."""
        return {"x": self.fetch(torch.arange(2, device=self.device) % len(self))}

    def batch(self, rows_B: Tensor, view: int) -> Batch:
        """These rows in one view: the view of a sample depends only on the seed, the sample and the view."""
        seen = Seen(self.fetch(rows_B), None, None) if self.views is None else self.views.batch(self.fetch, rows_B, view)
        inputs, y_B = {"x": self.layout.arranged(seen.x_B)}, self.y_N[rows_B]
        if seen.partner_B is None or seen.share_B is None:
            return Batch(inputs, y_B)
        return Batch(inputs, _mixed(y_B, self.y_N[seen.partner_B], seen.share_B, self.data.classes))

    def batches(self, rows_SB: Tensor, view: int) -> Iterator[tuple[Tensor, Batch]]:
        """The batches of `rows_SB`, in order; if samples are read from files, the next one is read during the current step."""
        if self.x_N is not None:
            yield from ((rows_B, self.batch(rows_B, view)) for rows_B in rows_SB)
            return
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self.batch, rows_SB[0], view)
            for index, rows_B in enumerate(rows_SB):
                batch = coming.result()
                if index + 1 < len(rows_SB):
                    coming = pool.submit(self.batch, rows_SB[index + 1], view)
                yield rows_B, batch

    def order(self, steps: int, batch: int, only_labeled: bool, generator: torch.Generator) -> Tensor:
        """Rows (steps, batch) of one epoch, on the device. With `only_labeled`, the labeled ones repeat until they fill it."""
        count = self.labeled if only_labeled else len(self)
        wanted = steps * batch
        orders = [torch.randperm(count, generator=generator) for _ in range(-(-wanted // count))]
        return torch.cat(orders)[:wanted].to(self.device).view(steps, batch)


def _resident(data: Data, device: torch.device) -> Tensor:
    """All samples on the device; on the CPU mapped from the file, so that the workers of a machine share one copy."""
    whole = isinstance(data.train_x, np.ndarray) and data.unlabeled_x is None
    return torch.from_numpy(data.train_x if whole else data.fetch(np.arange(data.rows))).to(device)


def _mixed(y_B: Tensor, partner_B: Tensor, share_B: Tensor, classes: int) -> Tensor:
    """Class shares (B, K) of mixed samples; a row of zeros if either label is missing."""
    known_B = (y_B != UNLABELED) & (partner_B != UNLABELED)
    one_BK, other_BK = (F.one_hot(y.clamp(min=0), classes).float() for y in (y_B, partner_B))
    share_B1 = share_B.unsqueeze(1)
    return (share_B1 * one_BK + (1 - share_B1) * other_BK) * known_B.unsqueeze(1)
