"""A stage in training.

Suffixes of shapes: N samples, B batch, K classes, S steps of an epoch, T teachers.

Randomness derives from (stage.seed, purpose) alone: stages that differ only in loss or teachers start from the same
weights and see the same batches in the same order.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from ..data.masking import Masking
from ..losses import Loss, matched, weighed
from ..models import Network, Outputs
from ..models.encoders import Encoder
from ..models.token_head import TokenHead
from ..spec import Recipe, Stage, StageFailed, describe
from ..spec.measurement import Rung
from ..store import Store
from .data import Data
from .layout import lay_out
from .networks import derived_seed, generators_restored, initialized, seeded
from .outputs import Guides
from .samples import Batch, Samples

BALANCED = 8
"""On how many batches the terms of a loss are balanced."""
PARTS, GENERATORS = ("network", "loss", "optimizer", "scheduler"), ("order", "dropping")
VALUES = ("forward", "epochs", "taken", "losses")
"""The attributes of a `Run` that its state holds: as state_dict (PARTS), as state (GENERATORS), or as they are (VALUES)."""
State = dict[str, Any]
"""Tensors and plain numbers by name: what torch.save can write and torch.load reads without unpickling code."""


class Run:
    """A stage in training, from its beginning or from its `state()`. Raises torch's errors if that belongs to another stage.

    `seconds` is the time of preparing and training, without measuring or waiting.
    """

    def __init__(
        self, store: Store, stage: Stage, data: Data, device: torch.device, state: State | None = None, *, safe: bool = False
    ) -> None:
        started = time.perf_counter()
        self.stage, self.device, self.safe = stage, device, safe
        self.epochs, self.taken, self.losses, self.rungs = 0, 0, list[float](), list[Rung]()
        self.samples = Samples(data, stage.recipe.augmentation, stage.seed, device, masking_of(stage, data))
        self.batch = min(stage.recipe.batch_size, len(self.samples))
        self.steps = len(self.samples) // self.batch
        self.network = initialized(store, stage, data).to(device)
        with seeded(stage.seed, "projection"):
            self.loss = loss_of(stage, data, self.network).to(device)
        self.guides = Guides(store, stage, self.loss.teacher_layers, device)
        self.layout = lay_out([self.network, *self.guides.networks], self.samples.pair, device, safe=safe)
        self.samples.layout = self.layout
        self.optimizer = optimizer_of([*self.network.parameters(), *self.loss.parameters()], stage.recipe, self.layout.fast)
        self.scheduler = scheduler_of(self.optimizer, stage.recipe, self.steps * stage.recipe.epochs)
        self.order, self.dropping = (
            torch.Generator().manual_seed(derived_seed(stage.seed, purpose)) for purpose in ("order", "teachers")
        )
        with seeded(stage.seed, "forward", device):  # dropout and the like
            self.forward = _generators(device)
        if state is not None:
            self._restore(state)
        elif stage.loss.balance == "initial":
            with seeded(stage.seed, "balance", device), self.layout.kernels():
                self.loss.balance(self.first_values())
        self.seconds = time.perf_counter() - started + (state["seconds"] if state is not None else 0.0)

    def state(self) -> State:
        """Everything that later epochs depend on, and the results of the epochs so far."""
        return {
            **{name: getattr(self, name).state_dict() for name in PARTS},
            **{name: getattr(self, name).get_state() for name in GENERATORS},
            **{name: getattr(self, name) for name in VALUES},
            "seconds": self.seconds,
            "rungs": [list(rung) for rung in self.rungs],
            "scales": self.loss.scales,
        }

    def _restore(self, state: State) -> None:
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        for name in GENERATORS:
            getattr(self, name).set_state(state[name])
        for name in VALUES:
            setattr(self, name, state[name])
        self.rungs, self.loss.scales = passed(state), state["scales"]

    @property
    def shown(self) -> int:
        """The view of this epoch: the next of `views`, cyclically; if they are fresh, one that was never used."""
        views = self.stage.recipe.views
        return self.epochs % views if isinstance(views, int) else self.epochs

    def rows(self, generator: torch.Generator) -> Tensor:
        """The rows (S, B) of one epoch."""
        only_labeled = not self.stage.teachers and not self.stage.pretrains
        return self.samples.order(self.steps, self.batch, only_labeled, generator)

    def step(self, rows_B: Tensor, batch: Batch | None = None) -> Tensor:
        """One update; returns the loss, still on the device."""
        batch = batch or self.samples.batch(rows_B, self.shown)
        which = self.kept()
        progress = self.taken / (self.steps * self.stage.recipe.epochs)
        outputs = self.outputs(self.network, rows_B, batch, which)
        loss = self.loss(*outputs, self.targets(batch), progress=progress, which=which)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.taken += 1
        return loss.detach()  # type: ignore[no-any-return]

    def outputs(self, network: Network, rows_B: Tensor, batch: Batch, which: Sequence[int]) -> tuple[Outputs, list[Outputs]]:
        """The network's outputs on a batch, and those of the teachers at the positions `which`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.stage.recipe.precision == "bfloat16"):
            teachers = self.guides.say(rows_B, batch.inputs, self.shown, which)
            own = network(batch.inputs, self.loss.student_layers)
            if self.loss.head is not None and batch.places is not None:
                assert isinstance(network.body, Encoder), "only transformers have such a head"
                own = self.loss.head.read(own, batch.places, network.body.words)
            return own, teachers

    def targets(self, batch: Batch) -> Tensor:
        """What the network should say of a batch; of masked tokens, the rows that it has for them."""
        return batch.targets if self.loss.head is None else self.loss.head.rows_V[batch.targets]

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
                values = self.loss.values(*self.outputs(network, rows_B, batch, everyone), self.targets(batch))
            found.append({name: float(value) for name, value in values.items()})
        bad = [name for values in found for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise StageFailed(
                f"the first values of {', '.join(dict.fromkeys(bad))} are not finite, so the loss cannot be balanced; "
                "remove that term, or balance: initial"
            )
        return found

    def epoch(self) -> float:
        """One pass over the training data; returns the mean loss. Raises StageFailed if it is not finite."""
        started = time.perf_counter()
        self.network.train()
        batches = self.samples.batches(self.rows(self.order), self.shown)
        with _continued(self.forward, self.device), self.layout.kernels():
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


def passed(state: State) -> list[Rung]:
    """The rungs that a training reported until it was in this state."""
    return [Rung(*rung) for rung in state["rungs"]]


def _generators(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators: the CPU's and, if the device is a GPU, its own."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device.type == "cuda" else [])]


@contextlib.contextmanager
def _continued(left: list[Tensor], device: torch.device) -> Iterator[None]:
    """Sets torch's global generators to the states `left`, and updates `left` at the end; restores them afterward."""
    with generators_restored(device):
        torch.set_rng_state(left[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(left[1])
        yield
        left[:] = _generators(device)


def masking_of(stage: Stage, data: Data) -> Masking | None:
    """How tokens are masked, if the stage learns from that."""
    if stage.loss.mlm is None:
        return None
    assert data.text is not None, "only texts have tokens"
    return Masking(data.text, stage.loss.mlm.share, derived_seed(stage.seed, "masking"))


def loss_of(stage: Stage, data: Data, network: Network) -> Loss:
    """The stage's loss, with its class weights, matched layers if it uses features, and a head if tokens are predicted."""
    architectures = [teacher.architecture for teacher in stage.teachers]
    if stage.pretrains:
        assert isinstance(network.body, Encoder), "only transformers predict tokens"
        head = TokenHead(network.body)
        return matched(stage.loss, stage.architecture, architectures, data.inputs, data.classes, data.kind, head)
    loss = weighed(stage.loss, counts_of(data), data.kind, len(data.train_y))
    found = matched(loss, stage.architecture, architectures, data.inputs, data.classes, data.kind)
    if data.target_mean is not None and data.target_scale is not None:
        found.standardize(data.target_mean, data.target_scale)
    return found


def counts_of(data: Data) -> list[int]:
    """Training samples of each class, or with each label."""
    if data.kind == "classification":
        counts = np.bincount(data.train_y, minlength=data.classes)
    else:
        counts = np.ones(data.classes, np.int64) if data.kind == "regression" else data.train_y.sum(axis=0)
    return [int(count) for count in counts]


def optimizer_of(parameters: Sequence[Parameter], recipe: Recipe, fused: bool) -> torch.optim.Optimizer:
    rate, decay, momentum = recipe.learning_rate, recipe.weight_decay, recipe.momentum or 0.0
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)
    return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=momentum, nesterov=momentum > 0, fused=fused)


def scheduler_of(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """one_cycle: Smith and Topin 2018, up for 30% of the steps, then down to almost 0. cosine: down from the start."""
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    # One step more than is taken: the scheduler is stepped after the last update too.
    return OneCycleLR(optimizer, max_lr=recipe.learning_rate, total_steps=steps + 1, cycle_momentum=False)
