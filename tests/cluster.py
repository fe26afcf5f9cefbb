"""A search on nodes that come and go: `python -m tests.cluster SCENARIO STORE` prints what came of it as JSON.

A process of its own, which joins a cluster of several raylets on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"

import psutil  # noqa: E402
import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from autodistill import spec as specs  # noqa: E402
from autodistill.distill import Job, save_data  # noqa: E402
from autodistill.runners.cluster import ENVIRONMENT, RayTune  # noqa: E402
from autodistill.spec import MLP, CrossEntropy, LossSpec, Recipe, Stage  # noqa: E402
from autodistill.store import Store  # noqa: E402
from autodistill.study.preflight.prepare import load_data  # noqa: E402
from autodistill.study.schedule.plan import Plan  # noqa: E402

from .conftest import DOCUMENT, blobs  # noqa: E402

LABELS = LossSpec(ce=CrossEntropy(weight=1.0))
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
        seconds = self.store.manifest(*job.address())["measurement"]["seconds"] if failure is None else 0.0
        self.ran.append((time.monotonic(), seconds))
        if self.happens is not None and len(self.ran) == AFTER:
            self.happens()
            self.happened = time.monotonic()

    def busy(self, workers: int) -> float:
        """The share of the workers' time that was spent on training, from what happened until the last job was handed out."""
        spent = sum(min(seconds, end - self.happened) for end, seconds in self.ran if self.happened < end <= self.last)
        return spent / (workers * (self.last - self.happened))


def lasting(seconds: float) -> Recipe:
    return Recipe(epochs=max(1, int(100 * seconds)), batch_size=16, learning_rate=0.01, precision="float32")


def plan(root: Path, jobs: int, seconds: float, first: float | None = None) -> Timed:
    """Trainings of a small net that take about so many seconds each, and the `first` as many."""
    import numpy as np

    np.savez(root / "data.npz", **blobs())
    document = json.loads(json.dumps(DOCUMENT))
    document["task"]["dataset"] = str(root / "data.npz")
    spec, splits = load_data(specs.parse(document), cuda=False)
    store = Store(root / "store")
    save_data(store, splits)
    task = splits.task(spec.task)
    lengths = [seconds if first is None else first, *[seconds] * (jobs - 1)]
    stages = [
        Stage(task=task, architecture=MLP(depth=1, width=8), loss=LABELS, recipe=lasting(length), seed=seed)
        for seed, length in enumerate(lengths)
    ]
    return Timed(spec, store, splits, stages)


def run(plan: Timed, address: str, after: Callable[[], None] = lambda: None) -> dict[str, Any]:
    lines: list[str] = []
    runner = RayTune(address)
    started = time.monotonic()
    runner.run(plan, after, lines.append)
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


AUTOSCALING: dict[str, Any] = {
    "cluster_name": "tests",
    "max_workers": 2,
    "idle_timeout_minutes": 0.1,
    "upscaling_speed": 1.0,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
        "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    **{name: {} for name in ("auth", "docker", "file_mounts")},
    **{name: [] for name in ("initialization_commands", "setup_commands", "cluster_synced_files")},
    **{name: [] for name in ("rsync_exclude", "rsync_filter")},
    **{f"{who}_{what}": [] for who in ("head", "worker") for what in ("setup_commands", "start_ray_commands")},
}
PROVIDER = {
    "type": "fake_multinode",
    "use_node_id_as_ip": True,
    "disable_node_updaters": True,
    "disable_launch_config_check": True,
}


@contextlib.contextmanager
def autoscaler(root: Path) -> Iterator[str]:
    """A cluster whose head has no CPU and starts nodes by itself, up to two; gives its address.

    `ray.cluster_utils.AutoscalingCluster` is this too, but reads a file that Ray's wheel does not have.
    """
    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
    config = root / "autoscaling.json"
    config.write_text(json.dumps(AUTOSCALING | {"provider": PROVIDER | {"gcs_address": address}}))
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=0"]
    command += [f"--port={address.rpartition(':')[2]}", f"--autoscaling-config={config}", "--include-dashboard=false"]
    environment = os.environ | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with (root / "head.log").open("wb") as log:
        head = psutil.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        while b"Ray runtime started" not in (root / "head.log").read_bytes():
            assert head.poll() is None, (root / "head.log").read_text()
            time.sleep(0.5)
        yield address
    finally:
        for process in [head, *head.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait()


def autoscaled(root: Path) -> dict[str, Any]:
    """A cluster at zero, whose autoscaler starts nodes while work waits, and ends those that idle beside a long training."""
    with autoscaler(root) as address:
        work = plan(root, jobs=10, seconds=2, first=120)
        nodes: list[int] = []

        def after() -> None:
            nodes.append(sum("CPU" in node["Resources"] for node in ray.nodes() if node["Alive"]))

        found = run(work, address, after)
    return found | {"nodes": nodes}


SCENARIOS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ungraceful": lambda root: replaced(root, graceful=False),
    "graceful": lambda root: replaced(root, graceful=True),
    "joined": joined,
    "drained": drained,
    "waited": waited,
    "autoscaled": autoscaled,
}

if __name__ == "__main__":
    os.environ.update(ENVIRONMENT)
    result = SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(result))
