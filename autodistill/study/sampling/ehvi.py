"""The model behind the sampler `ehvi`: the metric is modeled, size is known.

A Gaussian process on the warped metric with ARD Matern 5/2 (Rasmussen and Williams 2006, equations 2.23-2.26, 4.17) and
a linear trend; nothing here knows of spaces or studies. Heights are values of the metric in units in which larger is better,
sizes are log10.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ...metrics.metric import Metric
from ...spec.arrays import Floats
from ..record.notes import Improvement, Posterior

NODES, FAR = 12, 5.3
BEYOND = 0.05
"""While no student has reached the target, even the largest candidate counts as saving this much (log10)."""
MOST_TRIALS, DRAWS = 100, 200
NARROW = 0.5
"""The smallest deviation of warped values around their prior mean."""
NEAREST, LEAST, UNSURE = 5, 0.1, 0.5
"""An end is predicted from the NEAREST other trainings. Its warped deviation is at least LEAST; from one training, UNSURE."""


def predict_end(metric: Metric, z: float, ended: Sequence[tuple[float, float]]) -> tuple[float, float, int]:
    """Predicts the warped value at the end of a training from `z`, that at a rung.

    `ended` has the values of other trainings at that rung and at their end, at least one pair. Only those with the nearest
    values at the rung count, because a student far below its final value gains more than one close to it.

    Returns: mean, deviation, and the number of trainings that counted.
    """
    table = metric.warp(np.array(ended, dtype=np.float64))
    near = np.argsort(np.abs(table[:, 0] - z), kind="stable")[:NEAREST]
    changes = table[near, 1] - table[near, 0]
    deviation = float(changes.std(ddof=1)) if len(near) > 1 else UNSURE
    return z + float(changes.mean()), max(deviation, LEAST), len(near)


class Hyper(NamedTuple):
    """Logs of: the length scales (d,), the amplitude, the deviation of the noise in sampling errors."""

    scales: Floats
    amplitude: float
    noise: float

    def vector(self) -> Floats:
        return np.array([*self.scales, self.amplitude, self.noise])

    @classmethod
    def of(cls, vector: Floats) -> Self:
        return cls(vector[:-2], float(vector[-2]), float(vector[-1]))


def _matern(a: Floats, b: Floats, hyper: Hyper) -> Floats:
    scale = np.exp(-hyper.scales)
    a, b = a * scale, b * scale
    squared = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)
    r = np.sqrt(5 * squared)
    return np.asarray(np.exp(2 * hyper.amplitude) * (1 + r + r**2 / 3) * np.exp(-r))


def _trend(a: Floats, b: Floats, slopes: Floats) -> Floats:
    return 1.0 + ((a - 0.5) * slopes**2) @ (b - 0.5).T


def _objective(vector: Floats, x: Floats, y: Floats, errors: Floats, known: Prior) -> tuple[float, Floats]:
    """Minus the log posterior density of hyperparameters, and its gradient; `errors` (n,) are those of sampling y."""
    from scipy.linalg import cho_solve, cholesky

    hyper = Hyper.of(vector)
    n, d = x.shape
    scaled = x * np.exp(-hyper.scales)
    differences = (scaled[:, None, :] - scaled[None]) ** 2
    r = np.sqrt(5 * differences.sum(2))
    e, amp = np.exp(-r), np.exp(2 * hyper.amplitude)
    k = amp * (1 + r + r**2 / 3) * e
    noise = np.exp(2 * hyper.noise) * errors**2
    root = cholesky(k + _trend(x, x, known.slopes) + np.diag(noise + 1e-8), lower=True, check_finite=False)
    alpha = cho_solve((root, True), y, check_finite=False)
    inverse = cho_solve((root, True), np.eye(n), check_finite=False)
    inner = np.outer(alpha, alpha) - inverse
    weight = inner * (amp * (5 / 3) * (1 + r) * e)
    gradient = np.empty(d + 2)
    gradient[:d] = 0.5 * np.einsum("ij,ijk->k", weight, differences)
    gradient[d] = (inner * k).sum()
    gradient[d + 1] = noise @ np.diag(inner)
    mean, deviation = known.logs()
    away = (vector - mean) / deviation
    value = 0.5 * y @ alpha + np.log(np.diag(root)).sum() + 0.5 * (away**2).sum()
    return float(value), away / deviation - gradient


class Prior(NamedTuple):
    """What is known before any training.

    `noise` gives the sampling errors (n,) of warped values (n,). `rise` (d,) is how much warped values are expected to rise
    over the range of each feature, plus or minus `slopes` (d,) deviations of all warped values. `scales` (d,) are relative
    length scales: along a feature with a larger one, values are expected to change less.
    """

    noise: Callable[[Floats], Floats]
    rise: Floats
    slopes: Floats
    scales: Floats

    def mean(self, x: Floats) -> Floats:
        """(n,) warped values, up to a constant."""
        return np.asarray(x @ self.rise)

    def logs(self) -> tuple[Floats, Floats]:
        """Means and deviations (d + 2,) of `Hyper`: length scales grow with the root of d (Hvarfner et al., ICML 2024).

        They keep a model of three trials from explaining everything as noise, or nothing. Students are compared on the same
        samples, which reduces the noise, and each has one seed, which adds to it.
        """
        d = len(self.scales)
        mean = np.append(np.log(1.2 * d) / 2 + np.log(self.scales), [-0.2, 0.0])
        return mean, np.array([0.8] * d + [0.7, 0.7])


@dataclass(frozen=True, kw_only=True)
class Model:
    """A Gaussian process on features x (n, d) in [0, 1] and warped values z (n,)."""

    x: Floats
    root: Floats
    alpha: Floats
    hyper: Hyper
    center: float
    spread: float
    prior: Prior

    @classmethod
    def fit(cls, x: Floats, z: Floats, prior: Prior) -> Self:
        """Fits hyperparameters from x and z alone, always from the same start: no fit depends on an earlier one."""
        left = z - prior.mean(x)
        center, spread = float(left.mean()), max(float(left.std()), NARROW)
        hyper = fitted(x, (left - center) / spread, prior.noise(z) / spread, prior)
        return cls._of(x, z, np.zeros(len(z)), hyper=hyper, center=center, spread=spread, prior=prior)

    @classmethod
    def _of(cls, x: Floats, z: Floats, doubt: Floats, *, hyper: Hyper, center: float, spread: float, prior: Prior) -> Self:
        from scipy.linalg import cho_solve, cholesky

        noise = ((np.exp(hyper.noise) * prior.noise(z)) ** 2 + doubt**2) / spread**2
        k = _matern(x, x, hyper) + _trend(x, x, prior.slopes) + np.diag(noise + 1e-8)
        root = cholesky(k, lower=True, check_finite=False)
        alpha = cho_solve((root, True), (z - prior.mean(x) - center) / spread, check_finite=False)
        return cls(x=x, root=root, alpha=alpha, hyper=hyper, center=center, spread=spread, prior=prior)

    def knowing(self, x: Floats, z: Floats, doubt: Floats) -> Self:
        """The same hyperparameters on other data; `doubt` (n,) are the deviations of predicted values."""
        return self._of(x, z, doubt, hyper=self.hyper, center=self.center, spread=self.spread, prior=self.prior)

    def noise(self, z: Floats) -> Floats:
        """Deviations (n,) of the noise in warped values, from samples and seeds."""
        return np.asarray(np.exp(self.hyper.noise) * self.prior.noise(z))

    def at(self, x: Floats) -> Belief:
        """The posterior of candidates x (m, d)."""
        from scipy.linalg import solve_triangular

        k = self._between(self.x, x)
        solved = solve_triangular(self.root, k, lower=True, check_finite=False)
        own = np.exp(2 * self.hyper.amplitude) + 1 + ((x - 0.5) ** 2 * self.prior.slopes**2).sum(1)
        mean = self.prior.mean(x) + self.center + self.spread * (k.T @ self.alpha)
        return Belief(self, x, solved, mean, own - (solved**2).sum(0))

    def _between(self, a: Floats, b: Floats) -> Floats:
        return _matern(a, b, self.hyper) + _trend(a, b, self.prior.slopes)


@dataclass
class Belief:
    """The metric of m candidates: warped means (m,); `variance` (m,) in units of the model's spread."""

    model: Model
    x: Floats
    solved: Floats
    mean: Floats
    variance: Floats

    def deviation(self) -> Floats:
        """(m,) of the warped metric without noise."""
        return self.model.spread * np.sqrt(np.maximum(self.variance, 1e-10))

    def covariance(self, chosen: npt.ArrayLike) -> Floats:
        """(k, k) of the warped metric of some candidates, without noise."""
        x, solved = self.x[np.asarray(chosen)], self.solved[:, np.asarray(chosen)]
        return self.model.spread**2 * np.asarray(self.model._between(x, x) - solved.T @ solved)

    def believe(self, one: int) -> None:
        """Updates as if candidate `one` had been measured at its mean (Ginsbourger et al. 2010, the kriging believer)."""
        between = self.model._between(self.x, self.x[one : one + 1])[:, 0] - self.solved.T @ self.solved[:, one]
        noise = self.model.noise(self.mean[one : one + 1])[0] / self.model.spread
        row = between / np.sqrt(max(self.variance[one], 0) + noise**2 + 1e-8)
        self.variance = self.variance - row**2
        self.solved = np.vstack([self.solved, row])


def fitted(x: Floats, y: Floats, errors: Floats, known: Prior) -> Hyper:
    """Hyperparameters with the largest posterior density, starting at the prior's mean; `errors` (n,) are sampling errors."""
    from scipy.optimize import minimize

    start, deviation = known.logs()
    bounds = np.stack([start - 4 * deviation, start + 4 * deviation], axis=1)
    found = minimize(_objective, start, (x, y, errors, known), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 40})
    return Hyper.of(found.x)


@functools.cache
def _quadrature() -> tuple[Floats, Floats]:
    """Nodes and weights (NODES,) of Gauss and Legendre between 0 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1) / 2, weights / 2


class Goal(NamedTuple):
    """The goal of a search: heights above a floor at sizes below a reference (log10); with `target`, the smallest student that
    reaches that height."""

    metric: Metric
    floor: float
    reference: float
    target: float | None = None

    def warp(self, heights: npt.ArrayLike) -> Floats:
        return self.metric.warp(self.metric.height(heights))

    def unwarp(self, z: npt.ArrayLike) -> Floats:
        return self.metric.height(self.metric.unwarp(z))


class Steps(NamedTuple):
    """A frontier as a staircase: log sizes where steps begin (k,), first -inf; heights (k,), first the floor."""

    sizes: Floats
    heights: Floats

    @classmethod
    def of(cls, sizes: Floats, heights: Floats, floor: float) -> Self:
        """The frontier of students with log sizes (n,) and heights (n,)."""
        order = np.lexsort((-heights, sizes))
        best = np.maximum.accumulate(np.append(floor, heights[order]))
        new = np.append(True, best[1:] > best[:-1])
        return cls(np.append(-np.inf, sizes[order])[new], best[new])

    def height(self, sizes: Floats) -> Floats:
        """The best height among students of at most these log sizes (m,)."""
        return self.heights[np.searchsorted(self.sizes, sizes, side="right") - 1]

    def volume(self, reference: float) -> float:
        """The hypervolume above the floor and below the reference."""
        return float(np.maximum(reference - self.sizes[1:], 0) @ np.diff(self.heights))

    def joined(self, sizes: npt.ArrayLike, heights: npt.ArrayLike) -> Steps:
        """With further students."""
        everything = np.append(self.sizes[1:], sizes), np.append(self.heights[1:], heights)
        return Steps.of(*everything, float(self.heights[0]))


def expected_improvement(sizes: Floats, mean: Floats, deviation: Floats, steps: Steps, goal: Goal) -> Floats:
    """(m,) the expected hypervolume improvement (Emmerich et al., IEEE TEC 10(4), 2006) by candidates of exactly known log
    sizes, whose warped values without noise are normal with `mean` and `deviation` (m,).

    At size s and height a the gain is the sum over steps of (their width above s) * max(0, a - their height): piecewise
    linear in a, so that its expectation is a sum of expected improvements, each above a threshold of its own.
    """
    ends = np.append(steps.sizes[1:], goal.reference)
    widths = np.maximum(np.minimum(ends, goal.reference) - np.maximum(steps.sizes, sizes[:, None]), 0)  # (m, k)
    rows, columns = widths.nonzero()
    each = _improvement(mean[rows], deviation[rows], steps.heights[columns], goal)
    return np.asarray(np.bincount(rows, widths[rows, columns] * each, minlength=len(sizes)), dtype=np.float64)


def _improvement(mean: Floats, deviation: Floats, heights: Floats, goal: Goal) -> Floats:
    """(n,) the expectations of max(0, a - height) of heights a, warped normal with `mean` and `deviation`.

    The chance to be above the threshold, which is exact, times the mean excess there: by Gauss-Legendre quadrature from the
    threshold to where the normal density is a millionth of its largest value.
    """
    from scipy.special import ndtr

    threshold = (goal.warp(heights) - mean) / deviation
    low = np.clip(threshold, -FAR, FAR)
    share, weights = _quadrature()
    nodes = low[:, None] + (np.sqrt(np.maximum(low, 0) ** 2 + FAR**2) - low)[:, None] * share
    density = np.exp(-0.5 * (nodes**2 - np.maximum(low, 0)[:, None] ** 2)) * weights
    reached = goal.unwarp(mean[:, None] + nodes * deviation[:, None])
    excess = (density * reached).sum(axis=1) / density.sum(axis=1) - heights
    return np.asarray(ndtr(-threshold) * np.maximum(excess, 0))


def expected_saving(sizes: Floats, mean: Floats, deviation: Floats, smallest: float, target: float) -> Floats:
    """(m,) the chance to reach the warped target, times the log size saved against the `smallest` that is known to."""
    from scipy.special import ndtr

    return np.asarray(ndtr((mean - target) / deviation) * np.maximum(smallest - sizes, 0))


def worth(sizes: Floats, belief: Belief, steps: Steps, goal: Goal) -> Floats:
    """(m,) the value of each candidate: its expected saving for a target, else its expected hypervolume improvement."""
    if goal.target is not None:
        reached = steps.sizes[steps.heights >= goal.target]
        smallest = float(reached.min()) if len(reached) else float(sizes.max()) + BEYOND
        found = expected_saving(sizes, belief.mean, belief.deviation(), smallest, float(goal.warp(goal.target)))
        if found.max() > 1e-6:
            return found
    return expected_improvement(sizes, belief.mean, belief.deviation(), steps, goal)


class Students(NamedTuple):
    """Features (n, d) and log sizes (n,)."""

    x: Floats
    sizes: Floats


def improvement(model: Model, known: Students, new: Students, goal: Goal, trials: int) -> Improvement | None:
    """The expected gain of more trials; None if no `known` student is above the floor.

    At most `trials`, and at most MOST_TRIALS, of the `new` candidates are chosen one by one as a search would, each assumed to
    be measured at its mean (Ginsbourger et al. 2010); then the expected heights of all students are drawn jointly (Daulton
    et al., NeurIPS 2020). Luck with seeds and samples does not count as a gain.
    """
    belief, chosen = model.at(new.x), list[int]()
    steps = Steps.of(known.sizes, goal.unwarp(model.at(known.x).mean), goal.floor)
    for _ in range(min(trials, len(new.x), MOST_TRIALS)):
        found = worth(new.sizes, belief, steps, goal._replace(target=None))
        found[chosen] = -1.0
        chosen.append(int(np.argmax(found)))
        steps = steps.joined(new.sizes[chosen[-1]], goal.unwarp(belief.mean[chosen[-1]]))
        belief.believe(chosen[-1])
    both = Students(np.vstack([known.x, new.x[chosen]]), np.append(known.sizes, new.sizes[chosen]))
    draws, n = _draws(model.at(both.x), goal), len(known.x)
    now = np.array([Steps.of(known.sizes, one[:n], goal.floor).volume(goal.reference) for one in draws])
    if now.mean() <= 0:
        return None
    then = np.array([Steps.of(both.sizes, one, goal.floor).volume(goal.reference) for one in draws])
    gains = (then - now) / now.mean()
    low, high = np.quantile(gains, (0.1, 0.9))
    return Improvement(len(chosen), float(gains.mean()), float(low), float(high))


def _draws(belief: Belief, goal: Goal) -> Floats:
    """(DRAWS, m) joint draws of expected heights."""
    spread = belief.covariance(range(len(belief.x))) + 1e-8 * np.eye(len(belief.x))
    rng = np.random.default_rng(0)
    return goal.unwarp(rng.multivariate_normal(belief.mean, spread, DRAWS, check_valid="ignore", method="eigh"))


def posterior(belief: Belief, sizes: Floats, goal: Goal) -> list[Posterior]:
    """The posterior of candidates (m,) with log sizes; frontiers are counted in DRAWS joint draws of noiseless heights."""
    draws = _draws(belief, goal)
    order = np.argsort(sizes, kind="stable")
    counts = np.zeros(len(sizes))
    for one in draws:
        best = np.maximum.accumulate(np.append(goal.floor, one[order]))
        counts[order] += one[order] > best[:-1]
    counts[sizes >= goal.reference] = 0
    columns = zip(goal.metric.height(draws.mean(axis=0)), draws.std(axis=0), counts / DRAWS, strict=True)
    return [Posterior(float(mean), float(deviation), float(share)) for mean, deviation, share in columns]
