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
    """Seeds torch's global generators by (seed, purpose); restores them afterwards."""
    with _put_back(device):
        torch.manual_seed(derived_seed(seed, purpose))
        yield


def states(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators: the CPU's and, if the device is a GPU, its own."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device.type == "cuda" else [])]


@contextlib.contextmanager
def going_on(left: list[Tensor], device: torch.device) -> Iterator[None]:
    """Sets torch's global generators to the states `left`, and updates `left` at the end; restores them afterwards."""
    with _put_back(device):
        torch.set_rng_state(left[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(left[1])
        yield
        left[:] = states(device)


def _put_back(device: torch.device) -> contextlib.AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else [])
