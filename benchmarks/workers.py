"""How much faster two Ray workers are than one, for a search of long stages, and what share of their time is useful.

    python benchmarks/workers.py [--runs 1]

The space of search_spaces/digits.yaml with wide students only and 40 epochs: 12 trials by random search, all trained to the
end. One worker is asked for by giving it both cores; either way a stage is trained on one thread. Seconds are those of the
runner, less the teacher's training, which is one job.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SPEC = Path(__file__).parent.parent / "search_spaces/digits.yaml"
LONG = [
    *("search.trials=12", "search.sampler=random", "search.halving=false", "search.label_baselines=false", "search.enqueue=[]"),
    *("student.recipe.epochs=40", "student.architecture.width={int: [8, 16]}", "assistants.at_most=0"),
]


def spent(cpus: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as out:
        words = [word for one in [*LONG, f"resources.cpus={cpus}"] for word in ("--set", one)]
        command = [sys.executable, "-m", "autodistill", "search", str(SPEC), *words, "--out", f"{out}/study", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["spent"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    pairs = [(spent(cores), spent(1)) for _ in range(given.runs)]
    alone = [one["seconds"] - one["teachers"] for one, _ in pairs]
    both = [two["seconds"] - two["teachers"] for _, two in pairs]
    faster = [one / two for one, two in zip(alone, both, strict=True)]
    print(
        json.dumps(
            {
                "n": given.runs,
                "seconds_one_worker": statistics.mean(alone),
                "seconds_all_workers": statistics.mean(both),
                "times_faster": statistics.mean(faster),
                "all": pairs,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
