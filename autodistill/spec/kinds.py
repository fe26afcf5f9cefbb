"""The kinds of tasks, and everything that depends only on the kind of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from .value import Json

TaskKind = Literal["classification", "multilabel", "regression"]
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
FORMS = (
    "classes (N,), 0 or 1 for each of several labels (N, K), or numbers (N,) or (N, K) for regression; "
    "segmentation, detection, token labels, and ranking are not supported"
)
"""The labels that are supported."""
FEATURES = ("hint", "attention", "relational", "similarity", "cosine")
"""The terms that compare features: they suit every kind."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a kind implies.

    `metric` and `loss` are the defaults, `label` is the term that learns from labels, and `terms` are the terms that make
    sense. `one` and `many` name one output and several; `output` names the tensor of all outputs.
    """

    metric: str
    label: str
    terms: tuple[str, ...]
    loss: Json
    one: str
    many: str
    output: str = "logits"


ABOUT: dict[TaskKind, About] = {
    "classification": About(
        metric="accuracy",
        label="ce",
        terms=("ce", "kd", "dkd", "dist", *FEATURES),
        loss={"kd": {"weight": 0.9}, "ce": {"weight": "rest"}},
        one="class",
        many="classes",
    ),
    "multilabel": About(
        metric="f1_micro",
        label="ce",
        terms=("ce", "kd", *FEATURES),
        loss={"kd": {"weight": 0.9}, "ce": {"weight": "rest"}},
        one="label",
        many="labels",
    ),
    "regression": About(
        metric="rmse",
        label="mse",
        terms=("mse", "kd", *FEATURES),
        loss={"kd": {"weight": 0.5}, "mse": {"weight": "rest"}},
        one="value",
        many="values",
        output="values",
    ),
}
