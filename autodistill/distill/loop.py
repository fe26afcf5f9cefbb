"""The training loop.

Suffixes of shapes: N samples, B batch, K classes, S steps of an epoch, T teachers.

Randomness derives from (stage.seed, purpose) alone: stages that differ only in objective or teachers start from the same
weights and see the same batches in the same order.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from ..batch import Outputs
from ..models import Network
from ..objectives import Loss
from ..spec import Recipe, Stage, StageFailed, describe
from ..store import Store
from .artifacts import build_for, measurement, open_outputs, save_network
from .data import Data, open_data


def train(store: Store, stage: Stage, device: torch.device) -> dict[str, Any]:
    """Trains a stage whose teachers' outputs are stored, measures it on the validation data and stores it.

    Returns its record. Raises StageFailed when the loss is no longer finite.
    """

    def fill(folder: Path) -> dict[str, Any]:
        data = open_data(store, stage.task.data)
        started = time.perf_counter()
        run = Run(store, stage, data, device)
        with seeded(stage.seed, "forward", device):  # dropout and its like
            losses = [run.epoch() for _ in range(stage.recipe.epochs)]
        seconds = time.perf_counter() - started
        network = run.network.to(memory_format=torch.contiguous_format)  # as it will be loaded
        save_network(folder, network)
        found = measurement(network, data, stage.architecture, device)
        return {
            "network": stage.model_dump(mode="json"),
            "measurement": found | {"seconds": seconds},
            "losses": losses,
            "environment": environment(device),
        }

    return store.make("stages", stage.key(), fill)


class Run:
    """A stage in training: everything resident on the device."""

    def __init__(self, store: Store, stage: Stage, data: Data, device: torch.device) -> None:
        self.stage, self.device = stage, device
        self.x_N = torch.from_numpy(np.array(data.train_x)).to(device)
        self.y_N = torch.from_numpy(np.array(data.train_y)).to(device)
        self.teachers_TNK = [torch.from_numpy(np.array(open_outputs(store, teacher))).to(device) for teacher in stage.teachers]
        self.batch = min(stage.recipe.batch_size, len(self.y_N))
        self.steps = len(self.y_N) // self.batch
        self.network = initialised(stage, data).to(device)
        if self.x_N.ndim == 4:  # channels last: up to a third faster on the CPU (benchmarks/step_time.py)
            self.x_N = self.x_N.contiguous(memory_format=torch.channels_last)
            self.network = self.network.to(memory_format=torch.channels_last)
        self.optimizer = optimizer_of(self.network, stage.recipe)
        self.scheduler = scheduler_of(self.optimizer, stage.recipe, self.steps * stage.recipe.epochs)
        self.loss = Loss(stage.objective)
        self.order = torch.Generator().manual_seed(derived_seed(stage.seed, "order"))

    def batches(self) -> Iterator[Tensor]:
        order_N = torch.randperm(len(self.y_N), generator=self.order)[: self.steps * self.batch]
        yield from order_N.to(self.device).view(self.steps, self.batch)

    def step(self, rows_B: Tensor) -> Tensor:
        """One update; returns the loss, still on the device."""
        teachers = [Outputs(logits_NK[rows_B], {}) for logits_NK in self.teachers_TNK]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.stage.recipe.precision == "bfloat16"):
            student = self.network({"x": self.x_N[rows_B]})
        loss: Tensor = self.loss(student, teachers, self.y_N[rows_B])
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def epoch(self) -> float:
        """One pass over the training data; returns the mean loss. Raises StageFailed when it is not finite."""
        self.network.train()
        mean = float(torch.stack([self.step(rows_B) for rows_B in self.batches()]).mean())
        if not math.isfinite(mean):
            raise StageFailed(
                f"the loss of {describe(self.stage.architecture)} became {mean}; "
                f"lower the learning rate ({self.stage.recipe.learning_rate:g}) or the weights"
            )
        return mean


def derived_seed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")


@contextlib.contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """torch's own generators as (seed, purpose) has them; put back afterwards."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(seed, purpose))
        yield


def initialised(stage: Stage, data: Data) -> Network:
    """The stage's network with the weights that its seed gives, on the CPU."""
    with seeded(stage.seed, "init", torch.device("cpu")):
        return build_for(data, stage.architecture)


def optimizer_of(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    momentum = recipe.momentum or 0.0
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        momentum=momentum,
        nesterov=momentum > 0,
        fused=True,
    )


def scheduler_of(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """one_cycle: Smith and Topin 2018, up for 30 % of the steps, then down to nothing. cosine: down from the start."""
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    # One step more than is taken: the scheduler is stepped after the last update too.
    return OneCycleLR(optimizer, max_lr=recipe.learning_rate, total_steps=steps + 1, cycle_momentum=False)


def time_steps(store: Store, stage: Stage, device: torch.device, most: int = 6) -> float:
    """Seconds that one step of a stage takes: the median of a few after one to warm up, of fewer where they take long."""
    recipe = stage.recipe.model_copy(update={"epochs": stage.recipe.epochs + most + 1})  # a schedule has an end
    run = Run(store, stage.model_copy(update={"recipe": recipe}), open_data(store, stage.task.data), device)
    run.network.train()
    rows_B = next(run.batches())
    times = [_timed(lambda: run.step(rows_B), device)]
    while len(times) < 2 or len(times) <= most and sum(times) < 1.0:
        times.append(_timed(lambda: run.step(rows_B), device))
    return float(np.median(times[1:]))


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def environment(device: torch.device) -> dict[str, Any]:
    """Where a stage was trained: recorded, never part of its key."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
