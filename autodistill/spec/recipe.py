"""Schema of the recipe, which says how a stage is trained, and of its augmentation, which `data.augment.Views` carries out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from .value import Count, Value


class RandAugment(Value):
    """Cubuk et al., CVPR Workshops 2020: operations that are drawn for each sample from these nine:

    identity, rotate, shear_x, shear_y, translate_x, translate_y, brightness, contrast, solarize.
    """

    operations: Annotated[int, Field(ge=1, le=100)] = 2
    """Number of operations that are applied to a sample."""
    magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    """Strength of the operations, out of 10."""


class Augmentation(Value):
    """Views of a sample, fixed by (seed, sample, view): teacher and student see the same view (Beyer et al., CVPR 2022)."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})
    version: ClassVar[int] = 1  # of the views; increment it when their pixels change
    flip: bool = False
    """Whether half of the samples are flipped from left to right."""
    crop: Annotated[int, Field(ge=0, le=4096)] = 0
    """Pixels of padding on each side, from which a random crop of the original size is taken; 0 means none."""
    cutout: Annotated[int, Field(ge=0, le=4096)] = 0
    """Side in pixels of a square that is set to the mean of the channel (DeVries and Taylor 2017); 0 means none."""
    randaugment: RandAugment | None = None
    """Random operations on images (Cubuk et al. 2020); by default none."""
    mixup: Annotated[float, Field(ge=0.001, le=1000)] | None = None
    """Alpha of the Beta distribution of the mixing weights of two samples (Zhang et al., ICLR 2018); by default none are mixed.
    """

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
    """How a stage is trained. The last batch of an epoch is dropped if short.

    An epoch has as many steps as all training samples fill, labeled or not; a stage that learns from labels alone repeats the
    labeled ones until they fill these steps.
    """

    version: ClassVar[int] = 2  # of the training loop; increment it when its numerics change
    epochs: Count
    """Number of passes over the training samples."""
    batch_size: Count = 64
    """Number of samples in each step."""
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 3e-3
    """Peak of the learning rate."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Algorithm that updates the weights."""
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.01
    """Decay of the weights in each step, as a multiple of the learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Momentum of sgd, 0.9 by default; adamw has none."""
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    """How the learning rate changes: it rises and falls (one_cycle), or falls as a cosine."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of numbers in the forward pass; auto is bfloat16 on GPUs and float32 elsewhere."""
    outputs_dtype: Literal["float32", "float16"] = "float32"
    """Type of the cached teacher logits."""
    outputs_top: Count | None = None
    """Number of classes of a sample whose teacher logits are cached, while the others share the remaining probability evenly;
    by default all are cached.
    """
    augmentation: Augmentation | None = None
    """How training samples are changed at random; by default they are not."""
    views: Count | Literal["fresh"] | None = None
    """Number of augmented views of each sample, for which teacher logits are cached, or fresh: a new view in each epoch, on
    which the teacher runs during the training, which is the default with an augmentation.
    """

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
