"""All metrics by name, and functions that apply to all of them at once."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from ..spec import ABOUT, TaskKind, UsageError
from ..spec.arrays import Array
from ..spec.measurement import Score
from ..spec.metric import is_own
from ..spec.search import Search
from .base import TEST_DRAWS, Mean, Metric, Outcome, kind_of_labels, outcome
from .classes import BalancedAccuracy, Confusion, LogLoss, MacroF1, TopK
from .moments import AbsoluteError, Explained, LabelF1, RootMeanSquare
from .own import own_metric
from .ranking import MOST_OUTPUTS, AreaUnderROC, AveragePrecision

__all__ = [
    "ACCURACY",
    "METRICS",
    "TEST_DRAWS",
    "Confusion",
    "Mean",
    "Metric",
    "Outcome",
    "TopK",
    "floors",
    "kind_of_labels",
    "meant",
    "metric_of",
    "named",
    "outcome",
    "scores",
    "suiting",
    "values",
]

ACCURACY = TopK(name="accuracy", label="accuracy")
TINY = 1e-30
"""Errors have the scale of the labels: none but 0 is known to be within the noise."""
BOTH: tuple[TaskKind, ...] = ("classification", "multilabel")
METRICS: dict[str, Metric] = {
    one.name: one
    for one in (
        ACCURACY,
        TopK(name="top5", label="top-5 accuracy", top=5),
        BalancedAccuracy(name="balanced_accuracy", label="balanced accuracy", stratified=True),
        MacroF1(name="f1_macro", label="macro F1", percent=False, stratified=False, kinds=BOTH),
        LogLoss(name="log_loss", label="log loss", higher=False, high=math.inf, percent=False, worst=10.0),
        AreaUnderROC(name="auroc", label="AUROC", percent=False, kinds=BOTH),
        LabelF1(name="f1_micro", label="micro F1", percent=False, micro=True, kinds=("multilabel",)),
        AveragePrecision(name="average_precision", label="average precision", percent=False, kinds=("multilabel",)),
        RootMeanSquare(name="rmse", label="RMSE", higher=False, high=math.inf, edge=TINY),
        AbsoluteError(name="mae", label="mean absolute error", higher=False, high=math.inf, edge=TINY),
        Explained(name="r2", label="R squared", low=-math.inf),
    )
}
"""All metrics by name: to add one, write its class in a module of this package and list it here."""
MEANT = {
    "auc": "auroc",
    "roc_auc": "auroc",
    "ap": "average_precision",
    "map": "average_precision",
    "f1": "f1_macro",
    "mse": "rmse",
    "rms": "rmse",
    "l1": "mae",
    "l2": "rmse",
    "r_squared": "r2",
    "cross_entropy": "log_loss",
    "nll": "log_loss",
}
"""Names that others give to them."""


def meant(name: str) -> list[str]:
    """The known metric, if any, that an unknown name may mean."""
    return [MEANT[name.lower()]] if name.lower() in MEANT else difflib.get_close_matches(name, METRICS, n=1)


def named(name: str, place: str = "task.metric") -> Metric:
    """The metric of that name. Raises UsageError, with `place`, the place of the name in the spec, if there is none."""
    if is_own(name):
        return own_metric(name)
    if name not in METRICS:
        near = meant(name)
        way = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(METRICS)}"
        raise UsageError(f"{place}: {name!r} is not a metric; {way}")
    return METRICS[name]


def suiting(name: str, kind: TaskKind, classes: int, place: str = "task.metric") -> Metric:
    """The metric of that name. Raises UsageError if it does not apply to this kind of task or to this many outputs."""
    metric = named(name, place)
    if kind not in metric.kinds:
        others = [one.name for one in METRICS.values() if kind in one.kinds]
        raise UsageError(f"{place}: {name} does not apply to {kind}; use one of {', '.join(others)}")
    if isinstance(metric, AreaUnderROC | AveragePrecision) and classes > MOST_OUTPUTS:
        what = f"{name} is computed for at most {MOST_OUTPUTS} {ABOUT[kind].many}, and there are {classes:,}"
        raise UsageError(f"{place}: {what}; use {ABOUT[kind].metric}")
    return metric


def metric_of(search: Search) -> Metric:
    """The metric that a search trades off against size: its first objective."""
    return named(search.objectives[0])


def floors(labels: Array, classes: int, own: Sequence[str] = ()) -> dict[str, float]:
    """By metric, the best value of a network that ignores its input, for labels (N,) or (N, K)."""
    kind = kind_of_labels(labels)
    found = [metric for metric in METRICS.values() if kind in metric.kinds] + [named(name) for name in own]
    return {metric.name: metric.floor(labels, classes) for metric in found}


def _all(found: Outcome, own: Sequence[str]) -> list[Metric]:
    return [metric for metric in (*METRICS.values(), *map(named, own)) if metric.applies(found)]


def scores(found: Outcome, classes: int, own: Sequence[str] = ()) -> dict[str, Score]:
    """The score of every metric that suits the task, and of metrics of your own."""
    return {metric.name: metric.score(found, classes) for metric in _all(found, own)}


def values(found: Outcome, own: Sequence[str] = ()) -> dict[str, float]:
    """The value of every metric that suits the task, and of metrics of your own."""
    return {metric.name: metric.value(found) for metric in _all(found, own)}
