"""The report page of a study, and the comparison of several studies on one page."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...answers import Wanted
from ...study.record.folder import replace
from ...version import __version__
from ..terminal import headline, more_trials
from .answer import answer
from .chains import picture
from .compare import compare
from .finalists import finalists, rules, the_teacher
from .health import health
from .method import method
from .pdf import print_pdf
from .plots import course_figure, frontier_figure
from .render import render
from .study import Study, read_study

__all__ = ["compare", "facts", "write_page"]
Facts = dict[str, Any]
PAGE = "report.html"


def write_page(folder: Path | str, wanted: Wanted | None = None) -> Facts:
    """Writes report.html into a study directory and, if a Chromium is installed, report.pdf. Returns its answer and the paths
    of both (`pdf` is None without a Chromium).

    Raises UsageError if there is no study or `wanted` cannot be answered, StudyError for a damaged study.
    """
    study = read_study(folder)
    found = facts(study, wanted or Wanted())
    target = study.path / PAGE
    replace(target, render("page.html", found).encode())
    pdf = print_pdf(target)
    return {"page": str(target), "pdf": pdf and str(pdf), "answer": found["answer"]}


def facts(study: Study, wanted: Wanted) -> Facts:
    """All that page.html shows, as plain facts."""
    answered, teacher = answer(study, wanted), the_teacher(study)
    rows = [one | {"picture": picture(one, study.teacher.stage)} for one in finalists(study)]
    found = health(study)
    still = study.path / "frontier.svg"
    return {
        "study": study.spec.study,
        "answer": answered,
        "confirm_command": shlex.join(["autodistill", "confirm", str(study.path)]),
        "figure": frontier_figure(study, answered["target"]),
        "split": "test" if answered["is_claim"] else "validation",
        "still": base64.b64encode(still.read_bytes()).decode() if still.exists() else "",
        "finalists": [one for one in rows if one["inside"]] or rows,
        "outside": [one for one in rows if not one["inside"]] if any(one["inside"] for one in rows) else [],
        "headline": headline(study.summary),
        "teacher": teacher,
        "rules": rules(_choices(rows), teacher),
        "caption": _caption(study),
        "health": found,
        "expected_improvement": study.summary.improvement and more_trials(study.summary.improvement),
        "significance": _significance(rows),
        "course": course_figure(found["course"]),
        "course_label": _course(found["course"]),
        "method": method(study),
        "version": __version__,
    }


def _choices(rows: Sequence[Facts]) -> list[Facts]:
    """Members of the frontier in the region of interest, or all if there are none."""
    members = [one for one in rows if one["on_frontier"]]
    return [one for one in members if one["inside"]] or members


def _caption(study: Study) -> str:
    if study.confirmed is None:
        return (
            f"The frontier on {study.n:,} validation samples, smallest first; the teacher is last. Intervals are 95 % "
            "intervals over samples; gains are over the label-only baseline with the same seed."
        )
    known = study.confirmed
    return (
        f"{known.test.n:,} test samples, {study.n:,} validation samples; the teacher is last. Accuracies are of one "
        f"frozen weight file each, with 95 % intervals over samples; gains are means over {known.seeds} fresh seeds, "
        "paired by seed, with 95 % intervals over seeds."
    )


def _significance(rows: Sequence[Facts]) -> str:
    """How many gains over label-only baselines are significant."""
    verdicts = [one["gains"]["label_only"]["verdict"] for one in rows if one["gains"].get("label_only")]
    if not verdicts:
        return "no finalist has a label-only baseline to compare with"
    counts = {name: verdicts.count(name) for name in ("gain", "loss", "not_significant", "unknown")}
    text = f"of {len(verdicts)} finalists with a label-only baseline, {counts['gain']} gain significantly, "
    text += f"{counts['loss']} lose, {counts['not_significant']} are not significantly different"
    return text + (f", {counts['unknown']} have too few seeds" if counts["unknown"] else "")


def _course(course: Sequence[Facts]) -> str:
    """The course in words, for readers who cannot see the picture."""
    if not course:
        return "No trial has ended yet."
    last = course[-1]
    first = next(one for one in course if one["value"] >= 0.99 * last["value"])
    return f"{last['value']:.3f} after {last['trials']} trials; 99 % of that was reached after {first['trials']}."
