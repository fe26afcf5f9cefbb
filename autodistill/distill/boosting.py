"""Gradient-boosted trees of scikit-learn, fitted on the samples that students learn from.

Suffixes of shapes: N samples, D columns, K outputs (classes, labels, or values).
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..data import Columns, Encoding, InputSpec
from ..data.encoding import CATEGORIES
from ..spec import TaskKind, UsageError
from ..spec.arrays import Floats
from .data import Data

WIDEST = 2000
"""The most columns of a sample: with more, histograms take hours."""
BINS = 255
"""The most values that scikit-learn's trees can split as a category."""
SURE = -math.log(np.finfo(np.float64).eps)
"""The logit of a prediction that is certain from the training samples, clipped as in scikit-learn's log_loss."""


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Fitted HistGradientBoosting models, one for all classes, or one for each of several labels or values.

    They have scikit-learn's defaults and a fixed random state.
    """

    models: Sequence[Any]
    kind: TaskKind
    classes: int
    encoding: Encoding | None

    @classmethod
    def fit(cls, data: Data) -> Self:
        """On the training samples with labels."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        x_ND, y = columns_of(data.train_x, data.encoding), np.asarray(data.train_y)
        categorical = _categorical(data.train_x, data.encoding, x_ND.shape[1])
        how = {"random_state": 0} | ({"categorical_features": categorical} if categorical.any() else {})
        kind = HistGradientBoostingRegressor if data.kind == "regression" else HistGradientBoostingClassifier
        targets = [y] if y.ndim == 1 else list(y.T)
        models = [kind(**how).fit(x_ND, y_N) if np.ptp(y_N) else float(y_N[0]) for y_N in targets]
        return cls(models=models, kind=data.kind, classes=data.classes, encoding=data.encoding)

    @staticmethod
    def refuse(inputs: InputSpec) -> None:
        """Raises UsageError unless samples are rows of numbers and categories of moderate width."""
        takes = "hist_gradient_boosting takes tables and vectors"
        if any(field.open or len(field.shape) != 1 for field in inputs.fields):
            raise UsageError(f"baselines: {takes}, with one axis of fixed length, not samples of {inputs.label}; remove it")
        if inputs.numbers > WIDEST:
            raise UsageError(f"baselines: {takes} of at most {WIDEST:,} columns, not of {inputs.numbers:,}; remove it")

    @property
    def bytes(self) -> int:
        """The size of the pickled models."""
        return len(pickle.dumps(self.models))

    def prepared(self, x: Columns) -> Floats:
        """What `predict` takes: (N, D)."""
        return columns_of(x, self.encoding)

    def predict(self, x_ND: Floats) -> Floats:
        """(N, K): logits of classes or labels, or values."""
        if self.kind == "classification":
            return self._of_classes(x_ND)
        return np.stack([self._of_one(model, x_ND) for model in self.models], axis=1)

    def _of_one(self, model: Any, x_ND: Floats) -> Floats:
        """(N,): a value, or the logit of a label; training samples that are all equal have no model."""
        if isinstance(model, float):
            return np.full(len(x_ND), model if self.kind == "regression" else (2 * model - 1) * SURE)
        found: Floats = model.predict(x_ND) if self.kind == "regression" else model.decision_function(x_ND)
        return found

    def _of_classes(self, x_ND: Floats) -> Floats:
        model = self.models[0]
        if isinstance(model, float):
            return among_all(np.zeros((len(x_ND), 1)), [int(model)], self.classes)
        raw = model.decision_function(x_ND)
        raw_NK = np.stack([np.zeros(len(raw)), raw], axis=1) if raw.ndim == 1 else raw
        return among_all(raw_NK, model.classes_, self.classes)


def among_all(logits_NC: Floats, there: Sequence[int], classes: int) -> Floats:
    """Log-probabilities (N, K) from the logits of C classes; a class without training samples is as unlikely as possible."""
    from scipy.special import log_softmax

    found_NK = np.full((len(logits_NC), classes), -SURE)
    found_NK[:, there] = log_softmax(logits_NC, axis=1)
    return found_NK


def columns_of(x: Columns, encoding: Encoding | None) -> Floats:
    """(N, D): all fields side by side, as networks see them, but with NaN where a table's number is missing.

    Networks get the median in its place and a mask after the numbers, which trees do not need. Categories are the numbers of
    their words.
    """
    parts, batch = [], x.batch(slice(None))
    for name in sorted(batch):  # categories come first
        part_ND = np.asarray(batch[name], np.float64)
        parts.append(part_ND if encoding is None or name == CATEGORIES else _with_gaps(part_ND, encoding))
    return np.concatenate(parts, axis=1)


def _with_gaps(x_ND: Floats, encoding: Encoding) -> Floats:
    measured = [column for column in encoding.columns if column.kind != "category"]
    masked = [place for place, column in enumerate(measured) if column.mask]
    found_ND, masks, waves = np.split(x_ND, [len(measured), len(measured) + len(masked)], axis=1)
    found_ND = found_ND.copy()
    found_ND[:, masked] = np.where(masks > 0.5, np.nan, found_ND[:, masked])
    return np.concatenate([found_ND, waves], axis=1)


def _categorical(x: Columns, encoding: Encoding | None, width: int) -> NDArray[np.bool_]:
    """(D,): which columns are categories. Those with more values than scikit-learn takes are numbers."""
    if encoding is None or CATEGORIES not in x:
        return np.zeros(width, np.bool_)
    few = [values <= BINS for values in encoding.values]
    return np.array([*few, *[False] * (width - len(few))])
