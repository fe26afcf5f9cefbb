"""Drafts a spec: looks at the data, guesses what suits it, and says what it guessed."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from ..data import Images, Splits, read, split
from ..data.folders import UNKNOWN
from ..data.images import size_of, spread
from ..data.kinds import is_text
from ..data.saved import is_saved
from ..metrics.metric import METRICS, suiting
from ..spec import ABOUT, DataError, TaskSpec, UsageError
from ..spec.imports import reason
from ..spec.task import LINES, TABLES
from ..spec.value import Json
from .inheriting import ranges_below

SEPARATORS = ",;\t|"
ENDS = (".npz", *sorted(TABLES, key=len, reverse=True))
LABELS = ("label", "target", "class", "y", "outcome")
"""Names of the column of a table that is guessed to be its label."""
SHARE = 0.2
"""The share of all samples for validation, and for the test."""
STEPS, BATCH = 400, 64
"""About how many steps of how many samples a student trains for: seconds, for small ones."""
EPOCHS = (3, 40)
TRIALS = 16
LARGE = 64
"""Images with longer sides are made as small as this, so that a first search takes minutes."""
SKEWED = 0.7
"""With a larger share of one class, accuracy says little."""
Family = tuple[str, dict[str, float], str]
"""The family of networks, the fields of the teacher, and the ranges of the students."""
FIELDS: Family = ("mlp", {"depth": 2, "width": 256}, "depth: {int: [1, 2]}, width: {int: [2, 64]}")
IMAGES: Family = ("resnet", {"depth": 1, "width": 16}, "depth: 1, width: {int: [2, 12]}")
TEXTS: Family = (
    "transformers",
    {"layers": 3, "hidden": 128, "heads": 4, "dropout": 0.1},
    "layers: {int: [1, 2]}, heads: {choice: [1, 2, 4]}, head_width: 16",
)
FIRST = 1000
"""How many rows of a table are looked at to find texts."""
TOKENIZER = {"train": "bpe", "vocabulary": 4096}
USUAL = "3e-3", "[1e-3, 1e-2]"
RATES = {TEXTS[0]: ("1e-3", "[3e-4, 3e-3]")}
"""The learning rates of a teacher and of students, by family, where they are not the usual ones."""


class Draft(NamedTuple):
    """A spec that is not written yet, and what was guessed."""

    text: str
    study: str
    guesses: Sequence[str]


def drafted(data: str, *, label: str | None, kind: str | None, teacher: str | None, target: tuple[str, float] | None) -> Draft:
    """A spec for `data`, which is a path or a name that `task.dataset` accepts.

    Raises DataError for data that cannot be used, UsageError for a kind of task that they cannot have, and for a teacher that
    cannot be used by this name.
    """
    guesses: list[str] = []
    task: Json = {"dataset": _dataset(data)}
    if data.lower().endswith(LINES):
        way = "write a spec with task.text and task.label, which name the columns of the texts and the labels"
        raise UsageError(f"{data} is a file of texts, for which no spec can be drafted; {way}")
    if _is_table(data):
        columns, separator = _header(data)
        task |= {"separator": separator} if separator != _usual(data) else {}
        texts = [name for name in _texts(data, separator) if name != label]
        task["label"] = label or _guessed_label([name for name in columns if name not in texts] or columns, guesses)
        task |= _text_task(texts, teacher, guesses) if texts and task["label"] not in texts else {}
    elif label is not None:
        raise UsageError(f"--label {label} names a column of a table, but {data} is not a .csv or .parquet file; leave it out")
    task |= _image_size(task, guesses)
    task |= {} if kind is None else {"kind": kind}
    splits = _splits(task)
    if useless := _useless(splits, guesses):
        task["features"] = {"except": [*useless]}
        splits = _splits(task)
    metric, value = target or (_metric(splits, guesses, kind), None)
    study = re.sub(r"[^A-Za-z0-9._-]+", "_", _stem(data)).strip("._-") or "study"
    suiting(metric, splits.kind, splits.classes, "--target")
    lines = [*_head(study, data), *_task_lines(task, splits, metric, useless)]
    lines += [*_teacher_lines(teacher, splits, guesses), *_student_lines(teacher, splits, guesses)]
    wanted = "" if value is None else f", target: {value:g}"
    lines += [f"search: {{trials: {TRIALS}, seed: 0{wanted}}}   # more trials find better students"]
    lines += ["resources: {cpus: 1, gpus: auto, threads: 1}"]
    return Draft("\n".join(lines) + "\n", study, guesses)


def _splits(task: Json) -> Splits:
    spec = _task({**task, "split": {"validation": SHARE, "test": SHARE}})
    return split(read(spec), spec)


def _useless(splits: Splits, guesses: list[str]) -> Mapping[str, str]:
    """The columns of a table that networks need not read, and what each has; none if no other is left."""
    if splits.encoding is None or len(splits.useless) == len(splits.encoding.columns):
        return {}
    guesses += [f"networks do not read the column {name!r}: it has {what}" for name, what in splits.useless.items()]
    return splits.useless


def _task(task: Json) -> TaskSpec:
    """Raises UsageError for an unknown data set, and for a kind of task that it cannot have."""
    try:
        return TaskSpec.model_validate(task)
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _stem(data: str) -> str:
    name = Path(data.rstrip("/")).name
    return next((name.removesuffix(end) for end in ENDS if name.endswith(end)), name)


def _is_table(data: str) -> bool:
    return data.lower().endswith(TABLES)


def _dataset(data: str) -> str:
    """The name of a data set; a folder is looked into."""
    path = Path(os.path.expanduser(data))
    if not os.path.isdir(path):
        return data
    if is_saved(path):
        return f"hfds/{data}"
    if any((path / name).is_file() for name in ("x.npy", "x_train.npy")):
        return f"npy/{data}"
    return f"{'wds' if (path / '_info.json').is_file() else 'folder'}/{data.rstrip('/')}"


def _usual(path: str) -> str | None:
    """The separator that a file with this name has unless the spec names another; None for Parquet."""
    name = path.lower()
    return None if name.endswith((".parquet", ".pq")) else "\t" if name.endswith(".tsv") else ","


def _header(path: str) -> tuple[list[str], str | None]:
    """The names of the columns of a table, and what separates them."""
    if not os.path.isfile(path):
        raise DataError(f"{path} is not a file; give the path of a table, a .npz file, or a folder")
    usual = _usual(path)
    try:
        if usual is None:
            from pyarrow import parquet

            schema = parquet.read_schema(path)
            index = (schema.pandas_metadata or {}).get("index_columns", ())
            return [str(name) for name in schema.names if name not in index], None
        import pandas

        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig") as file:
            first = str(file.readline())
        separator = usual if usual in first else max(SEPARATORS, key=first.count)
        return list(map(str, pandas.read_csv(path, nrows=0, sep=separator, encoding="utf-8-sig").columns)), separator
    except Exception as error:  # an empty or damaged file fails in many ways
        raise DataError(f"{path} cannot be read as a table ({reason(error)}); give a .csv or .parquet file") from None


def _guessed_label(columns: Sequence[str], guesses: list[str]) -> str:
    found = next((name for name in columns if name.lower() in LABELS), columns[-1])
    guesses.append(f"the label is the column {found!r} (--label names another)")
    return found


def _texts(path: str, separator: str | None) -> list[str]:
    """The columns that clearly hold texts, at most two."""
    import pandas

    try:
        if separator is None:
            from pyarrow import parquet

            frame = next(parquet.ParquetFile(path).iter_batches(FIRST)).to_pandas()
        else:
            frame = pandas.read_csv(path, nrows=FIRST, sep=separator, encoding="utf-8-sig", dtype=str, index_col=False)
    except (ValueError, OSError, StopIteration):  # whoever reads all of it says what is wrong
        return []
    return [str(name) for name in frame.columns if is_text(frame[name])][:2]


def _text_task(texts: Sequence[str], teacher: str | None, guesses: list[str]) -> Json:
    """`text` and `tokenizer`: that of a teacher in a folder of transformers, or one that is trained."""
    named = " and ".join(map(repr, texts))
    guesses.append(f"networks read {named} alone, because {'they hold' if len(texts) > 1 else 'it holds'} texts")
    pretrained = teacher is not None and os.path.isdir(teacher)
    return {"text": texts[0] if len(texts) == 1 else list(texts), "tokenizer": teacher if pretrained else TOKENIZER}


def _image_size(task: Json, guesses: list[str]) -> Json:
    """`image_size` for images that differ in size, or that are too large for a quick search."""
    if not str(task["dataset"]).startswith("folder/"):
        return {}
    x = read(_task({"dataset": task["dataset"]})).x.pixels
    if not isinstance(x, Images) or x.size != UNKNOWN:
        return {}
    sizes = np.array([size_of(x.paths[row]) for row in spread(len(x), 64)])
    least, most = int(sizes.min()), int(sizes.max())
    if (sizes == sizes[0]).all() and most <= LARGE:
        return {}
    side = min(LARGE, least)
    guesses.append(
        f"images of {least} to {most} pixels are resized to {side} x {side} (larger sizes are slower and may be better)"
    )
    return {"image_size": side}


def _metric(splits: Splits, guesses: list[str], kind: str | None) -> str:
    usual = ABOUT[splits.kind].metric
    if splits.kind == kind != "classification":
        return usual
    if splits.kind != "classification":
        guesses.append(f"the labels are those of a {splits.kind} task (--kind names another), so the metric is {usual}")
        return usual
    share = float(np.bincount(splits.train.y).max() / len(splits.train))
    if share < SKEWED:
        return usual
    guesses.append(f"the metric is balanced_accuracy, because {share:.0%} of the samples have one class")
    return "balanced_accuracy"


def _head(study: str, data: str) -> list[str]:
    return [
        f"# Purpose: the smallest student that is accurate enough on {data}; drafted by autodistill init, for you to edit.",
        f"# Command: autodistill check {study}.yaml, then autodistill search {study}.yaml",
        f"study: {study}",
    ]


def _task_lines(task: Json, splits: Splits, metric: str, useless: Mapping[str, str]) -> list[str]:
    own = splits.own_parts
    parts = f"the data set has its own {' and '.join(own)}" if own else "shares of all samples; the test split stays sealed"
    samples = len(splits.train) + len(splits.validation) + len(splits.test)
    many = ABOUT[splits.kind].one if splits.classes == 1 else ABOUT[splits.kind].many
    what = f"{samples:,} samples of {splits.inputs.label}, {splits.classes:,} {many}"
    others = [one.name for one in METRICS.values() if splits.kind in one.kinds and one.name not in (metric, "top5")]
    return [
        "task:",
        f"  dataset: {_quoted(task['dataset'])}   # {what}",
        *(f"  {name}: {_quoted(value)}" for name, value in task.items() if name not in ("dataset", "features")),
        *_except_lines(useless),
        *([] if "kind" in task or splits.kind == "classification" else [f"  kind: {splits.kind}"]),
        f"  split: {{validation: {SHARE}, test: {SHARE}, seed: 0}}   # {parts}",
        f"  metric: {metric}   # or {', '.join(others)}",
    ]


def _except_lines(useless: Mapping[str, str]) -> list[str]:
    if not useless:
        return []
    columns = (f"      - {_quoted(name)}   # it has {what}" for name, what in useless.items())
    return ["  features:", "    except:   # the networks read all other columns", *columns]


PLAIN = re.compile(r"(~/|\.{1,2}/|/|[A-Za-z_])[\w./~-]*")


def _quoted(value: object) -> str:
    """A value as YAML: JSON, or plain text where that means the same: 0, null, or .5 as a name needs quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_quoted(one)}" for name, one in value.items()) + "}"
    is_plain = isinstance(value, int) or PLAIN.fullmatch(str(value)) and str(value).lower() not in ("true", "false", "null")
    return str(value) if is_plain else json.dumps(value)


def _family(splits: Splits) -> Family:
    if splits.text is not None:
        return TEXTS
    shape = splits.inputs.only
    if splits.inputs.only is None and any(field.open or len(field.shape) > 1 for field in splits.inputs.fields):
        raise DataError(
            f"samples of {splits.inputs.label} need a network of your own, so nothing was drafted; write a spec with your "
            "teacher and student, or save the samples as one array x"
        )
    return IMAGES if shape is not None and len(shape) == 3 and min(shape[1:]) >= 4 else FIELDS


def _epochs(splits: Splits) -> int:
    return int(min(max(STEPS * BATCH // len(splits.train), EPOCHS[0]), EPOCHS[1]))


def _teacher_lines(teacher: str | None, splits: Splits, guesses: list[str]) -> list[str]:
    family, fields, _ = _family(splits)
    rate, _ = RATES.get(family, USUAL)
    recipe = f"  recipe: {{epochs: {_epochs(splits)}, batch_size: {BATCH}, learning_rate: {rate}}}"
    if teacher is None:
        given = ", ".join(f"{name}: {value}" for name, value in {"family": family, **fields}.items())
        guesses.append(f"the teacher, of family {family}, is trained first (give --teacher to use your own)")
        return [
            "teacher:   # trained first; or your own: {import: package.module:function}",
            f"  architecture: {{{given}}}",
            recipe,
        ]
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", teacher):
        return [f"teacher: {{import: {_plain(teacher)}}}   # a function that returns your network with its weights"]
    if os.path.isdir(teacher) and splits.text is not None:
        guesses.append(f"the teacher of {teacher} is fine-tuned first")
        tuned = f"  recipe: {{epochs: {EPOCHS[0]}, batch_size: 32, learning_rate: 1e-4}}   # fine-tuned first"
        return ["teacher:", f"  checkpoint: {_quoted(teacher)}", tuned]
    if os.path.isdir(teacher):
        return [f"teacher: {{checkpoint: {_quoted(teacher)}}}   # a stage of another study"]
    if teacher.endswith((".pt", ".pth", ".safetensors")):
        way = f"--teacher package.module:function, which loads {teacher}"
        raise UsageError(f"--teacher {teacher} holds only weights, not their network; give {way}")
    import timm

    if timm.is_model(teacher):
        guesses.append(f"the teacher is timm's {teacher}, fine-tuned first")
        return ["teacher:", f"  architecture: {{family: timm, name: {teacher}}}", "  pretrained: true", recipe]
    raise UsageError(f"--teacher {teacher}: give package.module:function, a stage of a study, or the name of a timm model")


def _plain(text: str) -> str:
    return json.dumps(text)


def _student_lines(teacher: str | None, splits: Splits, guesses: list[str]) -> list[str]:
    family, _, ranges = _family(splits)
    below = None if splits.text is None or teacher is None else ranges_below(Path(teacher), splits)
    if below is not None:
        ranges = below
        guesses.append("students begin with layers, heads, and tokens of the teacher, so their heads are as wide as its heads")
    begun = [] if below is None else ["  init: from_teacher   # takes weights of the teacher, which needs its head_width"]
    epochs = _epochs(splits)
    steps = math.ceil(len(splits.train) / BATCH) * epochs
    about = ABOUT[splits.kind]
    temperature = "" if splits.kind == "regression" else ", temperature: {log: [1, 4]}"
    rates = RATES.get(family, USUAL)[1]
    if splits.text is not None and splits.text.encoding.unknown is not None:
        ranges += f", vocabulary: {{choice: [full, {splits.text.encoding.vocabulary // 2}]}}"
    if family == FIELDS[0] and "categories" in splits.inputs.tensors():
        ranges += ", embedding: {int: [1, 8]}"
    guesses.append(f"students are of family {family}, each trained for {epochs} epochs ({steps:,} steps)")
    return [
        "student:   # what is searched",
        f"  architecture: {{family: {family}, {ranges}}}   # widen a range if the best student is at its end",
        *begun,
        "  loss:",
        f"    {about.label}: {{weight: rest}}   # labels; 1 minus the weight of kd",
        f"    kd: {{weight: {{uniform: [0, 1]}}{temperature}, optional: true}}   # the teacher's outputs",
        f"  recipe: {{epochs: {epochs}, batch_size: {BATCH}, learning_rate: {{log: {rates}}}}}",
    ]
