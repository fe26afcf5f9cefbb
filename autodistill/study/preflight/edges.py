"""Whether students fit their teachers: layers that terms compare, weights that are copied. Nothing is trained."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from ...data import augment
from ...losses import matched
from ...spec import LossSpec, located
from ..space import Space


def check_edges(space: Space) -> None:
    """Checks the ends of all domains against every teacher and every ladder size.

    Raises UsageError, with both shapes, if a term cannot compare two networks or weights cannot be copied, or if an
    augmentation does not suit the samples.
    """
    _check_augmentations(space)
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
                _check_terms(space, loss.resolved(), below, above)
    for place, inits, below in (("student", space.ends("init"), students), ("assistants", [assistants.init], ladder)):
        with located(f"{place}.init"):
            for architecture in below if "from_teacher" in inits else ():
                space.source(architecture, space.teachers)


def _check_augmentations(space: Space) -> None:
    recipes = [("student.recipe", one) for one in space.ends("recipe")]
    recipes += [("teacher.recipe", one.recipe) for one in space.spec.teacher.members()]
    recipes += [("assistants.recipe", space.spec.assistants.recipe)]
    for place, recipe in recipes:
        if recipe is not None and recipe.augmentation is not None:
            with located(place):
                augment.check(recipe.augmentation, space.shape)


def _check_terms(space: Space, loss: LossSpec, students: Sequence[Any], teachers: Sequence[Any]) -> None:
    if loss.needs_features():
        with torch.random.fork_rng(devices=[]):
            for student, teacher in itertools.product(students, teachers):
                matched(loss, student, [teacher], space.shape, space.classes)
