"""Schemas of the loss terms (`losses.TERMS` maps each to its function). Docstrings name a paper's weight if it is not 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, model_validator

from .errors import UsageError, wrong
from .kinds import ABOUT, FEATURES, TaskKind
from .value import AsTuple, Json, Value

Weight = Annotated[float, Field(ge=0, le=1e6)] | Literal["rest"]
Share = Annotated[float, Field(ge=0, lt=1)]
Temperature = Annotated[float, Field(ge=0.01, le=1000)]
Factor = Annotated[float, Field(ge=0, le=1e6)]
ClassWeights = Annotated[tuple[Factor, ...], AsTuple]

LABELS = ("ce", "mse")
"""The terms that learn from labels."""


class Pair(Value):
    """A layer of the student and the teacher's layer that it learns from, by name."""

    student: str
    """Name of a layer of the student."""
    teacher: str
    """Name of the teacher's layer that it learns from."""


def _not_empty(layers: tuple[float | Pair, ...]) -> tuple[float | Pair, ...]:
    if not layers:
        raise ValueError("[] names no layer; remove layers to use the default, or give depths such as [0.5, 1.0]")
    return layers


def _form(item: object) -> str:
    return "pair" if isinstance(item, dict | Pair) else "depth"


Depth = Annotated[float, Field(gt=0, le=1)]
Layer = Annotated[Annotated[Depth, Tag("depth")] | Annotated[Pair, Tag("pair")], Discriminator(_form)]
"""A relative depth, such as 0.5 for the middle of both networks, or a pair of names."""
LayerChoice = Annotated[tuple[Layer, ...], AsTuple, AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1})]


class Term(Value):
    """A term of a loss."""

    needs_teachers: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    weight: Weight = 1.0
    """Factor of the term in the sum; rest is 1 minus the weight of kd (or, for kd, minus that of ce or mse)."""
    warm_up: Share | None = None
    """Fraction of the training over which the weight rises linearly from 0; by default it does not rise."""


class FeatureTerm(Term):
    """A term on layers' outputs."""

    needs_features: ClassVar[bool] = True
    layers: LayerChoice | None = None
    """Relative depths, such as 0.5 for the middle of both networks, or pairs of names of layers; the default depends on the
    term.
    """


class CrossEntropy(Term):
    """Cross-entropy with the labels. The balanced weight of a class is n / (classes * samples of the class).

    For multi-label tasks, it is the binary cross-entropy, averaged over the labels; then a weight multiplies the samples that
    have the label, and the balanced one is (samples without it) / (samples with it).
    """

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = False
    label_smoothing: Share = 0.0
    """Share of the probability that is spread over all classes (Szegedy et al. 2016)."""
    class_weights: Literal["balanced"] | ClassWeights | None = None
    """Weights of the samples by class: a number for each class, or balanced, so that each class counts as much as any other; by
    default all samples count the same.
    """


class SquaredError(Term):
    """Squared error of standardized targets, for regression."""

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = False
    huber: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Standard deviations of the targets beyond which errors count linearly (Huber 1964); by default no error does."""


class SoftTargets(Term):
    """Hinton, Vinyals and Dean 2015: T^2 * KL(teacher at T || student at T). For multi-label tasks, it is computed label by
    label; for regression, it is the distance of `mse` to the teacher's outputs, without a temperature.

    Sun et al. use standardized logits with weight 9 and T 2. T is 2 by default, not the usual 4: with weight * T^2 of 8 or
    more, small students lost accuracy (reports/LOG.md, benchmarks/ditch.py).
    """

    version: ClassVar[int] = 1
    temperature: Temperature = 2.0
    """Divisor of the logits of teacher and student."""
    standardized: bool = False
    """Whether each sample's logits are first scaled to mean 0 and standard deviation 1 (Sun et al. 2024)."""
    huber: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """For regression, as that of mse, which is also the default."""


class Decoupled(Term):
    """Zhao et al. 2022: KL of the target against the rest, and separately among the rest."""

    version: ClassVar[int] = 1
    alpha: Factor = 1.0
    """Factor of the divergence between the target and all other classes."""
    beta: Factor = 8.0
    """Factor of the divergence among the other classes."""
    temperature: Temperature = 4.0
    """Divisor of the logits of teacher and student."""


class Dist(Term):
    """Huang et al. 2022: correlation over a sample's classes and over the samples of a class. Usual weight 2."""

    version: ClassVar[int] = 1
    inter: Factor = 1.0
    """Factor of the correlation over the classes of a sample."""
    intra: Factor = 1.0
    """Factor of the correlation over the samples of a class."""
    temperature: Temperature = 1.0
    """Divisor of the logits of teacher and student."""


Projected = Literal["queries", "keys", "values"]
PROJECTED: tuple[Projected, ...] = get_args(Projected)
"""What an attention is computed from, in the order in which features hold them."""


def _not_empty_or_twice(names: tuple[Projected, ...]) -> tuple[Projected, ...]:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{list(names)} is wrong; name one or more of {', '.join(PROJECTED)}, each once")
    return names


Between = Annotated[
    tuple[Projected, ...],
    AsTuple,
    AfterValidator(_not_empty_or_twice),
    Field(json_schema_extra={"minItems": 1, "uniqueItems": True}),
]


class Hint(FeatureTerm):
    """FitNets, Romero et al. 2015: squared error of features, the middle layer by default. Usual weight 100."""

    version: ClassVar[int] = 1


class Attention(FeatureTerm):
    """`activations`: attention transfer, Zagoruyko and Komodakis 2017 (usual weight 1000).

    `maps` and `relations` are for transformers (Wang et al. 2020, MiniLM): attention maps, and relations between values.
    With queries, keys and values they are those of MiniLMv2 (Wang et al. 2021: `relation_heads` 48, weight 3 because it sums
    over the three, and a single layer). By default, every layer of the student.
    """

    version: ClassVar[int] = 1
    kind: Literal["activations", "maps", "relations"] = "activations"
    """What is compared: activations of any network, or attention maps or relations of transformers."""
    relation_heads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of heads that relations are split into; by default the teacher's if they divide both widths, otherwise 1."""
    between: Between | None = None
    """What relations are between; by default values alone."""

    @model_validator(mode="after")
    def _only_relations_have_heads(self) -> Self:
        for name in ("relation_heads", "between"):
            if getattr(self, name) is not None and self.kind != "relations":
                raise ValueError(f"{name} applies to relations, not {self.kind}; remove it, or set kind: relations")
        return self


class Relational(FeatureTerm):
    """Park et al. 2019: distances and angles between the samples of a batch, the last layer by default."""

    version: ClassVar[int] = 1
    distance: Factor = 25.0
    """Factor of the distances between samples."""
    angle: Factor = 50.0
    """Factor of the angles between samples."""


class Similarity(FeatureTerm):
    """Tung and Mori 2019: similarities between the samples of a batch, the last layer by default. Their weight: 3000."""

    version: ClassVar[int] = 1


class Cosine(FeatureTerm):
    """DistilBERT, Sanh et al. 2019: direction of the hidden states, the last layer by default."""

    version: ClassVar[int] = 1


class MaskedTokens(Term):
    """BERT, Devlin et al. 2019: predicts masked tokens of a text, in the first phase of a student.

    Special tokens are never masked. Of the masked ones, 80% become [MASK], 10% another token, and 10% stay.
    """

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = False
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Probability that a token is masked."""


OF_A_SUM = ("balance", "drop_teachers")
"""The keys of a loss that are no terms."""


def _needs_a_term(schema: Json) -> None:
    schema["allOf"] = [{"anyOf": [{"required": [name]} for name in schema["properties"] if name not in OF_A_SUM]}]


class LossSpec(Value):
    """A weighted sum of terms."""

    model_config = ConfigDict(json_schema_extra=_needs_a_term)
    ce: CrossEntropy | None = None
    """Cross-entropy with the labels."""
    mse: SquaredError | None = None
    """Squared error of the targets, for regression."""
    kd: SoftTargets | None = None
    """The teacher's outputs, softened by a temperature (Hinton et al. 2015)."""
    dkd: Decoupled | None = None
    """The teacher's outputs, with the target apart from the other classes (Zhao et al. 2022)."""
    dist: Dist | None = None
    """Correlations with the teacher's outputs (Huang et al. 2022)."""
    hint: Hint | None = None
    """The teacher's features themselves (Romero et al. 2015)."""
    attention: Attention | None = None
    """The teacher's attention (Zagoruyko and Komodakis 2017; Wang et al. 2020, 2021)."""
    relational: Relational | None = None
    """Distances and angles between samples in the teacher's features (Park et al. 2019)."""
    similarity: Similarity | None = None
    """Similarities between samples in the teacher's features (Tung and Mori 2019)."""
    cosine: Cosine | None = None
    """The direction of the teacher's features (Sanh et al. 2019)."""
    mlm: MaskedTokens | None = None
    """Masked tokens of texts (Devlin et al. 2019), only in the loss of pretrain."""
    balance: Literal["initial"] | None = None
    """initial divides each term by its own value on the first batches; by default terms are summed as they are."""
    drop_teachers: Share | None = None
    """Probability that a teacher is dropped from a batch, though at least one stays (Son et al. 2021); by default all teach."""

    def terms(self) -> dict[str, Term]:
        return {name: term for name, term in self if isinstance(term, Term)}

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        terms = self.terms()
        if not terms:
            raise ValueError("has no term; add at least ce: {weight: 1}")
        rests = [name for name, term in terms.items() if term.weight == "rest"]
        if len(rests) > 1:
            raise ValueError(f"{' and '.join(rests)} have weight: rest; only one term can")
        if rests and rests[0] not in (*LABELS, "kd"):
            raise ValueError(f"{rests[0]} has weight: rest; only ce, mse, and kd can have it, so give {rests[0]} a number")
        others = _beside(rests[0], terms) if rests else 0.0
        if others > 1:
            other = _other(rests[0], terms)
            raise ValueError(f"the weight of {other} can be {others:g}, which leaves {rests[0]} less than 0; use at most 1")
        if not any(term.weight for term in terms.values()):
            raise ValueError("all weights are 0; raise at least one")
        return self

    def resolved(self) -> LossSpec:
        """The loss as a stage holds it: with a number instead of `rest`, and without terms of weight 0."""
        terms = self.terms()
        weights = {name: _rest(name, terms) if term.weight == "rest" else term.weight for name, term in terms.items()}
        kept = {name: terms[name].model_copy(update={"weight": weight}) for name, weight in weights.items() if weight}
        return LossSpec(**kept, balance=self.balance, drop_teachers=self.drop_teachers)  # type: ignore[arg-type]

    def check(self, kind: TaskKind) -> None:
        """Raises UsageError for terms and settings that make no sense for this kind of task."""
        terms = ABOUT[kind].terms
        strange = [name for name in self.terms() if name not in terms]
        if strange:
            raise UsageError(f"{strange[0]} does not apply to {kind}; use {', '.join(terms[:-1])} or {terms[-1]}")
        plain = SoftTargets()
        if kind == "regression" and self.kd is not None and self.kd.temperature != plain.temperature:
            raise UsageError("kd.temperature does not apply to regression, which has no probabilities; remove it")
        if kind != "regression" and self.kd is not None and self.kd.huber is not None:
            raise UsageError(f"kd.huber applies to regression, not to {kind}; remove it")
        if kind != "classification" and self.kd is not None and self.kd.standardized:
            raise UsageError(f"kd.standardized applies to classification, not to {kind}; remove it")

    def needs_teachers(self) -> bool:
        return any(term.needs_teachers for term in self.terms().values())

    def named_layers(self) -> tuple[list[str], list[str]]:
        """The layers that feature terms name: the student's, and its teachers'."""
        features = [term for term in self.terms().values() if isinstance(term, FeatureTerm)]
        named = [item for term in features for item in term.layers or () if isinstance(item, Pair)]
        return [pair.student for pair in named], [pair.teacher for pair in named]

    def needs_features(self) -> bool:
        return any(term.needs_features for term in self.terms().values())


def _kinds() -> Iterator[tuple[str, type[Term]]]:
    for name, field in LossSpec.model_fields.items():
        for kind in get_args(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Term):
                yield name, kind


SCHEMAS = dict(_kinds())
"""The schema of each term."""
OF_TEACHERS = tuple(name for name, kind in SCHEMAS.items() if kind.needs_teachers)
"""The terms that learn from a teacher."""


def lacking(*names: str) -> Json:
    """The JSON schema of a loss without these terms."""
    return {"properties": {name: {"type": "null"} for name in names}}


def _rest(name: str, terms: dict[str, Term]) -> float:
    return round(max(0.0, 1.0 - _beside(name, terms)), 12)  # so that 1 - 0.9 equals a 0.1 in the spec


def _beside(name: str, terms: dict[str, Term]) -> float:
    """The weight that adds up to 1 with the term that takes the rest; the weights of other terms may be far above 1."""
    other = terms.get(_other(name, terms))
    return other.weight if other is not None and other.weight != "rest" else 0.0


def _other(name: str, terms: dict[str, Term]) -> str:
    """The term whose weight is shared with that of `name`."""
    return "kd" if name in LABELS else next((label for label in LABELS if label in terms), LABELS[0])


def _learns_the_task(loss: LossSpec) -> LossSpec:
    if loss.mlm is not None:
        way = "move it to pretrain.loss of the student or of the assistants"
        raise wrong(loss.mlm, f"mlm reads texts without their labels, in a phase before the training; {way}", ("mlm",))
    return loss


def _learns_from_text(loss: LossSpec) -> LossSpec:
    if loss.mlm is None or not loss.mlm.weight:
        raise ValueError("has no mlm, with which a network learns from texts alone; add mlm: {weight: 1}")
    for name, term in loss.terms().items():
        if name not in ("mlm", *FEATURES):
            way = f"use mlm and terms on features ({', '.join(FEATURES)}), or move it to the loss of the training"
            raise wrong(term, f"{name} needs a classifier, which is not trained before the labels are used; {way}", (name,))
    return loss


TaskLoss = Annotated[LossSpec, AfterValidator(_learns_the_task), Field(json_schema_extra=lacking("mlm"))]
"""The loss of a training on the task itself."""
OF_CLASSIFIERS = tuple(name for name in SCHEMAS if name not in ("mlm", *FEATURES))
"""The terms that need a classifier."""
TextLoss = Annotated[
    LossSpec, AfterValidator(_learns_from_text), Field(json_schema_extra={"required": ["mlm"], **lacking(*OF_CLASSIFIERS)})
]
"""The loss of a first phase on texts alone."""
LOSS: TypeAdapter[LossSpec] = TypeAdapter(TaskLoss)
