"""What a search costs on this machine: wall time from process start to end, and the peak memory of its largest process.

    python benchmarks/search_cost.py [SPEC] [--runs 3] [--runner ray]

Prints one JSON object; memory is the resident set of every process of the tree, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import psutil


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", nargs="?", default="search_spaces/digits.yaml")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--runner", default="ray")
    arguments = parser.parse_args()
    runs = [measured(arguments.spec, arguments.runner) for _ in range(arguments.runs)]
    summary = {name: spread([run[name] for run in runs]) for name in ("seconds", "peak_gib", "hypervolume", "trained")}
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"spec": arguments.spec, "runner": arguments.runner, "n": len(runs), **summary, "machine": machine}))


def measured(spec: str, runner: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "autodistill", "search", spec, "--out", f"{out}/study", "--runner", runner, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
        peaks: dict[int, int] = {}
        watcher = threading.Thread(target=watch, args=(process, peaks))
        watcher.start()
        found = json.loads(process.communicate()[0])
        watcher.join()
    return {
        "seconds": found["seconds"],
        "peak_gib": max(peaks.values()) / 2**30,
        "hypervolume": found["hypervolume"]["value"],
        "trained": found["stages"]["trained"],
    }


def watch(process: subprocess.Popen[str], peaks: dict[int, int]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for one in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    peaks[one.pid] = max(peaks.get(one.pid, 0), one.memory_info().rss)
        time.sleep(0.1)


def spread(values: list[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "deviation": deviation, "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
