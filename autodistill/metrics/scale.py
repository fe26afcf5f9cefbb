"""The scale of a metric: which direction is better, what its bounds are, and how values are warped before they are modeled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ..spec.arrays import Floats
from .intervals import EDGE, unwarp, warp

Number = TypeVar("Number", float, Floats)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values are between `low` and `high`. Within `edge` of the best possible value, errors are within the noise."""

    higher: bool = True
    low: float = 0.0
    high: float = 1.0
    edge: float = EDGE

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def reaches(self, value: float, target: float) -> bool:
        return value >= target if self.higher else value <= target

    def cost(self, value: float) -> float:
        """The value in units in which smaller is better."""
        return -value if self.higher else value

    def height(self, values: npt.ArrayLike) -> Floats:
        """Values (n,) in units in which larger is better: themselves, or minus a loss. Its own inverse."""
        found = np.asarray(values, dtype=np.float64)
        return found if self.higher else -found

    def shortfall(self, value: Number) -> Number:
        """How far a value is from the best possible one."""
        return self.high - value if self.higher else value - self.low

    def keeping(self, teacher: Number, share: float) -> Number:
        """The value that keeps `share` of the teacher's. A loss may be 1 / share times as large."""
        return teacher * share if self.higher else teacher / share

    def kept(self, value: float, teacher: float) -> float:
        """The share of the teacher's value that is kept."""
        of, whole = (value, teacher) if self.higher else (teacher, value)
        return of / max(whole, 1e-12)

    @property
    def shape(self) -> Literal["share", "excess", "plain"]:
        """How values are warped: between two bounds, by the logit; with only a best possible value, by -log of the distance
        from it; otherwise, not at all.
        """
        if self.bounded:
            return "share"
        return "excess" if math.isfinite(self.high if self.higher else self.low) else "plain"

    def warp(self, values: npt.ArrayLike) -> Floats:
        """Values (n,) on a scale on which larger is better and noise is similar everywhere."""
        found = np.asarray(values, dtype=np.float64)
        if self.shape == "share":
            return warp(self.share(found))
        return self.height(found) if self.shape == "plain" else -np.log(self.shortfall(found) + self.edge)

    def unwarp(self, values: npt.ArrayLike) -> Floats:
        """The inverse of `warp`, never outside the bounds."""
        if self.shape == "share":
            share = unwarp(values)
            return self.low + (self.high - self.low) * (share if self.higher else 1 - share)
        if self.shape == "plain":
            return self.height(values)
        found = np.exp(-np.asarray(values, dtype=np.float64)) - self.edge
        return np.clip(self.high - found if self.higher else self.low + found, self.low, self.high)

    def share(self, values: Number) -> Number:
        """The fraction of the way from the worst possible value to the best one, if there are two bounds."""
        return (values - self.low if self.higher else self.high - values) / (self.high - self.low)
