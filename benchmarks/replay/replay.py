"""Reads what a training would come to instead of training, on a clock of its own: search strategies compared in seconds."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autodistill.distill import Job, Rung
from autodistill.metrics.intervals import wilson
from autodistill.metrics.metric import ACCURACY
from autodistill.spec.measurement import Measurement, Score, Sizes, SoftTargetEntropy
from autodistill.study.schedule.scheduler import Study


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a job comes to: its `seconds` at full length, validation accuracies by epochs (all rungs at least), and
    the measurement or the `failure`; a teacher has `soft_targets`. For a
    teacher's outputs the seconds are enough.
    """

    seconds: float
    accuracies: Mapping[int, float] = field(default_factory=dict)
    measurement: Measurement | None = None
    soft_targets: SoftTargetEntropy | None = None
    failure: str | None = None


def measurement(accuracy: float, sizes: Sizes, n: int) -> Measurement:
    """As a training on `n` validation samples would write it, less its seconds."""
    low, high = wilson(round(accuracy * n), n)
    error = float(ACCURACY.error(accuracy, Score(value=accuracy, error=0.0, low=low, high=high, n=n)))
    score = Score(value=accuracy, error=error, low=low, high=high, n=n)
    return Measurement(scores={ACCURACY.name: score}, **sizes.facts(), seconds=0.0)


class Replay:
    """`answer(job)` stands for the training of a job by one of `workers`; `clock` is the simulated time in seconds.

    A training that was stopped at a rung goes on from there when its key is asked for again. Jobs that end at the same
    time end in the order in which they began.
    """

    def __init__(self, answer: Callable[[Job], Answer], *, workers: int = 1) -> None:
        self.answer, self.workers = answer, workers
        self.clock = 0.0
        self._reached: dict[str, int] = {}
        self._events: list[tuple[float, int, Job, Answer, Rung | None]] = []
        self._begun = 0

    def sees_cuda(self) -> bool:
        return False

    def cpus(self) -> float:
        return math.inf

    def run(self, study: Study, after: Callable[[], None], say: Callable[[str], None] = print) -> None:
        study.workers, study.clock = self.workers, lambda: self.clock
        self._events.clear()
        while True:
            while len(self._events) < self.workers and (job := study.next()) is not None:
                self._begun += 1
                self._push(job, self.answer(job), self._begun)
            if not self._events:
                return
            self.clock, number, job, answer, rung = heapq.heappop(self._events)
            if rung is None:
                self._end(study, job, answer)
            else:
                self._reached[job.network.key()] = rung.epochs
                if study.continues(job, rung):
                    self._push(job, answer, number)
                    continue
            after()

    def _push(self, job: Job, answer: Answer, number: int) -> None:
        """Puts down when a job reports next, or ends."""
        key, epochs = job.network.key(), getattr(getattr(job.network, "recipe", None), "epochs", 1)
        reached = self._reached.get(key, 0) if job.trains else 0
        place = next((epoch for epoch in job.rungs if epoch > reached), None)
        rung = (
            None if place is None else Rung(place, {ACCURACY.name: answer.accuracies[place]}, answer.seconds * place / epochs)
        )
        seconds = answer.seconds * ((epochs if place is None else place) - reached) / epochs
        heapq.heappush(self._events, (self.clock + seconds, number, job, answer, rung))

    def _end(self, study: Study, job: Job, answer: Answer) -> None:
        if answer.failure is None:
            study.store.make(*job.address(), lambda _: _manifest(job, answer))
        study.done(job, answer.failure)


def _manifest(job: Job, answer: Answer) -> dict[str, Any]:
    if not job.trains:
        return {"teacher": job.network.key()}
    assert answer.measurement is not None
    found = {
        "network": job.network.model_dump(mode="json"),
        "measurement": answer.measurement.model_dump() | {"seconds": answer.seconds},
    }
    return found | ({} if answer.soft_targets is None else {"soft_targets": answer.soft_targets.model_dump()})
