"""Code of your own, as a spec may import it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autodistill.data import InputSpec


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


class Both(nn.Module):
    """Takes an image of bytes and a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seen, self.told = nn.Linear(36, width), nn.Linear(3, width)
        self.last = nn.Linear(2 * width, 4)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        seen, told = self.seen(image.flatten(1) / 255 - 0.5), self.told(vector)
        return self.last(torch.cat([seen, told], 1).relu())  # type: ignore[no-any-return]


def both(width: int) -> nn.Module:
    return Both(width)


class Heard(nn.Module):
    """Takes signals of any length. What is behind a signal's end does not matter."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(channels, width, 3, padding=1), nn.Conv1d(width, width, 3, padding=1)
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor, x_mask: Tensor) -> Tensor:
        real = x_mask.unsqueeze(1)
        found = self.one(x.where(real, 0.0)).relu() * real
        found = self.two(found).relu() * real
        return self.last(found.sum(2) / real.sum(2))  # type: ignore[no-any-return]


def heard(width: int, channels: int = 1) -> nn.Module:
    return Heard(width, channels)


class Read(nn.Module):
    """Takes words by number, of any count, and a vector beside them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(12, width), nn.Linear(width + 2, 3)

    def forward(self, vector: Tensor, words: Tensor, words_mask: Tensor) -> Tensor:
        real = words_mask.unsqueeze(2)
        return self.last(torch.cat([(self.words(words) * real).sum(1) / real.sum(1), vector], 1))  # type: ignore[no-any-return]


def read(width: int) -> nn.Module:
    return Read(width)


def signals(samples: int, seed: int = 0) -> object:
    """Slow and fast waves (1, 8 to 40), the classes."""
    import numpy as np

    rng, y = np.random.default_rng(seed), np.arange(samples) % 2
    times = [np.arange(rng.integers(8, 41)) for _ in y]
    x = [np.sin(time * (0.4, 1.2)[label] + rng.uniform(0, 6))[None] for time, label in zip(times, y, strict=True)]
    return {"x": x, "y": y}


def sentences(samples: int) -> object:
    """A bag of words of which the first decides, in a mapping of fields."""
    import numpy as np

    rng, y = np.random.default_rng(0), np.arange(samples) % 3
    words = np.full((samples, 9), -5)
    lengths = rng.integers(1, 10, samples)
    for row, length in enumerate(lengths):
        words[row, :length] = rng.integers(0, 4, length) * 3 + y[row]
    return {"x": {"vector": rng.normal(size=(samples, 2)), "words": words, "words_lengths": lengths}, "y": y}


class OneThread(nn.Module):
    """Refuses to be trained with more than one thread."""

    def __init__(self, inputs: InputSpec, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs.numbers, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.get_num_threads() > 1:
            raise RuntimeError(f"trained with {torch.get_num_threads()} threads")
        return self.linear(x.flatten(1))  # type: ignore[no-any-return]
