"""The study directory: its files, the study it belongs to, and whether a spec may continue there."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace as but
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ruamel.yaml import YAML

from ...spec import Spec, StudyError, UsageError, is_full, load, parse
from ...spec.architectures import KEPT
from ...spec.value import local
from .notes import Document

if TYPE_CHECKING:
    from .record import Record

DRAWN = (
    "trials.csv",
    "frontier.csv",
    "frontier.json",
    "frontier.png",
    "frontier.svg",
    "report.html",
    "report.pdf",
    "report.pptx",
)
CONFIRMED, OPENINGS = ("confirm.json", "confirm.npz"), "opened.json"
TRACKED, PROGRESS = "tracked.jsonl", "progress.json"
"""What was logged to trackers, and how far the search is."""
OWN_STORE = "store"
"""Where a study keeps its stages, unless it shares them; leftovers of a killed run are removed there."""
SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of files that SQLite may leave beside a database."""
PLACES = ("dataset", "unlabeled", "folder", "memory")
"""Keys of a task that say where the data is; they may change."""
ENDS = ("search.trials", "search.time", "search.stop")
"""Keys that say when a search ends; increasing them needs no new study."""
CHANGEABLE = ("student.", "assistants.", "search.")
"""Prefixes of the keys that may change when a study continues in a changed space."""


class StudyDirectory:
    """`reports/<study>/`: spec.yaml, study.db, store/, tables and pictures. Locked while a search runs in it."""

    def __init__(self, path: Path | str) -> None:
        self.path = local(path, "--out")
        self.spec, self.database = self.path / "spec.yaml", self.path / "study.db"
        self.next_spec, self.draft = self.path / "next.yaml", self.path / "next.db"
        self._lock: io.IOBase | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a")
        except OSError as error:
            if is_full(error):
                raise
            raise UsageError(f"--out {self.path} cannot be written to: {error.strerror}; give another --out") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise StudyError(f"{self.path} is in use by another search; wait for it or give another --out") from None
        self._lock = lock
        self._finish()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def exists(self) -> bool:
        """Whether the directory contains a study. Raises UsageError for a record without its spec."""
        decided = os.path.exists(self.next_spec)  # a kill interrupted the rest: see _finish
        there = os.path.exists(self.database) or decided  # Path.exists raises if the name is too long
        if there and not decided and not self.spec.exists():
            raise UsageError(f"{self.path} has study.db but no spec.yaml; give another --out, or --fresh to start over")
        return there

    def read(self) -> Spec:
        """The resolved spec of the study. Raises UsageError if there is none."""
        if not self.exists():
            raise UsageError(f"{self.path} contains no study (spec.yaml and study.db); give the --out of a search")
        return load(self.spec)

    def changes(self, spec: Spec, *, extend: bool) -> bool:
        """Whether `spec` changes the space or the search of the study here, beyond more trials.

        Raises UsageError, with possible solutions, if the study does not belong to `spec` or may not be changed.
        """
        old = self.read()
        changed = _differences(comparable(old), comparable(spec))
        if not changed:
            return False
        if list(changed) == ["task.fingerprint"]:
            what = f"{self.path} contains a study of other data: the data changed"
            raise UsageError(f"{what}; give another --out, or --fresh to start over")
        ends_only = all(key.startswith(ENDS) for key in changed)
        grew = ends_only and spec.search.most() >= old.search.most()
        continues = not ends_only and all(key.startswith(CHANGEABLE) for key in changed)
        if extend and (grew or continues):
            return continues
        ways = "--extend to continue, " if grew else ""
        ways = "--extend to continue with the trials that still fit, " if continues else ways
        what = f"{self.path} contains a study of another spec ({_listed(changed)})"
        raise UsageError(f"{what}; give {ways}another --out, or --fresh to start over")

    def refuse_changed(self, spec: Spec, known: Sequence[Document]) -> None:
        """Raises StudyError if `spec`, read from spec.yaml, is not one of the specs that study.db was searched with.

        Ignores the same settings as `search` does: where and how things run.
        """
        found = comparable(spec)
        searched = [_as_now(one, spec) for one in known]
        if found in searched:
            return
        what = _listed(_differences(searched[-1], found))
        raise StudyError(
            f"{self.spec} does not match the study in {self.database.name} ({what}): it was edited after the search. "
            "Restore it. To search with a different spec, pass that spec to search with another --out or with --extend"
        )

    def write(self, spec: Spec) -> None:
        """Writes `spec` to spec.yaml, unless that is already its content."""
        content = self._content(spec)
        if not self.spec.exists() or self.spec.read_bytes() != content:
            replace(self.spec, content)

    def _content(self, spec: Spec) -> bytes:
        """spec.yaml: what the directory holds is named relative to it, so that it can be moved."""
        document = spec.document()
        task, teacher = document["task"], document["teacher"]
        if isinstance(task["dataset"], str):
            task["dataset"] = task["dataset"].replace(f"npy/{self.path}/", "npy/", 1).removeprefix(f"{self.path}/")
        if "modules" in document:
            document["modules"] = [place.removeprefix(f"{self.path}/") for place in document["modules"]]
        if teacher.get("import") == KEPT:
            teacher["arguments"]["path"] = teacher["arguments"]["path"].removeprefix(f"{self.path}/")
        return dump(document).encode()

    def claim(self, spec: Spec, record: Record) -> None:
        """Writes `spec` to study.db and spec.yaml. After a kill at any point, study.db knows the spec in spec.yaml."""
        record.seal_at_close()
        mine = comparable(spec)
        if record.notes.specs != (mine,):
            record.note(but(record.notes, specs=(*record.notes.specs, mine)))
        self.write(spec)
        record.note(but(record.notes, specs=(mine,)))

    def become(self, spec: Spec) -> None:
        """Replaces the study by the record in `draft` and by `spec`, atomically, even if the process is killed."""
        replace(self.next_spec, self._content(spec))  # from here on it is committed
        self._finish()

    def _finish(self) -> None:
        """Completes what a kill interrupted; removes a draft that was not committed."""
        if self.next_spec.exists():
            if self.draft.exists():
                for end in SUFFIXES:
                    self.database.with_name(self.database.name + end).unlink(missing_ok=True)
                os.replace(self.draft, self.database)
            os.replace(self.next_spec, self.spec)
        for end in ("", *SUFFIXES):
            self.draft.with_name(self.draft.name + end).unlink(missing_ok=True)

    def clear_answers(self) -> None:
        """Removes tables, pictures, and the confirmation. Stages stay, because their keys identify them."""
        for name in (*DRAWN, *CONFIRMED, TRACKED, PROGRESS):
            (self.path / name).unlink(missing_ok=True)


def refuse_anothers(directory: StudyDirectory, store: Path) -> None:
    """Raises UsageError if the study in `directory` would keep its stages in the private store of another study."""
    real, home = Path(os.path.realpath(store)), os.path.realpath(directory.path)
    if real.name == OWN_STORE and str(real.parent) != home and StudyDirectory(real.parent).exists():
        raise UsageError(
            f"--store {store} is the private store of the study {real.parent}, which cleans it up; to share stages, give both "
            "studies a directory that belongs to neither"
        )


def replace(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def dump(document: Document) -> str:
    """The document as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.width = 120
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def comparable(spec: Spec) -> Document:
    """The spec without the keys that only say where and how things run, or what is shown beside the students."""
    document = spec.document()
    document["resources"] = {}
    for key in ("modules", "log", "baselines"):
        document.pop(key, None)
    document["search"].pop("tolerate_failures", None)
    if document["teacher"].get("import") == KEPT:
        document["teacher"]["arguments"].pop("path")  # its digest says which module
    for key in PLACES:
        document["task"].pop(key, None)  # the fingerprint says which data
    return document


def _as_now(known: Document, spec: Spec) -> Document:
    """A recorded spec in the form of this version: keys that were added since have their defaults."""
    task = spec.document()["task"]
    places = {key: task[key] for key in PLACES if key in task}
    try:
        return comparable(parse(known | {"task": places | known["task"]}))
    except (UsageError, KeyError, TypeError):  # from a version with other keys
        return known


def _differences(old: object, new: object, path: str = "") -> dict[str, tuple[object, object]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[object, object]] = {}
        for key in old | new:
            found |= _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    return {} if old == new else {path: (old, new)}


def _listed(changed: Mapping[str, tuple[object, object]]) -> str:
    """The first five differences, in words."""
    return "; ".join(_difference(key, old, new) for key, (old, new) in list(changed.items())[:5])


def _difference(key: str, old: object, new: object) -> str:
    if key.endswith(".source"):  # the digests mean nothing to anybody
        return f"the code of {key.removesuffix('.source')} has changed; `check` lists its files"
    return f"{key} was {old!r}, is {new!r}"
