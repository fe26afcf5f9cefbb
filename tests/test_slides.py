"""The slides of a study: five, with the page's sentences and the study's numbers, whatever its names are."""

from __future__ import annotations

import csv
import dataclasses
import html as markup
import importlib.util
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pptx import Presentation
from pptx.util import Inches

from autodistill import Study as Opened
from autodistill.answers import Wanted
from autodistill.cli import main
from autodistill.reporting import page as page_module
from autodistill.reporting.page import html, sentences
from autodistill.reporting.page import study as study_module
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.bars import before_after, by_class
from autodistill.reporting.page.finalists import finalists, the_teacher
from autodistill.reporting.page.printing import coded, uncoded
from autodistill.reporting.page.study import Study, read_study
from autodistill.reporting.slides.charts import name_of
from autodistill.reporting.slides.deck import palette
from autodistill.reporting.slides.fitting import SIZES, Line, clean, fitted, height_of, rows_of
from autodistill.reporting.slides.slides import slides
from autodistill.spec import Spec, UsageError
from autodistill.spec.document import Prices
from autodistill.spec.measurement import Sizes

from . import pages
from .conftest import blobs
from .searching import search

pytestmark = pytest.mark.xdist_group("page")
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
TITLES = ["The frontier", "What distillation bought", "Where the student errs", "Method, and what to do next"]
GRAIN = 10
"""Places are whole numbers of a 914,400th of an inch, and so many are no overlap."""
STUDIES = ("searched", "tested")
HOSTILE = ("<b>&\"'</b>\x07\x00", "\u202egnp.exe", '=HYPERLINK("http://x","y")', "\u05e9\u05dc\u05d5\u05dd " * 30)


@pytest.fixture(scope="module")
def searched(raw: Path) -> Study:
    return read_study(raw)


@pytest.fixture(scope="module")
def tested(confirmed: Path) -> Study:
    return read_study(confirmed)


def shown(study: Study, wanted: Wanted | None = None) -> Any:
    """The slides of a study, opened."""
    return Presentation(io.BytesIO(slides(study, answer(study, wanted or Wanted()))))


def shapes(file: Any) -> Iterator[Any]:
    return (shape for slide in file.slides for shape in slide.shapes)


def texts(slide: Any) -> str:
    """All that is written on a slide, outside charts."""
    found = [shape.text_frame.text for shape in slide.shapes if shape.has_text_frame]
    tables = [shape.table for shape in slide.shapes if shape.has_table]
    return "\n".join([*found, *(cell.text for table in tables for row in table.rows for cell in row.cells)])


def charts(slide: Any) -> list[Any]:
    return [shape.chart for shape in slide.shapes if shape.has_chart]


def points(chart: Any) -> dict[str, list[tuple[float, float]]]:
    """x and y of the series of a chart of sizes."""
    return {one.name: list(zip(map(float, one.iter_values_x()), one.values, strict=True)) for one in with_x(chart)}


def with_x(chart: Any) -> list[Any]:
    found = list(chart.plots[0].series)
    for one in found:
        values = [float(x.text) for x in one._element.find(f"{C}xVal").iter(f"{C}v")]
        one.iter_values_x = lambda values=values: values
    return found


def ends(series: Any) -> list[tuple[float, float]]:
    """The ends of the intervals of a series."""
    bars = series._element.find(f"{C}errBars")
    below, above = ([float(one.text) for one in bars.find(f"{C}{name}").iter(f"{C}v")] for name in ("minus", "plus"))
    return [(value - low, value + high) for value, low, high in zip(series.values, below, above, strict=True)]


# Words


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("wanted", [Wanted(target=0.3), Wanted(params=1)])
def test_five_slides_begin_with_the_verdict(name: str, wanted: Wanted, request: pytest.FixtureRequest) -> None:
    study = request.getfixturevalue(name)
    found = answer(study, wanted)
    file = shown(study, wanted)
    first, *rest = (slide.shapes.title.text_frame.text for slide in file.slides)
    assert first.lower() == found.verdict.kind.value and rest == TITLES
    assert uncoded(found.verdict.sentence) in texts(file.slides[0])
    assert found.sentence in file.slides[0].notes_slide.notes_text_frame.text


@pytest.mark.parametrize("name", STUDIES)
def test_the_slides_say_what_the_page_says(name: str, request: pytest.FixtureRequest) -> None:
    study = request.getfixturevalue(name)
    found = answer(study, Wanted())
    page, file = markup.unescape(html(study, found, "part.html")), shown(study)
    rows, teacher = finalists(study), the_teacher(study)
    student = next(one for one in rows if one.chosen == found.verdict.chosen)
    bars = before_after(teacher, student, study.spec.resources.prices)
    said = [text for one in bars for text in (one.title, *(bar.text for bar in one.bars))]
    assert all(text in texts(file.slides[0]) and text in page for text in said)
    assert uncoded(found.verdict.sentence) in texts(file.slides[0]) and markup.unescape(coded(found.verdict.sentence)) in page
    assert sentences.FRONTIER in texts(file.slides[1]) and sentences.FRONTIER in page
    measured = [any(one.gains.label_only for one in rows), any(one.gains.direct for one in rows)]
    bought = [sentences.distillation(study, measured=measured[0]), sentences.assistants(study, rows, measured=measured[1])]
    assert all(text in texts(file.slides[2]) and text in page for text in bought)
    compared = sentences.compared(study, student)
    assert compared in texts(file.slides[3]) and compared in page
    facts = dict(sentences.method(study))
    assert all(text in texts(file.slides[4]) and text in page for one in facts.items() for text in one)
    assert {"data", "seeds", "test split"} <= set(facts)


def test_before_confirm_the_slides_say_that_nothing_is_confirmed(raw: Path, searched: Study) -> None:
    file = shown(searched)
    assert all(sentences.UNCONFIRMED in texts(file.slides[place]) for place in (0, 3, 4))
    assert f"autodistill confirm {raw}" in texts(file.slides[4]) and "never opened" in texts(file.slides[4])


def test_after_confirm_the_next_step_is_to_write_the_student(tested: Study) -> None:
    found = answer(tested, Wanted(target=0.3))
    assert found.verdict.ships and found.chosen is not None
    last = texts(shown(tested, Wanted(target=0.3)).slides[4])
    assert f"autodistill export {tested.path} --stage {found.chosen[:12]} --to model" in last
    assert sentences.UNCONFIRMED not in last and "--retain SHARE" in texts(shown(tested, Wanted(target=0.999)).slides[4])


def test_warnings_are_on_the_first_slide(tested: Study) -> None:
    assert tested.confirmed is not None
    again = (*tested.confirmed.opened, tested.confirmed.opened[0].model_copy(update={"forced": True}))
    tested = dataclasses.replace(tested, confirmed=tested.confirmed.model_copy(update={"opened": again}), later=3)
    said = texts(shown(tested).slides[0])
    assert "The test split was opened again 1 time, by force" in said and "The search continued: 3 students" in said


def test_cost_and_energy_are_shown_where_prices_are_given(tested: Study) -> None:
    prices = Prices(per_hour=3.6, watts=36, currency="CHF")
    resources = tested.spec.resources.model_copy(update={"prices": prices})
    tested = dataclasses.replace(tested, spec=tested.spec.model_copy(update={"resources": resources}))
    first = shown(tested, Wanted(target=0.3)).slides[0]
    assert "Cost of a million samples" in texts(first) and "kWh" in texts(first) and len(charts(first)) == 5


# Numbers


def test_the_frontier_on_the_slide_is_that_of_frontier_csv(raw: Path, searched: Study) -> None:
    [chart] = charts(shown(searched).slides[1])
    found = points(chart)
    drawn = [xy for name, those in found.items() if name.endswith("on the frontier") for xy in those]
    with (raw / "frontier.csv").open() as file:
        table = list(csv.DictReader(file))
    expected = {(float(row["params"]), 100 * float(row["accuracy"])) for row in table}
    assert np.array(sorted(drawn)) == pytest.approx(np.array(sorted(expected))) and len(drawn) == len(table)
    intervals = {
        (x, *end)
        for one in with_x(chart)
        if one.name.endswith("on the frontier")
        for x, end in zip(one.iter_values_x(), ends(one), strict=True)
    }
    for row in table:
        low, high = (100 * float(row[end]) for end in ("low", "high"))
        assert any(x == float(row["params"]) and (a, b) == pytest.approx((low, high)) for x, a, b in intervals)
    assert found["teacher, validation"] == [(searched.teacher.params, pytest.approx(100 * searched.teacher.value))]


def test_after_confirm_the_frontier_is_that_of_the_test_samples(tested: Study) -> None:
    assert tested.confirmed is not None
    [chart] = charts(shown(tested).slides[1])
    found = points(chart)
    drawn = sorted(found["chosen weights, test"] + found.get("close to the frontier, test", []))
    expected = sorted((one.params, 100 * one.on_test.value) for one in tested.confirmed.members)
    assert np.array(drawn) == pytest.approx(np.array(expected))
    assert not any("validation" in name for name in found)


def test_the_axis_of_sizes_has_numbers_as_people_read_them(tested: Study) -> None:
    [chart] = charts(shown(tested).slides[1])
    named = [one.text for one in chart._chartSpace.iter("{http://schemas.openxmlformats.org/drawingml/2006/main}t")]
    assert {"100", "1k"} <= set(named) and "parameters (logarithmic)" in named
    assert chart._chartSpace.find(f".//{C}logBase").get("val") == "10"


def test_gains_and_classes_are_those_of_the_confirmation(tested: Study) -> None:
    file, rows = shown(tested, Wanted(target=0.3)), finalists(tested)
    values = [100 * one.gains.label_only.mean for one in rows if one.gains.label_only]
    drawn = list(charts(file.slides[2])[0].plots[0].series[0].values)[::-1]
    assert all(any(one == pytest.approx(value) for value in values) for one in drawn) and len(drawn) == min(6, len(values))
    student = next(one for one in rows if one.chosen == answer(tested, Wanted(target=0.3)).chosen)
    [chart] = charts(file.slides[3])
    bars = by_class(student)
    own, theirs = chart.plots[0].series
    assert (own.name, theirs.name) == ("student", "teacher")
    assert list(own.values)[::-1] == [bar.width for bar in bars] and list(theirs.values)[::-1] == [bar.mark for bar in bars]
    assert list(chart.plots[0].categories)[::-1] == [bar.name for bar in bars]


def test_a_study_without_classes_shows_its_metrics(tested: Study) -> None:
    """As a regression has none."""
    assert tested.confirmed is not None
    found = answer(tested, Wanted(target=0.3))
    bare = {"by_class": (), "worst_drop": None, "agreement": None, "calibration_error": None}
    members = tuple(one.model_copy(update={"test": one.test.model_copy(update=bare)}) for one in tested.confirmed.members)
    split = tested.confirmed.test.model_copy(update={"kind": "regression"})
    tested = dataclasses.replace(tested, confirmed=tested.confirmed.model_copy(update={"members": members, "test": split}))
    slide = Presentation(io.BytesIO(slides(tested, found))).slides[3]
    assert "A regression has no classes, so it has no cautions." in texts(slide) and not charts(slide)
    student = next(one for one in finalists(tested) if one.chosen == found.chosen)
    assert student.on_test is not None
    assert f"{student.on_test.value:.1%} ({student.on_test.low:.1%} to {student.on_test.high:.1%})" in texts(slide)


@pytest.mark.slow
def test_a_regression_is_shown_with_smaller_errors_on_top(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    x = blobs()["x"]
    np.savez(tmp_path / "values.npz", x=x, y=100 + 7 * x[:, :2])
    loss = {"mse": {"weight": "rest"}, "kd": {"weight": 0.5}}
    spec = tiny(task__dataset=str(tmp_path / "values.npz"), student__loss=loss, assistants__loss=loss)
    search(spec, out=tmp_path / "out", runner="serial")
    study = read_study(pages.confirmed(tmp_path / "out", seeds=1))
    assert study.confirmed is not None and study.metric.name == "rmse"
    file = shown(study)
    axis = charts(file.slides[1])[0].value_axis
    assert axis.reverse_order and axis.minimum_scale >= 0 and "smaller is better" in axis.axis_title.text_frame.text
    assert "A regression has no classes, so it has no cautions." in texts(file.slides[3])
    assert study.metric.text(study.confirmed.teacher.on_test.value) in texts(file.slides[3])


def test_five_hundred_trials_fit(searched: Study) -> None:
    base = next(row for row in searched.rows if row.role == "student")
    more = [dataclasses.replace(base, frontier=False, sizes=Sizes(10 + place, 600, 40)) for place in range(500)]
    rows = [*searched.rows, *more]
    searched = dataclasses.replace(searched, rows=rows, summary=dataclasses.replace(searched.summary, rows=rows))
    packed = slides(searched, answer(searched, Wanted()))
    [chart] = charts(Presentation(io.BytesIO(packed)).slides[1])
    assert len(points(chart)["dominated, validation"]) >= 500 and len(packed) < 1_000_000


# Form


@pytest.mark.parametrize("name", STUDIES)
def test_charts_and_tables_have_alternative_text(name: str, request: pytest.FixtureRequest) -> None:
    file = shown(request.getfixturevalue(name))
    frames = [shape for shape in shapes(file) if shape.has_chart or shape.has_table]
    assert frames and all(len(shape._element.nvGraphicFramePr.cNvPr.get("descr")) > 20 for shape in frames)
    assert not any(shape.shape_type == 13 for shape in shapes(file)), "no pictures of text"


def test_shapes_stay_on_the_slide_and_apart(tested: Study) -> None:
    for wanted in (Wanted(), Wanted(target=0.3)):
        file = shown(tested, wanted)
        assert (file.slide_width, file.slide_height) == (Inches(13.333), Inches(7.5))
        for number, slide in enumerate(file.slides):
            boxes = [(one.left, one.top, one.left + one.width, one.top + one.height - GRAIN) for one in slide.shapes]
            assert all(0 <= a and 0 <= b and c <= file.slide_width and d <= file.slide_height for a, b, c, d in boxes)
            for place, (a, b, c, d) in enumerate(boxes):
                for other in boxes[:place] if number else ():  # the first one has charts on cards
                    left, top, right, bottom = other
                    assert c <= left or right <= a or d <= top or bottom <= b, (number, place)


def test_equal_studies_give_equal_files_without_a_date(tested: Study) -> None:
    found = answer(tested, Wanted(target=0.3))
    packed = slides(tested, found)
    assert packed == slides(read_study(tested.path), found)
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert {one.date_time for one in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"dcterms:created" not in file.read("docProps/core.xml")
        book = zipfile.ZipFile(io.BytesIO(file.read(next(one for one in file.namelist() if one.endswith(".xlsx")))))
        assert b"dcterms:created" not in book.read("docProps/core.xml")


def test_hostile_names_stay_names(tested: Study) -> None:
    known = tested.confirmed
    assert known is not None
    members = tuple(
        one.model_copy(update={"architecture": HOSTILE[0] * 30, "test": renamed(one.test)}) for one in known.members
    )
    names = known.test.model_copy(update={"class_names": HOSTILE})
    tested = dataclasses.replace(
        tested,
        confirmed=known.model_copy(update={"members": members, "test": names}),
        spec=tested.spec.model_copy(update={"study": HOSTILE[1] * 20}),
        path=Path("/tmp") / ("a_directory/" * 20),
    )
    packed = slides(tested, answer(tested, Wanted(target=0.3)))
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        for name in file.namelist():
            if name.endswith((".xml", ".rels")):
                etree.fromstring(file.read(name))
            if name.endswith(".xlsx"):
                sheet = zipfile.ZipFile(io.BytesIO(file.read(name))).read("xl/worksheets/sheet1.xml")
                assert b"<f>" not in sheet and b"hyperlink" not in sheet, "neither formulas nor links"
    found = Presentation(io.BytesIO(packed))
    every = "".join(texts(slide) for slide in found.slides)
    assert not set(every) & {"\x07", "\x00", "\u202e"} and "<b>&\"'</b>\ufffd" in every
    assert [one.lstrip("\u200b")[:5] for one in charts(found.slides[3])[0].plots[0].categories].count("=HYPE") == 1


def renamed(test: Any) -> Any:
    parts = tuple(part.model_copy(update={"name": HOSTILE[part.label]}) for part in test.by_class)
    return test.model_copy(update={"by_class": parts})


@given(st.text(max_size=80))
def test_names_can_be_written(text: str) -> None:
    etree.Element("a").text = clean(text)
    name = name_of(text)
    etree.Element("a").text = name
    assert name and not name.startswith(("=", "{", "http", "mailto:", "internal:")) and clean(clean(text)) == clean(text)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=400), min_size=1, max_size=5), st.floats(1, 12), st.floats(1, 6))
def test_text_fits_its_box(paragraphs: list[str], width: float, height: float) -> None:
    size, lines = fitted([Line(text=clean(one)) for one in paragraphs], width, height, 24)
    assert size in SIZES and height_of(lines, size, width) <= max(height, 0.2 * len(lines) * 1.22)
    assert all(line.text == clean(one) or line.text.endswith("…") for line, one in zip(lines, paragraphs, strict=True))


def test_rows_are_counted_from_the_widths_of_letters() -> None:
    assert rows_of("", 10, 1) == 1 and rows_of("aaaa aaaa", 10, 1) == 1
    assert rows_of("a" * 26, 10, 1) == 3, "0.57 of 10 points each, 72 points to a row"
    assert rows_of("\u4e2d" * 10, 10, 1) == 2, "as wide as high"


def test_the_colors_are_those_of_the_page() -> None:
    assert palette()["--student"] == "0072b2" and re.fullmatch("[0-9a-f]{6}", palette()["--bad"])


# The command


def test_the_command_writes_slides_beside_the_page(
    raw: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (raw / "report.pptx").unlink(missing_ok=True)
    reads: list[Any] = []
    for module in (page_module, study_module):
        monkeypatch.setattr(module, "read_study", lambda place: (reads.append(place), read_study(place))[1])
    assert main(["report", str(raw), "--slides", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["slides"] == str(raw / "report.pptx") and len(reads) == 1, "the study is read once"
    study = read_study(raw)
    assert (raw / "report.pptx").read_bytes() == slides(study, answer(study, Wanted()))


def test_without_the_library_nothing_is_written(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodistill.study.record.directory import StudyDirectory

    (raw / "report.pptx").unlink(missing_ok=True)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "pptx" else find(name, *more))
    with pytest.raises(UsageError, match=r"python-pptx is not installed; run: pip install 'autodistill-search\[slides\]'"):
        Opened(StudyDirectory(raw)).report(slides=True)
    assert not (raw / "report.pptx").exists()
