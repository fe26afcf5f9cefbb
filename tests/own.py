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


def chatty(path: str) -> object:
    """Data, and a line that nobody asked for."""
    import numpy as np

    print("hello from my loader")
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


class Odd(nn.Module):
    """A module that breaks one rule."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.last = nn.Linear(12, 12), nn.Linear(12, 4)
        self.two = nn.Linear(12, 12)
        if kind == "tied":
            self.two.weight = self.one.weight
            self.last.weight = nn.Parameter(torch.randn(12, 4).T)

    def forward(self, x: Tensor) -> object:
        logits = self.last(self.two(self.one(x)))
        if self.kind == "exit" and len(x) > 1:
            raise SystemExit(3)
        if len(x) <= 2:
            return logits
        wrong = {"tuple": (logits,), "nan": logits * float("nan"), "few": logits[1:], "wide": torch.cat([logits, logits], 1)}
        return wrong.get(self.kind, logits)


def odd(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return Odd(kind)
