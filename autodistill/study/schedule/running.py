"""What runs now, for who watches a search."""

from __future__ import annotations

from typing import NamedTuple

from ...distill import Job
from ...spec import describe
from .scheduler import Study
from .spent import Kind

NAMES: dict[Kind, str] = {
    "teachers": "teacher",
    "outputs": "logits of",
    "assistants": "assistant",
    "students": "student",
    "baselines": "label-only",
}


class Running(NamedTuple):
    """A running job: `what` it makes of which `network`, and the seconds since it was handed out."""

    what: str
    network: str
    seconds: float


def running(study: Study) -> list[Running]:
    """The jobs that run, in the order in which they were handed out. Another thread may ask while the search proceeds."""
    return [_running(study, job) for job in list(study.jobs.running.values())]


def _running(study: Study, job: Job) -> Running:
    trials = [trial.number for trial in study.trials.open_of(job.network.key())]
    what = f"trial {trials[0]}" if trials and job.trains else NAMES[study.meter.kind(job)]
    return Running(what, describe(job.network.architecture), study.meter.since(job))
