"""What to do with the smallest student: four verdicts, and a rule that agrees with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from autodistill.answers import Kind, Wanted, smallest
from autodistill.answers.confirm.confirmation import ClassPart, Confirmation, GroupPart
from autodistill.answers.evidence import up
from autodistill.answers.rule import rule
from autodistill.answers.verdict import losses_of
from autodistill.metrics.intervals import exceeds, keeps
from autodistill.metrics.metric import named

from .test_answers import confirmed, rights


def test_86_test_samples_that_cannot_prove_it_are_no_reason_not_to_ship() -> None:
    found = smallest(confirmed(rights(83, n=86), rights(85, n=86)[0]), Wanted(retain=0.95))
    assert not found.meets and found.verdict.kind is Kind.UNPROVEN
    assert found.verdict.sentence.startswith(
        "Not proven yet: the student with 100 parameters has 97.6% of the teacher's accuracy on 86 test samples, which may be "
    )
    assert found.sentence().startswith("Not proven yet: no student is proven to meet the target of 95%")
    assert found.as_json()["verdict"] == found.verdict.as_json() and found.verdict.chosen == "student0"


def test_what_is_proven_ships() -> None:
    found = smallest(confirmed(rights(900, 985), rights(990)[0]), Wanted())
    assert found.verdict.kind is Kind.SHIP and found.verdict.chosen == "student1" and not found.verdict.losses
    assert found.verdict.sentence == (
        "Ship the student with 200 parameters: it is 50.0 times smaller than the teacher and 50.0 times as fast, and it is "
        "shown to have at least 95% of the teacher's accuracy (with 95% confidence)."
    )


def test_what_is_shown_to_be_too_bad_does_not_ship() -> None:
    found = smallest(confirmed(rights(700, 800), rights(990)[0]), Wanted())
    assert found.verdict.kind is Kind.NO and found.verdict.chosen == "student1"
    assert "1,000 test samples show that no student has at least 95% of the teacher's accuracy" in found.verdict.sentence
    assert "the nearest, with 200 parameters, has 80.8% of the teacher's accuracy" in found.verdict.sentence
    nobody = smallest(confirmed(rights(990), rights(990)[0]), Wanted(target=0.9, params=5)).verdict
    assert nobody.kind is Kind.NO and nobody.chosen is None and "at most 5 params" in nobody.sentence


@pytest.mark.parametrize(("counts", "n"), [((985, 955), 1000), ((700, 800), 1000), ((45, 46), 50)])
def test_the_nearest_is_the_student_that_the_verdict_is_about(counts: tuple[int, ...], n: int) -> None:
    found = smallest(confirmed(rights(*counts, n=n), rights(n, n=n)[0]), Wanted(target=0.95))
    assert not found.meets and found.nearest is not None and found.nearest.chosen == found.verdict.chosen
    assert f"{found.nearest.params:,} parameters" in found.verdict.sentence
    assert f"{found.nearest.params:,} params" in found.sentence()


def test_what_is_a_bit_too_bad_on_few_samples_is_open() -> None:
    found = smallest(confirmed(rights(46, n=50), rights(50, n=50)[0]), Wanted(target=0.95)).verdict
    assert found.kind is Kind.UNPROVEN and "too little" in found.sentence and "does not have" in found.sentence
    size = 50 + (found.more or 0)
    assert exceeds(46 * size // 50, size, 0.95) >= 0.95 > exceeds(46, 50, 0.95)


def test_so_many_more_samples_decide_in_closed_form() -> None:
    """All right on n samples: 0.95^n <= 0.05 from n = 59 on."""
    found = smallest(confirmed(rights(50, n=50), rights(50, n=50)[0]), Wanted(target=0.95)).verdict
    assert found.more == math.ceil(math.log(0.05) / math.log(0.95)) - 50 == 9
    assert found.sentence.endswith("about 9 more test samples with such results would prove that it has at least 95% accuracy.")


def test_so_many_more_samples_pass_the_test_for_a_share_of_the_teacher() -> None:
    """T = (s - share t) / sqrt(n v) grows with sqrt(n): n (z / T)^2 samples in all."""
    own, theirs = rights(83, n=86)[0], rights(85, n=86)[0]
    more = smallest(confirmed([own], theirs), Wanted(retain=0.95)).verdict.more
    p = keeps(83, 0, 2, 86, 0.95)
    expected = 86 * (stats.norm.isf(0.05) / stats.norm.isf(p)) ** 2 - 86
    assert more is not None and expected <= more <= 1.15 * expected + 10


def test_a_smaller_one_that_would_pass_waits_for_the_larger_one_at_which_testing_stopped() -> None:
    found = smallest(confirmed(rights(985, 955), rights(990)[0]), Wanted(target=0.95))
    assert [one.passed for one in found.tested] == [False, None] and found.tested[1].p < 0.05
    assert found.verdict.kind is Kind.UNPROVEN and found.verdict.chosen == "student1"
    assert found.verdict.more is not None and found.verdict.more > 500


@pytest.mark.parametrize(("number", "expected"), [(7, 7), (86, 86), (101, 110), (1201, 1300), (12_000, 12_000)])
def test_a_number_of_samples_is_rounded_up_to_two_digits(number: int, expected: int) -> None:
    assert up(number) == expected


def of_log_loss(surprise: np.ndarray, teacher: np.ndarray) -> Confirmation:
    """A student and its teacher whose log losses on the test samples are these."""
    known = confirmed(rights(len(surprise), n=len(surprise)), rights(len(teacher), n=len(teacher))[0])
    metric, outcomes = named("log_loss"), dict(known.outcomes)
    for key, values in (("student0", surprise), ("teacher", teacher)):
        outcomes[key] = outcomes[key]._replace(surprise=values)
    scores = {key: metric.score(one, 2) for key, one in outcomes.items()}
    add = lambda one: one.test.model_copy(update={"scores": one.test.scores | {"log_loss": scores[one.chosen]}})  # noqa: E731
    members = tuple(one.model_copy(update={"test": add(one)}) for one in known.members)
    teaching = known.teacher.model_copy(update={"test": add(known.teacher)})
    return known.model_copy(update={"outcomes": outcomes, "members": members, "teacher": teaching})


def test_so_many_more_samples_decide_for_a_metric_that_counts_nothing() -> None:
    draws = np.random.default_rng(0).gamma(4, 0.1, size=120)
    found = of_log_loss(draws, draws * 0.9)
    verdict = smallest(found, Wanted(metric="log_loss", target=0.43)).verdict
    assert verdict.kind is Kind.UNPROVEN and verdict.more is not None and 0 < verdict.more < 5000
    assert "a log loss of 0." in verdict.sentence


def with_parts(found: Confirmation, **parts: Any) -> Confirmation:
    [*others, last] = found.members
    changed = last.model_copy(update={"test": last.test.model_copy(update=parts)})
    return found.model_copy(update={"members": (*others, changed)})


def part(name: str, n: int, own: int, theirs: int) -> ClassPart:
    return ClassPart(label=0, name=name, n=n, accuracy=own / n, teacher=theirs / n, drop=(theirs - own) / n)


def test_a_class_that_loses_much_is_a_caution() -> None:
    classes = (part("time", 100, 3, 72), part("act", 600, 500, 520), part("rare", 4, 3, 4), part("food", 300, 150, 240))
    found = smallest(with_parts(confirmed(rights(985), rights(990)[0]), by_class=classes), Wanted())
    assert found.verdict.kind is Kind.CAUTION and found.verdict.chosen == "student0"
    assert [one.name for one in found.verdict.losses] == ["time", "food"], "act loses little, rare may be chance"
    assert found.verdict.sentence.startswith("Ship the student with 100 parameters with a caution: it is 100.0 times smaller")
    assert found.verdict.sentence.endswith(
        "it loses a lot of accuracy on class time (from 72.0% to 3.0% accuracy) and class food (from 80.0% to 50.0% accuracy)."
    )
    assert found.sentence().startswith("Ship with a caution: student0")


def test_a_group_that_loses_much_is_a_caution() -> None:
    group = GroupPart(group="north", n=200, accuracy=0.5, teacher=0.9, drop=0.4)
    found = with_parts(confirmed(rights(985), rights(990)[0]), by_group=(group,))
    [loss] = losses_of(found, found.members[-1])
    assert str(loss) == "group north (from 90.0% to 50.0% accuracy)"


def test_chance_alone_rarely_causes_a_caution() -> None:
    """100 classes of 40 samples, each predicted by two equally good networks."""
    random, cautions = np.random.default_rng(0), 0
    known = confirmed(rights(985), rights(990)[0])
    for _ in range(60):
        counts = random.binomial(40, 0.8, size=(100, 2))
        classes = tuple(part(str(place), 40, int(own), int(theirs)) for place, (own, theirs) in enumerate(counts))
        found = with_parts(known, by_class=classes)
        cautions += bool(list(losses_of(found, found.members[-1])))
    assert cautions <= 60 * 0.05 + 3 * math.sqrt(60 * 0.05 * 0.95)


@settings(max_examples=40)
@given(st.lists(st.integers(700, 1000), min_size=1, max_size=5), st.floats(0.7, 0.9999), st.booleans())
def test_the_rule_agrees_with_the_verdict(correct: list[int], asked: float, of_teacher: bool) -> None:
    found = confirmed(rights(*correct), rights(990)[0])
    wanted = Wanted(retain=round(asked, 4)) if of_teacher else Wanted(target=round(asked, 4))
    steps = rule(found, wanted)
    bounds = [step.bound for step in steps]
    assert bounds == sorted(set(bounds)) and [one.member.params for one in steps] == sorted(one.member.params for one in steps)
    chosen = next((step.member.chosen for step in steps if step.bound >= round(asked, 4)), None)
    answer = smallest(found, wanted).answer
    assert chosen == (answer and answer.chosen)


def test_the_rule_of_a_loss_asks_for_less_and_less() -> None:
    draws = np.random.default_rng(0).gamma(4, 0.1, size=200)
    [step] = rule(of_log_loss(draws, draws * 0.9), Wanted(metric="log_loss", target=0.5))
    assert draws.mean() < step.bound < 1.5 * draws.mean()
    found = of_log_loss(draws, draws * 0.9)
    assert smallest(found, Wanted(metric="log_loss", target=step.bound)).meets


def test_the_rule_keeps_the_limits() -> None:
    found = confirmed(rights(970, 990, 995), rights(995)[0])
    assert [step.member.params for step in rule(found, Wanted(target=0.9, params=200))] == [100, 200]
    assert rule(found, Wanted(target=0.9, params=5)) == []
