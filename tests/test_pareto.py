"""The definitions, written out slowly, against `autodistill.study.pareto`."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.study.pareto import frontier, hypervolume, nondominated

SIDE = 6  # small whole numbers: many ties and duplicates, and every volume is exact
UP_TO_FOUR, UP_TO_TWELVE = st.integers(1, 4), st.integers(0, 12)


@st.composite
def tables(draw, columns=UP_TO_FOUR, rows=UP_TO_TWELVE):
    m, n = draw(columns), draw(rows)
    flat = draw(st.lists(st.integers(0, SIDE), min_size=n * m, max_size=n * m))
    return np.array(flat, dtype=float).reshape(n, m)


def dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


def cells(costs, reference):
    """The number of unit cells below the reference that some row dominates."""
    corners = itertools.product(*(range(int(end)) for end in reference))
    return sum(any((row <= corner).all() for row in costs) for corner in corners)


@given(tables())
def test_the_mask_is_its_definition(costs):
    assert nondominated(costs).tolist() == [not any(dominates(other, row) for other in costs) for row in costs]


@given(tables(), st.randoms())
def test_the_mask_follows_its_rows_when_they_are_permuted(costs, random):
    order = random.sample(range(len(costs)), len(costs))
    assert nondominated(costs[order]).tolist() == nondominated(costs)[order].tolist()


@given(tables(), st.sampled_from([np.exp, np.cbrt, lambda x: 3.5 * x, lambda x: x**3 - 100, lambda x: x / 1024]))
def test_the_mask_and_the_frontier_ignore_monotone_transforms(costs, transform):
    assert nondominated(transform(costs)).tolist() == nondominated(costs).tolist()
    assert frontier(transform(costs)).tolist() == frontier(costs).tolist()


@given(tables())
def test_the_frontier_has_the_first_row_of_each_nondominated_vector_in_order(costs):
    members = frontier(costs)
    vectors = [tuple(row) for row in costs[members]]
    every = [tuple(row) for row in costs]
    assert set(vectors) == {every[index] for index in np.flatnonzero(nondominated(costs))}
    assert vectors == sorted(set(vectors), key=lambda vector: (vector[-1], *vector[:-1]))
    assert members.tolist() == [every.index(vector) for vector in vectors]


@given(tables(rows=st.integers(1, 12)), st.data())
def test_a_dominated_row_changes_nothing(costs, data):
    row = data.draw(st.integers(0, len(costs) - 1))
    m = costs.shape[1]
    worse = costs[row] + np.array(data.draw(st.lists(st.integers(0, 3), min_size=m, max_size=m)))
    more = np.vstack([costs, worse])
    reference = np.full(m, SIDE + 0.7)
    assert frontier(more).tolist() == frontier(costs).tolist()
    assert hypervolume(more, reference) == hypervolume(costs, reference)


@given(tables(columns=st.integers(1, 3)), st.integers(1, SIDE + 1))
def test_the_hypervolume_counts_cells(costs, end):
    reference = np.arange(end, end + costs.shape[1])
    assert hypervolume(costs, reference) == cells(costs, reference)


@given(tables(columns=st.just(4), rows=st.integers(0, 6)))
def test_the_hypervolume_counts_cells_in_four_dimensions(costs):
    assert hypervolume(costs, [4, 5, 4, 5]) == cells(costs, [4, 5, 4, 5])


@given(tables(columns=st.just(2)), st.integers(0, SIDE))
def test_sweep_and_slices_agree(costs, level):
    thick = np.column_stack([costs, np.full(len(costs), level)])
    reference = [SIDE + 1, SIDE]
    assert hypervolume(thick, [*reference, level + 3]) == 3 * hypervolume(costs, reference)
    assert nondominated(thick).tolist() == nondominated(costs).tolist()


@given(tables(), st.data())
def test_the_hypervolume_grows_with_rows_and_with_the_reference(costs, data):
    m = costs.shape[1]
    row, reference, further = (
        np.array(data.draw(st.lists(st.integers(low, SIDE), min_size=m, max_size=m))) for low in (0, 1, 0)
    )
    volume = hypervolume(costs, reference)
    assert volume <= hypervolume(np.vstack([costs, row]), reference) <= volume + hypervolume([row], reference)
    assert volume <= hypervolume(costs, reference + further)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=5))
def test_one_row_is_a_box(sides):
    low = np.array([start for start, _ in sides])
    lengths = np.array([length for _, length in sides])
    assert hypervolume([low], low + lengths) == lengths.prod()


@given(tables())
def test_rows_on_or_beyond_the_reference_add_nothing(costs):
    assert hypervolume(costs, costs.min(axis=0, initial=SIDE)) == 0.0


def test_disjoint_boxes_add_up():
    assert hypervolume([[0.0, 2.0], [2.0, 0.0]], [3, 3]) == 3 + 3 - 1
    assert hypervolume([[0, 2, 2], [2, 0, 2], [2, 2, 0]], [3, 3, 3]) == 3 * 3 - 3 + 1


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_hypervolume_is_near_a_sampled_one(m):
    random = np.random.default_rng(m)
    costs, samples = random.dirichlet(np.ones(m), 20), random.random((20_000, m))
    hit = (costs[None] <= samples[:, None]).all(axis=-1).any(axis=1).mean()
    assert hypervolume(costs, np.ones(m)) == pytest.approx(hit, abs=0.015)


def test_infinite_costs_are_the_worst():
    assert nondominated([[np.inf, 1.0], [2.0, np.inf], [np.inf, np.inf]]).tolist() == [True, True, False]
    assert hypervolume([[np.inf, 1.0], [1.0, 1.0]], [2, 2]) == 1.0


@pytest.mark.parametrize("m", [1, 2, 3])
def test_no_rows(m):
    none = np.empty((0, m))
    assert nondominated(none).shape == frontier(none).shape == (0,)
    assert (nondominated(none).dtype, frontier(none).dtype.kind) == (bool, "i")
    assert hypervolume(none, np.ones(m)) == 0.0


def test_the_arguments_are_left_as_they_are():
    costs = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
    before = costs.copy()
    nondominated(costs), frontier(costs), hypervolume(costs, [4, 4])
    assert (costs == before).all()


@pytest.mark.parametrize("function", [nondominated, frontier, lambda costs: hypervolume(costs, [1, 1])])
def test_what_cannot_be_compared_is_refused(function):
    with pytest.raises(ValueError, match="NaN in row 1, column 0; leave out"):
        function([[0, 1], [np.nan, 0]])
    with pytest.raises(ValueError, match=r"shape \(3,\); give \(n, m\)"):
        function([1, 2, 3])


@pytest.mark.parametrize("reference", [[1], [1, 2, 3], [1, np.inf], [np.nan, 1], 1])
def test_a_reference_that_does_not_fit_is_refused(reference):
    with pytest.raises(ValueError, match="give 2 finite numbers"):
        hypervolume([[0, 0]], reference)


def test_minus_infinity_has_no_volume():
    with pytest.raises(ValueError, match="-inf"):
        hypervolume([[-np.inf, 0]], [1, 1])


def test_of_many_rows_on_a_line_none_is_dominated():
    line = np.linspace(0, 1, 2000)
    assert nondominated(np.column_stack([line, -line])).all()
