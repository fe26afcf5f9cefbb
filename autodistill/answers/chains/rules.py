"""Published rules that name a chain without comparing chains: functions of sizes, layers and heights.

A rule returns a path: the ladder sizes of its assistants, the largest first. The empty path is direct distillation: the rule
wants no assistant, or the ladder has none where the rule wants one. None means that the rule says nothing here. A size is the
number of all parameters; a rule uses only networks that are larger than the student and smaller than the teacher. Ties go to
the larger network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

Number = TypeVar("Number", bound=float)
Path = tuple[int, ...]
LAMBDA = 0.2
"""From MiniDisc's code; one percentage point of accuracy, or 0.01 of a loss, weighs as much as five of size."""
GAP = 2.5
"""How many times as large as its student the best teacher is."""
FIFTH, FAR = 5, 10
KEPT = 0.7
"""The share of parameters that one step keeps."""


class Line(NamedTuple, Generic[Number]):
    """One number of the teacher, of each ladder size (the largest network first), and of the student."""

    teacher: Number
    ladder: tuple[Number, ...]
    student: Number

    @classmethod
    def of(cls, numbers: Sequence[Number]) -> Line[Number]:
        """From the numbers in this order, at least two."""
        return cls(numbers[0], tuple(numbers[1:-1]), numbers[-1])

    def between(self) -> list[int]:
        """The ladder sizes with a number strictly between those of the student and the teacher, the largest number first."""
        found = [index for index, one in enumerate(self.ladder) if self.student < one < self.teacher]
        return sorted(found, key=lambda index: -self.ladder[index])


class Facts(NamedTuple):
    """What rules know; `layers` is None if some network has none to count, `heights` if some are unknown."""

    params: Line[int]
    layers: Line[int] | None = None
    heights: Line[float] | None = None


Rule = Callable[[Facts], Path | None]


def middle_accuracy(facts: Facts) -> Path | None:
    """The ladder size whose height is nearest to the mean of the teacher's and the student's.

    Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020, section 4.2, for accuracies. For a
    loss, the choice is the same with losses as with heights.
    """
    if (heights := facts.heights) is None:
        return None
    middle = (heights.teacher + heights.student) / 2
    return _least(facts, lambda index: abs(heights.ladder[index] - middle))


def tradeoff(facts: Facts) -> Path | None:
    """The ladder size with the largest height + LAMBDA * (1 - params / teacher's params).

    Zhang et al., "MiniDisc: Minimal Distillation Schedule for Language Model Compression", 2024, for accuracies from 0 to 1;
    their scale is the share of parameters that is left. A loss is not scaled: a teacher's size weighs as much as LAMBDA units
    of it, such as 0.2 nats.
    """
    if (heights := facts.heights) is None:
        return None
    params = facts.params
    return _least(facts, lambda index: -(heights.ladder[index] + LAMBDA * (1 - params.ladder[index] / params.teacher)))


def geometric_mean(facts: Facts) -> Path | None:
    """The ladder size nearest, by its logarithm, to the geometric mean of the teacher's and the student's params."""
    params = facts.params
    return _nearest(facts, math.sqrt(params.teacher * max(1, params.student)))


def half_layers(facts: Facts) -> Path | None:
    """Networks with 1/2, 1/4, ... of the teacher's layers, as long as these are more than the student's.

    The step of DistilBERT, every second layer of the teacher (Sanh et al. 2019), repeated. Only the number of layers counts.
    """
    if (layers := facts.layers) is None:
        return None
    places = [index for index in facts.params.between() if index in layers.between()]
    halves = _powers(layers.teacher, 0.5, lambda count: count / 2 > layers.student)
    return _smaller(_steps(layers, places, halves, lambda one, half: abs(one - half)), facts.params)


def capacity_gap(facts: Facts) -> Path:
    """Networks of GAP, GAP^2, ... times the student's params, until the teacher is at most GAP times as large as the last.

    The law of the capacity gap (arXiv 2311.07052): the best teacher is about 2.5 times as large as its student.
    """
    params = facts.params
    return _by_size(params, _powers(max(1, params.student), GAP, lambda size: size * GAP < params.teacher))


def one_fifth(facts: Facts) -> Path | None:
    """The ladder size nearest, by its logarithm, to a fifth of the teacher's params; none up to a ratio of FAR.

    SmallModel 0.1.0 (github.com/gomyk/smallmodel): above ten times, via about 1/5 of the teacher.
    """
    params = facts.params
    return _nearest(facts, params.teacher / FIFTH) if params.teacher > FAR * params.student else ()


def thirty_percent(facts: Facts) -> Path:
    """Networks of 0.7, 0.7^2, ... of the teacher's params, if the student has less than half of these.

    NVIDIA's rule for language models: where more than 50% must go, compress by 30%, distill, compress again.
    """
    params = facts.params
    if 2 * params.student >= params.teacher:
        return ()
    return _by_size(params, _powers(params.teacher, KEPT, lambda size: size * KEPT > max(1, params.student)))


RULES: dict[str, Rule] = {
    "geometric mean of sizes": geometric_mean,
    "middle accuracy": middle_accuracy,
    "lambda trade-off": tradeoff,
    "half of the layers each time": half_layers,
    "capacity gap of 2.5": capacity_gap,
    "one fifth above a ratio of 10": one_fifth,
    "30% smaller each time": thirty_percent,
}
"""By the names that reports show."""


def _least(facts: Facts, cost: Callable[[int], float]) -> Path | None:
    """The ladder size of the least cost; None if there is no size between teacher and student."""
    places = facts.params.between()
    return (min(places, key=cost),) if places else None


def _nearest(facts: Facts, target: float) -> Path | None:
    return _least(facts, lambda index: _ratio(facts.params.ladder[index], target))


def _ratio(one: float, other: float) -> float:
    return abs(math.log(max(1, one) / other))


def _powers(first: float, factor: float, goes_on: Callable[[float], bool]) -> Iterator[float]:
    """first * factor, first * factor^2, ..., up to the first one for which `goes_on` is False."""
    size = first
    while goes_on(size):
        size *= factor
        yield size


def _by_size(params: Line[int], targets: Iterable[float]) -> Path:
    return _steps(params, params.between(), sorted(targets, reverse=True), _ratio)


def _steps(line: Line[int], places: Iterable[int], targets: Iterable[float], distance: Callable[[float, float], float]) -> Path:
    """The network nearest to each target, the largest target first; left out if it is the teacher, the student or the one of
    the step before.
    """
    end = len(line.ladder)
    numbers = {-1: line.teacher} | {index: line.ladder[index] for index in places} | {end: line.student}
    found: list[int] = []
    for target in targets:
        away = {place: distance(number, target) for place, number in numbers.items()}
        nearest = min(away, key=away.__getitem__)
        if nearest not in (-1, end, *found):
            found.append(nearest)
    return tuple(found)


def _smaller(path: Path, params: Line[int]) -> Path:
    """Without networks that are not smaller than one above them: a network with fewer layers may be wider."""
    kept: list[int] = []
    for index in path:
        if all(params.ladder[index] < params.ladder[above] for above in kept):
            kept.append(index)
    return tuple(kept)
