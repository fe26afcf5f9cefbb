"""Floor 8: what a spec would do, before anything is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .data import Splits
from .distill import time_steps
from .measure import Sizes
from .prepare import load_data, space_of
from .space import Space
from .spec import CrossEntropy, Imported, Objective, Recipe, Spec, Stage, UsageError, describe
from .spec.domains import fill, probes
from .spec.objectives import RECIPE
from .stats import wilson
from .store import Store

TIMED = 5


def check(spec: Spec, *, near: Path | None = None, workers: int = 1, timed: bool = True) -> dict[str, Any]:
    """The facts of a spec as plain values. Raises UsageError for what a search would refuse."""
    import torch

    spec, splits = load_data(spec, cuda=torch.cuda.is_available(), near=near)
    with tempfile.TemporaryDirectory(prefix="autodistill-") as scratch:
        store = Store(scratch)
        space = space_of(spec, splits, store, near)
        found = facts(space, splits)
        if timed:
            found["seconds"] = estimate(space, store, splits, workers)
    return found


def facts(space: Space, splits: Splits) -> dict[str, Any]:
    """Sizes, splits, stages and caches. Raises UsageError when the limits leave nothing or the caches are too large."""
    architectures, everything = space.architectures()
    sized = [(one, space.sizes(one)) for one in architectures]
    allowed = [size for one, size in sized if space.within_limits(one)]
    if not allowed:
        least = min(size.params for _, size in sized)
        raise UsageError(f"search.limits leave no student: the smallest of the space has {least:,} params; raise the limits")
    _check_ladder(space)
    return {
        "study": space.spec.study,
        "architectures": {"count": len(allowed), "all": everything, "too_large": len(sized) - len(allowed)},
        **{name: _range(allowed, name) for name in ("params", "macs", "bytes")},
        "stages": _stages(space),
        "teacher": _teacher(space),
        "assistants": [_sized(space, rung) for rung in space.ladder],
        "data": _data(splits),
        "cache_bytes": cache_bytes(space, splits),
        "precision": space.spec.student.recipe["precision"],
        "gpus": space.spec.resources.gpus,
    }


def _range(allowed: list[Sizes], name: str) -> list[int]:
    values = [getattr(size, name) for size in allowed]
    return [min(values), max(values)]


def _check_ladder(space: Space) -> None:
    """An assistant stands between teacher and student: it must be smaller than the teacher."""
    teacher = space.sizes(space.teacher.architecture).params
    for position, rung in enumerate(space.ladder):
        size = space.sizes(rung).params
        if size >= teacher:
            raise UsageError(
                f"assistants.ladder[{position}]: {describe(rung)} has {size:,} params, not fewer than the teacher's "
                f"{teacher:,}; an assistant stands in between"
            )


def _stages(space: Space) -> dict[str, int]:
    shared = 1 + space.assistant_stages()
    return {"most": shared + space.spec.search.trials, "shared": shared}


def _sized(space: Space, architecture: Any) -> dict[str, Any]:
    return {"architecture": describe(architecture), **space.sizes(architecture)._asdict()}


def _teacher(space: Space) -> dict[str, Any]:
    source = space.spec.teacher
    how = "checkpoint" if source.checkpoint else "import" if source.factory else "trained from labels"
    return _sized(space, space.teacher.architecture) | {"source": how}


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
        "test_interval_at_90": [interval.low, interval.high],
    }


def cache_bytes(space: Space, splits: Splits) -> int:
    """The most that teachers' outputs can take: float32 logits on the training data. Raises UsageError above the limit."""
    found = (1 + space.assistant_stages()) * len(splits.train) * splits.classes * 4
    limit = space.spec.resources.cache_limit
    if found > limit:
        raise UsageError(
            f"resources.cache_limit: teachers' outputs can take {found:,} bytes, above the limit of {limit:,}; "
            "raise it, or use fewer rungs, assistants or samples"
        )
    return found


def estimate(space: Space, store: Store, splits: Splits, workers: int) -> dict[str, float]:
    """Seconds of training in all, from a few timed steps of the teacher, the ladder and some students."""
    architectures = [one for one in space.architectures()[0] if space.within_limits(one)]
    architectures.sort(key=lambda one: space.sizes(one).macs)
    picked = architectures[:: max(1, len(architectures) // TIMED)][: TIMED + 1]
    recipe = RECIPE.validate_python(fill(space.spec.student.recipe, _lowest(space), "recipe"))
    student = sum(_seconds(space, store, splits, one, recipe) for one in picked) / len(picked)
    teacher = _teacher_seconds(space, store, splits)
    rungs = [_seconds(space, store, splits, rung, space.spec.assistants.recipe) for rung in space.ladder]
    shared = sum(rungs) if space.spec.assistants.at_most else 0.0
    total = teacher + (shared + space.spec.search.trials * student) / workers
    return {"teacher": teacher, "assistant_each": shared / max(1, len(rungs)), "student_each": student, "total": total}


def _lowest(space: Space) -> dict[str, Any]:
    return {f"recipe.{path}": value for path, value in probes(space.spec.student.recipe)[0].items()}


def _teacher_seconds(space: Space, store: Store, splits: Splits) -> float:
    recipe, architecture = space.spec.teacher.recipe, space.teacher.architecture
    if recipe is None or isinstance(architecture, Imported):
        return 0.0
    return _seconds(space, store, splits, architecture, recipe)


def _seconds(space: Space, store: Store, splits: Splits, architecture: Any, recipe: Recipe | None) -> float:
    """Of training an architecture from labels: a cached teacher costs next to nothing on top."""
    import torch

    if recipe is None:
        return 0.0
    objective = Objective(ce=CrossEntropy())
    stage = Stage(task=space.task, architecture=architecture, objective=objective, recipe=recipe, seed=0)
    steps = max(1, len(splits.train) // recipe.batch_size) * recipe.epochs
    device = torch.device("cuda" if space.spec.resources.gpus else "cpu")
    return time_steps(store, stage, device) * steps
