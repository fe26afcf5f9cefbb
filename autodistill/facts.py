"""Floor 6: what a space holds and what it would cost, known before anything is trained."""

from __future__ import annotations

from typing import Any

from .data import Splits
from .edges import check_edges
from .measure import Sizes
from .space import Space
from .spec import Checkpoint, Recipe, Stage, Teacher, UsageError, describe, located
from .spec.domains import fill, probes
from .spec.recipe import RECIPE
from .stats import wilson


def facts(space: Space, splits: Splits) -> dict[str, Any]:
    """Sizes, splits, stages and caches.

    Raises UsageError when an architecture cannot be built on these data, the limits leave no student, a rung is not
    smaller than the teacher, or the caches are too large.
    """
    with located("teacher.architecture"):
        for teacher in space.teachers:
            space.sizes(teacher.architecture)
    with located("student.architecture"):
        architectures, everything = space.architectures()
        sized = [(one, space.sizes(one)) for one in architectures]
    _check_ladder(space)
    check_edges(space)
    allowed = [size for one, size in sized if space.within_limits(one)]
    if not allowed:
        raise UsageError(_nothing_left(space, [size for _, size in sized]))
    return {
        "study": space.spec.study,
        "architectures": {"count": len(allowed), "all": everything, "too_large": len(sized) - len(allowed)},
        **{name: _range(allowed, name) for name in ("params", "macs", "bytes")},
        "stages": _stages(space),
        "teachers": [_teacher(space, source, network) for source, network in _sources(space)],
        "assistants": [_sized(space, rung) for rung in space.ladder],
        "data": _data(splits),
        "cache_bytes": cache_bytes(space, splits),
        "precision": _precisions(space),
        "gpus": space.spec.resources.gpus,
    }


def _precisions(space: Space) -> str:
    return " or ".join(sorted({recipe.precision for recipe in _recipes(space)}))


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
    if not (space.spec.assistants.at_most and teacher):  # a module of one's own may hold its weights elsewhere
        return
    for position, rung in enumerate(space.ladder):
        with located(f"assistants.ladder[{position}]"):
            size = space.sizes(rung).params
        if size >= teacher:
            raise UsageError(
                f"assistants.ladder[{position}]: {describe(rung)} has {size:,} params, not fewer than the teacher's "
                f"{teacher:,}; an assistant stands in between"
            )


def _stages(space: Space) -> dict[str, int]:
    shared = sum(isinstance(teacher, Stage) for teacher in space.teachers) + space.assistant_stages()
    return {"most": shared + space.spec.search.trials, "shared": shared}


def _sized(space: Space, architecture: Any) -> dict[str, Any]:
    return {"architecture": describe(architecture), **space.sizes(architecture)._asdict()}


def _sources(space: Space) -> list[tuple[Teacher, Stage | Checkpoint]]:
    return list(zip(space.spec.teacher.members(), space.teachers, strict=True))


def _teacher(space: Space, source: Teacher, network: Stage | Checkpoint) -> dict[str, Any]:
    how = "checkpoint" if source.checkpoint else "import" if source.factory else "trained from labels"
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
        "unlabelled": splits.rows - len(splits.train),
        "memory": splits.memory,
        "bytes": splits.nbytes,
        "dtype": str(splits.train.x.dtype),
        "test_interval_at_90": [interval.low, interval.high],
    }


def cache_bytes(space: Space, splits: Splits) -> int:
    """The most that teachers' outputs can take: logits on the training data. Raises UsageError above the limit."""
    recipes = [*_recipes(space), *([space.spec.assistants.recipe] if space.spec.assistants.recipe else [])]
    each = {(one.views, one.augmentation, one.outputs_dtype, one.outputs_top): one for one in recipes}
    cached = sum(_bytes_a_sample(one, splits.classes) for one in each.values())
    found = (len(space.teachers) + space.assistant_stages()) * splits.rows * cached
    limit = space.spec.resources.cache_limit
    if found > limit:
        raise UsageError(
            f"resources.cache_limit: teachers' outputs can take {found:,} bytes, above the limit of {limit:,}; "
            "raise it, or use fewer views, rungs, assistants or samples, outputs_dtype: float16, outputs_top, or views: fresh"
        )
    return found


def _recipes(space: Space) -> list[Recipe]:
    """The student's recipe at every end of its domains."""
    tree = space.spec.student.recipe
    return [RECIPE.validate_python(fill(tree, params)) for params in probes(tree)]


def _bytes_a_sample(recipe: Recipe, classes: int) -> int:
    if recipe.views == "fresh":
        return 0
    digits = 2 if recipe.outputs_dtype == "float16" else 4
    top = recipe.outputs_top or classes
    return (recipe.views or 1) * (top * (digits + 4) + digits if top < classes else classes * digits)
