"""The record of trials: Optuna's own study in SQLite.

A trial is written with its parameters in one transaction, so a kill loses no proposal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from ...metrics.metric import metric_of
from ...spec import Spec, StudyError
from ...spec.domains import Choice, Domain, Int, Log, Params
from ...spec.search import Search
from ...spec.value import Json
from .notes import NOTES, TRIAL_FACTS, Notes, State, Trial, TrialFacts, changed

STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
NAMES: dict[TrialState, State] = {state: name for name, state in STATES.items()}
FACTS = "facts"
"""Facts known when a trial begins share one user attribute: each attribute costs Optuna's storage half a millisecond."""
SEAL = "checksum"
"""The study attribute with a checksum of all others and of the trials. It is removed before writing, set by `close`."""
ANEW = "restore a copy, give another --out, or start over with --fresh, which keeps the finished stages"
MEND = "fix that, then run the same command again"
BROKEN = (sqlite3.Error, SQLAlchemyError, OptunaError, KeyError)
"""What writing to a damaged file raises: KeyError if a trial is no longer in it."""
FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""SQLite's error names for a full disk: for the database, and for the index file beside it."""
CLOSED = ("SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
"""Prefixes of SQLite's error names for a file that may be intact but cannot be opened now."""
OPEN = "end other programs that use it, or make it and its directory readable and writable, then run the same command again"
optuna.logging.set_verbosity(optuna.logging.WARNING)


def directions(search: Search) -> list[StudyDirection]:
    down = StudyDirection.MINIMIZE
    return [StudyDirection.MAXIMIZE if metric_of(search).higher else down, *[down] * len(search.objectives[1:])]


def distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high)
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values())
    return FloatDistribution(domain.low, domain.high, log=isinstance(domain, Log))


class _Connection(sqlite3.Connection):
    """Combines several calls of Optuna's storage, which commits in each, into one transaction, and uses a write-ahead log.

    With WAL and NORMAL, a transaction does not wait for the disk, and a killed process loses none. A file that is only read
    stays unchanged; after closing, everything is in one file again, unless another process is reading it.
    """

    _held = _ahead = False

    @contextmanager
    def whole(self) -> Iterator[None]:
        if not self._ahead:
            self.execute("PRAGMA journal_mode=WAL")
            self.execute("PRAGMA synchronous=NORMAL")
            self._ahead = True
        self._held = True
        try:
            yield
        except BaseException:
            self._held = False
            with suppress(sqlite3.ProgrammingError):  # SQLAlchemy has closed the connection that an interruption hit
                self.rollback()
            raise
        self._held = False
        self.commit()

    def commit(self) -> None:
        if not self._held:
            super().commit()

    def rollback(self) -> None:
        """SQLAlchemy calls it after each commit too."""
        if not self._held:
            super().rollback()

    def undo(self) -> None:
        """Ends the transaction that an interruption left open, if any, without its changes."""
        self._held = False
        with suppress(sqlite3.ProgrammingError):
            self.rollback()

    def settle(self) -> None:
        """Merges the write-ahead log into the file, unless others are reading it or the connection is closed."""
        if self._ahead:
            self._ahead = False
            with suppress(sqlite3.ProgrammingError), _unless_locked():
                self.execute("PRAGMA journal_mode=DELETE")


@contextmanager
def _unless_locked() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise


class Record:
    """The Optuna study of a spec, in memory without a `database`. `domains` may be left out if nothing is proposed.

    An existing file must contain the study: a new study is written to another file, which is renamed when it is complete.
    Raises StudyError for a file that cannot be read or written.
    """

    def __init__(self, database: Path | None, spec: Spec, domains: Mapping[str, Domain] | None = None) -> None:
        self.distributions = {path: distribution(domain) for path, domain in (domains or {}).items()}
        self.database = database
        self._connection: _Connection | None = None
        self._changed = False
        self.trials: list[Trial] = []
        with self._explained("is not a readable study", ANEW, (Exception,)):  # a file of another kind may raise anything
            is_new = database is None or not database.exists()
            self.storage = self._opened(is_new)
            if is_new:
                optuna.create_study(study_name=spec.study, storage=self.storage, directions=directions(spec.search))
            _refuse_other_name(self.storage, spec.study, database)
            self._study = self.storage.get_study_id_from_name(spec.study)
            found = self.storage.get_all_trials(self._study, deepcopy=False)  # before SEAL, which a writer removes first
            facts = dict(self.storage.get_study_user_attrs(self._study))
            self._sealed = _refuse_damaged(facts, found)
            self.notes = NOTES.validate_python(facts)
            self._ids = [trial._trial_id for trial in found]
            for one in found:
                self._keep(_seen(one))

    def _opened(self, is_new: bool) -> optuna.storages.BaseStorage:
        database = self.database
        if database is None:
            return optuna.storages.InMemoryStorage()

        def connect() -> _Connection:
            self._connection = sqlite3.connect(database, timeout=60, factory=_Connection, check_same_thread=False)
            return self._connection

        # By a creator: SQLAlchemy would read a ? or % of the path as part of a URL.
        engine = {"creator": connect, "poolclass": StaticPool}
        return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=engine, skip_table_creation=not is_new)

    @contextmanager
    def _explained(self, what: str, way_out: str, kinds: tuple[type[Exception], ...] = BROKEN) -> Iterator[None]:
        """Turns errors of SQLAlchemy, SQLite and Optuna about a damaged file or a full disk into a StudyError."""
        try:
            yield
        except StudyError:
            raise
        except kinds as error:
            cause = _cause(error)
            if getattr(cause, "sqlite_errorname", None) in FULL:
                full = f"no space left for {self.database}; free some space, then run the same command again"
                raise StudyError(full) from error
            message = (str(cause).splitlines() or [type(cause).__name__])[0]
            if way_out == ANEW and (getattr(cause, "sqlite_errorname", None) or "").startswith(CLOSED):
                raise StudyError(f"{self.database} cannot be opened ({message}); {OPEN}") from error
            raise StudyError(f"{self.database} {what} ({message}); {way_out}") from error

    def note(self, notes: Notes) -> None:
        """Writes the facts about the study as a whole that have changed, in one transaction."""
        found = changed(notes, self.notes)
        if found:
            with self._whole():
                for name, value in found.items():
                    self.storage.set_study_user_attr(self._study, name, value)
            self.notes = notes

    def add(
        self,
        params: Params,
        facts: TrialFacts,
        *,
        values: list[float] | None = None,
        sampled: Mapping[str, object] | None = None,
    ) -> Trial:
        """Writes a trial in one transaction: running, or complete if it has values."""
        state: State = "running" if values is None else "complete"
        frozen = create_trial(
            state=STATES[state],
            params=dict(params),
            distributions=self.distributions,
            values=values,
            user_attrs={FACTS: {name: value for name, value in vars(facts).items() if value is not None}},
            system_attrs=dict(sampled or {}),
        )
        if values is None:
            frozen.datetime_start = datetime.now()
        with self._whole():
            self._ids.append(self.storage.create_new_trial(self._study, template_trial=frozen))
        trial = Trial(
            number=len(self.trials), params=dict(params), state=state, facts=facts, values=values, sampled=sampled or {}
        )
        self._keep(trial)
        return trial

    def _keep(self, trial: Trial) -> None:
        self.trials.append(trial)
        if trial.facts.retries is not None:
            self.trials[trial.facts.retries].retried = trial.number

    def tell(self, trial: Trial, facts: TrialFacts, values: list[float] | None = None, *, stopped: bool = False) -> None:
        """Ends a running trial with these facts: complete if it has values (in natural units), else stopped at a rung or
        failed.
        """
        state: State = "complete" if values is not None else "stopped" if stopped else "failed"
        number = self._ids[trial.number]
        with self._whole():
            for name, value in changed(facts, trial.facts).items():
                self.storage.set_trial_user_attr(number, name, value)
            self.storage.set_trial_state_values(number, STATES[state], values)
        trial.facts, trial.state, trial.values = facts, state, values

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """One transaction."""
        if not isinstance(self.storage, optuna.storages.RDBStorage):
            yield
            return
        with self._explained("cannot be written to", MEND):
            with self.storage.engine.connect():  # a closed record is opened again
                assert self._connection is not None
            with self._connection.whole():
                if not self._changed:
                    self.storage.set_study_user_attr(self._study, SEAL, None)
                yield
        self._changed = True  # not earlier: a rollback also restores the seal

    def seal_at_close(self) -> None:
        """Makes `close` write the seal if a kill or a full disk left none. Only for a search: it is the only writer."""
        self._changed = self._changed or not self._sealed

    def close(self) -> None:
        """Writes everything to one file, with its seal. The next use opens the file again.

        Raises StudyError if the file cannot be written; it then has no seal, as after a kill.
        """
        try:
            with self._explained("cannot be written to", MEND):
                if self._connection is not None:
                    self._connection.undo()
                if self._changed:
                    self._seal()
                self.storage.remove_session()
                if self._connection is not None:
                    self._connection.settle()
        finally:
            if isinstance(self.storage, optuna.storages.RDBStorage):
                self.storage.engine.dispose()

    def _seal(self) -> None:
        facts, found = self.storage.get_study_user_attrs(self._study), self.storage.get_all_trials(self._study, deepcopy=False)
        with self._whole():
            self.storage.set_study_user_attr(self._study, SEAL, _digest(facts, found))
        self._changed, self._sealed = False, True

    def check(self) -> None:
        """Raises StudyError if the closed file is corrupt or lacks trials: it may have been damaged while it was open."""
        assert self.database is not None
        with self._explained("was damaged while the search ran", ANEW):
            with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                (count,) = connection.execute("SELECT COUNT(*) FROM trials").fetchone()
            if verdict != "ok" or count != len(self.trials):
                raise sqlite3.DatabaseError(f"{count} of {len(self.trials)} trials; {verdict}")


def _cause(error: BaseException) -> BaseException:
    """The underlying error of SQLite, if there is one: Optuna's message does not include it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, sqlite3.Error):
        seen = seen.__cause__ or seen.__context__
    return seen or error


def _refuse_other_name(storage: optuna.storages.BaseStorage, name: str, database: Path | None) -> None:
    """Raises StudyError if the database contains a study of another name, which belongs to another spec."""
    names = [one.study_name for one in storage.get_all_studies()]
    if names and name not in names:
        raise StudyError(
            f"{database} contains the study {names[0]!r}, but spec.yaml beside it names {name!r}: one of them was changed. "
            "Restore a copy of that file"
        )


def _refuse_damaged(facts: Json, found: Sequence[FrozenTrial]) -> bool:
    """Removes the seal from the facts and returns whether there was one.

    Raises ValueError if it does not match: the file was changed after it was closed.
    """
    seal = facts.pop(SEAL, None)
    if seal not in (None, _digest(facts, found)):
        raise ValueError("it is damaged: its checksum differs")
    return seal is not None


def _digest(facts: Json, found: Sequence[FrozenTrial]) -> str:
    """sha256 of everything in a study except its seal."""
    trials = [
        [one.number, one.state.name, one.values, one.params, one.user_attrs, one.system_attrs]
        + [one.datetime_start, one.datetime_complete]
        for one in found
    ]
    known = {key: value for key, value in facts.items() if key != SEAL}
    return hashlib.sha256(json.dumps([known, trials], sort_keys=True, default=str).encode()).hexdigest()


def _seen(trial: FrozenTrial) -> Trial:
    return Trial(
        number=trial.number,
        params=trial.params,
        state=NAMES[trial.state],
        values=trial.values,
        facts=TRIAL_FACTS.validate_python(trial.user_attrs[FACTS] | trial.user_attrs),
        sampled=dict(trial.system_attrs),
    )
