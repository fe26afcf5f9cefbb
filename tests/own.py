"""Code of one's own, as a spec may import it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Broken(nn.Module):
    """Trains for a while, then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("own forward says no")
        return self.linear(x.flatten(1))  # type: ignore[no-any-return]


def broken() -> nn.Module:
    return Broken()


class Nearest(nn.Module):
    """A teacher that was never trained here: the nearest of given centres wins."""

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres)

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(x.flatten(1), self.centres)  # type: ignore[arg-type]


def nearest(path: str) -> nn.Module:
    """Centres are the means by class of a .npz file with x and y."""
    import numpy as np

    with np.load(path) as archive:
        x, y = archive["x"], archive["y"]
    centres = np.stack([x[y == label].mean(0) for label in np.unique(y)])
    return Nearest(torch.tensor(centres, dtype=torch.float32))
