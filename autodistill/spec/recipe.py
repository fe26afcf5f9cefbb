"""Schema of the recipe, which says how a stage is trained, and of its augmentation, which `data.augment.Views` carries out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from .value import Count, Value


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


class Recipe(Value):
    """How a stage is trained. `learning_rate` is the peak of the schedule; the last batch of an epoch is dropped if short.

    An epoch has as many steps as all training samples fill, labeled or not; a stage that learns from labels alone repeats the
    labeled ones until they fill these steps.

    `outputs_dtype` is the type of cached teacher logits, `outputs_top` how many classes per sample are kept (the others share
    the remaining probability evenly). `views`: how many augmented views each sample has; the teacher logits for these views are
    cached and shared. `fresh`: a new view in each epoch, on which the teacher runs during the training.
    """

    version: ClassVar[int] = 2  # of the training loop; increment it when its numerics change
    epochs: Count
    batch_size: Count = 64
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 3e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    outputs_dtype: Literal["float32", "float16"] = "float32"
    outputs_top: Count | None = None
    augmentation: Augmentation | None = None
    views: Count | Literal["fresh"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_what_others_imply(cls, data: object) -> object:
        """SGD has momentum, and augmented views are fresh, unless the recipe says otherwise."""
        if isinstance(data, dict) and data.get("optimizer") == "sgd" and data.get("momentum") is None:
            data = data | {"momentum": 0.9}
        if isinstance(data, dict) and data.get("augmentation") is not None and data.get("views") is None:
            data = data | {"views": "fresh"}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.optimizer != "sgd" and self.momentum is not None:
            raise ValueError(f"momentum applies to sgd, not {self.optimizer}; remove it, or set optimizer: sgd")
        if self.augmentation is None and self.views is not None:
            raise ValueError(
                f"views: {self.views} needs an augmentation, and there is none; remove views, or add one, "
                "such as augmentation: {flip: true}"
            )
        return self


RECIPE = TypeAdapter(Recipe)
