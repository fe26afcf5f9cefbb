"""The sampler `ehvi`: proposes the student with the largest expected hypervolume improvement; its size is known.

No state is kept between models, so a proposal depends only on the seed, the number of proposals so far, and the known trials:
a resumed study proposes what the uninterrupted one would have proposed.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ...metrics.intervals import unwarp, warp
from ...spec import UsageError
from ...spec.measurement import Sizes
from ...spec.search import Search
from ..record.record import Trial
from ..record.region import Region
from ..record.rows import Improvement, Posterior, passed
from ..space import Space
from .candidates import Candidate, Candidates
from .ehvi import (
    Belief,
    Goal,
    Model,
    Prior,
    Steps,
    Students,
    improvement,
    posterior,
    predict_end,
    worth,
)

Floats = NDArray[np.float64]
Feasible = Callable[[Mapping[str, Any]], bool]

START = 1
"""Until this many trials have ended, proposals are spread over log size."""
ENOUGH = 4
"""The number of trials from which the gain of more trials is estimated."""
WINDOW = 160
"""A model uses at most this many trials: half are the most recent, half are the nearest to the frontier."""
PENDING = 300
SHARE = 10
"""With many workers, one model makes one proposal for every SHARE running trials."""
SLOPE = 1.0
"""Deviation of the accuracy's trend over the range of log params before any data, in deviations of the warped accuracy."""
SMOOTHER = 3.0
"""Losses, recipes, and assistants are expected to matter less than the architecture: their length scales are larger."""
GOLDEN = (math.sqrt(5) - 1) / 2
INSIDE, RISK = 3, 1 / 6
"""Once INSIDE students are in the region, at most this share of further trials is expected to end outside."""


class EhviSampler:
    """Proposes students, given all trials. If several sizes are objectives, they take turns.

    `region` is called when a proposal is due: it depends on the teacher, which a search trains first.
    """

    def __init__(self, search: Search, space: Space, region: Callable[[], Region]) -> None:
        self.search, self.space, self.region = search, space, region
        self.candidates = Candidates(space, search.seed)
        self.asked = 0
        self._trials: list[Trial] = []
        self._rows: list[Floats] = []
        self._sizes: list[tuple[float, ...]] = []
        self._known: list[int] = []
        self._stopped: dict[str, int] = {}
        self._running: dict[int, int] = {}
        self._stages: set[str] = set()
        self._ahead: Iterator[Candidate] = iter(())

    def added(self, trial: Trial) -> None:
        self.asked += not {"assistant", "enqueued"} & trial.facts.keys()
        place, sizes = len(self._trials), _sizes(trial)
        self._trials.append(trial)
        self._stages.add(trial.facts["stage"])
        self._stopped.pop(trial.facts["stage"], None)  # it continues
        self._rows.append(self.candidates.encode(trial.params, sizes))
        self._sizes.append(tuple(math.log10(max(size, 1)) for size in sizes))
        if trial.values is not None:
            self._known.append(place)
        elif trial.state == "running":
            self._running[trial.number] = place
        elif trial.state == "stopped":
            self._stopped[trial.facts["stage"]] = place

    def ended(self, trial: Trial) -> None:
        place = self._running.pop(trial.number)
        if trial.state == "complete":
            bisect.insort(self._known, place)
        elif trial.state == "stopped":
            self._stopped[trial.facts["stage"]] = place

    def propose(self, feasible: Feasible) -> tuple[dict[str, Any], dict[str, Any]]:
        """If every student was tried, stopped ones continue; after that, one is repeated.

        Raises UsageError if none is feasible.
        """
        for one in self._ahead:
            if self._is_new(one.params, feasible):
                return one.params, {}
        self._ahead = self._planned()
        found = (one.params for one in self._ahead if self._is_new(one.params, feasible))
        return next(found, None) or self._again(feasible), {}

    def _is_new(self, params: Mapping[str, Any], feasible: Feasible) -> bool:
        return feasible(params) and self.space.decode(params).key() not in self._stages

    def _again(self, feasible: Feasible) -> dict[str, Any]:
        """A proposal for a space in which (almost) all was tried: first the stopped ones, nearest to the frontier first."""
        stopped = self._places_stopped()
        places, predicted, _ = self._predicted(stopped)
        short = dict(zip(places, self._heights(self._steps(), places) - predicted, strict=True))
        for place in sorted(stopped, key=lambda place: short.get(place, math.inf)):
            if feasible(self._trials[place].params):
                return self._trials[place].params
        for one in self.candidates.draw(self.asked, ()):
            if feasible(one.params):
                return one.params
        raise UsageError("search.limits: all sampled students are too large; raise the limits or allow smaller students")

    def posterior(self) -> dict[str, Posterior]:
        """The model's posterior of each complete trial, by the key of its stage; empty if too few trials are known."""
        if len(self._known) < ENOUGH:
            return {}
        students = self._students()
        found = posterior(self._model()[0].at(students.x), students.sizes, self.goal())
        return {self._trials[place].facts["stage"]: one for place, one in zip(self._known, found, strict=True)}

    def _students(self) -> Students:
        """The measured students."""
        return Students(np.array([self._rows[place] for place in self._known]), self._table(self._known)[:, 0])

    def improvement(self, trials: int, feasible: Feasible) -> Improvement | None:
        """What `trials` more trials would add; None if too few trials are known or nothing is left to try.

        At most `ehvi.MOST_TRIALS` are simulated.
        """
        if len(self._known) < ENOUGH:
            return None
        found = [one for one in self._draw() if self._is_new(one.params, feasible)]
        if not found:
            return None
        new = Students(np.array([self.candidates.encode(*one) for one in found]), self._logs([one.sizes for one in found]))
        return improvement(self._model()[0], self._students(), new, self.goal(), trials)

    def reaches(self, target: float, below: int, feasible: Feasible) -> float:
        """The largest probability that a new student of fewer than `below` params reaches the target."""
        new = [one for one in self._draw() if one.sizes.params < below and self._is_new(one.params, feasible)]
        if not new:
            return 0.0
        belief = self._model()[0].at(np.array([self.candidates.encode(*one) for one in new]))
        return float(ndtr((belief.mean - warp([target])) / belief.deviation()).max())

    # Plans

    def _draw(self) -> list[Candidate]:
        return self.candidates.draw(self.asked, [self._trials[index].params for index in self._front()])

    def _planned(self) -> Iterator[Candidate]:
        """The best candidates, best first, as many as one model may propose."""
        found = self._draw()
        if not found:
            return iter(())
        if len(self._known) < START:
            return self._spread(found)
        return self._best(found, self.asked + 1 + len(self._running) // SHARE)

    def _spread(self, found: Sequence[Candidate]) -> Iterator[Candidate]:
        """Spread over log size by multiples of the golden ratio."""
        sizes, until = self._logs([one.sizes for one in found]), self.asked + 1
        share = (np.random.default_rng(self.search.seed % 2**32).random() + self.asked * GOLDEN) % 1
        away = np.abs(sizes - sizes.min() - share * (sizes.max() - sizes.min()))
        for index in np.lexsort((np.random.default_rng(self.asked).random(len(found)), away)):
            if self.asked < until:
                yield found[index]

    def _best(self, found: Sequence[Candidate], until: int) -> Iterator[Candidate]:
        x, first = np.unique([self.candidates.encode(*one) for one in found], axis=0, return_index=True)
        found = [found[index] for index in first]
        sizes = self._logs([one.sizes for one in found])
        (model, steps), goal, region = self._model(), self.goal(), self.region()
        belief, left = model.at(x), np.ones(len(x), dtype=bool)
        risk, spare = 1 - self._inside(belief, model, region), self._spare_risk(model, region)
        while self.asked < until and left.any():
            able = left & (risk <= max(spare, float(risk[left].min())))
            best, before = int(np.argmax(np.where(able, worth(sizes, belief, steps, goal), -1.0))), self.asked
            left[best] = False
            yield found[best]
            if self.asked > before:  # it was taken
                steps = steps.joined(sizes[best], unwarp(belief.mean[best]))
                belief.believe(best)
                spare += RISK - risk[best]

    def _spare_risk(self, model: Model, region: Region) -> float:
        """The allowed probability that the next trial ends outside the region, so that a share of RISK is expected to.

        Trials count after the third one inside; before it, there is no limit.
        """
        inside = [place for place in self._known if region.holds((one := self._trials[place]).accuracy, one.sizes)]
        if region.everything or len(inside) < INSIDE:
            return math.inf
        places = [place for place in range(inside[INSIDE - 1] + 1, len(self._trials)) if _was_proposed(self._trials[place])]
        later = [self._trials[place] for place in places]
        spent = float(sum(trial.values is not None and not region.holds(trial.accuracy, trial.sizes) for trial in later))
        stopped = [place for place in places if self._trials[place].state == "stopped"]
        _, predicted, _ = self._predicted(stopped)
        spent += len(stopped) - float((predicted >= warp(region.floor)).sum())
        running = [self._rows[place] for place in places if self._trials[place].state == "running"]
        if running:
            spent += float((1 - self._inside(model.at(np.array(running)), model, region)).sum())
        return RISK * (len(later) + 1) - spent

    def _inside(self, belief: Belief, model: Model, region: Region) -> Floats:
        """(m,) the probabilities that the measured accuracies of candidates reach the region's floor."""
        deviation = np.hypot(belief.deviation(), model.noise(belief.mean))
        return np.asarray(ndtr((belief.mean - warp(region.floor)) / deviation))

    # What is known

    def size(self) -> str:
        """The current size objective: if there are several, they take turns."""
        names = self.search.objectives[1:]
        return names[self.asked % len(names)]

    def _logs(self, sizes: Sequence[Sizes]) -> Floats:
        return np.log10(np.array([max(getattr(one, self.size()), 1) for one in sizes], dtype=np.float64))

    def goal(self) -> Goal:
        """In the region of interest."""
        region = self.region()
        return Goal(region.floor, region.reference(self.size()), self.search.target)

    def _front(self) -> list[int]:
        """Places of the frontier's members."""
        found, steps = self._table(self._known), self._steps()
        on = np.isin(found[:, 0], steps.sizes) & (found[:, 1] >= steps.height(found[:, 0]) - 1e-12)
        return [self._known[index] for index in np.flatnonzero(on)]

    def _table(self, places: Sequence[int]) -> Floats:
        """(n, 2) log sizes and accuracies of trials with values."""
        column = Sizes._fields.index(self.size())
        found = [(self._sizes[place][column], _accuracy(self._trials[place])) for place in places]
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def _steps(self) -> Steps:
        table = self._table(self._known)
        return Steps.of(table[:, 0], table[:, 1], self.region().floor)

    def _prior(self) -> Prior:
        region, (low, high) = self.region(), (self.candidates.low[0], self.candidates.high[0])
        rise = self.candidates.slopes(region.rise * float(high - low) / math.log(10))
        slopes, scales = self.candidates.slopes(SLOPE), self.candidates.scales(SMOOTHER)
        return Prior(samples=region.samples, rise=rise, slopes=slopes, scales=scales)

    def _model(self) -> tuple[Model, Steps]:
        """A model of ended trials, with running trials at their predicted means, and the frontier to improve.

        The frontier is one of expected accuracies, so that neither good nor bad luck of a student counts. With a target, it is
        one of measured accuracies, as the target is.
        """
        steps = self._steps()
        places = self._window(steps)
        x, z = np.array([self._rows[place] for place in places]), warp(self._table(places)[:, 1])
        model = Model.fit(x, z, self._prior())
        if self.search.target is None:
            known = self._students()
            steps = Steps.of(known.sizes, unwarp(model.at(known.x).mean), self.region().floor)
        stopped, hinted, doubt = self._hints(steps)
        doubt = np.append(np.zeros(len(z)), doubt)
        if stopped:
            x, z = np.vstack([x, [self._rows[place] for place in stopped]]), np.append(z, hinted)
            model = model.knowing(x, z, doubt)
        pending = sorted(self._running.values())[-PENDING:]
        if pending:
            more = np.array([self._rows[place] for place in pending])
            mean = model.at(more).mean
            model = model.knowing(np.vstack([x, more]), np.append(z, mean), np.append(doubt, np.zeros(len(more))))
            steps = steps.joined(self._logs([_sizes(self._trials[place]) for place in pending]), unwarp(mean))
        return model, steps

    def _hints(self, steps: Steps) -> tuple[list[int], Floats, Floats]:
        """The latest stopped trials, their predicted final accuracies, and the deviations of these. A prediction is at most the
        frontier: a trial that would have improved it is not stopped."""
        places, found, doubt = self._predicted(self._places_stopped()[-PENDING:])
        return places, np.minimum(found, self._heights(steps, places)), doubt

    def _places_stopped(self) -> list[int]:
        """In the order proposed, each stage once, without those that were proposed again."""
        return sorted(self._stopped.values())

    def _predicted(self, stopped: Sequence[int]) -> tuple[list[int], Floats, Floats]:
        """The stopped trials that can be predicted, their final accuracies, warped, and the deviations of these."""
        ended: dict[int, list[tuple[float, float]]] = {}
        for trial in (self._trials[place] for place in self._known[-PENDING:]):
            for rung, accuracy in self._passed(trial):
                ended.setdefault(rung, []).append((accuracy, _accuracy(trial)))
        last = {place: rungs[-1] for place in stopped if (rungs := self._passed(self._trials[place]))}
        places = [place for place, (rung, _) in last.items() if rung in ended]
        found = [predict_end(float(warp(last[place][1])), ended[last[place][0]]) for place in places]
        return places, np.array([mean for mean, _, _ in found]), np.array([deviation for _, deviation, _ in found])

    def _heights(self, steps: Steps, places: Sequence[int]) -> Floats:
        """The frontier's accuracies, warped, at the sizes of trials."""
        return warp(steps.height(self._logs([_sizes(self._trials[place]) for place in places])))

    def _passed(self, trial: Trial) -> list[tuple[int, float]]:
        return passed(self.space.spec, trial.params, trial.facts.get("rungs", ()))

    def _window(self, steps: Steps) -> list[int]:
        if len(self._known) <= WINDOW:
            return self._known
        recent, older = self._known[-WINDOW // 2 :], self._known[: -WINDOW // 2]
        table = self._table(older)
        short = warp(steps.height(table[:, 0])) - warp(table[:, 1])
        return [older[index] for index in sorted(np.argsort(short, kind="stable")[: WINDOW // 2])] + recent


def informed(search: Search, space: Space, trials: Sequence[Trial], region: Region) -> EhviSampler:
    """A sampler for accuracy and params that knows these trials, regardless of who proposed them."""
    plain = search.model_copy(update={"objectives": ("accuracy", "params"), "target": None})
    sampler = EhviSampler(plain, space, lambda: region)
    for trial in trials:
        sampler.added(trial)
    return sampler


def smaller(search: Search, space: Space, trials: Sequence[Trial], region: Region) -> float | None:
    """The largest probability that an untried student reaches the target with fewer params than all that have reached it.

    For a study of accuracy and params; None while no student has reached it.
    """
    assert search.target is not None
    reached = [trial.facts["params"] for trial in trials if trial.values is not None and trial.values[0] >= search.target]
    if not reached:
        return None
    return informed(search, space, trials, region).reaches(search.target, min(reached), space.feasible)


def _accuracy(trial: Trial) -> float:
    assert trial.values is not None
    return trial.values[0]


def _was_proposed(trial: Trial) -> bool:
    """Whether a sampler chose it, rather than a spec, an older study, or a chain that needed it."""
    return not {"assistant", "enqueued", "kept", "repeats"} & trial.facts.keys()


def _sizes(trial: Trial) -> Sizes:
    return Sizes(*(trial.facts[name] for name in Sizes._fields))
