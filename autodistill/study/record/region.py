"""The region of interest: the students that people would choose from, by metric and size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...metrics.metric import Metric, metric_of
from ...spec.measurement import Measurement, Score, Sized
from ...spec.search import ALL, SIZES, Search

EXPONENT = 0.5
"""The error of image classifiers falls with this power of the number of parameters (Rosenfeld et al., ICLR 2020)."""
REDUCIBLE = (1.0, 0.5)
"""Shares of the teacher's error that a larger network could still remove: two first guesses of the edge."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Networks whose metric is at least as good as `floor`, and with each size under `below`.

    `teacher` is the teacher's score, which also tells how large the noise is. `rise` is the expected gain in the warped metric
    for ten times the params: from a network that ignores its input, at one parameter, to the teacher at its own size.

    `everything`: every network is inside. Then floor and sizes are only the reference point of the hypervolume.
    """

    metric: Metric
    floor: float
    teacher: Score
    rise: float
    below: Mapping[str, int]
    everything: bool = False

    def holds(self, value: float, sizes: Sized) -> bool:
        """Whether a network with this value of the metric and these sizes is inside."""
        return self.everything or (
            self.metric.reaches(value, self.floor) and all(getattr(sizes, name) < most for name, most in self.below.items())
        )

    def reference(self, size: str) -> float:
        """log10 of the size at which the region ends."""
        return math.log10(max(self.below.get(size, 1), 1))


def region_of(search: Search, *, chance: float, teacher: Measurement, incumbent: Sized | None = None) -> Region:
    """The region of a search, from the measurements of its teacher and of the incumbent.

    `chance` is the best value of a network that ignores its input. A region of 0.9 begins at 90% of the way from there to the
    teacher. With a target, it begins halfway between 90% of the way to the target and the target itself.
    """
    metric = metric_of(search)
    score, decades = teacher.scores[metric.name], math.log10(max(teacher.params, 10))
    rise = float(metric.warp(score.value) - metric.warp(chance)) / decades
    if search.region == ALL:
        below: dict[str, int] = {name: getattr(teacher, name) for name in SIZES}
        return Region(metric=metric, floor=chance, teacher=score, rise=rise, below=below, everything=True)
    top = score.value if search.target is None else search.target
    floor = chance + search.region * (top - chance)
    floor = floor if search.target is None else (floor + search.target) / 2
    limits = search.limits.given()
    below = {}
    for name in SIZES:
        ends = [getattr(one, name) for one in (teacher, incumbent) if one is not None]
        ends += [limits[name] + 1] if name in limits else []
        below |= {name: min(end for end in ends if end > 0)} if any(ends) else {}
    return Region(metric=metric, floor=floor, teacher=score, rise=rise, below=below)


def edges(region: Region, params: int) -> list[float]:
    """Params at which students are predicted to reach the region's floor, largest first; `params` are the teacher's.

    By a power law of the error, which is how far the metric is from the best possible value:
    err(n) = irreducible + (teacher's error - irreducible) * (n / teacher's params)^-EXPONENT.
    """
    own, asked = region.metric.likely_shortfall(region.teacher), region.metric.shortfall(region.floor)
    if not math.isfinite(asked):  # no value is the best possible one
        return [params * share ** (1 / EXPONENT) for share in REDUCIBLE]
    found = []
    for share in REDUCIBLE:
        rest = own * (1 - share)
        found.append(params * (own * share / max(asked - rest, own * share)) ** (1 / EXPONENT))
    return found
