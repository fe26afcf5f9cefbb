"""Fits the reference models of a study before its students are trained, so that they are in every report of the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..distill.references import make_reference, reference_key
from ..spec.imports import reason
from ..spec.measurement import REFERENCES
from .schedule.scheduler import Study


def keep_references(study: Study, say: Callable[[str], None]) -> None:
    """Fits what is not stored intact, and notes the keys of all. Leaves out a model that cannot be fitted, with a message."""
    known, found, store = study.record.notes, dict[str, str](), study.store
    is_new = False
    for name in study.spec.references:
        key = reference_key(name, study.space.task.data, study.own)
        store.discard_damaged("references", key)
        if not store.has("references", key):
            is_new = True
            say(f"fitting {REFERENCES[name]} ({name}) as a reference model")
        try:
            found[name] = make_reference(store, name, study.space.task.data, study.own, threads=study.spec.resources.threads)
        except Exception as error:  # whatever the library raises, students need no reference model
            say(f"the reference model {name} cannot be fitted: {reason(error)}; the search continues without it")
    if is_new or found != known.references:
        study.record.note(replace(known, references=found, drawn=None))  # the report shows others
