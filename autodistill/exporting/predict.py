"""Applies an exported network to samples, from its own files.

Suffixes of shapes: N samples, K classes, labels, or values.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..data import Column, Columns, Encoding, Images, InputField, InputSpec
from ..data.columns import X
from ..data.encoding import TextEncoding
from ..data.fields import LENGTHS, column_of
from ..data.folders import images_below
from ..data.tables import encoded_file, encoded_texts
from ..data.tokens import FILE as TOKENIZER
from ..spec import DataError, TaskKind, UsageError
from ..spec.arrays import Array
from ..spec.imports import reason
from ..spec.task import FieldOptions
from .formats import ARCHITECTURE, COLUMNS, FORMATS, TEXTS, Run, batches, facts_beside, inputs_in, quiet, run_on

BATCH = 1024
PLACE = "SAMPLES"


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The predictions of an exported network.

    `samples` (N) are row numbers, counted from 0, or file names. outputs_NK are the probabilities of the classes or labels, or
    the values of a regression, in the order of `names`.
    """

    kind: TaskKind
    samples: Sequence[int | str]
    names: Sequence[str]
    outputs_NK: Array

    def frame(self) -> pd.DataFrame:
        """A row for each sample: its class with its probability, and the probabilities of all classes; the labels that are more
        likely than not, and the probabilities of all labels; or the values.
        """
        found: dict[str, object] = {"sample": list(self.samples)}
        if self.kind == "classification":
            found["class"] = [self.names[int(number)] for number in self.outputs_NK.argmax(1)]
            found["probability"] = self.outputs_NK.max(1)
        elif self.kind == "multilabel":
            found["labels"] = [
                " ".join(self.names[int(label)] for label in np.flatnonzero(row > 0.5)) for row in self.outputs_NK
            ]
        start = "" if self.kind == "regression" else "p_"
        return pd.DataFrame(found | {f"{start}{name}": self.outputs_NK[:, number] for number, name in enumerate(self.names)})

    def text(self) -> str:
        """The frame as CSV."""
        form = "%.7g" if self.kind == "regression" else "%.6f"
        return self.frame().to_csv(index=False, float_format=form, lineterminator="\n")

    def write(self, path: Path | str) -> None:
        """Raises UsageError if the file cannot be written."""
        try:
            Path(path).write_text(self.text())
        except OSError as error:
            raise UsageError(f"--out {path} cannot be written: {error.strerror}; give another file") from None


def predict(export: Path | str, samples: Path | str) -> Predictions:
    """Runs the network in the directory `export` on `samples`: rows of a table (.csv, .tsv, .parquet, .json), texts (the same,
    .jsonl, or the lines of a .txt file), a folder of images or one image, or a .npz or .npy file with the raw numbers of the
    data.

    Raises UsageError for a directory that is not an export or whose files cannot be run, DataError for samples that do not fit.
    """
    folder, path = Path(export), Path(os.path.expanduser(samples))
    if not (folder / ARCHITECTURE).is_file():
        raise UsageError(f"{folder} is not an export: it has no {ARCHITECTURE}; give the directory that export --to wrote")
    if not path.exists():
        raise DataError(f"{PLACE}: {path} does not exist; give a file of samples, or a folder of images")
    facts = facts_beside(folder / ARCHITECTURE)
    inputs = inputs_in(facts)
    x = _samples(folder, path, inputs)
    names = x.pixels.names if isinstance(x.pixels, Images) else range(len(x))
    kind, count = facts["kind"], facts["classes"]
    outputs_NK = _probabilities(kind, _outputs(_run(folder), inputs, x).double()).numpy()
    unnamed = ["value"] if kind == "regression" and count == 1 else [str(number) for number in range(count)]
    return Predictions(kind=kind, samples=list(names), names=facts["class_names"] or unnamed, outputs_NK=outputs_NK)


def _probabilities(kind: TaskKind, outputs_NK: Tensor) -> Tensor:
    """The probabilities of classes or labels; the values of a regression stay as they are."""
    if kind == "classification":
        return torch.softmax(outputs_NK, 1)
    return torch.sigmoid(outputs_NK) if kind == "multilabel" else outputs_NK


def _samples(folder: Path, path: Path, inputs: InputSpec) -> Columns:
    if (folder / TEXTS).is_file():
        encoding = TextEncoding.model_validate_json((folder / TEXTS).read_bytes())
        return encoded_texts(path, encoding, (folder / TOKENIZER).read_bytes(), PLACE)
    if (folder / COLUMNS).is_file():
        return encoded_file(path, Encoding.model_validate_json((folder / COLUMNS).read_bytes()), PLACE)
    return _arrays(path, inputs) if path.suffix in (".npz", ".npy") else _images(path, inputs)


def _outputs(run: Run, inputs: InputSpec, x: Columns) -> Tensor:
    with quiet():
        return run_on(run, x, batches(x, np.arange(len(x)), BATCH), inputs)


def _run(folder: Path) -> Run:
    """The first of its files that can be loaded here. Raises UsageError with the reasons if none can."""
    why = []
    for name in FORMATS:
        if (folder / name).is_file():
            try:
                with quiet():
                    return FORMATS[name].run(folder / name, torch.get_num_threads())
            except Exception as error:  # a package or a module that is missing, a damaged file
                why.append(f"{name}: {reason(error)}")
    raise UsageError(f"{folder} has no file that can be run here ({'; '.join(why) or 'no model.*'}); export the network again")


def _images(path: Path, inputs: InputSpec) -> Columns:
    only = inputs.only
    if only is None or len(only) != 3 or only[0] not in (1, 3):
        raise DataError(f"{PLACE}: this network takes samples of {inputs.label}; give a .npz file with them, not {path}")
    return Columns({X: images_below(path, PLACE, size=(only[1], only[2]), channels=only[0])})


def _arrays(path: Path, inputs: InputSpec) -> Columns:
    """The fields of a .npz file, named as in the training data (x, x_image) or as the network's inputs (image)."""
    try:
        given = np.load(path, allow_pickle=False)
        arrays = {X: given} if isinstance(given, np.ndarray) else {name: given[name] for name in given.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{PLACE}: {path} cannot be read ({reason(error)}); write it with numpy.savez") from None
    found = {field.name: _column(path, field, arrays) for field in inputs.fields}
    lengths = {len(column) for column in found.values()}
    if len(lengths) > 1:
        raise DataError(
            f"{PLACE}: {path} has {' and '.join(map(str, sorted(lengths)))} samples; give each input the same number"
        )
    return Columns(found)


def _column(path: Path, field: InputField, arrays: dict[str, Array]) -> Column:
    key = next((key for key in (field.name, f"{X}_{field.name}") if key in arrays), None)
    if key is None:
        raise DataError(f"{PLACE}: {path} has {', '.join(arrays) or 'nothing'}; give an array {field.name}, too")
    if field.open and key + LENGTHS not in arrays:
        arrays[key + LENGTHS] = np.full(len(arrays[key]), np.shape(arrays[key])[-1])
    options = FieldOptions(dtype="int64" if field.dtype == "int64" else None, padding=field.padding)
    found = column_of(PLACE, key, arrays, options)
    return found if field.open or not isinstance(found, np.ndarray) else _fitted(path, key, found, field.largest)


def _fitted(path: Path, key: str, x: Array, shape: tuple[int, ...]) -> Array:
    """Channels first, as the network takes them; the data may have them last, or no axis for a single one."""
    for form in (x, np.moveaxis(x, -1, 1), x[:, None]):
        if form.shape[1:] == shape:
            return form
    raise DataError(f"{PLACE}: {path}: {key} has samples of shape {x.shape[1:]}; give samples of shape {shape}")
