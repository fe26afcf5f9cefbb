"""The smallest student that meets a target: claims that hold, however many students were looked at."""

from __future__ import annotations

import itertools
import math
import re
import shutil
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from scipy import optimize, stats

from autodistill.answers import Wanted, smallest
from autodistill.answers import towards as toward
from autodistill.answers.claim import Needed
from autodistill.answers.confirm.confirmation import (
    Baselines,
    ClassPart,
    Confirmation,
    Device,
    Latency,
    Look,
    Member,
    OnTest,
    SealedSplit,
)
from autodistill.answers.smallest import in_order, knee, one_standard_error
from autodistill.answers.towards import Until, towards
from autodistill.metrics.intervals import calibration_error, enough, exceeds, keeps, mean_interval
from autodistill.metrics.latency import Timing
from autodistill.metrics.metric import METRICS, Outcome, named
from autodistill.reporting.progress import Progress
from autodistill.spec import Spec, StudyError, UsageError, parse
from autodistill.spec.measurement import Score, Sizes
from autodistill.study import driver
from autodistill.study.driver import Options
from autodistill.study.record.directory import StudyDirectory

from .scored import score
from .searching import search

STUDIES = 2000


ONLY = ClassPart(label=0, name="0", n=1, accuracy=1.0, teacher=1.0, drop=0.0)


def member(name: str, params: int, validation: float, right: np.ndarray, n: int = 1000) -> Member:
    correct = int(right.sum())
    known = {"by_class": (ONLY,), "worst_drop": ONLY, "by_group": None, "worst_group": None}
    timing = Timing(batch=1, p50_ms=params / 1000, p95_ms=params / 500)
    return Member(
        **{"stage": name, "chosen": name, "role": "student", "architecture": name, "chain": f"teacher > {name}"},
        **Sizes(params, params, 4 * params).facts(),
        bytes_float16=2 * params,
        **{"seconds": 1.0, "seconds_chain": 2.0, "weights": name, "on_frontier": True, "networks": (), "seeds": None},
        metric="accuracy",
        validation={"accuracy": score(validation, n)},
        test=OnTest(
            scores={"accuracy": score(correct / len(right), len(right))}, **known, calibration_error=0.0, agreement=1.0
        ),
        latency=Latency(one=timing, batched=timing),
        baselines=Baselines(label_only=None, direct=None, direct_long=None),
    )


def confirmed(rights: Sequence[np.ndarray], teacher: np.ndarray, validations: Sequence[float] | None = None) -> Confirmation:
    """Students of 100, 200, ... params whose accuracies on validation rise with them, unless given."""
    names = [f"student{index}" for index in range(len(rights))]
    validations = validations or [0.5 + 0.01 * index for index in range(len(rights))]
    members = [
        member(name, 100 * (index + 1), validations[index], right)
        for index, (name, right) in enumerate(zip(names, rights, strict=True))
    ]
    return Confirmation(
        study="simulated",
        metric="accuracy",
        seeds=0,
        test=SealedSplit(n=len(teacher), classes=2, digest="", class_names=None),
        device=Device(name="", kind="cpu", threads=1),
        environment={},
        failures={},
        teacher=member("teacher", 10_000, 0.9, teacher),
        members=tuple(members),
        opened=(),
        opening="",
        trials=0,
        ended=(),
        own_test=True,
        outcomes={name: outcome_of(right) for name, right in zip([*names, "teacher"], [*rights, teacher], strict=True)},
    )


def outcome_of(right: np.ndarray) -> Outcome:
    """Predictions of two classes that are right where the mask says so."""
    wrong = (~right).astype(np.int64)
    return Outcome(labels=np.zeros(len(right), dtype=np.int64), predicted=wrong, rank=wrong, surprise=wrong.astype(np.float64))


def drawn(generator: np.random.Generator, accuracies: Sequence[float], n: int) -> list[np.ndarray]:
    """Right answers that go together, as those of networks on the same samples do: hard samples are hard for all."""
    hard = generator.random(n)
    return [_right(hard, generator, accuracy) for accuracy in accuracies]


def _right(hard: np.ndarray, generator: np.random.Generator, accuracy: float) -> np.ndarray:
    """Half of the samples by their common hardness, half by chance: each is right with that accuracy."""
    alone = generator.random(len(hard))
    return np.where(generator.random(len(hard)) < 0.5, hard, alone) < accuracy


def claims(accuracies: Sequence[float], teacher: float, n: int, wanted: Wanted, seed: int) -> list[str | None]:
    """The names that were claimed, over many studies of the same truth."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(STUDIES):
        *rights, taught = drawn(generator, [*accuracies, teacher], n)
        answer = smallest(confirmed(rights, taught), wanted).answer
        found.append(answer and answer.stage)
    return found


WORST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth",
    [
        pytest.param([0.949] * 5, id="all just below"),
        pytest.param([0.949], id="one just below"),
        pytest.param([0.93, 0.94, 0.949, 0.96, 0.97], id="a frontier across the target"),
        pytest.param([0.949] * 4 + [0.99], id="a large one above"),
    ],
)
@pytest.mark.parametrize("n", [270, 2000])
def test_at_95_per_cent_at_most_5_per_cent_of_claims_on_an_accuracy_are_false(truth: list[float], n: int) -> None:
    false = {f"student{index}" for index, accuracy in enumerate(truth) if accuracy < 0.95}
    found = claims(truth, 0.98, n, Wanted(target=0.95), seed=n)
    assert sum(name in false for name in found) / STUDIES <= WORST


@pytest.mark.slow
@pytest.mark.parametrize("n", [270, 2000])
def test_and_of_claims_on_what_is_kept_of_the_teachers_accuracy(n: int) -> None:
    teacher = 0.96
    truth = [0.97 * teacher - 0.001] * 4
    found = claims(truth, teacher, n, Wanted(retain=0.97), seed=n + 1)
    assert sum(name is not None for name in found) / STUDIES <= WORST


@pytest.mark.slow
def test_two_points_above_the_target_are_seen_in_80_per_cent_and_as_often_as_by_bonferroni() -> None:
    truth, n, target = [0.97, 0.975, 0.98, 0.985], 2000, 0.95
    found = claims(truth, 0.99, n, Wanted(target=target), seed=3)
    generator, bonferroni = np.random.default_rng(3), 0
    for _ in range(STUDIES):
        first, *_ = drawn(generator, [*truth, 0.99], n)
        bonferroni += exceeds(int(first.sum()), n, target) <= 0.05 / len(truth)
    power = sum(name == "student0" for name in found) / STUDIES
    assert power >= 0.8
    assert power >= bonferroni / STUDIES


def test_the_test_of_an_accuracy_is_exact() -> None:
    n, target = 50, 0.9
    for correct in range(n + 1):
        by_hand = sum(math.comb(n, k) * target**k * (1 - target) ** (n - k) for k in range(correct, n + 1))
        assert exceeds(correct, n, target) == pytest.approx(by_hand)
    assert exceeds(0, n, target) == pytest.approx(1)


@given(st.integers(1, 400), st.floats(0.01, 0.99), st.sampled_from([0.01, 0.05, 0.2]))
@example(1, 0.010000000000000002, 0.01)
def test_enough_is_the_fewest_right_answers_that_pass(n: int, target: float, alpha: float) -> None:
    found = enough(n, target, alpha)
    passing = [correct for correct in range(n + 1) if exceeds(correct, n, target) <= alpha]
    assert found == (passing[0] if passing else None)


@given(st.integers(0, 60), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.floats(0.5, 1.0))
def test_the_variance_under_the_target_is_that_of_the_likeliest_parameters(
    both: int, student: int, teacher: int, none: int, share: float
) -> None:
    n, anybody = both + student + teacher + none, both + student + teacher
    if not (both and student and teacher):
        return
    m = anybody / n

    def loss(q: float) -> float:
        cells = (share * m - (1 + share) * q, q, share * q + (1 - share) * m)
        return -sum(count * math.log(max(cell, 1e-300)) for count, cell in zip((both, student, teacher), cells, strict=True))

    q = optimize.minimize_scalar(loss, bounds=(1e-12, share * m / (1 + share)), method="bounded", options={"xatol": 1e-12}).x
    variance = share * ((1 + share) * (share * q + (1 - share) * m) - (1 - share) * (share * m - (1 + share) * q))
    difference = both + student - share * (both + teacher)
    assert keeps(both, student, teacher, n, share) == pytest.approx(
        stats.norm.sf(difference / math.sqrt(n * variance)), abs=1e-4
    )


def test_keeping_all_of_the_teachers_accuracy_is_mcnemars_test() -> None:
    # share 1: T = (student only - teacher only) / sqrt(student only + teacher only)
    assert keeps(80, 12, 5, 100, 1.0) == pytest.approx(stats.norm.sf(7 / math.sqrt(17)))
    assert keeps(90, 0, 0, 100, 1.0) == 1.0


@given(st.integers(1, 50), st.integers(0, 20), st.integers(0, 20), st.floats(0.5, 0.99))
def test_a_better_student_never_has_less_evidence(both: int, student: int, teacher: int, share: float) -> None:
    n = both + student + teacher + 5
    assert keeps(both, student + 1, teacher, n, share) <= keeps(both, student, teacher, n, share) + 1e-9


@pytest.mark.parametrize("counts", [(-1, 0, 0, 10, 0.9), (0, 0, 0, 10, 0.9), (8, 2, 1, 10, 0.9), (5, 1, 1, 10, 0.0)])
def test_counts_that_are_none_are_refused(counts: tuple[int, int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="are not valid counts"):
        keeps(*counts)


def test_the_interval_of_a_mean_is_students() -> None:
    values = [0.9, 0.92, 0.91]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx((low, high))
    assert mean_interval([0.9]) is None


def test_who_is_as_sure_as_right_has_no_calibration_error() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([1.0] * 4, [True, True, False, False]) == pytest.approx(0.5)
    assert calibration_error([0.05, 0.95], [False, True]) == pytest.approx(0.05)


# The order


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), min_size=1, max_size=12))
def test_the_order_goes_down_in_size_and_in_validation_accuracy(points: list[tuple[int, int]]) -> None:
    right = np.ones(10, dtype=bool)
    members = [member(str(index), params, score / 20, right) for index, (params, score) in enumerate(points)]
    order = in_order(members)
    for larger, smaller in itertools.pairwise(order):
        assert larger.params > smaller.params
        assert larger.on_validation.value > smaller.on_validation.value


def rights(*correct: int, n: int = 1000) -> list[np.ndarray]:
    return [np.arange(n) < count for count in correct]


def test_the_sequence_stops_at_the_first_that_fails() -> None:
    found = smallest(confirmed(rights(990, 900, 985, 990), rights(995)[0]), Wanted(target=0.95))
    assert [row.passed for row in found.tested] == [True, True, False, None]
    assert found.answer.stage == "student2"
    assert found.runner_up.stage == "student3"
    assert found.next_smaller.stage == "student1"
    needed = found.needed.correct
    assert found.more_correct == needed - 900
    assert exceeds(needed, 1000, 0.95) <= 0.05 < exceeds(needed - 1, 1000, 0.95)


def test_test_accuracies_do_not_change_the_order() -> None:
    found = smallest(confirmed(rights(999, 960), rights(995)[0]), Wanted(target=0.99))
    assert [row.member.stage for row in found.tested] == ["student1", "student0"]
    assert not found.meets, "the largest failed: what is smaller is not asked, however well it did"


def test_limits_leave_larger_ones_out_before_anything_is_tested() -> None:
    everyone = confirmed(rights(970, 990, 995), rights(995)[0])
    assert smallest(everyone, Wanted(target=0.9, params=200)).tested[0].member.stage == "student1"
    assert smallest(everyone, Wanted(target=0.9, bytes=400)).tested[0].member.stage == "student0"
    assert smallest(everyone, Wanted(target=0.9, latency_ms=0.25)).tested[0].member.stage == "student1"
    nobody = smallest(everyone, Wanted(target=0.9, params=5))
    assert not nobody.meets and nobody.nearest is None
    assert "no member of the frontier is within the limits" in nobody.sentence()


def test_without_a_question_it_is_to_ship_or_not_to_ship() -> None:
    found = smallest(confirmed(rights(900, 985), rights(990)[0]), Wanted())
    assert (found.wanted.retain, found.wanted.params) == (0.95, 5000)
    assert found.sentence().startswith("Ship: student1 with 200 params is shown to have at least 95% of the teacher's accuracy")
    found = smallest(confirmed(rights(700, 800), rights(990)[0]), Wanted())
    assert found.sentence().startswith("Do not ship: no student is proven to meet the target of 95%")


def test_what_would_pass_instead_is_the_highest_target_that_passes() -> None:
    found = smallest(confirmed(rights(900, 950), rights(990)[0]), Wanted(target=0.99))
    would = found.would_pass
    assert exceeds(950, 1000, would) <= 0.05 < exceeds(950, 1000, would + 1e-4)
    assert any(line.startswith(f"would pass   at {100 * would:.2f}%") for line in found.lines())


def test_too_few_test_samples_are_said() -> None:
    found = smallest(confirmed(rights(40, 50, n=50), rights(50, n=50)[0]), Wanted(target=0.99))
    assert found.needed == Needed(correct=None, n=50, accuracy=None, least_n=299)
    assert any("at least 299 test samples (there are 50), all predicted correctly" in line for line in found.lines())


def test_the_knee_and_the_one_standard_error_choice_are_of_validation() -> None:
    members = [member(str(params), params, score, np.ones(9, dtype=bool)) for params, score in POINTS]
    found = knee(members)
    assert found is not None and found.params == 1000
    found = one_standard_error(members)
    assert found is not None and found.params == 10_000  # 0.97 - sqrt(0.97 * 0.03 / 1000) = 0.9646
    assert knee(members[:2]) is None


def test_a_related_student_that_is_the_answer_is_not_described_again() -> None:
    found = smallest(confirmed(rights(500, 990, 995), rights(995)[0], validations=[0.5, 0.99, 0.995]), Wanted(target=0.9))
    assert found.answer is not None and found.knee is not None and found.knee.chosen == found.answer.chosen
    assert any(line.startswith("knee point   the same student: 99.0% validation") for line in found.lines())


POINTS = [(100, 0.5), (1000, 0.95), (10_000, 0.965), (100_000, 0.97)]


@pytest.mark.parametrize(
    "given, said",
    [
        ({"target": 0.9, "retain": 0.9}, "--accuracy and --retain are two targets"),
        ({"metric": "f1_macro", "target": 0.9, "retain": 0.9}, "--target and --retain are two targets"),
        ({"metric": "accuracy", "target": 95.0}, "--accuracy 95.0: give a share between 0 and 1, such as 0.95"),
        ({"metric": "f1_macro", "target": 95.0}, "--target f1_macro=95.0: give a value between 0 and 1"),
        ({"metric": "log_loss", "target": -1.0}, "--target log_loss=-1.0: give a value above 0"),
        ({"metric": "f1", "target": 0.5}, "--target: 'f1' is not a metric"),
        ({"retain": 2.5}, "--retain 2.5"),
        ({"confidence": 1.0}, "--confidence 1.0"),
        ({"confidence": 0.9999999999999999}, "--confidence 0.9999999999999999: give at most 0.999999"),
        ({"params": 0}, "--params 0"),
        ({"latency_ms": -1.0}, "--latency-ms -1.0"),
    ],
)
def test_questions_that_are_none_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Wanted(**given)


@pytest.mark.parametrize(("confidence", "target"), [(0.999999, 0.9999999999999999), (0.99996, 0.3), (0.95, 0.57)])
def test_no_share_is_rounded_up_to_certainty(confidence: float, target: float) -> None:
    found = confirmed(rights(990), rights(995)[0])
    exact, sure = (f"{Decimal(str(share)) * 100:f}".rstrip("0").rstrip(".") for share in (target, confidence))
    said = smallest(found, Wanted(target=target, confidence=confidence)).sentence()
    assert re.search(f"an accuracy of (at least )?{exact}%", said) and f"with {sure}% confidence" in said
    said = smallest(found, Wanted(retain=target, confidence=confidence)).sentence()
    assert f"{exact}% of the teacher's accuracy" in said


def test_a_forced_opening_is_said_in_the_answer() -> None:
    looks = tuple(Look(when="", trials=0, forced=forced, networks=1) for forced in (False, True))
    found = confirmed(rights(985), rights(990)[0]).model_copy(update={"opened": looks})
    assert any("opened again 1 time" in line for line in smallest(found, Wanted(target=0.9)).lines())


# A search within a time


class Killed(BaseException):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, StudyError("no space left")])
def test_a_question_that_is_stopped_leaves_the_study_as_it_was(
    error: Any, tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StudyDirectory(tmp_path / "out")
    search(tiny(search__trials=2), out=folder.path, runner="serial")
    before = folder.read()
    monkeypatch.setattr(Until, "__call__", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(error if isinstance(error, type) else type(error)):
        towards(folder, Wanted(target=0.5, params=100), seconds=60, runner="serial", listener=Progress(Console(quiet=True)))
    after = folder.read()
    assert after.search.trials < 10
    assert after.search == before.search.model_copy(update={"trials": after.search.trials})
    assert search(after, out=folder.path, runner="serial").finished()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "in"])
def test_after_a_kill_in_a_question_the_next_one_begins_with_the_study_as_it_was(
    moment: str, tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name = StudyDirectory(tmp_path / "out"), "prepare" if moment == "before" else "_go_on"
    search(tiny(search__trials=2), out=folder.path, runner="serial")
    before = folder.read()

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(driver, name, killed)
        patched.setattr(toward, "_put_back", lambda *_: None)
        towards(folder, Wanted(target=0.5, params=10**30), seconds=60, runner="serial", listener=Progress(Console(quiet=True)))
    assert (folder.read().search.target is None) == (moment == "before")
    study = towards(folder, Wanted(target=0.9999), seconds=0.1, runner="serial", listener=Progress(Console(quiet=True)))
    assert study.spec.search.limits == before.search.limits, "the limits were of the question before"
    assert folder.read().search == before.search.model_copy(update={"trials": folder.read().search.trials})
    assert folder.read().search.trials < 20


@pytest.mark.slow
def test_a_question_asks_for_no_more_than_a_spec_may_have(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    folder = StudyDirectory(tmp_path / "out")
    search(tiny(search__trials=2), out=folder.path, runner="serial")
    search(tiny(search__trials=999_999), out=folder.path, runner="serial", options=Options(extend=True, until=lambda _: "over"))
    study = towards(
        folder, Wanted(target=0.9999, params=10**30), seconds=0.1, runner="serial", listener=Progress(Console(quiet=True))
    )
    assert study.spec.search.trials == 1_000_000 and study.spec.search.limits.params == 10**18
    assert parse(study.spec.document()).search == study.spec.search


def test_a_question_of_a_study_without_a_teacher_says_how_to_go_on(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    folder = StudyDirectory(tmp_path / "out")
    with pytest.raises(Killed):
        search(tiny(), out=folder.path, runner="serial", options=Options(until=lambda _: (_ for _ in ()).throw(Killed)))
    shutil.rmtree(folder.path / "store")
    with pytest.raises(UsageError, match="has no trained teacher yet; run: autodistill search"):
        towards(folder, Wanted(target=0.5), seconds=60, runner="serial", listener=Progress(Console(quiet=True)))


# Other metrics


def with_metric(found: Confirmation, metric: str) -> Confirmation:
    """The same networks, with the scores of this metric on the test samples; validation scores rise in quality with size."""
    measure, count = named(metric), len(found.members)

    def of(one: Any, place: int) -> Any:
        values = [0.5 + 0.01 * place, 0.5 - 0.01 * place]
        own = Score(value=values[not measure.higher], error=0.01, low=0.4, high=0.6, n=1000)
        test = one.test.model_copy(update={"scores": {metric: found.scored(one.chosen, measure)}})
        return one.model_copy(update={"metric": metric, "validation": {metric: own}, "test": test})

    members = tuple(of(one, place) for place, one in enumerate(found.members))
    return found.model_copy(update={"metric": metric, "members": members, "teacher": of(found.teacher, count)})


def unlike(*shares: tuple[float, float], n: int = 1000) -> Confirmation:
    """Networks that predict these shares of a class with 96% of the samples, and of one with the rest, correctly."""
    labels = (np.arange(n) < 0.04 * n).astype(np.int64)
    outcomes = {}
    for place, (common, rare) in enumerate(shares):
        wrong = [
            np.arange((labels == label).sum()) >= round(share * (labels == label).sum())
            for label, share in ((1, rare), (0, common))
        ]
        predicted = np.where(np.concatenate(wrong), 1 - labels, labels)
        outcomes[f"student{place}"] = Outcome(
            labels, predicted, (predicted != labels).astype(np.int64), 0.1 + (predicted != labels)
        )
    masks = [one.predicted == labels for one in outcomes.values()]
    found = confirmed(masks[:-1], masks[-1])
    outcomes["teacher"] = outcomes.pop(f"student{len(shares) - 1}")
    return found.model_copy(update={"outcomes": outcomes})


def test_a_network_that_never_predicts_the_rare_class_is_accurate_but_not_balanced() -> None:
    plain = unlike((1.0, 0.0), (0.97, 0.97), (0.98, 0.98))
    assert len(smallest(plain, Wanted(target=0.9)).passed) == 2, "96% of the samples are of one class"
    found = smallest(with_metric(plain, "balanced_accuracy"), Wanted(target=0.9))
    assert [one.passed for one in found.tested] == [True, False] and found.needed is None and found.more_correct is None
    assert found.answer is not None and found.answer.stage == "student1"
    said = found.sentence()
    assert "is shown to have a balanced accuracy of at least 90%" in said and "It has 97.2% balanced accuracy" in said
    assert "keeps 99.5% of the teacher's balanced accuracy" in said
    row = found.as_json()["answer"]
    assert isinstance(row, dict) and set(row["test"]) == {"balanced_accuracy", "low", "high", "n"}  # type: ignore[arg-type]


def test_a_target_may_name_another_metric_than_the_study() -> None:
    plain = unlike((1.0, 0.0), (0.97, 0.97), (0.98, 0.98))
    known = {name: metric for name, metric in METRICS.items() if metric.applies(plain.outcomes["teacher"])}
    scores = {name: {one: plain.scored(name, metric) for one, metric in known.items()} for name in plain.outcomes}
    members = tuple(
        one.model_copy(
            update={"test": one.test.model_copy(update={"scores": scores[one.chosen]}), "validation": scores[one.chosen]}
        )
        for one in plain.members
    )
    teacher = plain.teacher.model_copy(update={"test": plain.teacher.test.model_copy(update={"scores": scores["teacher"]})})
    found = smallest(plain.model_copy(update={"members": members, "teacher": teacher}), Wanted(metric="f1_macro", target=0.7))
    assert found.answer is not None and found.answer.stage == "student1"
    assert "a macro F1 of at least 0.7 (with 95% confidence). It has a macro F1 of 0.853" in found.sentence()


def test_a_loss_is_claimed_to_be_small() -> None:
    """Losses of 0.1 and 1.1 nats where a network is right and where it is wrong: 0.136, 0.13 and 0.12 on average."""
    found = with_metric(unlike((0.964, 0.964), (0.97, 0.97), (0.98, 0.98)), "log_loss")
    passes = smallest(found, Wanted(target=0.19))
    assert passes.answer is not None and passes.answer.stage == "student0"
    assert "is shown to have a log loss of at most 0.19 (with 95% confidence). It has a log loss of 0.1" in passes.sentence()
    assert "times the teacher's log loss" in passes.sentence()
    fails = smallest(found, Wanted(target=0.12))
    assert not fails.meets and fails.nearest is not None and fails.nearest.stage == "student1", "the smallest loss"
    assert fails.would_pass is not None and 0.14 < fails.would_pass < 0.19
    assert smallest(found, Wanted(target=fails.would_pass + 1e-4)).passed
    assert any(line.startswith(f"would pass   at {fails.would_pass:.4f}, for") for line in fails.lines())
    kept = smallest(found, Wanted(retain=0.6))
    assert "a log loss of at most 1.667 times the teacher's" in kept.sentence() and kept.answer is not None


def test_choices_on_validation_look_in_the_direction_of_the_metric() -> None:
    found = with_metric(confirmed(rights(900, 950, 990), rights(995)[0]), "log_loss")
    assert [one.stage for one in in_order(found.members)] == ["student2", "student1", "student0"]
    best = one_standard_error(found.members)
    assert best is not None and best.stage == "student1", "0.48 + 0.01 nats"
