"""Networks that come from outside."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .architectures import Architecture
from .value import AsTuple, Value


class Normalise(Value):
    """What a network from outside expects: (x / scale - mean) / std by channel. `scale`: 255 where data are bytes, else 1."""

    mean: Annotated[tuple[float, ...], AsTuple]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], AsTuple]
    scale: Annotated[float, Field(gt=0)] | None = None


class Own(Value):
    """A student made by hand: its weights and, unless it is a stage of a study, its architecture."""

    checkpoint: str
    architecture: Architecture | None = None
    normalise: Normalise | None = None
