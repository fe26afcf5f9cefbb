"""What to try next: Optuna's samplers.

Proposals are drawn in a scratch study in memory that mirrors the record, so a proposal outside the limits never becomes a
trial. The sampler is seeded anew by (search.seed, proposals so far): a resumed study proposes what it would have proposed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from ..spec import UsageError
from ..spec.domains import Choice, Domain, Int, Log
from ..spec.search import Search

if TYPE_CHECKING:
    from .record import Trial

TRIES = 2000
OPTUNAS = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def directions(search: Search) -> list[StudyDirection]:
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    return [up if name == "accuracy" else down for name in search.objectives]


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


class Proposals:
    """Draws parameters of the next student, knowing all trials so far."""

    def __init__(self, search: Search, domains: Mapping[str, Domain], trials: Sequence[Trial]) -> None:
        self.search = search
        self.distributions = {path: distribution(domain) for path, domain in domains.items()}
        self._scratch = optuna.create_study(directions=directions(search))
        self._places: dict[int, int] = {}
        self.asked = 0
        for trial in trials:
            self.added(trial)

    def added(self, trial: Trial) -> None:
        """A trial that is in the record now, in whatever state."""
        self.asked += not {"assistant", "enqueued"} & trial.facts.keys()
        self._places[trial.number] = len(self._scratch.get_trials(deepcopy=False))
        frozen = create_trial(
            state=OPTUNAS[trial.state],
            params=trial.params,
            distributions=self.distributions,
            values=trial.values,
            system_attrs=trial.sampled,
        )
        self._scratch.add_trial(frozen)

    def ended(self, trial: Trial) -> None:
        """A trial that was running."""
        self._scratch.tell(self._places[trial.number], trial.values, state=OPTUNAS[trial.state])

    def propose(self, feasible: Callable[[Mapping[str, Any]], bool]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next parameters that are feasible, and what the sampler wants kept with them.

        Raises UsageError when the sampler finds none.
        """
        self._scratch.sampler = sampler_of(self.search.sampler, _mixed(self.search.seed, self.asked))
        for _ in range(TRIES):
            trial = self._scratch.ask(self.distributions)
            sampled = self._scratch.get_trials(deepcopy=False)[trial.number].system_attrs
            self._scratch.tell(trial.number, state=TrialState.FAIL)
            if feasible(trial.params):
                return dict(trial.params), sampled
        raise UsageError(f"search.limits: {TRIES} proposals in a row were too large; raise the limits or lower the ends")


def _mixed(seed: int, number: int) -> int:
    from numpy.random import SeedSequence

    return int(SeedSequence([seed % 2**32, number]).generate_state(1)[0])
