"""What a space holds and what it would cost, known before anything is trained."""

from __future__ import annotations

import math
from typing import Any

from ...data import Splits, memory_bytes
from ...metrics.intervals import wilson
from ...models.sizes import Sizes
from ...spec import Checkpoint, LossSpec, Recipe, Stage, Teacher, UsageError, Value, describe, located
from ...spec.domains import domains
from ..sampling.first import configurations
from ..schedule.caches import bytes_a_sample, check_limit
from ..space import Space
from .edges import check_edges

HEAVY = 8.0
"""From this weight * T^2 of kd on, students of one to eight thousand parameters lost accuracy (benchmarks/ditch.py)."""
ASKED = ("views", "augmentation", "outputs_dtype", "outputs_top")
"""What of a recipe says how teachers' outputs are stored."""


def facts(space: Space, splits: Splits, incumbent: Checkpoint | None = None) -> dict[str, Any]:
    """Sizes, splits, stages and caches, and what is tried first (where there is an incumbent, around that too).

    Raises UsageError when an architecture cannot be built on these data, the limits leave no student, an assistant is not
    smaller than the teacher, the caches are too large, or the space does not hold what is to be tried first.
    """
    with located("teacher.architecture"):
        for teacher in space.teachers:
            _check_memory(teacher.architecture, space.sizes(teacher.architecture), "use a smaller network")
    with located("student.architecture"):
        architectures, everything = space.architectures()
        sized = [(one, space.sizes(one)) for one in architectures]
    _check_ladder(space)
    check_edges(space)
    allowed = [size for one, size in sized if space.within_limits(one)]
    if not allowed:
        raise UsageError(_nothing_left(space, [size for _, size in sized]))
    with located("student.architecture"):
        largest, size = max((pair for pair in sized if space.within_limits(pair[0])), key=lambda pair: pair[1].params)
        _check_memory(largest, size, "set search.limits.params")
    return {
        "study": space.spec.study,
        "architectures": {"count": len(allowed), "all": everything, "too_large": len(sized) - len(allowed)},
        **{name: _range(allowed, name) for name in ("params", "macs", "bytes")},
        "first": [
            {"name": one.name, **_sized(space, space.architecture(one.params))} for one in configurations(space, incumbent)
        ],
        "stages": _stages(space),
        "teachers": [_teacher(space, source, network) for source, network in _sources(space)],
        "assistants": [_sized(space, one) for one in space.ladder],
        "data": _data(splits),
        "cache_bytes": cache_bytes(space, splits),
        "precision": _precisions(space),
        "gpus": space.spec.resources.gpus,
        "cautions": _cautions(space),
    }


def _check_memory(architecture: Value, size: Sizes, way: str) -> None:
    """Raises UsageError if the weights alone exceed the memory: the OOM killer would kill the process without a message."""
    most = memory_bytes()
    if size.bytes > most:
        what = f"the weights of {describe(architecture)} need {size.bytes / 1e9:,.0f} GB"
        raise UsageError(f"{what}, and this machine has {most / 1e9:,.0f} GB of memory; {way}")


def _cautions(space: Space) -> list[str]:
    """What measurements advise against (benchmarks/ditch.py)."""
    pull = min(map(_pull, space.ends("loss")))
    if pull < HEAVY:
        return []
    return [
        f"kd pulls with weight * temperature^2 of {pull:g} or more everywhere in this space; from {HEAVY:g} on, small students "
        "lost accuracy by it: let the temperature go down to 1, or the weight to 0.1"
    ]


def _pull(loss: LossSpec) -> float:
    kd = loss.resolved().kd
    return 0.0 if kd is None or kd.weight == "rest" else kd.weight * kd.temperature**2


def _precisions(space: Space) -> str:
    return " or ".join(sorted({recipe.precision for recipe in space.ends("recipe")}))


def _nothing_left(space: Space, found: list[Sizes]) -> str:
    limits = space.spec.search.limits.model_dump(exclude_none=True)
    least = {name: min(getattr(size, name) for size in found) for name in limits}
    binding = [f"{name} {limits[name]:,} (the smallest student has {least[name]:,})" for name in limits]
    return f"search.limits leave no student: {', '.join(binding)}; raise the limits or lower the ends of the space"


def _range(allowed: list[Sizes], name: str) -> list[int]:
    values = [getattr(size, name) for size in allowed]
    return [min(values), max(values)]


def _check_ladder(space: Space) -> None:
    """An assistant stands between teacher and student: it must be smaller than the teacher."""
    teacher = max(space.sizes(teacher.architecture).params for teacher in space.teachers)
    if not (space.spec.assistants.at_most and teacher):  # your own module may hold its weights elsewhere
        return
    for position, one in enumerate(space.ladder):
        with located(f"assistants.ladder[{position}]"):
            size = space.sizes(one).params
        if size >= teacher:
            raise UsageError(
                f"assistants.ladder[{position}]: {describe(one)} has {size:,} params, not fewer than the teacher's "
                f"{teacher:,}; an assistant stands in between"
            )


def _stages(space: Space) -> dict[str, int | None]:
    shared = sum(isinstance(teacher, Stage) for teacher in space.teachers) + space.assistant_stages()
    trials = space.spec.search.trials
    return {"most": trials and shared + trials, "shared": shared, "baselines": int(space.spec.search.label_baselines)}


def _sized(space: Space, architecture: Any) -> dict[str, Any]:
    return {"architecture": describe(architecture), **space.sizes(architecture)._asdict()}


def _sources(space: Space) -> list[tuple[Teacher, Stage | Checkpoint]]:
    return list(zip(space.spec.teacher.members(), space.teachers, strict=True))


def _teacher(space: Space, source: Teacher, network: Stage | Checkpoint) -> dict[str, Any]:
    begun = "checkpoint" if source.checkpoint else "pretrained" if source.pretrained else ""
    how = f"{begun}, trained on from labels" if begun and source.recipe else begun
    how = how or ("import" if source.factory else "trained from labels")
    return _sized(space, network.architecture) | {"source": how}


def _data(splits: Splits) -> dict[str, Any]:
    n = len(splits.test)
    interval = wilson(round(0.9 * n), n)
    return {
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": n,
        "own_test": splits.own_test,
        "shape": list(splits.shape),
        "layout": splits.layout,
        "classes": splits.classes,
        "chance": splits.chance,
        "unlabeled": splits.rows - len(splits.train),
        "memory": splits.memory,
        "bytes": splits.nbytes,
        "dtype": str(splits.train.x.dtype),
        "test_interval_at_90": [interval.low, interval.high],
    }


def cache_bytes(space: Space, splits: Splits) -> int:
    """The most that teachers' outputs can take: logits on the training data. Raises UsageError above the limit."""
    assistants, recipes = space.spec.assistants, space.ends("recipe")
    found = _cached(recipes, space.ends("loss"), splits.classes) * _ways(space)
    if assistants.recipe is not None and assistants.loss is not None and not _as_one(assistants.recipe, recipes):
        found += _cached([assistants.recipe], [assistants.loss], splits.classes)
    found *= (len(space.teachers) + space.assistant_stages()) * splits.rows
    check_limit(
        space.spec,
        found,
        "fewer views, ladder sizes, assistants or samples, outputs_dtype: float16, outputs_top, or views: fresh",
    )
    return found


def _cached(recipes: list[Recipe], losses: list[LossSpec], classes: int) -> int:
    """Bytes of one teacher's outputs on one sample, at most: nothing where teachers always run within the training."""
    if all(one.needs_features() or not one.needs_teachers() for one in losses):
        return 0
    return max(_bytes_a_sample(one, classes) for one in recipes)


def _as_one(recipe: Recipe, others: list[Recipe]) -> bool:
    """Whether a recipe asks for what another does."""
    return any(all(getattr(one, name) == getattr(recipe, name) for name in ASKED) for one in others)


def _ways(space: Space) -> int:
    """In how many ways students may ask for a teacher's outputs: no more than there are trials."""
    found = domains(space.spec.student.recipe)
    counts = [domain.count() for path, domain in found.items() if not path or any(name in path for name in ASKED)]
    return int(min(space.spec.search.most(), math.prod(counts)))


def _bytes_a_sample(recipe: Recipe, classes: int) -> int:
    if recipe.views == "fresh":
        return 0
    return bytes_a_sample(recipe.views, recipe.outputs_dtype, recipe.outputs_top, classes)
