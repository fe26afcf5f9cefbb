"""What comparisons with other ways of searching share: processes with their seconds, frontiers, hypervolumes, summaries.

A run is what one way found: `seconds` from its process's start to its end, and its `points`, networks with their accuracy on
validation and test, their params and, of ours, the seconds `at` which each was known.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from paired import CPU, accuracy, difference

from autodistill.data import Splits
from autodistill.distill import load_network
from autodistill.store import Store
from autodistill.study import pareto
from autodistill.study.record.rows import network_of

ROOT, SHARE, SHARES = Path(__file__).parent.parent, 0.9, (0.95, 0.97)
KINDS, REACHED = ("region", "above_chance"), ("to_peer", "to_peer_above_chance")
"""Hypervolumes, and the seconds until ours has reached the peer's."""


class Search(NamedTuple):
    """A search by autodistill: the file of its spec, and what differs from it."""

    file: Path
    settings: list[str]


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds from a process's start to its end, and what it printed."""
    started = time.perf_counter()
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT)  # -m looks in there first
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started, done.stdout


def ours(search: Search, store: Store, splits: Splits, folder: Path) -> dict[str, Any]:
    """The run of a search; an assistant was known when its trial was."""
    words = [word for one in search.settings for word in ("--set", one)]
    places = ["--store", str(store.root), "--out", str(folder)]
    began = datetime.now()
    seconds, text = timed([sys.executable, "-m", "autodistill", "search", str(search.file), *words, *places, "--json"])
    said, test, points = json.loads(text), splits.test.unseal(), list[dict[str, Any]]()
    table, (at, params_of) = pd.read_csv(folder / "trials.csv"), ends(folder, began)
    for row in table[(table.state == "complete") & (table.role != "teacher")].to_dict("records"):
        network = load_network(store, network_of(store, row["stage"]), CPU)
        found = {name: row[name] for name in ("accuracy", "params")} | {"assistant": row["role"] == "assistant"}
        known = {"stage": row["stage"], "params_of": params_of.get(row["stage"]), "at": at[row["stage"]]}
        points.append(found | known | {"test": accuracy(network, test)})
    return {"seconds": seconds, "points": points} | {name: said[name] for name in ("trials", "spent")}


def ends(folder: Path, began: datetime) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """By key: seconds after `began` at which each stage was known to be there, and the parameters of each student."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/study.db")
    found, params = dict[str, float](), dict[str, dict[str, Any]]()
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/study.db").trials
    for trial in sorted(trials, key=lambda one: one.datetime_complete or began):
        facts = trial.user_attrs["facts"]
        if trial.values:
            params[facts["stage"]] = trial.params
        for key in [*facts["above"], *([facts["stage"]] if trial.values else [])]:  # a stopped student had its assistants
            found.setdefault(key, ((trial.datetime_complete or began) - began).total_seconds())
    return found, params


def members_of(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The frontier on validation, the smallest first."""
    costs = np.array([[-point["accuracy"], point["params"]] for point in points]).reshape(-1, 2)
    return [points[index] for index in pareto.frontier(costs)]


def score(points: list[dict[str, Any]], teacher: dict[str, Any], chance: float) -> dict[str, float]:
    """Of the frontier on validation, its hypervolume on test: in the region of interest, and above chance."""
    found = np.array([[-point["test"], math.log10(point["params"])] for point in members_of(points)]).reshape(-1, 2)
    edge, floor = math.log10(teacher["params"]), chance + SHARE * (teacher["test"] - chance)
    return {
        "region": pareto.hypervolume(found, [-floor, edge]),
        "above_chance": pareto.hypervolume(found, [-chance, edge]),
    }


def reached_at(run: dict[str, Any], kind: str, value: float, teacher: dict[str, Any], chance: float) -> float | None:
    """Seconds until the running frontier has this hypervolume, and those after the last trial.

    None if it never has, or if the value is 0, which any frontier has.
    """
    if not value:
        return None
    points = sorted(run["points"], key=lambda point: point["at"])
    for end in range(1, len(points) + 1):
        if score(points[:end], teacher, chance)[kind] >= value:
            return float(points[end - 1]["at"] + run["seconds"] - points[-1]["at"])
    return None


def smallest_at(points: list[dict[str, Any]], teacher: dict[str, Any]) -> dict[str, Any]:
    """Params of the smallest at each share of the teacher's validation accuracy; None where there is none."""
    return {f"{share:g}": next((one["params"] for one in able(points, teacher, share)), None) for share in SHARES}


def able(points: list[dict[str, Any]], teacher: dict[str, Any], share: float) -> list[dict[str, Any]]:
    """Members of the frontier with a share of the teacher's validation accuracy, the smallest first."""
    return [one for one in members_of(points) if one["accuracy"] >= share * teacher["accuracy"]]


def compare(found: dict[str, Any], arms: list[str], teacher: dict[str, Any], chance: float) -> None:
    """Adds the hypervolumes to our runs, the `arms`, and the peer's, and the seconds in which ours reach the peer's values."""
    runs = [found[name] for name in (*arms, "peer")]
    for run in runs:
        run["hypervolume"] = score(run["points"], teacher, chance)
        run["smallest"] = smallest_at(run["points"], teacher)
    found["together"] = score([point for run in runs for point in run["points"]], teacher, chance)
    for run in runs[:-1]:
        for kind, name in zip(KINDS, REACHED, strict=True):
            run[name] = reached_at(run, kind, found["peer"]["hypervolume"][kind], teacher, chance)


def earlier(path: str) -> list[dict[str, Any]]:
    """The runs of an earlier result."""
    return json.loads(Path(path).read_text())["runs"]  # type: ignore[no-any-return]


def in_turn(out: Path, case: str, seeds: int, arms: dict[str, bool], one_seed: Callable[[int, Path], dict[str, Any]]) -> Any:
    """The runs of all seeds, one after the other; `out` keeps them, and those that it has are not run again.

    `arms` says which arms a run may have beside the usual ones, and has. Ends the process if `out` has other runs.
    """
    machine, runs = {"cores": os.cpu_count(), "processor": platform.machine(), "torch": torch.__version__}, []
    if out.exists():
        runs, of = earlier(str(out)), json.loads(out.read_text())["case"]
        if of != case or any((name in run) != wanted for run in runs for name, wanted in arms.items()):
            sys.exit(f"{out} has runs of {of} or with other options; give another --out")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(len(runs), seeds):
            runs.append(one_seed(seed, Path(folder)))
            found = {"case": case, "summary": summary(runs), "machine": machine, "runs": runs}
            out.write_text(json.dumps(found, indent=1))
    return runs


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(runs), "together": spread([run["together"]["region"] for run in runs])}
    names = [name for name in ("ours", "longer", "everywhere", "peer") if name in runs[0]]
    for name in names:
        here = [run[name] for run in runs]
        found[name] = {"seconds": spread([one["seconds"] for one in here])}
        for kind in KINDS:
            found[name][kind] = spread([one["hypervolume"][kind] for one in here])
        for what in ("smallest", "retrained"):
            if all(what in one for one in here):
                found[name][what] = {f"{share:g}": median([one[what][f"{share:g}"] for one in here]) for share in SHARES}
        if name != "peer":
            times = [run[name]["to_peer"] and run["peer"]["seconds"] / run[name]["to_peer"] for run in runs]
            found[name]["peer's seconds over those to its value"] = median(times, worst=0.0)
            found[name]["peer's value reached"] = sum(one is not None for one in times)
    for name in names[:-1] if len(runs) > 1 else ():
        for kind in KINDS:
            of, against = ([100 * run[one]["hypervolume"][kind] for run in runs] for one in (name, "peer"))
            found[f"{name} - peer, {kind}"] = f"{difference(of, against)} hundredths"
            if any(against):
                share = statistics.mean(of) / statistics.mean(against) - 1
                found[f"{name} - peer, {kind}"] += f", {share:+.1%} of the peer's"
    return found


def median(values: list[float | None], worst: float = math.inf) -> float | None:
    """None, which stands for `worst`, where half have nothing."""
    found = statistics.median_low([worst if value is None else value for value in values])
    return None if found == worst else found


def spread(values: list[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "deviation": deviation, "min": min(values), "max": max(values)}
