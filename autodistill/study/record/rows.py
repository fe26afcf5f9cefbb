"""What a study has found, as plain rows: from the record and the store, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...metrics.intervals import kendall, wilson
from ...spec import NETWORK, Checkpoint, Spec, Stage, chain, describe, label_only
from ...spec.measurement import Measurement, StageFacts
from ...store import Store
from .. import pareto
from .record import Record, Trial
from .region import SIZES, Region, region_of

Row = dict[str, Any]
PARAM = "param."
MODEL = ("expected", "expected_deviation", "frontier_probability")
"""What the model estimates for a measured network: `ehvi.Posterior`."""
ORIGIN = ("enqueued", "kept")
"""Where a trial comes from, unless a sampler proposed it."""


def network_of(store: Store, key: str) -> Stage | Checkpoint:
    """The stage or checkpoint behind a stored key."""
    return NETWORK.validate_python(store.manifest("stages", key)["network"], strict=False)


class Stages:
    """What a store records about its networks. Each is read once, because it never changes, though it may be removed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._networks: dict[str, Stage | Checkpoint] = {}
        self._facts: dict[str, StageFacts] = {}
        self._rows: dict[str, Row] = {}

    def has(self, key: str) -> bool:
        return self.store.has("stages", key)

    def network(self, key: str) -> Stage | Checkpoint:
        if key not in self._networks:
            self._networks[key] = network_of(self.store, key)
        return self._networks[key]

    def facts(self, key: str) -> StageFacts:
        """The measured facts of a stored network."""
        if key not in self._facts:
            self._facts[key] = StageFacts.of(self.store.manifest("stages", key))
        return self._facts[key]

    def measured(self, key: str) -> Measurement:
        return self.facts(key).measurement

    def values(self, key: str, objectives: Sequence[str]) -> list[float]:
        return [float(getattr(self.measured(key), name)) for name in objectives]

    def row(self, key: str, *, role: str) -> Row:
        """The row of a stored network; seconds_chain counts every stage above it too."""
        if key not in self._rows:
            self._rows[key] = self._row(key)
        return self._rows[key] | {"role": role}

    def _row(self, key: str) -> Row:
        network = self.network(key)
        above = network.ancestors() if isinstance(network, Stage) else []
        measured = self.measured(key)
        seconds = [self.measured(one.key()).seconds for one in above]
        interval = wilson(measured.correct, measured.n)
        return {
            "trial": None,
            "role": None,
            "state": "complete",
            "stage": key,
            "architecture": describe(network.architecture),
            "chain": chain(network),
            **{name: getattr(measured, name) for name in SIZES},
            "accuracy": measured.accuracy,
            "low": interval.low,
            "high": interval.high,
            "measured": measured,
            "seconds": measured.seconds,
            "seconds_chain": measured.seconds + sum(seconds),
            "reason": None,
            "frontier": False,
            "label_only": None,
            "worse_than_label_only": None,
            "inside": False,
            "expected": None,
            "expected_deviation": None,
            "frontier_probability": None,
        }


def rows(spec: Spec, stages: Stages, record: Record, chance: float) -> list[Row]:
    """One row for each teacher, the incumbent, each assistant, and each trial, in this order; the frontier is marked.

    Shares and compressions are relative to the first teacher; `chance` is the share of the majority class.
    """
    keys = record.facts().get("teachers", [])
    if not keys or not all(map(stages.has, keys)):
        return []
    teachers = [stages.row(key, role="teacher") | {"soft_targets": stages.facts(key).soft_targets} for key in keys]
    incumbent = [key for key in [record.facts().get("incumbent")] if key is not None and stages.has(key)]
    trials = [trial for trial in record.trials if "assistant" not in trial.facts]
    found = [*teachers, *(stages.row(key, role="incumbent") for key in incumbent)]
    found += [*_assistants(stages, trials, keys), *(_of_trial(stages, trial) for trial in trials)]
    facts = record.facts()
    region, believed = region_among(spec, found, chance), facts.get("posterior") or {}
    for row in found:
        _relate(row, teachers[0])
        row["inside"] = row["state"] == "complete" and region.holds(row["accuracy"], stages.measured(row["stage"]))
        row |= dict(zip(MODEL, believed.get(row["stage"], ()), strict=False))
    failed = facts.get("failed", {})
    for index in _members(found, spec):
        found[index]["frontier"] = True
        found[index] |= _against_labels(stages, found[index], failed)
    return found


def _against_labels(stages: Stages, row: Row, failed: Mapping[str, str]) -> Row:
    """The accuracy of a distilled network's label-only baseline, and whether the baseline is better."""
    network = stages.network(row["stage"])
    key = label_only(network).key() if isinstance(network, Stage) and (network.teachers or network.init) else None
    if key is None:
        return {}
    if not stages.has(key):
        return {"reason": f"its label-only baseline failed: {failed[key]}"} if key in failed else {}
    accuracy = stages.measured(key).accuracy
    return {"label_only": accuracy, "worse_than_label_only": row["accuracy"] < accuracy}


def _of_trial(stages: Stages, trial: Trial) -> Row:
    facts = trial.facts
    there = trial.state == "complete" and all(map(stages.has, (*facts["above"], facts["stage"])))
    row = stages.row(facts["stage"], role=facts["role"]) if there else _unmeasured(trial)
    searched = {f"{PARAM}{path}": value for path, value in trial.params.items()}
    origin = {"repeats": "repeats" in facts, "retried": trial.retried, **{name: facts.get(name) for name in ORIGIN}}
    return row | {"trial": trial.number} | origin | _last_rung(trial) | searched


def _last_rung(trial: Trial) -> Row:
    """A trial's accuracy at the last rung that it reached, and at all rungs."""
    passed = trial.facts.get("rungs", [])
    if not passed:
        return {}
    epochs, accuracy = passed[-1]
    return {"rung_epochs": epochs, "rung_accuracy": accuracy, "rungs": passed}


def _unmeasured(trial: Trial) -> Row:
    names = ("accuracy", "low", "high", "seconds", "seconds_chain", "label_only", "worse_than_label_only", *MODEL)
    empty = dict.fromkeys(names) | {"inside": False}
    known = {name: trial.facts[name] for name in ("role", "stage", "architecture", "chain", *SIZES)}
    lost = "its stage, or one above it, is no longer stored; the search trains it again"
    state, reason = ("lost", lost) if trial.state == "complete" else (trial.state, trial.facts.get("reason"))
    spent = {"seconds": trial.facts.get("seconds")}
    return {"trial": trial.number, "state": state, **known, **empty, **spent, "reason": reason, "frontier": False}


def _assistants(stages: Stages, trials: Sequence[Trial], teachers: Sequence[str]) -> list[Row]:
    """Stored assistants of all trials, each once, unless it is itself the student of a complete trial."""
    above = dict.fromkeys(key for trial in trials for key in trial.facts["above"])
    own = {trial.facts["stage"] for trial in trials if trial.state == "complete"} | set(teachers)
    there = [key for key in above if key not in own and stages.has(key)]
    return [stages.row(key, role="assistant") for key in there if isinstance(stages.network(key), Stage)]


def concordance(spec: Spec, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Kendall's tau between the accuracies at each rung and at full length, over complete trials, each stage once.

    `share_of_epochs` is the share of the epochs that is over at the rung.
    """
    halving = spec.search.halving
    if not halving:
        return []
    complete = {row["stage"]: row for row in found if row["state"] == "complete" and row.get("rungs")}
    pairs: dict[int, list[tuple[float, float]]] = {}
    for row in complete.values():
        params = {name.removeprefix(PARAM): value for name, value in row.items() if name.startswith(PARAM)}
        for rung, accuracy in passed(spec, params, row["rungs"]):
            pairs.setdefault(rung, []).append((accuracy, row["accuracy"]))
    return [{"share_of_epochs": halving.at(rung), "n": len(pairs[rung]), "tau": kendall(pairs[rung])} for rung in sorted(pairs)]


def passed(spec: Spec, params: Mapping[str, Any], rungs: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """The rungs that a trial passed, and its accuracy there, from pairs of epochs and accuracies; skips other epochs."""
    places = spec.search.places(spec.student.epochs(params))
    return [(places[epochs], accuracy) for epochs, accuracy in rungs if epochs in places]


def _relate(row: Row, teacher: Row) -> None:
    row["of_teacher"] = None if row["accuracy"] is None else row["accuracy"] / max(teacher["accuracy"], 1e-12)
    row["compression"] = teacher["params"] / max(row["params"], 1)


def costs(found: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> NDArray[np.float64]:
    """(n, m) costs, smaller is better: the only place where anything is negated."""
    columns = [[-row[name] if name == "accuracy" else row[name] for row in found] for name in objectives]
    return np.array(columns, dtype=np.float64).reshape(len(objectives), len(found)).T


def _members(found: Sequence[Row], spec: Spec) -> list[int]:
    """Positions of the frontier's rows, smallest first; only rows that were searched and are within the limits count."""
    able = [index for index, row in enumerate(found) if row["state"] == "complete" and may_be_member(row, spec)]
    chosen = pareto.frontier(costs([found[index] for index in able], spec.search.objectives))
    return sorted((able[index] for index in chosen), key=lambda index: found[index]["params"])


def may_be_member(row: Row, spec: Spec) -> bool:
    """Whether a complete row was searched and is within the limits."""
    limits = spec.search.limits.model_dump(exclude_none=True)
    return row["role"] not in ("teacher", "incumbent") and all(row[name] <= limit for name, limit in limits.items())


def frontier(found: Sequence[Row]) -> list[Row]:
    """The frontier's rows, smallest first."""
    return sorted((row for row in found if row["frontier"]), key=lambda row: (row["params"], row["accuracy"]))


def region_among(spec: Spec, found: Sequence[Row], chance: float) -> Region:
    """The region of interest of a study, from its rows."""
    teacher = next(row["measured"] for row in found if row["role"] == "teacher")
    incumbent = next((row["measured"] for row in found if row["role"] == "incumbent"), None)
    return region_of(spec.search, chance=chance, teacher=teacher, incumbent=incumbent)


def hypervolume(spec: Spec, found: Sequence[Row], region: Region) -> dict[str, Any]:
    """Of validation accuracy and log10 of params, inside the region, whatever the spec's objectives."""
    able = [row for row in found if row["state"] == "complete" and may_be_member(row, spec)]
    points = costs(
        [{"accuracy": row["accuracy"], "params": math.log10(max(row["params"], 1))} for row in able],
        ("accuracy", "params"),
    )
    reference = costs([{"accuracy": region.floor, "params": region.reference("params")}], ("accuracy", "params"))
    value = pareto.hypervolume(points, reference[0])
    return {"value": value, "reference": {"accuracy": region.floor, "params": region.below.get("params")}}


def counted(rows: Sequence[Row]) -> list[Row]:
    """The trials that count: no repeats, none kept from an older study, none that was retried later."""
    return [row for row in rows if row["trial"] is not None and not row["repeats"] and row["retried"] is row["kept"] is None]
