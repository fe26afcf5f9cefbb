"""Simulated studies of known truth: how often a metric's tests claim what is not so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from autodistill.metrics.metric import Metric, Outcome, outcome

Floats = np.ndarray
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]
POPULATION = 400_000
"""Samples from which the true value is computed."""

ERRORS: dict[str, Noise] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "Laplace": lambda random, shape: random.laplace(size=shape),
    "Student's t, 5 degrees": lambda random, shape: random.standard_t(5, size=shape),
    "5% are 5 times as large": lambda random, shape: random.normal(size=shape) * np.where(random.random(shape) < 0.05, 5, 1),
}
"""The errors of a regression."""


class Case(NamedTuple):
    """Draws labels and the outputs of two networks that are equally good, on the same n samples."""

    name: str
    draw: Callable[[np.random.Generator, int], tuple[Outcome, Outcome]]


def values_with(name: str) -> Case:
    noise = ERRORS[name]

    def draw(random: np.random.Generator, n: int) -> tuple[Outcome, Outcome]:
        labels, shared = 3 * random.normal(size=(n, 1)), 0.8 * noise(random, (n, 1))
        own, teacher = (outcome(labels + shared + 0.6 * noise(random, (n, 1)), labels) for _ in range(2))
        return own, teacher

    return Case(name, draw)


def labels_with(shares: list[float], sharp: float) -> Case:
    def draw(random: np.random.Generator, n: int) -> tuple[Outcome, Outcome]:
        labels = (random.random((n, len(shares))) < shares).astype(np.int64)
        shared = random.normal(size=labels.shape) + sharp * (2 * labels - 1)
        own, teacher = (outcome(shared + 0.5 * random.normal(size=labels.shape), labels) for _ in range(2))
        return own, teacher

    most = (
        f"{len(shares)} labels, of {shares[0]:.0%} to {shares[-1]:.0%}" if len(shares) > 1 else f"1 label, of {shares[0]:.0%}"
    )
    return Case(f"{most}, apart by {2 * sharp:g} s.d.", draw)


def classes_with(shares: list[float], sharp: float) -> Case:
    def draw(random: np.random.Generator, n: int) -> tuple[Outcome, Outcome]:
        labels = random.choice(len(shares), n, p=shares)
        shared = random.normal(size=(n, len(shares)))
        shared[np.arange(n), labels] += sharp
        own, teacher = (outcome(shared + 0.5 * random.normal(size=shared.shape), labels) for _ in range(2))
        return own, teacher

    return Case(f"{len(shares)} classes, the rarest {min(shares):.0%}, apart by {sharp:g} s.d.", draw)


LABELED = [labels_with([0.3], 0.5), labels_with([0.1], 1.0), labels_with([0.05, 0.1, 0.2, 0.3, 0.4], 0.8)]
CLASSED = [classes_with([0.7, 0.3], 1.0), classes_with([0.95, 0.05], 2.0), classes_with([0.1] * 10, 2.0)]


def cases_of(name: str) -> list[Case]:
    """What a metric is simulated on."""
    if name in ("rmse", "mae", "r2"):
        return [values_with(one) for one in ERRORS]
    return [*LABELED, *(CLASSED if name == "auroc" else [])]


def false_claims(metric: Metric, case: Case, n: int, studies: int, seed: int = 0) -> tuple[float, float]:
    """How often a network whose true value is exactly the target is claimed to be better at 5%, and how often one that is
    exactly as good as its teacher is claimed to be better.
    """
    random = np.random.default_rng(seed)
    truth = metric.value(case.draw(random, POPULATION)[0])
    found = []
    while len(found) < studies:
        own, teacher = case.draw(random, n)
        if not metric.applies(own):  # such as without any sample of a label
            continue
        classes = own.outputs.shape[1] if own.outputs is not None else 0
        found.append((metric.misses(own, classes, truth) <= 0.05, metric.loses(own, teacher, classes, 1.0) <= 0.05))
    target, paired = np.mean(found, axis=0)
    return float(target), float(paired)
