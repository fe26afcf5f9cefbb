"""Students that begin with weights of their teacher, a folder of the package transformers: the ranges for a drafted spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data import Splits
from ..models.sizes import check_inherit
from ..spec import Transformers
from ..spec.checkpoints import architecture_of
from ..spec.value import Json


def ranges_below(folder: Path, splits: Splits) -> str | None:
    """The keys of a searched architecture, as YAML: up to half of the layers of the teacher in `folder`, and up to all of its
    heads, as wide as they are. None if such students cannot take the teacher's weights, or if the folder cannot be read.
    """
    try:
        teacher = Transformers.model_validate(architecture_of(folder))
        layers, heads = range(1, (teacher.layers + 1) // 2 + 1), teacher.heads
        given: Json = {"head_width": teacher.wide // heads, "model": teacher.model, "pooling": teacher.pooling}
        if teacher.intermediate is not None and teacher.intermediate < 4 * teacher.wide:
            given["intermediate"] = teacher.intermediate  # the default would be wider
        some = sorted({max(1, heads // 4), max(1, heads // 2), heads})
        for end in (0, -1):
            student = Transformers(layers=layers[end], heads=some[end], **given)
            check_inherit(student, teacher, splits.inputs, splits.classes)
    except ValueError:  # a UsageError, or sizes that no architecture may have, which loading the spec reports
        return None
    known = Transformers.model_fields
    others = [f"{name}: {value}" for name, value in given.items() if value != known[name].default]
    return ", ".join([f"layers: {_one_of(layers)}", f"heads: {_one_of(some)}", *others])


def _one_of(values: Sequence[int]) -> str:
    if len(values) == 1:
        return str(values[0])
    return f"{{int: [{values[0]}, {values[-1]}]}}" if isinstance(values, range) else f"{{choice: {list(values)}}}"
