"""The training loop.

Suffixes of shapes: N samples, B batch, K classes, S steps of an epoch, T teachers.

Randomness derives from (stage.seed, purpose) alone: stages that differ only in loss or teachers start from the same
weights and see the same batches in the same order.
"""

from __future__ import annotations

import contextlib
import copy
import math
import platform
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from ..losses import Loss, matched
from ..models import Network, inherit
from ..models.outputs import Outputs
from ..spec import Recipe, Stage, StageFailed, describe
from ..spec.measurement import Rung
from ..store import Store
from . import partial
from .artifacts import build_for, count_right, load_network, measurement, save_network, soft_targets
from .data import Data, open_data
from .guides import Guides
from .layout import lay_out
from .samples import Batch, Samples
from .seeds import derived_seed, going_on, seeded, states

BALANCED = 8


def train(store: Store, stage: Stage, device: torch.device) -> dict[str, Any]:
    """Trains a stage whose teacher logits are stored, measures it on the validation data and stores it.

    Returns its manifest. Raises StageFailed if the loss is no longer finite.
    """
    for _ in training(store, stage, device, ()):
        raise AssertionError("there are no rungs")
    return store.manifest("stages", stage.key())


def training(store: Store, stage: Stage, device: torch.device, rungs: Sequence[int], *, safe: bool = False) -> Generator[Rung]:
    """The same, but reports after the epochs in `rungs`; may be closed there, or killed at any time.

    When called again, it reports the earlier rungs and resumes from the last one, with the same numbers. With `safe` (see
    `layout.SAFE`) it resumes only from a state that was trained with `safe`, too.
    """
    if store.has("stages", stage.key()):
        return
    state = partial.load(store, stage.key(), device, safe=safe)
    if state is not None:
        yield from (rung for rung in _passed(state) if rung.epochs in rungs)
    data = open_data(store, stage.task.data)
    run = _begun(store, stage, data, device, state, safe)
    del state  # as large as the training
    while run.epochs < (stage.until or stage.recipe.epochs):
        run.epoch()
        if run.epochs in rungs:
            with run.layout.kernels():
                accuracy = count_right(run.network, data, device) / len(data.validation_y)
            run.rungs.append(Rung(run.epochs, accuracy, run.seconds))
            partial.save(store, stage.key(), run.state(), device, safe=safe)
            yield run.rungs[-1]
    _store(store, stage, data, run)


def _begun(store: Store, stage: Stage, data: Data, device: torch.device, state: dict[str, Any] | None, safe: bool) -> Run:
    """A stage in training, restored from its state, or from its beginning if that does not fit."""
    if state is not None:
        with contextlib.suppress(KeyError, RuntimeError, TypeError, ValueError):  # your own module has changed since
            return Run(store, stage, data, device, state, safe=safe)
    return Run(store, stage, data, device, safe=safe)


def _passed(state: dict[str, Any]) -> list[Rung]:
    return [Rung(*rung) for rung in state["rungs"]]


def _store(store: Store, stage: Stage, data: Data, run: Run) -> None:
    """Measures and stores a stage that is trained to its end; removes the state that it would have resumed from."""

    def fill(folder: Path) -> dict[str, Any]:
        network = run.network.to(memory_format=torch.contiguous_format)  # as it will be loaded
        save_network(folder, network)
        found = measurement(network, data, stage.architecture, run.device, seconds=run.seconds)
        return {
            "network": stage.model_dump(mode="json"),
            "measurement": found.model_dump(),
            "losses": run.losses,
            "rungs": [list(rung) for rung in run.rungs],
            **({} if stage.teachers else {"soft_targets": soft_targets(network, data, run.device).model_dump()}),
            **({"scales": run.loss.scales} if stage.loss.balance else {}),
            **({"safe_mode": True} if run.safe else {}),
            "environment": environment(run.device),
        }

    with run.layout.kernels():
        store.make("stages", stage.key(), fill)
    store.remove_partial(stage.key())


class Run:
    """A stage in training, from its beginning or from its `state()`. Raises torch's errors if that belongs to another stage.

    `seconds` is the time of preparing and training, without measuring or waiting.
    """

    def __init__(
        self,
        store: Store,
        stage: Stage,
        data: Data,
        device: torch.device,
        state: dict[str, Any] | None = None,
        *,
        safe: bool = False,
    ) -> None:
        started = time.perf_counter()
        self.stage, self.device, self.epochs, self.taken = stage, device, 0, 0
        self.losses, self.rungs = list[float](), list[Rung]()
        self.samples = Samples(data, stage.recipe.augmentation, stage.seed, device)
        self.batch = min(stage.recipe.batch_size, len(self.samples))
        self.steps = len(self.samples) // self.batch
        self.network = initialized(store, stage, data).to(device)
        with seeded(stage.seed, "projection", torch.device("cpu")):
            self.loss = loss_of(stage, data).to(device)
        self.guides = Guides(store, stage, self.loss.teacher_layers, device)
        self.safe = safe
        self.layout = lay_out([self.network, *self.guides.networks], self.samples.pair, device, safe=safe)
        self.samples.layout = self.layout
        parameters = [*self.network.parameters(), *self.loss.parameters()]
        self.optimizer = optimizer_of(parameters, stage.recipe, fused=self.layout.fast)
        self.scheduler = scheduler_of(self.optimizer, stage.recipe, self.steps * stage.recipe.epochs)
        self.order = torch.Generator().manual_seed(derived_seed(stage.seed, "order"))
        self.dropping = torch.Generator().manual_seed(derived_seed(stage.seed, "teachers"))
        with seeded(stage.seed, "forward", device):  # dropout and the like
            self.forward = states(device)
        if state is not None:
            self._restore(state)
        elif stage.loss.balance == "initial":
            with seeded(stage.seed, "balance", device), self.layout.kernels():
                self.loss.balance(self.first_values())
        self.seconds = time.perf_counter() - started + (state["seconds"] if state is not None else 0.0)

    def state(self) -> dict[str, Any]:
        """Everything that later epochs depend on, and the results of the epochs so far."""
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            **{name: generator.get_state() for name, generator in self._generators().items()},
            **{name: getattr(self, name) for name in ("forward", "epochs", "taken", "losses", "seconds")},
            "rungs": [list(rung) for rung in self.rungs],
            "scales": self.loss.scales,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for name, generator in self._generators().items():
            generator.set_state(state[name])
        self.forward, self.epochs, self.taken = state["forward"], state["epochs"], state["taken"]
        self.losses, self.rungs, self.loss.scales = state["losses"], _passed(state), state["scales"]

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "loss": self.loss, "optimizer": self.optimizer, "scheduler": self.scheduler}

    def _generators(self) -> dict[str, torch.Generator]:
        return {"order": self.order, "dropping": self.dropping}

    @property
    def shown(self) -> int:
        """The view of this epoch: the next of `views`, cyclically; if they are fresh, one that was never used."""
        views = self.stage.recipe.views
        return self.epochs % views if isinstance(views, int) else self.epochs

    def rows(self, generator: torch.Generator) -> Tensor:
        """The rows (S, B) of one epoch."""
        return self.samples.order(self.steps, self.batch, not self.stage.teachers, generator)

    def step(self, rows_B: Tensor, batch: Batch | None = None) -> Tensor:
        """One update; returns the loss, still on the device."""
        batch = batch or self.samples.batch(rows_B, self.shown)
        which = self.kept()
        progress = self.taken / (self.steps * self.stage.recipe.epochs)
        loss = self.loss(*self.outputs(self.network, rows_B, batch, which), batch.targets, progress=progress, which=which)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.taken += 1
        return loss.detach()  # type: ignore[no-any-return]

    def outputs(self, network: Network, rows_B: Tensor, batch: Batch, which: Sequence[int]) -> tuple[Outputs, list[Outputs]]:
        teachers = self.guides.say(rows_B, batch.x, self.shown, which)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.stage.recipe.precision == "bfloat16"):
            return network({"x": batch.x}, self.loss.student_layers), teachers

    def kept(self) -> list[int]:
        """The teachers of this batch: all, or those that random dropping leaves (Son et al., ICCV 2021); at least one stays."""
        count, share = len(self.stage.teachers), self.stage.loss.drop_teachers
        if not share or count < 2:
            return list(range(count))
        drawn_T = torch.rand(count, generator=self.dropping)
        return (drawn_T >= share).nonzero().flatten().tolist() or [int(drawn_T.argmax())]

    def first_values(self) -> list[dict[str, float]]:
        """The values of each term on the first batches, before any update; the network itself does not change."""
        network, order = copy.deepcopy(self.network).train(), torch.Generator().manual_seed(self.order.initial_seed())
        everyone, found = list(range(len(self.stage.teachers))), []
        for rows_B in self.rows(order)[:BALANCED]:
            batch = self.samples.batch(rows_B, self.shown)
            with torch.no_grad():
                values = self.loss.values(*self.outputs(network, rows_B, batch, everyone), batch.targets)
            found.append({name: float(value) for name, value in values.items()})
        bad = [name for values in found for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise StageFailed(
                f"the first values of {', '.join(dict.fromkeys(bad))} are not finite, so the loss cannot be balanced"
            )
        return found

    def epoch(self) -> float:
        """One pass over the training data; returns the mean loss. Raises StageFailed if it is not finite."""
        started = time.perf_counter()
        self.network.train()
        batches = self.samples.batches(self.rows(self.order), self.shown)
        with going_on(self.forward, self.device), self.layout.kernels():
            mean = float(torch.stack([self.step(rows_B, batch) for rows_B, batch in batches]).mean())
        self.epochs += 1
        self.losses.append(mean)
        self.seconds += time.perf_counter() - started
        if not math.isfinite(mean):
            raise StageFailed(
                f"the loss of {describe(self.stage.architecture)} became {mean}; "
                f"lower the learning rate ({self.stage.recipe.learning_rate:g}) or the weights of the loss terms"
            )
        return mean


def loss_of(stage: Stage, data: Data) -> Loss:
    """The stage's loss, with matched layers if it uses features."""
    architectures = [teacher.architecture for teacher in stage.teachers]
    return matched(stage.loss, stage.architecture, architectures, data.shape, data.classes)


def initialized(store: Store, stage: Stage, data: Data) -> Network:
    """The stage's network on the CPU with the weights drawn from its seed, or inherited."""
    with seeded(stage.seed, "init", torch.device("cpu")):
        network = build_for(data, stage.architecture)
    if stage.init is not None:
        inherit(network, load_network(store, stage.init, torch.device("cpu")))
    return network


def optimizer_of(parameters: Sequence[Parameter], recipe: Recipe, *, fused: bool = True) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused)
    momentum = recipe.momentum or 0.0
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        momentum=momentum,
        nesterov=momentum > 0,
        fused=fused,
    )


def scheduler_of(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """one_cycle: Smith and Topin 2018, up for 30 % of the steps, then down to almost 0. cosine: down from the start."""
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    # One step more than is taken: the scheduler is stepped after the last update too.
    return OneCycleLR(optimizer, max_lr=recipe.learning_rate, total_steps=steps + 1, cycle_momentum=False)


def time_steps(store: Store, stage: Stage, device: torch.device, most: int = 6) -> float:
    """Seconds per step of a stage: the median of a few steps after one for warm-up, of fewer if they take long."""
    recipe = stage.recipe.model_copy(update={"epochs": stage.recipe.epochs + most + 1})  # the schedule would end otherwise
    run = Run(store, stage.model_copy(update={"recipe": recipe}), open_data(store, stage.task.data), device)
    run.network.train()
    rows_B = run.rows(run.order)[0]
    with run.layout.kernels():
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
