"""Who goes on at a rung. Costs are (minus accuracy, size); smaller is better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill import pareto
from autodistill.halving import goes_on, net, order
from autodistill.spec.search import Halving

CELLS = st.tuples(st.integers(0, 9).map(lambda right: -right / 10), st.sampled_from([10.0, 20.0, 50.0, 100.0]))
TABLES = st.lists(CELLS, min_size=1, max_size=25).map(np.array)
SHARES = st.sampled_from([0.2, 0.34, 0.5, 0.8])


def test_the_first_at_a_rung_goes_on() -> None:
    assert goes_on([(-0.1, 100.0)], 0, share=0.01)


def test_the_worse_of_two_of_one_size_stops() -> None:
    costs = [(-0.9, 100.0), (-0.8, 100.0)]
    assert [goes_on(costs, own, share=0.5) for own in (0, 1)] == [True, False]


def test_a_chain_of_ranks_goes_on_up_to_the_share() -> None:
    costs = [(-rank / 10, 100.0) for rank in range(10)]
    assert [own for own in range(10) if goes_on(costs, own, share=0.3)] == [7, 8, 9]


@given(TABLES, SHARES, st.integers(1, 50))
def test_a_small_student_is_not_stopped_by_larger_ones(costs: np.ndarray, share: float, count: int) -> None:
    """However many of them there are, and however accurate."""
    larger = np.column_stack([np.full(count, -1.0), 200.0 + np.arange(count)])
    alone = goes_on(costs, 0, share=share)
    beaten = ((costs[:, 1] <= costs[0, 1]) & (costs[:, 0] < costs[0, 0])).any()
    if not beaten:
        assert alone and goes_on(np.concatenate([costs, larger]), 0, share=share)


@given(TABLES, SHARES)
def test_what_nothing_of_at_most_its_size_beats_goes_on(costs: np.ndarray, share: float) -> None:
    for own, (accuracy, size) in enumerate(costs):
        if not ((costs[:, 1] <= size) & (costs[:, 0] < accuracy)).any():
            assert goes_on(costs, own, share=share)
    assert all(goes_on(costs, int(own), share=share) for own in np.flatnonzero(pareto.nondominated(costs)))


@given(TABLES, SHARES)
def test_the_share_goes_on_and_a_worse_rank_never_before_a_better_one(costs: np.ndarray, share: float) -> None:
    on = [own for own in range(len(costs)) if goes_on(costs, own, share=share)]
    assert len(on) >= math.ceil(share * len(costs))
    rank = ranks(costs)
    stopped = set(range(len(costs))) - set(on)
    beaten = {one for one in on if ((costs[:, 1] <= costs[one, 1]) & (costs[:, 0] < costs[one, 0])).any()}
    assert all(rank[one] <= rank[other] for one in beaten for other in stopped)


@given(TABLES, SHARES, st.floats(0.1, 100), st.floats(0.1, 100))
def test_units_have_no_say(costs: np.ndarray, share: float, one: float, other: float) -> None:
    scaled = costs * np.array([one, other])
    assert [goes_on(scaled, own, share=share) for own in range(len(costs))] == [
        goes_on(costs, own, share=share) for own in range(len(costs))
    ]


@given(TABLES, SHARES)
def test_a_larger_share_stops_no_more(costs: np.ndarray, share: float) -> None:
    for own in range(len(costs)):
        assert goes_on(costs, own, share=min(0.99, share + 0.15)) >= goes_on(costs, own, share=share)


@given(TABLES)
def test_an_order_holds_every_row_once_rank_by_rank(costs: np.ndarray) -> None:
    found, rank = order(costs), ranks(costs)
    assert sorted(found) == list(range(len(costs)))
    assert [rank[row] for row in found] == sorted(rank)
    assert order(costs, 3) == found[:3]


def ranks(costs: np.ndarray) -> list[int]:
    """How many fronts must be taken away before a row is nondominated."""
    rank, left = np.zeros(len(costs), dtype=int), np.arange(len(costs))
    for number in range(len(costs)):
        mask = pareto.nondominated(costs[left]) if len(left) else np.array([], dtype=bool)
        rank[left[mask]] = number
        left = left[~mask]
    return list(map(int, rank))


def test_a_net_takes_the_ends_then_the_middle() -> None:
    line = np.column_stack([-np.linspace(0, 1, 9), np.linspace(0, 1, 9)])
    assert list(net(line))[:3] == [8, 0, 4] and set(net(line)[3:5]) == {2, 6}


@given(TABLES)
def test_a_net_is_an_order_of_all_rows(costs: np.ndarray) -> None:
    assert sorted(net(costs)) == list(range(len(costs)))
    assert costs[net(costs)[0], 0] == costs[:, 0].min()


def test_an_empty_rung_has_no_order() -> None:
    assert order(np.empty((0, 2))) == [] and len(net(np.empty((0, 2)))) == 0


@pytest.mark.parametrize(
    ("first", "factor", "epochs", "rungs"),
    [(0.3, 2, 15, (5, 9)), (0.2, 2, 15, (3, 6, 12)), (1 / 9, 3, 27, (3, 9)), (0.5, 2, 1, ()), (0.01, 10, 3, (1,))],
)
def test_rungs_are_shares_of_the_training(first: float, factor: float, epochs: int, rungs: tuple[int, ...]) -> None:
    assert Halving(first=first, factor=factor).rungs(epochs) == rungs


@given(st.floats(0.01, 0.99), st.floats(1.1, 5), st.integers(1, 200))
def test_rungs_rise_and_end_before_the_training_does(first: float, factor: float, epochs: int) -> None:
    found = Halving(first=first, factor=factor).rungs(epochs)
    assert list(found) == sorted(set(found)) and all(0 < rung < epochs for rung in found)
