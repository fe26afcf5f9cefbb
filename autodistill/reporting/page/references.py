"""Reference models on the page: a table of their own, and lines in the figure. They are never on the frontier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...metrics.metric import Metric
from ...spec.measurement import Reference, Score
from .study import Study


@dataclass(frozen=True, kw_only=True)
class ReferenceRow:
    """A reference model with its scores by metric; those on the test samples and the milliseconds for one sample are known only
    if `confirm` measured them.
    """

    metric: Metric
    label: str
    library: str
    bytes: int
    seconds: float
    validation: Mapping[str, Score]
    test: Mapping[str, Score] | None = None
    latency_ms: float | None = None

    def on(self, split: str) -> Score | None:
        """The metric of the study on the `validation` or the `test` samples."""
        scores = self.test if split == "test" else self.validation
        return None if scores is None else scores[self.metric.name]

    @property
    def scores(self) -> Mapping[str, Score]:
        """On the test samples if they are known, else on the validation samples."""
        return self.test or self.validation


def reference_rows(study: Study) -> list[ReferenceRow]:
    """Those that the search fitted; after `confirm` as it fitted them again."""
    tested = {} if study.confirmed is None else {one.name: one for one in study.confirmed.references}
    fitted = {one.reference.name: one.reference for one in study.summary.references}
    return [
        _row(study.metric, fitted[name])
        if name not in tested
        else _row(study.metric, tested[name], tested[name].test.scores, tested[name].latency.one.p50_ms)
        for name in study.spec.references
        if name in tested or name in fitted
    ]


def _row(
    metric: Metric, one: Reference, test: Mapping[str, Score] | None = None, latency_ms: float | None = None
) -> ReferenceRow:
    known = {name: getattr(one, name) for name in ("label", "library", "bytes", "seconds")}
    return ReferenceRow(metric=metric, **known, validation=one.scores, test=test, latency_ms=latency_ms)
