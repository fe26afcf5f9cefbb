"""The report page of a study, and the comparison of several studies on one page."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...answers import Wanted
from ...study.record.directory import dump, replace
from ..summary import StudySummary, more_trials
from . import sentences
from .answer import Answer, answer
from .bars import assisted, before_after, by_class, distilled
from .chains import picture
from .choices import choices
from .compare import Comparison, compare
from .confusion import confused
from .differences import differences
from .finalists import Finalist, finalists, the_teacher
from .health import course, edges, importance
from .lines import course_chart, learning_chart, loss_chart
from .plots import frontier_figure
from .printing import Layout, print_pdf, render
from .references import reference_rows
from .samples import only_teacher
from .study import Study, read_study

__all__ = ["Comparison", "Report", "compare", "html", "write_html", "write_page"]
PAGE = "report.html"


class Report(NamedTuple):
    """A page, its PDF (None without a Chromium), its answer, the summary of its study, and its slides if asked for."""

    page: Path
    pdf: Path | None
    answer: Answer
    summary: StudySummary
    slides: Path | None = None


def write_page(study: Study, wanted: Wanted | None = None) -> Report:
    """Writes report.html into the directory of a study and, if a Chromium is installed, report.pdf.

    Raises UsageError if `wanted` cannot be answered.
    """
    answered = answer(study, wanted or Wanted())
    page = _written(study, answered)
    return Report(page, print_pdf(page), answered, study.summary)


def write_html(directory: Path | str) -> Path:
    """Writes only report.html, and returns its path. Raises UsageError if there is no study, StudyError for a damaged one."""
    study = read_study(directory)
    return _written(study, answer(study, Wanted()))


def _written(study: Study, answered: Answer) -> Path:
    target = study.path / PAGE
    replace(target, html(study, answered).encode())
    return target


def html(study: Study, answered: Answer, layout: Layout = "base.html") -> str:
    """The page of a study, with its answer; with the layout `part.html`, only its body, without samples."""
    still, rows = study.path / "frontier.svg", finalists(study)
    inside = [one for one in rows if one.inside]
    return render(
        "page.html",
        layout,
        study=study,
        metric=study.metric,
        also=study.also,
        about=answered.metric,
        document=dump(study.spec.document()),
        confirmed=study.confirmed,
        sentences=sentences,
        answer=answered,
        confirm_command=shlex.join(["autodistill", "confirm", str(study.path)]),
        figure=frontier_figure(study, answered.target if answered.metric == study.metric else None),
        still=base64.b64encode(still.read_bytes()).decode() if still.exists() else "",
        finalists=inside or rows,
        outside=[one for one in rows if not one.inside] if inside else [],
        differs=differences(study, rows),
        pictures={one.stage: picture(one, study.teacher.stage, study.metric) for one in rows},
        references=reference_rows(study),
        choices=choices(study, answered),
        more_trials=study.summary.improvement and more_trials(study.summary.improvement),
        importance=importance(study.trials, study.metric),
        edges=edges(study.spec, study.members),
        **pictures(study, answered, rows, with_samples=layout == "base.html"),
    )


def pictures(study: Study, answered: Answer, rows: Sequence[Finalist], *, with_samples: bool) -> dict[str, object]:
    """The facts of the pictures that need no script; samples cost predictions of two networks."""
    teacher, points, chosen = the_teacher(study), course(study), answered.verdict.chosen
    shown = next((one for one in rows if one.chosen == chosen), None)
    return {
        "teacher": teacher,
        "shown": shown,
        "before_after": [] if shown is None else before_after(teacher, shown, study.spec.resources.prices),
        "distilled": distilled(rows),
        "assisted": assisted(rows),
        "classes": [] if shown is None else by_class(shown),
        "confused": None if study.confirmed is None or shown is None else confused(study.confirmed, shown.chosen),
        "only_teacher": only_teacher(study, teacher, shown) if shown is not None and with_samples else None,
        "learning": learning_chart(study, shown),
        "losses": None if shown is None else loss_chart(study, shown),
        "course": course_chart(points),
    }
