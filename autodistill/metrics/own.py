"""Metrics of your own: a mean over samples, or a function of all of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..spec import OwnMetric, UsageError, located
from ..spec.arrays import Array, Floats
from ..spec.code import check_loaded, code_here, code_of
from ..spec.imports import import_function, running, shown
from ..spec.kinds import KINDS
from ..spec.measurement import Score
from .base import Mean, Metric, Outcome, kind_of_labels, outcome, score_of, share_worse

SCALAR_DRAWS, SCALAR_TEST_DRAWS = 50, 400
"""Draws for a standard error, and for a p-value, of a function of all samples: each draw calls it."""
ROUNDING = 1e-9
"""How far beyond its bounds a value may be, relative to their distance: sums of float64 are not exact."""
MOST_CONSTANTS = 20
"""For how many classes the floor tries to predict each of them always."""


@functools.lru_cache
def function_of(own: OwnMetric) -> Callable[..., Any]:
    """The function of a metric. Raises UsageError if it cannot be imported, or if its code is not the recorded one."""
    if own.source is not None and code_of(own.factory).source() != own.source:
        way = "restore it, or search again with --fresh (trained networks are kept)"
        raise UsageError(f"the code of the metric {own.factory} has changed since this study used it; {way}")
    return import_function(own.factory)


def called(own: OwnMetric, found: Outcome) -> Floats:
    """What the function returns for these predictions: a number (), or one for each sample (N,).

    The function gets `outputs`: probabilities (N, K) of classes or of single labels, or values (N,) or (N, K). It also gets
    `labels`: classes (N,), 0 or 1 for each label (N, K), or values like `outputs`. Raises UsageError if it returns anything
    else.
    """
    assert found.outputs is not None, "it needs the outputs"
    pair = [found.outputs, found.labels]
    if found.kind == "regression" and found.labels.shape[1] == 1:
        pair = [one[:, 0] for one in pair]
    with running(f"the metric {own.factory}"):
        given = function_of(own)(outputs=pair[0].copy(), labels=pair[1].copy())
        value = np.asarray(given, dtype=np.float64)
    if value.shape not in ((), (len(found.labels),)) or not np.isfinite(value).all():
        what = f"shape {value.shape}" if np.isfinite(value).all() else "numbers that are not finite"
        way = f"return one number, or one for each of the {len(found.labels)} samples"
        raise UsageError(f"the metric {own.factory} returned {shown(given)}, with {what}; {way}")
    low, high = own.ends
    slack = ROUNDING * (high - low) if np.isfinite(high - low) else 0.0
    if value.min() < low - slack or value.max() > high + slack:
        what = f"{value.min() if value.min() < low else value.max():g}, which is outside its bounds, {low:g} to {high:g}"
        raise UsageError(f"the metric {own.factory} returned {what}; correct the bounds (the key bounded)")
    return np.clip(value, low, high)


def pinned(own: OwnMetric, labels: Array, classes: int, place: str = "task.metric") -> OwnMetric:
    """The metric with the sha256 of its code, and with whether it is a mean over samples, which a call of the function shows.

    Raises UsageError with its `place` in the spec, as `called` does, and if the spec pins other code, or this process has
    imported other code.
    """
    with located(place):
        with_source = own.model_copy(update={"source": code_of(own.factory).source()})
        if code_here(own.factory) != with_source.source:
            way = "restart this program (in a notebook, the kernel)"
            raise UsageError(f"the code of {own.factory} has changed since this process imported it; {way}")
        function_of(with_source)
        check_loaded(sys.modules[own.factory.partition(":")[0]])
        if own.source not in (None, with_source.source):
            function_of(own)
        value = called(with_source, constants(labels, classes)[0])
    return with_source.model_copy(update={"over": "samples" if value.ndim else "all"})


def constants(labels: Array, classes: int) -> list[Outcome]:
    """Predictions of networks that ignore their input: frequencies or means, and each of a few classes always."""
    n, kind = len(labels), kind_of_labels(labels)
    if kind == "regression":
        rows = [labels.mean(axis=0), np.median(labels, axis=0)]
    elif kind == "multilabel":
        share = labels.mean(axis=0).clip(1e-6, 1 - 1e-6)
        rows = [np.log(share / (1 - share)), np.full(classes, 20.0), np.full(classes, -20.0)]
    else:
        rows = [np.log(np.maximum(np.bincount(labels, minlength=classes) / n, 1e-9))]
        rows += [20.0 * one for one in np.eye(classes)[:MOST_CONSTANTS]]
    return [outcome(np.tile(row, (n, 1)), labels) for row in rows]


@dataclass(frozen=True, kw_only=True)
class OwnMean(Mean):
    """The mean of what your function returns for each sample."""

    own: OwnMetric

    def each(self, found: Outcome) -> Floats:
        return np.broadcast_to(called(self.own, found), (len(found.labels),))

    def floor(self, labels: Array, classes: int) -> float:
        return _best(self, labels, classes)

    def applies(self, found: Outcome) -> bool:
        return found.outputs is not None

    @property
    def column(self) -> str:
        return self.own.title


@dataclass(frozen=True, kw_only=True)
class OwnFunction(Metric):
    """A number that your function returns for all samples; its tests call it on samples drawn with replacement."""

    own: OwnMetric

    @property
    def method(self) -> str:
        return f"an approximate test: a paired bootstrap with {SCALAR_TEST_DRAWS} draws, each of which calls your function"

    def value(self, found: Outcome) -> float:
        return float(called(self.own, found))

    def floor(self, labels: Array, classes: int) -> float:
        return _best(self, labels, classes)

    def score(self, found: Outcome, classes: int) -> Score:
        return score_of(self.value(found), self._drawn(found, SCALAR_DRAWS), len(found.labels))

    def misses(self, found: Outcome, classes: int, target: float) -> float:
        return share_worse(self.height(self._drawn(found, SCALAR_TEST_DRAWS)) - float(self.height(target)))

    def loses(self, found: Outcome, teacher: Outcome, classes: int, share: float) -> float:
        own, theirs = (self._drawn(one, SCALAR_TEST_DRAWS) for one in (found, teacher))
        return share_worse(self.height(own) - self.height(self.keeping(theirs, share)))

    def _drawn(self, found: Outcome, draws: int) -> Floats:
        """(B,) values on samples drawn with replacement, the same for networks on the same samples."""
        random = np.random.default_rng(0)
        return np.array([self.value(found.take(drawn_rows(found.labels, random))) for _ in range(draws)])

    def applies(self, found: Outcome) -> bool:
        return found.outputs is not None

    @property
    def column(self) -> str:
        return self.own.title


def drawn_rows(labels: Array, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows (N,) drawn with replacement, in which each class is found, and no label that differs is the same in all: many
    functions, such as the area under a ROC curve, have no value otherwise. What is missing replaces the first rows.
    """
    rows = random.integers(len(labels), size=len(labels))
    if kind_of_labels(labels) != "regression":
        for place, which_N in enumerate(_lacking(labels, labels[rows])):
            rows[place] = random.choice(np.flatnonzero(which_N))
    return rows


def _lacking(labels: Array, drawn: Array) -> list[npt.NDArray[np.bool_]]:
    """For each class, and for each label that is there or not, which samples have it, if none of the drawn ones does."""
    if labels.ndim == 1:
        return [labels == one for one in np.setdiff1d(labels, drawn)]
    ends = [(labels == end, (drawn == end).any(axis=0)) for end in (0, 1)]
    return [has_NK[:, label] for has_NK, found_K in ends for label in np.flatnonzero(has_NK.any(axis=0) & ~found_K)]


def _best(metric: OwnMean | OwnFunction, labels: Array, classes: int) -> float:
    """The best value of the networks that ignore their input."""
    return min((metric.value(one) for one in constants(labels, classes)), key=metric.cost)


@functools.lru_cache
def own_metric(text: str) -> Metric:
    """The metric of a text of `OwnMetric`."""
    own = OwnMetric.of(text)
    kind = OwnFunction if own.over == "all" else OwnMean
    low, high = own.ends
    shares = (low, high) == (0.0, 1.0)
    return kind(
        name=text,
        label=own.title.replace("_", " "),
        higher=own.better == "higher",
        low=low,
        high=high,
        percent=False,
        natural=not shares,
        kinds=KINDS,
        own=own,
    )
