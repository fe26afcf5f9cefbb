"""A grid of digits students, the accuracy after every epoch recorded: what searches are replayed on, and rungs measured by.

    python benchmarks/digits_grid.py --store /tmp/grid            # trains, 10 minutes on 2 cores; goes on where it was killed
    python benchmarks/digits_grid.py --store /tmp/grid --table    # writes digits_students.csv and digits_schedules.csv

Three depths, eight widths and three weights of kd (0 learns from labels), below one teacher: the space of
search_spaces/digits.yaml without assistants. After each epoch the validation accuracy of the weights as they are (`raw`) and of
their moving average over about one epoch (`ema`) is taken; by three schedules:

    one_cycle   15 epochs, three seeds
    wsd         15 epochs: a tenth of the steps up, then level, down to nothing over the last fifth; one seed
    short       one cycle over 3, 5 or 8 epochs, each trained anew; one seed
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from paired import train_all
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from autodistill.data import read, split
from autodistill.distill import open_data, save_data
from autodistill.distill.networks import seeded
from autodistill.distill.predictions import measurement
from autodistill.distill.run import Run
from autodistill.spec import CrossEntropy, LossSpec, Recipe, ResNet, SoftTargets, Split, Stage, Task, TaskSpec
from autodistill.store import Store

HERE, CPU, EPOCHS = Path(__file__).parent, torch.device("cpu"), 15
DEPTHS, WIDTHS, WEIGHTS, SEEDS = (1, 2, 3), (1, 2, 3, 4, 6, 8, 11, 16), (0.0, 0.5, 0.9), (0, 1, 2)
LABELS = LossSpec(ce=CrossEntropy())


class Training(NamedTuple):
    depth: int
    width: int
    weight: float
    schedule: str
    epochs: int
    seed: int

    def name(self) -> str:
        return "-".join(map(str, self)) + ".json"


def trainings() -> list[Training]:
    """All that are to be measured, the schedules' first seed before the other seeds."""
    kinds = [("one_cycle", EPOCHS, 0), ("wsd", EPOCHS, 0), *(("short", epochs, 0) for epochs in (3, 5, 8))]
    kinds += [("one_cycle", EPOCHS, seed) for seed in SEEDS[1:]]
    return [Training(*student, *kind) for kind in kinds for student in itertools.product(DEPTHS, WIDTHS, WEIGHTS)]


def stage_of(one: Training, task: Task) -> Stage:
    recipe = Recipe(epochs=one.epochs, batch_size=64, learning_rate=3e-3, precision="float32")
    full = recipe.model_copy(update={"epochs": EPOCHS})
    teacher = Stage(task=task, architecture=ResNet(depth=2, width=32), loss=LABELS, recipe=full, seed=0)
    loss, teachers = LABELS, ()
    if one.weight:
        rest = CrossEntropy(weight=round(1 - one.weight, 6))
        loss, teachers = LossSpec(ce=rest, kd=SoftTargets(weight=one.weight, temperature=2)), (teacher,)
    architecture = ResNet(depth=one.depth, width=one.width)
    return Stage(task=task, architecture=architecture, loss=loss, recipe=recipe, seed=one.seed, teachers=teachers)


def measured(one: Training, stage: Stage, store: Store) -> dict[str, Any]:
    """One training, its accuracies by epoch and its seconds without the time that measuring took."""
    data = open_data(store, stage.task.data)
    run = Run(store, stage, data, CPU)
    if one.schedule == "wsd":
        for group in run.optimizer.param_groups:
            group["initial_lr"] = stage.recipe.learning_rate  # one cycle begins at a 25th of it
        run.scheduler = LambdaLR(run.optimizer, level(run.steps * one.epochs))
    average = AveragedModel(run.network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / run.steps), use_buffers=True)
    found: dict[str, Any] = {"raw": [], "ema": [], "seconds": 0.0}
    with seeded(stage.seed, "forward", CPU):
        for _ in range(one.epochs):
            started = time.perf_counter()
            run.network.train()
            for rows_B, batch in run.samples.batches(run.rows(run.order), run.shown):
                run.step(rows_B, batch)
                average.update_parameters(run.network)
            run.epochs += 1
            found["seconds"] += time.perf_counter() - started
            for name, network in (("raw", run.network), ("ema", average.module)):
                found[name].append(measurement(network, data, stage.architecture, CPU, seconds=0.0).scores["accuracy"].value)
    sizes = measurement(run.network, data, stage.architecture, CPU, seconds=0.0)
    return found | {"params": sizes.params, "macs": sizes.macs}


def level(steps: int) -> Any:
    """Warm-up, stable, decay (Hu et al., MiniCPM 2024): the share of the peak at each step."""
    up, down = max(1, steps // 10), max(1, steps // 5)
    return lambda step: min((step + 1) / up, 1.0, max(0.0, (steps - step) / down))


def work(one: Training, folder: Path, task: Task) -> None:
    torch.set_num_threads(1)
    path = folder / one.name()
    if not path.exists():
        found = measured(one, stage_of(one, task), Store(folder / "store"))
        path.write_text(json.dumps(one._asdict() | found))


def write(folder: Path) -> None:
    """The two tables; seconds of an epoch are the median over all trainings of one architecture."""
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    for name, kinds in (("digits_students", ("one_cycle",)), ("digits_schedules", ("wsd", "short"))):
        chosen = [row for row in rows if row["schedule"] in kinds]
        same = ("schedule", "depth", "width", "weight", "epochs", "seed")
        chosen.sort(key=lambda row: [row[column] for column in same])
        with (HERE / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            head = list(same if name == "digits_schedules" else ("depth", "width", "weight", "seed"))
            epochs = [f"{kind}_{epoch}" for kind in ("ema", "raw") for epoch in range(1, EPOCHS + 1)]
            writer.writerow([*head, "params", "macs", "seconds", *epochs])
            for row in chosen:
                values = [f"{value:.4f}" for kind in ("ema", "raw") for value in [*row[kind], *[0] * (EPOCHS - row["epochs"])]]
                values = [text if float(text) else "" for text in values]
                cost = f"{seconds_of(row, rows) * row['epochs']:.3f}"
                writer.writerow([*(row[column] for column in head), row["params"], row["macs"], cost, *values])


def seconds_of(row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    same = sorted(
        one["seconds"] / one["epochs"] for one in rows if (one["depth"], one["width"]) == (row["depth"], row["width"])
    )
    return float(same[len(same) // 2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        return write(given.store)
    spec = TaskSpec(dataset="sklearn/digits", split=Split(validation=0.15, test=0.15, seed=0))
    splits, store = split(read(spec), spec), Store(given.store / "store")
    save_data(store, splits)
    task = splits.task(spec)
    first = stage_of(Training(1, 1, 0.5, "one_cycle", EPOCHS, 0), task)
    train_all(store, [first], given.workers)  # the teacher and what it says
    with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(work, one, given.store, task) for one in trainings()]:
            done.result()


if __name__ == "__main__":
    main()
