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
from .value import AsTuple, FilePath, Value, check_path, matching

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
    """A function of your own that returns arrays as in a .npz file, or a map-style data set."""

    factory: Import = Field(alias="import")
    """The function, as package.module:function."""
    arguments: dict[str, JsonValue] = {}
    """Keyword arguments of the function."""


class AllExcept(Value):
    """`features: {except: [customer_id]}`: all columns but these."""

    names: Annotated[tuple[str, ...], AsTuple] = Field(alias="except")
    """Columns that a network does not get."""


class TrainedTokenizer(Value):
    """`tokenizer: {train: bpe, vocabulary: 4096}`: trained on the training texts."""

    train: Literal["bpe"]
    """Kind of tokenizer: byte-level BPE, the only one that the package tokenizers trains to the same bytes twice."""
    vocabulary: Annotated[int, Field(ge=300, le=1_000_000)] = 4096
    """Largest number of tokens, with 256 for bytes and 5 special ones."""


COLUMNS = r"number|boolean|category|(date|calendar)( \S.*)?"


def _check_column(value: str) -> str:
    if not re.fullmatch(COLUMNS, value):
        ways = "number, boolean, category, date, calendar, or a date with a format, such as 'date %d/%m/%Y'"
        raise ValueError(f"{value!r} is not a kind of column; use {ways}")
    return value


ColumnKind = Annotated[str, AfterValidator(_check_column), matching(f"^({COLUMNS})$")]
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
    ways = "a .npz, .csv, or .parquet file, npy/PATH, folder/PATH, hfds/NAME, wds/PATH, or import: package.module:function"
    raise ValueError(f"{value!r} is not a known data set; {meant} (or {ways})")


def _names() -> str:
    """A pattern of all names and paths of data sets that `_check_name` accepts."""
    ends = "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in end) for end in TABLES)
    paths = [r".*\.npz", f".*({ends})", f"({'|'.join(kind for kind in PREFIXES if kind != 'torch')})/.+"]
    paths += [f"{re.escape(prefix)}.*" for prefix in PATHS] + [".*/"]
    return f"^({'|'.join([*map(re.escape, NAMES), *paths])})$"


DataSet = Annotated[str, AfterValidator(_check_name), matching(_names())]


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


Columns = Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]


def _listed(value: object) -> object:
    """A single name as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class FieldOptions(Value):
    """Options of one field of the samples."""

    dtype: Literal["int64"] | None = None
    """int64 keeps integers as they are, for an embedding; by default they become float32."""
    padding: Annotated[float, Field(ge=-1e30, le=1e30)] = 0.0
    """Value of the positions after the end of a shorter sample."""


class TaskSpec(Value):
    """Where the data come from, how they are split, and what is measured."""

    dataset: DataSet | ImportedData
    """A path (.npz, .csv, .parquet, .jsonl, folder/PATH, npy/PATH, wds/PATH), a name (such as sklearn/digits or hfds/NAME), or
    a function of your own.
    """
    split: Split = Split()
    """Shares of the samples for validation and for the test split."""
    samples: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Number of samples, stratified, for training and validation; by default all."""
    labeled: Annotated[float, Field(gt=0, le=1)] | None = None
    """Fraction of the training samples that keep their labels; by default all do."""
    unlabeled: FilePath | None = None
    """Folder of images, or file of texts, without labels; by default none."""
    layout: Literal["auto", "D", "CL", "HW", "CHW", "HWC"] = "auto"
    """Axes of a sample: D dimensions, C channels, L length, H height, W width."""
    image_size: Side | Annotated[tuple[Side, Side], AsTuple] | None = None
    """Side, or height and width, in pixels to which image files are resized; by default they keep their size."""
    channels: Literal[1, 3] | None = None
    """Channels of decoded image files: 1 is gray, 3 is color; by default those of the files."""
    memory: Literal["auto", "resident", "stream"] = "auto"
    """Whether samples are held in memory (resident) or read from disk during training (stream); auto holds what fits."""
    inputs: dict[str, FieldOptions] | None = None
    """Options of the fields of a .npz file or an import, by name."""
    kind: Annotated[TaskKind | Literal["auto"], BeforeValidator(_check_kind)] = "auto"
    """What the labels are; auto looks at their dtype and shape."""
    label: Annotated[str | None, BeforeValidator(_check_label)] = None
    """Column of a table that holds the labels."""
    features: Annotated[tuple[str, ...], AsTuple] | AllExcept | None = None
    """Columns of a table that a network gets; by default all others."""
    groups: str | None = None
    """Column of a table whose groups of rows stay together in one split; by default rows are independent."""
    columns: dict[str, ColumnKind] | None = None
    """Kinds of columns of a table where the guess is wrong, by name: number, boolean, category, date, or calendar (a date of
    which networks also get its place in the week and in the year); a date may be followed by a format of strptime.
    """
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Character between the values of a text file; by default a comma, or a tab in .tsv files."""
    text: Annotated[Columns, BeforeValidator(_listed, json_schema_input_type=str | Columns)] | None = None
    """Column of the texts that networks read, or the two of a pair; for a folder of text files, any name."""
    tokenizer: TrainedTokenizer | FilePath | None = None
    """A tokenizer.json or its folder, teacher (that of the teacher's checkpoint, the default where it has one), or one that is
    trained.
    """
    max_length: Annotated[int, Field(ge=8, le=1_000_000)] | None = None
    """Number of tokens to which texts are cut; by default 128."""
    metric: str | OwnMetric = "accuracy"
    """What a search trades off against size, by name or a function of your own; the default for multilabel tasks is f1_micro,
    and for regression rmse.
    """
    also: Annotated[tuple[str | OwnMetric, ...], AsTuple] = ()
    """Metrics that are shown beside it, by name or functions of your own."""
    folder: FilePath | None = None
    """Folder of torchvision's files, and of samples that do not fit in memory."""
    fingerprint: str | None = None
    """Fingerprint that the data must have; by default any data are accepted, and the study pins theirs."""
    exact: bool = False
    """Whether the fingerprint covers the contents of every image file instead of 1,024 of them."""

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
            raise ValueError(f"text names the column {self.text[0]!r} twice; name two columns, or give one name alone")
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
