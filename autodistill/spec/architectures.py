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
    GetJsonSchemaHandler,
    JsonValue,
    Tag,
    TypeAdapter,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from .domains import KINDS, Whole
from .errors import shown, wrong
from .value import AsTuple, Json, Value, matching

Depth = Annotated[int, Field(ge=1, le=1000)]
Width = Annotated[int, Field(ge=1, le=65536)]
Stages = Annotated[int, Field(ge=2, le=4)]
Side = Annotated[int, Field(ge=1, le=1024)]
Scale = Annotated[float, Field(ge=1e-9, le=1e9)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Pooling = Literal["first", "mean"]
MOST = 65536
"""The largest number allowed in the arguments of a timm model: no depth, width or side needs more."""


NO_IMPORT = "{!r} does not have the form package.module:function"
IMPORTS = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


def _is_import(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(IMPORTS, value) is not None


def _check_import(value: str) -> str:
    if not _is_import(value):
        raise ValueError(NO_IMPORT.format(value))
    return value


Import = Annotated[str, AfterValidator(_check_import), matching(f"^{IMPORTS}$")]


KEPT = "autodistill.models.kept:module"
"""The function that loads a module that was given from Python, from the file in which it is stored."""


class MLP(Value):
    """Hidden layers with ReLU on the flattened sample."""

    version: ClassVar[int] = 1
    family: Literal["mlp"] = "mlp"
    """Fully connected layers."""
    depth: Depth
    """Number of hidden layers."""
    width: Width
    """Units of each hidden layer."""
    embedding: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Largest width of the embeddings of a table's categories; by default, only the number of categories limits it."""


class ConvNet(Value):
    """The plain stacks of Mirzadeh et al., AAAI 2020: convolutions in groups that double the width.

    Their networks for CIFAR-10: (depth 2, width 16), (4, 16), (6, 16), (8, 16, hidden 64), (10, 32, hidden 128).
    """

    version: ClassVar[int] = 1
    family: Literal["convnet"] = "convnet"
    """A plain stack of convolutions."""
    depth: Depth
    """Number of convolutions."""
    width: Width
    """Channels of the first group of convolutions."""
    hidden: Annotated[int, Field(ge=0, le=65536)] = 0
    """Units of the fully connected layer before the classifier; 0 means none."""


class ResNet(Value):
    """He et al., CVPR 2016, section 4.2 (the CIFAR form): three stages, 6 * depth + 2 layers."""

    version: ClassVar[int] = 1
    family: Literal["resnet"] = "resnet"
    """A residual network for small images."""
    depth: Depth
    """Basic blocks in each of the three stages."""
    width: Width
    """Channels of the first stage; the others have 2 and 4 times as many."""


class TimmResNet(Value):
    """He et al., CVPR 2016, table 1, built from timm's basic blocks. (depth 2, width 64, stem imagenet) is ResNet-18."""

    version: ClassVar[int] = 1
    family: Literal["timm_resnet"] = "timm_resnet"
    """A residual network from timm's basic blocks."""
    depth: Depth
    """Basic blocks in each stage."""
    width: Width
    """Channels of the first stage; each further stage doubles them."""
    stages: Stages = 4
    """Number of stages."""
    stem: Literal["imagenet", "small"] = "small"
    """First layers: imagenet is a 7x7 convolution and a pooling layer, which reduce each side fourfold; small is one 3x3
    convolution, which does not.
    """


class ViT(Value):
    """Dosovitskiy et al., ICLR 2021, with a class token. (depth 12, heads 3, head_width 64, patch_size 16) is DeiT-tiny."""

    version: ClassVar[int] = 1
    family: Literal["vit"] = "vit"
    """A vision transformer."""
    depth: Depth
    """Number of blocks."""
    heads: Annotated[int, Field(ge=1, le=1024)]
    """Attention heads of each block."""
    head_width: Annotated[int, Field(ge=1, le=1024)] = 16
    """Width of each head; the width of the tokens is heads times head_width."""
    patch_size: Side = 4
    """Side of a square patch in pixels."""
    mlp_ratio: Annotated[float, Field(ge=0.1, le=64)] = 4.0
    """Width between the two linear layers of a block, as a multiple of the width of the tokens."""


class ConvNeXt(Value):
    """Liu et al., CVPR 2022: a patch stem and stages. (depth 3, width 96, stages 4, patch_size 4) is ConvNeXt-T."""

    version: ClassVar[int] = 1
    family: Literal["convnext"] = "convnext"
    """A ConvNeXt network."""
    depth: Depth
    """Blocks of a stage; the third stage has three times as many."""
    width: Width
    """Channels of the first stage; each further stage doubles them."""
    stages: Stages = 3
    """Number of stages."""
    patch_size: Side = 2
    """Side of a square patch in pixels."""


class MobileNet(Value):
    """Sandler et al., CVPR 2018 (MobileNetV2), table 2, for small images.

    The stem has stride 1 and 2 * width channels; the published first five stages follow, width times 1, 1.5, 2, 4, 6
    with strides 1, 2, 2, 2, 1, the first without expansion; then the last 1x1 convolution, four times as wide.
    """

    version: ClassVar[int] = 1
    family: Literal["mobilenet"] = "mobilenet"
    """A MobileNetV2 for small images."""
    depth: Depth
    """Inverted residuals in each stage."""
    width: Width
    """Channels of the first stage."""
    expansion: Annotated[int, Field(ge=1, le=64)] = 4
    """How many times wider an inverted residual is inside."""


class Timm(Value):
    """A timm model by name."""

    version: ClassVar[int] = 1
    family: Literal["timm"] = "timm"
    """Any model of timm."""
    name: str
    """Name of the model in timm."""
    arguments: dict[str, JsonValue] = {}
    """Keyword arguments of timm's create_model."""

    @field_validator("arguments")
    @classmethod
    def _can_be_built(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        large = next((number for number in _numbers(arguments) if abs(number) > MOST), None)
        if large is not None:
            value = str(large) if isinstance(large, int) else f"{large:.60g}"
            raise ValueError(f"{value} is out of range; use numbers from {-MOST} to {MOST}")
        return arguments


class Transformers(Value):
    """A transformer that reads token ids, built by the package transformers."""

    version: ClassVar[int] = 1
    family: Literal["transformers"] = "transformers"
    """An encoder of the package transformers, which reads texts."""
    layers: Depth
    """Number of layers."""
    hidden: Width | None = None
    """Width of the tokens; give either this or head_width."""
    heads: Annotated[int, Field(ge=1, le=1024)]
    """Attention heads of each layer."""
    head_width: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Width of each head, so that the width of the tokens is heads times head_width."""
    intermediate: Width | None = None
    """Width between the two linear layers of a block; by default four times the width of the tokens."""
    vocabulary: Literal["full", "used"] | Annotated[int, Field(ge=2, le=10_000_000)] = "full"
    """Token ids that have an embedding: all (full), those of the training texts (used), or this many of the most frequent; the
    others are read as the unknown token.
    """
    embedding: Width | None = None
    """Width of the embeddings, which a linear layer widens (Lan et al., ALBERT, ICLR 2020); by default that of the tokens."""
    model: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = "bert"
    """The model_type of transformers; bert with an embedding is built as electra, which is bert with it."""
    positions: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Number of tokens of the longest text that it reads; by default task.max_length."""
    dropout: Dropout | None = None
    """Share of values that are dropped, everywhere; by default settings say where, and elsewhere it is 0."""
    settings: dict[str, JsonValue] = {}
    """Other keys of the config.json of the model."""
    pooling: Pooling = "first"
    """What the classifier reads: the first token, or the mean of all tokens, as checkpoints of sentence-transformers need it.
    """

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
IS_DOMAIN: Json = {"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": {"enum": [*KINDS]}}
"""The JSON schema of a mapping that would be a domain where things are searched."""
REVISION = (
    "Change it when something changes that the code does not show, such as a file that it reads: another version is another "
    "network."
)


class Imported(Value):
    """Your own network, in a spec `{import: package.module:function, ARGUMENT: ..., version: ...}`.

    The function or class is called with the arguments; it returns a torch.nn.Module, whose inputs are the raw data, by name.
    """

    version: ClassVar[int] = 2
    family: Literal["import"] = IMPORT
    factory: Import
    arguments: dict[str, JsonValue] = {}
    revision: str | Whole | Annotated[float, Field(ge=-1e9, le=1e9)] | None = None
    source: str | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        """That of the mapping, whose further keys are arguments: anything but a domain."""
        texts = {"type": ["string", "null"]}
        known = {
            IMPORT: {
                "type": "string",
                "pattern": f"^{IMPORTS}$",
                "description": "Function or class, as package.module:function.",
            },
            "version": texts | {"type": ["string", "number", "null"], "description": REVISION},
            "source": texts | {"description": "The sha256 of the code, filled in when a study begins."},
        }
        return {
            "type": "object",
            "title": "Your own network",
            "description": cls.__doc__,
            "properties": known,
            "required": [IMPORT],
            "additionalProperties": {"not": IS_DOMAIN},
        }

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
    """What an existing network expects: (x / scale - mean) / std by channel."""

    mean: Annotated[tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...], AsTuple]
    """Mean of each channel after the division by scale."""
    std: Annotated[tuple[Scale, ...], AsTuple]
    """Standard deviation of each channel after the division by scale."""
    scale: Scale | None = None
    """Divisor of the values; by default 255 for bytes, otherwise 1."""


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
