"""Optuna's side: proposals, and the record of trials in SQLite.

Proposals are drawn in a scratch study in memory that mirrors the record; a trial then enters the record whole, in one
transaction, already with its parameters. So a kill loses no proposal, and a proposal outside the limits never becomes a
trial. The sampler is seeded anew by (search.seed, proposals so far): a resumed study proposes what it would have proposed.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..spec import Spec, StudyError, UsageError
from ..spec.domains import Choice, Domain, Int, Log

State = Literal["running", "complete", "stopped", "failed"]
STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
TRIES = 2000
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(kw_only=True)
class Trial:
    """A trial as the driver sees it; `facts` are Optuna's user attributes (stage, role, architecture, reason, ...).

    `retried` is the number of the trial that tried the same again (whose fact `retries` says so).
    """

    number: int
    params: dict[str, Any]
    state: State
    values: list[float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    retried: int | None = None


def distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high)
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values())
    return FloatDistribution(domain.low, domain.high, log=isinstance(domain, Log))


def sampler_of(name: str, seed: int) -> BaseSampler:
    """`auto` is TPE, Optuna's own choice for several objectives."""
    if name == "gp":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return GPSampler(seed=seed)
    if name == "nsga2":
        return NSGAIISampler(seed=seed)
    return RandomSampler(seed=seed) if name == "random" else TPESampler(seed=seed)


class Record:
    """The Optuna study of a spec. `domains` may be left out where nothing is proposed."""

    def __init__(self, database: Path, spec: Spec, domains: Mapping[str, Domain] | None = None) -> None:
        self.search = spec.search
        up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        directions = [up if name == "accuracy" else down for name in spec.search.objectives]
        self.distributions = {path: distribution(domain) for path, domain in (domains or {}).items()}
        try:
            # By a creator: SQLAlchemy would read a ? or % of the path as part of a URL.
            connect = {"creator": lambda: sqlite3.connect(database, timeout=60)}
            self.storage = optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=connect)
            self.study = optuna.create_study(
                study_name=spec.study, storage=self.storage, directions=directions, load_if_exists=True
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
        self._scratch = optuna.create_study(directions=directions)
        self._scratch.add_trials(found)
        self._mirror = {trial.number: trial.number for trial in found}

    def facts(self) -> dict[str, Any]:
        return self.study.user_attrs

    def note(self, key: str, value: Any) -> None:
        """Writes a fact about the study as a whole."""
        self.study.set_user_attr(key, value)

    def propose(self, feasible: Callable[[Mapping[str, Any]], bool]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next parameters that are feasible, and what the sampler wants kept with them.

        Raises UsageError when the sampler finds none.
        """
        asked = sum("assistant" not in trial.facts for trial in self.trials)
        self._scratch.sampler = sampler_of(self.search.sampler, _mixed(self.search.seed, asked))
        for _ in range(TRIES):
            trial = self._scratch.ask(self.distributions)
            sampled = self._scratch.get_trials(deepcopy=False)[trial.number].system_attrs
            self._scratch.tell(trial.number, state=TrialState.FAIL)
            if feasible(trial.params):
                return dict(trial.params), sampled
        raise UsageError(f"search.limits: {TRIES} proposals in a row were too large; raise the limits or lower the ends")

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
        trial = Trial(number=len(self.trials), params=dict(params), state=STATES[state], facts=dict(facts))
        trial.values = None if values is None else list(values)
        self._keep(trial)
        self._scratch.add_trial(frozen)
        self._mirror[trial.number] = len(self._scratch.get_trials(deepcopy=False)) - 1
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
        self._scratch.tell(self._mirror[trial.number], values, state=state)
        trial.state, trial.values = STATES[state], None if values is None else list(values)

    def close(self) -> None:
        self.storage.remove_session()
        self.storage.engine.dispose()


def _seen(trial: FrozenTrial) -> Trial:
    return Trial(
        number=trial.number,
        params=trial.params,
        state=STATES[trial.state],
        values=trial.values,
        facts=dict(trial.user_attrs),
    )


def _mixed(seed: int, number: int) -> int:
    from numpy.random import SeedSequence

    return int(SeedSequence([seed % 2**32, number]).generate_state(1)[0])
