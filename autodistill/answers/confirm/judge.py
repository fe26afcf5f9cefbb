"""Frozen networks on the test samples: their predictions, and everything that is confirmed about them.

Shape suffixes: N samples, K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...data import InputSpec, Samples
from ...distill import load_network, open_data
from ...distill.predictions import logits_of
from ...metrics import latency
from ...metrics.intervals import calibration_error
from ...metrics.metric import Metric, Outcome, outcome, scores
from ...models.sizes import bytes_float16
from ...spec import Checkpoint, Stage, UsageError, describe
from ...spec.arrays import Array
from ...spec.measurement import Sizes
from ...store import Store
from ...study.record.rows import Stages
from .candidates import Candidate
from .confirmation import (
    Baseline,
    Baselines,
    ClassPart,
    FrozenNetwork,
    GroupPart,
    GroupScore,
    Latency,
    Member,
    OnTest,
    Part,
    SeedResult,
    Spread,
)
from .results import weights_of

BATCH = 64
Mask = NDArray[np.bool_]
Network = Stage | Checkpoint


class Predictions(NamedTuple):
    """What metrics need, and the probability (N,) of each predicted class, or (N, K) of the prediction for each label."""

    outcome: Outcome
    sure: NDArray[np.float64]

    @property
    def right(self) -> Mask:
        """Whether a prediction is correct: (N,), or (N, K) of several labels."""
        return np.asarray(np.equal(self.outcome.predicted, self.outcome.labels))


def judge(store: Store, network: Network, test: Samples, device: torch.device) -> Predictions:
    logits_NK = logits_of(load_network(store, network, device), open_data(store, network.task.data), test.x, device)
    return predictions(logits_NK, test.y)


def predictions(logits_NK: Tensor, labels: Array) -> Predictions:
    found = outcome(logits_NK, labels)
    if found.kind == "multilabel":
        return Predictions(found, (0.5 + (logits_NK.double().sigmoid() - 0.5).abs()).numpy())
    return Predictions(found, torch.softmax(logits_NK.double(), 1).amax(1).numpy())


def digest_of(test: Samples) -> str:
    """sha256 of the labels and, unless they are image files, of the samples: tells whether two studies use the same ones."""
    found = hashlib.sha256(np.ascontiguousarray(test.y).data)
    for piece in test.x.contents():
        found.update(piece)
    return found.hexdigest()


def beside(
    own: Predictions, teacher: Predictions, test: Samples, classes: int, metric: Metric, metrics: Sequence[str] = ()
) -> OnTest:
    """A network on the test samples: compared with the teacher, by class or label, and by group.

    `metric` is that of the study, and `metrics` are your own.
    """
    found = scores(own.outcome, classes, metrics)
    if own.outcome.kind == "regression":
        values = None if test.groups is None else tuple(_by_group(own.outcome, teacher.outcome, test.groups, metric))
        return OnTest(
            scores=found,
            by_class=(),
            worst_drop=None,
            by_group=values,
            worst_group=max(values, key=lambda part: part.drop) if values else None,
            calibration_error=None,
            agreement=None,
        )
    names = [str(label) for label in range(classes)] if test.names is None else test.names
    by_label = _by_label if own.outcome.kind == "multilabel" else _parts
    by_class = tuple(
        ClassPart(label=int(label), name=names[int(label)], **dict(part))
        for label, part in by_label(own.right, teacher.right, test.y)
    )
    groups = None
    if test.groups is not None:
        parts = _parts(own.right, teacher.right, test.groups)
        groups = tuple(GroupPart(group=group.item(), **dict(part)) for group, part in parts)
    return OnTest(
        scores=found,
        by_class=by_class,
        worst_drop=max(by_class, key=lambda part: part.drop),
        by_group=groups,
        worst_group=max(groups, key=lambda part: part.drop) if groups else None,
        calibration_error=calibration_error(own.sure.ravel().tolist(), own.right.ravel().tolist()),
        agreement=float((own.outcome.predicted == teacher.outcome.predicted).mean()),
    )


def _parts(own: Mask, teacher: Mask, of: NDArray[np.generic]) -> Iterable[tuple[np.generic, Part]]:
    """The accuracy on each part of the samples, and how far it is below the teacher's there."""
    for part in np.unique(of):
        rows = of == part
        mine, theirs = float(own[rows].mean()), float(teacher[rows].mean())
        yield part, Part(n=int(rows.sum()), accuracy=mine, teacher=theirs, drop=theirs - mine)


def _by_group(own: Outcome, teacher: Outcome, groups_N: Array, metric: Metric) -> Iterable[GroupScore]:
    """The metric on each group. A group is left out if a metric of your own has no value for it."""
    for group in np.unique(groups_N):
        rows = np.flatnonzero(groups_N == group)
        with contextlib.suppress(UsageError):
            mine, theirs = metric.value(own.take(rows)), metric.value(teacher.take(rows))
            drop = metric.cost(mine) - metric.cost(theirs)
            yield GroupScore(group=group.item(), n=len(rows), value=mine, teacher=theirs, drop=drop)


def _by_label(own: Mask, teacher: Mask, labels: NDArray[np.generic]) -> Iterable[tuple[int, Part]]:
    """For each label, the share of samples for which it is predicted correctly; `n` samples have it."""
    for label, has in enumerate(np.asarray(labels).T):
        mine, theirs = float(own[:, label].mean()), float(teacher[:, label].mean())
        yield label, Part(n=int(has.sum()), accuracy=mine, teacher=theirs, drop=theirs - mine)


class Judged(NamedTuple):
    """The networks of a study, with the predictions of each on the test samples, by key; latency is measured on `device`."""

    metric: Metric
    classes: int
    inputs: InputSpec
    stages: Stages
    teacher: Network
    predictions: Mapping[str, Predictions]
    test: Samples
    device: torch.device
    threads: int

    def frozen(self, network: Network, stage: str) -> FrozenNetwork:
        """Everything about the weights of `network`, which were chosen for `stage`."""
        key, known = network.key(), self.predictions
        measured, store = self.stages.measured(key), self.stages.store
        return FrozenNetwork(
            metric=self.metric.name,
            stage=stage,
            architecture=describe(network.architecture),
            **Sizes.of(measured).facts(),
            bytes_float16=bytes_float16(load_network(store, network, torch.device("cpu"))),
            seconds=measured.seconds,
            chosen=key,
            weights=weights_of(store, key),
            validation=measured.scores,
            test=beside(known[key], known[self.teacher.key()], self.test, self.classes, self.metric, self.stages.own),
            latency=latency_of(load_network(store, network, self.device), self.inputs, self.device, self.threads),
        )

    def member(self, one: Candidate) -> Member:
        """A student with the best of its files on the validation samples."""
        fresh = [stage for stage in one.fresh if stage.key() in self.predictions]
        chosen = min((one.searched, *fresh), key=lambda network: self.metric.cost(self._on_validation(network)))
        values = [self._on_test(stage) for stage in fresh]
        return Member(
            **dict(self.frozen(chosen, one.searched.key())),
            role=one.row.role,
            on_frontier=one.row.frontier,
            chain=one.row.chain,
            seconds_chain=one.row.seconds_chain,
            networks=(self._result(one.searched, "searched"), *(self._result(stage, "fresh") for stage in fresh)),
            seeds=Spread.over(values) if values else None,
            baselines=Baselines(**{name: self._against(one, stages) for name, stages in one.baselines().items()}),
        )

    def _result(self, network: Network, kind: Literal["searched", "fresh"]) -> SeedResult:
        key, seed = network.key(), network.seed if isinstance(network, Stage) else None
        values = {"validation": self._on_validation(network), "test": self._on_test(network)}
        return SeedResult(key=key, kind=kind, seed=seed, **values)

    def _on_validation(self, network: Network) -> float:
        return self.stages.measured(network.key()).scores[self.metric.name].value

    def _on_test(self, network: Network) -> float:
        return self.metric.value(self.predictions[network.key()].outcome)

    def _against(self, one: Candidate, baselines: Sequence[Stage]) -> Baseline | None:
        """A baseline's metric over seeds, and how much better the student is, paired by seed."""
        known = self.predictions
        pairs = [
            (self._on_test(own), self._on_test(other))
            for own, other in zip(one.fresh, baselines, strict=False)
            if own.key() in known and other.key() in known
        ]
        if not pairs:
            return None
        gain = Spread.over([self.metric.cost(other) - self.metric.cost(own) for own, other in pairs])
        return Baseline.over([other for _, other in pairs], epochs=baselines[0].recipe.epochs, gain=gain)


def latency_of(network: nn.Module, inputs: InputSpec, device: torch.device, threads: int) -> Latency:
    """The latency of one sample and of BATCH samples: texts of median length, otherwise as long as the longest sample."""
    timed = partial(latency.latency, network, device=device, threads=threads, seconds=latency.SECONDS)
    return Latency(one=timed(inputs.typical.dummy(1)), batched=timed(inputs.typical.dummy(BATCH)))
