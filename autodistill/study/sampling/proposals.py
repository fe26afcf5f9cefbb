"""What to try next: by our own sampler, or by one of Optuna's.

Optuna's samplers draw in a scratch study in memory that mirrors the record, so a proposal outside the limits never becomes a
trial. Every sampler is reseeded with (search.seed, proposals so far), so a resumed study makes the same proposals.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Protocol

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from ...spec import UsageError
from ...spec.domains import Domain
from ...spec.search import Search
from ..pareto import nondominated
from ..record.notes import Trial
from ..record.record import STATES, directions, distribution
from ..record.region import Region
from ..record.rows import costs
from ..space import Feasible, Proposal, Space

STUBBORN, TRIES = 50, 2000
MOST = {"tpe": 800, "nsga2": 4000, "gp": 100}
"""How many trials a sampler knows at once: the members of the frontier and the most recent ones. With twice as many entries in
the scratch study (each proposal is one, too), TPE takes 20 ms and NSGA-II 16 ms for a proposal of six parameters on one core;
the GP always takes about 300 ms."""


class Sampler(Protocol):
    """Draws parameters of the next student, knowing all trials so far."""

    def added(self, trial: Trial) -> None:
        """A trial that is in the record now, in whatever state."""
        ...

    def ended(self, trial: Trial) -> None:
        """A trial that was running."""
        ...

    def propose(self, feasible: Feasible) -> Proposal:
        """The next parameters that are feasible. Raises UsageError if the sampler finds none."""
        ...


def sampler_of(search: Search, space: Space, region: Callable[[], Region]) -> Sampler:
    """The sampler of a search, which knows no trial yet. `auto` is `ehvi`, the best by measurement."""
    if search.sampler not in ("auto", "ehvi"):
        return Optunas(search, space.domains)
    from .ehvi_sampler import EhviSampler  # imports everything that computes sizes

    return EhviSampler(search, space, region)


def _optunas(name: str, seed: int) -> BaseSampler:
    if name == "gp":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return GPSampler(seed=seed)
    if name == "nsga2":
        return NSGAIISampler(seed=seed)
    return RandomSampler(seed=seed) if name == "random" else TPESampler(seed=seed)


class Optunas:
    """One of Optuna's samplers, limited to as many trials as it can handle quickly."""

    def __init__(self, search: Search, domains: Mapping[str, Domain]) -> None:
        self.search = search
        self.distributions = {path: distribution(domain) for path, domain in domains.items()}
        self.asked = 0
        self._trials: list[Trial] = []
        self._begin(0)

    def added(self, trial: Trial) -> None:
        self.asked += not trial.is_assistant and trial.facts.enqueued is None
        self._trials.append(trial)
        self._mirror(trial)

    def ended(self, trial: Trial) -> None:
        if trial.number in self._places:
            self._scratch.tell(self._places[trial.number], trial.values, state=STATES[trial.state])

    def propose(self, feasible: Feasible) -> Proposal:
        half = MOST.get(self.search.sampler, 0) // 2
        first = max(0, len(self._trials) // half - 1) * half if half else 0
        if first != self._first:
            self._begin(first)
        self._scratch.sampler = _optunas(self.search.sampler, _mixed(self.search.seed, self.asked))
        for attempt in range(TRIES):
            if attempt == STUBBORN:  # it does not learn from rejected proposals
                self._begin(first)
                self._scratch.sampler = _optunas("random", _mixed(self.search.seed, self.asked))
            trial = self._scratch.ask(self.distributions)
            sampled = self._scratch.get_trials(deepcopy=False)[trial.number].system_attrs
            self._scratch.tell(trial.number, state=TrialState.FAIL)
            if feasible(trial.params):
                return Proposal(trial.params, sampled)
        what = f"{TRIES} proposals in a row were too large"
        raise UsageError(f"search.limits: {what}; raise the limits or allow smaller students")

    def _begin(self, first: int) -> None:
        """A scratch study of the trials from place `first` on, and of the frontier among those before."""
        self._scratch = optuna.create_study(directions=directions(self.search))
        self._places: dict[int, int] = {}
        self._first, names = first, self.search.objectives
        old = [trial for trial in self._trials[:first] if trial.values is not None]
        table = costs([trial.values or () for trial in old], names)
        kept = [old[place] for place in nondominated(table).nonzero()[0]]
        for trial in [*kept, *self._trials[first:]]:
            self._mirror(trial)

    def _mirror(self, trial: Trial) -> None:
        self._places[trial.number] = len(self._scratch.get_trials(deepcopy=False))
        frozen = create_trial(
            state=STATES[trial.state],
            params=dict(trial.params),
            distributions=self.distributions,
            values=trial.values,
            system_attrs=dict(trial.sampled),
        )
        self._scratch.add_trial(frozen)


def _mixed(seed: int, number: int) -> int:
    from numpy.random import SeedSequence

    return int(SeedSequence([seed % 2**32, number]).generate_state(1)[0])
