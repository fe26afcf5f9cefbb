"""Whether a job whose training did not end is begun again, how, and when it has failed. One policy for all runners.

crash    the stage's code died: once more in safe mode (see `distill.layout`), then it has failed
memory   it ran out of memory, or was killed for it: once more alone on the machine, or on a whole GPU, then it has failed
gone     its machine or its process went away, which is no fault of its own: again, three times at most
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import replace
from typing import Literal

from ..distill import Job
from . import Work, marks
from .marks import Cause, Death, Mark

MOST: dict[Cause, int] = {"crash": 1, "memory": 1, "gone": 3}
"""How often a job is begun again for each cause."""
AGAIN: dict[Cause, str] = {
    "crash": "its process died twice, the second time in safe mode",
    "memory": "it ran out of memory twice, the second time alone",
    "gone": f"its worker was lost {MOST['gone'] + 1} times",
}


class Attempts:
    """Tells the work what comes of its jobs. What earlier processes died of is known from the marks that they left."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._deaths: dict[str, list[Death]] = {}

    def begin(self, job: Job) -> Job | None:
        """The job as it is to be begun, in safe mode or alone where it died before; None where it has failed by now."""
        deaths = self._known(job)
        reason = _failure(deaths)
        if reason is not None:
            self.work.done(job, reason)
            return None
        causes = {death.cause for death in deaths}
        return replace(job, safe="crash" in causes, alone="memory" in causes)

    def mark(self, job: Job) -> Mark:
        return Mark(self.work.store.root, job.address()[1], secrets.token_hex(8))

    def ended(self, job: Job, reason: str | None, *, short_of: Literal["memory", "GPU memory"] | None) -> None:
        """Takes note of a job that ended within its process; `reason` says why it failed, None that it did not."""
        gpus = self.work.spec.resources.gpus
        whole = bool(gpus) and float(gpus) >= 1
        if reason is None:
            marks.forget(self.work.store.root, job.address()[1])
        if short_of == "memory" or (short_of == "GPU memory" and not whole):
            self.died(job, Death(cause="memory", words=reason or "", path=self.mark(job).path))
        else:
            self.work.done(job, reason)

    def died(self, job: Job, death: Death) -> None:
        """Takes note of a death: the job is ready again, or has failed."""
        deaths = self._known(job)
        deaths.append(death)
        reason = _failure(deaths)
        if reason is None:
            self.work.lost(job, death.cause)
        else:
            self.work.done(job, reason)

    def _known(self, job: Job) -> list[Death]:
        key = job.address()[1]
        if key not in self._deaths:
            self._deaths[key] = marks.left_behind(self.work.store.root, key)
        return self._deaths[key]


def _failure(deaths: list[Death]) -> str | None:
    counts = Counter(death.cause for death in deaths)
    over = next((death for death in reversed(deaths) if counts[death.cause] > MOST[death.cause]), None)
    if over is None:
        return None
    rest = f"; the rest is in {over.path}; without that file it is tried again" if over.path.exists() else ""
    return f"{AGAIN[over.cause]} ({over.words}){rest}"
