"""Floor 8: a search from a spec to its report."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from .facts import facts
from .prepare import load_data, space_of
from .progress import Progress
from .report.write import write
from .runners import Runner, runner_of
from .space import domains_of
from .spec import Spec, StudyError, UsageError
from .store import Store
from .study.folder import Folder
from .study.record import Record
from .study.schedule import Study
from .study.sizewise import ahead
from .study.tables import rows

PICTURE_SECONDS = 30.0
TABLE_SECONDS = 2.0
OWN_STORE = "store"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to go on where a study's folder exists: `fresh` forgets its record, `extend` lets it have more trials."""

    store: str | None = None
    fresh: bool = False
    extend: bool = False
    retry_failed: bool = False


def search(
    spec: Spec,
    *,
    out: Path | str | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    options: Options | None = None,
    console: Console | None = None,
) -> Study:
    """Searches the students of `spec` and writes the report into `out` (`reports/<study>` unless given).

    The same call goes on where an earlier one stopped. Raises UsageError for what was asked wrongly, StudyError or
    StoreError when the search cannot go on.
    """
    options, runner = options or Options(), runner_of(runner)
    folder = Folder(out or Path("reports") / spec.study)
    console = console or Console(file=sys.stderr)  # this stream, whatever Ray's silence does to the name
    with folder:
        study = prepare(spec, folder, runner, options)
        with Progress(console) as progress:
            _go_on(study, folder, runner, options, progress)
    return study


def prepare(spec: Spec, folder: Folder, runner: Runner, options: Options) -> Study:
    """The study, ready to go on. Nothing of an older study is touched before all that could be refused has passed."""
    cuda = runner.sees_cuda()
    spec, splits = load_data(spec, cuda=cuda)
    if spec.resources.gpus and not cuda:
        raise UsageError(f"resources.gpus: {spec.resources.gpus:g}, but there is no CUDA here; set it to 0 or auto")
    record = None if options.fresh else _opened(folder, spec, options.extend)
    known = record.facts() if record is not None else {}
    store = _store(folder, known.get("store"), options.store)
    space = space_of(spec, splits, store)
    teachers = [teacher.key() for teacher in space.teachers]
    _refuse_other_teachers(folder, known.get("teachers"), teachers)
    if not known:
        facts(space, splits)  # refuses what check would refuse
    folder.claim(spec, fresh=options.fresh)
    record = record or Record(folder.database, spec, domains_of(spec))
    _note(record, store=_place(folder, store), teachers=teachers, chance=splits.chance)
    return Study(spec, space, store, record, chance=splits.chance)


def _opened(folder: Folder, spec: Spec, extend: bool) -> Record | None:
    """The record in the folder, if there is one. Raises UsageError when that is of another spec."""
    if not folder.exists():
        return None
    folder.refuse_other(spec, extend=extend)
    return Record(folder.database, spec, domains_of(spec))


def _store(folder: Folder, known: str | None, asked: str | None) -> Store:
    """The place of the stages: the folder's own, which is swept, unless --store names a shared one."""
    if asked == "":
        raise UsageError("--store is empty; name a folder, or leave it out")
    own = Store(folder.path / OWN_STORE)
    before = Store(folder.path / known) if known is not None else None
    store = Store(asked) if asked is not None else before or own
    if before is not None and store.root != before.root:
        raise UsageError(
            f"--store {asked}: {folder.path} keeps its stages in {before.root}; leave --store out or give another --out"
        )
    if store.root == own.root:
        store.sweep()
    elif store.root.name == OWN_STORE and Folder(store.root.parent).exists():
        raise UsageError(
            f"--store {asked or store.root} is the own store of the study {store.root.parent}, which sweeps it; give a "
            "folder that belongs to none, to both studies"
        )
    return store


def _place(folder: Folder, store: Store) -> str:
    """Of a store in the study's folder relative to it, so that the folder can be moved."""
    inside = store.root.is_relative_to(folder.path)
    return str(store.root.relative_to(folder.path) if inside else store.root)


def _refuse_other_teachers(folder: Folder, known: list[str] | None, keys: list[str]) -> None:
    for before, now in zip(known or keys, keys, strict=True):
        if before != now:
            raise UsageError(
                f"the teacher of {folder.path} was {before:.12}, is {now:.12}: its weights, or the version of what trains "
                "it, changed; give another --out, or --fresh to start anew"
            )


def _note(record: Record, **facts: Any) -> None:
    for key, value in facts.items():
        if record.facts().get(key) != value:
            record.note(key, value)


def _go_on(study: Study, folder: Folder, runner: Runner, options: Options, progress: Progress) -> None:
    if options.retry_failed and not study.retry_failed():
        progress.say("nothing had failed")
    if study.finished() and study.record.facts().get("drawn") == study.told():
        progress.say(f"{folder.path} is finished: {study.counted_done()} trials; nothing to do")
        return
    pen = _Pen(study, folder, progress)
    if not study.finished():
        runner.run(study, pen.after)
    if not study.finished():
        raise StudyError("the runner ended before the study did; give the same command again to go on")
    study.record.note("outlook", ahead(study.spec.search, study.space, study.record.trials, study.counted_done(), study.chance))
    pen.draw(picture=True)
    study.record.note("drawn", study.told())
    if study.ended is not None:
        progress.say(study.ended)


class _Pen:
    """Rewrites the report while the search runs, not more often than it can be looked at."""

    def __init__(self, study: Study, folder: Folder, progress: Progress) -> None:
        self.study, self.folder, self.progress = study, folder, progress
        self._tables = self._pictures = -PICTURE_SECONDS

    def after(self) -> None:
        now = time.monotonic()
        if now - self._tables < TABLE_SECONDS:
            return
        self._tables = now
        self.draw(picture=now - self._pictures > PICTURE_SECONDS)

    def draw(self, *, picture: bool) -> None:
        found: list[dict[str, Any]] = rows(self.study.spec, self.study.store, self.study.record)
        if found:
            ahead = self.study.record.facts().get("outlook")
            write(self.folder.path, self.study.spec, found, self.study.chance, ahead, picture=picture)
            self.progress.update(self.study, found)
        if picture:
            self._pictures = time.monotonic()
