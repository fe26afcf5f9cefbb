"""Training and validation data in the store, where workers read them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Column, Columns, Encoding, Images, InputSpec, Pixels, Ragged, Splits, inputs_of
from ..data.columns import JoinedRagged, X
from ..data.encoding import TextEncoding
from ..data.mapped import pieces
from ..data.npy import new_array, save_arrays
from ..data.texts import Text
from ..data.tokens import FILE as TOKENIZER
from ..models import Inputs
from ..spec import StoreError, TaskKind
from ..spec.arrays import Array
from ..store import Manifest, Store, parsed

SAMPLES = ("train_x", "validation_x", "unlabeled_x")
"""The samples, in the order of training; the last one only where there are samples without labels.

The file of the field `x` is train_x.npy (or .json, a list of image files), that of another field train_x.NAME.npy; samples of
different lengths have two, train_x.NAME.values.npy and train_x.NAME.offsets.npy.
"""
LABELS = ("train_y", "validation_y")
RANKING = "ranking"
"""The file of texts, beside their tokenizer.json, with the order in which ids are kept."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Training and validation samples: memory-mapped arrays, or image files. `inputs` says what a sample is.

    Rows of training data have consecutive numbers: first the N with labels, then the U of `unlabeled_x`, if any. `mean` and
    `std` are by channel, if the only field is `x` with samples of one shape; `target_mean` and `target_scale` by value, for
    regression. `classes` is the number of outputs. `encoding` says how the rows of a table became samples, `text` how texts
    did, and `own` which parts ("validation", "test") came with the data set.
    """

    train_x: Columns
    train_y: Array
    validation_x: Columns
    validation_y: Array
    inputs: InputSpec
    classes: int
    mean: list[float] | None
    std: list[float] | None
    kind: TaskKind = "classification"
    target_mean: list[float] | None = None
    target_scale: list[float] | None = None
    unlabeled_x: Columns | None = None
    encoding: Encoding | None = None
    text: Text | None = None
    own: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """N + U."""
        return len(self.x)

    @cached_property
    def x(self) -> Columns:
        """All training samples, the labeled ones first; a batch reads only its rows."""
        return self.train_x.joined([] if self.unlabeled_x is None else [self.unlabeled_x])

    def fetch(self, rows: Array) -> dict[str, Array]:
        """Samples (B, ...) by field at an array of rows, in its order. Raises DataError naming a file that cannot be read."""
        return self.x.batch(rows)


def tensors_of(batch: Mapping[str, Array], device: torch.device | str) -> Inputs:
    """A batch on a device, in the data's dtypes. Copies what torch cannot share."""
    return {name: torch.from_numpy(np.require(one, requirements=["C", "W"])).to(device) for name, one in batch.items()}


def save_data(store: Store, splits: Splits) -> None:
    """Stores training and validation data for the workers, without the test split.

    Image files are decoded once or, with `memory: stream`, only listed, unless they are stored decoded already. A list of
    files in another place is replaced. Raises DataError naming a file that cannot be read.
    """
    parts = dict(zip(SAMPLES, splits.samples, strict=False))
    files = {name: array for part, x in parts.items() for name, array in _files(part, x).items()}
    lists = {name: x.listed() for name, x in files.items() if isinstance(x, Images) and splits.memory == "stream"}
    arrays = {name: x for name, x in files.items() if name not in lists}
    arrays |= {"train_y": splits.train.y, "validation_y": splits.validation.y}

    def fill(folder: Path) -> dict[str, object]:
        mean, std = splits.scale()
        for name, text in lists.items():
            (folder / f"{name}.json").write_text(text)
        for name, array in arrays.items():
            with new_array(folder / f"{name}.npy", array.shape, array.dtype) as append:
                for piece in pieces(array):
                    append(piece)
        if splits.text is not None:
            (folder / TOKENIZER).write_bytes(splits.text.content)
            save_arrays(folder, {RANKING: splits.text.ranking})
        padding = {field.name: field.padding for field in splits.inputs.fields if field.open}
        facts: dict[str, object] = {"classes": splits.classes, "mean": mean, "std": std}
        if splits.kind != "classification":
            facts |= dict(zip(("target_mean", "target_scale"), splits.targets(), strict=True)) | {"kind": splits.kind}
        facts |= {"encoding": splits.encoding.plain()} if splits.encoding else {}
        facts |= {"own": list(splits.own_parts)} if splits.own_parts else {}
        facts |= {"text": splits.text.encoding.model_dump(mode="json")} if splits.text else {}
        return facts | ({"padding": padding} if padding else {}) | ({"memory": "stream"} if lists else {})

    _forget_other(store, splits.fingerprint, lists)
    store.make("data", splits.fingerprint, fill)


def _files(part: str, x: Columns) -> dict[str, Pixels]:
    """The arrays that hold the samples of a part, by the names of their files without the suffix."""
    found: dict[str, Pixels] = {}
    for field in x:
        column = x[field]
        if isinstance(column, Ragged):
            found |= {f"{part}.{field}.values": column.values, f"{part}.{field}.offsets": column.offsets}
        else:
            assert not isinstance(column, JoinedRagged), "each part is stored on its own"
            found[part if field == X else f"{part}.{field}"] = column
    return found


def _forget_other(store: Store, fingerprint: str, lists: dict[str, str]) -> None:
    """Removes a list of files if they will be held from now on, or are elsewhere. Held data stay: others may read them."""
    if store.has("data", fingerprint) and "memory" in store.manifest("data", fingerprint):
        known = {name: store.file("data", fingerprint, f"{name}.json").read_text() for name in lists}
        if not lists or known != lists:
            shutil.rmtree(store.folder("data", fingerprint))


def open_data(store: Store, fingerprint: str) -> Data:
    """The stored data. Raises StoreError if a file is damaged, or if another version of autodistill wrote them."""
    manifest = store.manifest("data", fingerprint)
    files = {name: store.file("data", fingerprint, name) for name in manifest["files"]}
    encoding, of_texts = parsed(store, "data", fingerprint, _encodings)
    text = None if of_texts is None else _text(files, of_texts)
    there = {Path(name).stem: _opened(path) for name, path in files.items()}
    if not {name.partition(".")[0] for name in there} <= {*SAMPLES, *LABELS}:
        raise StoreError(f"{store.folder('data', fingerprint)} was made by another version of autodistill; remove that folder")
    train, validation, unlabeled = (_columns(part, there, manifest) for part in SAMPLES)
    parts = [part for part in (train, validation, unlabeled) if part is not None]
    assert train is not None and validation is not None
    return Data(
        train_x=train,
        validation_x=validation,
        unlabeled_x=unlabeled,
        **{name: there[name] for name in LABELS},
        encoding=encoding,
        own=tuple(manifest.get("own", ())),
        text=text,
        inputs=inputs_of(parts, encoding, text),
        **{name: manifest[name] for name in ("classes", "mean", "std")},
        **{name: manifest[name] for name in ("kind", "target_mean", "target_scale") if name in manifest},
    )


def _encodings(manifest: Manifest) -> tuple[Encoding | None, TextEncoding | None]:
    """How the columns of a table, and how texts became samples."""
    return (
        Encoding.model_validate(manifest["encoding"]) if "encoding" in manifest else None,
        TextEncoding.model_validate(manifest["text"]) if "text" in manifest else None,
    )


def _text(files: dict[str, Path], encoding: TextEncoding) -> Text:
    """The tokenizer and the ranking of its tokens, which are taken out of `files`."""
    content, ranking = files.pop(TOKENIZER).read_bytes(), np.load(files.pop(f"{RANKING}.npy"), mmap_mode="c")
    return Text(encoding=encoding, content=content, ranking=ranking)


def _columns(part: str, there: Mapping[str, Array], manifest: Manifest) -> Columns | None:
    """The samples of a part, from what is in the files by their names; None if there are none."""
    found: dict[str, Column] = {}
    for name, array in there.items():
        own, field, kind = [*name.split("."), "", ""][:3]
        if own == part and kind == "values":
            offsets = there[f"{part}.{field}.offsets"]
            found[field] = Ragged(values=array, offsets=offsets, padding=manifest["padding"][field])
        elif own == part and not kind:
            found[field or X] = array
    return Columns({name: found[name] for name in sorted(found)}) if found else None


def _opened(path: Path) -> Any:
    return Images.of_list(path.read_text()) if path.suffix == ".json" else np.load(path, mmap_mode="c")
