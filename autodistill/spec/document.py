"""The spec: everything that a study is made from, as a frozen value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    model_validator,
)

from .architectures import ARCHITECTURE, Architecture, Timm, describe
from .domains import RANGES, Choice, Int, Params, Uniform, fill, searchable, wrong
from .losses import LOSS, CrossEntropy, LossSpec
from .optional import with_optionals
from .outside import Normalize
from .paths import FilePath
from .recipe import RECIPE, Recipe
from .search import Search
from .task import Import, TaskSpec
from .value import AsTuple, Seed, Value

INIT: TypeAdapter[Any] = TypeAdapter(Literal["random", "from_teacher"])
GUIDANCE: TypeAdapter[Any] = TypeAdapter(Literal["serial", "dense"])


def plain(tree: Any) -> Any:
    """A tree as YAML would have it, the inverse of `domains.parse`."""
    if isinstance(tree, Choice):
        return {"choice": [plain(option) for option in tree.options]}
    if isinstance(tree, Int | Uniform):
        kind = next(name for name, one in RANGES.items() if one is type(tree))
        return {kind: [tree.low, tree.high]}
    if isinstance(tree, dict):
        return {key: plain(item) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return [plain(item) for item in tree]
    return tree


def _tree(adapter: Any, unfold: Callable[[Any], Any] = lambda raw: raw) -> Any:
    return Annotated[Any, PlainValidator(lambda raw: searchable(unfold(raw), adapter)), PlainSerializer(plain)]


class Teacher(Value):
    """Trained from labels by `recipe`, or a network from outside, or one of these and then trained on by `recipe`.

    From outside: a `checkpoint` (.safetensors, .pth) with its architecture, or the folder of a stage of another study;
    a `pretrained` timm model; your own `import`. `ensemble` is several teachers at once: students learn from the mean
    over them, and sizes are compared with the first.
    """

    architecture: Architecture | None = None
    recipe: Recipe | None = None
    loss: LossSpec = LossSpec(ce=CrossEntropy())
    checkpoint: FilePath | None = None
    pretrained: bool = False
    normalize: Normalize | None = None
    factory: Import | None = Field(default=None, alias="import")
    arguments: dict[str, JsonValue] | None = None
    ensemble: Annotated[tuple[Teacher, ...], AsTuple] | None = None

    def members(self) -> tuple[Teacher, ...]:
        return self.ensemble or (self,)

    @model_validator(mode="after")
    def _is_of_one_form(self) -> Self:
        given = self.model_dump(exclude_none=True, exclude_defaults=True, by_alias=True).keys()
        forms: tuple[tuple[set[str], set[str]], ...] = (
            ({"architecture", "recipe"}, {"loss", "checkpoint", "normalize"}),
            ({"architecture", "recipe", "pretrained"}, {"loss", "normalize"}),
            ({"checkpoint"}, {"architecture", "normalize"}),
            ({"architecture", "pretrained"}, {"normalize"}),
            ({"import"}, {"arguments"}),
            ({"ensemble"}, set()),
        )
        if not any(form <= given <= form | extra for form, extra in forms):
            raise ValueError(
                f"has {', '.join(sorted(given)) or 'nothing'}; give architecture and recipe (it is trained), "
                "checkpoint and architecture, architecture and pretrained, import, or an ensemble of these"
            )
        if self.pretrained and not isinstance(self.architecture, Timm):
            raise ValueError("pretrained is of {family: timm, name: ...}, as timm names its models; else give a checkpoint")
        if self.loss.needs_teachers():
            raise ValueError("the teacher has no teacher of its own: its loss can only have ce")
        if self.ensemble is not None and len(self.ensemble) < 2:
            raise _wrong("ensemble", None, f"has {len(self.ensemble)} teachers; give two or more, or one without ensemble")
        if any(member.ensemble for member in self.ensemble or ()):
            raise ValueError("an ensemble within an ensemble; list all teachers in one")
        return self


class Student(Value):
    """What is searched: trees whose leaves may be domains.

    `init: from_teacher` begins with the weights of the network above it: every k-th layer, the leading slices.
    """

    architecture: _tree(ARCHITECTURE)  # type: ignore[valid-type]
    loss: _tree(LOSS, with_optionals)  # type: ignore[valid-type]
    recipe: _tree(RECIPE)  # type: ignore[valid-type]
    init: _tree(INIT) = "random"  # type: ignore[valid-type]

    def tree(self) -> dict[str, Any]:
        return {"architecture": self.architecture, "loss": self.loss, "recipe": self.recipe, "init": self.init}

    def epochs(self, params: Params) -> int:
        """How long the student with these parameters is trained."""
        return int(fill(self.recipe, params, "recipe")["epochs"])


class Assistants(Value):
    """How many assistants stand between teacher and student, and the sizes they come in.

    `guidance`, which may be searched: `serial` teaches each network by the one above it, `dense` by all above it.
    """

    at_most: Annotated[int, Field(ge=0, le=100)]
    at_least: Annotated[int, Field(ge=0, le=100)] = 0
    ladder: Annotated[tuple[Architecture, ...], AsTuple] = ()
    loss: LossSpec | None = None
    recipe: Recipe | None = None
    init: Literal["random", "from_teacher"] = "random"
    guidance: _tree(GUIDANCE) = "serial"  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        sizes = len(self.ladder)
        if self.at_most > sizes:
            raise _wrong("at_most", self.at_most, f"{self.at_most} is more than the {sizes} sizes of the ladder; add sizes")
        if self.at_least > self.at_most:
            raise _wrong("at_least", self.at_least, f"{self.at_least} is above at_most, which is {self.at_most}; lower it")
        for position, one in enumerate(self.ladder):
            if one in self.ladder[:position]:
                message = f"{describe(one)} is ladder[{self.ladder.index(one)}] already; keep one of them"
                raise wrong(one, message, ("ladder", position))
        for name in ("loss", "recipe"):
            if self.at_most and getattr(self, name) is None:
                raise _wrong(name, None, "is missing; assistants have their own")
        if self.loss is not None and not self.loss.needs_teachers():
            raise _wrong("loss", None, "has no term that learns from a teacher; add kd: {weight: 0.9}")
        return self


def _wrong(name: str, value: Any, message: str) -> Exception:
    return wrong(value, message, (name,))


def _bytes(value: Any) -> Any:
    return int(TypeAdapter(ByteSize).validate_python(value)) if isinstance(value, str) else value


def _gpus(value: float) -> float:
    """Ray accepts a fraction of one GPU that is not too small, or whole GPUs."""
    if 0 < value < 0.01 or value > 1 and value != int(value):
        raise ValueError(f"{value:g} is wrong: give 0, a fraction from 0.01 to 1, or a whole number of GPUs")
    return value


class Prices(Value):
    """Of the resources of one trial: money for an hour in an ISO 4217 `currency`, and the watts that they draw."""

    per_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    watts: Annotated[float, Field(ge=0, le=1e9)] | None = None


class Resources(Value):
    """Of one trial: `gpus` may be a fraction; a stage runs on CUDA where gpus is above 0. `auto`: 1 where CUDA is.

    `cache_limit` is the most that teachers' outputs may take on the disk: bytes, or a text such as 20 GB. `prices` are for
    the report: what the search has cost.
    """

    cpus: Annotated[float, Field(ge=0.1, le=1e6)] = 1.0
    gpus: Annotated[float, Field(ge=0, le=10_000), AfterValidator(_gpus)] | Literal["auto"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    cache_limit: Annotated[int, Field(ge=1, le=10**18), BeforeValidator(_bytes)] = 20_000_000_000
    prices: Prices | None = None


class Spec(Value):
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    seed: Seed = 0
    task: TaskSpec
    teacher: Teacher
    student: Student
    assistants: Assistants = Assistants(at_most=0)
    search: Search
    resources: Resources = Resources()

    def document(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars: what spec.yaml holds, and what `parse` takes back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
