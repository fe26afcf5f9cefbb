"""The region of interest: the students that people would choose from, by accuracy and size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...metrics.intervals import warp
from ...spec.search import ALL, Search

SIZES = ("params", "macs", "bytes")
EXPONENT = 0.5
"""Of image classifiers, error falls with the number of parameters to this power (Rosenfeld et al., ICLR 2020)."""
REDUCIBLE = (1.0, 0.5)
"""Shares of the teacher's error that a larger network could still remove: two first guesses of the edge."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Networks with an accuracy (0 to 1) of at least `floor`, on so many `samples`, and with less than `below` of each size.

    Warped accuracies are expected to `rise` by so much with ten times the params: from the majority class at one parameter to
    the teacher at its own size.

    `everything`: every network is inside. Then floor and sizes are only the reference point of the hypervolume.
    """

    floor: float
    samples: int
    rise: float
    below: Mapping[str, float]
    everything: bool = False

    def holds(self, network: Mapping[str, Any]) -> bool:
        """Whether a network with `accuracy`, `params`, `macs` and `bytes` is inside."""
        return self.everything or (
            network["accuracy"] is not None
            and network["accuracy"] >= self.floor
            and all(network[name] < most for name, most in self.below.items())
        )

    def reference(self, size: str) -> float:
        """log10 of the size at which the region ends."""
        return math.log10(max(self.below.get(size, 1), 1))


def region_of(
    search: Search, *, chance: float, teacher: Mapping[str, Any], incumbent: Mapping[str, Any] | None = None
) -> Region:
    """The region of a search, from the measured accuracy and sizes of its teacher and of the student in use today.

    `chance` is the share of the majority class. A region of 0.9 begins at 90 % of the way from there to the teacher. With
    a target, it begins closer to that: halfway between 90 % of the way to the target, and the target.
    """
    decades = math.log10(max(teacher["params"], 10))
    known = {"samples": teacher["n"], "rise": float(warp(teacher["accuracy"]) - warp(chance)) / decades}
    if search.region == ALL:
        return Region(floor=chance, **known, below={name: teacher[name] for name in SIZES}, everything=True)
    top = teacher["accuracy"] if search.target is None else search.target
    floor = chance + search.region * (top - chance)
    floor = floor if search.target is None else (floor + search.target) / 2
    limits = search.limits.model_dump(exclude_none=True)
    below = {}
    for name in SIZES:
        ends = [teacher[name], *([incumbent[name]] if incumbent else []), *([limits[name] + 1] if name in limits else [])]
        below[name] = min((end for end in ends if end > 0), default=math.inf)
    return Region(floor=floor, **known, below={name: end for name, end in below.items() if math.isfinite(end)})


def edges(region: Region, teacher: Mapping[str, Any]) -> list[float]:
    """Params at which students are predicted to reach the region's floor, the largest first.

    By a power law of the error: err(n) = irreducible + (teacher's error - irreducible) * (n / teacher's params)^-EXPONENT.
    Of the teacher's error, Laplace's rule of succession counts: no errors on few samples are not no error.
    """
    own, asked = (teacher["n"] - teacher["correct"] + 1) / (teacher["n"] + 2), 1 - region.floor
    found = []
    for share in REDUCIBLE:
        rest = own * (1 - share)
        found.append(teacher["params"] * (own * share / max(asked - rest, own * share)) ** (1 / EXPONENT))
    return found
