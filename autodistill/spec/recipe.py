"""Schema of the recipe: how a stage is trained."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from .augmentation import Augmentation
from .value import Count, Value


class Recipe(Value):
    """How a stage is trained. `learning_rate` is the peak of the schedule; the last batch of an epoch is dropped if short.

    `outputs_dtype` is the type of cached teacher logits, `outputs_top` how many classes per sample are kept (the others
    share the remaining probability evenly).
    `views`: how many augmented views each sample has; the teacher logits on these are cached and shared. `fresh`: a new
    view each epoch, on which the teacher runs during the training.
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
    def _momentum_is_of_sgd(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("optimizer") == "sgd" and data.get("momentum") is None:
            return data | {"momentum": 0.9}
        return data

    @model_validator(mode="after")
    def _no_other_has_momentum(self) -> Self:
        if self.optimizer != "sgd" and self.momentum is not None:
            raise ValueError(f"momentum applies to sgd, not {self.optimizer}; remove it, or set optimizer: sgd")
        return self

    @model_validator(mode="before")
    @classmethod
    def _views_are_fresh(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("augmentation") is not None and data.get("views") is None:
            return data | {"views": "fresh"}
        return data

    @model_validator(mode="after")
    def _no_views_without_augmentation(self) -> Self:
        if self.augmentation is None and self.views is not None:
            raise ValueError(
                f"views: {self.views} needs an augmentation, and there is none; remove views, or add one, "
                "such as augmentation: {flip: true}"
            )
        return self


RECIPE: TypeAdapter[Any] = TypeAdapter(Recipe)
