"""The contents of a model card: from the study's record and store, and from the confirmation.

The test split stays sealed: facts about it were recorded by `confirm`.

Shape suffixes: N validation samples, K classes.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from ..answers.confirm.confirmation import Look, OnTest
from ..answers.confirm.judge import Predictions, predictions
from ..answers.confirm.results import opened_for, read
from ..data.inputs import BATCH, InputField, InputSpec
from ..distill import load_network, open_data
from ..metrics.intervals import calibration_error
from ..metrics.metric import metric_of, scores
from ..models.sizes import bytes_float16
from ..reporting.explain import Link, explain, own_directory
from ..spec import ABOUT, Checkpoint, Stage, TaskSpec, chain, describe
from ..spec.measurement import Sizes
from ..spec.stage import pretrained
from ..spec.task import kind_of
from ..study.record.directory import StudyDirectory
from ..study.record.opened import open_study
from ..study.record.rows import own_of
from ..version import __version__
from .card import Card, CardData, CardLink, ClassShare, OnValidation, Scored, Settings, TimedFile, WrittenFile
from .folder import HF, added_rows


class Chosen:
    """The stored network whose key begins with `prefix`, on the CPU, with its data and all that is known about it.

    Raises UsageError if the prefix matches none or several, StoreError if its files are damaged.
    """

    def __init__(self, directory: StudyDirectory, prefix: str) -> None:
        with open_study(directory) as study:
            self.directory, self.spec, self.teachers = directory, study.spec, study.notes.teachers
            self.metric = metric_of(study.spec.search)
            self.confirmed, self.openings = read(study), opened_for(directory.path, study.notes.looks)
            self.later = None if self.confirmed is None else self.confirmed.later(study.record)
        self.explained = explain(directory, prefix)
        self.stage = self.explained.stage
        self.network = study.stages.network(self.stage)
        self.built = load_network(study.store, self.network, torch.device("cpu"))
        self.data = open_data(study.store, self.network.task.data)


def architecture_of(one: Chosen) -> Settings:
    """The contents of architecture.json: all that models.build needs, and the inputs and outputs."""
    mean, std = (None if part is None else part.flatten().tolist() for part in (one.built.mean, one.built.std))
    targets = [None if part is None else part.tolist() for part in (one.built.target_mean, one.built.target_scale)]
    inputs, names = one.data.inputs, _names(one)
    return {
        "stage": one.stage,
        "architecture": one.network.architecture.model_dump(mode="json", exclude_none=True),
        "inputs": [_plain(field) for field in inputs.fields],
        "classes": one.data.classes,
        "class_names": None if names is None else [*names],
        "mean": mean,
        "std": std,
        "kind": one.data.kind,
        **({"target_mean": targets[0], "target_scale": targets[1]} if targets[0] is not None else {}),
        "tensors": _tensors(inputs),
        "numbers": _numbers(one),
        "output": {"name": ABOUT[one.data.kind].output, "dtype": "float32", "shape": [BATCH, one.data.classes]},
    }


def _numbers(one: Chosen) -> str:
    if one.data.text is not None:
        return "ids of tokenizer.json, with its special tokens, of a text that is cut as texts.json says"
    return "raw, as in the data" if one.data.encoding is None else "as encode.py makes them from raw rows"


def _tensors(inputs: InputSpec) -> list[JsonValue]:
    return [{"name": name, "dtype": form.dtype, "shape": list(form.axes)} for name, form in inputs.tensors().items()]


def _plain(field: InputField) -> Settings:
    """As JSON; only the categories of a table have `values`, and only token ids a vocabulary."""
    of_some = ("values", "vocabulary", "used", "typical")
    return field.model_dump(mode="json", exclude={name for name in of_some if getattr(field, name) is None})


def _names(one: Chosen) -> Sequence[str] | None:
    """The names of the classes: unless the data are a table or texts, known only if the study was confirmed."""
    encoding = one.data.encoding if one.data.text is None else one.data.text.encoding
    if encoding is not None:
        return encoding.classes or None
    return None if one.confirmed is None else one.confirmed.test.class_names


def card_of(
    one: Chosen,
    logits_NK: Tensor,
    *,
    to: Path,
    claim: str | None,
    formats: dict[str, WrittenFile],
    left_out: dict[str, str],
    latency: Sequence[TimedFile],
) -> Card:
    """`logits_NK` are those of the validation samples; the rest says what was written into `to`."""
    explained, found, network = one.explained, one.confirmed, one.network
    measured = explained.measurement
    return Card(
        study=one.spec.study,
        metric=one.metric.name,
        also=one.spec.task.beside,
        stage=one.stage,
        architecture=describe(network.architecture),
        origin=_origin(network),
        line=chain(network),
        init=_init(network),
        **Sizes.of(measured).facts(),
        bytes_float16=bytes_float16(one.built),
        chain=tuple(_link(one, link) for link in explained.chain),
        loss=explained.loss,
        recipe=explained.recipe,
        environment=explained.environment,
        seed=network.seed if isinstance(network, Stage) else None,
        data=data_of(one),
        normalizes=one.built.mean is not None,
        validation=_on_validation(one, logits_NK),
        test=_on_test(one, one.stage),
        teacher=found.teacher if found else None,
        later=one.later,
        opened=tuple(Look(**opening.facts()) for opening in one.openings),
        versions=_versions(["onnx", "onnxruntime", *(["tokenizers", "transformers"] if one.data.text else [])]),
        claim=claim,
        formats=formats,
        left_out=left_out,
        added_rows=added_rows(one.data, one.built) if HF in formats else 0,
        latency=tuple(latency),
        again=again(one, to),
    )


def _init(network: Stage | Checkpoint) -> str | None:
    """The network whose weights it began with, and whether it learned from texts alone before its training."""
    if not isinstance(network, Stage) or network.init is None:
        return None
    return describe(network.init.architecture) + (" (pretrained)" if pretrained(network) else "")


def _origin(network: Stage | Checkpoint) -> Literal["teachers", "labels", "outside"]:
    if isinstance(network, Checkpoint):
        return "outside"
    return "teachers" if network.teachers else "labels"


def _link(one: Chosen, link: Link) -> CardLink:
    names = ("stage", "architecture", "params", "value", "seconds")
    return CardLink(**{name: getattr(link, name) for name in names}, test=_on_test(one, link.stage))


def _used(task: TaskSpec, own: Sequence[str]) -> Settings:
    """The settings of the split that made a part: data may come with parts of their own, which need none."""
    found = task.split.model_dump(exclude_none=True, exclude=set(own))
    drawn = len(own) < 2 or task.samples is not None or task.labeled is not None
    return found if drawn else {}


def data_of(one: Chosen) -> CardData:
    data, task, found = one.data, one.spec.task, one.confirmed
    named = task.dataset if isinstance(task.dataset, str) else f"import: {task.dataset.factory}"
    return CardData(
        name=named,
        kind=kind_of(task.dataset)[0],
        fingerprint=one.network.task.data,
        train=len(data.train_y),
        unlabeled=0 if data.unlabeled_x is None else len(data.unlabeled_x),
        validation=len(data.validation_y),
        test=found.test.n if found else None,
        own=data.own,
        split=_used(task, data.own),
        groups=task.groups,
        inputs=data.inputs,
        table=data.encoding,
        text=None if data.text is None else data.text.encoding,
        classes=data.classes,
        task=data.kind,
    )


def _on_validation(one: Chosen, logits_NK: Tensor) -> OnValidation:
    found, names = predictions(logits_NK, one.data.validation_y), _names(one)
    is_regression = one.data.kind == "regression"
    sure, right = found.sure.ravel().tolist(), found.right.ravel().tolist()
    return OnValidation(
        scores=scores(found.outcome, one.data.classes, own_of(one.spec)),
        by_class=() if is_regression else tuple(_by_class(found, names)),
        calibration_error=None if is_regression else calibration_error(sure, right),
        recorded=one.explained.measurement.scores[one.metric.name],
    )


def _by_class(found: Predictions, names: Sequence[str] | None) -> Iterator[ClassShare]:
    """Each class, or each of several labels, with the share of samples for which it is predicted correctly."""
    y, right, several = found.outcome.labels, found.right, found.outcome.kind == "multilabel"
    for label in range(y.shape[1]) if several else np.unique(y):
        has = y[:, label] == 1 if several else y == label
        shares = right[:, label] if several else right[has]
        name = names[label] if names else str(label)
        yield ClassShare(label=int(label), name=name, n=int(has.sum()), accuracy=float(shares.mean()))


def _on_test(one: Chosen, key: str) -> OnTest | Scored | None:
    """Everything for a file that was chosen for its student; only the scores for others; None for untested ones."""
    found = one.confirmed
    if found is None or key not in found.outcomes:
        return None
    chosen = next((file.test for file in (*found.members, found.teacher) if file.chosen == key), None)
    return chosen or Scored(scores=scores(found.outcomes[key], one.data.classes, own_of(one.spec)))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__, "autodistill": __version__}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def again(one: Chosen, to: Path) -> tuple[str, ...]:
    """The commands that create these weights, and then the files in `to`.

    A student with the seed of the spec is trained by a search in a directory of its own, one with a fresh seed by `confirm`.
    """
    directory, network, found = one.directory, one.network, one.confirmed
    made, place = shlex.join(["autodistill", "search", str(directory.spec), "--out", str(directory.path)]), str(directory.path)
    if one.stage not in one.teachers and isinstance(network, Stage):
        if network.seed == one.spec.seed:
            made, place = one.explained.command, own_directory(directory, network)
        elif found is not None:
            made = shlex.join(["autodistill", "confirm", str(directory.path), "--seeds", str(found.seeds)])
    return made, shlex.join(["autodistill", "export", place, "--stage", one.stage, "--to", str(to)])
