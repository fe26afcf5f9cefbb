"""A search on nodes that come and go: `python -m tests.cluster SCENARIO STORE` prints what came of it as JSON.

A process of its own, which joins a cluster of several raylets on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"

from ray.cluster_utils import Cluster  # noqa: E402

from autodistill import spec as specs  # noqa: E402
from autodistill.distill import Job, save_data  # noqa: E402
from autodistill.prepare import load_data  # noqa: E402
from autodistill.runners.cluster import ENVIRONMENT, RayTune  # noqa: E402
from autodistill.spec import MLP, CrossEntropy, Objective, Recipe, Stage  # noqa: E402
from autodistill.store import Store  # noqa: E402
from autodistill.study.plan import Plan  # noqa: E402

from .conftest import DOCUMENT, blobs  # noqa: E402

LABELS = Objective(ce=CrossEntropy(weight=1.0))
AFTER = 4
"""Jobs that end before something happens to a node."""


class Timed(Plan):
    """A plan that keeps when jobs ran, and lets something happen after some of them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.again: Counter[str] = Counter()
        self.ran: list[tuple[float, float]] = []
        """When each job ended, and the seconds of its training."""
        self.happens: Callable[[], None] | None = None
        self.happened = self.last = 0.0

    def next(self) -> Job | None:
        job = super().next()
        if job is not None:
            self.last = time.monotonic()
        return job

    def lost(self, job: Job, cause: str) -> None:
        self.again[cause] += 1
        super().lost(job, cause)

    def done(self, job: Job, failure: str | None = None) -> None:
        super().done(job, failure)
        seconds = self.store.record(*job.address())["measurement"]["seconds"] if failure is None else 0.0
        self.ran.append((time.monotonic(), seconds))
        if self.happens is not None and len(self.ran) == AFTER:
            self.happens()
            self.happened = time.monotonic()

    def busy(self, workers: int) -> float:
        """The share of the workers' time that was spent on training, from what happened until the last job was handed out."""
        spent = sum(min(seconds, end - self.happened) for end, seconds in self.ran if self.happened < end <= self.last)
        return spent / (workers * (self.last - self.happened))


def plan(root: Path, jobs: int, seconds: float) -> Timed:
    """Trainings of a small net that take about so many seconds each, whatever else the machine does."""
    import numpy as np

    np.savez(root / "data.npz", **blobs())
    document = json.loads(json.dumps(DOCUMENT))
    document["task"]["dataset"] = str(root / "data.npz")
    spec, splits = load_data(specs.parse(document), cuda=False)
    store = Store(root / "store")
    save_data(store, splits)
    recipe = Recipe(epochs=max(1, int(100 * seconds)), batch_size=16, learning_rate=0.01, precision="float32")
    task = splits.task(spec.task)
    stages = [
        Stage(task=task, architecture=MLP(depth=1, width=8), objective=LABELS, recipe=recipe, seed=seed) for seed in range(jobs)
    ]
    return Timed(spec, store, splits, stages)


def run(plan: Timed, address: str) -> dict[str, Any]:
    lines: list[str] = []
    runner = RayTune(address)
    started = time.monotonic()
    runner.run(plan, lambda: None, lines.append)
    runner.end()
    return {
        "stored": len(plan.store.keys("stages")),
        "failures": list(plan.failures.values()),
        "again": dict(plan.again),
        "lines": lines,
        "seconds": time.monotonic() - started,
        "marks": len(list((plan.store.root / "running").iterdir())),
    }


def replaced(root: Path, *, graceful: bool) -> dict[str, Any]:
    """One of two nodes goes, another joins."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    work = plan(root, jobs=40, seconds=2)

    def happens() -> None:
        cluster.remove_node(nodes[0], allow_graceful=graceful)
        cluster.add_node(num_cpus=1)

    work.happens = happens
    found = run(work, cluster.address)
    cluster.shutdown()
    return found | {"busy": work.busy(2)}


def joined(root: Path) -> dict[str, Any]:
    """A node joins a search that has one."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    work = plan(root, jobs=30, seconds=2)
    work.happens = lambda: cluster.add_node(num_cpus=1) and None
    found = run(work, cluster.address)
    cluster.shutdown()
    return found | {"busy": work.busy(2)}


def drained(root: Path) -> dict[str, Any]:
    """A node is told to go, with a deadline."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    work = plan(root, jobs=16, seconds=2)

    def happens() -> None:
        command = ["ray", "drain-node", "--address", cluster.address, "--node-id", node.node_id]
        command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", "1"]
        subprocess.run([str(Path(sys.executable).with_name("ray")), *command[1:]], check=True, capture_output=True)

    work.happens = happens
    found = run(work, cluster.address)
    cluster.shutdown()
    return found


def waited(root: Path) -> dict[str, Any]:
    """A cluster without a CPU, to which a node comes after a while."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0}, shutdown_at_exit=False)
    work = plan(root, jobs=6, seconds=1)
    later = threading.Timer(10, lambda: cluster.add_node(num_cpus=1))  # a thread: no signal handlers at exit
    later.start()
    found = run(work, cluster.address)
    later.join()
    cluster.shutdown()
    return found


SCENARIOS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ungraceful": lambda root: replaced(root, graceful=False),
    "graceful": lambda root: replaced(root, graceful=True),
    "joined": joined,
    "drained": drained,
    "waited": waited,
}

if __name__ == "__main__":
    os.environ.update(ENVIRONMENT)
    result = SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(result))
