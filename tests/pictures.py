"""Small folders of real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def pixels(seed: int, height: int = 8, width: int = 8) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def write(path: Path, x_HWC: Array, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x_HWC).convert(mode).save(path)
    return path


def fill(folder: Path, each: int = 12, classes: tuple[str, ...] = ("cat", "dog", "eel"), seed: int = 0) -> Path:
    """`each` images in a subfolder of each class."""
    for number, name in enumerate(classes):
        for row in range(each):
            write(folder / name / f"{row:03}.png", pixels(seed + 1000 * number + row))
    return folder
