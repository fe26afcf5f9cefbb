"""Several studies on one page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from autodistill.cli import main
from autodistill.reporting.page import compare
from autodistill.reporting.page.compare import comparison
from autodistill.reporting.page.printing import render
from autodistill.reporting.page.study import read_study
from autodistill.spec import UsageError

from . import pages
from .conftest import blobs

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two searches of the same data."""
    root = tmp_path_factory.mktemp("compare")
    return pages.searched(root, "one"), pages.searched(root, "two", seed=1, trials=5)


@pytest.fixture(scope="module")
def confirmed(two: tuple[Path, Path]) -> tuple[Path, Path]:
    return pages.confirmed(two[0], seeds=1), pages.confirmed(two[1], seeds=1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pages.started() as found:
        yield found


@pytest.mark.slow
def test_every_member_and_teacher_is_in_one_table(two: tuple[Path, Path]) -> None:
    studies = [read_study(path) for path in two]
    found = comparison(studies)
    assert list(found.studies) == ["tiny (one)", "tiny (two)"], "equal names get their folders"
    expected = sorted(row.stage for study in studies for row in (*study.members, study.teacher))
    assert sorted(one.network.stage for one in found.rows) == expected
    params = [one.network.params for one in found.rows]
    assert params == sorted(params) and not found.tested


@pytest.mark.slow
def test_test_accuracies_are_drawn_only_where_all_are_confirmed(two: tuple[Path, Path], confirmed: tuple[Path, Path]) -> None:
    both = comparison([read_study(path) for path in confirmed])
    assert both.tested and set(both.figure.splits) == {"validation", "test"}
    mixed = comparison([read_study(two[0]), read_study(confirmed[1])])
    assert not mixed.tested and mixed.figure.splits == ["validation"]
    text = render("compare.html", **vars(mixed))
    assert "Test accuracies are not shown, because not every study is confirmed" in text
    assert re.findall(r'<td data-value="\d">(never|\d)</td></tr>', text) == ["never", "1"]
    plain = comparison([read_study(path) for path in two])
    assert [one.network.validation for one in mixed.rows] == [one.network.validation for one in plain.rows], (
        "searched files, both"
    )


@pytest.mark.slow
def test_it_works_in_the_browser(browser: Browser, confirmed: tuple[Path, Path], tmp_path: Path) -> None:
    path = compare(confirmed, tmp_path / "to").page
    assert path == tmp_path / "to" / "compare.html"
    for width in (1280, 390):
        seen = pages.opened(browser, path, width, "dark")
        assert [url.split(":", 1)[0] for url in seen.requests] == ["file"] and seen.said == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        lines = "document.getElementById('frontier-plot').data.filter((one) => one.mode === 'lines').length"
        assert seen.page.evaluate(lines) == 2
        seen.page.locator('[data-sets="axis"] button[value="macs"]').click()
        seen.until("document.querySelector('#frontier-plot .xtitle').textContent.startsWith('multiply')")
        button = seen.page.locator("thead th button", has_text="validation").last
        button.click()
        cells = seen.page.locator("section:last-of-type tbody tr td:nth-child(4)")
        values = [float(one) for one in cells.evaluate_all("(all) => all.map((one) => one.dataset.value)")]
        assert values == sorted(values)
        seen.page.close()


@pytest.mark.slow
def test_the_command_line(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, two), "--to", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (tmp_path / "compare.html").exists() and [one["directory"] for one in found["studies"]] == list(map(str, two))
    assert main(["compare", str(two[0])]) == 2
    assert "two studies or more, got 1" in capsys.readouterr().err


def test_what_does_not_compare_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two studies or more, got 0"):
        compare([], tmp_path)
    with pytest.raises(UsageError, match="is named twice"):
        compare([two[0], two[0].parent / "." / two[0].name], tmp_path)
    with pytest.raises(UsageError, match="contains no study"):
        compare([two[0], tmp_path], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written to"):
        compare(two, tmp_path / "file")


@pytest.mark.slow
def test_studies_of_other_data_are_refused_by_name(two: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **blobs(seed=1))
    other = pages.searched(tmp_path, "other", trials=3, label_baselines=False)
    with pytest.raises(UsageError, match=rf"{other} and {two[0]} do not use the same samples: the fingerprint of its data"):
        compare([*two, other], tmp_path)


def test_a_moved_study_compares_all_the_same(two: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(two[1], tmp_path / "moved")
    assert len(compare([two[0], tmp_path / "moved"], tmp_path).studies) == 2
