"""How long a training takes, known from what was measured before: for the order of jobs and the time left."""

from __future__ import annotations

from typing import NamedTuple

from ...spec import Stage, digest


class Work(NamedTuple):
    """What the seconds of a training depend on: epochs, batch size, and `macs` of a sample's forward and backward pass.

    `kind` is equal if architecture, batch size, and the teachers that run during the training are.
    """

    kind: str
    epochs: int
    batch: int
    macs: float


def work_of(stage: Stage, macs: int, above: int) -> Work:
    """`macs` are the stage's own forward pass, `above` those of its teachers; a backward pass takes twice as many.

    Teachers count if they run during the training.
    """
    live = above if stage.teachers and stage.logits_cache() is None else 0
    kind = digest([stage.architecture.identity(), stage.recipe.batch_size, live])
    return Work(kind, stage.recipe.epochs, stage.recipe.batch_size, 3.0 * macs + live)


class Times:
    """Seconds of trainings, predicted from the same kind if it was seen, else by least squares.

    seconds = epochs * samples * (a / batch + b * macs): a is the fixed cost of a step. All trainings of a study see the same
    samples, so their number is part of a and b.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}
        self._sums = [0.0] * 5

    def saw(self, work: Work, seconds: float) -> None:
        """Records that a training, or a part of it, took `seconds`."""
        each = seconds / work.epochs
        total, count = self._kinds.get(work.kind, (0.0, 0))
        self._kinds[work.kind] = (total + each, count + 1)
        x, z = 1 / work.batch, work.macs
        for place, value in enumerate((x * x, x * z, z * z, x * each, z * each)):
            self._sums[place] += value

    def any(self) -> bool:
        return bool(self._kinds)

    def seconds(self, work: Work) -> float | None:
        """None when nothing was seen."""
        if work.kind in self._kinds:
            total, count = self._kinds[work.kind]
            return work.epochs * total / count
        if not self._kinds:
            return None
        a, b = _fit(*self._sums)
        return work.epochs * (a / work.batch + b * work.macs)


def _fit(xx: float, xz: float, zz: float, xy: float, zy: float) -> tuple[float, float]:
    """a and b, neither below 0, of the least squares (a x + b z - y)^2, from the sums of products."""
    area = xx * zz - xz * xz
    if area > 1e-9 * xx * zz:
        a, b = (xy * zz - zy * xz) / area, (zy * xx - xy * xz) / area
        if a >= 0 and b >= 0:
            return a, b
    by_steps, by_macs = xy * xy / xx, (zy * zy / zz if zz else 0.0)  # what each alone explains
    return (0.0, zy / zz) if by_macs > by_steps else (xy / xx, 0.0)
