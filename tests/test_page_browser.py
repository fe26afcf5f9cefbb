"""The page in a real Chromium: from the disk, by mouse and keyboard, on screens and on paper."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from autodistill.answers import Wanted
from autodistill.reporting.marks import AXES
from autodistill.reporting.page import compare, html, write_html, write_page
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.printing import print_pdf
from autodistill.reporting.page.study import Study, read_study
from autodistill.reporting.summary import summary

from . import pages

pytestmark = pytest.mark.xdist_group("page")
EVIL = '<script>alert(1)</script> & "quoted" <b>bold</b> \u05d0\u05d1\u05d2 \u202e'
ON_ONE_SCALE = """[...document.querySelectorAll(".bars")].every(list => {
    const widths = [...list.querySelectorAll(".track")].map(track => track.getBoundingClientRect().width);
    return Math.max(...widths) - Math.min(...widths) < 0.1;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pages.started() as found:
        yield found


@pytest.fixture(scope="module")
def page(confirmed: Path) -> Path:
    return write_page(read_study(confirmed)).page


def test_the_page_is_one_file_that_names_no_other(page: Path) -> None:
    text = page.read_text()
    assert len(text) < 3e6
    assert not re.findall(
        r'<(?:script|img|iframe)[^>]*\ssrc="(?!data:)|<link[^>]*href="(?!data:)|@import|url\((?!data:)', _own(text)
    )
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def _own(text: str) -> str:
    """Without plotly's own script."""
    return max(re.split(r"<script>/\*\*|</html>", text), key=lambda part: part.count("<section"))


def test_it_opens_from_the_disk_without_network_or_errors(browser: Browser, page: Path, raw: Path) -> None:
    for path in (page, write_page(read_study(raw)).page):
        for width, scheme in ((1280, "light"), (390, "dark")):
            seen = pages.opened(browser, path, width, scheme)
            assert [url.split(":", 1)[0] for url in seen.requests] == ["file"] and seen.said == []
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
            assert seen.page.evaluate(ON_ONE_SCALE), "bars that are compared"
            seen.page.close()


@pytest.mark.slow
def test_the_axis_is_switched_by_mouse_and_by_keyboard(browser: Browser, page: Path) -> None:
    seen = pages.opened(browser, page)
    title = seen.page.locator("#frontier-plot .xtitle")
    spot = "document.getElementById('frontier-plot').data.find((one) => one.name.startsWith('teacher')).x[0]"
    shown = [(name, one.long) for name, one in AXES.items() if name != "core_params"]  # these networks have no embeddings
    for place, (axis, text) in enumerate(shown):
        button = seen.page.locator(f'[data-sets="axis"] button[value="{axis}"]')
        if place % 2:
            button.focus()
            seen.page.keyboard.press("Enter")
        else:
            button.click()
        seen.until(f"document.querySelector('#frontier-plot .xtitle').textContent.startsWith({json.dumps(text)})")
        assert title.text_content() == f"{text} (logarithmic)"
        pressed = seen.page.locator('[data-sets="axis"] button[aria-pressed="true"]')
        assert pressed.count() == 1 and pressed.get_attribute("value") == axis
        study = read_study(page.parent)
        assert study.confirmed is not None
        teacher = study.confirmed.teacher
        assert seen.page.evaluate(spot) == (teacher.latency.one.p50_ms if axis == "latency_ms" else getattr(teacher, axis))
    assert seen.said == []
    seen.page.close()


@pytest.mark.slow
def test_the_split_is_switched(browser: Browser, page: Path) -> None:
    seen = pages.opened(browser, page)
    names = "document.getElementById('frontier-plot').data.map((one) => one.meta.split)"
    for split, expected in (("validation", {"validation"}), ("both", {"validation", "test"}), ("test", {"test"})):
        seen.page.locator(f'[data-sets="split"] button[value="{split}"]').click()
        assert set(seen.page.evaluate(names)) == expected
    seen.page.close()


@pytest.mark.slow
def test_before_confirm_latency_cannot_be_chosen(browser: Browser, raw: Path) -> None:
    seen = pages.opened(browser, write_page(read_study(raw)).page)
    assert seen.page.locator('[data-sets="axis"] button[value="latency_ms"]').is_disabled()
    seen.page.close()


@pytest.mark.slow
def test_columns_sort_both_ways_with_what_is_unknown_last(browser: Browser, page: Path) -> None:
    seen = pages.opened(browser, page)
    heads = seen.page.locator("#table thead th")
    for column in range(heads.count()):
        button = heads.nth(column).locator("button")
        for order in ("ascending", "descending"):
            button.click()
            assert heads.nth(column).get_attribute("aria-sort") == order
            assert seen.page.locator("#table th[aria-sort]").count() == 1
            cells = seen.page.locator(f"#table tbody tr > :nth-child({column + 1})")
            found = [str(one) for one in cells.evaluate_all("(all) => all.map((one) => one.dataset.value)")]
            known = [one for one in found if one]
            assert found == known + [""] * (len(found) - len(known))
            with_numbers = [float(one) for one in known] if not _is_text(known) else known
            if not _is_text(known):
                assert with_numbers == sorted(with_numbers, reverse=order == "descending")  # type: ignore[type-var]
    seen.page.close()


def _is_text(values: list[str]) -> bool:
    return any(re.fullmatch(r"-?[\d.]+(e-?\d+)?", one) is None for one in values)


def test_a_person_who_does_not_see_it_finds_the_way(browser: Browser, page: Path) -> None:
    seen = pages.opened(browser, page)
    levels = [int(one[1]) for one in seen.page.locator("h1, h2, h3").evaluate_all("(all) => all.map((one) => one.tagName)")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    for one in seen.page.locator('[role="img"]').all():
        assert one.get_attribute("aria-label") or one.get_attribute("aria-labelledby")
    assert seen.page.locator("table caption").count() == seen.page.locator("table").count()
    assert seen.page.locator("thead th:not([scope=col]), tbody th:not([scope=row])").count() == 0
    ids = seen.page.evaluate("[...document.querySelectorAll('main [id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.className") == "skip"
    seen.page.close()


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const probe = document.body.appendChild(document.createElement("span"));
  const color = (name) => { probe.style.color = `var(${name})`; return light(parse(getComputedStyle(probe).color)); };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const found = {};
  for (const name of ["--text", "--quiet", "--link", "--good", "--bad", "--student", "--assistant", "--labels", "--teacher",
                      "--tested", "--muted"])
    found[name] = Math.min(ratio(color(name), color("--back")), ratio(color(name), color("--panel")));
  return found;
}"""


def test_the_toolbar_of_the_figure_sends_nothing_away(browser: Browser, page: Path) -> None:
    seen = pages.opened(browser, page)
    labels = seen.page.locator(".modebar button").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    assert labels == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]
    seen.page.close()


KINDS = ("confirmed", "raw", "compare")
LOOKS = list(itertools.product(("light", "dark"), (360, 800, 1400)))


@pytest.mark.parametrize(
    ("kind", "looks"),
    [("confirmed", LOOKS[::2]), *(pytest.param(kind, LOOKS, marks=pytest.mark.slow) for kind in KINDS)],
)
def test_axe_finds_nothing(
    browser: Browser, raw: Path, confirmed: Path, tmp_path: Path, kind: str, looks: list[tuple[Any, int]]
) -> None:
    """No violation of WCAG 2.1 A and AA, with everything folded out, on a phone, a tablet and a screen, light and dark."""
    path = compare([raw, confirmed], tmp_path).page if kind == "compare" else write_html({"raw": raw}.get(kind, confirmed))
    seen = pages.opened(browser, path)
    seen.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    for scheme, width in looks:
        seen.page.emulate_media(color_scheme=scheme)
        seen.page.set_viewport_size({"width": width, "height": 900})
        assert pages.violations(seen.page) == [], (scheme, width)
    seen.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_aa(browser: Browser, page: Path, scheme: str) -> None:
    """WCAG 2.2: 4.5 to 1 for text (1.4.3), 3 to 1 for marks (1.4.11)."""
    seen = pages.opened(browser, page, scheme=scheme)
    found = seen.page.evaluate(CONTRAST)
    text = {name: found.pop(name) for name in ("--text", "--quiet", "--link", "--good", "--bad")}
    assert min(text.values()) >= 4.5, text
    assert min(found.values()) >= 3, found
    ink = seen.page.evaluate("getComputedStyle(document.querySelector('#frontier-plot .xtitle')).fill")
    assert ink == seen.page.evaluate("getComputedStyle(document.body).color"), "the picture is in the page's own ink"
    seen.page.close()


@pytest.mark.slow
def test_the_picture_follows_when_it_gets_dark(browser: Browser, page: Path) -> None:
    seen = pages.opened(browser, page)
    ink = "getComputedStyle(document.querySelector('#frontier-plot .xtitle')).fill"
    before = seen.page.evaluate(ink)
    seen.page.emulate_media(color_scheme="dark")
    seen.until(f"{ink} !== {json.dumps(before)}")
    assert seen.page.evaluate(ink) == seen.page.evaluate("getComputedStyle(document.body).color")
    seen.page.close()


def test_on_paper_it_is_light(browser: Browser, page: Path) -> None:
    ink = "getComputedStyle(document.querySelector('#frontier-plot .xtitle')).fill"
    seen = pages.opened(browser, page, scheme="dark")
    dark = seen.page.evaluate(ink)
    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    seen.until(f"{ink} !== {json.dumps(dark)}")
    seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
    seen.until(f"{ink} === {json.dumps(dark)}")
    assert seen.said == []
    seen.page.close()


@pytest.mark.slow
def test_before_any_trial_has_ended_there_is_a_page_too(browser: Browser, raw: Path, tmp_path: Path) -> None:
    study = read_study(raw)
    empty = dataclasses.replace(study, rows=[study.teacher], trials=[], ended=[])
    path = tmp_path / "empty.html"
    path.write_text(html(empty, answer(empty, Wanted())))
    seen = pages.opened(browser, path)
    text = seen.page.locator("main").inner_text()
    assert "no student is on the frontier yet" in text and "No trial has ended yet." in text and seen.said == []
    seen.page.close()


def hostile(study: Study) -> Study:
    rows = [dataclasses.replace(row, architecture=EVIL, chain=f"{EVIL} > {EVIL}", reason=EVIL) for row in study.rows]
    rows[-1] = dataclasses.replace(rows[-1], state="failed", frontier=False, measured=None)
    spec = study.spec.model_copy(update={"study": EVIL})
    return dataclasses.replace(study, rows=rows, spec=spec, summary=summary(spec, rows, 0.25))


def test_hostile_names_are_only_text(browser: Browser, raw: Path, tmp_path: Path) -> None:
    path = tmp_path / "evil.html"
    study = hostile(read_study(raw))
    path.write_text(html(study, answer(study, Wanted())))
    seen = pages.opened(browser, path)
    assert seen.said == [] and seen.page.title().startswith(EVIL.strip())
    assert EVIL.strip() in (seen.page.locator("h1").text_content() or "")
    assert seen.page.locator("main b").count() == 0
    assert seen.page.locator('script:not([type="application/json"])').count() == 2
    last = "document.getElementById('frontier-plot').data.length - 1"
    seen.page.evaluate(f"Plotly.Fx.hover('frontier-plot', [{{curveNumber: {last}, pointNumber: 0}}])")
    seen.page.wait_for_selector("#frontier-plot .hoverlayer .hovertext text")
    hovered = seen.page.locator("#frontier-plot .hoverlayer").text_content() or ""
    assert "<script>alert(1)</script>" in hovered and "<b>bold</b>" in hovered and seen.said == []
    seen.page.close()


def test_the_pdf_is_printed_where_chromium_is(browser: Browser, page: Path) -> None:
    found = print_pdf(page)
    assert found == page.with_suffix(".pdf") and found.read_bytes().startswith(b"%PDF")
    assert 2 <= sheets(found) <= 4


def sheets(printed: Path) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))


@pytest.mark.slow
def test_a_large_study_has_a_small_page_of_four_sheets_that_needs_no_script(
    browser: Browser, confirmed: Path, tmp_path: Path
) -> None:
    study = pages.large(confirmed, tmp_path)
    path, answered = tmp_path / "large.html", answer(study, Wanted())
    path.write_text(html(study, answered))
    assert path.stat().st_size < 3e6
    printed = print_pdf(path)
    assert printed is not None and sheets(printed) <= 4
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".answer .sentence").inner_text() == answered.verdict.sentence
    still = page.locator("img.still")
    assert still.is_visible() and still.evaluate("(one) => one.naturalWidth") > 0
    assert page.locator("#frontier .plot").is_hidden() and page.locator("#frontier .buttons").is_hidden()
    assert page.locator("#table tbody tr").first.is_visible() and page.locator("#table tbody tr").count() == 61
    assert page.locator("#classes .bars li").count() == 30 and page.locator("#health svg").first.is_visible()
    context.close()
