"""oneDNN's errors in 1x1 convolutions with stride 2; each case runs in a separate process, because it may crash.

    python benchmarks/strided.py [--threads 2]

Six steps per case on 28x28 images, batch 32, 16 output channels. A cell gives the largest relative difference of outputs and
gradients to float64 without oneDNN, or how the process ended. Trainings use `subsampled`: see autodistill/distill/layout.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from autodistill.distill.layout import subsample, without_onednn

CHANNELS = (1, 2, 4, 7, 8, 12, 16)
FLAGS = {"SSE41": "sse4_1", "AVX2": "avx2", "AVX512_CORE": "avx512dq"}
"""Instruction sets of oneDNN, and the flag of a processor that has them."""
CHECKED = {"MALLOC_CHECK_": "3", "LD_PRELOAD": "libc_malloc_debug.so.0"}
"""A write past the end of a block ends the process. glibc 2.34 and later need the library for it; elsewhere it does nothing."""
ARRANGED = {
    "channels last": (torch.channels_last, False),
    "plain": (torch.contiguous_format, False),
    "subsampled": (torch.channels_last, True),
}
TIMEOUT_SECONDS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", nargs=2, metavar=("CHANNELS", "ARRANGED"), help="one case, within this process")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.case:
        print(f"{difference(int(given.case[0]), *ARRANGED[given.case[1]]):.0e}")
        return
    has = Path("/proc/cpuinfo").read_text().split()
    levels = [level for level, flag in FLAGS.items() if flag in has]
    print(f"{given.threads} threads; {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    print("| channels in | " + " | ".join(f"{level}, {name}" for level in levels for name in ARRANGED) + " |")
    print("|---" * (1 + len(levels) * len(ARRANGED)) + "|")
    for channels in CHANNELS:
        cells = [ended(channels, name, level, given.threads) for level in levels for name in ARRANGED]
        print(f"| {channels} | " + " | ".join(cells) + " |", flush=True)


def ended(channels: int, arranged: str, level: str, threads: int) -> str:
    command = [sys.executable, __file__, "--threads", str(threads), "--case", str(channels), arranged]
    environment = os.environ | CHECKED | {"ONEDNN_MAX_CPU_ISA": level}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return "hangs"
    return done.stdout.strip() if done.returncode == 0 else f"signal {-done.returncode}"


def difference(channels: int, order: torch.memory_format, replaced: bool) -> float:
    worst = 0.0
    for seed in range(6):
        torch.manual_seed(seed)
        fast = nn.Sequential(nn.Conv2d(channels, 16, 1, stride=2, bias=False))
        exact = nn.Conv2d(channels, 16, 1, stride=2, bias=False).double()
        exact.load_state_dict(fast[0].state_dict())
        fast = fast.to(memory_format=order)
        if replaced:
            subsample(fast)
        x_BCHW = torch.randn(32, channels, 28, 28)
        grad = torch.randn(32, 16, 14, 14)
        x_exact = x_BCHW.double().requires_grad_()
        x_fast = x_BCHW.contiguous(memory_format=order).requires_grad_()
        with without_onednn():
            out_exact = exact(x_exact)
            out_exact.backward(grad.double())
        out = fast(x_fast)
        out.backward(grad.contiguous(memory_format=order))
        pairs = ((out_exact, out), (exact.weight.grad, fast[0].weight.grad), (x_exact.grad, x_fast.grad))
        found = [float((one - other).detach().abs().max() / one.detach().abs().max()) for one, other in pairs]
        worst = float(torch.tensor([worst, *found]).max())  # Python's own would pass over a NaN
    return worst


if __name__ == "__main__":
    main()
