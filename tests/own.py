"""Code of your own, as a spec may import it."""

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
    """A teacher that was never trained here: the nearest of given centers wins."""

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("centers", centers)

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(x.flatten(1), self.centers)  # type: ignore[arg-type]


def nearest(path: str) -> nn.Module:
    """Centers are the means by class of a .npz file with x and y."""
    import numpy as np

    with np.load(path) as archive:
        x, y = archive["x"], archive["y"]
    centers = np.stack([x[y == label].mean(0) for label in np.unique(y)])
    return Nearest(torch.tensor(centers, dtype=torch.float32))


def chatty(path: str) -> object:
    """Data, and a line that nobody asked for."""
    import numpy as np

    print("hello from my loader")
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


RAISED: dict[str, type[BaseException]] = {"value": ValueError, "assert": AssertionError, "leave": GeneratorExit}


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
        if self.kind in RAISED:
            raise RAISED[self.kind]("two samples at once, no more")
        wrong = {"tuple": (logits,), "nan": logits * float("nan"), "few": logits[1:], "wide": torch.cat([logits, logits], 1)}
        return wrong.get(self.kind, logits)


def odd(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return Odd(kind)


class Faulty(nn.Module):
    """A student that has a fault in training: it ends its process, takes all memory, or raises, by `kind`."""

    def __init__(self, kind: str, once: str = "") -> None:
        super().__init__()
        self.kind, self.once = kind, once
        self.linear = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > 2 and not self._has_happened():
            self._fault(len(x))
        return self.linear(x)  # type: ignore[no-any-return]

    def _has_happened(self) -> bool:
        """With `once` the fault happens in the first process alone that makes this folder."""
        import os

        try:
            return bool(self.once) and os.mkdir(self.once) is not None
        except FileExistsError:
            return True

    def _fault(self, batch: int) -> None:
        import os
        import sys

        print("somebody's last words", file=sys.stderr, flush=True)
        if self.kind == "abort":
            os.abort()
        if self.kind == "segfault":
            import ctypes

            ctypes.string_at(0)
        if self.kind == "leave":
            os._exit(3)
        if self.kind == "memory":
            raise MemoryError("no more")
        if self.kind == "allocate":
            held = []
            while True:
                held.append(torch.ones(50_000_000))
        if self.kind == "onednn" and torch.backends.mkldnn.enabled:
            os.abort()
        if self.kind == "raise":
            raise RuntimeError(f"a batch of {batch} is too much")


def faulty(kind: str, once: str = "") -> nn.Module:
    return Faulty(kind, once)
