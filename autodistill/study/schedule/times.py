"""How long a training takes, known from what was measured before: for the order of jobs and the time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...distill import Job
from ...spec import Network, Stage, digest
from ..record.rows import Stages
from ..space import Space

RECENT = 1000
"""The least squares use this many training runs, the most recent ones."""


class Work(NamedTuple):
    """What the seconds of a training depend on: epochs, batch size, and `macs` of a sample's forward and backward pass.

    `kind` is equal if architecture, batch size, and the teachers that run during the training are, and if both or neither
    predict masked tokens.
    """

    kind: str
    epochs: int
    batch: int
    macs: float


class Times:
    """Seconds of trainings, predicted from the same kind if it was seen, else by least squares.

    seconds = epochs * samples * (a / batch + b * macs): a is the fixed cost of a step; neither is below 0. All trainings of a
    study see the same samples, so their number is part of a and b.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=RECENT)
        """1 / batch, macs, and the seconds of an epoch."""
        self._law: NDArray[np.float64] | None = None

    def saw(self, work: Work, seconds: float) -> None:
        """Records that a training, or a part of it, took `seconds`."""
        each = seconds / work.epochs
        total, count = self._kinds.get(work.kind, (0.0, 0))
        self._kinds[work.kind] = (total + each, count + 1)
        self._seen.append((1 / work.batch, work.macs, each))
        self._law = None

    def any(self) -> bool:
        return bool(self._kinds)

    def seconds(self, work: Work) -> float | None:
        """None when nothing was seen."""
        if work.kind in self._kinds:
            total, count = self._kinds[work.kind]
            return work.epochs * total / count
        if not self._kinds:
            return None
        if self._law is None:
            self._law = _fit(np.array(self._seen))
        return float(work.epochs * self._law @ (1 / work.batch, work.macs))


def _fit(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """a and b of rows of 1 / batch, macs, and seconds."""
    from scipy.optimize import nnls  # takes half a second to import

    scales = np.maximum(seen[:, :2].max(axis=0), 1e-300)
    return np.asarray(nnls(seen[:, :2] / scales, seen[:, 2])[0] / scales)


class Lengths:
    """How long the jobs of a study take; a student that may be stopped takes the mean share of its full length."""

    def __init__(self, space: Space) -> None:
        self.space, self.times = space, Times()
        self._shares, self._ended = 0.0, 0

    def seconds(self, job: Job) -> float:
        """The predicted seconds of a whole training; in arbitrary units before anything was measured."""
        if not isinstance(job.network, Stage) or not job.trains:
            return 0.0
        work = self._work(job.network)
        found = self.times.seconds(work)
        return work.epochs * work.macs if found is None else found

    def share(self) -> float:
        """The mean share of their full length that students were trained in this run."""
        return self._shares / self._ended if self._ended else 1.0

    def saw(self, network: Network, seconds: float, epochs: int | None = None) -> None:
        """A training, or its first `epochs`, took so many seconds."""
        if isinstance(network, Stage):
            work = self._work(network)
            self.times.saw(work if epochs is None else work._replace(epochs=epochs), seconds)

    def look_back(self, stages: Stages, keys: Iterable[str]) -> None:
        """Reads how long trainings took in earlier runs."""
        for key in keys:
            if stages.has(key):
                self.saw(stages.network(key), stages.measured(key).seconds)

    def ended(self, job: Job, epochs: int | None = None) -> None:
        """A training ended in this run, early if after `epochs`."""
        if isinstance(job.network, Stage) and job.rungs:
            self._shares += 1.0 if epochs is None else epochs / job.network.recipe.epochs
            self._ended += 1

    def _work(self, stage: Stage) -> Work:
        """A backward pass takes twice as many macs as a forward pass; teachers count if they run during the training."""
        live = stage.teachers if stage.logits_cache() is None else ()
        above = sum(self.space.sizes(one.architecture).macs for one in live)
        kind = digest([stage.architecture.identity(), stage.recipe.batch_size, above, stage.pretrains])
        macs = 3.0 * self.space.sizes(stage.architecture).macs + above
        return Work(kind, stage.recipe.epochs, stage.recipe.batch_size, macs)
