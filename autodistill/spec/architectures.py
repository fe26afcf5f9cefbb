"""Schemas of the model families: what an architecture is, not how it is built (`models.FAMILIES` maps each to that)."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, TypeAdapter, field_validator

from .value import Value

Depth = Annotated[int, Field(ge=1, le=1000)]
Width = Annotated[int, Field(ge=1, le=65536)]


class MLP(Value):
    """`depth` hidden layers of `width` units with ReLU on the flattened sample."""

    version: ClassVar[int] = 1
    family: Literal["mlp"] = "mlp"
    depth: Depth
    width: Width


class ConvNet(Value):
    """The plain stacks of Mirzadeh et al., AAAI 2020: `depth` convolutions in groups that double the width.

    `width` is the number of channels in the first group, `hidden` the units of one fully connected layer before the
    classifier (0: none). Theirs for CIFAR-10: (2, 16), (4, 16), (6, 16), (8, 16, hidden 64), (10, 32, hidden 128).
    """

    version: ClassVar[int] = 1
    family: Literal["convnet"] = "convnet"
    depth: Depth
    width: Width
    hidden: Annotated[int, Field(ge=0, le=65536)] = 0


class ResNet(Value):
    """He et al., CVPR 2016, section 4.2 (the CIFAR form): 6 * depth + 2 layers.

    Three stages of `depth` basic blocks each with `width`, 2 * `width` and 4 * `width` channels.
    """

    version: ClassVar[int] = 1
    family: Literal["resnet"] = "resnet"
    depth: Depth
    width: Width


class Timm(Value):
    """A timm model by `name`, with keyword `arguments` for timm's create_model."""

    version: ClassVar[int] = 1
    family: Literal["timm"] = "timm"
    name: str
    arguments: dict[str, JsonValue] = {}


class Imported(Value):
    """One's own module: `factory` is "package.module:function", called with `arguments`; takes the data's raw numbers."""

    version: ClassVar[int] = 1
    family: Literal["import"] = "import"
    factory: str
    arguments: dict[str, JsonValue] = {}

    @field_validator("factory")
    @classmethod
    def _names_a_function(cls, value: str) -> str:
        return check_import(value)


def check_import(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        raise ValueError(f"{value!r} is not of the form package.module:function")
    return value


Architecture = Annotated[MLP | ConvNet | ResNet | Timm, Field(discriminator="family")]
"""What the tool can train."""
AnyArchitecture = Annotated[MLP | ConvNet | ResNet | Timm | Imported, Field(discriminator="family")]
"""What a teacher can be: a module of one's own too."""
ARCHITECTURE: TypeAdapter[Any] = TypeAdapter(Architecture)


def describe(architecture: Value) -> str:
    """One short line, such as `resnet depth=2 width=32`."""
    fields = {name: value for name, value in architecture if name != "family" and value not in ({}, None)}
    if isinstance(architecture, ConvNet) and not architecture.hidden:
        del fields["hidden"]
    words = [f"{name}={value}" for name, value in fields.items()]
    return " ".join([getattr(architecture, "family", "?"), *words])
