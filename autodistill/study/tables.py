"""What a study has found, as plain rows: from the record and the store, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import pareto
from ..spec import NETWORK, Checkpoint, Spec, Stage, chain, describe, twin
from ..stats import wilson
from ..store import Store
from .record import Record, Trial

Row = dict[str, Any]
SIZES = ("params", "macs", "bytes")


def network_of(store: Store, key: str) -> Stage | Checkpoint:
    """The stage or checkpoint behind a stored key."""
    return NETWORK.validate_python(store.record("stages", key)["network"], strict=False)


def rows(spec: Spec, store: Store, record: Record) -> list[Row]:
    """One row for each teacher, one for each assistant, one for each trial, in this order; members of the frontier marked.

    Shares and compressions are against the first teacher.
    """
    keys = record.facts().get("teachers", [])
    if not keys or not all(store.has("stages", key) for key in keys):
        return []
    teachers = [_stored(store, key, role="teacher") | {"dark": store.record("stages", key).get("dark")} for key in keys]
    trials = [trial for trial in record.trials if "assistant" not in trial.facts]
    found = [*teachers, *_assistants(store, trials, keys), *(_of_trial(store, trial) for trial in trials)]
    for row in found:
        _relate(row, teachers[0])
    for index in _members(found, spec):
        found[index]["frontier"] = True
        found[index] |= _against_labels(store, found[index], record.facts().get("failed", {}))
    return found


def _against_labels(store: Store, row: Row, failed: Mapping[str, str]) -> Row:
    """The accuracy of a distilled network's twin that was trained from labels, and whether that is better."""
    network = network_of(store, row["stage"])
    key = twin(network).key() if isinstance(network, Stage) and (network.teachers or network.init) else None
    if key is None:
        return {}
    if not store.has("stages", key):
        return {"reason": f"its twin from labels failed: {failed[key]}"} if key in failed else {}
    accuracy = store.record("stages", key)["measurement"]["accuracy"]
    return {"from_labels": accuracy, "worse_than_labels": row["accuracy"] < accuracy}


def _stored(store: Store, key: str, *, role: str) -> Row:
    """The row of a stored network; seconds_chain counts every stage above it too."""
    record = store.record("stages", key)
    network = network_of(store, key)
    above = network.ancestors() if isinstance(network, Stage) else []
    measured = record["measurement"]
    seconds = [store.record("stages", one.key())["measurement"]["seconds"] for one in above]
    interval = wilson(measured["correct"], measured["n"])
    return {
        "trial": None,
        "role": role,
        "state": "complete",
        "stage": key,
        "architecture": describe(network.architecture),
        "chain": chain(network),
        **{name: measured[name] for name in SIZES},
        "accuracy": measured["accuracy"],
        "low": interval.low,
        "high": interval.high,
        "seconds": measured["seconds"],
        "seconds_chain": measured["seconds"] + sum(seconds),
        "reason": None,
        "frontier": False,
        "from_labels": None,
        "worse_than_labels": None,
    }


def _of_trial(store: Store, trial: Trial) -> Row:
    facts = trial.facts
    there = all(store.has("stages", key) for key in (*facts["above"], facts["stage"]))
    row = _stored(store, facts["stage"], role=facts["role"]) if trial.state == "complete" and there else _unmeasured(trial)
    searched = {f"param.{path}": value for path, value in trial.params.items()}
    return row | {"trial": trial.number, "repeats": "repeats" in facts, "retried": trial.retried} | searched


def _unmeasured(trial: Trial) -> Row:
    empty = dict.fromkeys(("accuracy", "low", "high", "seconds", "seconds_chain"))
    known = {name: trial.facts[name] for name in ("role", "stage", "architecture", "chain", *SIZES)}
    lost = "its stage, or one above it, is no longer stored; the search makes it again"
    state, reason = ("lost", lost) if trial.state == "complete" else (trial.state, trial.facts.get("reason"))
    return {"trial": trial.number, "state": state, **known, **empty, "reason": reason, "frontier": False}


def _assistants(store: Store, trials: Sequence[Trial], teachers: Sequence[str]) -> list[Row]:
    """Stored assistants of all trials, each once, unless it is itself the student of a trial."""
    above = dict.fromkeys(key for trial in trials for key in trial.facts["above"])
    own = {trial.facts["stage"] for trial in trials} | set(teachers)
    there = [key for key in above if key not in own and store.has("stages", key)]
    return [_stored(store, key, role="assistant") for key in there if isinstance(network_of(store, key), Stage)]


def _relate(row: Row, teacher: Row) -> None:
    row["of_teacher"] = None if row["accuracy"] is None else row["accuracy"] / max(teacher["accuracy"], 1e-12)
    row["compression"] = teacher["params"] / max(row["params"], 1)


def costs(found: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> NDArray[np.float64]:
    """(n, m) costs, smaller is better: the only place where anything is negated."""
    columns = [[-row[name] if name == "accuracy" else row[name] for row in found] for name in objectives]
    return np.array(columns, dtype=np.float64).reshape(len(objectives), len(found)).T


def _members(found: Sequence[Row], spec: Spec) -> list[int]:
    """Positions of the frontier's rows, the smallest first. The teacher is none; an assistant only within the limits."""
    able = [index for index, row in enumerate(found) if row["state"] == "complete" and _may_be_member(row, spec)]
    chosen = pareto.frontier(costs([found[index] for index in able], spec.search.objectives))
    return sorted((able[index] for index in chosen), key=lambda index: found[index]["params"])


def _may_be_member(row: Row, spec: Spec) -> bool:
    limits = spec.search.limits.model_dump(exclude_none=True)
    return row["role"] != "teacher" and all(row[name] <= limit for name, limit in limits.items())


def frontier(found: Sequence[Row]) -> list[Row]:
    """The frontier's rows, the smallest first."""
    return sorted((row for row in found if row["frontier"]), key=lambda row: (row["params"], row["accuracy"]))


def hypervolume(spec: Spec, found: Sequence[Row], chance: float) -> dict[str, Any]:
    """Of validation accuracy above chance and log10 of params below the teacher's, whatever the spec's objectives."""
    able = [row for row in found if row["state"] == "complete" and _may_be_member(row, spec)]
    teacher = next(row for row in found if row["role"] == "teacher")
    points = costs(
        [{"accuracy": row["accuracy"], "params": math.log10(max(row["params"], 1))} for row in able],
        ("accuracy", "params"),
    )
    reference = costs([{"accuracy": chance, "params": math.log10(max(teacher["params"], 1))}], ("accuracy", "params"))
    value = pareto.hypervolume(points, reference[0])
    return {"value": value, "reference": {"accuracy": chance, "params": teacher["params"]}}
