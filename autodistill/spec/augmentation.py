"""Schema of the augmentation: how a sample is changed before a network sees it (`augment.Views` does it)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from .value import Value


class RandAugment(Value):
    """Cubuk et al., CVPR Workshops 2020: `operations` operations at `magnitude` (of 10), drawn for each sample from these nine:

    identity, rotate, shear_x, shear_y, translate_x, translate_y, brightness, contrast, solarize.
    """

    operations: Annotated[int, Field(ge=1, le=100)] = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0


class Augmentation(Value):
    """Views of a sample, fixed by (seed, sample, view): teacher and student see the same view (Beyer et al., CVPR 2022).

    `flip`: left to right, half of the time. `crop`: pads the sample with that many zeros on each side, then takes a random
    crop of the original size. `cutout`: sets a square of that side to the channel's mean (DeVries and Taylor 2017).
    `mixup`: alpha of the Beta distribution of the mixing weights of two samples (Zhang et al., ICLR 2018).
    """

    version: ClassVar[int] = 1  # of the views; increment it when their pixels change
    flip: bool = False
    crop: Annotated[int, Field(ge=0, le=4096)] = 0
    cutout: Annotated[int, Field(ge=0, le=4096)] = 0
    randaugment: RandAugment | None = None
    mixup: Annotated[float, Field(ge=0.001, le=1000)] | None = None

    def of_images(self) -> list[str]:
        """The enabled options that only work on images."""
        return [name for name in ("flip", "crop", "cutout", "randaugment") if getattr(self, name)]

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.of_images() and self.mixup is None:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"enables nothing; set at least one of {names}, or remove augmentation")
        return self
