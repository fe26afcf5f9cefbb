"""The record of trials: Optuna's own study in SQLite.

A trial enters it whole, in one transaction, already with its parameters: a kill loses no proposal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..spec import Spec, StudyError
from ..spec.domains import Domain
from .proposals import directions, distribution

State = Literal["running", "complete", "stopped", "failed"]
STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(kw_only=True)
class Trial:
    """A trial as the driver sees it; `facts` are Optuna's user attributes (stage, role, architecture, reason, ...).

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


class Record:
    """The Optuna study of a spec, in memory only without a `database`. `domains` may be left out where nothing is proposed."""

    def __init__(self, database: Path | None, spec: Spec, domains: Mapping[str, Domain] | None = None) -> None:
        self.distributions = {path: distribution(domain) for path, domain in (domains or {}).items()}
        try:
            self.storage = _storage(database)
            self.study = optuna.create_study(
                study_name=spec.study, storage=self.storage, directions=directions(spec.search), load_if_exists=True
            )
            found = self.study.get_trials(deepcopy=False)
        except Exception as error:  # SQLAlchemy and SQLite raise many kinds for a file that is none of theirs
            cause = str(error).splitlines()[0]
            if "disk is full" in str(error):
                raise StudyError(f"no space left for {database}; free some, then give the same command again") from error
            raise StudyError(f"{database} is no readable study ({cause}); give another --out or --fresh") from error
        self.trials: list[Trial] = []
        for one in found:
            self._keep(_seen(one))

    def facts(self) -> dict[str, Any]:
        return self.study.user_attrs

    def note(self, key: str, value: Any) -> None:
        """Writes a fact about the study as a whole."""
        self.study.set_user_attr(key, value)

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
            user_attrs=facts,
            system_attrs=sampled or {},
        )
        if values is None:
            frozen.datetime_start = datetime.now()
        self.study.add_trial(frozen)
        trial = Trial(
            number=len(self.trials), params=dict(params), state=STATES[state], facts=dict(facts), sampled=sampled or {}
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
        number = self.storage.get_trial_id_from_study_id_trial_number(self.study._study_id, trial.number)
        for key, value in (facts or {}).items():
            self.storage.set_trial_user_attr(number, key, value)
            trial.facts[key] = value
        self.study.tell(trial.number, values, state=state)
        trial.state, trial.values = STATES[state], None if values is None else list(values)

    def close(self) -> None:
        self.storage.remove_session()
        if isinstance(self.storage, optuna.storages.RDBStorage):
            self.storage.engine.dispose()


def _storage(database: Path | None) -> optuna.storages.BaseStorage:
    if database is None:
        return optuna.storages.InMemoryStorage()
    # By a creator: SQLAlchemy would read a ? or % of the path as part of a URL.
    connect = {"creator": lambda: sqlite3.connect(database, timeout=60)}
    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=connect)


def _seen(trial: FrozenTrial) -> Trial:
    return Trial(
        number=trial.number,
        params=trial.params,
        state=STATES[trial.state],
        values=trial.values,
        facts=dict(trial.user_attrs),
        sampled=dict(trial.system_attrs),
    )
