"""Invented rows of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodistill.metrics.metric import ACCURACY, Metric
from autodistill.reporting.page.finalists import Finalist, Gains
from autodistill.spec.measurement import Measurement, Score, Sizes
from autodistill.study.record.rows import Origin, TrialRow

from .scored import measured


def trial_row(**changes: Any) -> TrialRow:
    """A complete student of 1,000 params that is right on 80 of 100 samples, unless `changes` say otherwise."""
    sizes = Sizes(params=1000, macs=60_000, bytes=4000)
    known = {"role": "student", "state": "complete", "stage": "s", "architecture": "mlp depth=1", "chain": ""}
    return TrialRow(**{"metric": ACCURACY, **known, "sizes": sizes, "measured": measured(0.8, 100, sizes), **changes})


def origin(params: Mapping[str, Any] | None = None, rungs: Sequence[tuple[int, float]] = ()) -> Origin:
    return Origin(trial=0, params=params or {}, repeats=False, retried=None, enqueued=None, kept=None, rungs=tuple(rungs))


def measurement(**values: float) -> Measurement:
    """Of a student of 1,000 params with these values of metrics, each with an error of 0.02."""
    scores = {name: Score(value=one, error=0.02, low=one - 0.04, high=one + 0.04, n=100) for name, one in values.items()}
    return Measurement(scores=scores, **Sizes(1000, 60_000, 4000).facts(), seconds=1.0)


def finalist(metric: Metric = ACCURACY, *, low: float = 0.5, high: float = 1.0, **fields: Any) -> Finalist:
    """A student that is known on the validation samples only, with this interval there, unless `fields` say otherwise."""
    seen = Score(value=(low + high) / 2, error=0.1, low=low, high=high, n=9)
    known = {"role": "student", "architecture": "mlp", "chain": "a > b", "stage": "s", "chosen": "s", "links": ()}
    sizes = {**Sizes(1000, 60_000, 4000).facts(), "smaller": 10.0, "seconds_chain": 1.0}
    shown = {"on_frontier": True, "inside": True, "gains": Gains(), "validation": {metric.name: seen}}
    return Finalist(**{"metric": metric, **known, **sizes, **shown, **fields})
