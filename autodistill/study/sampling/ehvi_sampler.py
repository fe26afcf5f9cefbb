"""The sampler `ehvi`: proposes the student with the largest expected hypervolume improvement; its size is known.

No state is kept between models, so a proposal depends only on the seed, the number of proposals so far, and the known trials:
a resumed study proposes the same students as an uninterrupted one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.special import ndtr

from ...metrics.metric import metric_of
from ...spec import UsageError
from ...spec.arrays import Floats
from ...spec.domains import Params
from ...spec.search import Search
from ..record.notes import Improvement, Posterior, Trial
from ..record.region import Region
from ..space import Feasible, Proposal, Space
from .candidates import Candidate, Candidates
from .ehvi import Belief, Goal, Model, Prior, Steps, Students, improvement, posterior, worth
from .history import RECENT, History

START = 1
"""Until this many trials have ended, proposals are spread over log size."""
ENOUGH = 4
"""The number of trials from which the gain of more trials is estimated."""
SHARE = 10
"""With many workers, one model makes one proposal for every SHARE running trials."""
SLOPE = 1.0
"""Deviation of the metric's trend over the range of log params before any data, in deviations of the warped metric."""
SMOOTHER = 3.0
"""Losses, recipes, and assistants are expected to matter less than the architecture: their length scales are larger."""
GOLDEN = (math.sqrt(5) - 1) / 2
INSIDE, RISK = 3, 1 / 6
"""Once INSIDE students are in the region, at most this share of further trials is expected to end outside."""


class EhviSampler:
    """Proposes students, given all trials.

    `region` is called when a proposal is due: it depends on the teacher, which a search trains first.
    """

    def __init__(self, search: Search, space: Space, region: Callable[[], Region]) -> None:
        self.search, self.space, self.region, self.metric = search, space, region, metric_of(search)
        self.candidates = Candidates(space, search.seed)
        self.history = History(search, space, self.candidates)
        self.added, self.ended = self.history.added, self.history.ended
        self._ahead: Iterator[Candidate] = iter(())

    def propose(self, feasible: Feasible) -> Proposal:
        """If every student was tried, stopped ones continue; after that, one is repeated.

        Raises UsageError if none is feasible.
        """
        for one in self._ahead:
            if self._is_new(one.params, feasible):
                return Proposal(one.params)
        self._ahead = self._planned()
        params = next((one.params for one in self._ahead if self._is_new(one.params, feasible)), None)
        return Proposal(self._again(feasible) if params is None else params)

    def _is_new(self, params: Params, feasible: Feasible) -> bool:
        return feasible(params) and self.space.decode(params).key() not in self.history.stages

    def _again(self, feasible: Feasible) -> Params:
        """A proposal for a space in which (almost) all was tried: first the stopped ones, nearest to the frontier first."""
        stopped = self.history.stopped()
        places, mean, _ = self.history.predicted(stopped)
        short = dict(zip(places, self._warped(self._steps(), places) - mean, strict=True))
        tried = [self.history.trials[place].params for place in sorted(stopped, key=lambda place: short.get(place, math.inf))]
        for params in (*tried, *(one.params for one in self.candidates.draw(self.history.asked, ()))):
            if feasible(params):
                return params
        raise UsageError("search.limits: all sampled students are too large; raise the limits or allow smaller students")

    # What the model says

    def posterior(self) -> dict[str, Posterior]:
        """The model's posterior of each complete trial, by the key of its stage; empty if too few trials are known."""
        if len(self.history.complete) < ENOUGH:
            return {}
        students = self.history.students()
        found = posterior(self._model()[0].at(students.x), students.sizes, self.goal())
        keys = [self.history.trials[place].facts.stage for place in self.history.complete]
        return dict(zip(keys, found, strict=True))

    def improvement(self, trials: int, feasible: Feasible) -> Improvement | None:
        """What `trials` more trials would add; None if too few trials are known or nothing is left to try.

        At most `ehvi.MOST_TRIALS` are simulated.
        """
        if len(self.history.complete) < ENOUGH:
            return None
        found = [one for one in self._draw() if self._is_new(one.params, feasible)]
        if not found:
            return None
        new = Students(self._encoded(found), self._logs(found))
        return improvement(self._model()[0], self.history.students(), new, self.goal(), trials)

    def reaches(self, target: float, below: int, feasible: Feasible) -> float:
        """The largest probability that a new student of fewer than `below` params reaches the target, a value of the metric."""
        new = [one for one in self._draw() if one.sizes.params < below and self._is_new(one.params, feasible)]
        if not new:
            return 0.0
        belief = self._model()[0].at(self._encoded(new))
        return float(ndtr((belief.mean - self.metric.warp([target])) / belief.deviation()).max())

    # Plans

    def _draw(self) -> list[Candidate]:
        members = self.history.front(self._steps())
        return self.candidates.draw(self.history.asked, [self.history.trials[place].params for place in members])

    def _encoded(self, found: Sequence[Candidate]) -> Floats:
        return np.array([self.candidates.encode(*one) for one in found])

    def _logs(self, found: Sequence[Candidate]) -> Floats:
        return self.history.logs([one.sizes for one in found])

    def _planned(self) -> Iterator[Candidate]:
        """The best candidates, best first, as many as one model may propose."""
        found = self._draw()
        if not found:
            return iter(())
        if len(self.history.complete) < START:
            return self._spread(found)
        return self._best(found, self.history.asked + 1 + len(self.history.running()) // SHARE)

    def _spread(self, found: Sequence[Candidate]) -> Iterator[Candidate]:
        """Spread over log size by multiples of the golden ratio."""
        sizes, asked = self._logs(found), self.history.asked
        share = (np.random.default_rng(self.search.seed % 2**32).random() + asked * GOLDEN) % 1
        away = np.abs(sizes - sizes.min() - share * (sizes.max() - sizes.min()))
        for index in np.lexsort((np.random.default_rng(asked).random(len(found)), away)):
            if self.history.asked <= asked:
                yield found[index]

    def _best(self, found: Sequence[Candidate], until: int) -> Iterator[Candidate]:
        x, first = np.unique(self._encoded(found), axis=0, return_index=True)
        found = [found[index] for index in first]
        sizes = self._logs(found)
        (model, steps), goal, region = self._model(), self.goal(), self.region()
        belief, left = model.at(x), np.ones(len(x), dtype=bool)
        risk, spare = 1 - _inside(belief, model, region), self._spare_risk(model, region)
        while self.history.asked < until and left.any():
            able = left & (risk <= max(spare, float(risk[left].min())))
            best, before = int(np.argmax(np.where(able, worth(sizes, belief, steps, goal), -1.0))), self.history.asked
            left[best] = False
            yield found[best]
            if self.history.asked > before:  # it was taken
                steps = steps.joined(sizes[best], goal.unwarp(belief.mean[best]))
                belief.believe(best)
                spare += RISK - risk[best]

    def _spare_risk(self, model: Model, region: Region) -> float:
        """The allowed probability that the next trial ends outside the region, so that a share of RISK is expected to.

        Trials count after the third one inside; before it, there is no limit.
        """
        trials = self.history.trials
        inside = [place for place in self.history.complete if region.holds(trials[place].value, trials[place].sizes)]
        if region.everything or len(inside) < INSIDE:
            return math.inf
        later = [place for place in range(inside[INSIDE - 1] + 1, len(trials)) if trials[place].was_proposed]
        spent = float(len(set(later) & set(self.history.complete) - set(inside)))
        stopped = [place for place in later if trials[place].state == "stopped"]
        spent += len(stopped) - float((self.history.predicted(stopped).mean >= self.metric.warp(region.floor)).sum())
        running = [place for place in later if trials[place].state == "running"]
        if running:
            spent += float((1 - _inside(model.at(self.history.features(running)), model, region)).sum())
        return RISK * (len(later) + 1) - spent

    # What is known

    def goal(self) -> Goal:
        """In the region of interest."""
        region, target = self.region(), self.search.target
        return Goal(
            self.metric,
            float(self.metric.height(region.floor)),
            region.reference(self.history.size()),
            None if target is None else float(self.metric.height(target)),
        )

    def _steps(self) -> Steps:
        return self.history.steps(self.goal().floor)

    def _warped(self, steps: Steps, places: Sequence[int]) -> Floats:
        """The frontier's heights, warped, at the sizes of trials."""
        return self.goal().warp(steps.height(self.history.sizes(places)))

    def _prior(self) -> Prior:
        region, (low, high) = self.region(), (self.candidates.low[0], self.candidates.high[0])
        rise = self.candidates.slopes(region.rise * float(high - low) / math.log(10))
        slopes, scales = self.candidates.slopes(SLOPE), self.candidates.scales(SMOOTHER)
        noise = functools.partial(self.metric.noise, like=region.teacher)
        return Prior(noise=noise, rise=rise, slopes=slopes, scales=scales)

    def _model(self) -> tuple[Model, Steps]:
        """A model of ended trials, with running trials at their predicted means, and the frontier to improve.

        The frontier is one of expected heights, so that neither good nor bad luck of a student counts. With a target, it is
        one of measured heights, as the target is.
        """
        history, steps, goal = self.history, self._steps(), self.goal()
        places = history.window(steps)
        x, z = history.features(places), goal.warp(history.heights(places))
        model = Model.fit(x, z, self._prior())
        if self.search.target is None:
            known = history.students()
            steps = Steps.of(known.sizes, goal.unwarp(model.at(known.x).mean), goal.floor)
        stopped, mean, deviation = history.predicted(history.stopped()[-RECENT:])
        doubt = np.append(np.zeros(len(z)), deviation)
        if stopped:  # at most at the frontier: a trial that would have improved it is not stopped
            x, z = np.vstack([x, history.features(stopped)]), np.append(z, np.minimum(mean, self._warped(steps, stopped)))
            model = model.knowing(x, z, doubt)
        running = history.running()[-RECENT:]
        if running:
            more = history.features(running)
            mean = model.at(more).mean
            model = model.knowing(np.vstack([x, more]), np.append(z, mean), np.append(doubt, np.zeros(len(more))))
            steps = steps.joined(history.sizes(running), goal.unwarp(mean))
        return model, steps


def _inside(belief: Belief, model: Model, region: Region) -> Floats:
    """(m,) the probabilities that the measured values of candidates reach the region's floor."""
    deviation = np.hypot(belief.deviation(), model.noise(belief.mean))
    return np.asarray(ndtr((belief.mean - region.metric.warp(region.floor)) / deviation))


def informed(search: Search, space: Space, trials: Sequence[Trial], region: Region) -> EhviSampler:
    """A sampler for the metric and params that knows these trials, regardless of who proposed them."""
    plain = search.model_copy(update={"objectives": (search.objectives[0], "params"), "target": None})
    sampler = EhviSampler(plain, space, lambda: region)
    for trial in trials:
        sampler.added(trial)
    return sampler


def smaller(search: Search, space: Space, trials: Sequence[Trial], region: Region) -> float | None:
    """The largest probability that an untried student reaches the target with fewer params than all that have reached it.

    For a study of a metric and params; None while no student has reached it.
    """
    assert search.target is not None
    metric, target = metric_of(search), search.target
    reached = [one.facts.params for one in trials if one.values is not None and metric.reaches(one.value, target)]
    if not reached:
        return None
    return informed(search, space, trials, region).reaches(search.target, min(reached), space.feasible)
