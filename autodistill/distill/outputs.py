"""Teacher logits as artifacts of their own: computed once, memory-mapped by every student.

Suffixes of shapes: V views, N samples, B batch, K classes, M classes kept for each sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ..spec import Checkpoint, LogitsCacheSpec, Stage, digest
from ..store import Store
from .artifacts import batch_for, checked_logits, load_network
from .data import Array, Data, open_data, write_header
from .layout import lay_out
from .samples import Samples


@dataclass(frozen=True, kw_only=True)
class Cached:
    """logits (V, N, K); with `index`, those of M classes (V, N, M), and `rest` (V, N) the logit of each other class."""

    logits: Array
    classes: int
    index: Array | None = None
    rest: Array | None = None

    def read(self, rows: Array, view: int) -> Array:
        """float32 (B, K)."""
        found: Array = self.logits[view][rows].astype(np.float32)
        if self.index is None or self.rest is None:
            return found
        whole: Array = np.repeat(self.rest[view][rows][:, None].astype(np.float32), self.classes, axis=1)
        np.put_along_axis(whole, self.index[view][rows].astype(np.int64), found, axis=1)
        return whole


def outputs_key(teacher: Stage | Checkpoint, cache: LogitsCacheSpec) -> str:
    """The key of one teacher's outputs on the training data: teacher, data, recipe of the views, dtype."""
    return digest({"teacher": teacher.key(), "data": teacher.task.data, "cache": cache})


def make_outputs(
    store: Store, teacher: Stage | Checkpoint, cache: LogitsCacheSpec, device: torch.device, *, safe: bool = False
) -> None:
    """Computes a teacher's logits on every view of the training data, once for all its students."""

    def fill(folder: Path) -> dict[str, Any]:
        data = open_data(store, teacher.task.data)
        classes = min(cache.top or data.classes, data.classes)
        shape = (cache.views or 1, data.rows, classes)
        with _Writers(folder, shape, cache, data.classes) as writers:
            for logits_BK in _logits(store, teacher, cache, data, device, safe):
                writers.write(logits_BK)
        return {"teacher": teacher.key(), "classes": data.classes}

    store.make("outputs", outputs_key(teacher, cache), fill)


def _logits(
    store: Store, teacher: Stage | Checkpoint, cache: LogitsCacheSpec, data: Data, device: torch.device, safe: bool
) -> Iterator[Tensor]:
    """logits_BK, view after view, row after row."""
    network = load_network(store, teacher, device)
    samples = Samples(data, cache.augmentation, cache.seed or 0, device)
    samples.layout = lay_out([network], samples.pair, device, safe=safe)
    for view in range(cache.views or 1):
        for rows_B in torch.split(torch.arange(data.rows, device=device), batch_for(data)):
            batch = samples.batch(rows_B, view)
            with torch.inference_mode(), samples.layout.kernels():
                yield checked_logits(network({"x": batch.x}).logits, data.classes)


class _Writers:
    """The .npy files of one cache, written from front to back: a full disk is an error, not a signal."""

    def __init__(self, folder: Path, shape: tuple[int, ...], cache: LogitsCacheSpec, classes: int) -> None:
        self.folder, self.shape, self.cache = folder, shape, cache
        self.top = shape[-1] if shape[-1] < classes else None
        self.files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> _Writers:
        dtype = np.dtype(self.cache.dtype)
        parts: dict[str, tuple[Any, tuple[int, ...]]] = {"logits": (dtype, self.shape)}
        if self.top:
            parts |= {"index": (np.dtype(np.int32), self.shape), "rest": (dtype, self.shape[:-1])}
        for name, (kind, shape) in parts.items():
            self.files[name] = (self.folder / f"{name}.npy").open("wb")
            write_header(self.files[name], shape, kind)
        return self

    def write(self, logits_BK: Tensor) -> None:
        for name, tensor in compressed(logits_BK, self.top).items():
            dtype = np.int32 if name == "index" else np.dtype(self.cache.dtype)
            self.files[name].write(np.ascontiguousarray(tensor.numpy().astype(dtype)).data)

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            file.close()


def compressed(logits_BK: Tensor, top: int | None) -> dict[str, Tensor]:
    """Logits minus the largest (a constant has no effect, and half precision has few digits).

    With `top` = M, only the M largest; `rest` is the logit with which the other K - M classes, all equal, keep their total
    probability: log(sum of exp) - log(K - M).
    """
    logits_BK = (logits_BK - logits_BK.amax(1, keepdim=True)).clamp(min=-6e4)
    if top is None:
        return {"logits": logits_BK}
    ordered_BK, index_BK = logits_BK.sort(dim=1, descending=True, stable=True)
    rest_B = ordered_BK[:, top:].logsumexp(1) - np.log(logits_BK.shape[1] - top)
    return {"logits": ordered_BK[:, :top], "index": index_BK[:, :top], "rest": rest_B.clamp(min=-6e4)}


def open_outputs(store: Store, teacher: Stage | Checkpoint, cache: LogitsCacheSpec) -> Cached:
    key = outputs_key(teacher, cache)
    manifest = store.manifest("outputs", key)
    arrays = {Path(name).stem: np.load(store.file("outputs", key, name), mmap_mode="c") for name in manifest["files"]}
    return Cached(classes=manifest["classes"], **arrays)
