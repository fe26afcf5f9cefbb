"""Checks a spec before anything is trained."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...data import Columns, Splits, memory_bytes
from ...distill import Data, open_data, time_steps
from ...distill.networks import build_for
from ...distill.predictions import evaluate
from ...metrics.latency import limited_to
from ...metrics.metric import ACCURACY, metric_of
from ...runners import check_cpus, cores
from ...spec import Checkpoint, CrossEntropy, LossSpec, Pretraining, Recipe, Spec, SquaredError, Stage, UsageError, describe
from ...spec.architectures import Architecture
from ...spec.imports import reason
from ...spec.measurement import Measurement, Score, StageFacts
from ...spec.search import ALL
from ...store import Store, parsed
from ..record.directory import OWN_STORE
from ..record.region import region_of
from ..space import Space
from .facts import facts
from .prepare import incumbent_of, load_data, space_of
from .values import NetworkFacts, Preflight, RegionFacts, Seconds, Taught

TIMED = 5
IN_TRAINING = 4
"""Memory of a training as a multiple of the weights: weights, gradients, and AdamW's two moments."""
BASELINES = 0.3
"""The approximate share of trials that end on the frontier: these get baselines."""


def check(spec: Spec, *, workers: int = 1, timed: bool = True) -> Preflight:
    """What is known about a spec and, if `timed`, how long a search takes. Raises UsageError for all that a search refuses."""
    check_cpus(spec, cores())
    spec, splits = load_data(spec, cuda=torch.cuda.is_available())
    with tempfile.TemporaryDirectory(prefix="autodistill-") as scratch:
        store = Store(scratch)
        space = space_of(spec, splits, store)
        incumbent = incumbent_of(spec, splits, store)
        found = facts(space, splits, incumbent)
        teachers = tuple(_measured(spec, store, *pair) for pair in zip(found.teachers, space.teachers, strict=True))
        cautions = (*found.cautions, *_ignorant(spec, teachers, splits))
        taught = tuple(_taught(store, spec, teacher) for teacher in space.teachers)
        known = {
            "teachers": teachers,
            "cautions": cautions,
            "soft_targets": taught,
            "region": _region(space, splits, _known(store, spec, space.teachers[0]), incumbent),
        }
        found = found.model_copy(update=known)
        if timed and (large := _too_large(space)):
            return found.model_copy(update={"cautions": (*found.cautions, large)})
        if timed and (not spec.resources.gpus or torch.cuda.is_available()):
            with limited_to(spec.resources.threads):  # as trials have them
                return found.model_copy(update={"seconds": estimate(space, store, splits, workers)})
    return found


def _measured(spec: Spec, store: Store, teacher: NetworkFacts, network: Stage | Checkpoint) -> NetworkFacts:
    """With its score on the validation samples, if that is known."""
    found = _known(store, spec, network)
    return teacher if found is None else teacher.model_copy(update={"score": found.measurement.scores[spec.task.measure]})


def _ignorant(spec: Spec, teachers: Sequence[NetworkFacts], splits: Splits) -> list[str]:
    """A warning for each teacher that a search refuses."""
    metric, floor = metric_of(spec.search), splits.floors[spec.task.measure]
    what = f"is no better than a network that ignores its input ({metric.text(floor)} {metric.label})"
    way = "check that it belongs to its architecture and to these labels, and that inputs are normalized as it expects"
    known = [one for one in teachers if one.score is not None and not metric.clears(one.score, floor)]
    return [f"a search refuses the teacher {one.architecture}: it {what}; {way}" for one in known]


def _too_large(space: Space) -> str | None:
    """Why nothing is timed, or None: training the largest network here could exceed the memory of this machine."""
    students = [one for one in space.architectures()[0] if space.within_limits(one)]
    trained = [network.architecture for network in space.teachers if isinstance(network, Stage)]
    largest = max([*trained, *space.ladder, *students], key=lambda one: space.sizes(one).params)
    need, most = IN_TRAINING * space.sizes(largest).bytes, memory_bytes()
    if need <= most:
        return None
    what = f"training {describe(largest)} needs {need / 1e9:,.1f} GB, and this machine has {most / 1e9:,.1f} GB of memory"
    return f"the search time is not estimated: {what}"


def _taught(scratch: Store, spec: Spec, teacher: Stage | Checkpoint) -> Taught | None:
    """How much a teacher says beyond the label, if that is known."""
    found = _known(scratch, spec, teacher)
    if found is None or found.soft_targets is None:
        return None
    return Taught(**dict(found.soft_targets), accuracy=found.measurement.scores[ACCURACY.name].value)


def _known(scratch: Store, spec: Spec, teacher: Stage | Checkpoint) -> StageFacts | None:
    """Facts about a teacher that came from outside, or that this study has already trained."""
    for store in (scratch, Store(Path("reports") / spec.study / OWN_STORE)):
        if store.has("stages", teacher.key()):
            return parsed(store, "stages", teacher.key(), StageFacts.of)
    return None


def _region(space: Space, splits: Splits, teacher: StageFacts | None, incumbent: Checkpoint | None) -> RegionFacts:
    """The region of interest; its floor is None while it depends on a teacher that is not trained yet."""
    search, metric, sizes = space.spec.search, metric_of(space.spec.search), space.sizes(space.teachers[0].architecture)
    perfect = metric.high if metric.higher else metric.low
    score = Score(value=perfect, error=0.0, low=perfect, high=perfect, n=len(splits.validation))
    region = region_of(
        search,
        chance=splits.floors[metric.name],
        teacher=teacher.measurement if teacher else Measurement(scores={metric.name: score}, **sizes.facts(), seconds=0.0),
        incumbent=space.sizes(incumbent.architecture) if incumbent else None,
    )
    known = teacher is not None or search.target is not None or search.region == ALL
    return RegionFacts(
        region=search.region,
        target=search.target,
        metric=metric.name,
        floor=region.floor if known else None,
        ignorant=splits.floors[metric.name],
        below=dict(region.below),
    )


def estimate(space: Space, store: Store, splits: Splits, workers: int) -> Seconds:
    """Total seconds of training, from a few timed steps of the teachers, the ladder, and some students."""
    architectures = [one for one in space.architectures()[0] if space.within_limits(one)]
    architectures.sort(key=lambda one: space.sizes(one).macs)
    picked = architectures[:: max(1, len(architectures) // TIMED)][: TIMED + 1]
    recipe = space.ends("recipe")[-1]
    student = sum(_seconds(space, store, splits, one, recipe) for one in picked) / len(picked)
    if recipe.views == "fresh" or any(one.needs_features() for one in space.ends("loss")):
        student += _live_seconds(space, store, splits, recipe)
    phase = next((one for one in reversed(space.ends("pretrain")) if one is not None), None)
    first = sum(_phase_seconds(space, store, splits, one, phase) for one in picked) / len(picked)
    teacher = sum(
        _seconds(space, store, splits, network.architecture, network.recipe)
        for network in space.teachers
        if isinstance(network, Stage)
    )
    given = space.spec.assistants
    assistants = [
        _seconds(space, store, splits, one, given.recipe) + _phase_seconds(space, store, splits, one, given.pretrain)
        for one in space.ladder
    ]
    each = sum(assistants) / max(1, len(assistants))
    shared = each * space.assistant_stages()
    trials, baselines = space.spec.search.trials, BASELINES * space.spec.search.label_baselines
    found = Seconds(teacher=teacher, assistant_each=each, student_each=student)
    if phase is not None:
        found = found.model_copy(update={"pretraining_each": first})
    if trials is None:
        return found
    students = trials * ((1 + baselines) * student + first)
    return found.model_copy(update={"total": teacher + (shared + students) / workers})


def _live_seconds(space: Space, store: Store, splits: Splits, recipe: Recipe) -> float:
    """Seconds that the teachers run during a training in which their outputs are not cached."""
    data = open_data(store, space.task.data)
    x = data.x.take(np.arange(min(recipe.batch_size, data.rows)))
    return _steps(splits, recipe) * sum(_forward_seconds(space, data, x, teacher) for teacher in space.teachers)


def _forward_seconds(space: Space, data: Data, x: Columns, teacher: Stage | Checkpoint) -> float:
    network = build_for(data, teacher.architecture)
    device = "cuda" if space.spec.resources.gpus else "cpu"
    evaluate(network, x, batch_size=len(x), device=device)
    started = time.perf_counter()
    evaluate(network, x, batch_size=len(x), device=device)
    return time.perf_counter() - started


def _steps(splits: Splits, recipe: Recipe) -> int:
    return max(1, splits.rows // recipe.batch_size) * recipe.epochs


def _phase_seconds(space: Space, store: Store, splits: Splits, architecture: Architecture, phase: Pretraining | None) -> float:
    """Seconds of a first phase, with those of the teachers if they run in it."""
    if phase is None:
        return 0.0
    found = _seconds(space, store, splits, architecture, phase.recipe, LossSpec(mlm=phase.loss.resolved().mlm))
    return found + (_live_seconds(space, store, splits, phase.recipe) if phase.loss.resolved().needs_features() else 0.0)


def _seconds(
    space: Space,
    store: Store,
    splits: Splits,
    architecture: Architecture,
    recipe: Recipe | None,
    loss: LossSpec | None = None,
) -> float:
    """Seconds of training an architecture from labels, or with a loss that needs no teachers; a cached teacher adds almost
    nothing.
    """
    if recipe is None:
        return 0.0
    if loss is None:
        loss = LossSpec(mse=SquaredError()) if space.task.kind == "regression" else LossSpec(ce=CrossEntropy())
    stage = Stage(task=space.task, architecture=architecture, loss=loss, recipe=recipe, seed=0)
    device = torch.device("cuda" if space.spec.resources.gpus else "cpu")
    try:
        return time_steps(store, stage, device) * _steps(splits, recipe)
    except Exception as error:  # any error of the layers, such as needing more than one sample per batch
        raise UsageError(f"{describe(architecture)} cannot be trained with its recipe: {reason(error)}") from error
