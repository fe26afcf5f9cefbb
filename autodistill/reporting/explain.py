"""One stage of a study: its chain, its numbers, and the command that trains it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..metrics.metric import Metric, metric_of, named
from ..spec import Checkpoint, Stage, UsageError, Value, describe
from ..spec.measurement import Measurement
from ..spec.stage import begun, is_dense, pretrained
from ..spec.value import Json
from ..store import Store
from ..study.record.directory import StudyDirectory
from ..study.record.opened import open_study
from ..study.record.rows import Stages


class Link(NamedTuple):
    """A network of a chain, with its `value` of the study's metric on the validation samples, and the keys of its teachers."""

    stage: str
    architecture: str
    params: int
    value: float
    seconds: float
    teachers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A stage, and the `trials` that trained it. A network from a file has neither loss nor recipe. `pretrained` is the key of
    its first phase, if it has one; first phases are not in the `chain`, because they do not classify.

    `metric` is the metric of the study, and `also` has the metrics that are shown beside it.
    """

    metric: Metric
    also: Sequence[Metric]
    stage: str
    trials: Sequence[int]
    chain: Sequence[Link]
    loss: Json | None
    recipe: Json | None
    pretrained: str | None
    measurement: Measurement
    environment: Json | None
    files: str
    command: str

    def as_json(self) -> Json:
        found = {name: value for name, value in vars(self).items() if name not in ("metric", "also")}
        links = [self._link(link) for link in self.chain]
        return {**found, "chain": links, "measurement": self.measurement.model_dump()}

    def _link(self, link: Link) -> Json:
        names = {"value": self.metric.column}
        return {names.get(name, name): cell for name, cell in link._asdict().items() if name != "teachers"}


def explain(directory: StudyDirectory, prefix: str) -> Explained:
    """The stage whose key begins with `prefix`. Raises UsageError if it matches none or several."""
    with open_study(directory) as study:
        store, stages, spec = study.store, study.stages, study.spec
        trials = [trial.number for trial in study.trials if trial.facts.stage.startswith(prefix)]
    key = _one(store, prefix)
    store.verify("stages", key)
    stored = store.manifest("stages", key)
    network = stages.network(key)
    first = pretrained(network) if isinstance(network, Stage) else None
    if isinstance(network, Stage) and network.pretrains:
        what = f"{key[:12]} is a first phase, trained on texts alone"
        way = "give the key of a stage that begins with its weights, from the stage column of trials.csv"
        raise UsageError(f"KEY {prefix!r}: {what}; {way}")
    return Explained(
        metric=metric_of(spec.search),
        also=[named(name) for name in spec.task.beside],
        stage=key,
        trials=trials,
        chain=links(stages, network, metric_of(spec.search)),
        loss=_applied(network.loss.identity(), network) if isinstance(network, Stage) else None,
        recipe=network.recipe.identity() if isinstance(network, Stage) else None,
        pretrained=None if first is None else first.key(),
        measurement=stages.measured(key),
        environment=stored.get("environment"),
        files=str(store.folder("stages", key) / stored["attempt"]),
        command=command(directory, network, study.notes.teachers),
    )


def _one(store: Store, prefix: str) -> str:
    keys = [key for key in store.keys("stages") if key.startswith(prefix)]
    if len(keys) == 1:
        return keys[0]
    what = "no stored stage" if not keys else f"{len(keys)} stages, such as {keys[0][:12]} and {keys[1][:12]}"
    raise UsageError(f"KEY {prefix!r} matches {what}; the stage column of {store.root.parent.name}'s trials.csv lists the keys")


def links(stages: Stages, network: Stage | Checkpoint, metric: Metric) -> list[Link]:
    """The chain from the first teacher down to a stored network."""
    above = [one for one in (network.ancestors() if isinstance(network, Stage) else []) if not _pretrains(one)]
    return [_link(stages, one, metric) for one in (*above, network)]


def _pretrains(network: Stage | Checkpoint) -> bool:
    return isinstance(network, Stage) and network.pretrains


def _link(stages: Stages, network: Stage | Checkpoint, metric: Metric) -> Link:
    key, measured = network.key(), stages.measured(network.key())
    teachers = tuple(one.key() for one in network.teachers) if isinstance(network, Stage) else ()
    value = measured.scores[metric.name].value
    return Link(key, describe(network.architecture), measured.params, value, measured.seconds, teachers)


def command(directory: StudyDirectory, network: Stage | Checkpoint, teachers: Sequence[str]) -> str:
    """A search of one trial whose space contains only this stage: it has the same key, so the same weights."""
    settings: Json = {"search.trials": 1, "search.limits": {}, "search.enqueue": [], "search.incumbent": None}
    if isinstance(network, Stage):
        settings |= {f"student.{name}": _plain(getattr(network, name)) for name in ("architecture", "loss", "recipe")}
        settings["student.loss"] = _applied(settings["student.loss"], network)
        settings["student.init"] = begun(network)
        if (first := pretrained(network)) is not None:
            settings["student.pretrain"] = {name: _plain(getattr(first, name)) for name in ("loss", "recipe")}
        settings["assistants.guidance"] = "dense" if is_dense(network) else "serial"
        others = [one for one in network.ancestors() if one.key() not in teachers and not _pretrains(one)]
        above = [one for one in others if isinstance(one, Stage)]
        ladder = [_plain(one.architecture) for one in above]
        settings |= {"assistants.at_most": len(ladder), "assistants.at_least": len(ladder)}
        settings |= {"assistants.ladder": ladder} if ladder else {}
    words = ["autodistill", "search", str(directory.spec), "--out", own_directory(directory, network)]
    for key, value in settings.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join(words)


def _applied(loss: Json, stage: Stage) -> Json:
    """A loss without what does not apply to its kind of task: a regression has no temperature."""
    if stage.task.kind != "regression" or "kd" not in loss:
        return loss
    return loss | {"kd": {name: value for name, value in loss["kd"].items() if name not in ("temperature", "standardized")}}


def own_directory(directory: StudyDirectory, network: Stage | Checkpoint) -> str:
    """The directory of that search of one trial."""
    return f"{directory.path}-{network.key()[:8]}"


def _plain(value: Value) -> Json:
    return value.model_dump(mode="json", exclude_none=True)
