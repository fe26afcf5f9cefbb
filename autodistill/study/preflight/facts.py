"""What a space contains and what it costs, known before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...data import Splits, memory_bytes
from ...data.texts import Text
from ...metrics.intervals import wilson
from ...metrics.metric import ACCURACY
from ...spec import BuildError, Checkpoint, LossSpec, Recipe, Stage, Teacher, UsageError, Value, describe, located
from ...spec.domains import domains
from ...spec.measurement import Sizes
from ..sampling.first import configurations
from ..schedule.plan import bytes_a_sample, check_limit
from ..space import Space
from .own import code_facts, probe_own
from .prepare import check_edges
from .values import Architectures, DataFacts, NetworkFacts, Preflight, Span, StageCounts, TextFacts

HEAVY = 8.0
"""At this weight * T^2 of kd and above, students of one to eight thousand parameters lost accuracy (benchmarks/ditch.py)."""
CACHE_KEYS = ("views", "augmentation", "outputs_dtype", "outputs_top")
"""The recipe keys that decide how teacher logits are stored."""


def facts(space: Space, splits: Splits, incumbent: Checkpoint | None = None) -> Preflight:
    """Sizes, splits, stages, caches, and what is tried first (including the neighbors of the incumbent, if any); not yet the
    region, the teachers' soft targets, and times.

    Raises UsageError if an architecture cannot be built for this data, the limits leave no student, an assistant is not
    smaller than the teacher, the caches are too large, or the space does not contain a listed configuration.
    """
    probe_own(space)
    with located("teacher.architecture"):
        for teacher in space.teachers:
            _check_memory(teacher.architecture, space.sizes(teacher.architecture), "use a smaller network")
    with located("student.architecture"):
        architectures, everything = space.architectures()
        refused = [error for one in architectures if (error := space.refused(one))]
        if len(refused) == len(architectures):
            raise refused[0]
        sized = [(one, space.sizes(one)) for one in architectures if space.refused(one) is None]
    _check_ladder(space)
    check_edges(space)
    allowed = [size for one, size in sized if space.within_limits(one)]
    if not allowed:
        raise UsageError(_nothing_left(space, [size for _, size in sized]))
    with located("student.architecture"):
        largest, size = max((pair for pair in sized if space.within_limits(pair[0])), key=lambda pair: pair[1].params)
        _check_memory(largest, size, "set search.limits.params")
    first = [(one.name, space.architecture(one.params)) for one in configurations(space, incumbent)]
    sources = zip(space.spec.teacher.members(), space.teachers, strict=True)
    return Preflight(
        study=space.spec.study,
        architectures=Architectures(count=len(allowed), all=everything, too_large=len(sized) - len(allowed)),
        params=_span([size.params for size in allowed]),
        core_params=_span([size.core_params for size in allowed]),
        macs=_span([size.macs for size in allowed]),
        longest_macs=_span([size.longest_macs for size in allowed]),
        bytes=_span([size.bytes for size in allowed]),
        first=tuple(_network(space, one, name=name) for name, one in first),
        stages=_stages(space),
        teachers=tuple(_network(space, one.architecture, source=_source(teacher)) for teacher, one in sources),
        assistants=tuple(_network(space, one) for one in space.ladder),
        data=_data(splits),
        cache_bytes=cache_bytes(space, splits),
        precision=_precisions(space),
        gpus=space.spec.resources.gpus,
        cautions=(*splits.cautions, *_refusals(refused, len(architectures)), *_cautions(space)),
        code=code_facts(space.spec),
    )


def _check_memory(architecture: Value, size: Sizes, way: str) -> None:
    """Raises UsageError if the weights alone exceed the memory: the OOM killer would kill the process without a message."""
    most = memory_bytes()
    if size.bytes > most:
        what = f"the weights of {describe(architecture)} need {size.bytes / 1e9:,.0f} GB"
        raise UsageError(f"{what}, and this machine has {most / 1e9:,.0f} GB of memory; {way}")


def _cautions(space: Space) -> tuple[str, ...]:
    """What measurements advise against (benchmarks/ditch.py)."""
    pull = min(map(_pull, space.ends("loss"))) if space.task.kind == "classification" else 0.0
    if pull < HEAVY:
        return ()
    what = f"kd has weight * temperature^2 of at least {pull:g} everywhere in this space"
    way = "extend the temperature down to 1, or the weight down to 0.1"
    return (f"{what}; at {HEAVY:g} and above, small students lost accuracy: {way}",)


def _refusals(refused: Sequence[BuildError], of: int) -> tuple[str, ...]:
    """What a search does about networks that your own code does not build."""
    if not refused:
        return ()
    return (f"architectures that cannot be built and are never proposed: {len(refused):,} of {of:,}, such as: {refused[0]}",)


def _pull(loss: LossSpec) -> float:
    kd = loss.resolved().kd
    return 0.0 if kd is None or kd.weight == "rest" else kd.weight * kd.temperature**2


def _precisions(space: Space) -> str:
    return " or ".join(sorted({recipe.precision for recipe in space.ends("recipe")}))


def _nothing_left(space: Space, found: list[Sizes]) -> str:
    limits = space.spec.search.limits.given()
    least = {name: min(getattr(size, name) for size in found) for name in limits}
    binding = [f"{name} {limits[name]:,} (the smallest student has {least[name]:,})" for name in limits]
    return f"search.limits leave no student: {', '.join(binding)}; raise the limits or allow smaller students"


def _span(sizes: list[int]) -> Span:
    return Span(min(sizes), max(sizes))


def _check_ladder(space: Space) -> None:
    """An assistant must be smaller than the teacher."""
    teacher = max(space.sizes(teacher.architecture).params for teacher in space.teachers)
    if not (space.spec.assistants.at_most and teacher):  # your own module may hold its weights elsewhere
        return
    for position, one in enumerate(space.ladder):
        with located(f"assistants.ladder[{position}]"):
            size = space.sizes(one).params
        if size >= teacher:
            raise UsageError(
                f"assistants.ladder[{position}]: {describe(one)} has {size:,} params, but the teacher has "
                f"{teacher:,}; remove this size, or make it smaller than the teacher"
            )


def _stages(space: Space) -> StageCounts:
    spec = space.spec
    shared = sum(isinstance(teacher, Stage) for teacher in space.teachers) + space.assistant_stages()
    shared += len(space.ladder) if spec.assistants.at_most and spec.assistants.pretrain is not None else 0
    each = 1 if spec.student.pretrain is None else 2
    most = None if spec.search.trials is None else shared + each * spec.search.trials
    return StageCounts(most=most, shared=shared, baselines=int(spec.search.label_baselines))


def _network(space: Space, architecture: Value, **where: str) -> NetworkFacts:
    found = NetworkFacts(architecture=describe(architecture), **space.sizes(architecture).facts())
    return found.model_copy(update=where)


def _source(teacher: Teacher) -> str:
    begun = "checkpoint" if teacher.checkpoint else "pretrained" if teacher.pretrained else ""
    how = f"{begun}, then fine-tuned on labels" if begun and teacher.recipe else begun
    return how or ("import" if teacher.factory else "trained from labels")


def _data(splits: Splits) -> DataFacts:
    n = len(splits.test)
    found = DataFacts(
        train=len(splits.train),
        validation=len(splits.validation),
        test=n,
        own_test=splits.own_test,
        inputs=splits.inputs,
        layout=splits.layout,
        classes=splits.classes,
        kind=splits.kind,
        majority=splits.floors.get(ACCURACY.name),
        unlabeled=splits.rows - len(splits.train),
        memory=splits.memory,
        bytes=splits.nbytes,
        test_interval_at_90=wilson(round(0.9 * n), n),
    )
    if splits.encoding is not None:
        found = found.model_copy(update={"table": splits.encoding})
    return found if splits.text is None else found.model_copy(update={"text": _text(splits.text)})


def _text(text: Text) -> TextFacts:
    assert text.lengths is not None, "the texts were read"
    return TextFacts(**dict(text.encoding), lengths=text.lengths)


def cache_bytes(space: Space, splits: Splits) -> int:
    """The maximum size of the cached teacher logits on the training data. Raises UsageError above the limit."""
    assistants, recipes = space.spec.assistants, space.ends("recipe")
    found = _cached(recipes, space.ends("loss"), splits.classes) * _ways(space)
    if assistants.recipe is not None and assistants.loss is not None and not _as_one(assistants.recipe, recipes):
        found += _cached([assistants.recipe], [assistants.loss], splits.classes)
    found *= (len(space.teachers) + space.assistant_stages()) * splits.rows
    check_limit(
        space.spec,
        found,
        "fewer views, ladder sizes, assistants, or samples, outputs_dtype: float16, outputs_top, or views: fresh",
    )
    return found


def _cached(recipes: list[Recipe], losses: list[LossSpec], classes: int) -> int:
    """Maximum bytes of one teacher's logits for one sample; 0 if teachers always run during the training."""
    if all(one.needs_features() or not one.needs_teachers() for one in losses):
        return 0
    found = [bytes_a_sample(one.views, one.outputs_dtype, one.outputs_top, classes) for one in recipes if one.views != "fresh"]
    return max(found, default=0)


def _as_one(recipe: Recipe, others: list[Recipe]) -> bool:
    """Whether a recipe needs the same cached logits as another."""
    return any(all(getattr(one, name) == getattr(recipe, name) for name in CACHE_KEYS) for one in others)


def _ways(space: Space) -> int:
    """How many different caches of a teacher students may need: at most the number of trials."""
    found = domains(space.spec.student.recipe)
    counts = [domain.count() for path, domain in found.items() if not path or any(name in path for name in CACHE_KEYS)]
    return int(min(space.spec.search.most(), math.prod(counts)))
