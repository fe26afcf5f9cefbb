"""The record of trials: Optuna's own study in SQLite.

A trial enters it whole, in one transaction, already with its parameters: a kill loses no proposal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.pool import StaticPool

from ..spec import Spec, StudyError
from ..spec.domains import Domain
from .proposals import STATES, State, directions, distribution

NAMES: dict[TrialState, State] = {state: name for name, state in STATES.items()}
FACTS = "facts"
"""What is known of a trial when it begins is one user attribute: each costs Optuna's storage half a millisecond."""
SEAL = "checksum"
"""The fact that a closed study has of all others and of its trials: gone while it is written, and after a kill."""
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(kw_only=True)
class Trial:
    """A trial as the driver sees it; `facts` are kept as Optuna's user attributes (stage, role, architecture, reason, ...).

    `sampled` is what the sampler wants kept.
    `retried` is the number of the trial that tried the same again (whose fact `retries` says so).
    """

    number: int
    params: dict[str, Any]
    state: State
    values: list[float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    sampled: dict[str, Any] = field(default_factory=dict)
    retried: int | None = None


class _Connection(sqlite3.Connection):
    """Lets several calls of Optuna's storage, which commits in each, be one transaction, and writes ahead of the file.

    With WAL and NORMAL a transaction waits for no disk, and a killed process loses none. What is only read stays as it
    is; once closed all is in one file again, unless others read it just then.
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

    def close(self) -> None:
        if self._ahead:
            with suppress(sqlite3.OperationalError, sqlite3.ProgrammingError):  # others read it, or it is closed
                self.execute("PRAGMA journal_mode=DELETE")
        super().close()


class Record:
    """The Optuna study of a spec, in memory only without a `database`. `domains` may be left out where nothing is proposed."""

    def __init__(self, database: Path | None, spec: Spec, domains: Mapping[str, Domain] | None = None) -> None:
        self.distributions = {path: distribution(domain) for path, domain in (domains or {}).items()}
        self._connection: _Connection | None = None
        self._name, self._changed = spec.study, False
        try:
            self.storage = self._opened(database)
            _refuse_other_name(self.storage, spec.study, database)
            study = optuna.create_study(
                study_name=spec.study, storage=self.storage, directions=directions(spec.search), load_if_exists=True
            )
            self._study = self.storage.get_study_id_from_name(spec.study)
            found = study.get_trials(deepcopy=False)  # before the seal is read, which who writes takes away first
            self._facts = dict(study.user_attrs)
            _refuse_damaged(self._facts, found)
            self._ids, seen = [trial._trial_id for trial in found], [_seen(trial) for trial in found]
        except StudyError:
            raise
        except Exception as error:  # SQLAlchemy and SQLite raise many kinds for a file that is none of theirs
            cause = str(error).splitlines()[0]
            if "disk is full" in str(error):
                raise StudyError(f"no space left for {database}; free some, then give the same command again") from error
            raise StudyError(
                f"{database} is no readable study ({cause}); put back a copy, or search again with --fresh, "
                "which keeps what was trained, or with another --out"
            ) from error
        self.trials: list[Trial] = []
        for one in seen:
            self._keep(one)

    def _opened(self, database: Path | None) -> optuna.storages.BaseStorage:
        if database is None:
            return optuna.storages.InMemoryStorage()

        def connect() -> _Connection:
            self._connection = sqlite3.connect(database, timeout=60, factory=_Connection, check_same_thread=False)
            return self._connection

        # By a creator: SQLAlchemy would read a ? or % of the path as part of a URL.
        return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect, "poolclass": StaticPool})

    def facts(self) -> dict[str, Any]:
        """Of the study as a whole."""
        return self._facts

    def note(self, key: str, value: Any) -> None:
        """Writes a fact about the study as a whole."""
        with self._whole():
            self.storage.set_study_user_attr(self._study, key, value)
        self._facts[key] = value

    def add(
        self,
        params: Mapping[str, Any],
        facts: dict[str, Any],
        *,
        values: Sequence[float] | None = None,
        sampled: dict[str, Any] | None = None,
    ) -> Trial:
        """Writes a trial in one transaction: running, or complete where it has values."""
        state = TrialState.RUNNING if values is None else TrialState.COMPLETE
        frozen = create_trial(
            state=state,
            params=dict(params),
            distributions=self.distributions,
            values=values,
            user_attrs={FACTS: facts},
            system_attrs=sampled or {},
        )
        if values is None:
            frozen.datetime_start = datetime.now()
        with self._whole():
            self._ids.append(self.storage.create_new_trial(self._study, template_trial=frozen))
        trial = Trial(
            number=len(self.trials), params=dict(params), state=NAMES[state], facts=dict(facts), sampled=sampled or {}
        )
        trial.values = None if values is None else list(values)
        self._keep(trial)
        return trial

    def _keep(self, trial: Trial) -> None:
        self.trials.append(trial)
        if "retries" in trial.facts:
            self.trials[trial.facts["retries"]].retried = trial.number

    def tell(
        self,
        trial: Trial,
        values: Sequence[float] | None,
        facts: Mapping[str, Any] | None = None,
        *,
        stopped: bool = False,
    ) -> None:
        """Ends a running trial: complete with its values in natural units; without, stopped at a rung or failed."""
        state = TrialState.COMPLETE if values is not None else TrialState.PRUNED if stopped else TrialState.FAIL
        number = self._ids[trial.number]
        with self._whole():
            for key, value in (facts or {}).items():
                self.storage.set_trial_user_attr(number, key, value)
            self.storage.set_trial_state_values(number, state, values)
        trial.facts |= facts or {}
        trial.state, trial.values = NAMES[state], None if values is None else list(values)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """One transaction."""
        if not isinstance(self.storage, optuna.storages.RDBStorage):
            yield
            return
        with self.storage.engine.connect():  # a closed record is opened again
            assert self._connection is not None
        with self._connection.whole():
            if not self._changed:
                self.storage.set_study_user_attr(self._study, SEAL, None)
            self._changed = True
            yield

    def close(self) -> None:
        """Puts all into one file, sealed. It is opened again where it is used again."""
        if self._changed and isinstance(self.storage, optuna.storages.RDBStorage):
            self._seal()
        self.storage.remove_session()
        if isinstance(self.storage, optuna.storages.RDBStorage):
            self.storage.engine.dispose()

    def _seal(self) -> None:
        study = optuna.load_study(study_name=self._name, storage=self.storage)
        seal = _digest(study.user_attrs, study.get_trials(deepcopy=False))
        with suppress(StorageInternalError):  # on a full disk it stays without, as after a kill
            with self._whole():
                self.storage.set_study_user_attr(self._study, SEAL, seal)
            self._changed = False


def _refuse_other_name(storage: optuna.storages.BaseStorage, name: str, database: Path | None) -> None:
    """Raises StudyError where a database holds a study of another name: it is of another spec."""
    names = [one.study_name for one in storage.get_all_studies()]
    if names and name not in names:
        raise StudyError(
            f"{database} is of the study {names[0]!r}, and the spec beside it is of {name!r}: one of the two was changed. Put "
            "back a copy of what was"
        )


def _refuse_damaged(facts: dict[str, Any], found: Sequence[FrozenTrial]) -> None:
    """Takes the seal out of the facts. Raises ValueError where it is another: something changed what was closed."""
    seal = facts.pop(SEAL, None)
    if seal not in (None, _digest(facts, found)):
        raise ValueError("it is damaged: its checksum differs")


def _digest(facts: Mapping[str, Any], found: Sequence[FrozenTrial]) -> str:
    """sha256 of all that a study holds but its seal."""
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
        facts=trial.user_attrs[FACTS] | {key: value for key, value in trial.user_attrs.items() if key != FACTS},
        sampled=dict(trial.system_attrs),
    )
