"""The splits of a data set; the test split is sealed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from ..metrics.metric import floors
from ..spec import Task, TaskKind, TaskSpec, digest
from ..spec.arrays import Array
from .columns import Columns
from .encoding import Encoding
from .folders import fingerprint_of
from .images import Images, spread
from .inputs import InputSpec, inputs_of
from .labels import outputs_of
from .mapped import Pixels, pieces
from .texts import Text

Memory = Literal["resident", "stream"]
SCALED = 2048
"""How many image files are used for mean and standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """x: N samples by field, channels first, or still on disk; y: as `labels.Labels` has them.

    Only for test samples, to report on their parts: groups (N,), and the names of the outputs.
    """

    x: Columns
    y: Array
    groups: Array | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.y)


class Sealed:
    """The test split. Its size may be known; only `confirm` may unseal it."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def unseal(self) -> Samples:
        return self._samples


@dataclass(frozen=True, kw_only=True)
class Splits:
    """`unlabeled` are U training samples whose labels are never used; `memory` says where workers find samples.

    `encoding` says how the rows of a table became samples, `text` how texts did, `cautions` what the user should know about
    their columns. `useless` are columns of a table that tell nothing about new rows, and what each has.
    """

    train: Samples
    validation: Samples
    test: Sealed
    layout: str
    own_test: bool
    own_validation: bool = False
    unlabeled: Columns | None = None
    memory: Memory = "resident"
    exact: bool = False
    kind: TaskKind = "classification"
    names: tuple[str, ...] | None = None
    own: tuple[str, ...] = ()
    """Metrics of your own, which have floors, too."""
    encoding: Encoding | None = None
    text: Text | None = None
    cautions: tuple[str, ...] = ()
    useless: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """How many outputs a network needs: classes, labels, or values."""
        return outputs_of(self.kind, self.train.y)

    @property
    def own_parts(self) -> tuple[str, ...]:
        """The parts that the data set brings itself."""
        return tuple(name for name in ("validation", "test") if getattr(self, f"own_{name}"))

    def targets(self) -> tuple[list[float], list[float]] | tuple[None, None]:
        """Mean and standard deviation of each value of the training samples, for regression; 1 where they do not differ."""
        if self.kind != "regression":
            return None, None
        y = self.train.y.astype(np.float64)
        deviation = y.std(axis=0)
        return y.mean(axis=0).tolist(), np.where(deviation > 0, deviation, 1.0).tolist()

    @property
    def samples(self) -> list[Columns]:
        """Those of training and validation, and those without labels, if any."""
        return [self.train.x, self.validation.x, *([] if self.unlabeled is None else [self.unlabeled])]

    @cached_property
    def inputs(self) -> InputSpec:
        """What a sample is."""
        return inputs_of(self.samples, self.encoding, self.text)

    @property
    def rows(self) -> int:
        """Training samples with and without labels."""
        return len(self.train) + (0 if self.unlabeled is None else len(self.unlabeled))

    @property
    def nbytes(self) -> int:
        """The decoded size of training and validation samples in bytes."""
        return sum(x.nbytes for x in self.samples)

    @cached_property
    def floors(self) -> dict[str, float]:
        """By metric, the best value of a network that ignores its input, on the validation samples."""
        return floors(self.validation.y, self.classes, self.own)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over training and validation data, in order: over dtype, shape, and bytes, or over image files.

        For a table or texts, it also covers the encoding: the same numbers may come from other columns, words, or tokenizers.
        """
        labels = [self.train.y, self.validation.y, None]
        files = [(x.pixels, y) for x, y in zip(self.samples, labels, strict=False) if isinstance(x.pixels, Images)]
        if files:
            return fingerprint_of(files, self.exact)
        found = hashlib.sha256()
        for x, y in zip(self.samples, labels, strict=False):
            for text, array in [*x.parts(), *([] if y is None else [(f"{y.dtype.str}{y.shape}", y)])]:
                found.update(text.encode())
                for piece in pieces(array):
                    found.update(piece.data)
        if self.encoding is not None:
            found.update(digest(self.encoding).encode())
        if self.text is not None:
            found.update(digest(self.text.encoding).encode())
        return found.hexdigest()

    def scale(self) -> tuple[list[float], list[float]] | tuple[None, None]:
        """Mean and standard deviation of the training data by channel (of all numbers if a sample is a flat vector).

        Includes samples without labels. If the samples are image files, uses 2,048 of them, evenly spaced, streamed or not.
        None unless the only field is `x` with samples of one shape.
        """
        x = _few(self.train.x, self.unlabeled)
        if x is None:
            return None, None
        axes = (0, 1) if x.ndim == 2 else (0, *range(2, x.ndim))
        count = math.prod(x.shape) // (1 if x.ndim == 2 else x.shape[1])
        mean = np.atleast_1d(sum(piece.sum(axes, np.float64) for piece in pieces(x)) / count)  # not all at once
        wide = mean.reshape(-1, *[1] * (x.ndim - 2))
        deviation = np.sqrt(np.atleast_1d(sum(((piece - wide) ** 2).sum(axes) for piece in pieces(x))) / count)
        return mean.tolist(), np.where(deviation > 0, deviation, 1.0).tolist()

    def task(self, spec: TaskSpec) -> Task:
        other = None if self.kind == "classification" else self.kind
        return Task(data=self.fingerprint, split=spec.split, samples=spec.samples, other=other)


def _few(x: Columns, unlabeled: Columns | None) -> Pixels | None:
    if x.pixels is None:
        return None
    whole = (x if unlabeled is None else x.followed_by([unlabeled])).pixels
    return whole[spread(len(whole), SCALED)] if isinstance(whole, Images) else whole
