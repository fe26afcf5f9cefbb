"""Teachers' outputs on a batch: read from the store, or computed while the student is trained.

Suffixes of shapes: V views, N samples, B batch, K classes, M classes kept for each sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.outputs import Outputs
from ..spec import Stage
from ..store import Store
from .artifacts import load_network
from .outputs import Cached, open_outputs


class Guides:
    """The teachers of a stage, in its order. `layers`: for each teacher, the layers that the loss uses besides its logits."""

    def __init__(self, store: Store, stage: Stage, layers: Sequence[Sequence[str]], device: torch.device) -> None:
        self.layers, self.device, self.bfloat16 = layers, device, stage.recipe.precision == "bfloat16"
        cache = stage.logits_cache()
        self.cached = [] if cache is None else [_Reader(open_outputs(store, one, cache), device) for one in stage.teachers]
        live = stage.teachers if cache is None else ()
        self.networks = [load_network(store, teacher, device) for teacher in live]

    def say(self, rows_B: Tensor, x_B: Tensor, view: int, which: Sequence[int]) -> list[Outputs]:
        """Outputs of the teachers at the positions `which` for these rows; `x_B` are their samples in this view."""
        if self.cached:
            return [Outputs(self.cached[index].read(rows_B, view), {}) for index in which]
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return [self.networks[index]({"x": x_B}, self.layers[index]) for index in which]


class _Reader:
    """Cached outputs: mapped from a file that the workers of a machine share; small ones are resident on a GPU."""

    RESIDENT = 2**30

    def __init__(self, cached: Cached, device: torch.device) -> None:
        self.cached, self.device = cached, device
        small = cached.logits.nbytes <= self.RESIDENT or device.type == "cpu"
        self.resident_VNK = torch.from_numpy(cached.logits).to(device) if small and cached.index is None else None

    def read(self, rows_B: Tensor, view: int) -> Tensor:
        """logits_BK, float32."""
        view = view if len(self.cached.logits) > 1 else 0
        if self.resident_VNK is not None:
            return self.resident_VNK[view][rows_B].float()
        return torch.from_numpy(self.cached.read(rows_B.cpu().numpy(), view)).to(self.device)
