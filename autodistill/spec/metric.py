"""A metric of your own: the name of a function, which direction is better, and the bounds of its values."""

from __future__ import annotations

import json
import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .architectures import Import
from .value import AsTuple, Value

End = Annotated[float, Field(ge=-1e12, le=1e12)]
SIGN = "own:"
"""The beginning of the `text` of each metric of your own."""


class OwnMetric(Value):
    """A metric of your own.

    The function returns one value for each sample, whose mean is the metric, or a single number.
    """

    factory: Import = Field(alias="import")
    """The function, as package.module:function, which is called with outputs and labels."""
    better: Literal["higher", "lower"] = "higher"
    """Which direction of the metric is better."""
    bounded: Annotated[tuple[End, End], AsTuple] | None = None
    """The smallest and the largest value that the function may return; by default there is no bound."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")] | None = None
    """Name of the metric in tables and on the page; by default that of the function."""
    over: Literal["samples", "all"] | None = None
    """Whether the function returns one value for each sample or one for all; filled in when the data are known."""
    source: str | None = None
    """The sha256 of the module of the function, filled in when the data are known."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.bounded is not None and not self.bounded[0] < self.bounded[1]:
            raise ValueError(f"bounded: {list(self.bounded)} is empty; put the smaller number first")
        return self

    @property
    def title(self) -> str:
        """Its name, by default that of the function."""
        return self.name or self.factory.partition(":")[2]

    @property
    def ends(self) -> tuple[float, float]:
        return self.bounded or (-math.inf, math.inf)

    def like(self, before: str | OwnMetric | None) -> Self:
        """This metric with what was filled in `before`, if that is a metric of your own, too."""
        if not isinstance(before, OwnMetric):
            return self
        return self.model_copy(update={"source": before.source, "over": before.over})

    def text(self) -> str:
        """The metric as one word, under which scores are stored: if the code changes, so does the word."""
        facts = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return SIGN + json.dumps(facts, sort_keys=True, separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> Self:
        """From its `text`. Raises ValueError."""
        return cls.model_validate_json(text.removeprefix(SIGN), strict=False)


def name_of(metric: str | OwnMetric) -> str:
    """The name of a metric in scores."""
    return metric if isinstance(metric, str) else metric.text()


def is_own(name: str) -> bool:
    """Whether this is the `text` of a metric of your own."""
    return name.startswith(SIGN)
