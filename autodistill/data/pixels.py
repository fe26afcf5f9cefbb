"""Applies augmentation to pixels, a whole batch at once, each sample with its own parameters.

Images keep their dtype and range: uint8 is rounded back, and brightness, contrast, and solarize stay between the smallest
and the largest number of a sample, once it is moved, whatever units the data have. One sample's pixels never depend on
the others in its batch.

Suffixes of shapes: B batch, C channels, H height, W width, O operations; `_B2` holds y and x, `_B23` the two rows of
an affine map from where a pixel is to where it comes from, about the center, in pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

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


def cropped(x_BCHW: Tensor, offset_B2: Tensor, padding: int) -> Tensor:
    """A window of the sample's own size, at `offset_B2` in the sample with `padding` zeros around it."""
    height, width = x_BCHW.shape[2:]
    padded_BCHW = F.pad(x_BCHW, (padding, padding, padding, padding))
    windows_BCYXHW = padded_BCHW.unfold(2, height, 1).unfold(3, width, 1)
    batch_B = torch.arange(len(x_BCHW), device=x_BCHW.device)
    return windows_BCYXHW[batch_B, :, offset_B2[:, 0], offset_B2[:, 1]]


def flipped(x_BCHW: Tensor, flip_B: Tensor) -> Tensor:
    """Flips left to right where `flip_B` is true."""
    return torch.where(_wide(flip_B), x_BCHW.flip(3), x_BCHW)


def cut_out(x_BCHW: Tensor, center_B2: Tensor, side: int, fill_C11: Tensor) -> Tensor:
    """DeVries and Taylor 2017: a square about `center_B2` set to `fill_C11`, clipped at the edges of the image."""
    height, width = x_BCHW.shape[2:]
    first_B2 = center_B2 - side // 2
    in_BH = _between(torch.arange(height, device=x_BCHW.device), first_B2[:, 0], side)
    in_BW = _between(torch.arange(width, device=x_BCHW.device), first_B2[:, 1], side)
    mask_B1HW = in_BH[:, None, :, None] & in_BW[:, None, None, :]
    return torch.where(mask_B1HW, _as(fill_C11, x_BCHW.dtype), x_BCHW)


def mixed(own_B: Tensor, other_B: Tensor, share_B: Tensor) -> Tensor:
    """Zhang et al., "mixup", ICLR 2018: share * own + (1 - share) * other, as float32; samples of any shape."""
    share_B1 = share_B.view(-1, *[1] * (own_B.dim() - 1))
    return share_B1 * own_B.float() + (1 - share_B1) * other_B.float()


def randomly_augmented(x_BCHW: Tensor, tones: tuple[Tensor, Tensor], matrix_B23: Tensor, fill_C11: Tensor) -> Tensor:
    """RandAugment (Cubuk et al. 2020): the moves of a sample as one resampling, then its tone operations in order."""
    operation_BO, strength_BO = tones
    moves_B = ((operation_BO >= MOVES[0]) & (operation_BO <= MOVES[-1])).any(1)
    x_BCHW, dtype = x_BCHW.float(), x_BCHW.dtype
    x_BCHW = torch.where(_wide(moves_B), moved(x_BCHW, matrix_B23, fill_C11), x_BCHW)
    return _as(toned(x_BCHW, operation_BO, strength_BO), dtype)


def moved(x_BCHW: Tensor, matrix_B23: Tensor, fill_C11: Tensor) -> Tensor:
    """Floats mapped by `matrix_B23` about the center, bilinear; outside of the image is `fill_C11`."""
    height, width = x_BCHW.shape[2:]
    y_H1 = (torch.arange(height, device=x_BCHW.device) - (height - 1) / 2)[:, None]
    x_1W = (torch.arange(width, device=x_BCHW.device) - (width - 1) / 2)[None, :]
    a_B211, b_B211, c_B211 = matrix_B23[..., None, None].unbind(2)
    source_B2HW = a_B211 * x_1W + b_B211 * y_H1 + c_B211  # no matrix product: its sums can depend on the batch
    grid_BHW2 = torch.stack([source_B2HW[:, 0] * (2 / width), source_B2HW[:, 1] * (2 / height)], 3)
    return F.grid_sample(x_BCHW - fill_C11, grid_BHW2, "bilinear", "zeros", align_corners=False) + fill_C11


def toned(x_BCHW: Tensor, operation_BO: Tensor, strength_BO: Tensor) -> Tensor:
    """Brightness, contrast, and solarize, one after another, within each sample's own range [low, high].

    brightness: low + (1 + s) (x - low); contrast: mean + (1 + s) (x - mean); solarize: low + high - x where x is
    above high - |s| (high - low).
    """
    low_B111, high_B111 = x_BCHW.amin((1, 2, 3), True), x_BCHW.amax((1, 2, 3), True)
    for operation_B, strength_B in zip(operation_BO.unbind(1), strength_BO.unbind(1), strict=True):
        operation_B111, strength_B111 = _wide(operation_B), _wide(strength_B)
        pivot_B111 = torch.where(operation_B111 == CODE["contrast"], _mean(x_BCHW), low_B111)
        scaled_BCHW = (pivot_B111 + (1 + strength_B111) * (x_BCHW - pivot_B111)).clamp(low_B111, high_B111)
        threshold_B111 = high_B111 - strength_B111.abs() * (high_B111 - low_B111)
        inverted_BCHW = torch.where(x_BCHW > threshold_B111, low_B111 + high_B111 - x_BCHW, x_BCHW)
        scales_B111 = (operation_B111 == CODE["brightness"]) | (operation_B111 == CODE["contrast"])
        x_BCHW = torch.where(scales_B111, scaled_BCHW, x_BCHW)
        x_BCHW = torch.where(operation_B111 == CODE["solarize"], inverted_BCHW, x_BCHW)
    return x_BCHW


def _mean(x_BCHW: Tensor) -> Tensor:
    """In double precision, so that the order of the sum, which can depend on the batch, does not affect the float32 result."""
    return (x_BCHW.sum((1, 2, 3), True, dtype=torch.float64) / x_BCHW[0].numel()).float()


def _wide(of_B: Tensor) -> Tensor:
    return of_B[:, None, None, None]


def _between(at_S: Tensor, first_B: Tensor, side: int) -> Tensor:
    return (at_S >= first_B[:, None]) & (at_S < first_B[:, None] + side)


def _as(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.round().clamp(0, 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)
