"""The five slides, one after the other."""

from __future__ import annotations

from ..page.answer import Answer
from ..page.study import Study
from .deck import begun, saved
from .errors import add_errors
from .frontier import add_frontier
from .gains import add_gains
from .method import add_method
from .shown import Shown
from .verdict import add_verdict


def slides(study: Study, answered: Answer) -> bytes:
    """A .pptx file; equal studies with equal answers give equal bytes."""
    shown = Shown.of(study, answered)
    file = begun(shown.title)
    for add in (add_verdict, add_frontier, add_gains, add_errors, add_method):
        add(file, shown)
    return saved(file)
