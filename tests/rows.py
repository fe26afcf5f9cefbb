"""Invented rows of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodistill.spec.measurement import Measurement, Sizes
from autodistill.study.record.rows import Origin, TrialRow


def trial_row(**changes: Any) -> TrialRow:
    """A complete student of 1,000 params that is right on 80 of 100 samples, unless `changes` say otherwise."""
    sizes = Sizes(params=1000, macs=60_000, bytes=4000)
    measured = Measurement(accuracy=0.8, correct=80, n=100, **sizes._asdict(), seconds=1.0)
    known = {"role": "student", "state": "complete", "stage": "s", "architecture": "mlp depth=1", "chain": ""}
    return TrialRow(**{**known, "sizes": sizes, "measured": measured, **changes})


def origin(params: Mapping[str, Any] | None = None, rungs: Sequence[tuple[int, float]] = ()) -> Origin:
    return Origin(trial=0, params=params or {}, repeats=False, retried=None, enqueued=None, kept=None, rungs=tuple(rungs))
