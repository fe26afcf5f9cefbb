"""Whether and how a job restarts after its process died. One policy for all runners; the cause of the death decides.

crash    native code crashed: one restart in safe mode, without optimized kernels (see `distill.layout`); then it fails
memory   it ran out of memory, or the OOM killer killed it: one restart with no other job beside it; then it fails
gone     its node failed or another process killed it, so the stage is not the cause: at most three restarts
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
"""The most restarts of a job for each cause."""
AGAIN: dict[Cause, str] = {
    "crash": "its process crashed twice, the second time in safe mode (no oneDNN, no cuDNN)",
    "memory": "it ran out of memory twice, the second time while no other job ran",
    "gone": f"its worker process or its node died {MOST['gone'] + 1} times",
}


class Attempts:
    """Reports the outcome of each job to the work. Learns why earlier processes died from the log files they left (marks)."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._deaths: dict[str, list[Death]] = {}

    def begin(self, job: Job) -> Job | None:
        """The job to start, in safe mode or alone if it died before; None if it has failed by now."""
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
        """Handles a job whose process survived; `reason` says why the job failed, None if it succeeded."""
        gpus = self.work.spec.resources.gpus
        whole = bool(gpus) and float(gpus) >= 1
        if reason is None:
            marks.forget(self.work.store.root, job.address()[1])
        if short_of == "memory" or (short_of == "GPU memory" and not whole):
            self.died(job, Death(cause="memory", words=reason or "", path=self.mark(job).path))
        else:
            self.work.done(job, reason)

    def died(self, job: Job, death: Death) -> None:
        """Handles the death of a job's process: the job is ready again, or fails."""
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
    rest = f"; full log: {over.path} (delete it to train the stage again)" if over.path.exists() else ""
    return f"{AGAIN[over.cause]} ({over.words}){rest}"
