"""Stores data, a teacher and a student given from Python in the study directory, so that the study needs no Python object.

`given/KEY/` holds the data, `given/teacher-KEY.pkl` the teacher; keys depend on the contents, so equal objects are stored once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..spec import Spec, UsageError, is_full
from ..spec.architectures import IMPORT, KEPT
from ..spec.callables import architecture_of
from ..spec.imports import shown
from ..study.record.directory import StudyDirectory
from .named import Named, SpecLike, named

if TYPE_CHECKING:
    from torch import nn

FOLDER = "given"
CODE = "own_code"
"""The folder of definitions that a script or notebook gave."""
OURS = re.compile(rf"[0-9a-f]{{16}}|\.[0-9a-f]{{32}}|teacher-[0-9a-f]{{16}}\.(pkl|draft)|{CODE}")
"""Names of what is written here; nothing else is ever removed."""


class Given(NamedTuple):
    """What `search` and `check` take in addition to a spec; None: as the spec says."""

    data: object = None
    label: str | None = None
    teacher: nn.Module | None = None
    student: Callable[..., object] | Mapping[str, object] | None = None

    def spec(self, what: SpecLike, overrides: Sequence[str] = ()) -> Named:
        """The spec with placeholders for what is given: enough to know its name, and whether it is valid."""
        from ..data.given import TABLE, is_table

        parts = self._label()
        if self.data is not None:
            parts.append(_set("task.dataset", TABLE if is_table(self.data) else "npy/given"))
        if self.teacher is not None:
            parts.append(_teacher({"name": "given", "digest": "", "path": "given"}))
        if self.student is not None:
            parts += _student(self.student if isinstance(self.student, Mapping) else {IMPORT: "given:student"}, self.student)
        return named(what, [*overrides, *parts])

    def kept(self, what: SpecLike, overrides: Sequence[str], folder: Path) -> Named:
        """The spec that names files in `folder`, where it writes what is given. Raises DataError and UsageError."""
        parts = [*overrides, *self._label()]
        if self.data is not None or self.teacher is not None:
            _make(folder)
        if self.data is not None:
            parts.append(_set("task.dataset", _kept_data(self.data, self.spec(what, overrides).spec, folder)))
        if self.teacher is not None:
            parts.append(_teacher(_kept_teacher(self.teacher, folder)))
        if self.student is None or isinstance(self.student, Mapping):
            return named(what, parts + ([] if self.student is None else _student(self.student, self.student)))
        code = folder / CODE
        found = named(what, parts + _student(architecture_of(self.student, code), self.student))
        modules = (*found.spec.modules, *([str(code.absolute())] if code.is_dir() else []))
        return found._replace(spec=found.spec.model_copy(update={"modules": modules}))

    def _label(self) -> list[str]:
        return [] if self.label is None else [_set("task.label", self.label)]


def _set(key: str, value: object) -> str:
    """An override; JSON is YAML. Raises UsageError for a value that no file can hold."""
    try:
        return f"{key}={json.dumps(value)}"
    except (TypeError, ValueError):
        raise UsageError(f"{key}: {shown(value)} cannot be written to a spec; use numbers, text, lists, and dicts") from None


def _teacher(arguments: Mapping[str, str]) -> str:
    return _set("teacher", {"import": KEPT, "arguments": dict(arguments)})


def _student(architecture: Mapping[str, object], given: object) -> list[str]:
    """A whole architecture, or a function together with the arguments in the spec."""
    if isinstance(given, Mapping):
        return [_set("student.architecture", dict(architecture))]
    return [_set(f"student.architecture.{name}", value) for name, value in architecture.items()]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_full(error):
            raise
        raise UsageError(f"out: {folder.parent} cannot be written to: {error.strerror}; give another out") from error


def _kept_data(data: object, spec: Spec, folder: Path) -> str:
    """The data set as a spec names it. If an equal one is stored already, it is reused."""
    from ..data.given import save_given
    from ..data.npy import digest_of
    from ..data.sources import most_of

    draft = folder / f".{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        kind = save_given(data, draft, spec.task, most_of(spec.task))
        target = folder / digest_of(draft)[:16]
        if not target.exists():
            os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return f"npy/{target.absolute()}" if kind == "npy" else str((target / kind).absolute())


def _kept_teacher(teacher: object, folder: Path) -> dict[str, str]:
    from torch import nn

    from ..models.kept import keep

    if not isinstance(teacher, nn.Module):
        what = f"teacher is a {type(teacher).__name__}"
        raise UsageError(f"{what}; give a torch.nn.Module with its weights, or describe the teacher in the spec")
    return keep(teacher, folder)


@contextmanager
def swept(directory: StudyDirectory) -> Iterator[Path]:
    """The folder of the given objects; afterward, those that the study does not use are removed."""
    folder = directory.path / FOLDER
    try:
        yield folder
    finally:
        if os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
            _sweep(folder, directory.spec.read_text() if directory.spec.exists() else "")


def _sweep(folder: Path, used: str) -> None:
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.name not in used:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for empty in (folder, folder.parent):
        if not any(empty.iterdir()):
            empty.rmdir()
