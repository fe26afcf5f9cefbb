"""One stage of a study: its chain, its numbers, and the command that trains it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from ..spec import Checkpoint, Stage, UsageError, Value, describe
from ..spec.stage import is_dense
from ..store import Store
from ..study.record.folder import Folder
from ..study.record.opened import open_study
from ..study.record.rows import Stages


def explain(folder: Folder, prefix: str) -> dict[str, Any]:
    """Facts of the stage whose key begins with `prefix`. Raises UsageError if it matches none or several."""
    with open_study(folder) as study:
        store, stages = study.store, study.stages
        trials = [trial.number for trial in study.trials if trial.facts.stage.startswith(prefix)]
    key = _one(store, prefix)
    store.verify("stages", key)
    stored = store.manifest("stages", key)
    network = stages.network(key)
    above = network.ancestors() if isinstance(network, Stage) else []
    return {
        "stage": key,
        "trials": trials,
        "chain": [_link(stages, one) for one in [*above, network]],
        "loss": network.loss.identity() if isinstance(network, Stage) else None,
        "recipe": network.recipe.identity() if isinstance(network, Stage) else None,
        "measurement": stored["measurement"],
        "environment": stored.get("environment"),
        "files": str(store.folder("stages", key) / stored["attempt"]),
        "command": command(folder, network, study.notes.teachers),
    }


def _one(store: Store, prefix: str) -> str:
    keys = [key for key in store.keys("stages") if key.startswith(prefix)]
    if len(keys) == 1:
        return keys[0]
    what = "no stored stage" if not keys else f"{len(keys)} stages, such as {keys[0][:12]} and {keys[1][:12]}"
    raise UsageError(f"KEY {prefix!r} matches {what}; the column stage of {store.root.parent.name}'s trials.csv lists the keys")


def _link(stages: Stages, network: Stage | Checkpoint) -> dict[str, Any]:
    measured = stages.measured(network.key())
    return {
        "stage": network.key(),
        "architecture": describe(network.architecture),
        **{name: getattr(measured, name) for name in ("params", "accuracy", "seconds")},
    }


def command(folder: Folder, network: Stage | Checkpoint, teachers: Sequence[str]) -> str:
    """A search of one trial whose space contains only this stage: it has the same key, so the same weights."""
    settings: dict[str, Any] = {"search.trials": 1, "search.limits": {}, "search.enqueue": [], "search.incumbent": None}
    if isinstance(network, Stage):
        settings |= {f"student.{name}": _plain(getattr(network, name)) for name in ("architecture", "loss", "recipe")}
        settings["student.init"] = "random" if network.init is None else "from_teacher"
        settings["assistants.guidance"] = "dense" if is_dense(network) else "serial"
        above = [one for one in network.ancestors() if one.key() not in teachers and isinstance(one, Stage)]
        ladder = [_plain(one.architecture) for one in above]
        settings |= {"assistants.at_most": len(ladder), "assistants.at_least": len(ladder)}
        settings |= {"assistants.ladder": ladder} if ladder else {}
    words = ["autodistill", "search", str(folder.spec), "--out", own_folder(folder, network)]
    for key, value in settings.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join(words)


def own_folder(folder: Folder, network: Stage | Checkpoint) -> str:
    """The directory of that search of one trial."""
    return f"{folder.path}-{network.key()[:8]}"


def _plain(value: Value) -> dict[str, Any]:
    return value.model_dump(mode="json", exclude_none=True)
