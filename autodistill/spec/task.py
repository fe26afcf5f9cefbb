"""Schema of the task: where the data come from and how they are split."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from .architectures import check_import
from .stage import Split
from .value import Value

Import = Annotated[str, AfterValidator(check_import)]
DATASETS = ("sklearn/digits", "fashion_mnist", "torchvision/CIFAR10", "torchvision/CIFAR100")


class ImportedData(Value):
    """`import: package.module:function`, called with `arguments`; returns what a .npz file would hold."""

    factory: Import = Field(alias="import")
    arguments: dict[str, JsonValue] = {}


def _check_name(value: str) -> str:
    if value in DATASETS or value.endswith(".npz"):
        return value
    near = difflib.get_close_matches(value, DATASETS, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(DATASETS)}"
    raise ValueError(f"{value!r} is no data set; {meant} (or a .npz file, or import: package.module:function)")


class TaskSpec(Value):
    """Where the data come from and how they are split.

    `samples` takes that many, stratified, for training and validation. `layout` says what a sample's axes are, `folder`
    where torchvision's files lie. `fingerprint` pins the data: others are refused.
    """

    dataset: Annotated[str, AfterValidator(_check_name)] | ImportedData
    split: Split = Split()
    samples: Annotated[int, Field(ge=1)] | None = None
    layout: Literal["auto", "D", "CL", "HW", "CHW", "HWC"] = "auto"
    metric: Literal["accuracy"] = "accuracy"
    folder: str | None = None
    fingerprint: str | None = None
