"""Floor 9: a search goes on towards a target, until its time is over or the answer will not change."""

from __future__ import annotations

import contextlib
import time
from typing import Literal

from rich.console import Console

from .answers import Wanted
from .driver import Options, search
from .prepare import load_data
from .runners import Runner
from .spec import Spec, UsageError
from .stats import enough
from .study.folder import Folder
from .study.opened import opened
from .study.schedule import Study
from .study.sizewise import smaller

CERTAIN = 0.05
"""So improbable must it be, of each smaller student that is considered, that it reaches the target."""
MANY = 10_000
"""Trials, where the time is the limit."""


def towards(
    folder: Folder,
    wanted: Wanted,
    *,
    seconds: float,
    runner: Runner | Literal["ray", "serial"] = "ray",
    console: Console | None = None,
) -> Study:
    """Goes on with a study for the smallest student of a target, for `seconds` at most, its finished trials kept.

    Ends when a student has on the validation samples what a claim takes on the test split, and nothing smaller is likely to.
    What a --retain asks of a student is of the teacher's validation accuracy here, without the width of its test; within
    the limits of params and bytes. Raises UsageError.
    """
    if not seconds > 0:
        raise UsageError("--within: give a time above 0, such as 30m")
    spec, before = _aimed(folder, wanted)
    options = Options(extend=True, until=Until(seconds))
    study = search(spec, out=folder.path, runner=runner, options=options, console=console)
    trials = max(before.search.trials, study.counted_done())
    with folder, contextlib.closing(study.record):  # target and limits were of this question
        spec = before.model_copy(update={"search": before.search.model_copy(update={"trials": trials})})
        folder.claim(spec, study.record)
    return study


def claimable(target: float, confidence: float, n: int) -> float:
    """The share of n test samples that must be right to claim an accuracy of `target`; itself where all n are too few."""
    correct = enough(n, target, 1 - confidence)
    return target if correct is None else correct / n


class Until:
    """Why a search may end, or None."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self._seen = 0

    def __call__(self, study: Study) -> str | None:
        study.ends = self.ends
        if study.clock() >= self.ends:
            return "the time given is over"
        done = study.counted_done()
        if done == self._seen:
            return None
        self._seen = done
        left = smaller(study.spec.search, study.space, study.record.trials, study.chance)
        if left is None or left > CERTAIN:
            return None
        return f"no smaller student that was considered is likely to reach the target: each with {left:.1%} at most"


def _aimed(folder: Folder, wanted: Wanted) -> tuple[Spec, Spec]:
    """The spec of the study with the target and the limits in its search, and more trials than there is time for; and as is."""
    with opened(folder) as study:
        spec, store, facts = study.spec, study.store, study.record.facts()
    if list(spec.search.objectives) != ["accuracy", "params"]:
        raise UsageError("--within needs a study whose search.objectives are accuracy and params")
    teacher = store.record("stages", facts["teachers"][0])["measurement"]
    wanted = wanted.resolved(teacher)
    target = (wanted.retain or 0.0) * teacher["accuracy"]
    if wanted.accuracy is not None:
        target = claimable(wanted.accuracy, wanted.confidence, len(load_data(spec, cuda=False)[1].test))
    limits = {name: getattr(wanted, name) for name in ("params", "bytes") if getattr(wanted, name) is not None}
    search = spec.search.model_copy(
        update={
            "target": min(target, 0.9999),
            "trials": spec.search.trials + MANY,
            "limits": spec.search.limits.model_copy(update=limits),
            "sampler": "gain",
        }
    )
    return spec.model_copy(update={"search": search}), spec
