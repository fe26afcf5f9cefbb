"""Five slides about a study, for those who present it: the same facts, words and numbers as the page. Charts, tables and text
are PowerPoint's own, so that people can edit them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ...spec import UsageError
from ...study.record.directory import replace
from ..page.answer import Answer
from ..page.study import Study

__all__ = ["SLIDES", "refuse_missing", "write_slides"]
SLIDES = "report.pptx"


def refuse_missing() -> None:
    """Raises UsageError if the library that writes slides is not installed."""
    if importlib.util.find_spec("pptx") is None:
        raise UsageError("--slides: python-pptx is not installed; run: pip install 'autodistill-search[slides]'")


def write_slides(study: Study, answered: Answer) -> Path:
    """Writes report.pptx into the directory of a study, with its answer. Needs python-pptx."""
    from .slides import slides

    target = study.path / SLIDES
    replace(target, slides(study, answered))
    return target
