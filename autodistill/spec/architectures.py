"""Schemas of the model families: what an architecture is, not how it is built (`models.FAMILIES` maps each to that)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    TypeAdapter,
    field_validator,
    model_serializer,
    model_validator,
)

from .domains import KINDS, Whole
from .errors import shown, wrong
from .value import AsTuple, Value

Depth = Annotated[int, Field(ge=1, le=1000)]
Width = Annotated[int, Field(ge=1, le=65536)]
Stages = Annotated[int, Field(ge=2, le=4)]
Side = Annotated[int, Field(ge=1, le=1024)]
Scale = Annotated[float, Field(ge=1e-9, le=1e9)]
MOST = 65536
"""The largest number allowed in the arguments of a timm model: no depth, width or side needs more."""


NO_IMPORT = "{!r} does not have the form package.module:function"


def _is_import(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is not None


def _check_import(value: str) -> str:
    if not _is_import(value):
        raise ValueError(NO_IMPORT.format(value))
    return value


Import = Annotated[str, AfterValidator(_check_import)]


KEPT = "autodistill.models.kept:module"
"""The function that loads a module that was given from Python, from the file in which it is stored."""


class MLP(Value):
    """`depth` hidden layers of `width` units with ReLU on the flattened sample.

    `embedding` is the largest width of the embeddings of a table's categories (None: only the rule of `models.tables`).
    """

    version: ClassVar[int] = 1
    family: Literal["mlp"] = "mlp"
    depth: Depth
    width: Width
    embedding: Annotated[int, Field(ge=1, le=1024)] | None = None


class ConvNet(Value):
    """The plain stacks of Mirzadeh et al., AAAI 2020: `depth` convolutions in groups that double the width.

    `width` is the number of channels in the first group, `hidden` the units of one fully connected layer before the
    classifier (0: none). Their networks for CIFAR-10: (2, 16), (4, 16), (6, 16), (8, 16, hidden 64), (10, 32, hidden 128).
    """

    version: ClassVar[int] = 1
    family: Literal["convnet"] = "convnet"
    depth: Depth
    width: Width
    hidden: Annotated[int, Field(ge=0, le=65536)] = 0


class ResNet(Value):
    """He et al., CVPR 2016, section 4.2 (the CIFAR form): 6 * depth + 2 layers.

    Three stages of `depth` basic blocks each, with `width`, 2 * `width` and 4 * `width` channels.
    """

    version: ClassVar[int] = 1
    family: Literal["resnet"] = "resnet"
    depth: Depth
    width: Width


class TimmResNet(Value):
    """He et al., CVPR 2016, table 1, built from timm's basic blocks: `stages` stages of `depth` blocks each.

    The stages have 1, 2, 4, 8 times `width` channels. (depth 2, width 64, stem imagenet) is ResNet-18. `stem`: imagenet is
    a 7x7 convolution and a pooling layer, which reduce each side fourfold; small is one 3x3 convolution, which does not.
    """

    version: ClassVar[int] = 1
    family: Literal["timm_resnet"] = "timm_resnet"
    depth: Depth
    width: Width
    stages: Stages = 4
    stem: Literal["imagenet", "small"] = "small"


class ViT(Value):
    """Dosovitskiy et al., ICLR 2021: `depth` blocks of `heads` heads, each `head_width` wide, with a class token.

    The width of the tokens is heads * head_width. (depth 12, heads 3, head_width 64, patch_size 16) is DeiT-tiny.
    """

    version: ClassVar[int] = 1
    family: Literal["vit"] = "vit"
    depth: Depth
    heads: Annotated[int, Field(ge=1, le=1024)]
    head_width: Annotated[int, Field(ge=1, le=1024)] = 16
    patch_size: Side = 4
    mlp_ratio: Annotated[float, Field(ge=0.1, le=64)] = 4.0


class ConvNeXt(Value):
    """Liu et al., CVPR 2022: a patch stem and `stages` stages with `width` times 1, 2, 4, 8 channels.

    The stages have `depth` times 1, 1, 3, 1 blocks. (depth 3, width 96, stages 4, patch_size 4) is ConvNeXt-T.
    """

    version: ClassVar[int] = 1
    family: Literal["convnext"] = "convnext"
    depth: Depth
    width: Width
    stages: Stages = 3
    patch_size: Side = 2


class MobileNet(Value):
    """Sandler et al., CVPR 2018 (MobileNetV2), table 2, for small images: `depth` inverted residuals in each stage.

    The stem has stride 1 and 2 * `width` channels; the published first five stages follow, `width` times 1, 1.5, 2, 4, 6
    with strides 1, 2, 2, 2, 1, the first without `expansion`; then the last 1x1 convolution, four times as wide.
    """

    version: ClassVar[int] = 1
    family: Literal["mobilenet"] = "mobilenet"
    depth: Depth
    width: Width
    expansion: Annotated[int, Field(ge=1, le=64)] = 4


class Timm(Value):
    """A timm model by `name`, with keyword `arguments` for timm's create_model."""

    version: ClassVar[int] = 1
    family: Literal["timm"] = "timm"
    name: str
    arguments: dict[str, JsonValue] = {}

    @field_validator("arguments")
    @classmethod
    def _can_be_built(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        large = next((number for number in _numbers(arguments) if abs(number) > MOST), None)
        if large is not None:
            value = str(large) if isinstance(large, int) else f"{large:.60g}"
            raise ValueError(f"{value} is out of range; use numbers from {-MOST} to {MOST}")
        return arguments


class Transformers(Value):
    """A transformer that reads token ids, built by the package transformers: `layers` layers, `heads` heads in each.

    Its width is `hidden`, or heads * `head_width`; give one of the two. `intermediate` is the width between the two linear
    layers of a block (by default four times the width), `embedding` a smaller width of the embeddings, which a linear layer
    widens (Lan et al., ALBERT, ICLR 2020). `vocabulary`: all token ids (`full`), those of the training texts (`used`), or so
    many of the most frequent; the others are read as the unknown token. `positions` is the length of the longest text that it
    reads, by default task.max_length.

    `model` is transformers' model_type; bert with an `embedding` is built as electra, which is bert with it. `settings` are
    other keys of its config.json. `dropout` applies everywhere; without it, settings say where it applies; elsewhere it is 0.

    `pooling: mean` classifies the mean of the tokens instead of the first one: transformers' classifier of tokens, whose logits
    are averaged over a text. Checkpoints that were trained as a mean, such as those of sentence-transformers, need it.
    """

    version: ClassVar[int] = 1
    family: Literal["transformers"] = "transformers"
    layers: Depth
    hidden: Width | None = None
    heads: Annotated[int, Field(ge=1, le=1024)]
    head_width: Annotated[int, Field(ge=1, le=1024)] | None = None
    intermediate: Width | None = None
    vocabulary: Literal["full", "used"] | Annotated[int, Field(ge=2, le=10_000_000)] = "full"
    embedding: Width | None = None
    model: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = "bert"
    positions: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    settings: dict[str, JsonValue] = {}
    pooling: Literal["first", "mean"] = "first"

    @model_validator(mode="after")
    def _has_a_width(self) -> Self:
        if (self.hidden is None) == (self.head_width is None):
            raise ValueError("give either hidden, the width, or head_width, that of a head, but not both")
        return self

    @property
    def wide(self) -> int:
        """The width of the tokens."""
        return self.hidden if self.hidden is not None else self.heads * (self.head_width or 0)


IMPORT: Literal["import"] = "import"
FIELDS = {IMPORT: "factory", "version": "revision", "source": "source"}
"""The keys beside the arguments in a spec, and the fields that hold their values."""


class Imported(Value):
    """Your own network, in a spec `{import: package.module:function, ARGUMENT: ..., version: ...}`.

    `factory` is that function or class, called with the keyword `arguments`; it returns a torch.nn.Module, whose inputs are the
    raw data, by name. `source` is the sha256 of its code. `revision` (`version` in a spec) marks changes that the code does not
    show, such as those of a file that it reads: with another revision, a network has another key.
    """

    version: ClassVar[int] = 2
    family: Literal["import"] = IMPORT
    factory: Import
    arguments: dict[str, JsonValue] = {}
    revision: str | Whole | Annotated[float, Field(ge=-1e9, le=1e9)] | None = None
    source: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, raw: object) -> object:
        if not isinstance(raw, dict) or IMPORT not in raw:
            return raw
        if not _is_import(raw[IMPORT]):
            raise wrong(raw[IMPORT], NO_IMPORT.format(raw[IMPORT]), (IMPORT,))
        arguments = {name: value for name, value in raw.items() if name not in FIELDS}
        for name, value in arguments.items():
            _check_argument(name, value)
        return {field: raw[name] for name, field in FIELDS.items() if name in raw} | {"arguments": arguments}

    @model_serializer
    def _as_mapping(self) -> dict[str, JsonValue]:
        fields = {name: getattr(self, field) for name, field in FIELDS.items()}
        return {IMPORT: self.factory} | self.arguments | {name: value for name, value in fields.items() if value is not None}

    def identity(self) -> dict[str, object]:
        """What identifies a module that was given from Python: not the file in which it is stored."""
        found = super().identity()
        if self.factory == KEPT:
            found["arguments"] = {name: value for name, value in self.arguments.items() if name != "path"}
        return found


def _check_argument(name: str, value: object) -> None:
    """Raises pydantic's ValidationError for a mapping that was meant as a domain. Other mappings are arguments."""
    if not isinstance(value, dict) or len(value) != 1:
        return
    ((key, inner),) = value.items()
    near = difflib.get_close_matches(str(key), KINDS, n=1, cutoff=0.5) if isinstance(inner, list | tuple) else []
    if key in KINDS:
        raise wrong(value, f"{shown(value)} is a domain, but only student is searched; use a single value", (name,))
    if near:
        raise wrong(value, f"{key!r} is not a known domain; did you mean {near[0]!r}?", (name,))


def _numbers(value: JsonValue) -> Iterator[int | float]:
    """All numbers within a value."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)


Families = MLP | ConvNet | ResNet | TimmResNet | ViT | ConvNeXt | MobileNet | Timm | Transformers | Imported
OWN = "own"
"""The tag of an Imported, which the key `import` tells from a family."""


def _tag(value: object) -> str | None:
    if isinstance(value, dict):
        return OWN if IMPORT in value else None if "family" not in value else str(value["family"])
    return OWN if isinstance(value, Imported) else getattr(value, "family", None)


Architecture = Annotated[
    Annotated[MLP, Tag("mlp")]
    | Annotated[ConvNet, Tag("convnet")]
    | Annotated[ResNet, Tag("resnet")]
    | Annotated[TimmResNet, Tag("timm_resnet")]
    | Annotated[ViT, Tag("vit")]
    | Annotated[ConvNeXt, Tag("convnext")]
    | Annotated[MobileNet, Tag("mobilenet")]
    | Annotated[Timm, Tag("timm")]
    | Annotated[Transformers, Tag("transformers")]
    | Annotated[Imported, Tag(OWN)],
    Discriminator(_tag),
]
"""What the tool can train, including your own module."""
ARCHITECTURE: TypeAdapter[Families] = TypeAdapter(Architecture)


class Normalize(Value):
    """What an existing network expects: (x / scale - mean) / std by channel. `scale`: by default 255 for bytes, else 1."""

    mean: Annotated[tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...], AsTuple]
    std: Annotated[tuple[Scale, ...], AsTuple]
    scale: Scale | None = None


UNSAID = ("family", "settings", "positions")
"""What `describe` leaves out: it says the family, and all transformers of a study share the rest."""


def describe(architecture: Value) -> str:
    """One short line, such as `resnet depth=2 width=32`: optional fields only if they are not the default.

    For your own network, the name and the arguments: `mymodels:Small hidden=8`; for a module given from Python, its class.
    """
    if isinstance(architecture, Imported):
        if architecture.factory == KEPT:
            return str(architecture.arguments["name"])
        given = architecture.arguments | ({} if architecture.revision is None else {"version": architecture.revision})
        return " ".join([architecture.factory, *(f"{name}={value}" for name, value in sorted(given.items()))])
    known = type(architecture).model_fields
    fields = {name: value for name, value in architecture if name not in UNSAID and value is not None}
    words = [f"{name}={value}" for name, value in fields.items() if known[name].is_required() or value != known[name].default]
    return " ".join([getattr(architecture, "family", "?"), *words])
