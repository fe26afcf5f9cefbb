"""A study that continues from an older one: finished trials that still fit are kept.

A trial fits if its stage, trained by the same teachers on the same data, is one that the new space could propose. It is
written into the new record as a complete trial with the fact `kept`, its number in the older study, and does not count toward
the trials of the new study. Failed trials are dropped, and so are trials that were stopped at a rung: they were compared with
trials that may no longer be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...spec import Spec, Stage, UsageError, label_only
from ...store import Store
from ..space import Network, Space
from .folder import LOOKS, Folder
from .opened import opened
from .record import Record, Trial
from .rows import Stages, network_of

SAME = ("stage", "architecture", "chain", "above", "params", "macs", "bytes")
"""Facts of a trial that its stage alone decides."""
QUESTION = "question"
"""The fact in the record about a question of `smallest --within`: the spec searched for it, and the search before."""


@dataclass(frozen=True, kw_only=True)
class Older:
    """What an older study has found."""

    path: Path
    spec: Spec
    facts: dict[str, Any]
    trials: list[Trial]

    @classmethod
    def read(cls, folder: Folder) -> Older:
        """Raises UsageError if there is no study in the directory."""
        with opened(folder) as study:
            return cls(path=folder.path, spec=study.spec, facts=study.record.facts(), trials=study.record.trials)

    def store(self) -> Store:
        return Store(self.path / self.facts["store"])

    def refuse_other_teachers(self, keys: list[str]) -> None:
        """Raises UsageError if it has other teachers or data, so that no trial could fit."""
        if self.facts.get("teachers") != keys:
            raise UsageError(f"--from {self.path} is a study of another teacher or of other data; leave it out")

    def finished(self) -> list[tuple[Trial, Stage]]:
        """Its complete trials whose stages are still stored, each stage once."""
        store, found = self.store(), dict[str, tuple[Trial, Stage]]()
        for trial in self.trials:
            key = trial.facts["stage"]
            if trial.state == "complete" and key not in found and store.has("stages", key):
                network = network_of(store, key)
                assert isinstance(network, Stage)
                found[key] = (trial, network)
        return list(found.values())

    def stopped(self) -> dict[str, float]:
        """Seconds of stopped trainings, by stage: a new study drops these trials but still counts their time."""
        found: dict[str, float] = dict(self.facts.get("stopped", {}))
        for trial in self.trials:
            if trial.state == "stopped":
                key = trial.facts["stage"]
                found[key] = max(found.get(key, 0.0), trial.facts["seconds"])
        return found

    def kept(self, space: Space) -> list[tuple[dict[str, Any], Trial, Stage]]:
        """The finished trials that fit, with their parameters in the space."""
        found = [(space.encode(stage), trial, stage) for trial, stage in self.finished()]
        return [(params, trial, stage) for params, trial, stage in found if params is not None]


def begin(record: Record, older: Older, space: Space, store: Store) -> None:
    """Copies the trials of an older study that fit `space` into an empty record, and their stages into `store`."""
    kept = older.kept(space)
    source = older.store()
    for network in _needed(space, [stage for _, _, stage in kept], source):
        store.take(source, "stages", network.key())
    stages = Stages(store)
    for params, trial, stage in kept:
        record.add(params, _facts(older, space, trial, stage), values=stages.values(stage.key(), space.spec.search.objectives))
    record.note("stopped", older.stopped())
    for name in {LOOKS, QUESTION} & older.facts.keys():
        record.note(name, older.facts[name])
    record.note("continues", {"from": str(older.path), "kept": len(kept), "of": len(older.finished())})


def _needed(space: Space, stages: list[Stage], source: Store) -> list[Network]:
    """The teachers, the stages, all above them, and their baselines, as far as they are stored, each once."""
    all_of = [one for stage in stages for one in (*stage.ancestors(), stage, label_only(stage))]
    found = {one.key(): one for one in (*space.teachers, *all_of)}
    return [one for key, one in found.items() if source.has("stages", key)]


def _facts(older: Older, space: Space, trial: Trial, stage: Stage) -> dict[str, Any]:
    """Rungs are kept only if they lie at the same epochs."""
    role = "student" if stage.teachers or stage.init else "label-only"
    rungs = {"rungs"} & trial.facts.keys() if older.spec.search.halving == space.spec.search.halving else set()
    return {name: trial.facts[name] for name in (*SAME, *rungs)} | {"role": role, "kept": trial.number}
