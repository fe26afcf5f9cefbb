"""A question for the smallest student: a target, limits, and a confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from ..metrics.metric import ACCURACY, METRICS, Metric, meant, named
from ..metrics.words import with_article
from ..spec import UsageError
from ..spec.measurement import Sized
from ..spec.metric import is_own

RETAIN, HALF = 0.95, 2
"""The default question: 95% of the teacher's accuracy at half its size or less."""
SUREST = 0.999999
"""The highest confidence of a claim: its assumptions (such as i.i.d. test samples) are no more certain than this."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A target and limits. Raises UsageError.

    `target` is a value of `metric` (None: that of the study), `retain` a share of the teacher's to keep.
    """

    target: float | None = None
    metric: str | None = None
    retain: float | None = None
    params: int | None = None
    bytes: int | None = None
    latency_ms: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.target is not None and self.retain is not None:
            raise UsageError(f"{self._target()} and --retain are two targets; give one of them")
        name = self.metric
        if name is not None and (name in METRICS or is_own(name) or meant(name)):  # others may name one of your own
            self._check_target(named(name, "--target"))
        for name, most in (("retain", 2), ("confidence", 1)):
            value = getattr(self, name)
            if value is not None and not 0 < value < most:
                raise UsageError(f"--{name} {value}: give a share between 0 and {most}, such as 0.95")
        if self.confidence > SUREST:
            raise UsageError(f"--confidence {self.confidence}: give at most {SUREST}")
        for name in ("params", "bytes", "latency_ms"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} {value}: give a limit above 0, or leave it out")

    def _target(self) -> str:
        """The option of the target."""
        return "--accuracy" if self.metric in (None, ACCURACY.name) else "--target"

    def _check_target(self, metric: Metric) -> None:
        if self.target is not None and not metric.low < self.target < metric.high:
            given = f"{self.target}" if metric == ACCURACY else f"{metric.column}={self.target}"
            kind = "share" if metric.percent else "value"
            ends = f"between {metric.low:g} and {metric.high:g}" if math.isfinite(metric.high) else f"above {metric.low:g}"
            ends = ends if math.isfinite(metric.low) else f"below {metric.high:g}"
            raise UsageError(f"{self._target()} {given}: give a {kind} {ends}{', such as 0.95' * metric.percent}")

    @property
    def has_target(self) -> bool:
        return self.target is not None or self.retain is not None

    def of_study(self, metric: str) -> Wanted:
        """With the metric of the study, if none was given or if it is one of your own. Raises UsageError for an unknown one."""
        if self.metric is None or self.metric == named(metric).column:
            return replace(self, metric=metric)
        named(self.metric, "--target")
        return self

    def resolved(self, teacher_params: int, metric: str) -> Wanted:
        """With the metric of the study and, if no target was given, the default: a share of the teacher's at half its size."""
        found = self.of_study(metric)
        if found.has_target:
            return found
        return replace(found, retain=RETAIN, params=teacher_params // HALF if self.params is None else self.params)

    @property
    def measure(self) -> Metric:
        """The metric, once it is resolved."""
        assert self.metric is not None, "resolve what is wanted first"
        return named(self.metric)

    def allows(self, sizes: Sized, latency_ms: float = 0.0) -> bool:
        """Whether a network with these sizes and milliseconds per sample is within the limits."""
        limits = ((sizes.params, self.params), (sizes.bytes, self.bytes), (latency_ms, self.latency_ms))
        return all(most is None or size <= most for size, most in limits)

    def limits(self) -> dict[str, str]:
        """What is limited, and how."""
        sizes = (("params", self.params), ("bytes", self.bytes))
        found = {name: f"at most {most:,} {name}" for name, most in sizes if most is not None}
        return found if self.latency_ms is None else found | {"latency": f"at most {self.latency_ms:g} ms per sample"}

    def __str__(self) -> str:
        """Such as `95% of the teacher's accuracy with at most 1,000 params`."""
        return self._text("")

    @property
    def shown(self) -> str:
        """What a student is shown to have, such as `an accuracy of at least 95%`."""
        return self._text("at least ")

    def _text(self, least: str) -> str:
        metric = self.measure
        bound = least if metric.higher else "at most "
        if self.target is not None:
            value = f"{self.target:,.7g}" if metric.natural else f"{self.target:g}"
            what = f"{with_article(metric.label)} of {bound}{percent(self.target) if metric.percent else value}"
        elif metric.higher:
            what = f"{bound}{percent(self.retain or 0)} of the teacher's {metric.label}"
        else:
            what = f"{with_article(metric.label)} of {bound}{1 / (self.retain or 1):.4g} times the teacher's"
        limits = " and ".join(self.limits().values())
        return f"{what} with {limits}" if limits else what


def percent(share: float) -> str:
    """A requested fraction as a percentage with all its digits: 99.99999% is not rounded to 100%."""
    return f"{(Decimal(str(share)) * 100).normalize():f}%"
