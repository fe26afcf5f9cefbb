"""Metrics against scikit-learn and closed forms, and how often their tests claim what is not so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn import metrics as sklearn

from autodistill.metrics.intervals import (
    _capital,
    betting,
    bounded_mean,
    exceeds,
    hoeffding_bentkus,
    keeps,
    orders,
    wilson,
)
from autodistill.metrics.metric import ACCURACY, METRICS, Confusion, Mean, Metric, Outcome, named, outcome
from autodistill.metrics.moments import Errors
from autodistill.spec import TaskKind, UsageError

CLASSES = 7
ALL = pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))


def of_kind(metric: Metric, seed: int, n: int = 400, sharp: float = 1.5) -> Outcome:
    """Predictions for which the metric is made."""
    return outcome(*MADE[metric.kinds[-1]](seed, n, sharp))


def several(seed: int, n: int, sharp: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels (n, CLASSES) of 0 and 1."""
    random = np.random.default_rng(seed)
    labels = (random.random((n, CLASSES)) < np.linspace(0.2, 0.6, CLASSES)).astype(np.int64)
    return random.normal(size=(n, CLASSES)) + sharp / 3 * (2 * labels - 1), labels


def numbers(seed: int, n: int, sharp: float) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and values (n, 2) of different scales."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, 2))
    return (values + random.normal(size=(n, 2)) / sharp**2) * (0.3, 0.5), values * (0.3, 0.5)


def made(seed: int, n: int = 400, sharp: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels; a larger `sharp` makes better predictions."""
    random = np.random.default_rng(seed)
    labels = random.choice(CLASSES, n, p=np.arange(1, CLASSES + 1) / sum(range(1, CLASSES + 1)))
    logits = random.normal(size=(n, CLASSES))
    logits[np.arange(n), labels] += sharp
    return logits.astype(np.float32), labels


MADE = {"classification": made, "multilabel": several, "regression": numbers}


def constant(labels: np.ndarray, row: np.ndarray) -> Outcome:
    return outcome(np.tile(row, (len(labels), 1)), labels)


def sklearn_mae(z: np.ndarray, y: np.ndarray) -> float:
    return float(sklearn.mean_absolute_error(y, z))


ORACLES = {
    "accuracy": lambda z, y: sklearn.accuracy_score(y, z.argmax(1)),
    "top5": lambda z, y: sklearn.top_k_accuracy_score(y, z, k=5, labels=range(CLASSES)),
    "balanced_accuracy": lambda z, y: sklearn.balanced_accuracy_score(y, z.argmax(1)),
    "f1_macro": lambda z, y: sklearn.f1_score(y, z > 0 if y.ndim == 2 else z.argmax(1), average="macro"),
    "log_loss": lambda z, y: sklearn.log_loss(y, softmax(z), labels=range(CLASSES)),
    "auroc": lambda z, y: sklearn.roc_auc_score(y, z if y.ndim == 2 else softmax(z), multi_class="ovr"),
    "f1_micro": lambda z, y: sklearn.f1_score(y, z > 0, average="micro"),
    "average_precision": lambda z, y: sklearn.average_precision_score(y, z),
    "rmse": lambda z, y: sklearn.root_mean_squared_error(y, z),
    "mae": sklearn_mae,
    "r2": lambda z, y: sklearn.r2_score(y, z),
}


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z.astype(np.float64) - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(("name", "kind"), [(one.name, kind) for one in METRICS.values() for kind in one.kinds])
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_has_the_value_of_scikit_learn(name: str, kind: TaskKind, seed: int) -> None:
    logits, labels = MADE[kind](seed, 400, 0.5 if kind == "multilabel" else 1.5)
    assert METRICS[name].value(outcome(logits, labels)) == pytest.approx(ORACLES[name](logits, labels), rel=1e-6)


def test_of_equal_logits_the_first_class_is_predicted() -> None:
    found = outcome(np.zeros((3, 4)), [0, 1, 3])
    assert found.predicted.tolist() == [0, 0, 0]
    assert found.rank.tolist() == [0, 1, 3]
    assert found.surprise == pytest.approx([math.log(4)] * 3)


def test_large_logits_do_not_overflow() -> None:
    assert outcome([[1e4, -1e4]], [1]).surprise == pytest.approx([2e4])


BEST: dict[str, list[Callable[[np.ndarray], np.ndarray]]] = {
    "classification": [lambda y: np.log(np.bincount(y, minlength=CLASSES) / len(y))],
    "multilabel": [lambda y, least=least: y.mean(0) - least for least in np.linspace(0.0, 0.7, 71)],
    "regression": [lambda y: y.mean(0), lambda y: np.median(y, axis=0)],
}
"""Outputs that one of the metrics of this kind likes best if they have to be the same for all samples."""


@pytest.mark.parametrize(("name", "kind"), [(one.name, kind) for one in METRICS.values() for kind in one.kinds])
def test_the_floor_is_what_the_best_constant_prediction_gets(name: str, kind: TaskKind) -> None:
    metric, (_, labels) = METRICS[name], MADE[kind](0, 400, 1.5)
    floor = metric.floor(labels, CLASSES)
    values = [metric.value(constant(labels, row(labels))) for row in BEST[kind]]
    assert min(values, key=metric.cost) == pytest.approx(floor)
    random = np.random.default_rng(1)
    for _ in range(50):
        other = metric.value(constant(labels, random.normal(size=CLASSES if kind != "regression" else 2)))
        assert metric.reaches(floor, other) or other == pytest.approx(floor)


@ALL
def test_a_score_holds_its_value(metric: Metric) -> None:
    found = metric.score(of_kind(metric, 3), CLASSES)
    assert found.n == 400
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.15)
    assert metric.score(of_kind(metric, 3), CLASSES) == found, "a score is not random"


@ALL
def test_the_error_falls_with_the_root_of_the_samples(metric: Metric) -> None:
    few, many = (metric.score(of_kind(metric, 4, n), CLASSES).error for n in (500, 8000))
    assert few / many == pytest.approx(4, rel=0.3)


@ALL
def test_a_scale_has_an_inverse_and_rises_with_quality(metric: Metric) -> None:
    values = np.array([0.02, 0.3, 0.5, 0.9, 0.99])
    assert metric.unwarp(metric.warp(values)) == pytest.approx(values)
    rising = np.diff(metric.warp(values)) > 0
    assert rising.all() if metric.higher else not rising.any()


@ALL
@given(value=st.floats(0.05, 0.95))
@settings(max_examples=30)
def test_errors_are_scaled_with_the_slope(metric: Metric, value: float) -> None:
    step = 1e-6
    slope = abs(float(metric.warp(value + step) - metric.warp(value - step))) / (2 * step)
    like = metric.score(of_kind(metric, 3), CLASSES)
    found = metric.noise([float(metric.warp(value))], like)[0]
    assert found == pytest.approx(slope * metric.error(value, like), rel=0.05)


@ALL
def test_where_it_was_measured_the_error_is_the_measured_one(metric: Metric) -> None:
    like = metric.score(of_kind(metric, 3), CLASSES)
    assert metric.error(like.value, like) == pytest.approx(like.error, rel=0.1)


@ALL
def test_heights_rise_with_quality_and_are_their_own_inverse(metric: Metric) -> None:
    values = np.array([0.2, 0.5])
    assert metric.height(metric.height(values)) == pytest.approx(values)
    better, worse = metric.height([0.9, 0.8] if metric.higher else [0.8, 0.9])
    assert better > worse and metric.cost(0.3) == -metric.height([0.3])[0]


@ALL
def test_a_perfect_network_has_no_shortfall(metric: Metric) -> None:
    best = metric.high if metric.higher else metric.low
    assert metric.shortfall(best) == 0 < metric.shortfall(0.5)
    seen = of_kind(metric, 3)
    found = metric.score(seen, CLASSES)
    assert metric.likely_shortfall(found) == pytest.approx(metric.shortfall(found.value), abs=2 / found.n)


@ALL
def test_only_an_interval_beyond_the_floor_clears_it(metric: Metric) -> None:
    seen = of_kind(metric, 3)
    found = metric.score(seen, CLASSES)
    assert metric.clears(found, metric.floor(seen.labels, CLASSES))
    assert not metric.clears(found, found.value) and not metric.clears(found, found.low if metric.higher else found.high)


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="task.metric: 'acuracy' is not a metric; did you mean 'accuracy'"):
        named("acuracy")
    with pytest.raises(UsageError, match=r"task.also\[0\]: 'x' is not a metric; use one of accuracy, top5"):
        named("x", "task.also[0]")


@ALL
def test_the_directions_agree(metric: Metric) -> None:
    better, worse = (0.9, 0.8) if metric.higher else (0.8, 0.9)
    assert metric.reaches(better, worse) and not metric.reaches(worse, better) and metric.reaches(worse, worse)
    assert metric.cost(better) < metric.cost(worse)
    assert metric.kept(worse, better) < 1 < metric.kept(better, worse)
    assert metric.kept(metric.keeping(better, 0.95), better) == pytest.approx(0.95)
    assert metric.reaches(better, metric.keeping(better, 0.95))


@ALL
def test_a_harder_target_has_a_larger_p_value(metric: Metric) -> None:
    found = of_kind(metric, 5)
    value = metric.value(found)
    targets = np.linspace(*((0.8, 1.2) if isinstance(metric, Errors) else (0.9, 1.1)), 9) * value
    hard = targets if metric.higher else targets[::-1]
    p = [metric.misses(found, CLASSES, target) for target in hard]
    assert p == sorted(p)
    assert p[0] < 0.05 < 0.4 < p[4] < (0.9 if isinstance(metric, Errors) else 0.75)


@ALL
def test_a_network_keeps_all_of_what_it_has_and_not_more(metric: Metric) -> None:
    own, teacher = of_kind(metric, 6), of_kind(metric, 6, sharp=2.5)
    assert metric.loses(teacher, own, CLASSES, 1.0) < 0.05
    assert metric.loses(own, teacher, CLASSES, 1.0) > 0.95
    many = of_kind(metric, 6, n=2000)
    assert metric.loses(many, many, CLASSES, 0.98) < 0.05, "the two are paired"


def test_accuracies_are_tested_exactly() -> None:
    logits, labels = made(7)
    found, other = outcome(logits, labels), outcome(*made(7, sharp=1.0))
    right, theirs = found.rank == 0, other.rank == 0
    n, correct = len(labels), int(right.sum())
    assert ACCURACY.misses(found, CLASSES, 0.6) == exceeds(correct, n, 0.6)
    counts = int((right & theirs).sum()), int((right & ~theirs).sum()), int((~right & theirs).sum())
    assert ACCURACY.loses(found, other, CLASSES, 0.9) == keeps(*counts, n, 0.9)
    score = ACCURACY.score(found, CLASSES)
    assert (score.low, score.high) == wilson(correct, n)


def test_a_loss_without_a_large_sample_is_not_taken_for_one_without_risk() -> None:
    """300 samples of 0.02 nats: if one in a hundred has 4 nats, 5% of such splits show none of them."""
    none = np.zeros(300, dtype=np.int64)
    seen = Outcome(none, none, none, np.full(300, 0.02))
    assert METRICS["log_loss"].misses(seen, 2, 0.06) > 0.2
    assert METRICS["log_loss"].misses(seen, 2, 0.2) < 0.05, "one sample of 10 nats in 300 is 0.03"
    assert METRICS["log_loss"].loses(seen, seen, 2, 0.5) > 0.05


LOSSES = {"10% of 2 nats": (0.1, 2.0), "2% of 3 nats": (0.02, 3.0), "1% of 4 nats": (0.01, 4.0)}
"""The share of samples with a large loss, and its mean in nats; that of the others is 0.02. All are exponential."""


def drawn_losses(case: str, n: int, studies: int, seed: int) -> tuple[np.ndarray, float]:
    """Losses (studies, n), and their true mean."""
    (share, large), random = LOSSES[case], np.random.default_rng(seed)
    losses = random.exponential(np.where(random.random((studies, n)) < share, large, 0.02))
    return losses, share * large + (1 - share) * 0.02


def loss_claims(case: str, n: int, studies: int, seed: int) -> float:
    """How often a network whose true log loss is exactly the target is claimed to be better, at 5%."""
    losses, mean = drawn_losses(case, n, studies, seed)
    none = np.zeros(n, dtype=np.int64)
    p = [METRICS["log_loss"].misses(Outcome(none, none, none, one), 2, mean) for one in losses]
    return float(np.mean(np.array(p) <= 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("case", LOSSES)
def test_few_claims_of_a_skewed_loss_are_false(case: str) -> None:
    assert loss_claims(case, 300, 200, seed=1) <= 0.05


def test_a_class_without_an_error_is_not_taken_for_one_without_risk() -> None:
    """20 correct predictions of 20: with one class, the p-value is Clopper and Pearson's, target^20."""
    labels = np.zeros(20, dtype=np.int64)
    sure = Outcome(labels, labels, labels, np.zeros(20))
    assert METRICS["balanced_accuracy"].misses(sure, 1, 0.9) == pytest.approx(0.9**20, abs=0.01)


class Bounded(Mean):
    """The probability of the label."""

    def each(self, found: Outcome) -> np.ndarray:
        return np.exp(-found.surprise)

    def floor(self, labels: np.ndarray, classes: int) -> float:
        return float(np.bincount(labels).max() / len(labels))


BOUNDED = Bounded(name="probability", label="probability of the label")


def test_a_bound_is_wider_than_an_approximation_and_names_itself() -> None:
    found = outcome(*made(8, n=2000))
    value = BOUNDED.value(found)
    assert "Bentkus" in BOUNDED.method and "bootstrap" in METRICS["log_loss"].method
    assert BOUNDED.misses(found, CLASSES, value - 0.1) < 0.001
    assert BOUNDED.misses(found, CLASSES, value) > 0.5
    assert BOUNDED.loses(found, found, CLASSES, 0.8) < 0.05


@given(n=st.integers(1, 300), limit=st.floats(0.01, 0.99), loss=st.floats(0, 1))
@settings(max_examples=200)
def test_hoeffding_and_bentkus_bound_the_binomial_tail(n: int, limit: float, loss: float) -> None:
    """Of losses 0 and 1, the exact p-value is the binomial tail, and no valid bound for all losses is smaller."""
    count = round(loss * n)
    p = hoeffding_bentkus(count / n, n, limit)
    assert 0 <= p <= 1
    assert p >= min(1.0, float(binom.cdf(count, n, limit))) - 1e-9


def test_r_squared_of_a_value_that_is_always_the_same_is_1_or_0() -> None:
    random = np.random.default_rng(0)
    y = np.stack([random.normal(size=50), np.full(50, 1 / 3)], 1)
    near = y + 0.1 * random.normal(size=(50, 1))
    first = float(METRICS["r2"].value(outcome(near[:, :1], y[:, :1])))
    assert METRICS["r2"].value(outcome(np.stack([near[:, 0], y[:, 1]], 1), y)) == pytest.approx((first + 1) / 2)
    assert METRICS["r2"].value(outcome(near, y)) == pytest.approx(first / 2)
    assert np.isfinite(METRICS["r2"].score(outcome(near, y), 2).error)


def test_labels_that_no_sample_or_every_one_has_have_no_floor() -> None:
    assert METRICS["average_precision"].floor(np.zeros((50, 3), np.int64), 3) == 0.0


@pytest.mark.parametrize("chances", [(0.7, 0.3, 0.0), (0.5, 0.2, 0.3), (0.1, 0.8, 0.1)])
def test_the_capital_of_a_bet_is_expected_to_stay_at_the_limit_and_to_fall_above_it(chances: tuple[float, ...]) -> None:
    """Over all outcomes of five samples with losses of 0, 1/2, and 1. So, by Markov's inequality, the p-value is valid."""
    levels = (0.0, 0.5, 1.0)
    mean, expected = float(np.dot(levels, chances)), {0.0: 0.0, 0.05: 0.0}
    for outcomes in itertools.product(range(3), repeat=5):
        losses = np.array([levels[one] for one in outcomes])
        for less in expected:
            expected[less] += math.prod(chances[one] for one in outcomes) / unclipped(losses, mean - less)
    assert expected[0.0] == pytest.approx(1) and expected[0.05] < 1


def unclipped(losses: np.ndarray, limit: float) -> float:
    """The p-value of a bet, or more than 1 if the capital has fallen."""
    return 1 / float(np.mean([_capital(losses[order], limit) for order in orders(len(losses))]))


@given(losses=st.lists(st.floats(0, 1), min_size=1, max_size=60), limit=st.floats(0.01, 0.98))
@settings(max_examples=50)
def test_a_larger_limit_is_met_by_more(losses: list[float], limit: float) -> None:
    found = [p_value(np.array(losses), one) for one in (limit, limit + 0.01) for p_value in (betting, bounded_mean)]
    assert found[2] <= found[0] + 1e-9 and found[3] <= found[1] + 1e-9 and all(0 <= one <= 1 for one in found)


def test_a_bet_sees_a_small_gain_where_bounds_for_losses_of_0_and_1_do_not() -> None:
    losses = np.random.default_rng(0).beta(20, 80, 300)
    assert betting(losses, 0.25) < 1e-4 and hoeffding_bentkus(float(losses.mean()), 300, 0.25) > 0.05
    assert bounded_mean(losses, 0.25) < 1e-4


def claims(metric: Metric, truth: np.ndarray, shares: np.ndarray, n: int, target: float, studies: int, seed: int) -> float:
    """How often a network of which `target` is the true value is claimed to be better, at 5%."""
    random, false = np.random.default_rng(seed), 0
    for _ in range(studies):
        labels = random.choice(len(shares), n, p=shares)
        right = random.random(n) < truth[labels]
        wrong = (labels + random.integers(1, len(shares), n)) % len(shares)
        predicted = np.where(right, labels, wrong)
        found = Outcome(labels, predicted, np.where(right, 0, 1), np.zeros(n))
        false += metric.misses(found, len(shares), target) <= 0.05
    return false / studies


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro"])
def test_few_false_claims_on_rare_classes(name: str) -> None:
    """Four samples in a hundred are of the second class. The rate is 5%; of 200 studies, 20 would be far above it."""
    metric, shares, truth = METRICS[name], np.array([0.96, 0.04]), np.array([0.95, 0.85])
    assert isinstance(metric, Confusion)
    wrong = shares * (1 - truth)
    given_ = np.array([shares[0] * truth[0] + wrong[1], shares[1] * truth[1] + wrong[0]])
    target = float(metric.of(shares * truth, given_, shares))
    assert claims(metric, truth, shares, 1000, target, 200, seed=0) < 0.1
