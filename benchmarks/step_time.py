"""Milliseconds of one training step on the CPU: contiguous, channels last, as in a training, and without oneDNN.

    python benchmarks/step_time.py

One thread, batch 64, forward, backward and fused AdamW on random images; the variants take turns, median of five runs. `as
trained` replaces strided 1x1 convolutions (autodistill/distill/layout.py). `channels last` is skipped for networks that have
such convolutions with fewer than 16 channels: it can crash the process.
"""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

import torch
import torch.nn.functional as F

from autodistill.data import InputSpec
from autodistill.distill.layout import subsample
from autodistill.models import build
from autodistill.spec import ResNet

CASES = [(1, 4, 8), (3, 15, 8), (2, 32, 8), (1, 8, 28), (1, 16, 28)]
NARROW = 16
VARIANTS = {
    "plain": (torch.contiguous_format, True, False),
    "channels last": (torch.channels_last, True, False),
    "as trained": (torch.channels_last, True, True),
    "plain, no oneDNN": (torch.contiguous_format, False, False),
}


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for depth, width, side in CASES:
        chosen = {name: how for name, how in VARIANTS.items() if name != "channels last" or width >= NARROW}
        times: dict[str, list[float]] = {name: [] for name in chosen}
        for _ in range(5):
            for name, how in chosen.items():
                times[name].append(step_ms(depth, width, side, *how))
        medians = ", ".join(f"{name} {statistics.median(values):.1f}" for name, values in times.items())
        print(f"resnet {depth}x{width} on {side}x{side}: {medians}")


def step_ms(depth: int, width: int, side: int, order: Any, onednn: bool, replaced: bool, steps: int = 15) -> float:
    torch.manual_seed(0)
    network = build(ResNet(depth=depth, width=width), inputs=InputSpec.x((1, side, side)), classes=10).to(memory_format=order)
    if replaced:
        subsample(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    x, y = torch.randn(64, 1, side, side).contiguous(memory_format=order), torch.randint(0, 10, (64,))
    with torch.backends.mkldnn.flags(enabled=onednn):
        for step in range(-5, steps):
            if step == 0:
                started = time.perf_counter()
            F.cross_entropy(network({"x": x}).logits, y).backward()
            optimizer.step()
            optimizer.zero_grad()
    return (time.perf_counter() - started) / steps * 1e3


if __name__ == "__main__":
    main()
