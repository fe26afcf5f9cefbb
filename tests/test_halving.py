"""Who goes on at a rung: facts that hold for any table of costs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.metrics.metric import ACCURACY
from autodistill.spec.measurement import Sizes
from autodistill.spec.search import Halving, Search
from autodistill.study import pareto
from autodistill.study.record.region import Region
from autodistill.study.schedule.halving import Reached, Rungs, continues, net, ranks_of

from .scored import score

COSTS = st.integers(2, 3).flatmap(
    lambda columns: st.lists(st.tuples(*[st.integers(0, 6)] * columns), min_size=1, max_size=40).map(np.array)
)
SHARE = st.sampled_from([0.1, 1 / 3, 0.5, 0.9])


@given(COSTS, SHARE)
def test_what_nothing_of_at_most_its_size_beats_always_goes_on(costs: np.ndarray, share: float) -> None:
    own = costs[-1]
    if not any((row[1:] <= own[1:]).all() and row[0] < own[0] for row in costs):
        assert continues(costs, share=share)


@given(COSTS, SHARE, st.randoms())
def test_the_order_of_the_others_has_no_say(costs: np.ndarray, share: float, random: object) -> None:
    others = list(map(tuple, costs[:-1]))
    random.shuffle(others)  # type: ignore[attr-defined]
    assert continues([*others, tuple(costs[-1])], share=share) == continues(costs, share=share)


@given(COSTS, SHARE)
def test_units_have_no_say(costs: np.ndarray, share: float) -> None:
    assert continues(np.exp(costs), share=share) == continues(costs, share=share)


@given(COSTS, st.sampled_from([(0.2, 0.5), (0.5, 0.8)]))
def test_a_larger_share_lets_no_fewer_go_on(costs: np.ndarray, shares: tuple[float, float]) -> None:
    assert continues(costs, share=shares[0]) <= continues(costs, share=shares[1])


@given(COSTS, SHARE)
def test_among_distinct_rows_a_full_share_or_the_unbeaten_go_on(costs: np.ndarray, share: float) -> None:
    """Asking each row as the last: as many as the share go on, and beside them only unbeaten ones."""
    rows = np.unique(costs, axis=0)
    last = [np.vstack([np.delete(rows, index, 0), rows[index]]) for index in range(len(rows))]
    went = [index for index, table in enumerate(last) if continues(table, share=share)]
    unbeaten = [i for i, own in enumerate(rows) if not any((r[1:] <= own[1:]).all() and r[0] < own[0] for r in rows)]
    most = max(1, math.ceil(share * len(rows)))
    assert len(set(went) - set(unbeaten)) <= most <= len(set(went) | set(unbeaten))
    assert len(went) >= most


@given(COSTS)
def test_ranks_are_the_length_of_the_longest_chain_above(costs: np.ndarray) -> None:
    ranks = ranks_of(costs)
    for row, rank in zip(costs, ranks, strict=True):
        above = [other for other, one in zip(ranks, costs, strict=True) if (one <= row).all() and (one < row).any()]
        assert rank == max(above, default=-1) + 1
    assert (np.flatnonzero(ranks == 0) == np.flatnonzero(pareto.nondominated(costs))).all()


@given(COSTS, SHARE)
def test_what_is_kept_decides_like_the_whole_table(costs: np.ndarray, share: float) -> None:
    reached = Reached(costs.shape[1])
    for count, row in enumerate(costs, 1):
        reached.enter(row)
        assert reached.last_continues(share) == continues(costs[:count], share=share)
        assert (reached._ranks[:count] == ranks_of(costs[:count])).all()


@given(COSTS)
def test_a_net_is_a_permutation_that_begins_with_the_best(costs: np.ndarray) -> None:
    rows = np.unique(costs, axis=0)
    chosen = net(rows)
    assert sorted(chosen) == list(range(len(rows))) and rows[chosen[0], 0] == rows[:, 0].min()


def test_a_net_takes_the_ends_then_the_middle() -> None:
    line = [(place, 8 - place) for place in range(9)]
    assert list(net(line))[:3] == [0, 8, 4]


def went(costs: np.ndarray, share: float) -> list[int]:
    """The rows that go on when each is asked as the last."""
    return [own for own in range(len(costs)) if continues(np.vstack([np.delete(costs, own, 0), costs[own]]), share=share)]


def test_of_one_size_the_best_go_on_up_to_the_share() -> None:
    assert went(np.array([(-0.9, 100.0), (-0.8, 100.0)]), 0.5) == [0]
    assert went(np.array([(-rank / 10, 100.0) for rank in range(10)]), 0.3) == [7, 8, 9]


@given(COSTS, SHARE, st.integers(1, 50))
def test_a_small_student_is_not_stopped_by_larger_ones(costs: np.ndarray, share: float, count: int) -> None:
    """However many of them there are, and however accurate."""
    larger = np.full((count, costs.shape[1]), 10.0)
    larger[:, 0] = -1
    own = costs[-1]
    if not any((row[1:] <= own[1:]).all() and row[0] < own[0] for row in costs):
        assert continues(np.vstack([larger, costs]), share=share)


@pytest.mark.parametrize(
    ("first", "factor", "epochs", "rungs"),
    [(0.3, 2, 15, (5, 9)), (0.2, 2, 15, (3, 6, 12)), (1 / 9, 3, 27, (3, 9)), (0.5, 2, 1, ()), (0.01, 10, 3, (1,))],
)
def test_rungs_are_shares_of_the_training(first: float, factor: float, epochs: int, rungs: tuple[int, ...]) -> None:
    assert tuple(Halving(first=first, factor=factor).places(epochs)) == rungs


@given(st.floats(0.01, 0.99), st.floats(1.1, 5), st.integers(1, 200))
def test_rungs_rise_and_end_before_the_training_does(first: float, factor: float, epochs: int) -> None:
    found = Halving(first=first, factor=factor).places(epochs)
    assert list(found) == sorted(set(found)) and all(0 < rung < epochs for rung in found)


@given(st.integers(1, 19), st.sampled_from([Fraction(3, 2), Fraction(2), Fraction(5, 2), Fraction(3)]), st.integers(1, 300))
def test_rungs_are_those_of_exact_arithmetic(twentieths: int, factor: Fraction, epochs: int) -> None:
    """0.1 * 3 * 10 is more than 3 in floats; each epoch is the last of the rungs that fall on it."""
    exact, at = dict[int, int](), Fraction(twentieths, 20)
    while math.ceil(at * epochs) < epochs:
        exact[math.ceil(at * epochs)] = round(math.log(at / Fraction(twentieths, 20), factor))
        at *= factor
    assert Halving(first=twentieths / 20, factor=float(factor)).places(epochs) == exact


def test_a_rung_is_a_share_whatever_the_epochs() -> None:
    """Of two epochs the first is a quarter and half of them; it stands for half."""
    halving = Halving(first=0.25, factor=2)
    assert halving.places(15) == {4: 0, 8: 1} and halving.places(2) == {1: 1}
    assert Halving(first=0.1, factor=3).places(10) == {1: 0, 3: 1, 9: 2}


SIZES = Sizes(100, 0, 0)
EVERYWHERE = Region(metric=ACCURACY, floor=0.0, teacher=score(0.9, 10**9), rise=0.0, below={}, everything=True)


def rungs(**halving: float) -> Rungs:
    return Rungs(Search.model_validate({"trials": 4, "halving": halving}), lambda: EVERYWHERE)


def test_half_a_training_is_not_compared_with_a_quarter() -> None:
    """Epochs are searched: 0.9 after a quarter of 15 epochs says nothing about 0.5 after half of 2."""
    found = rungs(first=0.25, factor=2.0, share=0.5)
    assert all(found.continues(key, SIZES, 15, 4, 0.9) for key in "ab")
    assert found.continues("c", SIZES, 2, 1, 0.5)
    assert found.continues("d", SIZES, 15, 8, 0.95) and not found.continues("e", SIZES, 2, 1, 0.4)


def test_what_was_reported_at_other_shares_is_left_out() -> None:
    """A stage that was stored, or stopped, with rungs at 8 of 15 epochs; now they are 4 and 12."""
    found = rungs(first=0.25, factor=3.0, share=0.5)
    found.enter("old", SIZES, 15, [(8, 0.9)])
    assert found.passed("old") == [] and found.continues("a", SIZES, 15, 4, 0.3)
    assert found.continues("old", SIZES, 15, 12, 0.8) and found.passed("old") == [(12, 0.8)]
    assert not found.continues("b", SIZES, 15, 4, 0.2) and not found.continues("c", SIZES, 15, 12, 0.7)
    assert found.continues("a", SIZES, 15, 12, 0.9)


def test_what_is_entered_counts_at_its_own_rung_and_once() -> None:
    found = rungs(first=0.25, factor=2.0, share=0.5)
    for _ in range(2):
        found.enter("old", SIZES, 15, [(8, 0.9)])
    assert found.passed("old") == [(8, 0.9)] and found.continues("a", SIZES, 15, 4, 0.3)
    assert not found.continues("a", SIZES, 15, 8, 0.8) and found.continues("old", SIZES, 15, 8, 0.9)
