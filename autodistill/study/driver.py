"""Runs a search: opens or continues its study, and tells a listener how it proceeds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ..runners import Runner, check_cpus, marks, runner_of
from ..spec import Spec, StoreError, StudyError, UsageError
from ..store import Store
from .preflight.facts import facts
from .preflight.prepare import incumbent_of, load_data, space_of
from .record.folder import LOOKS, OWN_STORE, Folder, comparable, refuse_anothers
from .record.ledger import inherit
from .record.older import Older, begin
from .record.opened import opened
from .record.record import Record
from .sampling.ehvi_sampler import informed
from .sampling.first import configurations
from .schedule.ends import next_round
from .schedule.scheduler import Study
from .space import Space, domains_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to do if the study directory exists: `fresh` discards its trials; `extend` allows a changed spec or more trials.

    `older` is the directory of a study whose finished trials a new study starts with, as far as they fit. `until` is called
    after each job: if it returns a reason, the search ends once the running trials have ended.
    """

    store: str | None = None
    fresh: bool = False
    extend: bool = False
    retry_failed: bool = False
    older: str | None = None
    until: Callable[[Study], str | None] | None = None


class Listener(Protocol):
    """Is notified of the progress of a search."""

    def began(self) -> None:
        """All checks have passed; the search begins or continues."""
        ...

    def say(self, text: str) -> None:
        """A message for the user."""
        ...

    def advanced(self, study: Study, folder: Folder, *, ended: bool) -> None:
        """A job or, with `ended`, the search has ended."""
        ...


def search(
    spec: Spec,
    *,
    listener: Listener,
    out: Path | str | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    options: Options | None = None,
) -> Study:
    """Searches the students of `spec` and keeps the study in the directory `out` (`reports/<study>` unless given).

    The same call resumes where an earlier one stopped. Raises UsageError for invalid arguments, StudyError or StoreError if
    the search cannot continue.
    """
    options, runner = options or Options(), runner_of(runner)
    folder = Folder(out or Path("reports") / spec.study)
    try:
        with folder:
            study = prepare(spec, folder, runner, options)
            try:
                with contextlib.closing(study.record):
                    listener.began()
                    _say_what_is_kept(study, listener)
                    _go_on(study, folder, runner, options, listener)
            finally:
                folder.write(study.spec)  # every command needs it to read the study
            _check(study)
    finally:
        runner.end()
    return study


def prepare(spec: Spec, folder: Folder, runner: Runner, options: Options) -> Study:
    """The study, ready to run. An existing study is not changed until all checks have passed."""
    check_cpus(spec, runner.cpus())
    cuda = runner.sees_cuda()
    spec, splits = load_data(spec, cuda=cuda)
    if spec.resources.gpus and not cuda:
        raise UsageError(f"resources.gpus: {spec.resources.gpus:g}, but CUDA is not available; set it to 0 or auto")
    record, older = _found(folder, spec, options)
    if record is None:  # else there may be nothing to do
        runner.begin()
    known = record.facts() if record else older.facts if older and older.path == folder.path else {}
    store = _store(folder, known.get("store"), options.store)
    space, incumbent = space_of(spec, splits, store), incumbent_of(spec, splits, store)
    teachers = [teacher.key() for teacher in space.teachers]
    _refuse_other_teachers(folder, known.get("teachers"), teachers)
    notes = {
        "store": _place(folder, store),
        "teachers": teachers,
        "chance": splits.chance,
        "incumbent": incumbent and incumbent.key(),
    }
    if record is None or "first" not in known:
        facts(space, splits, incumbent)  # refuses what check would refuse
        notes["first"] = configurations(space, incumbent)
    if record is None:
        _begin(folder, spec, options, older, space, store, notes)
        record = Record(folder.database, spec, space.domains)
    folder.claim(spec, record)
    if record.facts().get("incumbent") != notes["incumbent"]:
        notes["drawn"] = None  # its picture shows another one
    _note(record, **notes)
    return Study(spec, space, store, record, chance=splits.chance)


def _found(folder: Folder, spec: Spec, options: Options) -> tuple[Record | None, Older | None]:
    """The record in the study directory or, if there is none for this spec, the older study to start with.

    Raises UsageError if the directory contains a study that cannot continue with this spec.
    """
    if options.fresh or not folder.exists():
        return None, Older.read(Folder(options.older)) if options.older is not None else None
    with opened(folder):
        pass  # refuses a changed spec.yaml
    if folder.changes(spec, extend=options.extend):
        _refuse_from(folder, options.older, None)
        return None, Older.read(folder)
    record = Record(folder.database, spec, domains_of(spec))
    _refuse_from(folder, options.older, record.facts().get("continues", {}).get("from"))
    return record, None


def _refuse_from(folder: Folder, asked: str | None, known: str | None) -> None:
    if asked is not None and str(Path(asked).absolute()) != known:
        raise UsageError(
            f"--from {asked}: the study in {folder.path} did not start from it; leave out --from to continue (with --extend if "
            "the spec has changed), give another --out, or --fresh to start over"
        )


def _begin(
    folder: Folder,
    spec: Spec,
    options: Options,
    older: Older | None,
    space: Space,
    store: Store,
    notes: Mapping[str, Any],
) -> None:
    """Creates study.db with the trials of the older study that fit and the initial facts, atomically."""
    if older is not None and older.path != folder.path:
        older.refuse_other_teachers([teacher.key() for teacher in space.teachers])
    with contextlib.closing(Record(folder.draft, spec, space.domains)) as draft:
        if older is not None:
            begin(draft, older, space, store)
        _note(draft, **notes, specs=[comparable(spec)])
    if older is not None:
        inherit(folder.path, older.path, older.facts.get(LOOKS, 0))
    if options.fresh:
        folder.clear_answers()
    folder.become(spec)


def _store(folder: Folder, known: str | None, asked: str | None) -> Store:
    """The store of the stages: the study's private one, which is cleaned up, unless --store names a shared one."""
    if asked == "":
        raise UsageError("--store is empty; name a directory, or leave it out")
    own = Store(folder.path / OWN_STORE)
    before = Store(folder.path / known) if known is not None else None
    store = Store(asked) if asked is not None else before or own
    if before is not None and store.root != before.root:
        raise UsageError(
            f"--store {asked}: {folder.path} keeps its stages in {before.root}; leave --store out or give another --out"
        )
    refuse_anothers(folder, store.root)
    store.open()
    if store.root == own.root:
        store.sweep()
    return store


def _place(folder: Folder, store: Store) -> str:
    """The path of a store, relative if it is inside the study directory, so that the directory can be moved."""
    inside = store.root.is_relative_to(folder.path)
    return str(store.root.relative_to(folder.path) if inside else store.root)


def _refuse_other_teachers(folder: Folder, known: list[str] | None, keys: list[str]) -> None:
    for before, now in zip(known or keys, keys, strict=True):
        if before != now:
            raise UsageError(
                f"the teacher of {folder.path} was {before:.12}, is now {now:.12}: its weights or the code that trains it "
                "changed; give another --out, or --fresh to start over"
            )


def _say_what_is_kept(study: Study, listener: Listener) -> None:
    """Once, at the beginning of a study that continues from an older one."""
    found = study.record.facts().get("continues")
    if found and all("kept" in trial.facts for trial in study.record.trials):
        listener.say(f"{found['kept']} of {found['of']} finished students of {found['from']} fit this space and are kept")


def _note(record: Record, **facts: Any) -> None:
    for key, value in facts.items():
        if record.facts().get(key) != value:
            record.note(key, value)


def _go_on(study: Study, folder: Folder, runner: Runner, options: Options, listener: Listener) -> None:
    if options.retry_failed:
        marks.forget(study.store.root)
        if not study.retry_failed():
            listener.say("there are no failed trials to retry")
    if study.finished() and study.record.facts().get("drawn") == study.told():
        listener.say(f"{folder.path} is finished: {study.counted_done()} trials; nothing to do")
        return

    def after() -> None:
        if options.until is not None and study.ended is None:
            study.ended = options.until(study)
        listener.advanced(study, folder, ended=False)

    if not study.finished():
        runner.run(study, after, listener.say)
    if not study.finished():
        raise StudyError("the runner ended before the study did; run the same command again to resume")
    _note_model(study)
    listener.advanced(study, folder, ended=True)
    study.record.note("drawn", study.told())
    if study.ended is not None:
        listener.say(study.ended)


def _note_model(study: Study) -> None:
    """Records the model's final estimates for each measured student, and for more trials."""
    sampler = informed(study.spec.search, study.space, study.record.trials, study.region)
    found = sampler.improvement(next_round(study.counted_done(), 1), study.space.feasible)
    study.record.note("expected_improvement", found and found._asdict())
    study.record.note("posterior", sampler.posterior())


def _check(study: Study) -> None:
    """Raises StudyError or StoreError if trials or stages were lost: another process may have written to the folder."""
    study.record.check()
    keys = [*study.teachers, *(trial.facts["stage"] for trial in study.record.trials if trial.state == "complete")]
    lost = [key for key in dict.fromkeys(keys) if not study.store.has("stages", key)]
    if lost:
        raise StoreError(
            f"{len(lost)} stages (for example {lost[0][:12]}) are no longer in {study.store.root}: something removed them "
            "while the search ran. Run the same command again to retrain them"
        )
