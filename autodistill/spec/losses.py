"""Schemas of the loss terms (`losses.TERMS` maps each to its function). Docstrings name a paper's weight if it is not 1."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from .errors import UsageError, wrong
from .kinds import ABOUT, FEATURES, TaskKind
from .value import AsTuple, Value

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
    teacher: str


def _not_empty(layers: tuple[float | Pair, ...]) -> tuple[float | Pair, ...]:
    if not layers:
        raise ValueError("[] names no layer; remove layers to use the default, or give depths such as [0.5, 1.0]")
    return layers


def _form(item: object) -> str:
    return "pair" if isinstance(item, dict | Pair) else "depth"


Depth = Annotated[float, Field(gt=0, le=1)]
Layer = Annotated[Annotated[Depth, Tag("depth")] | Annotated[Pair, Tag("pair")], Discriminator(_form)]
"""A relative depth, such as 0.5 for the middle of both networks, or a pair of names."""
LayerChoice = Annotated[tuple[Layer, ...], AsTuple, AfterValidator(_not_empty)]


class Term(Value):
    """`weight` multiplies the term; `rest` is 1 minus kd's weight (minus that of ce or mse, if kd itself takes the rest).

    `warm_up` is the fraction of the training over which the weight rises linearly from 0.
    """

    needs_teachers: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    weight: Weight = 1.0
    warm_up: Share | None = None


class FeatureTerm(Term):
    """A term on layers' outputs. Without `layers`, it uses its own default."""

    needs_features: ClassVar[bool] = True
    layers: LayerChoice | None = None


class CrossEntropy(Term):
    """Cross-entropy with the labels, smoothed by `label_smoothing` (Szegedy et al. 2016).

    `class_weights` weigh the samples of each class: a number per class, or `balanced`: n / (classes * samples of the class), so
    that each class counts as much as any other. For multi-label tasks, it is the binary cross-entropy, averaged over the
    labels; then a weight multiplies the samples that have the label, and `balanced` is (samples without it) / (samples with
    it).
    """

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = False
    label_smoothing: Share = 0.0
    class_weights: Literal["balanced"] | ClassWeights | None = None


class SquaredError(Term):
    """Squared error of standardized targets, for regression.

    With `huber`, errors beyond that many standard deviations of the targets count linearly (Huber 1964); kd does the same.
    """

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = False
    huber: Annotated[float, Field(gt=0, le=1e6)] | None = None


class SoftTargets(Term):
    """Hinton, Vinyals and Dean 2015: T^2 * KL(teacher at T || student at T). For multi-label tasks, it is computed label by
    label; for regression, it is the distance of `mse` to the teacher's outputs, without a temperature.

    `standardized`: first scales each sample's logits to mean 0 and standard deviation 1 (Sun et al. 2024: weight 9, T 2).
    `huber` is that of `mse`, unless it is given here. T is 2 by default, not the usual 4: with weight * T^2 of 8 or more, small
    students lost accuracy (reports/LOG.md, benchmarks/ditch.py).
    """

    version: ClassVar[int] = 1
    temperature: Temperature = 2.0
    standardized: bool = False
    huber: Annotated[float, Field(gt=0, le=1e6)] | None = None


class Decoupled(Term):
    """Zhao et al. 2022: KL of the target against the rest (`alpha`), and separately among the rest (`beta`)."""

    version: ClassVar[int] = 1
    alpha: Factor = 1.0
    beta: Factor = 8.0
    temperature: Temperature = 4.0


class Dist(Term):
    """Huang et al. 2022: correlation over a sample's classes (`inter`) and over the samples of a class (`intra`).

    Usual weight 2.
    """

    version: ClassVar[int] = 1
    inter: Factor = 1.0
    intra: Factor = 1.0
    temperature: Temperature = 1.0


Projected = Literal["queries", "keys", "values"]
PROJECTED: tuple[Projected, ...] = get_args(Projected)
"""What an attention is computed from, in the order in which features hold them."""


def _not_empty_or_twice(names: tuple[Projected, ...]) -> tuple[Projected, ...]:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{list(names)} is wrong; name one or more of {', '.join(PROJECTED)}, each once")
    return names


class Hint(FeatureTerm):
    """FitNets, Romero et al. 2015: squared error of features, the middle layer by default. Usual weight 100."""

    version: ClassVar[int] = 1


class Attention(FeatureTerm):
    """`activations`: attention transfer, Zagoruyko and Komodakis 2017 (usual weight 1000).

    `maps` and `relations` are for transformers (Wang et al. 2020, MiniLM): attention maps, and relations between values,
    which are split again into `relation_heads`. `between` names what relations are between, values by default; with queries,
    keys and values they are those of MiniLMv2 (Wang et al. 2021: `relation_heads` 48, weight 3 because it sums over the three,
    and a single layer). By default, every layer of the student.
    """

    version: ClassVar[int] = 1
    kind: Literal["activations", "maps", "relations"] = "activations"
    relation_heads: Annotated[int, Field(ge=1, le=1024)] | None = None
    between: Annotated[tuple[Projected, ...], AsTuple, AfterValidator(_not_empty_or_twice)] | None = None

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
    angle: Factor = 50.0


class Similarity(FeatureTerm):
    """Tung and Mori 2019: similarities between the samples of a batch, the last layer by default. Their weight: 3000."""

    version: ClassVar[int] = 1


class Cosine(FeatureTerm):
    """DistilBERT, Sanh et al. 2019: direction of the hidden states, the last layer by default."""

    version: ClassVar[int] = 1


class MaskedTokens(Term):
    """BERT, Devlin et al. 2019: predicts masked tokens of a text, in the first phase of a student.

    Each token that is not special is masked with the probability `share`. Of these, 80 % become [MASK], 10 % another token, and
    10 % stay.
    """

    version: ClassVar[int] = 1
    needs_teachers: ClassVar[bool] = False
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15


class LossSpec(Value):
    """A weighted sum of terms.

    `balance: initial` divides each term by its own value on the first batches. `drop_teachers`: in each batch, each
    teacher is dropped with this probability, but at least one stays (Son et al. 2021, densely guided distillation).
    """

    ce: CrossEntropy | None = None
    mse: SquaredError | None = None
    kd: SoftTargets | None = None
    dkd: Decoupled | None = None
    dist: Dist | None = None
    hint: Hint | None = None
    attention: Attention | None = None
    relational: Relational | None = None
    similarity: Similarity | None = None
    cosine: Cosine | None = None
    mlm: MaskedTokens | None = None
    balance: Literal["initial"] | None = None
    drop_teachers: Share | None = None

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
            raise ValueError(f"{rests[0]} has weight: rest; only ce, mse and kd can have it, so give {rests[0]} a number")
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


TaskLoss = Annotated[LossSpec, AfterValidator(_learns_the_task)]
"""The loss of a training on the task itself."""
TextLoss = Annotated[LossSpec, AfterValidator(_learns_from_text)]
"""The loss of a first phase on texts alone."""
LOSS: TypeAdapter[LossSpec] = TypeAdapter(TaskLoss)
