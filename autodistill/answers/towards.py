"""Continues a search toward a target, until time is up or the answer is unlikely to change."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from statistics import NormalDist
from typing import Literal

from ..metrics.intervals import enough
from ..metrics.metric import Metric, TopK, metric_of
from ..runners import Runner
from ..spec import Spec, UsageError, parse
from ..spec.measurement import Score
from ..study.driver import Listener, Options, search
from ..study.preflight.prepare import load_data
from ..study.record.directory import StudyDirectory, comparable
from ..study.record.notes import Question
from ..study.record.opened import OpenStudy, open_study
from ..study.sampling.ehvi_sampler import smaller
from ..study.schedule.scheduler import Study
from .wanted import Wanted

CERTAIN = 0.05
"""The search ends when each smaller student that was considered reaches the target with at most this probability."""
MANY = 10_000
"""More trials than the time allows."""
MOST, LARGEST = 1_000_000, 10**18
"""The most trials, and the largest limit, that a spec may have."""


def towards(
    directory: StudyDirectory,
    wanted: Wanted,
    *,
    seconds: float,
    listener: Listener,
    runner: Runner | Literal["ray", "serial"] = "ray",
) -> Study:
    """Continues a study toward the smallest student that meets a target, for at most `seconds`; finished trials are kept.

    Ends when a student has the validation metric that a claim needs on the test split, and no smaller one is likely to. For
    --retain, that is the share of the teacher's validation metric, without a margin for the test. The limits on params and
    bytes apply. Raises UsageError.
    """
    if not seconds > 0:
        raise UsageError(f"--within {seconds:g} s: give a time above 0, such as 30m")
    spec, before = _aimed(directory, wanted)
    options = Options(extend=True, until=Until(seconds))
    try:
        _note(directory, Question(comparable(spec), before.document()["search"]))
        return search(spec, out=directory.path, runner=runner, options=options, listener=listener)
    finally:
        _put_back(directory, before)  # target and limits are of this question


def _note(directory: StudyDirectory, question: Question) -> None:
    """Records the earlier search, for the next question: a kill leaves no time to restore it."""
    with directory, open_study(directory) as study:
        study.record.note(replace(study.notes, question=question))


def _put_back(directory: StudyDirectory, before: Spec) -> None:
    with directory, open_study(directory) as study:
        ended = sum(trial.counts and trial.state != "running" for trial in study.trials)
        trials = before.search.trials and max(before.search.trials, ended)
        spec = before.model_copy(update={"search": before.search.model_copy(update={"trials": trials})})
        directory.claim(spec, study.record)


def claimable(metric: Metric, target: float, confidence: float, n: int, like: Score) -> float:
    """The value on n test samples from which `target` can be claimed; `target` itself if n samples are too few.

    For a fraction of correct predictions, the value is exact; for other metrics, it has a normal margin, with errors like those
    of `like`.
    """
    if isinstance(metric, TopK):
        correct = enough(n, target, 1 - confidence)
        return target if correct is None else correct / n
    margin = NormalDist().inv_cdf(confidence) * metric.error(target, like) * math.sqrt(like.n / n)
    found = float(metric.height(metric.height(target) + margin))
    return found if metric.low < found < metric.high else target


class Until:
    """Returns why a search ends, or None."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self._seen = 0

    def __call__(self, study: Study) -> str | None:
        study.ends = self.ends
        if study.clock() >= self.ends:
            return "the time of --within is up"
        done = study.trials.counted_done
        if done == self._seen:
            return None
        self._seen = done
        left = smaller(study.spec.search, study.space, study.record.trials, study.region)
        if left is None or left > CERTAIN:
            return None
        return f"no smaller student that was considered is likely to reach the target: each has a chance of at most {left:.1%}"


def _aimed(directory: StudyDirectory, wanted: Wanted) -> tuple[Spec, Spec]:
    """The spec with the target and the limits in its search and more trials than time allows; and the unchanged spec."""
    with open_study(directory) as study:
        rows = study.rows()
        teacher = next(row for row in rows if row.role == "teacher")
        spec = _before(study)
    metric = metric_of(spec.search)
    if spec.search.objectives[1:] != ("params",):
        what = f"the objectives of this study are {', '.join(spec.search.objectives)}, not {metric.column} and params"
        raise UsageError(f"--within: {what}; leave it out")
    wanted = wanted.resolved(teacher.params, metric.name)
    if wanted.metric != metric.name:
        raise UsageError(
            f"--within: the target is for {wanted.metric}, but the study searches by {metric.column}; give a target for "
            f"{metric.column}"
        )
    target = metric.keeping(teacher.value, wanted.retain or 1.0)
    if wanted.target is not None:
        samples = len(load_data(spec, cuda=False)[1].test)
        target = claimable(metric, wanted.target, wanted.confidence, samples, teacher.score)
    asked = {name: getattr(wanted, name) for name in ("params", "bytes")}
    limits = {name: min(value, LARGEST) for name, value in asked.items() if value is not None}
    search = spec.search.model_copy(
        update={
            "target": min(target, 0.9999 * metric.high),
            "trials": min(spec.search.most() + MANY, MOST),
            "time": None,
            "stop": None,
            "limits": spec.search.limits.model_copy(update=limits),
            "sampler": "ehvi",
        }
    )
    return spec.model_copy(update={"search": search}), spec


def _before(study: OpenStudy) -> Spec:
    """The spec of a study; if a kill left the spec of a question, the one before it."""
    question = study.notes.question
    if question is None or question.aimed != comparable(study.spec):
        return study.spec
    return parse(study.spec.document() | {"search": question.before})
