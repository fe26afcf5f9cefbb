"""Schema of the task: where the data come from and how they are split."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from .architectures import Import
from .errors import wrong
from .stage import Split
from .value import AsTuple, FilePath, Value, check_path

DATASETS = ("sklearn/digits", "fashion_mnist", "torchvision/CIFAR10", "torchvision/CIFAR100")
TORCH = ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
"""timm's names of the torchvision data sets whose samples are in one array."""
Kind = Literal["import", "npz", "npy", "folder", "hfds", "wds", "torch", "known"]
NAMES = (*DATASETS, *(f"torch/{name}" for name in TORCH))
PATHS = ("/", "./", "../", "~")
"""Prefixes of paths that do not need `folder/`; paths that end with a slash do not need it either."""
OF_IMAGES = ("folder", "hfds", "wds")
PREFIXES: tuple[Kind, ...] = ("npy", "folder", "hfds", "wds", "torch")
Side = Annotated[int, Field(ge=1, le=4096)]


class ImportedData(Value):
    """`import: package.module:function`, called with `arguments`; returns what a .npz file would hold."""

    factory: Import = Field(alias="import")
    arguments: dict[str, JsonValue] = {}


def kind_of(dataset: str | ImportedData) -> tuple[Kind, str]:
    """The kind of a data set, and its name or path within that kind."""
    if isinstance(dataset, ImportedData):
        return "import", dataset.factory
    if dataset.endswith(".npz"):
        return "npz", dataset
    prefix, _, rest = dataset.partition("/")
    for kind in PREFIXES:
        if prefix == kind and rest:
            return kind, rest
    return ("folder" if dataset.startswith(PATHS) or dataset.endswith("/") else "known"), dataset


def _check_name(value: str) -> str:
    kind, name = kind_of(value)
    if value in NAMES or kind not in ("known", "torch"):
        check_path(name)
        return value
    near = difflib.get_close_matches(value, NAMES, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(NAMES)}"
    ways = "a .npz file, npy/PATH, folder/PATH, hfds/NAME, wds/PATH, or import: package.module:function"
    raise ValueError(f"{value!r} is not a known data set; {meant} (or {ways})")


class FieldOptions(Value):
    """`dtype: int64` keeps integers as they are, for an embedding; `padding` fills the positions behind a shorter sample."""

    dtype: Literal["int64"] | None = None
    padding: Annotated[float, Field(ge=-1e30, le=1e30)] = 0.0


class TaskSpec(Value):
    """Where the data come from and how they are split.

    `samples` uses that many, stratified, for training and validation; `labeled` keeps the labels of that fraction of the
    training samples, `unlabeled` is a folder of images without labels. `layout` names a sample's axes, `inputs` has options of
    the fields of a .npz file or an import by name, `folder` is the folder of torchvision's files. `image_size` and `channels`
    say how image files are decoded, `memory` whether they are decoded once or read during training. `metric` is what a search
    trades off against size; those in `also` are shown beside it. `fingerprint` pins the data: other data is refused; with
    `exact`, it covers the contents of every image file instead of 1,024 of them.
    """

    dataset: Annotated[str, AfterValidator(_check_name)] | ImportedData
    split: Split = Split()
    samples: Annotated[int, Field(ge=1, le=10**12)] | None = None
    labeled: Annotated[float, Field(gt=0, le=1)] | None = None
    unlabeled: FilePath | None = None
    layout: Literal["auto", "D", "CL", "HW", "CHW", "HWC"] = "auto"
    image_size: Side | Annotated[tuple[Side, Side], AsTuple] | None = None
    channels: Literal[1, 3] | None = None
    memory: Literal["auto", "resident", "stream"] = "auto"
    inputs: dict[str, FieldOptions] | None = None
    metric: str = "accuracy"
    also: Annotated[tuple[str, ...], AsTuple] = ()
    folder: FilePath | None = None
    fingerprint: str | None = None
    exact: bool = False

    @model_validator(mode="after")
    def _names_each_metric_once(self) -> Self:
        for number, name in enumerate(self.also):
            if name in (self.metric, *self.also[:number]):
                raise wrong(name, f"{name} is already shown; remove it", ("also", number))
        return self

    @model_validator(mode="after")
    def _fits_its_data_set(self) -> Self:
        kind, name = kind_of(self.dataset)
        if kind not in OF_IMAGES:
            given = [key for key in ("image_size", "channels") if getattr(self, key) is not None]
            if given:
                raise ValueError(f"{given[0]} applies to image files (folder/, hfds/, wds/), not to {name}; remove it")
        if self.inputs is not None and kind not in ("npz", "npy", "import"):
            raise ValueError(f"inputs applies to arrays of your own (.npz, npy/, import), not to {name}; remove it")
        if kind != "folder":
            given = [key for key in ("unlabeled", "exact") if getattr(self, key)]
            given += ["memory: stream"] if self.memory == "stream" else []
            if given:
                raise ValueError(f"{given[0]} applies to a folder of images, not to {name}; remove it{_instead(given[0])}")
        elif self.layout not in ("auto", "CHW"):
            raise ValueError(f"layout {self.layout} applies to arrays, not to a folder of images; remove it")
        return self

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width of decoded images, if given."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size


def _instead(given: str) -> str:
    ways = {"unlabeled": ", or add x_unlabeled to the data", "memory: stream": ", or save the images as files in folders"}
    return ways.get(given, "")
