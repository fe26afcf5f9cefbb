"""How long a network takes for a prediction, alone on the machine."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from ..spec import Value

WARM_UP, LEAST, SECONDS = 10, 50, 1.0
"""Calls that are not counted; the fewest calls that are, and the fewest seconds."""


class Timing(Value):
    """Milliseconds of one call with `batch` samples: median and 95th percentile."""

    batch: int
    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, batch: int, times: list[float]) -> Self:
        """From the seconds of each call."""
        values, shares = torch.tensor(times, dtype=torch.float64), torch.tensor([0.5, 0.95], dtype=torch.float64)
        p50, p95 = torch.quantile(values, shares).tolist()
        return cls(batch=batch, p50_ms=1e3 * p50, p95_ms=1e3 * p95)


def latency(
    network: nn.Module, inputs: Mapping[str, Tensor], *, device: torch.device, threads: int = 1, seconds: float = SECONDS
) -> Timing:
    """The latency of a forward pass of one batch, tensors (B, ...) by name, in eval mode.

    Measures at least 50 calls and `seconds`, after 10 calls that do not count; on CUDA, waits for each call to finish. Run
    nothing else meanwhile.
    """
    placed = {name: one.to(device) for name, one in inputs.items()}
    network = network.to(device).eval()
    with limited_to(threads), torch.inference_mode():
        times = timed(lambda: network(placed), lambda: _wait(device), seconds)
    return Timing.of(len(next(iter(placed.values()))), times)


@contextlib.contextmanager
def limited_to(threads: int) -> Iterator[None]:
    """Lets torch use that many threads of the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def timed(call: Callable[[], object], wait: Callable[[], None] = lambda: None, seconds: float = SECONDS) -> list[float]:
    """Seconds of each call."""
    for _ in range(WARM_UP):
        call()
    wait()
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while len(times) < LEAST or time.perf_counter() < ends:
        started = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - started)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def name_of(device: torch.device) -> str:
    """A readable name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
