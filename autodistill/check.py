"""Floor 8: what a spec would do, before anything is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .data import Splits
from .distill import time_steps
from .facts import facts
from .prepare import load_data, space_of
from .space import Space
from .spec import CrossEntropy, Imported, Objective, Recipe, Spec, Stage
from .spec.domains import fill, probes
from .spec.objectives import RECIPE
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
        if timed and (not spec.resources.gpus or torch.cuda.is_available()):
            found["seconds"] = estimate(space, store, splits, workers)
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
