"""How many labels are enough? Accuracy against the share of labels, from labels and distilled, paired seeds.

    python benchmarks/few_labels.py --store SCRATCH [--seeds 5] [--workers 2]

12,000 Fashion-MNIST images, of which a share keeps its labels. Arms: from these labels; kd on all images, the others
without labels, by a teacher that learned from all labels, and by one that learned from this share alone. Every training has as
many steps. Prints a Markdown table. What is stored in SCRATCH is not trained again.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from paired import accuracies, difference, fashion, options, train_all
from safetensors.torch import load_file

from autodistill.distill import adopt
from autodistill.distill.weights import Weights
from autodistill.spec import Checkpoint, ConvNet, LossSpec, Recipe, ResNet, Stage, Task
from autodistill.store import Store

RECIPE = Recipe(epochs=10, batch_size=64, learning_rate=3e-3, precision="float32")
TEACHER, STUDENT = ResNet(depth=1, width=16), ConvNet(depth=4, width=4)
LABELS: dict[str, Any] = {"ce": {"weight": 1.0}}
KD: dict[str, Any] = {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 4.0}}
SHARES = (0.01, 0.05, 0.2, 1.0)


def main() -> None:
    given = options(__doc__, 5)
    store, seeds = Store(given.store), range(given.seeds)
    whole = fashion(store, 12_000)
    teacher = stage(whole, TEACHER, LABELS, 0)
    train_all(store, [teacher], given.workers)
    weights = Weights(load_file(store.file("stages", teacher.key(), "model.safetensors")), "the teacher")
    arms: dict[tuple[float, str], list[Stage]] = {}
    teachers: dict[float, Stage] = {}
    for share in SHARES:
        task = whole if share == 1 else fashion(store, 12_000, labeled=share)
        strong = teacher if share == 1 else adopt(store, task, TEACHER, weights, torch.device("cpu"))
        teachers[share] = stage(task, TEACHER, LABELS, 0)
        arms[share, "label-only"] = [stage(task, STUDENT, LABELS, seed) for seed in seeds]
        arms[share, "kd, teacher of all labels"] = [stage(task, STUDENT, KD, seed, strong) for seed in seeds]
        if share < 1:
            arms[share, "kd, teacher of these labels"] = [stage(task, STUDENT, KD, seed, teachers[share]) for seed in seeds]
    train_all(store, [one for stages in arms.values() for one in stages], given.workers)
    print("| share of labels | | n | accuracy | deviation | difference to label-only (95%) |\n|---|---|---|---|---|---|")
    for (share, name), stages in arms.items():
        found = accuracies(store, stages)
        gain = difference(found, accuracies(store, arms[share, "label-only"])) if name != "label-only" else ""
        print(
            f"| {share:.0%} | {name} | {len(found)} | {statistics.mean(found):.2f} | {statistics.stdev(found):.2f} | {gain} |"
        )
    for share, one in teachers.items():
        print(f"teacher of {share:.0%} of the labels: {accuracies(store, [one])[0]:.2f}%")


def stage(task: Task, architecture: Any, loss: dict[str, Any], seed: int, *teachers: Stage | Checkpoint) -> Stage:
    kept = LossSpec.model_validate(loss)
    return Stage(task=task, architecture=architecture, loss=kept, recipe=RECIPE, seed=seed, teachers=teachers)


if __name__ == "__main__":
    main()
