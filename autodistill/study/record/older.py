"""A study that continues from an older one: finished trials that still fit are kept.

A trial fits if its stage, trained by the same teachers on the same data, is one that the new space could propose. It is
written into the new record as a complete trial with the fact `kept`, its number in the older study, and does not count toward
the trials of the new study. Failed trials are dropped, and so are trials that were stopped at a rung: they were compared with
trials that may no longer be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...spec import Network, Stage, UsageError, label_only
from ...store import Store
from ..space import Space
from .notes import Continued, Trial, TrialFacts
from .opened import OpenStudy
from .record import Record
from .rows import Stages, own_of


def refuse_other_teachers(older: OpenStudy, keys: Sequence[str]) -> None:
    """Raises UsageError if a study has other teachers or data, so that no trial could fit."""
    if older.notes.teachers != tuple(keys):
        raise UsageError(f"--from {older.directory.path} is a study of another teacher or of other data; leave it out")


def begin(record: Record, older: OpenStudy, space: Space, store: Store) -> None:
    """Copies the trials of an older study that fit `space` into an empty record, and their stages into `store`."""
    finished = _finished(older)
    fitting = [(params, trial, stage) for trial, stage in finished if (params := space.encode(stage)) is not None]
    for network in _needed(space, [stage for _, _, stage in fitting], older.stages):
        store.take(older.store, "stages", network.key())
    stages = Stages(store, own_of(space.spec))
    fitting = [one for one in fitting if stages.refused(one[2].key()) is None]
    for params, trial, stage in fitting:
        values = stages.values(stage.key(), space.spec.search.objectives)
        record.add(params, _facts(older, space, trial, stage), values=values)
    known = Continued(str(older.directory.path), len(fitting), len(finished))
    before = older.notes
    record.note(replace(record.notes, continues=known, stopped=_stopped(older), looks=before.looks, question=before.question))


def _finished(older: OpenStudy) -> list[tuple[Trial, Stage]]:
    """Its complete trials whose stages are still stored, each stage once."""
    found: dict[str, tuple[Trial, Stage]] = {}
    for trial in older.trials:
        key = trial.facts.stage
        if trial.state == "complete" and key not in found and older.stages.has(key):
            network = older.stages.network(key)
            assert isinstance(network, Stage)
            found[key] = (trial, network)
    return list(found.values())


def _stopped(older: OpenStudy) -> dict[str, float]:
    """Seconds of stopped trainings, by stage: a new study drops these trials but still counts their time."""
    found = dict(older.notes.stopped)
    for trial in older.trials:
        if trial.state == "stopped":
            found[trial.facts.stage] = max(found.get(trial.facts.stage, 0.0), trial.facts.seconds or 0.0)
    return found


def _needed(space: Space, stages: Sequence[Stage], source: Stages) -> list[Network]:
    """The teachers, the stages, all above them, and their baselines, as far as they are stored, each once."""
    all_of = [one for stage in stages for one in (*stage.ancestors(), stage, label_only(stage))]
    found = {one.key(): one for one in (*space.teachers, *all_of)}
    return [one for key, one in found.items() if source.has(key)]


def _facts(older: OpenStudy, space: Space, trial: Trial, stage: Stage) -> TrialFacts:
    """Rungs are kept only if they lie at the same epochs."""
    rungs = trial.facts.rungs if older.spec.search.halving == space.spec.search.halving else ()
    return replace(TrialFacts.of(stage, trial.sizes), kept=trial.number, rungs=rungs)
