"""Randomness derives from (seed, purpose) alone."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor


def derived_seed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")


@contextlib.contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """torch's own generators as (seed, purpose) has them; put back afterwards."""
    with _put_back(device):
        torch.manual_seed(derived_seed(seed, purpose))
        yield


def states(device: torch.device) -> list[Tensor]:
    """Of torch's own generators: the CPU's and, where the device is a GPU, that one's."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device.type == "cuda" else [])]


@contextlib.contextmanager
def going_on(left: list[Tensor], device: torch.device) -> Iterator[None]:
    """torch's own generators from where they were `left`, which is where they are left again; put back afterwards."""
    with _put_back(device):
        torch.set_rng_state(left[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(left[1])
        yield
        left[:] = states(device)


def _put_back(device: torch.device) -> contextlib.AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else [])
