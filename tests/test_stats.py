import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.metrics.intervals import Interval, wilson

Z = 1.959963984540054  # the normal quantile of 0.975

counts = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def closed_form(correct, n):
    p = correct / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return middle - half, middle + half


@given(counts)
def test_it_is_wilsons_formula(count):
    assert wilson(*count) == pytest.approx(closed_form(*count), abs=1e-12)


def test_known_values():
    """Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    rounded = [tuple(round(end, 4) for end in wilson(*count)) for count in ((81, 263), (15, 148), (0, 20), (1, 29))]
    assert rounded == [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)]


def test_ninety_of_a_hundred():
    assert wilson(90, 100) == pytest.approx((0.8256, 0.9448), abs=5e-5)


@given(counts)
def test_it_holds_the_accuracy_and_stays_within_0_and_1(count):
    interval = wilson(*count)
    assert 0 <= interval.low <= count[0] / count[1] <= interval.high <= 1
    assert interval.low < interval.high


@given(counts)
def test_wrong_answers_mirror_right_ones(count):
    correct, n = count
    mirrored = wilson(n - correct, n)
    assert wilson(correct, n) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


@given(counts)
def test_more_confidence_or_fewer_samples_make_it_wider(count):
    correct, n = count
    inner, outer, sure = wilson(10 * correct, 10 * n), wilson(correct, n), wilson(correct, n, confidence=0.99)
    assert sure.low <= outer.low <= inner.low and inner.high <= outer.high <= sure.high


@pytest.mark.parametrize("n", [30, 270])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_it_covers_the_truth_about_as_often_as_it_says(n, p):
    """The exact coverage, by the binomial distribution; Wilson's swings around 95% by a few points for small n."""
    held = [k for k in range(n + 1) if wilson(k, n).low <= p <= wilson(k, n).high]
    coverage = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in held)
    assert 0.93 < coverage < 0.98


def test_it_has_names():
    interval = wilson(1, 2)
    assert interval == Interval(low=interval.low, high=interval.high)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "n is 0; an interval needs at least one prediction"),
        ((-1, 5), "correct is -1; .* use 0 to 5"),
        ((6, 5), "correct is 6; .* use 0 to 5"),
        ((1, 5, 1.0), "confidence is 1.0; use a number strictly between"),
        ((1, 5, 95), "confidence is 95"),
    ],
)
def test_what_is_no_count_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson(*arguments)


def test_scipy_waits_until_it_is_needed():
    code = "import sys, autodistill.metrics.intervals; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
