"""What several benchmarks share: Fashion-MNIST in a store, stages trained by some processes, paired differences."""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from autodistill.data import read, split
from autodistill.data.splits import Samples
from autodistill.distill import Job, open_data, perform, save_data, time_steps
from autodistill.distill.predictions import evaluate
from autodistill.models import Network
from autodistill.spec import Checkpoint, Split, Stage, Task, TaskSpec
from autodistill.store import Store
from autodistill.study.schedule.jobs import needs, outputs_of

CPU = torch.device("cpu")


def options(text: str | None, seeds: int) -> argparse.Namespace:
    """--store, --seeds and --workers of a script."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def fashion(store: Store, train: int, **changes: Any) -> Task:
    """`train` samples to train on and as many to validate on, so that 0.1 points can be told from noise."""
    spec = TaskSpec(dataset="fashion_mnist", samples=2 * train, split=Split(validation=0.5), **changes)
    splits = split(read(spec), spec)
    save_data(store, splits)
    return splits.task(spec)


def train_all(store: Store, stages: Sequence[Stage], workers: int, *, cuda: bool = False) -> None:
    """Trains what is not stored yet, generation by generation, each process on one thread. May be killed and begun again."""
    jobs = {job.address(): job for stage in stages for job in needs(stage) if not store.has(*job.address())}
    while jobs:
        ready = [job for job in jobs.values() if not any(_waits_for(job, other) for other in jobs.values())]
        for job in ready:
            del jobs[job.address()]
        for done in [_pool(workers).submit(_perform, job.dump(), str(store.root), cuda) for job in ready]:
            done.result()


@cache
def _pool(workers: int) -> ProcessPoolExecutor:
    """One pool for the whole script, because importing torch takes longer than a small training run on a GPU."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


def _waits_for(job: Job, other: Job) -> bool:
    if not other.trains:
        return job.trains and other.address() in [one.address() for one in outputs_of(job.network)]
    above = job.network.ancestors() if isinstance(job.network, Stage) else []
    keys = {network.key() for network in (above if job.trains else [*above, job.network])}
    return other.network.key() in keys


def _perform(job: str, root: str, cuda: bool) -> None:
    warnings.simplefilter("ignore")
    perform(Job.load(job), Store(Path(root)), cuda=cuda, threads=1)


def accuracy(network: Network, samples: Samples) -> float:
    """The share of the samples that it classifies correctly."""
    logits_NK = evaluate(network, samples.x, batch_size=256, device=CPU)
    return float((logits_NK.argmax(1).numpy() == np.asarray(samples.y)).mean())


def accuracies(store: Store, stages: Sequence[Stage | Checkpoint]) -> list[float]:
    return [100 * store.manifest("stages", stage.key())["measurement"]["scores"]["accuracy"]["value"] for stage in stages]


def seconds(store: Store, stage: Stage) -> float:
    """Of one training on one thread, from timed steps: trainings beside others would be timed unfairly."""
    torch.set_num_threads(1)
    batch = stage.recipe.batch_size
    steps = open_data(store, stage.task.data).rows // batch * stage.recipe.epochs
    return time_steps(store, stage, CPU, most=50) * steps


def difference(of: Sequence[float], against: Sequence[float]) -> str:
    """The mean of paired differences with its 95% interval (Student's t)."""
    found = [one - other for one, other in zip(of, against, strict=True)]
    half = stats.t.ppf(0.975, len(found) - 1) * statistics.stdev(found) / len(found) ** 0.5
    mean = statistics.mean(found)
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def table(store: Store, arms: Mapping[str, Sequence[Stage]], against: str) -> str:
    """A Markdown table: accuracy in percent, deviation between seeds, paired difference, seconds a training."""
    lines = [f"| | n | accuracy | deviation | difference to {against} (95%) | seconds |", "|---|---|---|---|---|---|"]
    reference = accuracies(store, arms[against])
    for name, stages in arms.items():
        found = accuracies(store, stages)
        shown = "" if name == against else difference(found, reference)
        lines.append(
            f"| {name} | {len(found)} | {statistics.mean(found):.2f} | {statistics.stdev(found):.2f} | {shown} "
            f"| {seconds(store, stages[0]):.1f} |"
        )
    return "\n".join(lines)
