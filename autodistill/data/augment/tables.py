"""What a view does to each sample: drawn on the CPU for all samples at once.

Each option has its own generator, which depends only on (seed, view, option), not on the batch, its order, the device or
another option. So two trainings that differ in one option share what all other options do.

Suffixes of shapes: N samples, O operations of RandAugment.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...spec import Augmentation, RandAugment

LARGEST = {
    "identity": 0.0,
    "rotate": math.radians(30),
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 0.45,  # of the width
    "translate_y": 0.45,  # of the height
    "brightness": 0.9,
    "contrast": 0.9,
    "solarize": 1.0,  # of the sample's range, from above
}
"""RandAugment's operations and the strength of each at magnitude 10, in either direction."""
CODE = {name: code for code, name in enumerate(LARGEST)}
MOVES = range(CODE["rotate"], CODE["translate_y"] + 1)
Array = NDArray[Any]


class Table(NamedTuple):
    """What one view does to each sample; None if the option is off."""

    offset_N2: Tensor | None  # of the crop, y and x
    flip_N: Tensor | None
    operation_NO: Tensor | None  # see CODE
    strength_NO: Tensor | None  # of the operation, signed
    matrix_N23: Tensor | None  # all moves of pixels: maps where a pixel is to where it comes from
    center_N2: Tensor | None  # of the square cut out, y and x
    partner_N: Tensor | None
    share_N: Tensor | None

    def of(self, rows_B: Tensor) -> Table:
        return Table(*(None if column_N is None else column_N[rows_B] for column_N in self))

    def to(self, device: torch.device) -> Table:
        return Table(*(None if column_N is None else column_N.to(device) for column_N in self))


def draw(
    augmentation: Augmentation, *, seed: int, view: int, samples: int, shape: tuple[int, ...], labeled: int | None = None
) -> Table:
    """View `view` of `samples` samples of `shape`, of which the first `labeled` (None: all) have labels, on the CPU."""

    def generator(option: str) -> np.random.Generator:
        name = hashlib.sha256(f"{seed}/view/{view}/{option}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(name, "big")))

    crop, cutout, mixup, random = augmentation.crop, augmentation.cutout, augmentation.mixup, augmentation.randaugment
    offset_N2 = generator("crop").integers(0, 2 * crop, (samples, 2), endpoint=True) if crop else None
    flip_N = generator("flip").random(samples) < 0.5 if augmentation.flip else None
    operations = _operations(random, generator("randaugment"), samples, shape) if random else (None, None, None)
    center_N2 = generator("cutout").integers(0, shape[1:], (samples, 2)) if cutout else None
    partner_N, share_N = _mixes(mixup, generator("mixup"), samples, labeled) if mixup else (None, None)
    columns = (offset_N2, flip_N, *operations, center_N2, partner_N, share_N)
    return Table(*(None if column_N is None else torch.from_numpy(column_N) for column_N in columns))


def _operations(
    random: RandAugment, generator: np.random.Generator, samples: int, shape: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    """Operations drawn with replacement, at one magnitude, each with its own sign; and the moves among them as one map."""
    size = (samples, random.operations)
    operation_NO = generator.integers(0, len(LARGEST), size)
    sign_NO = generator.choice([-1.0, 1.0], size)
    strength_NO = sign_NO * random.magnitude / 10 * np.array(list(LARGEST.values()))[operation_NO]
    return operation_NO, strength_NO.astype(np.float32), composed(operation_NO, strength_NO, *shape[1:])


def composed(operation_NO: Array, strength_NO: Array, height: int, width: int) -> Array:
    """matrix_N23: one affine map for all moves of a sample, about its center, in pixels; rows are x and y."""
    matrix_N33 = np.broadcast_to(np.eye(3), (len(operation_NO), 3, 3))
    for operation_N, strength_N in zip(operation_NO.T, strength_NO.T, strict=True):
        angle, shear_x, shear_y, shift_x, shift_y = (np.where(operation_N == code, strength_N, 0.0) for code in MOVES)
        cos, sin, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
        rows = [[cos, shear_x - sin, shift_x * width], [shear_y + sin, cos, shift_y * height], [zero, zero, one]]
        matrix_N33 = matrix_N33 @ np.array(rows).transpose(2, 0, 1)
    return matrix_N33[:, :2].astype(np.float32)


def _mixes(alpha: float, generator: np.random.Generator, samples: int, labeled: int | None) -> tuple[Array, Array]:
    """A permutation, so that each sample is the partner of one other, and shares of at least one half: max(l, 1 - l), l ~ Beta.

    Samples with labels are mixed only with each other: a mixture with an unknown label has no label.
    """
    count = samples if labeled is None else labeled
    partner_N = np.concatenate([generator.permutation(count), count + generator.permutation(samples - count)])
    share_N = generator.beta(alpha, alpha, samples)
    return partner_N, np.maximum(share_N, 1 - share_N).astype(np.float32)
