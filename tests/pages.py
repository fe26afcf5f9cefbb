"""Small real studies, and a real Chromium to look at their pages."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, sync_playwright

from autodistill import spec
from autodistill.answers.confirm import confirm
from autodistill.answers.confirm.confirmation import ClassPart, Member
from autodistill.metrics import latency
from autodistill.reporting.marks import view
from autodistill.reporting.page.printing import chromium
from autodistill.reporting.page.study import Ended, Study, read_study
from autodistill.reporting.picture import draw
from autodistill.reporting.summary import summary
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.rows import TrialRow

from .conftest import DOCUMENT, blobs
from .searching import search


def searched(
    root: Path, name: str = "out", task: dict[str, Any] | None = None, log: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """The folder of a small finished study on blobs; `changes` are of its `search`, `task` of its task, `log` of its log."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENT)
    if not (root / "data.npz").exists():
        np.savez(root / "data.npz", **blobs())
    document["task"] |= {"dataset": str(root / "data.npz")} | (task or {})
    document["log"] = log or {}
    document["search"] |= {"trials": 8, "label_baselines": True} | changes
    search(spec.parse(document), out=root / name, runner="serial")
    return root / name


def confirmed(folder: Path, seeds: int = 2) -> Path:
    """A copy of a study's folder, confirmed."""
    copied = folder.with_name(f"{folder.name}-confirmed")
    shutil.copytree(folder, copied)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        confirm(StudyDirectory(copied), seeds=seeds, runner="serial")
    return copied


LONG = "transformers layers=2 heads=12 head_width=32 intermediate=1536 vocabulary=8000 embedding=256 pooling=mean"


def large(folder: Path, target: Path, trials: int = 500, finalists: int = 60, classes: int = 100) -> Study:
    """The confirmed study in `folder` as if it had many trials, finalists and classes; its picture is in `target`."""
    study = read_study(folder)
    assert study.confirmed is not None
    known = [row for row in study.rows if row.origin is not None and row.is_complete]
    rows = [_resized(known[place % len(known)], place) for place in range(trials)]
    parts = [ClassPart(label=one, name=f"class {one}", n=9, accuracy=0.5, teacher=0.6, drop=0.1) for one in range(classes)]
    tested = study.confirmed.members
    members = [_enlarged(tested[place % len(tested)], place, parts) for place in range(finalists)]
    everything = [*(row for row in study.rows if row.origin is None), *rows]
    found = dataclasses.replace(
        study,
        path=target,
        rows=everything,
        summary=summary(study.spec, everything, 0.25),
        ended=[Ended(place, row.stage, (), float(place)) for place, row in enumerate(rows)],
        trials=[study.trials[place % len(study.trials)] for place in range(trials)],
        confirmed=study.confirmed.model_copy(update={"members": tuple(members)}),
    )
    draw(view(found.spec, found.summary), title="large", target=target / "frontier")
    return found


def _resized(row: TrialRow, place: int) -> TrialRow:
    params = row.params + place
    return dataclasses.replace(row, sizes=row.sizes._replace(params=params), architecture=f"{LONG} {place}")


def _enlarged(one: Member, place: int, parts: list[ClassPart]) -> Member:
    test = one.test.model_copy(update={"by_class": tuple(parts)})
    return one.model_copy(update={"params": one.params + place, "architecture": LONG, "test": test})


@dataclass
class Seen:
    """A page in the browser, and what it said and asked for on the way."""

    page: Page
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def until(self, expression: str) -> None:
        """Waits until it is true. Playwright's own way to wait evaluates text in the page, which the page forbids."""
        deadline = time.monotonic() + 60
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            self.page.wait_for_timeout(20)


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Skips only where neither Chromium is nor apt-get, which would bring it."""
    path = chromium()
    if path is None:
        if shutil.which("apt-get") is None:
            pytest.skip("needs Chromium, and there is no apt-get to install it with")
        pytest.fail("needs Chromium: apt-get install chromium")
    options = ["--no-sandbox"] * (os.geteuid() == 0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options, timeout=120_000)
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, width: int = 1280, scheme: Any = "light") -> Seen:
    """The file at `path`, opened from the disk."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(60_000)
    seen = Seen(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("dialog", lambda dialog: (seen.said.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    page.wait_for_selector(".plot .main-svg")
    return seen


AA = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.1 A and AA: the rule, and where it is broken."""
    page.evaluate(f"window.axe || (() => {{ {AXE_SCRIPT} }})()")
    found = page.evaluate(f"axe.run(document, {json.dumps(AA)})")["violations"]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]
