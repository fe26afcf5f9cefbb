"""Teacher logits: computed once and memory-mapped by every student, or computed by the teacher while a student is trained.

Suffixes of shapes: V views, N samples, B batch, K classes, M classes kept for each sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.npy import new_array
from ..models import Inputs, Outputs
from ..spec import Checkpoint, LogitsCacheSpec, Stage, digest
from ..spec.arrays import Array
from ..store import Store
from .data import Data, open_data
from .layout import lay_out
from .lengths import by_length
from .networks import load_network
from .predictions import batch_for, checked_logits, predict
from .samples import Samples

RESIDENT = 2**30
"""The most bytes of cached logits that are resident on a GPU."""
WINDOW = 16
"""How many batches of texts are ordered by length at a time."""


def outputs_key(teacher: Stage | Checkpoint, cache: LogitsCacheSpec) -> str:
    """The key of one teacher's outputs on the training data: teacher, data, recipe of the views, dtype."""
    return digest({"teacher": teacher.key(), "data": teacher.task.data, "cache": cache})


def make_outputs(
    store: Store, teacher: Stage | Checkpoint, cache: LogitsCacheSpec, device: torch.device, *, safe: bool = False
) -> None:
    """Computes a teacher's logits on every view of the training data, once for all its students."""

    def fill(folder: Path) -> dict[str, object]:
        data = open_data(store, teacher.task.data)
        top = cache.top if cache.top and cache.top < data.classes else None
        whole = (cache.views or 1, data.rows, top or data.classes)
        shapes = {"logits": whole, "index": whole, "rest": whole[:-1]} if top else {"logits": whole}
        with ExitStack() as files:
            appends = {
                name: files.enter_context(new_array(folder / f"{name}.npy", shape, "int32" if name == "index" else cache.dtype))
                for name, shape in shapes.items()
            }
            for logits_BK in _logits(store, teacher, cache, data, device, safe):
                parts = compressed(logits_BK, top) if data.kind == "classification" else {"logits": logits_BK}
                for name, part in parts.items():
                    appends[name](part.numpy())
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
        for rows_W in torch.split(torch.arange(data.rows, device=device), batch_for(data) * (WINDOW if data.text else 1)):
            parts = [rows_W] if data.text is None else _by_length(samples, rows_W, batch_for(data))
            with torch.inference_mode(), samples.layout.kernels():
                found = [checked_logits(predict(network, samples.batch(rows_B, view).inputs), data.classes) for rows_B in parts]
            yield torch.cat(found)[torch.argsort(torch.cat(parts)).cpu()]


def _by_length(samples: Samples, rows_W: Tensor, most: int) -> list[Tensor]:
    """These rows in batches of texts of similar length."""
    assert samples.tokens_N is not None
    tokens_W = samples.tokens_N[rows_W.cpu()].numpy()
    return [rows_W[torch.from_numpy(places)] for places in by_length(tokens_W, most)]


def compressed(logits_BK: Tensor, top: int | None) -> dict[str, Tensor]:
    """Logits minus the largest (a constant has no effect, and half precision has few digits).

    With `top` = M, only the M largest; `rest` is the logit with which the other K - M classes, all equal, keep their total
    probability: log(sum of exp) - log(K - M).
    """
    logits_BK = (logits_BK - logits_BK.amax(-1, keepdim=True)).clamp(min=-6e4)
    if top is None:
        return {"logits": logits_BK}
    ordered_BK, index_BK = logits_BK.sort(dim=-1, descending=True, stable=True)
    rest_B = ordered_BK[..., top:].logsumexp(-1) - np.log(logits_BK.shape[-1] - top)
    return {"logits": ordered_BK[..., :top], "index": index_BK[..., :top], "rest": rest_B.clamp(min=-6e4)}


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
        whole: Array = np.repeat(self.rest[view][rows][..., None].astype(np.float32), self.classes, axis=-1)
        np.put_along_axis(whole, self.index[view][rows].astype(np.int64), found, axis=-1)
        return whole


def open_outputs(store: Store, teacher: Stage | Checkpoint, cache: LogitsCacheSpec) -> Cached:
    """A teacher's cached logits, mapped from files that the workers of a machine share."""
    key = outputs_key(teacher, cache)
    manifest = store.manifest("outputs", key)
    arrays = {Path(name).stem: np.load(store.file("outputs", key, name), mmap_mode="c") for name in manifest["files"]}
    return Cached(classes=manifest["classes"], **arrays)


class _Reader:
    """Reads cached logits; small ones are resident on a GPU."""

    def __init__(self, cached: Cached, device: torch.device) -> None:
        self.cached, self.device = cached, device
        small = cached.logits.nbytes <= RESIDENT or device.type == "cpu"
        self.resident_VNK = torch.from_numpy(cached.logits).to(device) if small and cached.index is None else None

    def read(self, rows_B: Tensor, view: int) -> Tensor:
        """logits_BK, float32."""
        view = view if len(self.cached.logits) > 1 else 0
        if self.resident_VNK is not None:
            return self.resident_VNK[view][rows_B].float()
        return torch.from_numpy(self.cached.read(rows_B.cpu().numpy(), view)).to(self.device)


class Guides:
    """The teachers of a stage, in its order. `layers`: for each teacher, the layers that the loss uses besides its logits."""

    def __init__(self, store: Store, stage: Stage, layers: Sequence[Sequence[str]], device: torch.device) -> None:
        cache = stage.logits_cache()
        self.layers = layers
        self.cached = [] if cache is None else [_Reader(open_outputs(store, one, cache), device) for one in stage.teachers]
        self.networks = [load_network(store, one, device) for one in stage.teachers] if cache is None else []

    def say(self, rows_B: Tensor, inputs: Inputs, view: int, which: Sequence[int]) -> list[Outputs]:
        """Outputs of the teachers at the positions `which` for these rows; `inputs` are their samples in this view."""
        if self.cached:
            return [Outputs(self.cached[index].read(rows_B, view), {}) for index in which]
        with torch.no_grad():
            return [self.networks[index](inputs, self.layers[index]) for index in which]
