"""What a study has found, a row for each network and trial: from the record and the store, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...metrics.intervals import Interval
from ...metrics.metric import ACCURACY, Metric, metric_of, named
from ...spec import NETWORK, Checkpoint, Spec, Stage, UsageError, chain, describe, label_only
from ...spec.domains import Params
from ...spec.measurement import Measurement, Score, Sizes, SoftTargetEntropy, StageFacts
from ...spec.metric import is_own
from ...spec.value import Json
from ...store import Store, parsed
from .. import pareto
from .notes import Posterior, Role, State, Trial
from .region import Region, region_of

if TYPE_CHECKING:  # it imports Optuna, which `check` does not need
    from .record import Record

NoBaseline = Literal["", "itself", "failed", "not trained"]
"""Why a student has no label-only baseline: it learns from labels itself, or the baseline failed or was not trained."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The trial behind a row: its number and parameters, whether it `repeats` a finished stage, the trial that `retried` it,
    what `enqueued` it (None: the sampler proposed it), the number of the trial of an older study that was `kept` as it, and
    the values of the metric at the rungs that it passed, by epochs.
    """

    trial: int
    params: Params
    repeats: bool
    retried: int | None
    enqueued: str | None
    kept: int | None
    rungs: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A network of a study: a teacher, the incumbent, an assistant, or the student of a trial (which has an `origin`).

    `metric` is the metric of the study, and `also` names the metrics that are shown beside it. Only a complete network is
    `measured`. `seconds` is the time of its own training; `seconds_chain` includes every stage above it, too. `of_teacher` and
    `compression` compare it with the first teacher. `inside` says whether it is in the region of interest. `ignorant` says that
    its metric is not shown to be better than that of a network that ignores its input, such as one that always predicts the
    majority class. `label_only` is the metric of the label-only baseline, for a member of the frontier in that region.
    """

    metric: Metric
    also: tuple[str, ...] = ()
    role: Role
    state: State | Literal["lost"]
    stage: str
    architecture: str
    chain: str
    sizes: Sizes
    measured: Measurement | None = None
    soft_targets: SoftTargetEntropy | None = None
    seconds: float | None = None
    seconds_chain: float | None = None
    reason: str | None = None
    origin: Origin | None = None
    of_teacher: float | None = None
    compression: float = 1.0
    frontier: bool = False
    inside: bool = False
    ignorant: bool = False
    expected: Posterior | None = None
    label_only: float | None = None

    @property
    def is_complete(self) -> bool:
        return self.measured is not None

    @property
    def score(self) -> Score:
        """On the validation samples; only of a complete row."""
        assert self.measured is not None, "only a complete row is measured"
        return self.measured.scores[self.metric.name]

    @property
    def value(self) -> float:
        """The metric on the validation samples; only of a complete row."""
        return self.score.value

    @property
    def interval(self) -> Interval:
        """The 95% interval of the value; only of a complete row."""
        return Interval(self.score.low, self.score.high)

    @property
    def params(self) -> int:
        return self.sizes.params

    @property
    def worse_than_label_only(self) -> bool | None:
        return None if self.label_only is None else not self.metric.reaches(self.value, self.label_only)

    @property
    def no_baseline(self) -> NoBaseline:
        """Why a student has no label-only baseline; empty if it has one, and for what is no student."""
        if self.label_only is not None or self.role in ("teacher", "incumbent"):
            return ""
        if self.role == "label-only":
            return "itself"
        return "not trained" if self.reason is None else "failed"

    def values(self, objectives: Sequence[str]) -> list[float]:
        """In natural units; only of a complete row."""
        return [self.value, *(float(getattr(self.sizes, name)) for name in objectives[1:])]

    def columns(self) -> Json:
        """The cells of a table, by column; what is not known is None."""
        one, name, scores = self.origin, self.metric.column, self.measured.scores if self.measured else {}
        interval = self.interval if self.is_complete else None
        return {
            **{key: one and getattr(one, key) for key in ("trial", "repeats", "retried", "enqueued", "kept")},
            **{key: getattr(self, key) for key in ("role", "state", "frontier", "stage", "architecture", "chain", "reason")},
            **self.sizes.facts(),
            name: self.value if self.is_complete else None,
            "low": interval and interval.low,
            "high": interval and interval.high,
            **{named(other).column: scores[other].value if other in scores else None for other in self.also},
            **{key: getattr(self, key) for key in ("of_teacher", "compression", "inside", "seconds", "seconds_chain")},
            "expected": self.expected and self.expected.mean,
            "expected_deviation": self.expected and self.expected.deviation,
            "frontier_probability": self.expected and self.expected.on_frontier,
            "ignorant": self.ignorant,
            "label_only": self.label_only,
            "worse_than_label_only": self.worse_than_label_only,
            "rung_epochs": one.rungs[-1][0] if one and one.rungs else None,
            f"rung_{name}": one.rungs[-1][1] if one and one.rungs else None,
            **{f"param.{path}": value for path, value in (one.params if one else {}).items()},
        }


def network_of(store: Store, key: str) -> Stage | Checkpoint:
    """The stage or checkpoint behind a stored key. Raises StoreError if another version of autodistill stored it."""
    return parsed(store, "stages", key, lambda manifest: NETWORK.validate_python(manifest["network"], strict=False))


def own_of(spec: Spec) -> tuple[str, ...]:
    """The metrics of a study that are your own, also those that are only shown."""
    return tuple(name for name in (*spec.search.objectives[:1], *spec.task.beside) if is_own(name))


class Stages:
    """What a store records about its networks. Each is read once, because it never changes, though it may be removed.

    Networks that were stored without a score of `own`, the metrics of your own, are measured again.
    """

    def __init__(self, store: Store, own: Sequence[str] = ()) -> None:
        self.store, self.own = store, own
        self._networks: dict[str, Stage | Checkpoint] = {}
        self._facts: dict[str, StageFacts] = {}
        self._rows: dict[str, TrialRow] = {}

    def has(self, key: str) -> bool:
        return self.store.has("stages", key)

    def network(self, key: str) -> Stage | Checkpoint:
        if key not in self._networks:
            self._networks[key] = network_of(self.store, key)
        return self._networks[key]

    def facts(self, key: str) -> StageFacts:
        """The measured facts of a stored network."""
        if key not in self._facts:
            found = parsed(self.store, "stages", key, StageFacts.of)
            lacking = [name for name in self.own if found.measurement.scores and name not in found.measurement.scores]
            if lacking:
                from ...distill.predictions import scored  # it imports torch, which a study without such metrics does not need

                scores = found.measurement.scores | scored(self.store, self.network(key), lacking)
                found = replace(found, measurement=found.measurement.model_copy(update={"scores": scores}))
            self._facts[key] = found
        return self._facts[key]

    def refused(self, key: str) -> str | None:
        """Why a metric of your own has no value for a stored network: it raises, or returns no number. None if it has one."""
        try:
            self.facts(key)
        except UsageError as error:
            return str(error)
        return None

    def measured(self, key: str) -> Measurement:
        return self.facts(key).measurement

    def values(self, key: str, objectives: Sequence[str]) -> list[float]:
        """The values of a metric and of sizes, in natural units."""
        found = self.measured(key)
        return [found.scores[objectives[0]].value, *(float(getattr(found, name)) for name in objectives[1:])]

    def row(self, key: str, *, role: Role, metric: Metric) -> TrialRow:
        """The row of a stored network."""
        if key not in self._rows:
            self._rows[key] = self._row(key)
        found = self._rows[key]
        return replace(found, role=role, metric=metric, soft_targets=found.soft_targets if role == "teacher" else None)

    def _row(self, key: str) -> TrialRow:
        network, facts = self.network(key), self.facts(key)
        above = network.ancestors() if isinstance(network, Stage) else []
        found = facts.measurement
        return TrialRow(
            metric=ACCURACY,
            role="student",
            state="complete",
            stage=key,
            architecture=describe(network.architecture),
            chain=chain(network),
            sizes=Sizes.of(found),
            measured=found,
            soft_targets=facts.soft_targets,
            seconds=found.seconds,
            seconds_chain=found.seconds + sum(self.measured(one.key()).seconds for one in above),
        )


def rows(spec: Spec, stages: Stages, record: Record, chance: float) -> list[TrialRow]:
    """One row for each teacher, the incumbent, each assistant, and each trial, in this order; the frontier's are marked.

    `of_teacher` and `compression` are relative to the first teacher; `chance` is the best value of a network that ignores its
    input.
    """
    notes, metric = record.notes, metric_of(spec.search)
    if not notes.teachers or not all(map(stages.has, notes.teachers)):
        return []
    trials = [trial for trial in record.trials if not trial.is_assistant]
    kinds: list[tuple[str, Role]] = [(key, "teacher") for key in notes.teachers]
    kinds += [(key, "incumbent") for key in (notes.incumbent,) if key is not None and stages.has(key)]
    kinds += [(key, "assistant") for key in _assistants(stages, trials, [*notes.teachers, *notes.failed])]
    found = [stages.row(key, role=role, metric=metric) for key, role in kinds]
    found += [_of_trial(stages, trial, metric) for trial in trials]
    region, also = region_among(spec, found, chance), spec.task.beside
    found = [replace(_related(row, found[0], region, notes.posterior.get(row.stage)), also=also) for row in found]
    found = [replace(row, ignorant=row.is_complete and not metric.clears(row.score, chance)) for row in found]
    for index in _members(found, spec):
        found[index] = _with_baseline(stages, replace(found[index], frontier=True), notes.failed)
    return found


def _related(row: TrialRow, teacher: TrialRow, region: Region, expected: Posterior | None) -> TrialRow:
    """A row beside the teacher, the region of interest, and what the sampler's model says of it."""
    return replace(
        row,
        of_teacher=row.metric.kept(row.value, teacher.value) if row.is_complete else None,
        compression=teacher.params / max(row.params, 1),
        inside=row.is_complete and region.holds(row.value, row.sizes),
        expected=expected,
    )


def _with_baseline(stages: Stages, row: TrialRow, failed: Mapping[str, str]) -> TrialRow:
    """A distilled member with the metric of its label-only baseline, or the reason why it has none."""
    network = stages.network(row.stage)
    key = label_only(network).key() if isinstance(network, Stage) and (network.teachers or network.init) else None
    if key is None:
        return row
    if key in failed or not stages.has(key):
        return replace(row, reason=f"its label-only baseline failed: {failed[key]}") if key in failed else row
    return replace(row, label_only=stages.measured(key).scores[row.metric.name].value)


def _of_trial(stages: Stages, trial: Trial, metric: Metric) -> TrialRow:
    facts = trial.facts
    there = trial.state == "complete" and all(map(stages.has, (*facts.above, facts.stage)))
    row = stages.row(facts.stage, role=facts.role, metric=metric) if there else _unmeasured(trial, metric)
    origin = Origin(
        trial=trial.number,
        params=trial.params,
        retried=trial.retried,
        **{name: getattr(facts, name) for name in ("repeats", "enqueued", "kept", "rungs")},
    )
    return replace(row, origin=origin)


def _unmeasured(trial: Trial, metric: Metric) -> TrialRow:
    lost = trial.state == "complete"
    gone = "its stage, or one above it, is no longer stored; the search trains it again"
    return TrialRow(
        metric=metric,
        state="lost" if lost else trial.state,
        **{name: getattr(trial.facts, name) for name in ("role", "stage", "architecture", "chain", "seconds")},
        sizes=trial.sizes,
        reason=gone if lost else trial.facts.reason,
    )


def _assistants(stages: Stages, trials: Sequence[Trial], others: Sequence[str]) -> list[str]:
    """Keys of the stored assistants of all trials, each once, but not of `others` nor of students of complete trials.

    First phases are not assistants.
    """
    above = dict.fromkeys(key for trial in trials for key in trial.facts.above)
    known = {trial.facts.stage for trial in trials if trial.state == "complete"} | set(others)
    there = [key for key in above if key not in known and stages.has(key)]
    return [key for key in there if isinstance(one := stages.network(key), Stage) and not one.pretrains]


def passed(spec: Spec, params: Params, rungs: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Which rungs a trial passed, and its values there. Reports at other shares of the epochs are left out."""
    places = spec.search.places(spec.student.epochs(params))
    return [(places[epochs], value) for epochs, value in rungs if epochs in places]


def costs(values: Sequence[Sequence[float]], objectives: Sequence[str]) -> NDArray[np.float64]:
    """(n, m) costs, smaller is better, of values in natural units: the only place where anything is negated."""
    table: NDArray[np.float64] = np.array(values, dtype=np.float64).reshape(len(values), len(objectives))
    table[:, 0] = -named(objectives[0]).height(table[:, 0])
    return table


def _members(found: Sequence[TrialRow], spec: Spec) -> list[int]:
    """Positions of the frontier's rows: of what was searched, an assistant only within the limits."""
    able, names = [index for index, row in enumerate(found) if may_be_member(row, spec)], spec.search.objectives
    return [able[index] for index in pareto.frontier(costs([found[index].values(names) for index in able], names))]


def may_be_member(row: TrialRow, spec: Spec) -> bool:
    """Whether a row is complete, was searched, and is within the limits."""
    searched = row.is_complete and row.role not in ("teacher", "incumbent")
    return searched and not spec.search.limits.exceeded(row.sizes)


def frontier(found: Sequence[TrialRow]) -> list[TrialRow]:
    """The frontier's rows, smallest first."""
    return sorted((row for row in found if row.frontier), key=lambda row: (row.params, row.value))


def region_among(spec: Spec, found: Sequence[TrialRow], chance: float) -> Region:
    """The region of interest of a study, from its rows."""
    teacher = next(row.measured for row in found if row.role == "teacher" and row.measured)
    incumbent = next((row.sizes for row in found if row.role == "incumbent"), None)
    return region_of(spec.search, chance=chance, teacher=teacher, incumbent=incumbent)


def volume(points: Sequence[tuple[float, float]], region: Region) -> float:
    """The hypervolume of networks with these values of the metric and log10 of these params, inside the region.

    Values in units of the labels count in units of the way from the region's floor to the teacher.
    """
    ends = [(value, math.log10(max(params, 1))) for value, params in points]
    *table, reference = costs([*ends, (region.floor, region.reference("params"))], (region.metric.name, "params"))
    found = pareto.hypervolume(np.reshape(table, (-1, 2)), reference)
    way = abs(region.teacher.value - region.floor)
    return found / way if region.metric.natural and way else found
