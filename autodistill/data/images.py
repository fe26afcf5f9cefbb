"""Image files as an array that decodes only the requested rows.

Suffixes of shapes: N samples, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..spec import DataError
from ..spec.arrays import Array
from ..spec.imports import reason

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 3: "RGB"}
THREADS = min(8, os.cpu_count() or 1)
"""How many threads decode one batch."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Image files as an array of uint8 (N, channels, *size): indexing decodes only those rows.

    `names` identify the files, wherever they are: paths relative to the root of the data set. `size` is height and
    width; an image of another size is resized (bicubic) until it just covers `size`, and center-cropped.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    size: tuple[int, int]
    channels: int

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), self.channels, *self.size)

    @property
    def nbytes(self) -> int:
        """Their size in bytes once decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    def take(self, rows: Array) -> Images:
        """These rows, not decoded."""
        paths, names = tuple(self.paths[row] for row in rows), tuple(self.names[row] for row in rows)
        return replace(self, paths=paths, names=names)

    def __getitem__(self, rows: slice | Array) -> Array:
        """Raises DataError naming a file that cannot be read."""
        if isinstance(rows, int | np.integer):
            raise TypeError("image files are indexed by slices or arrays of rows; use [[row]]")
        asked = np.arange(len(self))[rows].tolist()
        with ThreadPoolExecutor(max(1, min(THREADS, len(asked)))) as pool:  # PIL releases the GIL while it decodes
            found = list(pool.map(lambda row: read_image(self.paths[row], self.size, self.channels), asked))
        return np.stack(found) if found else np.empty((0, *self.shape[1:]), np.uint8)

    def __array__(self, *_: object, **__: object) -> Array:
        size = f"{len(self):,} image files ({self.nbytes / 1e9:.1f} GB decoded)"
        raise TypeError(f"{size} are not one array; take rows from them, or set task.memory: resident")

    def listed(self) -> str:
        """JSON from which `of_list` makes images with the same pixels."""
        return json.dumps({"paths": self.paths, "size": self.size, "channels": self.channels})

    @classmethod
    def of_list(cls, text: str) -> Images:
        found = json.loads(text)
        paths = tuple(found["paths"])
        return cls(paths=paths, names=paths, size=tuple(found["size"]), channels=found["channels"])


def read_image(path: str, size: tuple[int, int], channels: int) -> Array:
    """uint8 (channels, *size). Raises DataError naming the file."""
    with _readable(path), open(path, "rb") as file:
        return decode(file, size, channels)


def decode(file: BinaryIO, size: tuple[int, int] | None, channels: int) -> Array:
    """uint8 (channels, H, W) of one image, with its own H and W if no size is given."""
    from PIL import Image

    with Image.open(file) as image:
        plain: Image.Image = image
        if image.mode.startswith("I"):  # 16 bits per pixel, which PIL would clip at 255
            plain = Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
        elif "transparency" in image.info:  # PIL warns about it otherwise
            plain = image.convert("RGBA")
        return fitted(plain.convert(MODES[channels]), size)


def fitted(image: Image.Image, size: tuple[int, int] | None) -> Array:
    """uint8 (C, *size): the shorter side is resized so that `size` is just covered, then the center is cropped."""
    from PIL.Image import Resampling

    height, width = size or (image.height, image.width)
    if (image.height, image.width) != (height, width):
        scale = max(height / image.height, width / image.width)
        whole = max(width, round(image.width * scale)), max(height, round(image.height * scale))
        left, top = (whole[0] - width) // 2, (whole[1] - height) // 2
        image = image.resize(whole, Resampling.BICUBIC).crop((left, top, left + width, top + height))
    x_HW = np.asarray(image, np.uint8)
    return x_HW[None] if x_HW.ndim == 2 else np.ascontiguousarray(x_HW.transpose(2, 0, 1))


def size_of(path: str) -> tuple[int, int]:
    """Height and width of an image file, from its header. Raises DataError naming the file."""
    from PIL import Image

    with _readable(path), Image.open(path) as image:
        return image.height, image.width


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"task.dataset: {path} no longer exists; restore it, or run `check` on the data as it is now") from None
    except Exception as error:  # damaged images fail in many ways: OSError, SyntaxError, ValueError, zlib.error
        way = "replace the file, or remove it from the folder"
        raise DataError(f"task.dataset: {path} is not a readable image ({reason(error)}); {way}") from error


def spread(count: int, most: int) -> Array:
    """At most `most` of `count` rows, evenly spaced, always the same."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.arange(0)


def joined(parts: Sequence[Images]) -> Images:
    """The files of several folders, concatenated, all decoded like the first ones."""
    paths = tuple(path for part in parts for path in part.paths)
    return replace(parts[0], paths=paths, names=tuple(name for part in parts for name in part.names))


def alike(images: Iterable[Array], name: str) -> Iterator[Array]:
    """The images (C, H, W). Raises DataError for the first one of another size."""
    first: tuple[int, ...] | None = None
    for image in images:
        first = first or image.shape
        if image.shape != first:
            sizes = f"{' x '.join(map(str, first[1:]))} and {' x '.join(map(str, image.shape[1:]))}"
            raise DataError(f"task.image_size is missing and images of {name} differ in size: {sizes}; set image_size")
        yield image
