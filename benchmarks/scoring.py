"""How long the scores of every metric take for one network, and their values alone, as at a rung.

    python benchmarks/scoring.py

The medians of five runs in milliseconds: of the ranks and losses of the samples from the logits, the scores with their errors
and intervals, and the values alone.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np  # noqa: E402

from autodistill.metrics.metric import outcome, scores, values  # noqa: E402

CASES = ((270, 10), (1800, 10), (10_000, 10), (10_000, 100), (50_000, 1000))


def main() -> None:
    print("| samples | classes | outcome | scores | values |\n|---|---|---|---|---|")
    for n, classes in CASES:
        print(f"| {n:,} | {classes:,} | {' | '.join(f'{one:.1f}' for one in measured(n, classes))} |", flush=True)


def measured(n: int, classes: int) -> list[float]:
    random = np.random.default_rng(0)
    y = random.integers(0, classes, n)
    logits = random.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), y] += 3
    found = outcome(logits, y)
    calls = (lambda: outcome(logits, y), lambda: scores(found, classes), lambda: values(found))
    return [milliseconds(call) for call in calls]


def milliseconds(call: Callable[[], object], runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
