"""The spec: everything that defines a study, as a frozen value."""

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
    ValidationError,
    model_validator,
)

from .architectures import ARCHITECTURE, Architecture, Import, Normalize, Timm, describe
from .domains import Params, Tree, fill, plain
from .errors import wrong
from .kinds import ABOUT
from .log import Log, spelled_out
from .losses import LOSS, CrossEntropy, LossSpec, TaskLoss
from .metric import OwnMetric
from .pretraining import PRETRAINING, Pretraining
from .recipe import RECIPE, Recipe
from .search import Search
from .shorthand import optional_phase, with_optionals
from .task import TaskSpec
from .trees import searchable
from .value import CURRENCY, NAME, AsTuple, FilePath, Json, Seed, Value


class InitLayers(Value):
    """`init: {layers: [0, 2, 5]}`: as from_teacher, but a transformer takes these layers instead of every k-th."""

    layers: Annotated[tuple[Annotated[int, Field(ge=0, le=1000)], ...], AsTuple, Field(min_length=1)]


INIT: TypeAdapter[str | InitLayers] = TypeAdapter(Literal["random", "from_teacher"] | InitLayers)
GUIDANCE: TypeAdapter[str] = TypeAdapter(Literal["serial", "dense"])


def _searched(adapter: TypeAdapter[Any], unfold: Callable[[object], object] = lambda raw: raw) -> PlainValidator:
    return PlainValidator(lambda raw: searchable(unfold(raw), adapter))


AS_YAML = PlainSerializer(plain)
ReferenceName = Literal["hist_gradient_boosting", "tf_idf_linear"]


class Teacher(Value):
    """Trained from labels with `recipe`, or an existing network, which may be fine-tuned with `recipe`.

    An existing network is a `checkpoint` (.safetensors, .pth) with its architecture, or the folder of a stage of another
    study; a `pretrained` timm model; or your own `import`, which cannot be fine-tuned. `ensemble` lists several teachers:
    students learn from their mean, and sizes are compared with the first one.
    """

    architecture: Architecture | None = None
    recipe: Recipe | None = None
    loss: TaskLoss = LossSpec(ce=CrossEntropy())
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
                f"has {', '.join(sorted(given)) or 'nothing'}; use architecture and recipe (to train it), "
                "checkpoint and architecture, architecture and pretrained, import, or an ensemble of these"
            )
        if self.pretrained and not isinstance(self.architecture, Timm):
            raise ValueError("pretrained needs {family: timm, name: ...} with a name from timm; otherwise use checkpoint")
        if self.loss.needs_teachers():
            raise ValueError("the teacher has no teacher of its own, so its loss can only have ce, or mse for regression")
        if self.ensemble is not None and len(self.ensemble) < 2:
            raise _wrong(
                "ensemble", None, f"needs two or more teachers, not {len(self.ensemble)}; add some, or remove ensemble"
            )
        if any(member.ensemble for member in self.ensemble or ()):
            raise ValueError("ensembles cannot be nested; list all teachers in one ensemble")
        return self


class Student(Value):
    """What is searched: trees whose leaves may be domains. The default loss suits the kind of task.

    `init: from_teacher` starts from the weights of the network above it: every k-th layer, the leading slice of each. For a
    transformer, `{layers: [0, 2, 5]}` names the layers. With `pretrain`, it first learns from texts alone.
    """

    architecture: Annotated[Tree, _searched(ARCHITECTURE), AS_YAML]
    loss: Annotated[Tree, _searched(LOSS, with_optionals), AS_YAML] = ABOUT["classification"].loss
    recipe: Annotated[Tree, _searched(RECIPE), AS_YAML]
    init: Annotated[Tree, _searched(INIT), AS_YAML] = "random"
    pretrain: Annotated[Tree, _searched(PRETRAINING, optional_phase), AS_YAML] = None

    def tree(self) -> dict[str, Tree]:
        return {name: getattr(self, name) for name in ("architecture", "loss", "recipe", "init", "pretrain")}

    def epochs(self, params: Params) -> int:
        """For how many epochs the student with these parameters is trained."""
        return int(fill(self.recipe, params, "recipe")["epochs"])


class Assistants(Value):
    """How many assistants there are between teacher and student, and their possible sizes.

    `guidance`, which may be searched: with `serial`, each network learns from the one above it; with `dense`, from all.
    """

    at_most: Annotated[int, Field(ge=0, le=100)]
    at_least: Annotated[int, Field(ge=0, le=100)] = 0
    ladder: Annotated[tuple[Architecture, ...], AsTuple] = ()
    loss: TaskLoss | None = None
    recipe: Recipe | None = None
    pretrain: Pretraining | None = None
    init: Literal["random", "from_teacher"] = "random"
    guidance: Annotated[Tree, _searched(GUIDANCE), AS_YAML] = "serial"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        sizes = len(self.ladder)
        if self.at_most > sizes:
            raise _wrong("at_most", self.at_most, f"{self.at_most} is more than the {sizes} sizes of the ladder; add sizes")
        if self.at_least > self.at_most:
            raise _wrong("at_least", self.at_least, f"{self.at_least} is above at_most, which is {self.at_most}; lower it")
        for position, one in enumerate(self.ladder):
            if one in self.ladder[:position]:
                message = f"{describe(one)} is already ladder[{self.ladder.index(one)}]; keep only one"
                raise wrong(one, message, ("ladder", position))
        for name in ("loss", "recipe"):
            if self.at_most and getattr(self, name) is None:
                raise _wrong(name, None, f"is missing; give assistants their own {name}")
        if self.loss is not None and not self.loss.needs_teachers():
            raise _wrong("loss", None, "has no term that learns from a teacher; add kd: {weight: 0.9}")
        return self


def _wrong(name: str, value: object, message: str) -> Exception:
    return wrong(value, message, (name,))


def _bytes(value: object) -> object:
    return int(TypeAdapter(ByteSize).validate_python(value)) if isinstance(value, str) else value


def _gpus(value: float) -> float:
    """Ray accepts a fraction of one GPU that is not too small, or whole GPUs."""
    if 0 < value < 0.01 or value > 1 and value != int(value):
        raise ValueError(f"{value:g} is invalid: use 0, a fraction from 0.01 to 1, or a whole number of GPUs")
    return value


class Prices(Value):
    """Prices of one trial's resources: the cost per hour in an ISO 4217 `currency`, and the power draw in watts."""

    per_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    currency: Annotated[str, Field(pattern=CURRENCY)] = "EUR"
    watts: Annotated[float, Field(ge=0, le=1e9)] | None = None


class Resources(Value):
    """Resources of one trial: `gpus` may be a fraction; a stage runs on CUDA if it is above 0. `auto`: 1 if there is CUDA.

    `cache_limit` is the most disk space that cached teacher logits may take: bytes, or a string such as 20 GB. `prices`
    are used in the report, to tell what the search cost.
    """

    cpus: Annotated[float, Field(ge=0.1, le=1e6)] = 1.0
    gpus: Annotated[float, Field(ge=0, le=10_000), AfterValidator(_gpus)] | Literal["auto"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    cache_limit: Annotated[int, Field(ge=1, le=10**18), BeforeValidator(_bytes)] = 20_000_000_000
    prices: Prices | None = None


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise wrong(name, f"{name} is already listed; remove it", (number,))
    return names


class Spec(Value):
    """`modules` lists folders with modules of your own: by default that of the spec's file.

    `baselines` are reference models of other libraries, fitted on the same training samples and shown beside the students. They
    change nothing about a study, so they may be added to a finished one. By default, texts have tf_idf_linear.
    """

    study: Annotated[str, Field(pattern=NAME)]
    seed: Seed = 0
    task: TaskSpec
    teacher: Teacher
    student: Student
    assistants: Assistants = Assistants(at_most=0)
    search: Search
    resources: Resources = Resources()
    baselines: Annotated[tuple[ReferenceName, ...], AsTuple, AfterValidator(_each_once)] | None = None
    modules: Annotated[tuple[FilePath, ...], AsTuple] = ()
    log: Annotated[Log, BeforeValidator(spelled_out)] = Log()

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, raw: object) -> object:
        """The metric of the task is the first objective of the search, unless objectives are given."""
        task, search = (raw.get(name) if isinstance(raw, dict) else None for name in ("task", "search"))
        if not isinstance(task, dict) or not isinstance(search, dict) or not isinstance(task.get("metric"), str | dict):
            return raw
        given, metric, old = search.get("objectives"), task["metric"], None
        if isinstance(metric, dict):
            try:
                own = OwnMetric.model_validate(metric, by_alias=True, by_name=False)
            except ValidationError:
                return raw  # it is reported at task.metric
            metric, old = own.text(), own.title
        if isinstance(given, list) and given[:1] == [old]:
            search = {**search, "objectives": [metric, *given[1:]]}
        return {**raw, "search": {"objectives": [metric, "params"], **search}}  # type: ignore[dict-item]

    @model_validator(mode="after")
    def _has_one_metric(self) -> Self:
        first, metric = self.search.objectives[0], self.task.measure
        if first != metric:
            shown = metric if isinstance(self.task.metric, str) else self.task.metric.title
            message = f"the first objective is {first}, but task.metric is {shown}; make them equal"
            raise wrong(self.search.objectives, message, ("search", "objectives"))
        return self

    @property
    def references(self) -> tuple[ReferenceName, ...]:
        """The reference models. Unless the spec says otherwise, texts have a bag of words, because it is hard to beat."""
        if self.baselines is not None:
            return self.baselines
        return ("tf_idf_linear",) if self.task.text is not None else ()

    def document(self) -> Json:
        """Plain dicts, lists and scalars: what spec.yaml holds, and what `parse` takes back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
