"""The region of interest: the students that people would choose from, by accuracy and size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...metrics.intervals import warp
from ...spec.measurement import Measurement, Sized
from ...spec.search import ALL, Search

SIZES = ("params", "macs", "bytes")
EXPONENT = 0.5
"""The error of image classifiers falls with this power of the number of parameters (Rosenfeld et al., ICLR 2020)."""
REDUCIBLE = (1.0, 0.5)
"""Shares of the teacher's error that a larger network could still remove: two first guesses of the edge."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Networks with an accuracy (0 to 1) of at least `floor`, measured on `samples` samples, and with each size under `below`.

    `rise` is the expected gain in warped accuracy for ten times the params: from the majority class at one parameter to the
    teacher at its own size.

    `everything`: every network is inside. Then floor and sizes are only the reference point of the hypervolume.
    """

    floor: float
    samples: int
    rise: float
    below: Mapping[str, int]
    everything: bool = False

    def holds(self, accuracy: float, sizes: Sized) -> bool:
        """Whether a network with this accuracy and these sizes is inside."""
        return self.everything or (
            accuracy >= self.floor and all(getattr(sizes, name) < most for name, most in self.below.items())
        )

    def reference(self, size: str) -> float:
        """log10 of the size at which the region ends."""
        return math.log10(max(self.below.get(size, 1), 1))


def region_of(search: Search, *, chance: float, teacher: Measurement, incumbent: Sized | None = None) -> Region:
    """The region of a search, from the measured accuracy and sizes of its teacher and of the incumbent.

    `chance` is the share of the majority class. A region of 0.9 begins at 90 % of the way from there to the teacher. With a
    target, it begins halfway between 90 % of the way to the target and the target itself.
    """
    decades = math.log10(max(teacher.params, 10))
    rise = float(warp(teacher.accuracy) - warp(chance)) / decades
    if search.region == ALL:
        return Region(
            floor=chance, samples=teacher.n, rise=rise, below={name: getattr(teacher, name) for name in SIZES}, everything=True
        )
    top = teacher.accuracy if search.target is None else search.target
    floor = chance + search.region * (top - chance)
    floor = floor if search.target is None else (floor + search.target) / 2
    limits = search.limits.given()
    below: dict[str, int] = {}
    for name in SIZES:
        ends = [getattr(one, name) for one in (teacher, incumbent) if one is not None]
        ends += [limits[name] + 1] if name in limits else []
        below |= {name: min(end for end in ends if end > 0)} if any(ends) else {}
    return Region(floor=floor, samples=teacher.n, rise=rise, below=below)


def edges(region: Region, teacher: Measurement) -> list[float]:
    """Params at which students are predicted to reach the region's floor, largest first.

    By a power law of the error: err(n) = irreducible + (teacher's error - irreducible) * (n / teacher's params)^-EXPONENT.
    The teacher's error is estimated by Laplace's rule of succession: no errors on few samples do not mean an error of 0.
    """
    own, asked = (teacher.n - teacher.correct + 1) / (teacher.n + 2), 1 - region.floor
    found = []
    for share in REDUCIBLE:
        rest = own * (1 - share)
        found.append(teacher.params * (own * share / max(asked - rest, own * share)) ** (1 / EXPONENT))
    return found
