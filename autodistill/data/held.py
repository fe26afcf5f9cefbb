"""Where decoded samples are held: in memory if they fit, otherwise in a file without a name that is memory-mapped.

The system removes such a file once nobody maps it, however the process ends. Nothing is kept from one command to the next: the
key of the data is a hash of all decoded samples, so each command decodes them anyway.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..spec import DataError
from ..spec.arrays import Array


@dataclass(frozen=True, kw_only=True)
class Room:
    """`most` is how many bytes of one array are held in memory; a larger one is in a file in `folder`. `name` is that of
    the data set.

    `memory` is that of the machine, if all must be held, however large.
    """

    most: int
    folder: Callable[[], Path]
    name: str
    memory: int | None = None

    def refuse(self, size: int) -> None:
        """Raises DataError for bytes that must be held and cannot: the OOM killer would kill the process without a message."""
        if self.memory is not None and size > self.memory:
            what = f"{self.name} has {size / 1e9:,.1f} GB of arrays, and this machine has {self.memory / 1e9:,.1f} GB of memory"
            raise DataError(f"task.memory: resident: {what}; remove this key, and workers read the samples from disk")

    def stacked(self, samples: Iterable[Array], count: int) -> Array:
        """At most `count` samples of one shape and dtype as one array, memory-mapped and read-only if it is too large.

        Raises DataError if there are none, or if the disk is full.
        """
        rows = iter(samples)
        first = next(rows, None)
        if first is None:
            raise DataError(f"task.dataset: {self.name} has a split without samples; add samples, or remove it")
        whole = (one[None] for one in itertools.chain([first], rows))
        return self.array(whole, (count, *first.shape), first.dtype)

    def array(self, blocks: Iterable[Array], shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """The same from blocks of samples, which follow one another."""
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        self.refuse(needed)
        return self._on_disk(blocks, shape, dtype, needed) if needed > self.most else _in_memory(blocks, shape, dtype)

    def _on_disk(self, blocks: Iterable[Array], shape: tuple[int, ...], dtype: DTypeLike, needed: int) -> Array:
        """Writing to mapped memory would end the process when the disk is full, so the file is written first."""
        with self._writing(needed):
            folder = self.folder()
            folder.mkdir(parents=True, exist_ok=True)
            left = shutil.disk_usage(folder).free
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed below)
        with file:
            if left < needed:
                raise self._lacking(needed, f"has only {left / 1e9:,.1f} GB left")
            for block in blocks:
                with self._writing(needed):
                    file.write(np.ascontiguousarray(block, dtype).data)
            with self._writing(needed):
                file.truncate(needed)  # fewer samples than announced: the caller refuses them
                return np.memmap(file, dtype, "r", shape=shape)

    @contextlib.contextmanager
    def _writing(self, needed: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._lacking(needed, f"cannot be written to ({error.strerror})") from None

    def _lacking(self, needed: int, what: str) -> DataError:
        way = "free some space, set task.folder or AUTODISTILL_DATA to a folder on a larger disk, or set a smaller image_size"
        size = f"{self.name} takes {needed / 1e9:,.1f} GB decoded, more than memory holds"
        return DataError(f"task.folder: {size}, and {self.folder()} {what}; {way}")


def _in_memory(blocks: Iterable[Array], shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    found, start = np.empty(shape, dtype), 0
    for block in blocks:
        found[start : start + len(block)] = block
        start += len(block)
    return found
