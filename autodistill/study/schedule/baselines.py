"""The same student, trained differently: with another seed, without its assistants, for longer. Nothing is trained here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ...spec import Checkpoint, LossSpec, Stage
from ...spec.stage import canonical
from ..record.rows import Stages

FRESH = 10_000
"""The offset of the first fresh seed. A plan for a chain uses other seeds, so that its choice is confirmed with new ones."""
Network = Stage | Checkpoint


def with_seed(network: Any, seed: int, fixed: Collection[str]) -> Any:
    """The same training with another seed, its assistants' too; networks whose keys are `fixed` stay."""
    if isinstance(network, Checkpoint) or network.key() in fixed:
        return network
    above = tuple(with_seed(teacher, seed, fixed) for teacher in network.teachers)
    init = None if network.init is None else with_seed(network.init, seed, fixed)
    return network.model_copy(update={"seed": seed, "teachers": above, "init": init})


def direct_of(stage: Stage, teachers: Sequence[Network]) -> Stage:
    """The same student with only these teachers. Initial weights that came from a teacher come from its replacement."""
    places = [teacher.key() for teacher in stage.teachers]
    takes = stage.init is not None and stage.init.key() in places and len(places) == len(teachers)
    init = teachers[places.index(stage.init.key())] if stage.init is not None and takes else stage.init
    return canonical(stage.model_copy(update={"teachers": tuple(teachers), "init": init}))


def longer(stage: Stage, epochs: int, loss: LossSpec | None = None) -> Stage:
    recipe = stage.recipe.model_copy(update={"epochs": epochs})
    return canonical(stage.model_copy(update={"recipe": recipe, "loss": loss or stage.loss}))


def whole_time(stage: Stage, stages: Stages, fixed: Collection[str]) -> int:
    """Epochs of the student that take as long as its whole chain below the teachers took to train."""
    above = [one for one in stage.ancestors() if one.key() not in fixed]
    own = max(stages.measured(stage.key()).seconds, 1e-9)
    spent = own + sum(stages.measured(one.key()).seconds for one in above)
    return max(stage.recipe.epochs, int(round(stage.recipe.epochs * spent / own)))
