"""Whether a written file reproduces the outputs of its network, and how fast it is.

Shape suffixes: B batch, N validation samples, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..answers.confirm.confirmation import Latency, Timing
from ..answers.confirm.judge import BATCH
from ..distill import Data
from ..distill.artifacts import batch_for, checked_logits
from ..metrics import latency
from ..models.sizes import count_correct
from ..spec import Value
from .formats import Run

ROUNDING = 1e-3
"""Relative to the largest logit: how much another order of float32 sums may change. Our families change about 1e-6."""


def outputs(run: Run, data: Data) -> Tensor:
    """logits_NK of the validation samples, the first one in a batch of its own: graphs may be wrong for single samples only.

    Raises StageFailed if they are not finite or do not match the data's classes, and whatever `run` raises.
    """
    with torch.inference_mode():
        found = [_checked(run(x), len(x)) for x in _batches(data)]
    return checked_logits(torch.cat(found), data.classes)


def _checked(logits_BK: Tensor, batch: int) -> Tensor:
    if logits_BK.ndim != 2 or len(logits_BK) != batch:
        raise ValueError(f"{batch} samples give outputs of shape {tuple(logits_BK.shape)}")
    return logits_BK


def _batches(data: Data) -> Iterator[Tensor]:
    size, n = batch_for(data), len(data.validation_y)
    for start, stop in [(0, 1), *((start, min(n, start + size)) for start in range(1, n, size))]:
        yield torch.from_numpy(np.array(data.validation_x[start:stop], dtype=np.float32))


class Compared(Value):
    """The `largest` absolute difference of logits, `flipped` predictions, and correct predictions, `correct` of `n`."""

    largest: float
    flipped: int
    correct: int
    n: int


def compared(found_NK: Tensor, wanted_NK: Tensor, data: Data) -> Compared:
    return Compared(
        largest=float((found_NK - wanted_NK).abs().max()),
        flipped=int((found_NK.argmax(1) != wanted_NK.argmax(1)).sum()),
        correct=count_correct(found_NK, np.array(data.validation_y)),
        n=len(wanted_NK),
    )


def refusal(found: Compared, wanted_NK: Tensor) -> str | None:
    """Why a file is left out; None if all its differences are due to rounding.

    A prediction can only flip if the two largest logits are closer than twice the largest difference: if that is due to
    rounding, so is every flip.
    """
    allowed = ROUNDING * max(1.0, float(wanted_NK.abs().max()))
    if found.largest <= allowed:
        return None
    return (
        f"its logits differ from PyTorch's by up to {found.largest:.2g}, more than rounding explains ({allowed:.2g}), and "
        f"{found.flipped:,} of {found.n:,} predictions differ"
    )


def latencies(run: Run, shape: tuple[int, ...], threads: int) -> Latency:
    """Of one sample and of 64, on the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            one, batched = (_timing(run, torch.zeros(batch, *shape)) for batch in (1, BATCH))
            return Latency(one=one, batched=batched)
    finally:
        torch.set_num_threads(before)


def _timing(run: Run, x: Tensor) -> Timing:
    return Timing(batch=len(x), **latency.percentiles(latency.timed(lambda: run(x), seconds=latency.SECONDS)))
