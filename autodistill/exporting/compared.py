"""Whether a written file reproduces the outputs of its network, and how fast it is.

Shape suffixes: B batch, N validation samples, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..distill import Data
from ..distill.predictions import batch_for, checked_logits, count_correct
from ..metrics import latency
from .formats import Run

ROUNDING = 1e-3
"""Relative to the largest logit: how much another order of float32 sums may change. Our families change about 1e-6."""
BATCHES = {"one": 1, "batched": 64}


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


def compared(found_NK: Tensor, wanted_NK: Tensor, data: Data) -> dict[str, Any]:
    """Facts: `largest` absolute difference of logits, `flipped` predictions, and correct predictions, `correct` of `n`."""
    return {
        "largest": float((found_NK - wanted_NK).abs().max()),
        "flipped": int((found_NK.argmax(1) != wanted_NK.argmax(1)).sum()),
        "correct": count_correct(found_NK, np.array(data.validation_y)),
        "n": len(wanted_NK),
    }


def refusal(facts: dict[str, Any], wanted_NK: Tensor) -> str | None:
    """Why a file is left out; None if all its differences are due to rounding.

    A prediction can only flip if the two largest logits are closer than twice the largest difference: if that is due to
    rounding, so is every flip.
    """
    allowed = ROUNDING * max(1.0, float(wanted_NK.abs().max()))
    if facts["largest"] <= allowed:
        return None
    return (
        f"its logits differ from PyTorch's by up to {facts['largest']:.2g}, more than rounding explains ({allowed:.2g}), and "
        f"{facts['flipped']:,} of {facts['n']:,} predictions differ"
    )


def latencies(run: Run, shape: tuple[int, ...], threads: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of one sample and of 64, on the CPU: median and 95th percentile."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            return {name: _latency(run, torch.zeros(batch, *shape)) for name, batch in BATCHES.items()}
    finally:
        torch.set_num_threads(before)


def _latency(run: Run, x: Tensor) -> dict[str, Any]:
    return {"batch": len(x), **latency.percentiles(latency.timed(lambda: run(x), seconds=latency.SECONDS))}
