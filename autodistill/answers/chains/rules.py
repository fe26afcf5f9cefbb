"""Published rules for one assistant: which size of a ladder, from sizes and accuracies alone.

Accuracies are shares from 0 to 1, sizes are parameters. Each function returns an index of the ladder; ties go to the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LAMBDA = 0.2
"""From MiniDisc's code; one percentage point of accuracy weighs as much as five of size."""


def middle_accuracy(accuracies: Sequence[float], *, teacher: float, student: float) -> int:
    """The index of the ladder size whose accuracy is nearest to the mean of the teacher's and the student's.

    Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020, section 4.2. Raises ValueError for
    an empty ladder.
    """
    middle = (teacher + student) / 2
    return _least([abs(accuracy - middle) for accuracy in accuracies])


def tradeoff(accuracies: Sequence[float], params: Sequence[int], *, teacher: int, weight: float = LAMBDA) -> int:
    """The index of the ladder size with the largest accuracy + weight * (1 - params / teacher's params).

    Zhang et al., "MiniDisc: Minimal Distillation Schedule for Language Model Compression", 2024, whose scale is the share
    of parameters that is left. Raises ValueError for an empty ladder.
    """
    pairs = zip(accuracies, params, strict=True)
    return _least([-(accuracy + weight * (1 - size / teacher)) for accuracy, size in pairs])


def geometric_mean(params: Sequence[int], *, teacher: int, student: int) -> int:
    """The index of the size nearest, by its logarithm, to the geometric mean of the teacher's and the student's.

    Raises ValueError for an empty ladder.
    """
    middle = (math.log(teacher) + math.log(max(1, student))) / 2
    return _least([abs(math.log(size) - middle) for size in params])


def _least(values: Sequence[float]) -> int:
    return min(range(len(values)), key=lambda place: values[place])
