"""The one idea: a chain is a Stage whose teacher is a Stage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from .architectures import Architecture, describe
from .kinds import TaskKind
from .losses import CrossEntropy, LossSpec, SquaredError
from .recipe import Augmentation, Recipe
from .value import AsTuple, Seed, Value, digest

Share = Annotated[float, Field(gt=0, lt=1)]


class Split(Value):
    """How the samples are split: at random, or by time."""

    validation: Share = 0.15
    """Share of all samples for validation (of task.samples, if given)."""
    test: Share = 0.15
    """Share of all samples for the test split, unless the data set has its own."""
    seed: Seed = 0
    """Seed of the random split."""
    by: str | None = None
    """Column of a table by which it is split in time: the oldest samples are for training, the newest for the test; by default
    the split is random.
    """

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on; lower one of them")
        return self


class Task(Value):
    """What to learn: `data` is the fingerprint of training and validation data, never of the test data.

    `other` is the kind of the task if it is not classification.
    """

    data: str
    split: Split
    samples: int | None = None
    other: Literal["multilabel", "regression"] | None = None

    @property
    def kind(self) -> TaskKind:
        return self.other or "classification"


class Keyed(Value):
    """A value whose key is computed once; a copy has its own."""

    def key(self) -> str:
        return self._key

    @cached_property
    def _key(self) -> str:
        return digest(self)

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_key", None)
        return copied


class Checkpoint(Keyed):
    """An existing trained network: `weights` is the sha256 of its tensors."""

    kind: Literal["checkpoint"] = "checkpoint"
    task: Task
    architecture: Architecture
    weights: str


class LogitsCacheSpec(Value):
    """How teacher logits are cached for a stage: for which views of each sample, and with which precision."""

    views: int | None = None
    augmentation: Augmentation | None = None
    seed: int | None = None
    dtype: Literal["float32", "float16"] = "float32"
    top: int | None = None


class Stage(Keyed):
    """One training: an architecture, a loss, a recipe and the teachers whose outputs it learns from.

    teachers=() trains from labels; a teacher that has a teacher makes a chain; several are an ensemble, or dense guidance.
    `init` is the source of the initial weights (None: random), `init_layers` those of its layers that a transformer begins with
    (None: every k-th). `until` ends the training after that many epochs of its
    recipe's schedule: an intermediate checkpoint. `key()` is the sha256 of the canonical form, in which teachers and init
    are represented by their keys (a Merkle tree): equal stages have equal keys.
    """

    version: ClassVar[int] = 1
    kind: Literal["stage"] = "stage"
    task: Task
    architecture: Architecture
    loss: LossSpec
    recipe: Recipe
    seed: int
    teachers: Annotated[tuple[Network, ...], AsTuple] = ()
    init: Network | None = None
    init_layers: Annotated[tuple[int, ...], AsTuple] | None = None
    until: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _is_resolved(self) -> Self:
        assert all(term.weight != "rest" for term in self.loss.terms().values()), "resolve the loss first"
        assert self.recipe.precision != "auto", "resolve the precision first"
        assert self.until is None or self.until < self.recipe.epochs, "until must be less than the epochs of the recipe"
        if self.loss.needs_teachers() != bool(self.teachers):
            raise ValueError("a term that learns from teachers needs a teacher, and a teacher needs such a term")
        return self

    @property
    def pretrains(self) -> bool:
        """Whether it learns from texts alone, for the stage that begins with its weights; its classifier is not trained."""
        return self.loss.mlm is not None

    @cached_property
    def _key(self) -> str:
        own = {name: value for name, value in self if name not in ("teachers", "init") and value is not None}
        own |= {"version": self.version}
        above: dict[str, object] = {"teachers": [teacher.key() for teacher in self.teachers]}
        return digest(own | above | ({"init": self.init.key()} if self.init is not None else {}))

    def logits_cache(self) -> LogitsCacheSpec | None:
        """How the teacher logits that the stage reads are cached; None if it has no teachers, or if they run during its
        training.

        They run if a term uses their features, or if each epoch has fresh views.
        """
        recipe = self.recipe
        if not self.teachers or self.loss.needs_features() or recipe.views == "fresh":
            return None
        plain = LogitsCacheSpec(dtype=recipe.outputs_dtype, top=recipe.outputs_top)
        views = {"views": recipe.views, "augmentation": recipe.augmentation, "seed": self.seed}
        return plain.model_copy(update=views) if recipe.views else plain

    def ancestors(self) -> list[Network]:
        """All networks that must exist before this one, each once, teachers first."""
        return _above(self, init=True)


Network = Annotated[Stage | Checkpoint, Field(discriminator="kind")]
NETWORK: TypeAdapter[Stage | Checkpoint] = TypeAdapter(Network)
"""From plain data back to a stage with its chain, or a checkpoint."""


def pretrained(stage: Stage) -> Stage | None:
    """Its first phase, if it has one: a stage on texts alone, with whose weights it begins."""
    return stage.init if isinstance(stage.init, Stage) and stage.init.pretrains else None


def begun(stage: Stage) -> str | dict[str, list[int]]:
    """Where its weights come from, as a spec says it: those of its first phase, if it has one."""
    if (first := pretrained(stage)) is not None:
        return begun(first)
    if stage.init is None:
        return "random"
    return "from_teacher" if stage.init_layers is None else {"layers": list(stage.init_layers)}


def label_only(stage: Stage) -> Stage:
    """The same student trained from labels: what distillation has to beat."""
    whole: dict[str, object] = {"weight": 1.0, "warm_up": None}
    if stage.task.kind == "regression":
        loss = LossSpec(mse=(stage.loss.mse or SquaredError()).model_copy(update=whole))
    else:
        loss = LossSpec(ce=(stage.loss.ce or CrossEntropy()).model_copy(update=whole))
    return canonical(stage.model_copy(update={"loss": loss, "teachers": (), "init": None, "init_layers": None}))


def canonical(stage: Stage) -> Stage:
    """The stage without settings that do not affect its training, so that equal trainings have equal keys.

    `drop_teachers` needs several teachers, and `balance` needs a teacher; the format of cached logits only matters if they are
    cached; views beyond the number of epochs are never used.
    """
    loss, recipe = stage.loss, stage.recipe
    if len(stage.teachers) < 2:
        loss = loss.model_copy(update={"drop_teachers": None})
    if not stage.teachers:
        loss = loss.model_copy(update={"balance": None})
    if isinstance(recipe.views, int):
        recipe = recipe.model_copy(update={"views": min(recipe.views, recipe.epochs)})
    if stage.logits_cache() is None:
        plain = {name: Recipe.model_fields[name].default for name in ("outputs_dtype", "outputs_top")}
        recipe = recipe.model_copy(update=plain)
    return stage.model_copy(update={"loss": loss, "recipe": recipe})


def chain(network: Network) -> str:
    """The chain from the teacher down, such as `resnet depth=2 width=32 > resnet depth=1 width=8`.

    The teachers of an ensemble are joined by +; `(dense)` at the end means that a network learns from several generations.
    """
    line = [*_above(network), network]
    first = [describe(each.architecture) for each in line if not taught(each)]
    rest = [describe(each.architecture) for each in line if taught(each)]
    label = " (dense)" if any(map(is_dense, line)) else ""
    if isinstance(network, Stage) and pretrained(network) is not None:
        label += " (pretrained)"
    elif isinstance(network, Stage) and network.init is not None and not network.teachers:
        label += f" (from weights of {describe(network.init.architecture)})"
    return " > ".join([" + ".join(first), *rest]) + label


def taught(network: Network) -> bool:
    return isinstance(network, Stage) and bool(network.teachers)


def _above(network: Network, *, init: bool = False) -> list[Network]:
    """The networks that it learns from, directly or indirectly, each once, the first teachers first.

    With `init`, also the networks from which it and they take their initial weights.
    """
    found: dict[str, Network] = {}
    if isinstance(network, Stage):
        for one in (*network.teachers, *((network.init,) if init and network.init is not None else ())):
            found |= {other.key(): other for other in (*_above(one, init=init), one)}
    return list(found.values())


def is_dense(network: Network) -> bool:
    """Whether the stage learns from an assistant and also from that assistant's teacher."""
    teachers = network.teachers if isinstance(network, Stage) else ()
    above = {one.key() for teacher in teachers for one in _above(teacher)}
    return any(teacher.key() in above for teacher in teachers)
