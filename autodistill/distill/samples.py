"""Training samples on a device, batch by batch, as both teachers and student see them.

Samples of different lengths are padded to the longest of their batch; a mask comes with them.

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

from ..data.augment import Views
from ..data.columns import X
from ..data.encoding import TOKENS
from ..data.masking import Masking
from ..data.sources import most_held
from ..models import Inputs
from ..spec import Augmentation
from .data import Data, tensors_of
from .layout import PLAIN
from .lengths import of_similar_length

UNLABELED = -1


class Batch(NamedTuple):
    """`inputs`: the fields (B, ...) in the data's units. `targets`: classes (B,), UNLABELED if there is none, or (B, K) after
    mixup; labels or values (B, K), NaN if there are none.

    Where tokens are masked, `targets` (R,) are their ids, and `places` (R,) say where they are in the flattened batch.
    """

    inputs: Inputs
    targets: Tensor
    places: Tensor | None = None


class Samples:
    """Rows 0 to N - 1, the labeled ones first. Arrays that fit are resident on the device; others, image files, and samples of
    different lengths are read batch by batch. With a `masking`, each view masks other tokens.
    """

    def __init__(
        self,
        data: Data,
        augmentation: Augmentation | None,
        seed: int,
        device: torch.device,
        masking: Masking | None = None,
    ) -> None:
        self.masking = masking
        self.data, self.device, self.labeled = data, device, len(data.train_y)
        self.layout = PLAIN
        """The layout of the batches; see `layout.lay_out`."""
        self.y_N = _targets(data).to(device)
        self.resident = _resident(data, device)
        tokens_N = None if data.text is None else data.x.tokens
        self.tokens_N = None if tokens_N is None else torch.from_numpy(tokens_N)
        self.views = None
        if augmentation is not None:
            shape = data.inputs.numbers_of_x("augmentation", "remove it")
            assert data.mean is not None
            self.views = Views(
                augmentation,
                seed=seed,
                samples=data.rows,
                shape=shape,
                fill=data.mean,
                device=device,
                labeled=self.labeled,
            )

    def __len__(self) -> int:
        return len(self.y_N)

    def fetch(self, rows_B: Tensor) -> Inputs:
        """The samples of these rows, unchanged."""
        if self.resident is not None:
            return {name: x_N[rows_B] for name, x_N in self.resident.items()}
        return tensors_of(self.data.fetch(rows_B.cpu().numpy()), self.device)

    def pair(self) -> Inputs:
        """Two samples for a trial forward pass."""
        return self.fetch(torch.arange(2, device=self.device) % len(self))

    def batch(self, rows_B: Tensor, view: int) -> Batch:
        """These rows in one view: the view of a sample depends only on the seed, the sample, and the view."""
        if self.masking is not None:
            inputs = self.fetch(rows_B)
            masked = self.masking.masked(inputs[TOKENS], rows_B, view)
            return Batch(inputs | {TOKENS: masked.ids_BL}, masked.hidden_R, masked.places_R)
        y_B = self.y_N[rows_B]
        if self.views is None:
            return Batch(self._arranged(self.fetch(rows_B)), y_B)
        seen = self.views.batch(lambda rows: self.fetch(rows)[X], rows_B, view)
        inputs = self._arranged({X: seen.x_B})
        if seen.partner_B is None or seen.share_B is None:
            return Batch(inputs, y_B)
        partner_B = self.y_N[seen.partner_B]
        if self.data.kind == "classification":
            return Batch(inputs, _mixed(y_B, partner_B, seen.share_B, self.data.classes))
        share_B1 = seen.share_B.unsqueeze(1)
        return Batch(inputs, share_B1 * y_B + (1 - share_B1) * partner_B)

    def _arranged(self, inputs: Inputs) -> Inputs:
        return {name: self.layout.arranged(one) for name, one in inputs.items()}

    def batches(self, rows_SB: Tensor, view: int) -> Iterator[tuple[Tensor, Batch]]:
        """The batches of `rows_SB`, in order; if samples are not resident, the next one is read during the current step."""
        if self.resident is not None:
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
        """Rows (steps, batch) of one epoch, on the device. With `only_labeled`, the labeled ones repeat until they fill it.

        The texts of a batch have similar lengths.
        """
        count = self.labeled if only_labeled else len(self)
        wanted = steps * batch
        orders = [torch.randperm(count, generator=generator) for _ in range(-(-wanted // count))]
        rows_SB = torch.cat(orders)[:wanted].view(steps, batch)
        if self.tokens_N is not None:
            rows_SB = of_similar_length(rows_SB, self.tokens_N, generator)
        return rows_SB.to(self.device)


def _targets(data: Data) -> Tensor:
    """Classes (N,), or labels or values (N, K) as float32; UNLABELED or NaN for samples without labels."""
    known = torch.from_numpy(np.array(data.train_y))
    if data.kind == "classification":
        found = torch.full((data.rows,), UNLABELED)
    else:
        found = torch.full((data.rows, data.classes), torch.nan)
    found[: len(known)] = known
    return found


def _resident(data: Data, device: torch.device) -> Inputs | None:
    """All samples on the device, if they are arrays of one shape and fit; on the CPU mapped from the file, so that the workers
    of a machine share one copy.
    """
    parts = [data.train_x, *([] if data.unlabeled_x is None else [data.unlabeled_x])]
    if (device.type != "cpu" or len(parts) > 1) and sum(part.nbytes for part in parts) > _room(device):
        return None
    found = {}
    for name in data.train_x:
        arrays = [column for part in parts if isinstance(column := part[name], np.ndarray)]
        if len(arrays) < len(parts):
            return None
        found[name] = torch.from_numpy(arrays[0] if len(arrays) == 1 else np.concatenate(arrays)).to(device)
    return found


def _room(device: torch.device) -> int:
    """How many bytes of samples a device holds: half of the free memory of a GPU, the rest of which is for training. Results do
    not depend on it.
    """
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else most_held()


def _mixed(y_B: Tensor, partner_B: Tensor, share_B: Tensor, classes: int) -> Tensor:
    """Class shares (B, K) of mixed samples; a row of zeros if either label is missing."""
    known_B = (y_B != UNLABELED) & (partner_B != UNLABELED)
    one_BK, other_BK = (F.one_hot(y.clamp(min=0), classes).float() for y in (y_B, partner_B))
    share_B1 = share_B.unsqueeze(1)
    return (share_B1 * one_BK + (1 - share_B1) * other_BK) * known_B.unsqueeze(1)
