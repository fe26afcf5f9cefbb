"""The page of a study: what it says is so."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.answers import Kind, Wanted, smallest
from autodistill.answers.confirm.confirmation import ClassPart
from autodistill.cli import main
from autodistill.metrics.intervals import Interval, effect
from autodistill.metrics.metric import ACCURACY
from autodistill.metrics.words import gained, safe
from autodistill.reporting.marks import Mark
from autodistill.reporting.page import html, sentences
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.chains import picture
from autodistill.reporting.page.choices import choices
from autodistill.reporting.page.finalists import Gain, Gains, difference, finalists, paid, the_teacher
from autodistill.reporting.page.health import course, edges, importance
from autodistill.reporting.page.method import cost, seconds_of
from autodistill.reporting.page.plots import _near, frontier_figure, line
from autodistill.reporting.page.printing import coded, uncoded
from autodistill.reporting.page.study import Study, _in_order, read_study
from autodistill.reporting.terminal import frontier_table
from autodistill.spec import Spec, UsageError, label_only, parse
from autodistill.spec.measurement import Sizes
from autodistill.spec.stage import Stage
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.notes import TrialFacts
from autodistill.study.record.rows import TrialRow
from autodistill.study.space import domains_of

from .rows import finalist, origin, trial_row
from .scored import score

pytestmark = pytest.mark.xdist_group("page")


def test_before_confirm_it_says_that_nothing_is_confirmed(raw: Path) -> None:
    study = read_study(raw)
    found = answer(study, Wanted())
    text = html(study, found)
    assert "Nothing is confirmed yet, so this is not a claim." in text
    assert f"autodistill confirm {raw}" in text and "validation samples that students were chosen on" in text
    assert "before <code>confirm</code> opens the test samples" in text and "`" not in found.sentence
    assert not found.is_claim and found.confidence is None
    assert study.confirmed is None and "never opened" in text


def test_commands_in_a_sentence_are_code_and_names_are_not() -> None:
    assert coded("not before `confirm`; class `<b>` & `A b`") == (
        "not before <code>confirm</code>; class `&lt;b&gt;` &amp; `A b`"
    )
    assert uncoded("not before `confirm` opens") == "not before confirm opens"


def test_before_confirm_the_answer_is_the_smallest_within_one_standard_error(raw: Path) -> None:
    study = read_study(raw)
    best = max(row.value for row in study.members)
    error = math.sqrt(best * (1 - best) / study.n)
    [first, *_] = [row for row in study.members if row.value >= best - error]
    found = answer(study, Wanted())
    assert found.stage == first.stage and f"{first.params:,} params" in found.sentence
    assert found.saves is not None and found.saves.smaller == pytest.approx(study.teacher.params / first.params)


def test_before_confirm_a_target_is_looked_up_on_validation(raw: Path) -> None:
    study = read_study(raw)
    member = next(row for row in study.members if not row.ignorant)
    assert answer(study, Wanted(target=member.value)).stage == member.stage
    assert answer(study, Wanted(retain=member.value / study.teacher.value - 1e-9)).stage == member.stage
    missed = answer(study, Wanted(target=0.9999))
    assert not missed.meets and "no student has 100.0%" in missed.sentence
    assert "within the limits" in answer(study, Wanted(params=1)).sentence
    with pytest.raises(UsageError, match="latency is measured by confirm; run: autodistill confirm"):
        answer(study, Wanted(latency_ms=1))


def test_the_target_of_the_spec_stands_unless_another_is_given(raw: Path, confirmed: Path) -> None:
    for folder in (raw, confirmed):
        study = read_study(folder)
        search = study.spec.search.model_copy(update={"target": 0.4})
        study = dataclasses.replace(study, spec=study.spec.model_copy(update={"search": search}))
        assert answer(study, Wanted()).target == 0.4
        assert answer(study, Wanted(target=0.3)).target == 0.3


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(target=0.3), Wanted(retain=0.5, confidence=0.9), Wanted(target=0.999)])
def test_after_confirm_the_sentence_is_that_of_smallest(confirmed: Path, wanted: Wanted) -> None:
    study = read_study(confirmed)
    assert study.confirmed is not None
    found, expected = answer(study, wanted), smallest(study.confirmed, wanted)
    assert found.sentence == f"{expected.sentence()}." and found.meets == expected.meets
    if expected.answer:
        row, teacher = expected.answer, expected.teacher
        assert found.saves is not None
        assert found.saves.kept == pytest.approx(row.on_test.value / teacher.on_test.value)
        assert found.saves.faster == pytest.approx(teacher.latency.one.p50_ms / row.latency.one.p50_ms)


def test_forced_openings_are_said_before_the_answer(confirmed: Path) -> None:
    study = read_study(confirmed)
    assert study.confirmed is not None
    opened = study.confirmed.opened
    again = (*opened, opened[0].model_copy(update={"forced": True}))
    study = dataclasses.replace(study, confirmed=study.confirmed.model_copy(update={"opened": again}))
    text = html(study, answer(study, Wanted()))
    assert text.index("opened again 1 time") < text.index('class="sentence"')


def test_finalists_are_what_was_confirmed(confirmed: Path) -> None:
    study = read_study(confirmed)
    assert study.confirmed is not None
    found = finalists(study)
    for one, member in zip(found, study.confirmed.members, strict=True):
        assert (one.test, one.latency, one.seeds) == (member.test, member.latency, member.seeds)
        for name, baseline in member.baselines:
            gain: Gain | None = getattr(one.gains, name)
            assert (gain is None) == (baseline is None)
            assert gain is None or (gain.mean, gain.baseline) == (baseline.gain.mean, baseline.mean)
        assert one.links[-1].stage == one.stage and len(one.links) == one.chain.count(" > ") + 1
    assert the_teacher(study).smaller == 1


def test_a_difference_and_its_interval_in_closed_form() -> None:
    found = difference(ACCURACY, score(0.9, 100), score(0.8, 100))
    reach = 1.959963984540054 * math.sqrt((0.09 + 0.16) / 100)
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((0.1 - reach, 0.1 + reach))
    assert reach < 0.1 and found.verdict == "gain"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.02, "gain"),
        (-0.02, -0.01, "loss"),
        (-0.01, 0.01, "not_significant"),
        (0.0, 0.1, "not_significant"),
        (0.1, 0.1 + 1e-15, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_a_gain_counts_only_if_significant(low: float | None, high: float | None, said: str) -> None:
    assert effect(None if low is None or high is None else Interval(low, high)) == said


@pytest.mark.parametrize(
    ("direct", "long", "said"),
    [
        ("gain", "gain", "yes"),
        ("gain", "not_significant", "not_significant"),
        ("not_significant", "loss", "no"),
        ("gain", "unknown", "unknown"),
        (None, None, "unknown"),
    ],
)
def test_assistants_pay_only_if_they_beat_both_direct_baselines(direct: str | None, long: str | None, said: str) -> None:
    gains = Gains(None, *(one and gained_by(one) for one in (direct, long)))
    assert paid(gains).verdict == said
    assert finalist(chain="a > b > c", gains=gains).paid.verdict == said
    assert finalist(chain="a > c", gains=gains).paid.verdict == "none"


def gained_by(verdict: Any) -> Gain:
    return Gain(3, 0.0, None, None, "seeds", 0.5, verdict)


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(target=0.3), Wanted(retain=0.9), Wanted(target=0.99)])
def test_the_rule_on_the_page_says_the_same_as_the_verdict(confirmed: Path, wanted: Wanted) -> None:
    study = read_study(confirmed)
    found = answer(study, wanted)
    assert found.verdict.ships == found.meets
    shown = [choice.architecture for choice in choices(study, found)]
    if found.meets:
        assert found.verdict.sentence.startswith("Ship the student")
        assert next(one.architecture for one in finalists(study) if one.chosen == found.chosen) in shown
    text = html(study, found)
    assert f'class="answer {found.verdict.kind.name.lower()}"' in text
    assert all(f"choose {name}" in text for name in shown)


def with_classes(study: Study, student: float, teacher: float) -> Study:
    """As if each network had these accuracies on two classes of 900 samples, of which nobody recognizes the second."""
    assert study.confirmed is not None
    known = {"n": 900, "drop": 0.0}
    both = [(one, str(one), (1 - one) * student, (1 - one) * teacher) for one in (0, 1)]
    parts = [ClassPart(label=one, name=name, accuracy=own, teacher=other, **known) for one, name, own, other in both]
    of_teacher = [part.model_copy(update={"accuracy": part.teacher}) for part in parts]
    members = [with_parts(one, parts) for one in study.confirmed.members]
    changed = {"members": tuple(members), "teacher": with_parts(study.confirmed.teacher, of_teacher)}
    return dataclasses.replace(study, confirmed=study.confirmed.model_copy(update=changed))


def with_parts(one: Any, parts: list[ClassPart]) -> Any:
    return one.model_copy(update={"test": one.test.model_copy(update={"by_class": tuple(parts)})})


def test_the_rule_has_the_cautions_of_the_verdict(confirmed: Path) -> None:
    study = with_classes(read_study(confirmed), student=0.5, teacher=0.9)
    found = answer(study, Wanted(target=0.3))
    listed, text = choices(study, found), html(study, found)
    assert found.verdict.kind is Kind.CAUTION and listed
    caution = "loses a lot of accuracy on class 0 (from 90.0% to 50.0% accuracy)"
    assert all(one.caution == caution for one in listed) and f"{caution}." in found.verdict.sentence
    assert text.count(f"params) with a caution: it {caution}.</li>") == len(listed)
    fine = with_classes(study, student=0.9, teacher=0.9)
    assert not any(one.caution for one in choices(fine, answer(fine, Wanted(target=0.3))))


def test_classes_that_nobody_recognizes_are_named(confirmed: Path, raw: Path) -> None:
    study = with_classes(read_study(confirmed), student=0.5, teacher=0.9)
    both = "Neither the teacher nor any confirmed student predicts a test sample of the class 1 correctly."
    assert sentences.unrecognized(study) == both and both in html(study, answer(study, Wanted(target=0.3)))
    start, end = both[:-1], "the class 0 correctly."
    student, teacher = (with_classes(study, *pair) for pair in ((0.0, 0.9), (0.9, 0.0)))
    assert sentences.unrecognized(student) == f"{start}; no confirmed student predicts a test sample of {end}"
    assert sentences.unrecognized(teacher) == f"{start}; the teacher predicts no test sample of {end}"
    assert sentences.unrecognized(read_study(raw)) == "", "classes are known after confirm"


def test_few_classes_are_named_and_the_others_are_counted() -> None:
    assert sentences._classes(["a", "b"]) == "the classes a and b"
    assert sentences._classes(list("abcdefg")) == "the classes a, b, c, d, e, and 2 more"


def test_a_missing_label_only_baseline_says_why(confirmed: Path) -> None:
    assert trial_row().no_baseline == "not trained" and trial_row(label_only=0.7).no_baseline == ""
    assert trial_row(role="label-only").no_baseline == "itself" and trial_row(role="teacher").no_baseline == ""
    assert trial_row(reason="its label-only baseline failed: no").no_baseline == "failed"
    study = read_study(confirmed)
    assert study.confirmed is not None
    first, *others = [one for one in study.confirmed.members if one.baselines.label_only is not None]
    [fresh, *_] = [study.stages.network(one.key) for one in first.networks if one.kind == "fresh"]
    assert isinstance(fresh, Stage) and others
    for failures, said in (({}, "not trained"), ({label_only(fresh).key(): "no"}, "failed")):
        without = first.model_copy(update={"baselines": first.baselines.model_copy(update={"label_only": None})})
        changed = {"members": (without, *others), "failures": failures}
        seen = dataclasses.replace(study, confirmed=study.confirmed.model_copy(update=changed))
        assert [one.no_baseline for one in finalists(seen)] == [said, *([""] * len(others))]
        assert html(seen, answer(seen, Wanted())).count(f"<small>{said}</small>") == 1


def test_the_terminal_says_why_a_label_only_baseline_is_missing(raw: Path) -> None:
    study = read_study(raw)
    rows = [dataclasses.replace(study.members[0], label_only=None, role=role) for role in ("student", "label-only")]
    found = frontier_table(dataclasses.replace(study.summary, frontier=rows))
    assert list(found.columns[3].cells) == ["not trained", "itself", ""], "the teacher needs none"


def test_both_validation_values_of_a_student_are_labeled(confirmed: Path, raw: Path) -> None:
    study = read_study(confirmed)
    said = "This is the accuracy of the seed that the search trained; the table shows that of the weights that confirm chose."
    assert html(study, answer(study, Wanted())).count(said) == 2, "above the chains, and below the smallest on validation"
    assert said not in html(read_study(raw), answer(read_study(raw), Wanted()))


def test_before_confirm_nothing_is_proven(raw: Path) -> None:
    study = read_study(raw)
    for wanted in (Wanted(), Wanted(target=0.9999)):
        found = answer(study, wanted)
        assert found.verdict.kind is Kind.UNPROVEN and found.verdict.sentence.startswith("Not proven yet: on the validation")
    listed = choices(study, answer(study, Wanted()))
    assert listed and [one.params for one in listed] == sorted({one.params for one in listed})


def test_percent_signs_follow_their_numbers(raw: Path, confirmed: Path) -> None:
    for folder in (raw, confirmed):
        study = read_study(folder)
        text = html(study, answer(study, Wanted(target=0.9)))
        shown = re.sub(r"<(script|style|pre|code)\b.*?</\1>|<[^>]*>", "", text, flags=re.DOTALL)
        assert re.search(r"\d%", shown) and not re.findall(r".*\d\s%.*", shown)
        assert "target 90.0%" in [one.text for one in frontier_figure(study, 0.9).levels]


def test_a_bound_is_rounded_down() -> None:
    assert safe(ACCURACY, 0.9799) == "97.9%" and safe(ACCURACY, 0.5) == "50.0%"
    assert gained(ACCURACY, -0.0001) == "+0.0" and gained(ACCURACY, -0.012) == "\u22121.2"


def test_the_hypervolume_never_falls_and_ends_where_the_summary_is(raw: Path) -> None:
    study = read_study(raw)
    points = course(study)
    values = [point.value for point in points]
    assert values == sorted(values) and [point.trials for point in points] == list(range(1, len(points) + 1))
    assert values[-1] == pytest.approx(study.summary.hypervolume)
    assert [one.seconds for one in study.ended] == sorted(one.seconds for one in study.ended)


def test_the_order_of_trials_is_that_of_their_ends(raw: Path) -> None:
    study = read_study(raw)
    ends = {one.number: one.datetime_complete for one in study.trials if "assistant" not in one.user_attrs["facts"]}
    assert [one.number for one in study.ended] == sorted(ends, key=lambda number: (ends[number], number))
    assert len(ends) == sum(row.origin is not None for row in study.rows)


def trial(width: int, temperature: float) -> Any:
    distributions = {
        "width": optuna.distributions.IntDistribution(1, 8),
        "temperature": optuna.distributions.FloatDistribution(1, 16),
    }
    values = [width / 8, 10.0]
    return optuna.trial.create_trial(
        params={"width": width, "temperature": temperature}, distributions=distributions, values=values
    )


def test_what_alone_decides_the_accuracy_is_alone_important() -> None:
    trials = [trial(width, temperature) for width in range(1, 9) for temperature in (1.0, 5.0, 9.0, 15.0)]
    found = importance(trials, ACCURACY)
    assert found is not None and not found.few and found.trials == 32
    first, second = found.parameters
    assert first.name == "width" and first.fanova > 0.95 and second.fanova < 0.05
    assert sum(one.fanova for one in found.parameters) == pytest.approx(1)
    assert importance(trials[:4], ACCURACY) is None, "these do not differ"
    few = importance(trials[2:7], ACCURACY)
    assert few is not None and few.few


def test_edges_of_the_space_that_the_frontier_touches(tiny: Callable[..., Spec]) -> None:
    paths = ("architecture.width", "loss.kd.weight", "loss.kd.temperature")
    searched = ((1, 0.01, 16.0), (12, 0.5, 1.03))
    rows = [_params("student", **dict(zip(paths, values, strict=True))) for values in searched]
    rows.append(_params("label-only", **dict(zip(paths, (5, 0.0, 1.0), strict=True))))
    found = {(one.path, one.end): (one.there, one.of) for one in edges(tiny(), rows)}
    assert found == {
        ("architecture.width", "high"): (1, 3),
        ("loss.kd.temperature", "high"): (1, 2),
        ("loss.kd.temperature", "low"): (1, 2),
    }, "a temperature says nothing of a student that learns from labels; no width is below 1, and no weight below 0"


def test_an_edge_counts_only_where_its_branch_was_taken(tiny: Callable[..., Spec]) -> None:
    term = {"optional": True, "weight": 0.5, "temperature": {"uniform": [1, 4]}}
    spec = tiny(student__loss={"ce": {"weight": "rest"}, "kd": term})
    [path] = [path for path in domains_of(spec) if path.endswith(".temperature")]
    branch, taken = path[: path.index("{")], int(path[path.index("{") + 1])
    rows = [_params("student", **{path: 1.0, branch: option}) for option in (taken, 1 - taken)]
    assert [(one.there, one.of) for one in edges(spec, rows)] == [(1, 1)]


def _params(role: str, **values: Any) -> TrialRow:
    return trial_row(role=role, origin=origin(values))


def test_prices_become_money_and_energy_and_change_no_study(tiny: Callable[..., Spec], raw: Path) -> None:
    priced = tiny(resources={"gpus": 0, "prices": {"per_hour": 0.5, "currency": "CHF", "watts": 65}})
    found = cost(priced, 7200)
    assert found is not None and found.money == 1 and found.prices.currency == "CHF" and found.kwh == pytest.approx(0.13)
    assert cost(tiny(), 7200) is None and "prices" not in tiny().document()["resources"]
    document = StudyDirectory(raw).read().document()
    document["resources"]["prices"] = {"per_hour": 1.0}
    assert not StudyDirectory(raw).changes(parse(document), extend=False)
    with pytest.raises(UsageError, match="currency"):
        tiny(resources={"prices": {"per_hour": 1, "currency": "euro"}})


def test_hours_are_those_of_the_stored_stages(raw: Path, confirmed: Path) -> None:
    study = read_study(raw)
    keys = study.stages.store.keys("stages")
    total = sum(study.stages.measured(key).seconds for key in keys)
    assert seconds_of(study).search == pytest.approx(total) and seconds_of(study).confirm == 0
    after = read_study(confirmed)
    seconds = seconds_of(after)
    keys = after.stages.store.keys("stages")
    assert seconds.search == pytest.approx(total)
    assert sum(seconds) == pytest.approx(sum(after.stages.measured(key).seconds for key in keys))


def test_hours_hold_what_was_stopped(raw: Path) -> None:
    """A stage that was stopped twice went on in between: its longest time counts, and none once it is stored."""
    study = read_study(raw)
    before = seconds_of(study).search
    row = next(row for row in study.rows if row.origin is not None and row.state == "complete")
    stopped = dataclasses.replace(row, state="stopped", measured=None)
    stops = [dataclasses.replace(stopped, stage="f" * 64, seconds=seconds) for seconds in (3.0, 5.0)]
    stops.append(dataclasses.replace(stopped, seconds=7.0))
    after = dataclasses.replace(study, rows=[*study.rows, *stops])
    assert seconds_of(after).search == pytest.approx(before + 5)
    older = dataclasses.replace(after, stopped={"e" * 64: 11.0, row.stage: 13.0})
    assert seconds_of(older).search == pytest.approx(before + 5 + 11), "of trials that a changed space forgot"


MARK = Mark.of(trial_row())


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9)), min_size=1))
def test_the_line_is_the_frontier_on_each_axis_for_itself(table: list[tuple[int, int, int]]) -> None:
    places = [{"params": a, "core_params": a, "macs": b, "bytes": a, "latency_ms": None} for a, b, _ in table]
    marks = [dataclasses.replace(MARK, x=x, value=row[2]) for x, row in zip(places, table, strict=True)]
    found = line(marks, name="f", split="validation", color="--student")
    for axis in ("params", "macs"):
        drawn = list(zip(found["meta"]["x"][axis], found["meta"]["y"][axis], strict=True))
        best = [(one.x[axis], one.value) for one in marks]
        expected = {(x, y) for x, y in best if not any(u <= x and v >= y and (u, v) != (x, y) for u, v in best)}
        assert drawn == sorted(expected)
    assert found["meta"]["x"]["latency_ms"] == []


def test_a_chain_is_drawn_from_the_teacher_down(confirmed: Path) -> None:
    study = read_study(confirmed)
    for one in finalists(study):
        drawn = picture(one, study.teacher.stage, study.metric)
        roles = [box.role for box in drawn.boxes]
        assert roles[-1] == "student" and len(drawn.arrows) == len(roles) - 1
        network = study.stages.network(one.stage)
        if isinstance(network, Stage) and network.teachers:
            assert roles[0] == "teacher" and set(roles[1:-1]) <= {"assistant"}
        tops = [box.y for box in drawn.boxes]
        assert tops == sorted(tops) and tops[-1] + drawn.box < drawn.height


def test_a_chain_leaves_out_the_network_whose_weights_the_teacher_began_with(raw: Path) -> None:
    study = read_study(raw)
    one = finalists(study)[0]
    teacher, first = (study.stages.network(key) for key in (study.teacher.stage, one.stage))
    study.stages._networks[study.teacher.stage] = teacher.model_copy(update={"init": first})
    assert [link.stage for link in finalists(study)[0].links] == [link.stage for link in one.links[:-1]]


def test_the_region_of_interest_shows_the_whole_intervals_of_its_finalists(confirmed: Path) -> None:
    study = read_study(confirmed)
    seen = [score for one in finalists(study) for score in (one.on_validation, one.on_test) if score is not None]
    assert _near(study, 99.0) == pytest.approx(100 * min(score.low for score in seen)) and _near(study, 0.0) == 0


def test_without_chromium_there_is_no_pdf_and_one_line_says_so(
    raw: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (raw / "report.pdf").unlink(missing_ok=True)
    assert main(["report", str(raw)]) == 0
    said = capsys.readouterr().out
    assert said.count("no Chromium is installed") == 1 and "report.html" in said
    assert not (raw / "report.pdf").exists() and (raw / "report.html").exists()


def test_report_takes_what_smallest_takes(
    confirmed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(confirmed))
    assert main(["report", str(confirmed), "--accuracy", "0.3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"]["target"] == 0.3 and found["answer"]["sentence"].startswith("Yes: ") and found["frontier"]
    assert main(["report", str(confirmed), "--accuracy", "0.3", "--retain", "0.9"]) == 2
    assert main(["report", str(confirmed / "none")]) == 2


def test_a_trial_that_a_running_search_began_meanwhile_is_left_out(raw: Path) -> None:
    study = read_study(raw)
    known = {"role": "student", "architecture": "", "chain": "", "above": (), **Sizes(1, 1, 1).facts()}
    facts_before = [TrialFacts(stage=str(trial.number), **known) for trial in study.trials[:-1]]
    assert [one.number for one in _in_order(study.trials, facts_before)] == [trial.number for trial in study.trials[:-1]]
