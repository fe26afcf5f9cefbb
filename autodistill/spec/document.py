"""The spec: everything that defines a study, as a frozen value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    ConfigDict,
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
from .log import Log, Tracker, spelled_out
from .losses import LOSS, OF_TEACHERS, CrossEntropy, LossSpec, TaskLoss, lacking
from .metric import OwnMetric
from .pretraining import PRETRAINING, Pretraining
from .recipe import RECIPE, Recipe
from .search import Search
from .shorthand import optional_phase, with_optionals
from .task import TaskSpec
from .trees import searchable
from .value import CURRENCY, NAME, AsTuple, FilePath, Json, Seed, Value, having


class InitLayers(Value):
    """`init: {layers: [0, 2, 5]}`: as from_teacher, but a transformer takes these layers instead of every k-th."""

    layers: Annotated[tuple[Annotated[int, Field(ge=0, le=1000)], ...], AsTuple, Field(min_length=1)]
    """Positions of the layers of the network above that the student begins with, from 0."""


INIT: TypeAdapter[str | InitLayers] = TypeAdapter(Literal["random", "from_teacher"] | InitLayers)
GUIDANCE: TypeAdapter[str] = TypeAdapter(Literal["serial", "dense"])


def _searched(adapter: TypeAdapter[Any], unfold: Callable[[object], object] = lambda raw: raw) -> PlainValidator:
    return PlainValidator(lambda raw: searchable(unfold(raw), adapter))


AS_YAML = PlainSerializer(plain)
ReferenceName = Literal["hist_gradient_boosting", "tf_idf_linear"]


FORMS: tuple[tuple[set[str], set[str]], ...] = (
    ({"architecture", "recipe"}, {"loss", "checkpoint", "normalize"}),
    ({"architecture", "recipe", "pretrained"}, {"loss", "normalize"}),
    ({"checkpoint"}, {"architecture", "normalize"}),
    ({"architecture", "pretrained"}, {"normalize"}),
    ({"import"}, {"arguments"}),
    ({"ensemble"}, set()),
)
"""The keys that a teacher has, and those that it may have beside them."""


def _is_of_a_form(schema: Json) -> None:
    """The FORMS, and folders of transformers, which hold the architecture."""
    absent = {name: {"type": "null"} for name in schema["properties"] if name != "loss"} | {"pretrained": {"const": False}}
    for form, extra in (*FORMS, ({"checkpoint", "recipe"}, set())):
        own = having(*sorted(form))
        rest = {name: one for name, one in absent.items() if name not in form | extra}
        schema.setdefault("anyOf", []).append(own | {"properties": own["properties"] | rest})
    folder = {"architecture": {"required": ["checkpoint"]}}
    rest = {name: one for name, one in absent.items() if name not in ("architecture", "recipe", "normalize")}
    schema["anyOf"].append({"required": ["architecture"], "properties": folder | rest})


class Teacher(Value):
    """Trained from labels with `recipe`, or an existing network, which may be fine-tuned with `recipe`.

    An existing network is a `checkpoint` with its architecture, or the folder of a stage of another study; a `pretrained` timm
    model; or your own `import`. Several of these are an `ensemble`.
    """

    model_config = ConfigDict(json_schema_extra=_is_of_a_form)
    architecture: Architecture | None = None
    """The network of the teacher."""
    recipe: Recipe | None = None
    """How the teacher is trained or fine-tuned; without it, the network is used as it is."""
    loss: Annotated[TaskLoss, Field(json_schema_extra=lacking("mlm", *OF_TEACHERS))] = LossSpec(ce=CrossEntropy())
    """What the teacher learns from: ce, or mse for regression."""
    checkpoint: FilePath | None = None
    """File of its weights (.safetensors, .pth), the folder of a stage of another study, or a folder of transformers."""
    pretrained: bool = False
    """Whether a model of timm begins with timm's weights."""
    normalize: Normalize | None = None
    """What a network from a file expects of its inputs; by default what this tool does."""
    factory: Import | None = Field(default=None, alias="import")
    """A function that returns your network with its weights, as package.module:function; it cannot be fine-tuned."""
    arguments: dict[str, JsonValue] | None = None
    """Keyword arguments of the function."""
    ensemble: Annotated[tuple[Teacher, ...], AsTuple, Field(json_schema_extra={"minItems": 2})] | None = None
    """Several teachers: students learn from their mean, and sizes are compared with the first one."""

    def members(self) -> tuple[Teacher, ...]:
        return self.ensemble or (self,)

    @model_validator(mode="after")
    def _is_of_one_form(self) -> Self:
        given = self.model_dump(exclude_none=True, exclude_defaults=True, by_alias=True).keys()
        if not any(form <= given <= form | extra for form, extra in FORMS):
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
    """What is searched: trees whose leaves may be domains."""

    architecture: Annotated[Tree, _searched(ARCHITECTURE), AS_YAML]
    """The network of the student, or `like: teacher`."""
    loss: Annotated[Tree, _searched(LOSS, with_optionals), AS_YAML] = ABOUT["classification"].loss
    """What the student learns from; the default is kd and the labels, and depends on the kind of the task."""
    recipe: Annotated[Tree, _searched(RECIPE), AS_YAML]
    """How the student is trained."""
    init: Annotated[Tree, _searched(INIT), AS_YAML] = "random"
    """Initial weights: random, or those of the network above it (every k-th layer, the leading slice of each); for a
    transformer, `layers: [0, 2, 5]` names the layers.
    """
    pretrain: Annotated[Tree, _searched(PRETRAINING, optional_phase), AS_YAML] = None
    """A first phase in which the student learns from texts alone; by default there is none."""

    def tree(self) -> dict[str, Tree]:
        return {name: getattr(self, name) for name in ("architecture", "loss", "recipe", "init", "pretrain")}

    def epochs(self, params: Params) -> int:
        """For how many epochs the student with these parameters is trained."""
        return int(fill(self.recipe, params, "recipe")["epochs"])


NEEDS_A_TRAINING: Json = {
    "if": {"properties": {"at_most": {"minimum": 1}}},
    "then": having("ladder", "loss", "recipe"),
}


class Assistants(Value):
    """How many assistants there are between teacher and student, and their possible sizes."""

    model_config = ConfigDict(json_schema_extra=NEEDS_A_TRAINING)
    at_most: Annotated[int, Field(ge=0, le=100)]
    """Largest number of assistants between teacher and student."""
    at_least: Annotated[int, Field(ge=0, le=100)] = 0
    """Smallest number of assistants between teacher and student."""
    ladder: Annotated[tuple[Architecture, ...], AsTuple, Field(json_schema_extra={"uniqueItems": True})] = ()
    """Possible sizes of an assistant."""
    loss: Annotated[TaskLoss, Field(json_schema_extra={"anyOf": [{"required": [name]} for name in OF_TEACHERS]})] | None = None
    """What assistants learn from; needed if there are any."""
    recipe: Recipe | None = None
    """How assistants are trained; needed if there are any."""
    pretrain: Pretraining | None = None
    """A first phase in which assistants learn from texts alone; by default there is none."""
    init: Literal["random", "from_teacher"] = "random"
    """Initial weights: random, or those of the network above it."""
    guidance: Annotated[Tree, _searched(GUIDANCE), AS_YAML] = "serial"
    """Whether a network learns from the one above it (serial), or from all (dense)."""

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


def _space() -> str:
    """A pattern of the texts that pydantic reads as a number of bytes."""
    units = "|".join("".join(f"[{c}{c.upper()}]" for c in unit) for unit in sorted(ByteSize.byte_sizes, key=len, reverse=True))
    number = r"^\s*\d*\.?\d+"
    return rf"{number}(?!\d|\s*[A-Za-z])|{number}\s*({units})(?!\w)"


def _bytes(value: object) -> object:
    return int(TypeAdapter(ByteSize).validate_python(value)) if isinstance(value, str) else value


def _gpus(value: float) -> float:
    """Ray accepts a fraction of one GPU that is not too small, or whole GPUs."""
    if 0 < value < 0.01 or value > 1 and value != int(value):
        raise ValueError(f"{value:g} is invalid: use 0, a fraction from 0.01 to 1, or a whole number of GPUs")
    return value


Space = Annotated[int, Field(ge=1, le=10**18)]
SpaceText = Annotated[str, Field(pattern=_space())]
SOME_GPUS: Json = {"anyOf": [{"const": 0}, {"minimum": 0.01, "maximum": 1}, {"multipleOf": 1}]}
Gpus = Annotated[float, Field(ge=0, le=10_000, json_schema_extra=SOME_GPUS), AfterValidator(_gpus)]


class Prices(Value):
    """Prices of one trial's resources."""

    per_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Cost of one trial's resources per hour, in the currency; by default no cost is reported."""
    currency: Annotated[str, Field(pattern=CURRENCY)] = "EUR"
    """ISO 4217 code of the currency."""
    watts: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Power draw of one trial's resources in watts; by default no energy is reported."""


class Resources(Value):
    """Resources of one trial."""

    cpus: Annotated[float, Field(ge=0.1, le=1e6)] = 1.0
    """Cores of one trial."""
    gpus: Gpus | Literal["auto"] = "auto"
    """GPUs of one trial, which may be a fraction; a stage runs on CUDA if it is above 0, and auto is 1 if there is CUDA."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads of one trial."""
    cache_limit: Annotated[Space, BeforeValidator(_bytes, json_schema_input_type=Space | SpaceText)] = 20_000_000_000
    """Most disk space that cached teacher logits may take: bytes, or a string such as 20 GB."""
    prices: Prices | None = None
    """What one trial's resources cost, so that the report says what the search cost; by default it does not."""


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise wrong(name, f"{name} is already listed; remove it", (number,))
    return names


Baselines = Annotated[
    tuple[ReferenceName, ...], AsTuple, AfterValidator(_each_once), Field(json_schema_extra={"uniqueItems": True})
]
Trackers = Log | Tracker | tuple[Tracker, ...]


class Spec(Value):
    """Everything that defines a study. Reference models and trackers change nothing about it."""

    study: Annotated[str, Field(pattern=NAME)]
    """Name of the study, and of its directory in reports."""
    seed: Seed = 0
    """Seed of all trainings."""
    task: TaskSpec
    """Where the data come from, how they are split, and what is measured."""
    teacher: Teacher
    """The network that students learn from."""
    student: Student
    """What is searched: values may be domains, such as {int: [1, 3]}."""
    assistants: Assistants = Assistants(at_most=0)
    """Networks between teacher and student; by default there are none."""
    search: Search
    """How students are searched, and when the search ends."""
    resources: Resources = Resources()
    """What one trial gets of the machine."""
    baselines: Baselines | None = None
    """Reference models of other libraries, which are fitted on the same samples and shown beside the students; they may be
    added to a finished study. By default, texts have tf_idf_linear.
    """
    modules: Annotated[tuple[FilePath, ...], AsTuple] = ()
    """Folders with modules of your own; by default that of the spec's file."""
    log: Annotated[Log, BeforeValidator(spelled_out, json_schema_input_type=Trackers)] = Log()
    """Trackers that get every trial: a name, a list of names, or their options by name; by default none."""

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
