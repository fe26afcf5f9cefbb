"""Schema of the augmentation: how a sample is changed before a network sees it (`augment.Views` does it)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from .value import Value


class RandAugment(Value):
    """Cubuk et al., CVPR Workshops 2020: of each sample, `operations` drawn from nine, all at `magnitude` of 10.

    identity, rotate, shear_x, shear_y, translate_x, translate_y, brightness, contrast, solarize.
    """

    operations: Annotated[int, Field(ge=1, le=100)] = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0


class Augmentation(Value):
    """Views of a sample, fixed by (seed, sample, view): teacher and student see the same (Beyer et al., CVPR 2022).

    `flip`: left to right, half of the time. `crop`: a random crop of the sample's own size after that many pixels of
    zeros were put around it. `cutout`: a square of that side is set to the channel's mean (DeVries and Taylor 2017).
    `mixup`: alpha of the Beta distribution that the shares of two samples come from (Zhang et al., ICLR 2018).
    """

    version: ClassVar[int] = 1  # of the views: raise it when their pixels change
    flip: bool = False
    crop: Annotated[int, Field(ge=0, le=4096)] = 0
    cutout: Annotated[int, Field(ge=0, le=4096)] = 0
    randaugment: RandAugment | None = None
    mixup: Annotated[float, Field(ge=0.001, le=1000)] | None = None

    def of_images(self) -> list[str]:
        """The options that are on and take images only."""
        return [name for name in ("flip", "crop", "cutout", "randaugment") if getattr(self, name)]

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.of_images() and self.mixup is None:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"has nothing on; give at least one of {names}, or leave augmentation out")
        return self
