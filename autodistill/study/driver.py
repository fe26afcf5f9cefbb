"""Runs a search: opens or continues its study, and tells a listener how it proceeds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from ..runners import Runner, check_cpus, marks, runner_of
from ..spec import Spec, StoreError, StudyError, UsageError
from ..store import Store
from .preflight.facts import facts
from .preflight.prepare import incumbent_of, load_data, space_of
from .record.directory import OWN_STORE, StudyDirectory, comparable, refuse_anothers
from .record.ledger import inherit
from .record.notes import Notes
from .record.older import begin, refuse_other_teachers
from .record.opened import OpenStudy, open_study
from .record.record import Record
from .references import keep_references
from .sampling.ehvi_sampler import informed
from .sampling.first import configurations
from .schedule.policy import next_round
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
    """Is notified of the progress of a search. It must neither raise nor wait."""

    def began(self, study: Study, directory: StudyDirectory) -> None:
        """All checks have passed; the search begins or continues."""
        ...

    def say(self, text: str) -> None:
        """A message for the user."""
        ...

    def advanced(self, study: Study, directory: StudyDirectory, *, ended: bool) -> None:
        """A job or, with `ended`, the search has ended."""
        ...


@dataclass(frozen=True)
class Together:
    """Several listeners, of whom the first one speaks to the user."""

    first: Listener
    second: Listener

    def began(self, study: Study, directory: StudyDirectory) -> None:
        self.first.began(study, directory)
        self.second.began(study, directory)

    def say(self, text: str) -> None:
        self.first.say(text)

    def advanced(self, study: Study, directory: StudyDirectory, *, ended: bool) -> None:
        self.first.advanced(study, directory, ended=ended)
        self.second.advanced(study, directory, ended=ended)


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
    directory = StudyDirectory(out or Path("reports") / spec.study)
    try:
        with directory:
            study = prepare(spec, directory, runner, options)
            try:
                with contextlib.closing(study.record):
                    listener.began(study, directory)
                    _say_what_is_kept(study, listener)
                    keep_references(study, listener.say)
                    _go_on(study, directory, runner, options, listener)
            finally:
                directory.write(study.spec)  # every command needs it to read the study
            _check(study)
    finally:
        runner.end()
    return study


def prepare(spec: Spec, directory: StudyDirectory, runner: Runner, options: Options) -> Study:
    """The study, ready to run. An existing study is not changed until all checks have passed."""
    check_cpus(spec, runner.cpus())
    cuda = runner.sees_cuda()
    spec, splits = load_data(spec, cuda=cuda)
    if spec.resources.gpus and not cuda:
        raise UsageError(f"resources.gpus: {spec.resources.gpus:g}, but CUDA is not available; set it to 0 or auto")
    study, older = _found(directory, spec, options)
    if study is None:  # else there may be nothing to do
        runner.begin()
    known = next((one.notes for one in (study, older) if one is not None and one.directory.path == directory.path), Notes())
    store = _store(directory, known.store, options.store)
    space, incumbent = space_of(spec, splits, store), incumbent_of(spec, splits, store)
    place, own = _place(directory, store), None if incumbent is None else incumbent.key()
    teachers = tuple(teacher.key() for teacher in space.teachers)
    _refuse_other_teachers(directory, known.teachers, teachers)
    if study is None:
        facts(space, splits, incumbent)  # refuses what check would refuse
        first = tuple(configurations(space, incumbent))
        notes = Notes(
            store=place,
            teachers=teachers,
            chance=splits.floors[spec.task.measure],
            incumbent=own,
            specs=(comparable(spec),),
            first=first,
        )
        _begin(directory, options, older, space, store, notes)
    record = study.record if study is not None else Record(directory.database, spec, space.domains)
    directory.claim(spec, record)
    drawn = record.notes.drawn if record.notes.incumbent == own else None  # its picture shows another one
    record.note(replace(record.notes, store=place, incumbent=own, drawn=drawn))
    return Study(spec, space, store, record, floors=splits.floors)


def _found(directory: StudyDirectory, spec: Spec, options: Options) -> tuple[OpenStudy | None, OpenStudy | None]:
    """The study in the directory or, if there is none for this spec, the older study to start with.

    Raises UsageError if the directory contains a study that cannot continue with this spec.
    """
    if options.fresh or not directory.exists():
        return None, None if options.older is None else _read(StudyDirectory(options.older), spec)
    study = _read(directory, spec)  # refuses a changed spec.yaml
    changed, before = directory.changes(spec, extend=options.extend), study.notes.continues
    if options.older is not None and (changed or before is None or before.path != str(Path(options.older).absolute())):
        raise UsageError(
            f"--from {options.older}: the study in {directory.path} did not start from it; leave out --from to continue (with "
            "--extend if the spec has changed), give another --out, or --fresh to start over"
        )
    return (None, study) if changed else (study, None)


def _read(directory: StudyDirectory, spec: Spec) -> OpenStudy:
    """The study in a directory; adding trials of `spec` opens its record again."""
    with open_study(directory, domains_of(spec)) as study:
        return study


def _begin(
    directory: StudyDirectory, options: Options, older: OpenStudy | None, space: Space, store: Store, notes: Notes
) -> None:
    """Creates study.db with the trials of the older study that fit and the initial facts, atomically."""
    if older is not None and older.directory.path != directory.path:
        refuse_other_teachers(older, notes.teachers)
    with contextlib.closing(Record(directory.draft, space.spec, space.domains)) as draft:
        draft.note(notes)
        if older is not None:
            begin(draft, older, space, store)
    if older is not None:
        inherit(directory.path, older.directory.path, older.notes.looks)
    if options.fresh:
        directory.clear_answers()
    directory.become(space.spec)


def _store(directory: StudyDirectory, known: str | None, asked: str | None) -> Store:
    """The store of the stages: the study's private one, which is cleaned up, unless --store names a shared one."""
    if asked == "":
        raise UsageError("--store is empty; name a directory, or leave it out")
    own = Store(directory.path / OWN_STORE)
    before = Store(directory.path / known) if known is not None else None
    store = Store(asked) if asked is not None else before or own
    if before is not None and store.root != before.root:
        raise UsageError(
            f"--store {asked}: {directory.path} keeps its stages in {before.root}; leave --store out or give another --out"
        )
    refuse_anothers(directory, store.root)
    store.open()
    if store.root == own.root:
        store.sweep()
    return store


def _place(directory: StudyDirectory, store: Store) -> str:
    """The path of a store, relative if it is inside the study directory, so that the directory can be moved."""
    inside = store.root.is_relative_to(directory.path)
    return str(store.root.relative_to(directory.path) if inside else store.root)


def _refuse_other_teachers(directory: StudyDirectory, known: Sequence[str], keys: Sequence[str]) -> None:
    for before, now in zip(known or keys, keys, strict=True):
        if before != now:
            raise UsageError(
                f"the teacher of {directory.path} was {before:.12} and is now {now:.12}: its weights or the code that trains "
                "it changed; give another --out, or --fresh to start over"
            )


def _say_what_is_kept(study: Study, listener: Listener) -> None:
    """Once, at the beginning of a study that continues from an older one."""
    found = study.record.notes.continues
    if found and all(trial.facts.kept is not None for trial in study.record.trials):
        listener.say(f"finished students of {found.path} that fit this space and are kept: {found.kept:,} of {found.of:,}")


def _go_on(study: Study, directory: StudyDirectory, runner: Runner, options: Options, listener: Listener) -> None:
    if options.retry_failed:
        marks.forget(study.store.root)
        if not study.pending.retry_failed():
            listener.say("there are no failed trials to retry")
    if study.finished() and study.record.notes.drawn == study.trials.told:
        done = study.trials.counted_done
        listener.say(f"{directory.path} is finished: {done:,} trial{'s' * (done != 1)}; nothing to do")
        return

    def after() -> None:
        if options.until is not None and study.policy.ended is None:
            study.policy.ended = options.until(study)
        listener.advanced(study, directory, ended=False)

    if not study.finished():
        runner.run(study, after, listener.say)
    if not study.finished():
        raise StudyError("the runner ended before the study did; run the same command again to resume")
    _note_model(study)
    listener.advanced(study, directory, ended=True)
    study.record.note(replace(study.record.notes, drawn=study.trials.told))
    if study.policy.ended is not None:
        listener.say(study.policy.ended)


def _note_model(study: Study) -> None:
    """Records the model's final estimates for each measured student, and for more trials."""
    sampler = informed(study.spec.search, study.space, study.record.trials, study.region)
    found = sampler.improvement(next_round(study.trials.counted_done, 1), study.space.feasible)
    study.record.note(replace(study.record.notes, expected_improvement=found, posterior=sampler.posterior()))


def _check(study: Study) -> None:
    """Raises StudyError or StoreError if trials or stages were lost: another process may have written to the directory."""
    study.record.check()
    keys = [*study.teachers, *(trial.facts.stage for trial in study.record.trials if trial.state == "complete")]
    lost = [key for key in dict.fromkeys(keys) if not study.store.has("stages", key)]
    if lost:
        raise StoreError(
            f"{study.store.root} lacks {len(lost):,} finished stage{'s' * (len(lost) != 1)}, such as {lost[0][:12]}: something "
            "removed files while the search ran. Run the same command again to train what is missing"
        )
