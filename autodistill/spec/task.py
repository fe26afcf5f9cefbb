"""Schema of the task: where the data come from and how they are split."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from .architectures import Import
from .errors import wrong
from .kinds import FORMS, KINDS, TaskKind
from .metric import OwnMetric, name_of
from .stage import Split
from .value import AsTuple, FilePath, Value, check_path

DATASETS = ("sklearn/digits", "fashion_mnist", "torchvision/CIFAR10", "torchvision/CIFAR100")
TORCH = ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
"""timm's names of the torchvision data sets whose samples are in one array."""
Kind = Literal["import", "npz", "npy", "table", "folder", "hfds", "wds", "torch", "known"]
NAMES = (*DATASETS, *(f"torch/{name}" for name in TORCH))
PATHS = ("/", "./", "../", "~")
"""Prefixes of paths that do not need `folder/`; paths that end with a slash do not need it either."""
OF_IMAGES = ("folder", "hfds", "wds")
TABLES = (".csv", ".csv.gz", ".tsv", ".parquet", ".pq", ".jsonl")
LINES = ".jsonl"
"""A table that only texts are read from: a JSON object in each line."""
TEACHERS = "teacher"
"""The tokenizer of the teacher's checkpoint."""
MAX_LENGTH = 128
"""Texts are cut to so many tokens unless the task says otherwise."""
OF_TEXTS = ("table", "folder", "hfds")
OF_TABLES = ("label", "features", "groups", "columns", "separator")
STREAMED: dict[Kind, str] = {"folder": "image files", "npz": ".npz files", "npy": "npy/", "hfds": "hfds/", "wds": "wds/"}
"""Data sets that `memory: stream` leaves on disk."""
PREFIXES: tuple[Kind, ...] = ("npy", "folder", "hfds", "wds", "torch")
Side = Annotated[int, Field(ge=1, le=4096)]


class ImportedData(Value):
    """`import: package.module:function`, called with `arguments`; it returns arrays as in a .npz file, or a map-style data
    set.
    """

    factory: Import = Field(alias="import")
    arguments: dict[str, JsonValue] = {}


class AllExcept(Value):
    """`features: {except: [customer_id]}`: all columns but these."""

    names: Annotated[tuple[str, ...], AsTuple] = Field(alias="except")


class TrainedTokenizer(Value):
    """`tokenizer: {train: bpe, vocabulary: 4096}`: byte-level BPE, trained on the training texts. `vocabulary` is at most how
    many tokens there are, with 256 for bytes and 5 special ones.

    It is the only kind that the package tokenizers trains to the same bytes twice.
    """

    train: Literal["bpe"]
    vocabulary: Annotated[int, Field(ge=300, le=1_000_000)] = 4096


def _check_column(value: str) -> str:
    if not re.fullmatch(r"number|boolean|category|(date|calendar)( \S.*)?", value):
        ways = "number, boolean, category, date, calendar, or a date with a format, such as 'date %d/%m/%Y'"
        raise ValueError(f"{value!r} is not a kind of column; use {ways}")
    return value


ColumnKind = Annotated[str, AfterValidator(_check_column)]
"""number, boolean, category, date, or calendar: a date of which networks also get its place in the week and in the year. A date
may be followed by a format of strptime, otherwise it is ISO 8601."""


def kind_of(dataset: str | ImportedData) -> tuple[Kind, str]:
    """The kind of a data set, and its name or path within that kind."""
    if isinstance(dataset, ImportedData):
        return "import", dataset.factory
    if dataset.endswith(".npz"):
        return "npz", dataset
    if dataset.lower().endswith(TABLES):
        return "table", dataset
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
    ways = "a .npz, .csv or .parquet file, npy/PATH, folder/PATH, hfds/NAME, wds/PATH, or import: package.module:function"
    raise ValueError(f"{value!r} is not a known data set; {meant} (or {ways})")


def _check_kind(value: object) -> object:
    if isinstance(value, str) and value not in (*KINDS, "auto"):
        near = difflib.get_close_matches(value, KINDS, n=1)
        way = f"did you mean {near[0]!r}?" if near else f"labels may be {FORMS}, so use auto, {', '.join(KINDS)}"
        raise ValueError(f"{value!r:.60} is not a kind of task; {way}")
    return value


def _check_label(value: object) -> object:
    if isinstance(value, list):
        way = "give each row a list of labels in one column of a .jsonl or .parquet file, and name that column"
        raise ValueError(f"{', '.join(map(str, value))} are several columns; {way}")
    return value


def _listed(value: object) -> object:
    """A single name as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class FieldOptions(Value):
    """`dtype: int64` keeps integers as they are, for an embedding; `padding` fills the positions after the end of a shorter
    sample.
    """

    dtype: Literal["int64"] | None = None
    padding: Annotated[float, Field(ge=-1e30, le=1e30)] = 0.0


class TaskSpec(Value):
    """Where the data come from and how they are split.

    `samples` uses only that many samples, stratified, for training and validation. `labeled` keeps the labels of that fraction
    of the training samples; `unlabeled` is a folder of images without labels. `layout` names a sample's axes, `inputs` has
    options of the fields of a .npz file or an import by name, and `folder` is the folder of torchvision's files, and of samples
    that do not fit in memory. `image_size` and `channels` say how image files are decoded, `memory` whether samples are held in
    memory (resident) or read from disk during training (stream); auto holds what fits. For a table, `label` and `groups` name
    columns, `features` the columns that a network gets (by default all others), `columns` the kinds of columns where the guess
    is wrong, and `separator` the character between the values of a text file. `kind` says what the labels are; `auto` looks at
    their dtype and shape.

    `text` names the column of the texts that networks read, or the two of a pair (of a folder of text files, it is any name);
    `unlabeled` is then a file of texts without labels. They become tokens of the `tokenizer`: a tokenizer.json or its folder,
    that of the `teacher` (the default where it has one), or one that is trained. Texts are cut to `max_length` tokens.

    `metric` is what a search trades off against size: by default accuracy, f1_micro or rmse, depending on the kind; it may be a
    function of your own. The metrics in `also`, which may be functions of your own, too, are shown beside it. `fingerprint`
    pins the data: other data are refused; with `exact`, it covers the contents of every image file instead of 1,024 of them.
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
    kind: Annotated[TaskKind | Literal["auto"], BeforeValidator(_check_kind)] = "auto"
    label: Annotated[str | None, BeforeValidator(_check_label)] = None
    features: Annotated[tuple[str, ...], AsTuple] | AllExcept | None = None
    groups: str | None = None
    columns: dict[str, ColumnKind] | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    text: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1, max_length=2)] | None = None
    tokenizer: TrainedTokenizer | FilePath | None = None
    max_length: Annotated[int, Field(ge=8, le=1_000_000)] | None = None
    metric: str | OwnMetric = "accuracy"
    also: Annotated[tuple[str | OwnMetric, ...], AsTuple] = ()
    folder: FilePath | None = None
    fingerprint: str | None = None
    exact: bool = False

    @model_validator(mode="after")
    def _names_each_metric_once(self) -> Self:
        titles = [one if isinstance(one, str) else one.title for one in (self.metric, *self.also)]
        for number, title in enumerate(titles[1:]):
            if title in titles[: number + 1]:
                way = "remove it" if isinstance(self.also[number], str) else "remove it, or give it another name"
                raise wrong(title, f"{title} is already shown; {way}", ("also", number))
        return self

    @model_validator(mode="after")
    def _fits_its_data_set(self) -> Self:
        kind, name = kind_of(self.dataset)
        self._fits_texts(kind, name)
        self._fits_a_table(kind, name)
        if kind not in OF_IMAGES:
            given = [key for key in ("image_size", "channels") if getattr(self, key) is not None]
            if given:
                raise ValueError(f"{given[0]} applies to image files (folder/, hfds/, wds/), not to {name}; remove it")
        if self.kind not in ("auto", "classification") and kind not in ("npz", "npy", "hfds", "import", "table"):
            raise ValueError(f"kind: {self.kind} applies to arrays (.npz, npy/, import) and tables, not to {name}; remove it")
        if self.inputs is not None and kind not in ("npz", "npy", "import"):
            raise ValueError(f"inputs applies to arrays of your own (.npz, npy/, import), not to {name}; remove it")
        if self.text is not None:
            return self
        if kind != "folder":
            given = [key for key in ("unlabeled", "exact") if getattr(self, key)]
            if given:
                raise ValueError(f"{given[0]} applies to a folder of images, not to {name}; remove it{_instead(given[0])}")
        elif self.layout not in ("auto", "CHW"):
            raise ValueError(f"layout {self.layout} applies to arrays, not to a folder of images; remove it")
        if self.memory == "stream" and kind not in STREAMED:
            what = f"memory: stream applies to {', '.join(STREAMED.values())}, not to {name}"
            raise ValueError(f"{what}; remove it, or save the samples as a .npz file")
        return self

    def _fits_texts(self, kind: Kind, name: str) -> None:
        if self.text is None:
            given = [key for key in ("tokenizer", "max_length") if getattr(self, key) is not None]
            if given:
                raise ValueError(f"{given[0]} applies to texts; name their column in text, or remove {given[0]}")
            if kind == "table" and name.lower().endswith(LINES):
                raise ValueError(f"{name} is a file of texts; name their column in text")
            return
        if kind not in OF_TEXTS:
            ways = "a table (.csv, .parquet, .jsonl), a folder of text files, or hfds/NAME"
            way = "remove it" if kind != "import" else "write the texts to a .parquet file, or pass a DataFrame from Python"
            raise ValueError(f"text applies to {ways}, not to {name}; {way}")
        if len(set(self.text)) < len(self.text):
            raise ValueError(f"text names the column {self.text[0]!r} twice; name two columns, or give its name alone")
        if self.label in self.text:
            raise ValueError(f"{self.label} is the label, so a network would read the answer; name another column in text")
        others = ("features", "columns", "image_size", "channels", "inputs")
        given = [key for key in others if getattr(self, key) is not None] + ["exact"] * self.exact
        given += [f"{key}: {value}" for key, value in (("layout", self.layout), ("memory", self.memory)) if value != "auto"]
        if given:
            raise ValueError(f"{given[0]} does not apply to texts (task.text); remove it")

    def _fits_a_table(self, kind: Kind, name: str) -> None:
        given = [key for key in OF_TABLES if getattr(self, key) is not None]
        if self.text is not None and kind == "hfds":
            given = [key for key in given if key != "label"]
        given += ["split.by"] if self.split.by is not None else []
        if given and kind != "table":
            raise ValueError(f"{given[0]} applies to a table (.csv, .parquet), not to {name}; remove it")
        if self.layout != "auto" and kind == "table":
            raise ValueError(f"layout {self.layout} applies to arrays, not to a table; remove it")
        if self.groups is not None and self.split.by is not None:
            raise ValueError("groups keeps groups together and split.by splits by time, which exclude each other; remove one")

    @property
    def measure(self) -> str:
        """The name of the metric in scores."""
        return name_of(self.metric)

    @property
    def beside(self) -> tuple[str, ...]:
        """The names in scores of the metrics that are shown beside it."""
        return tuple(map(name_of, self.also))

    @property
    def most_tokens(self) -> int:
        """How many tokens of a text are read."""
        return self.max_length or MAX_LENGTH

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width of decoded images, if given."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size


def _instead(given: str) -> str:
    return ", or add x_unlabeled to the data" if given == "unlabeled" else ""
