"""Existing networks: trained elsewhere, or in another study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .architectures import Architecture
from .paths import FilePath
from .value import AsTuple, Value

Scale = Annotated[float, Field(ge=1e-9, le=1e9)]


class Normalize(Value):
    """What an existing network expects: (x / scale - mean) / std by channel. `scale`: by default 255 for bytes, else 1."""

    mean: Annotated[tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...], AsTuple]
    std: Annotated[tuple[Scale, ...], AsTuple]
    scale: Scale | None = None


class Incumbent(Value):
    """The student in use today: its weights and, unless it is a stage of a study, its architecture."""

    checkpoint: FilePath
    architecture: Architecture | None = None
    normalize: Normalize | None = None
