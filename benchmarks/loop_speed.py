"""Images a second of the training loop, against the shortest plain PyTorch loops that train the same student.

    python benchmarks/loop_speed.py [--images 6000] [--threads 1]

On Fashion-MNIST, kd and cross-entropy. `cached`: both read the teacher's outputs from memory. `live`: the plain loop runs
a teacher of at least five times the student's multiply-adds in each step. One epoch each, in turn, the median of five.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from paired import fashion
from torch import Tensor

from autodistill.distill import load_network, make_outputs, open_data, train
from autodistill.distill.networks import initialized
from autodistill.distill.outputs import open_outputs
from autodistill.distill.run import Run
from autodistill.models.sizes import sizes
from autodistill.spec import CrossEntropy, LossSpec, Recipe, ResNet, SoftTargets, Stage
from autodistill.store import Store

CPU, TIMES = torch.device("cpu"), 5
RECIPE = Recipe(epochs=2 * TIMES + 2, batch_size=64, learning_rate=3e-3, precision="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for width in (4, 8):
        with tempfile.TemporaryDirectory() as folder:
            compare(Store(folder), ResNet(depth=1, width=width), given.images)


def compare(store: Store, architecture: ResNet, images: int) -> None:
    task = fashion(store, images)
    labels, both = LossSpec(ce=CrossEntropy()), LossSpec(ce=CrossEntropy(weight=0.1), kd=SoftTargets(weight=0.9))
    short = RECIPE.model_copy(update={"epochs": 1})
    larger = ResNet(depth=1, width=round(architecture.width * 2.5))
    teacher = Stage(task=task, architecture=larger, loss=labels, recipe=short, seed=0)
    train(store, teacher, CPU)
    student = Stage(task=task, architecture=architecture, loss=both, recipe=RECIPE, seed=0, teachers=(teacher,))
    asked = student.logits_cache()
    assert asked is not None
    make_outputs(store, teacher, asked, CPU)
    data, run = open_data(store, task.data), None
    x_N, y_N = torch.from_numpy(np.array(data.train_x["x"])).float(), torch.from_numpy(data.train_y.copy())
    targets_NK = torch.from_numpy(open_outputs(store, teacher, asked).logits[0].copy())
    live = load_network(store, teacher, CPU)
    run = Run(store, student, data, CPU)
    loops: dict[str, Callable[[], Any]] = {
        "ours": run.epoch,
        "plain, cached": plain(initialized(store, student, data), x_N, y_N, lambda x, rows: targets_NK[rows]),
        "plain, live": plain(initialized(store, student, data), x_N, y_N, lambda x, rows: live({"x": x}).logits),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(TIMES + 1):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop()
            if turn:
                times[name].append(time.perf_counter() - started)
    rates = {name: len(y_N) / statistics.median(found) for name, found in times.items()}
    macs = [sizes(one, data.inputs, data.classes).macs for one in (larger, architecture)]
    print(f"resnet 1x{architecture.width}, teacher of {macs[0] / macs[1]:.1f} times its MACs: ", end="")
    print(", ".join(f"{name} {rate:,.0f} images/s" for name, rate in rates.items()), end="; ")
    print(", ".join(f"{rates['ours'] / rates[name]:.2f} of {name}" for name in loops if name != "ours"))


def plain(network: Any, x_N: Tensor, y_N: Tensor, say: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
    """An epoch as one would write it: permutation, forward, loss, AdamW, one cycle."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RECIPE.learning_rate, weight_decay=RECIPE.weight_decay)
    steps = len(y_N) // RECIPE.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RECIPE.learning_rate, total_steps=steps * RECIPE.epochs + 1)

    def epoch() -> None:
        network.train()
        for rows in torch.randperm(len(y_N))[: steps * RECIPE.batch_size].view(steps, -1):
            x = x_N[rows]
            with torch.no_grad():
                said = say(x, rows)
            logits = network({"x": x}).logits
            soft = F.kl_div(F.log_softmax(logits / 4, 1), F.softmax(said / 4, 1), reduction="batchmean")
            loss = 0.1 * F.cross_entropy(logits, y_N[rows]) + 0.9 * 16 * soft
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    return epoch


if __name__ == "__main__":
    main()
