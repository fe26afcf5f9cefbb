"""From a spec to its data, its teacher and its space, and whether students fit their teachers. Nothing is trained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...data import Splits, augment, read, split
from ...data.masking import mask_of
from ...data.tokens import known
from ...distill import adopt, save_data
from ...distill.references import refuse_unsuited
from ...distill.weights import Weights, pretrained, read_weights
from ...losses import matched, weighed
from ...metrics.metric import named, suiting
from ...metrics.own import pinned
from ...models.imported import probe_imported
from ...spec import (
    Checkpoint,
    Imported,
    LossSpec,
    OwnMetric,
    Pretraining,
    Recipe,
    Spec,
    Stage,
    Teacher,
    Timm,
    Transformers,
    UsageError,
    Value,
    describe,
    located,
    resolve,
    suited,
)
from ...spec.architectures import Normalize
from ...spec.code import code_of
from ...spec.document import InitLayers
from ...store import Store
from ..space import Space, teacher_stage


def load_data(spec: Spec, *, cuda: bool) -> tuple[Spec, Splits]:
    """The resolved spec and the splits of its data.

    Raises DataError, and UsageError for an unknown metric and for reference models that do not take such samples.
    """
    for number, metric in enumerate(spec.task.also):
        if isinstance(metric, str):
            named(metric, f"task.also[{number}]")
    if isinstance(spec.task.metric, str):
        named(spec.task.metric)
    splits = split(read(spec.task), spec.task)
    for name in spec.references:
        refuse_unsuited(name, splits.inputs)
    first, *also = _pinned(spec, splits)
    own = [one for one in (first, *also) if isinstance(one, OwnMetric)]
    splits = replace(splits, own=tuple(one.text() for one in own))
    spec = suited(spec, splits.kind, first if isinstance(first, OwnMetric) else None, tuple(also))
    _check_metrics(spec, splits)
    positions = None if splits.text is None else splits.text.encoding.max_length
    spec = resolve(spec, fingerprint=splits.fingerprint, cuda=cuda, positions=positions)
    return spec, splits


def _pinned(spec: Spec, splits: Splits) -> Iterator[str | OwnMetric]:
    """The metric of the task and those beside it; those of your own with their sources."""
    places = ["task.metric", *(f"task.also[{number}]" for number in range(len(spec.task.also)))]
    for place, metric in zip(places, (spec.task.metric, *spec.task.also), strict=True):
        yield metric if isinstance(metric, str) else pinned(metric, splits.validation.y, splits.classes, place)


def _check_metrics(spec: Spec, splits: Splits) -> None:
    """Raises UsageError for metrics that do not suit the task, and for a target that the metric cannot have."""
    metric, target = suiting(spec.task.measure, splits.kind, splits.classes), spec.search.target
    for number, name in enumerate(spec.task.beside):
        suiting(name, splits.kind, splits.classes, f"task.also[{number}]")
    if target is not None and not metric.low < target <= metric.high:
        ends = f"from {metric.low:g} to {metric.high:g}" if math.isfinite(metric.high) else f"above {metric.low:g}"
        raise UsageError(f"search.target: {target:g} is not a valid {metric.label}; give a number {ends}")


def space_of(spec: Spec, splits: Splits, store: Store) -> Space:
    """The space of a resolved spec; puts the data, and teachers from outside, into the store."""
    refuse_pretraining(spec, splits)
    save_data(store, splits)
    members = spec.teacher.members()
    teachers = tuple(_teacher(spec, member, spec.seed + index, splits, store) for index, member in enumerate(members))
    if len({teacher.key() for teacher in teachers}) < len(teachers):
        raise UsageError("teacher.ensemble: two of its teachers are the same network; keep one of them")
    return Space(spec, task=splits.task(spec.task), teachers=teachers, inputs=splits.inputs, classes=splits.classes)


def _teacher(spec: Spec, teacher: Teacher, seed: int, splits: Splits, store: Store) -> Stage | Checkpoint:
    """The network of one teacher; equal members of an ensemble differ by their seeds."""
    outside = _from_outside(spec, teacher, seed, splits, store)
    if teacher.recipe is not None:
        return teacher_stage(teacher, splits.task(spec.task), seed, outside)
    assert outside is not None, "the schema allows no other form"
    return outside


def _from_outside(spec: Spec, teacher: Teacher, seed: int, splits: Splits, store: Store) -> Checkpoint | None:
    task, device = splits.task(spec.task), _device(spec)
    if teacher.factory is not None:
        with located("teacher.import"):
            source = code_of(teacher.factory).source()
            own = Imported(factory=teacher.factory, arguments=teacher.arguments or {}, source=source)
            probe_imported(own, splits.inputs, splits.classes)
            return adopt(store, task, own, None, device, seed)
    if teacher.pretrained:
        assert isinstance(teacher.architecture, Timm)
        with located("teacher.pretrained"):
            found = pretrained(teacher.architecture, splits.inputs, splits.classes, seed)
            return adopt(store, task, teacher.architecture, _normalized(found, teacher.normalize, splits), device, seed)
    if teacher.checkpoint is None:
        return None
    with located("teacher.checkpoint"):
        architecture, found = read_weights(Path(teacher.checkpoint), teacher.architecture)
        found = found._replace(lenient=teacher.recipe is not None)
        return adopt(store, task, architecture, _normalized(found, teacher.normalize, splits), device, seed)


def refuse_pretraining(spec: Spec, splits: Splits) -> None:
    """Raises UsageError for a first phase on samples that are not texts, or whose tokenizer has no mask token."""
    for place, phase in (("student", spec.student.pretrain), ("assistants", spec.assistants.pretrain)):
        if phase is None:
            continue
        with located(f"{place}.pretrain"):
            if splits.text is None:
                raise UsageError(f"it learns from texts, not from samples of {splits.inputs.label}; remove it")
            mask_of(known(splits.text.content, "the tokenizer"))


def incumbent_of(spec: Spec, splits: Splits, store: Store) -> Checkpoint | None:
    """Puts the student that `search.incumbent` names into the store and measures it."""
    incumbent = spec.search.incumbent
    if incumbent is None:
        return None
    with located("search.incumbent.checkpoint"):
        architecture, found = read_weights(Path(incumbent.checkpoint), incumbent.architecture)
        found = _normalized(found, incumbent.normalize, splits)
        return adopt(store, splits.task(spec.task), architecture, found, _device(spec), spec.seed)


def _device(spec: Spec) -> torch.device:
    return torch.device("cuda" if spec.resources.gpus and torch.cuda.is_available() else "cpu")


def _normalized(found: Weights, given: Normalize | None, splits: Splits) -> Weights:
    """Adds the input normalization that the network expects, from the spec, in the units of the data."""
    byte = all(field.dtype == "uint8" for field in splits.inputs.fields)
    if given is not None:
        found = found._replace(mean=given.mean, std=given.std, scale=given.scale)
    return found._replace(scale=found.scale or (255.0 if byte else 1.0))


def check_edges(space: Space) -> None:
    """Checks the ends of all domains against every teacher and every ladder size.

    Raises UsageError, with both shapes, if a term cannot compare two networks or weights cannot be copied, if an
    augmentation does not suit the samples, if class weights do not suit the classes, or if networks with a first phase are not
    transformers.
    """
    _check_augmentations(space)
    _check_outputs(space)
    kind = space.task.kind
    for teacher in space.spec.teacher.members():
        with located("teacher.loss"):
            if teacher.recipe is not None:
                teacher.loss.check(kind)
            weighed(teacher.loss, [1] * space.classes, kind)
    assistants = space.spec.assistants
    ladder = space.ladder if assistants.at_most else ()
    above = [*(teacher.architecture for teacher in space.teachers), *ladder]
    students = space.ends("architecture")
    for place, losses, below in (
        ("student", space.ends("loss"), students),
        ("assistants", [assistants.loss] if ladder and assistants.loss else [], ladder),
    ):
        with located(f"{place}.loss"):
            for loss in losses:
                loss.check(kind)
                weighed(loss, [1] * space.classes, kind)
                _check_terms(space, loss.resolved(), below, above)
    for place, phases, below in (("student", space.ends("pretrain"), students), ("assistants", [assistants.pretrain], ladder)):
        with located(f"{place}.pretrain.loss"):
            for phase in phases:
                _check_phase(space, phase, below)
    for place, inits, below in (("student", space.ends("init"), students), ("assistants", [assistants.init], ladder)):
        with located(f"{place}.init"):
            for architecture in below if "from_teacher" in inits else ():
                space.source(architecture, space.teachers)
            _check_layers(space, [one.layers for one in inits if isinstance(one, InitLayers)], below)


def _check_phase(space: Space, phase: Pretraining | None, networks: Sequence[Value]) -> None:
    for one in networks if phase is not None else ():
        if not isinstance(one, Transformers):
            raise UsageError(f"{describe(one)} cannot predict tokens; use family transformers, or remove pretrain")
    if phase is not None:
        _check_terms(space, phase.loss.resolved(), networks, [teacher.architecture for teacher in space.teachers])


def _check_layers(space: Space, lists: Sequence[tuple[int, ...]], students: Sequence[Value]) -> None:
    """The teacher has the listed layers. A student of another depth is never proposed with them."""
    for layers, architecture in itertools.product(lists, students):
        deep = isinstance(architecture, Transformers)
        space.source(architecture.model_copy(update={"layers": len(layers)}) if deep else architecture, space.teachers, layers)


def _recipes(space: Space) -> Iterator[tuple[str, Recipe]]:
    """All recipes, and where they are."""
    yield from (("student.recipe", one) for one in space.ends("recipe"))
    yield from (("student.pretrain.recipe", one.recipe) for one in space.ends("pretrain") if one is not None)
    assistants = space.spec.assistants
    others = [("teacher.recipe", one.recipe) for one in space.spec.teacher.members()]
    others += [("assistants.pretrain.recipe", None if assistants.pretrain is None else assistants.pretrain.recipe)]
    for place, recipe in [*others, ("assistants.recipe", assistants.recipe)]:
        if recipe is not None:
            yield place, recipe


def _check_outputs(space: Space) -> None:
    """Only logits of classes can be stored without some of them, and values can be beyond float16."""
    kind = space.task.kind
    for place, recipe in _recipes(space):
        if kind != "classification" and recipe.outputs_top is not None:
            raise UsageError(f"{place}.outputs_top applies to classification, not to {kind}; remove it")
        if kind == "regression" and recipe.outputs_dtype != "float32":
            raise UsageError(f"{place}.outputs_dtype: {recipe.outputs_dtype} cannot hold all values of a regression; remove it")


def _check_augmentations(space: Space) -> None:
    for place, recipe in _recipes(space):
        if recipe.augmentation is not None:
            with located(place):
                way = "remove it, or augment in your own module"
                augment.check(recipe.augmentation, space.inputs.numbers_of_x("augmentation", way))


def _check_terms(space: Space, loss: LossSpec, students: Sequence[Value], teachers: Sequence[Value]) -> None:
    if loss.needs_features():
        with torch.random.fork_rng(devices=[]):
            for student, teacher in itertools.product(students, teachers):
                matched(loss, student, [teacher], space.inputs, space.classes, space.task.kind)
