"""Pictures of invented studies."""

import itertools
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.metrics.metric import ACCURACY
from autodistill.reporting import picture
from autodistill.reporting.marks import Line, Mark, View
from autodistill.reporting.picture import draw, short, size_ticks
from autodistill.spec.measurement import Sizes

from .rows import origin, trial_row
from .scored import measured


def row(
    role="student", params=1000, accuracy=0.8, *, frontier=False, state="complete", architecture="mlp depth=1", worse=False,
    inside=True,
):  # fmt: skip
    """A mark, made of a row of a study; its interval is that of 400 samples."""
    sizes = Sizes(params=params, macs=60 * params, bytes=4 * params)
    stopped = {"measured": None, "origin": origin(rungs=[(1, accuracy)])}
    seen = stopped if state == "stopped" else {"measured": measured(accuracy, 400, sizes)}
    known = {"role": role, "state": state, "architecture": architecture, "frontier": frontier, "inside": inside}
    return Mark.of(trial_row(**known, **seen, sizes=sizes, label_only=accuracy + 0.01 if worse else None))


TEACHER = row("teacher", 696_000, 0.989, architecture="resnet depth=2 width=32")


def study(trials):
    """Invented trials of growing size, every third on the frontier, some stopped early."""
    random = np.random.default_rng(trials)
    rows = []
    for index, params in enumerate(np.geomspace(399, 20_000, trials)):
        best = 0.99 - 0.59 * (399 / params) ** 0.7
        role = ("student", "assistant", "label-only")[index // 3 % 3]
        if index % 3 == 0:
            rows.append(row(role, int(params), best, frontier=True))
        else:
            state = "stopped" if index % 9 == 1 else "complete"
            rows.append(row(role, int(params), best * random.uniform(0.3, 1), state=state))
    return [*rows, TEACHER]


REGIMES = {
    "24 trials": study(24),
    "500 trials": study(500),
    "only the teacher": [TEACHER],
    "no teacher": study(5)[:-1],
    "nothing": [],
    "one trial": [row(frontier=True)],
    "one dominated trial": [row()],
    "worse than label-only": [row(frontier=True, worse=True), row(params=2000, accuracy=0.9, frontier=True), TEACHER],
    "equal sizes": [row(accuracy=0.5 + 0.1 * index, frontier=index == 3) for index in range(4)] + [row("teacher")],
    "equal rows": [row(frontier=True)] * 3,
    "none or all right": [row(accuracy=0.0, frontier=True), row("teacher", 10**12, 1.0)],
    "a student larger than its teacher": [row(params=10**6, accuracy=0.9, frontier=True), row("teacher", 500, 0.7)],
    "two teachers": [row(frontier=True), TEACHER, row("teacher", 20_000, 0.9)],
    "an incumbent": [row("incumbent", 3000, 0.85), *study(24)],
    "only an incumbent": [row("incumbent", 3000, 0.85), TEACHER],
    "one parameter": [row(params=1, frontier=True)],
}


def figure(rows, size="params", floor=None, lines=()):
    with matplotlib.style.context(picture.STYLE, after_reset=True):
        drawn = picture._figure(View(metric=ACCURACY, marks=rows, size=size, floor=floor, lines=lines), "title")
        drawn.draw_without_rendering()
        return drawn


def test_members_outside_the_region_are_gray_and_not_on_the_line():
    rows = [TEACHER, row(params=900, accuracy=0.9, frontier=True), row(params=50, accuracy=0.87, frontier=True, inside=False)]
    (axes,) = figure(rows, floor=88.0).axes
    (line,) = [line for line in axes.lines if line.get_label() == "frontier"]
    assert min(line.get_xdata()) == 900
    names = axes.get_legend_handles_labels()[1]
    assert "outside the region" in names
    assert "region of interest" in [text.get_text() for text in axes.texts]
    assert any(list(line.get_ydata()) == [88.0, 88.0] for line in axes.lines)


def texts(drawn):
    """Every text of the figure that is not on an axis or in the legend."""
    return [text for text in [*drawn.texts, *drawn.axes[0].texts] if text.get_text()]


def pixels(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR"
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


@pytest.mark.parametrize("name", REGIMES)
def test_two_files_of_the_right_size_and_nothing_else(name, tmp_path):
    draw(View(metric=ACCURACY, marks=REGIMES[name]), title=name, target=tmp_path / "frontier")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frontier.png", "frontier.svg"]
    assert pixels(tmp_path / "frontier.png") == (1600, 900)
    assert ElementTree.parse(tmp_path / "frontier.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("name", [name for name, rows in REGIMES.items() if rows])
def test_labels_are_inside_the_axes_and_apart(name):
    axes = figure(REGIMES[name]).axes[0]
    frame = axes.get_window_extent()
    boxes = [matplotlib.text.Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) <= 3 + (name == "an incumbent") and bool(boxes) == (name != "one dominated trial")
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("floor", [60.0, 70.0, 71.9, 73.0, 74.5])
def test_labels_leave_the_captions_of_lines_free(floor):
    long = "transformers layers=2 heads=12 head_width=32"
    values = [(2_862_233, 0.7265), (3_939_993, 0.7315), (4_734_905, 0.737), (7_792_409, 0.758)]
    rows = [row(params=params, accuracy=value, frontier=True, architecture=long) for params, value in values]
    rows.append(row("teacher", 22_575_001, 0.749, architecture="transformers layers=6 hidden=384"))
    [axes] = figure(rows, floor=floor, lines=[Line(63.7, "tf-idf + linear")]).axes
    boxes = {text.get_text(): matplotlib.text.Text.get_window_extent(text) for text in axes.texts}
    assert {"region of interest", "tf-idf + linear"} < set(boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes.values(), 2))


def test_labels_leave_the_frontier_and_the_teacher_free():
    axes = figure(study(24)).axes[0]
    members = [item for item in study(24) if item.kind in ("frontier", "teacher")]
    shown = [(item.x["params"], item.value) for item in members]
    for text in axes.texts:
        box = matplotlib.text.Text.get_window_extent(text)
        assert not any(box.contains(*spot) for spot in axes.transData.transform(shown))


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("once", "again"):
        draw(View(metric=ACCURACY, marks=study(24)), title="digits", target=tmp_path / name)
    for kind in ("png", "svg"):
        assert (tmp_path / f"once.{kind}").read_bytes() == (tmp_path / f"again.{kind}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "once.svg").read_bytes()


def test_ones_own_style_changes_nothing_and_stays(tmp_path):
    draw(View(metric=ACCURACY, marks=study(9)), title="digits", target=tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "x", "text.usetex": True, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        draw(View(metric=ACCURACY, marks=study(9)), title="digits", target=tmp_path / "styled")
        assert dict(matplotlib.rcParams) == before
    for kind in ("png", "svg"):
        assert (tmp_path / f"plain.{kind}").read_bytes() == (tmp_path / f"styled.{kind}").read_bytes()


def test_another_process_draws_the_same_bytes_without_pyplot(tmp_path):
    draw(View(metric=ACCURACY, marks=[TEACHER]), title="one", target=tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from autodistill.reporting import picture\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from autodistill.reporting.marks import Line, Mark, View\n"
        "from autodistill.metrics.metric import ACCURACY, TopK\n"
        "from autodistill.spec.measurement import Sizes\n"
        f"picture.draw(View(metric=ACCURACY, marks=[{TEACHER!r}]), title='one', target=Path(sys.argv[1]))\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "MPLBACKEND": "svg"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, timeout=120, env=environment)
    for kind in ("png", "svg"):
        assert (tmp_path / f"here.{kind}").read_bytes() == (tmp_path / f"there.{kind}").read_bytes()


STRANGE = ["costs $5 or $6", "$\\frac{", "a_b^c", "<b> & </b> -->", "漢字 \ud800", "two\nlines\x00\t\x1b[0m", ""]


@pytest.mark.parametrize("text", [*STRANGE, "x" * 999])
def test_any_text_is_drawn_as_it_is(text, tmp_path):
    rows = [row(frontier=True, architecture=text), row("teacher", 9000, 0.9, architecture=text)]
    draw(View(metric=ACCURACY, marks=rows), title=text, target=tmp_path / "frontier")
    assert ElementTree.parse(tmp_path / "frontier.svg").getroot().tag.endswith("svg")


def test_no_text_is_read_as_mathematics():
    drawn = figure([row(frontier=True, architecture="$x$"), replace(TEACHER, architecture="$y$")])
    assert not any(text.get_parse_math() for text in texts(drawn))
    assert any("$x$" in text.get_text() for text in texts(drawn))


def test_long_texts_are_shortened_at_a_word():
    long = "timm vit_tiny_patch16_224 embed_dim=48 depth=3"
    labels = [text.get_text() for text in figure([row(frontier=True, architecture=long)]).axes[0].texts]
    assert labels == ["timm vit_tiny_patch16_224…\n1k params, 80.0%"]


def test_what_lies_below_is_counted_not_shown():
    far_below = [row(accuracy=0.1), row(accuracy=0.12, state="stopped"), row(accuracy=0.05, role="assistant")]
    drawn = figure([row(accuracy=0.8, frontier=True), *far_below, TEACHER])
    assert 60 < drawn.axes[0].get_ylim()[0] < 76
    assert [text.get_text() for text in drawn.texts if "below" in text.get_text()] == ["▾ 3 below"]
    assert not any("below" in text.get_text() for text in texts(figure([row(accuracy=0.8, frontier=True), TEACHER])))


def test_the_line_steps_up_at_each_member_and_ends_at_the_teachers_size():
    rows = [row(params=100, accuracy=0.5, frontier=True), row(params=400, accuracy=0.75, frontier=True), TEACHER]
    (line,) = [line for line in figure(rows).axes[0].lines if line.get_label() == "frontier"]
    assert line.get_xydata().tolist() == [[100, 50], [400, 50], [400, 75], [696_000, 75]]


def test_the_legend_names_what_is_there_and_only_that():
    (legend,) = figure(study(24)).legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["student", "assistant", "label-only", "frontier", "teacher", "dominated", "stopped early"]
    own = row(role="incumbent", frontier=False, params=9000, accuracy=0.8)
    (legend,) = figure([*study(24), own]).legends
    assert set(text.get_text() for text in legend.get_texts()) - set(names) == {"incumbent"}
    assert any(text.get_text().startswith("incumbent: ") for text in texts(figure([*study(24), own])))
    (legend,) = figure([TEACHER]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["teacher"]


@pytest.mark.parametrize("rows", [study(24), study(500), [TEACHER], []])
def test_letters_are_legible_on_a_slide(rows):
    drawn = figure(rows)
    letters = drawn.findobj(matplotlib.text.Text)
    assert min(text.get_fontsize() for text in letters if text.get_text()) >= 14


EVERYTHING = [
    *(
        row(role, 100 * 3**index, 0.5 + index / 10, frontier=True)
        for index, role in enumerate(("student", "assistant", "label-only"))
    ),
    row(params=400, accuracy=0.2, state="stopped"),
    row(params=500, accuracy=0.1),
    row(params=3000, accuracy=0.9, frontier=True, worse=True),
    row("incumbent", 800, 0.4),
    TEACHER,
]


@pytest.mark.parametrize("rows", [study(24), study(500), EVERYTHING])
def test_no_text_leaves_the_page_or_touches_another(rows):
    drawn = figure(rows)
    extents = [text.get_window_extent() for text in drawn.texts]
    extents += [legend.get_window_extent() for legend in drawn.legends]
    extents += [axis.label.get_window_extent() for axis in (drawn.axes[0].xaxis, drawn.axes[0].yaxis)]
    page = drawn.bbox
    assert all(0 <= box.x0 and box.x1 <= page.x1 and 0 <= box.y0 and box.y1 <= page.y1 for box in extents)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2))


@pytest.mark.parametrize("size", ["params", "core_params", "macs", "bytes"])
def test_each_size_has_its_own_axis(size):
    label = {"params": "1k params", "core_params": "1k core params", "macs": "60k MACs", "bytes": "4k bytes"}[size]
    points = [Mark.of(trial_row(frontier=True, inside=True))]
    assert any(label in text.get_text() for text in texts(figure(points, size)))


def test_a_row_becomes_a_mark_of_its_kind():
    stopped = trial_row(state="stopped", measured=None, origin=origin(rungs=[(1, 0.2), (2, 0.3)]))
    kinds = {
        "dominated": trial_row(),
        "frontier": trial_row(frontier=True, inside=True, label_only=0.9),
        "outside": trial_row(frontier=True),
        "teacher": trial_row(role="teacher"),
        "incumbent": trial_row(role="incumbent", inside=True),
        "stopped": stopped,
    }
    points = {kind: Mark.of(one) for kind, one in kinds.items()}
    assert {kind: point.kind for kind, point in points.items()} == {kind: kind for kind in kinds}
    assert [kind for kind, point in points.items() if point.worse] == ["frontier"]
    mark = points["stopped"]
    assert (mark.x["params"], mark.value, mark.low, mark.high) == (1000.0, 30.0, 30.0, 30.0)
    assert points["dominated"].value == 80 and points["dominated"].low < 80 < points["dominated"].high


@given(st.floats(-1, 12), st.floats(np.log10(6), 12))
def test_ticks_are_few_and_within(low, span):
    low, high = 10**low, 10 ** (low + span)
    ticks = size_ticks(low, high)
    assert 4 <= len(ticks) <= 13
    assert ticks == sorted(set(ticks)) and low <= ticks[0] and ticks[-1] <= high
    assert len({short(tick) for tick in ticks}) == len(ticks)


def test_sizes_are_short():
    amounts = [1, 399, 999, 1000, 1384, 19_810, 99_949, 999_499, 999_500, 1_234_567, 7e9, 3e12]
    expected = ["1", "399", "999", "1k", "1.38k", "19.8k", "99.9k", "999k", "1M", "1.23M", "7G", "3T"]
    assert [short(amount) for amount in amounts] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "judge"}, "point 1: role is 'judge'; give one of student, assistant, label-only, incumbent, teacher"),
        ({"x": {"params": 0}}, "point 1: params is 0; a logarithmic axis needs a number above 0"),
        ({"value": 198.9}, "point 1: accuracy, low, and high are .*198.9.* percentages from 0 to 100"),
        ({"low": float("nan")}, "point 1: accuracy, low, and high are .*nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(View(metric=ACCURACY, marks=[TEACHER, replace(row(), **change)]), title="wrong", target=tmp_path / "frontier")
    assert not list(tmp_path.iterdir())


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="size is 'latency'; choose one of params, core_params, macs, bytes"):
        draw(View(metric=ACCURACY, marks=[TEACHER], size="latency"), title="wrong", target=tmp_path / "frontier")


def test_a_picture_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    draw(View(metric=ACCURACY, marks=[TEACHER]), title="first", target=tmp_path / "frontier")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        draw(View(metric=ACCURACY, marks=study(9)), title="second", target=tmp_path / "frontier")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
