"""Published rules for chains: what they name on ladders whose answer is known, and what holds on every ladder."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.answers.chains.asked import layers_of
from autodistill.answers.chains.rules import (
    RULES,
    Facts,
    Line,
    capacity_gap,
    geometric_mean,
    half_layers,
    middle_accuracy,
    one_fifth,
    thirty_percent,
    tradeoff,
)
from autodistill.spec import MLP, ResNet, Timm, Transformers

SHARES = st.floats(0, 1)
SIZES = st.integers(1, 10**7)


def sizes(*numbers: int) -> Facts:
    """Facts of params alone, from the teacher down to the student."""
    return Facts(Line.of(numbers))


def with_heights(params: list[int], heights: list[float]) -> Facts:
    return Facts(Line.of(params), heights=Line.of(heights))


def with_layers(params: list[int], layers: list[int]) -> Facts:
    return Facts(Line.of(params), layers=Line.of(layers))


@st.composite
def all_facts(draw: Any) -> Facts:
    """A ladder of different sizes in order, some of them outside of teacher and student."""
    count = draw(st.integers(0, 6))
    teacher, student = sorted(draw(st.lists(SIZES, min_size=2, max_size=2, unique=True)), reverse=True)
    ladder = sorted(draw(st.lists(SIZES, min_size=count, max_size=count, unique=True)), reverse=True)
    layers = draw(st.lists(st.integers(1, 48), min_size=count + 2, max_size=count + 2))
    heights = draw(st.lists(SHARES, min_size=count + 2, max_size=count + 2, unique=True))
    return Facts(Line(teacher, tuple(ladder), student), Line.of(layers), Line.of(heights))


def reordered(facts: Facts, order: list[int]) -> Facts:
    def moved(line: Any) -> Any:
        return line._replace(ladder=tuple(line.ladder[index] for index in order))

    return Facts(moved(facts.params), moved(facts.layers), moved(facts.heights))


# Every rule


@pytest.mark.parametrize("name", RULES)
@given(all_facts())
def test_paths_go_down_from_the_teacher_to_the_student(name: str, facts: Facts) -> None:
    path = RULES[name](facts)
    line = [facts.params.teacher, *(facts.params.ladder[index] for index in path or ()), facts.params.student]
    assert line == sorted(set(line), reverse=True)


@pytest.mark.parametrize("name", RULES)
@given(all_facts(), st.randoms(use_true_random=False))
def test_the_order_of_the_ladder_does_not_matter(name: str, facts: Facts, rng: Any) -> None:
    order = list(range(len(facts.params.ladder)))
    rng.shuffle(order)
    path, again = RULES[name](facts), RULES[name](reordered(facts, order))
    assert path == (None if again is None else tuple(order[index] for index in again))


@pytest.mark.parametrize("name", RULES)
@given(all_facts())
def test_networks_that_are_not_between_teacher_and_student_do_not_matter(name: str, facts: Facts) -> None:
    inside = sorted(facts.params.between())
    path, again = RULES[name](facts), RULES[name](reordered(facts, inside))
    assert path == (None if again is None else tuple(inside[index] for index in again))


@pytest.mark.parametrize("name", RULES)
def test_no_rule_names_an_assistant_where_there_is_none(name: str) -> None:
    for teacher in (11, 1000):
        facts = Facts(Line(teacher, (), 10), Line(8, (), 1), Line(0.9, (), 0.8))
        assert not RULES[name](facts)


def test_rules_say_nothing_about_what_is_unknown() -> None:
    facts = sizes(1000, 100, 10)
    assert middle_accuracy(facts) is tradeoff(facts) is half_layers(facts) is None


# One assistant


def test_rules_choose_as_their_papers_say() -> None:
    assert middle_accuracy(with_heights([9, 8, 7, 6, 5], [1.0, 0.95, 0.9, 0.8, 0.78])) == (1,)  # the middle is 0.89
    assert geometric_mean(sizes(10_000, 1000, 100, 10, 1)) == (1,)
    assert tradeoff(with_heights([1000, 900, 100, 1], [1.0, 0.9, 0.89, 0.5])) == (1,)  # 0.9 + 0.02 against 0.89 + 0.18
    assert tradeoff(with_heights([1000, 900, 100, 1], [1.0, 0.9, 0.73, 0.5])) == (0,)


@given(st.lists(st.integers(11, 10**6 - 1), min_size=1, max_size=6), st.integers(2, 50))
def test_the_geometric_mean_does_not_depend_on_the_unit(params: list[int], factor: int) -> None:
    path = geometric_mean(sizes(10**6, *params, 10))
    again = geometric_mean(sizes(factor * 10**6, *(factor * size for size in params), factor * 10))
    assert path and again
    distances = [abs(math.log(size) - math.log(10**3.5)) for size in params]
    assert distances[again[0]] == pytest.approx(distances[path[0]]) == pytest.approx(min(distances))


def line_of(heights: list[float], teacher: float, student: float) -> Facts:
    count = len(heights) + 2
    return with_heights(list(range(count, 0, -1)), [teacher, *heights, student])


@given(st.lists(SHARES, min_size=1, max_size=6), SHARES, SHARES)
def test_the_middle_accuracy_is_that_of_both_ends(accuracies: list[float], teacher: float, student: float) -> None:
    path = middle_accuracy(line_of(accuracies, teacher, student))
    assert path and path == middle_accuracy(line_of(accuracies, student, teacher))
    middle = (teacher + student) / 2
    assert abs(accuracies[path[0]] - middle) == min(abs(one - middle) for one in accuracies)


@given(st.lists(SHARES, min_size=1, max_size=6), SHARES, SHARES)
def test_the_middle_of_a_loss_is_the_middle_of_its_heights(losses: list[float], teacher: float, student: float) -> None:
    of_heights = middle_accuracy(line_of([-loss for loss in losses], -teacher, -student))
    assert of_heights == middle_accuracy(line_of(losses, teacher, student))


def test_one_fifth_is_for_ratios_above_ten() -> None:
    assert one_fifth(sizes(10_000, 5000, 2000, 1000)) == ()
    assert one_fifth(sizes(10_000, 5000, 2000, 999)) == (1,)
    assert one_fifth(sizes(10_000, 4000, 1000, 100)) == (0,), "both are twice or half as large as a fifth: the larger one"


# Several assistants


@given(st.integers(1, 6), st.integers(0, 6))
def test_the_capacity_gap_takes_every_power_of_its_ratio(steps: int, factor: int) -> None:
    ladder = [2**factor * 2 ** (steps - power) * 5**power for power in range(steps, -1, -1)]
    assert capacity_gap(sizes(*ladder)) == tuple(range(steps - 1))
    twice = [round(size * 2.5**half) for size in ladder[1:] for half in (0.5, 0)]
    assert capacity_gap(sizes(ladder[0], *twice)) == tuple(range(1, 2 * steps - 1, 2))


def test_within_the_ratio_the_capacity_gap_is_closed_without_an_assistant() -> None:
    assert capacity_gap(sizes(250, 150, 100)) == ()
    assert capacity_gap(sizes(260, 150, 100)) == (), "the teacher itself is nearest to 250"
    assert capacity_gap(sizes(400, 250, 150, 100)) == (0,)


@given(st.integers(1, 8))
def test_layers_are_halved_again_and_again(power: int) -> None:
    layers = [2**step for step in range(power, -1, -1)]
    params = [1000 * count for count in layers]
    assert half_layers(with_layers(params, layers)) == tuple(range(power - 1))


def test_half_of_the_layers_is_nearest_by_layers() -> None:
    assert half_layers(with_layers([100, 70, 60, 30, 20], [12, 9, 6, 3, 2])) == (1, 2)
    assert half_layers(with_layers([100, 90, 60, 20], [12, 6, 6, 2])) == (0,), "of equal layers, the largest"
    assert half_layers(with_layers([100, 60, 20], [12, 12, 12])) == (), "only the width differs"
    assert half_layers(with_layers([100, 60, 50, 20], [12, 3, 6, 2])) == (1,), "three wide layers are no step down"
    assert half_layers(with_layers([100, 60, 20], [12, 5, 3])) == (0,), "the half of the half is the student"


def test_layers_are_counted_within_one_family() -> None:
    encoders = [Transformers(layers=count, heads=2, head_width=8) for count in (6, 3)]
    assert layers_of(encoders) == [6, 3]
    assert layers_of([ResNet(depth=4, width=8), ResNet(depth=1, width=8)]) == [4, 1]
    assert layers_of([MLP(depth=2, width=8), ResNet(depth=1, width=8)]) is None
    assert layers_of([Timm(name="resnet18"), Timm(name="resnet10t")]) is None


@given(st.integers(2, 8))
def test_each_step_keeps_seventy_percent(steps: int) -> None:
    params = [10 ** (8 - step) * 7**step for step in range(steps + 1)]
    assert thirty_percent(sizes(*params)) == tuple(range(steps - 1))


def test_thirty_percent_steps_are_for_less_than_half_of_the_teacher() -> None:
    assert thirty_percent(sizes(1000, 700, 500)) == ()
    assert thirty_percent(sizes(1000, 700, 499)) == (0,), "the student is nearest to 490"
