"""Finds the spec and the study directory: commands and functions accept either of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..spec import Spec, UsageError, from_document, load, resolve, suited
from ..spec.metric import OwnMetric
from ..study.record.directory import StudyDirectory

SpecLike = Spec | Mapping[str, object] | os.PathLike[str] | str
"""A YAML file, the directory of a study, a Spec, or plain dicts."""


class Named(NamedTuple):
    """A spec and, if it was given by its study, the directory of the study."""

    spec: Spec
    study: StudyDirectory | None

    def directory(self, out: Path | str | None = None) -> StudyDirectory:
        """Where its study is or will be: in `out`, else where it already is, else in reports/<study>."""
        if out is None and self.study is not None:
            return self.study
        return StudyDirectory(out if out is not None else Path("reports") / self.spec.study)


def named(what: SpecLike, overrides: Sequence[str] = ()) -> Named:
    """The spec that `what` is, names, or was searched with; `overrides` are as `load` takes them.

    Raises SpecError for a wrong spec, UsageError for a directory without a study.
    """
    if isinstance(what, Spec):
        return Named(from_document(what.document(), overrides) if overrides else what, None)
    if isinstance(what, Mapping):
        return Named(from_document(what, overrides), None)
    path = Path(what)
    if os.path.isdir(path):
        directory = StudyDirectory(path)
        directory.read()  # refuses one without a study
        return Named(load(directory.spec, overrides), directory)
    own = StudyDirectory(path.parent)
    return Named(load(path, overrides), own if path.name == own.spec.name and os.path.exists(own.database) else None)


def place_of(what: SpecLike) -> StudyDirectory:
    """The directory of the study that `what` is or names, which need not exist yet."""
    if isinstance(what, str | os.PathLike) and not os.path.isfile(what):
        return StudyDirectory(os.fspath(what))
    return named(what).directory()


def study_of(what: SpecLike) -> StudyDirectory:
    """The directory of the study that `what` is or names; for a spec, it is reports/<study>.

    Raises UsageError if there is none, or if it was searched with another spec.
    """
    if isinstance(what, str | os.PathLike) and not os.path.exists(what):
        raise UsageError(
            f"{os.fspath(what)} does not exist; give the directory of a study, or the spec that it was searched with"
        )
    if isinstance(what, str | os.PathLike) and os.path.isdir(what):
        return StudyDirectory(os.fspath(what))
    found = named(what)
    directory = found.directory()
    if found.study is None:
        if not directory.exists():
            way = "run the search first, or give the directory of its study (--out of the search)"
            raise UsageError(f"the study {found.spec.study} of this spec is not in {directory.path}; {way}")
        known = directory.read()
        now = resolve(_suited(found.spec, known), fingerprint=known.task.fingerprint or "", cuda=bool(known.resources.gpus))
        directory.changes(now, extend=False)
    return directory


def _suited(spec: Spec, known: Spec) -> Spec:
    """The spec with what its data decided when its study was searched: the kind of the task, and what that implies."""
    kind, metric, before = spec.task.kind, spec.task.metric, known.task.metric
    if kind == "auto":
        kind = known.task.kind
    if kind == "auto":
        return spec
    own = metric.like(before) if isinstance(metric, OwnMetric) else None
    pairs = itertools.zip_longest(spec.task.also, known.task.also[: len(spec.task.also)])
    also = tuple(one.like(then) if isinstance(one, OwnMetric) else one for one, then in pairs)
    return suited(spec, kind, own, also)
