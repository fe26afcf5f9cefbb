"""What the controller of a search costs: simulated workers, the SQLite study of a real search, accuracies by a formula.

    python benchmarks/scale.py --trials 20000 --workers 1000 --sampler random

Prints one JSON object: the controller's milliseconds a trial (inside the study's next, continues and done) in the first and
the last thousand trials, all in all, and the peak of resident memory. Nothing is trained. `cpu` is CPU time of the whole
process, the simulation included: what counts on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from replay.memory import Memory
from replay.replay import Answer, Replay, measurement

from autodistill import spec as specs
from autodistill.distill import Job
from autodistill.spec import Spec, Stage
from autodistill.spec.measurement import SoftTargetEntropy
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.record import Record
from autodistill.study.schedule.scheduler import Study
from autodistill.study.space import Space

SPEC = Path(__file__).parent.parent / "search_spaces" / "digits.yaml"
SOFT_TARGETS = SoftTargetEntropy(entropy={"1": 1.0, "4": 1.5, "8": 2.0}, classes=10, train_accuracy=0.99)


def answer_of(space: Space) -> Callable[[Job], Answer]:
    """Larger is better, with as much scatter as trainings have; seconds go by multiply-adds."""

    def answer(job: Job) -> Answer:
        if not isinstance(job.network, Stage) or not job.trains:
            return Answer(seconds=0.5)
        size, epochs = space.sizes(job.network.architecture), job.network.recipe.epochs
        noise = (int(job.network.key()[:8], 16) / 2**32 - 0.5) * 0.1
        best = min(0.999, max(0.11, 1 - 8 / size.params**0.5 + noise))
        found = {epoch: best * (1 - 0.4 / (1 + epoch)) for epoch in range(1, epochs + 1)}
        told = measurement(best, size, 10_000)
        seconds = epochs * (0.1 + size.macs * 1e-7)
        return Answer(
            seconds=seconds, accuracies=found, measurement=told, soft_targets=None if job.network.teachers else SOFT_TARGETS
        )

    return answer


def open_study(spec: Spec, folder: Path, database: Path | None) -> Study:
    spec, splits = load_data(spec, cuda=False)
    space = space_of(spec, splits, Store(folder / "data"))
    record = Record(database, spec, space.domains)
    record.note(replace(record.notes, teachers=tuple(teacher.key() for teacher in space.teachers)))
    return Study(spec, space, Memory(), record, floors=splits.floors)


class Watch:
    """Notes, after every job, how many trials have ended, what the controller has taken, and all CPU time."""

    def __init__(self, study: Study) -> None:
        self.study, self.points = study, list[tuple[float, float, float]]()

    def __call__(self) -> None:
        controller = self.study.meter.controller  # spent() sums over all jobs: here it would be called after each
        self.points.append((self.study.trials.told, controller, time.process_time()))

    def milliseconds(self) -> tuple[list[float], list[float]]:
        """Of each trial, between its end and the end of the one before: the controller's, and all of the process's CPU."""
        ends = np.array(self.points)
        marks = np.searchsorted(ends[:, 0], np.arange(1, ends[-1, 0] + 1))
        found = np.diff(ends[marks, 1:], axis=0) * 1e3
        return list(found[:, 0]), list(found[:, 1])


def summed_up(each: list[float], cpu: list[float], study: Study, replay: Replay, wall: float) -> dict[str, Any]:
    def told(part: list[float]) -> dict[str, float]:
        return {"median": float(np.median(part)), "p95": float(np.quantile(part, 0.95)), "mean": float(np.mean(part))}

    return {
        "trials": len(study.record.trials),
        "workers": study.workers,
        "sampler": study.spec.search.sampler,
        "ms_first": told(each[:1000]),
        "ms_last": told(each[-1000:]),
        "ms": told(each),
        "cpu_ms_last": told(cpu[-1000:]),
        "thousands_ms": [round(float(np.median(each[start : start + 1000])), 2) for start in range(0, len(each), 1000)],
        "thousands_cpu_ms": [round(float(np.median(cpu[start : start + 1000])), 2) for start in range(0, len(cpu), 1000)],
        "controller_seconds": study.meter.spent(study.workers).controller,
        "wall_seconds": wall,
        "simulated_seconds": replay.clock,
        "useful": study.meter.spent(study.workers).useful,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "stopped": sum(trial.state == "stopped" for trial in study.record.trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--memory", action="store_true", help="no SQLite")
    asked = parser.parse_args()
    settings = [f"search.trials={asked.trials}", f"search.sampler={asked.sampler}", "search.label_baselines=false"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = open_study(specs.load(str(SPEC), settings), folder, None if asked.memory else folder / "study.db")
        replay, watch = Replay(answer_of(study.space), workers=asked.workers), Watch(study)
        started = time.perf_counter()
        replay.run(study, watch)
        assert study.finished()
        json.dump(summed_up(*watch.milliseconds(), study, replay, time.perf_counter() - started), sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
