"""Tables, sentences and figures of metrics other than accuracy: their names, their units, and which direction is better."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.answers import Wanted
from autodistill.metrics.metric import ACCURACY, METRICS, Metric
from autodistill.metrics.words import gained, of_teacher, plural, safe, share_kept, stated
from autodistill.reporting import picture
from autodistill.reporting.explain import explain
from autodistill.reporting.marks import Mark, View, best
from autodistill.reporting.page import compare, html
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.finalists import difference, finalists
from autodistill.reporting.page.plots import Level, figure, frontier_figure, line, trace
from autodistill.reporting.page.study import read_study
from autodistill.reporting.summary import Headline, Reached, dominated, predicted
from autodistill.reporting.terminal import confirmed_table, explained, frontier_table
from autodistill.reporting.write import redraw
from autodistill.spec import UsageError
from autodistill.spec.measurement import Score, Sizes
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.findings import Concordance, Incumbent
from autodistill.study.record.rows import TrialRow

from . import pages
from .rows import measurement, trial_row

pytestmark = pytest.mark.xdist_group("page")
BALANCED, F1, LOSS = METRICS["balanced_accuracy"], METRICS["f1_macro"], METRICS["log_loss"]


def row(metric: Metric, value: float, params: int = 1000, **changes: Any) -> TrialRow:
    known = {"metric": metric, "measured": measurement(**{metric.name: value}), "sizes": Sizes(params, 60 * params, 4 * params)}
    return trial_row(**known | changes)


def score(value: float, error: float) -> Score:
    return Score(value=value, error=error, low=value - 2 * error, high=value + 2 * error, n=100)


# Sentences


def test_only_an_accuracy_has_no_name() -> None:
    values = [stated(metric, 0.975) for metric in (ACCURACY, BALANCED, F1, LOSS)]
    assert values == ["97.5%", "97.5% balanced accuracy", "macro F1 0.975", "log loss 0.975"]
    assert [plural(metric) for metric in (ACCURACY, BALANCED, F1)] == [
        "accuracies",
        "balanced accuracies",
        "values of macro F1",
    ]


def test_a_share_of_a_loss_is_a_multiple_of_the_teachers() -> None:
    assert of_teacher(F1, 0.9) == "90% of the teacher's macro F1" and share_kept(F1, 0.9) == "90.0%"
    assert of_teacher(LOSS, 0.9) == "at most 1.11 times the teacher's log loss" and share_kept(LOSS, 0.8) == "1.25x"
    sentence = Headline(LOSS, 0.5, row(LOSS, 0.3, compression=2.0)).sentence()
    assert (
        sentence == "at most 2.00 times the teacher's log loss: 1,000 params, 2.0 times smaller (log loss 0.300, mlp depth=1)"
    )


@given(st.floats(0, 1), st.sampled_from([ACCURACY, BALANCED, F1, LOSS]))
def test_a_rounded_bound_promises_no_more(bound: float, metric: Metric) -> None:
    text = safe(metric, bound)
    shown = float(text.rstrip("%")) / (100 if metric.percent else 1)
    assert metric.reaches(bound, shown) or shown == pytest.approx(bound)
    assert abs(shown - bound) < 0.0010001


def test_gains_have_a_sign_and_a_unit() -> None:
    assert [gained(metric, 0.0123) for metric in (BALANCED, LOSS)] == ["+1.2", "+0.0123"]
    assert gained(LOSS, -0.00001) == "+0.0000" and gained(F1, -0.5) == "\u22120.5000"


def test_the_target_of_a_loss_is_an_upper_limit() -> None:
    reached = Reached(0.31, True, row(LOSS, 0.3)).sentence()
    assert reached.startswith(
        "the smallest student with a validation log loss of at most 0.310 has 1,000 params with log loss 0.300"
    )
    missed = Reached(0.9, False, row(F1, 0.8)).sentence()
    assert missed.startswith("no student has a validation macro F1 of at least 0.900; the nearest has")
    assert Reached(0.9, False, row(BALANCED, 0.8)).sentence().startswith("no student has 90.0% validation balanced accuracy;")


def test_an_incumbent_is_dominated_by_a_smaller_loss() -> None:
    found = Incumbent(row=row(LOSS, 0.5), dominated_by=[row(LOSS, 0.3, 500)])
    text = dominated(found)
    assert text.endswith("by 500 params with log loss 0.300: at most its size, at most its log loss")
    assert "1,000 params, log loss 0.500" in text


def test_rungs_are_said_to_predict_the_metric() -> None:
    first, second = predicted([Concordance(0.25, 9, 0.2)], F1)
    assert "between the values of macro F1 at rungs" in first and "predict the final macro F1 poorly" in second


# Differences


def test_a_smaller_loss_is_a_gain_with_the_errors_of_both() -> None:
    found = difference(LOSS, score(0.3, 0.03), score(0.5, 0.04))
    reach = 1.959963984540054 * 0.05
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach))
    assert found.verdict == "gain" and difference(F1, score(0.3, 0.03), score(0.5, 0.04)).verdict == "loss"


# Figures


def marks(metric: Metric, values: Sequence[float]) -> list[Mark]:
    """Members of the frontier, ten times as large each, and a teacher with the last value."""
    members = [row(metric, one, 10 ** (place + 2), frontier=True, inside=True) for place, one in enumerate(values)]
    return [Mark.of(one) for one in (*members, row(metric, values[-1], 10**6, role="teacher", architecture="mlp depth=9"))]


def drawn(metric: Metric, found: Sequence[Mark], floor: float | None = None) -> Any:
    with matplotlib.style.context(picture.STYLE, after_reset=True):
        figure = picture._figure(View(metric=metric, marks=found, floor=floor), "title")
        figure.draw_without_rendering()
        return figure.axes[0]


def heights(axes: Any, values: Sequence[float]) -> Any:
    """Pixels above the lower edge."""
    return axes.transData.transform([(1000, value) for value in values])[:, 1]


def test_the_better_end_is_on_top() -> None:
    for metric, values in ((F1, [0.3, 0.5, 0.9]), (LOSS, [0.9, 0.5, 0.3])):
        axes = drawn(metric, marks(metric, values), floor=values[0])
        places = heights(axes, values)
        assert (np.diff(places) > 0).all(), metric
        (stairs,) = [one for one in axes.lines if one.get_label() == "frontier"]
        assert (np.diff(axes.transData.transform(stairs.get_xydata())[:, 1]) >= 0).all(), "no step leads down"
        bottom, top = heights(axes, axes.get_ylim())
        assert bottom < places[0] and places[-1] < top


def test_a_loss_has_its_own_title_ticks_and_labels() -> None:
    axes = drawn(LOSS, marks(LOSS, [0.9, 0.5, 0.02]))
    assert axes.get_ylabel() == "validation log loss, smaller is better (bars: 95% interval)"
    assert min(axes.get_yticks()) == 0 and axes.get_ylim()[1] < 0 < axes.get_ylim()[0], "no tick below 0"
    assert {text.get_text().splitlines()[-1] for text in axes.texts} == {
        "100 params, 0.900",
        "10k params, 0.020",
        "1M params, 0.020",
    }
    assert drawn(BALANCED, marks(BALANCED, [0.4, 0.5])).get_ylabel().startswith("validation balanced accuracy in % (")


def test_what_is_far_worse_is_counted_on_the_lower_edge() -> None:
    worse = [Mark.of(row(LOSS, value)) for value in (3.0, 5.0)]
    axes = drawn(LOSS, [*marks(LOSS, [0.5, 0.4]), *worse])
    assert axes.get_ylim()[0] < 1 and [text.get_text() for text in axes.figure.texts if "worse" in text.get_text()] == [
        "▾ 2 worse"
    ]


def test_a_picture_of_nothing_has_its_better_end_on_top() -> None:
    assert np.diff(heights(drawn(LOSS, []), [1.0, 0.0])) > 0


@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0])
def test_a_loss_that_cannot_be_drawn_is_refused(value: float, tmp_path: Path) -> None:
    wrong = dataclasses.replace(marks(LOSS, [0.5])[0], value=value)
    with pytest.raises(ValueError, match="point 0: log loss, low, and high are .* finite values from 0 to inf"):
        picture.draw(View(metric=LOSS, marks=[wrong]), title="wrong", target=tmp_path / "frontier")


def test_the_line_goes_through_the_smallest_loss_up_to_each_size() -> None:
    known = marks(LOSS, [0.9, 0.95, 0.3])[:-1]
    assert [one.value for one in best(known, "params")] == [0.9, 0.3]
    assert line(known, name="f", split="validation", color="--student")["y"] == [0.9, 0.3]


def test_the_axis_of_a_loss_is_reversed_on_the_page() -> None:
    for metric, values in ((F1, [0.3, 0.9]), (LOSS, [0.9, 0.3])):
        known = marks(metric, values)
        traces = [trace(known, name="s", split="validation", color="--student", symbol="circle")]
        level = Level(value=values[-1], text="teacher", split="validation", color="--teacher", dash="dot")
        found = figure(metric, traces, [level])
        assert found.layout["yaxis"].get("autorange") == (None if metric.higher else "reversed")
        assert metric.reaches(found.top, values[-1]) and metric.reaches(values[-1], found.near) and found.near not in values
        most = known[-1].high if metric.higher else known[-1].low
        assert metric.reaches(found.top, most) and abs(found.top - most) == pytest.approx(0.05 * abs(most - found.near))
        assert found.near_name.endswith(of_teacher(metric, 0.9))
        assert traces[0]["hovertext"][0].split("<br>")[2].startswith(f"{metric.label} {values[0]:.3f} (")


# Studies


ALSO = {"log_loss": ["accuracy", "f1_macro"], "balanced_accuracy": ["log_loss"]}


@pytest.fixture(scope="module", params=list(ALSO))
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with this metric."""
    root = tmp_path_factory.mktemp("study")
    task = {"metric": request.param, "also": ALSO[request.param]}
    return pages.searched(root, task=task, region=0.3, halving={"first": 0.5, "factor": 2})


@pytest.fixture(scope="module")
def confirmed(searched: Path) -> Path:
    return pages.confirmed(searched)


@pytest.mark.slow
def test_tables_have_a_column_for_each_metric(searched: Path) -> None:
    study = read_study(searched)
    metric, also = study.metric, [METRICS[name] for name in ALSO[study.metric.name]]
    table = frontier_table(study.summary)
    names = [column.header for column in table.columns]
    assert names[1:4] == [metric.label, "95% interval", also[0].label] and str(table.title).count(metric.label) == 2
    last = {str(column.header): list(column.cells)[-1] for column in table.columns}
    scores = study.stages.measured(study.teacher.stage).scores
    assert [last[one.label] for one in (metric, *also)] == [one.text(scores[one.name].value) for one in (metric, *also)]
    with (searched / "frontier.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert [float(one[metric.name]) for one in cells] == [one.value for one in study.summary.frontier]
    assert all(float(one[other.name]) >= 0 for one in cells for other in also)
    with (searched / "trials.csv").open() as file:
        columns = csv.DictReader(file).fieldnames or []
    assert f"rung_{metric.name}" in columns and ("accuracy" in columns) == ("accuracy" in ALSO[metric.name])


@pytest.mark.slow
def test_the_json_names_values_by_their_metric(searched: Path) -> None:
    study = read_study(searched)
    name, found = study.metric.name, json.loads((searched / "frontier.json").read_text())
    places = [found["region"], found["hypervolume"]["reference"], found["teacher"], *found["headline"], *found["frontier"]]
    assert all(name in one for one in places)
    assert all(other in found["teacher"] for other in ALSO[name])
    taught = found["soft_targets"][0]["accuracy"]
    assert taught == study.stages.measured(study.teacher.stage).scores["accuracy"].value, "an accuracy, whatever the metric is"


def test_headlines_name_the_smallest_student_that_keeps_enough(searched: Path) -> None:
    study = read_study(searched)
    for found in study.summary.headline:
        target = study.metric.keeping(study.teacher.value, found.of_teacher)
        able = [one for one in study.members if study.metric.reaches(one.value, target)]
        assert (found.row and found.row.stage) == (able[0].stage if able else None)
    best = study.summary.best
    assert best is not None and all(study.metric.reaches(best.value, one.value) for one in study.members)


def test_a_stage_is_explained_in_its_metric(searched: Path) -> None:
    study = read_study(searched)
    found = explain(StudyDirectory(searched), study.members[0].stage)
    text, values = explained(found), found.as_json()["chain"]
    assert [one[study.metric.name] for one in values] == [one.value for one in found.chain]
    assert text.count(f"{study.metric.label}") >= 1 and all(METRICS[name].label in text for name in ALSO[study.metric.name])


def test_a_target_is_looked_up_in_its_direction(searched: Path) -> None:
    study = read_study(searched)
    metric, members = study.metric, [one for one in study.members if not one.ignorant]
    assert members
    for one in members:
        expected = next(row for row in members if metric.reaches(row.value, one.value))
        assert answer(study, Wanted(target=one.value)).stage == expected.stage
    nothing = 1e-9 if not metric.higher else 1 - 1e-9
    missed = answer(study, Wanted(target=nothing)).sentence
    assert f"validation {metric.label}" in missed and "the best has" in missed
    other = answer(study, Wanted(target=0.26, metric="accuracy"))
    assert other.metric == ACCURACY and other.meets and "% accuracy, is" in other.sentence


@pytest.mark.slow
def test_the_page_speaks_of_its_metric_only(searched: Path, confirmed: Path) -> None:
    for folder in (searched, confirmed):
        study = read_study(folder)
        text = html(study, answer(study, Wanted()))
        start, end = text.index("<main"), text.index("<summary>The spec")
        page = text[start:end]
        assert page.count(study.metric.label) > 10
        if study.metric == BALANCED:
            page = re.sub(r"loses a lot of accuracy on [^;]*", "", page)  # what is lost on a class is an accuracy
            assert not re.findall(r"(?<!alanced )accurac(?:y|ies)(?! of a class)", page)
            assert "points" in page
        else:
            assert "for each multiple of the teacher's log loss" in page and re.search("<strong>[^<]*at most", page)
        assert all(f">{METRICS[name].label}</button>" in page for name in ALSO[study.metric.name])
        levels = frontier_figure(study, None).levels
        assert levels[0].value == pytest.approx(study.teacher.value * (100 if study.metric.percent else 1))


def test_gains_are_positive_where_the_student_is_better(searched: Path, confirmed: Path) -> None:
    study = read_study(searched)
    for one, found in zip(study.members, finalists(study), strict=True):
        gain = found.gains.label_only
        if gain is not None:
            assert (gain.mean >= 0) == study.metric.reaches(one.value, gain.baseline)
    tested = read_study(confirmed)
    assert tested.confirmed is not None
    for member in finalists(tested):
        assert member.test is not None and member.on_test == member.test.scores[tested.metric.name]


def test_the_table_of_what_was_confirmed_names_the_metric(confirmed: Path) -> None:
    study = read_study(confirmed)
    assert study.confirmed is not None
    table = confirmed_table(study.confirmed)
    assert f": {study.metric.label} on 80 test samples" in str(table.title)
    teacher = {str(column.header): list(column.cells)[-1] for column in table.columns}
    assert teacher["test"] == study.metric.text(study.confirmed.teacher.on_test.value)
    for name in ALSO[study.metric.name]:
        assert teacher[METRICS[name].label] == METRICS[name].text(study.confirmed.teacher.test.scores[name].value)


def test_a_redrawn_report_is_the_same(searched: Path) -> None:
    names = ("frontier.json", "frontier.csv", "frontier.svg", "trials.csv")
    before = {name: (searched / name).read_bytes() for name in names}
    redraw(StudyDirectory(searched))
    assert {name: (searched / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_studies_of_other_metrics_are_not_compared(searched: Path, tmp_path: Path) -> None:
    again = pages.searched(searched.parent, "again", seed=1, trials=3, task={"metric": read_study(searched).metric.name})
    found = compare([searched, again], tmp_path)
    metric = read_study(searched).metric
    assert all(metric.name in (one["best"] or {metric.name: None}) for one in found.as_json())
    assert [one.name for one in found.also] == ALSO[metric.name]
    other = pages.searched(searched.parent, "other", trials=3)
    with pytest.raises(UsageError, match=f"do not have the same metric: task.metric is accuracy, not {metric.name}"):
        compare([searched, other], tmp_path)
