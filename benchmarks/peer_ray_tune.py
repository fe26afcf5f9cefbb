"""A search by autodistill against the usual way: Ray Tune, OptunaSearch, and a function that trains its own assistant.

    python benchmarks/peer_ray_tune.py --case digits --seeds 5 --out peer.json
    python benchmarks/peer_ray_tune.py --case fashion --seeds 1 --out peer_fashion.json

The peer is written as public tutorials are: TPE with two objectives, a DataLoader, the teacher run in each step, one trial
a worker. Space, data, splits, epochs, trials and networks are those of the spec; both are given the same trained teacher, whose
time is not counted; no twins are trained (search.guard: false). Each runs as a process of its own, one after the other;
seconds are from its start to its end. Frontiers are chosen on validation and scored on the test split by this script: the
hypervolume of accuracy above the commonest class's share (and above the teacher's accuracy less 10 points) x log10 of the
parameters below the teacher's. `ours long` is the same search with as many trials as fit into the peer's time, by the first
run's seconds a trial; it is run for the first --long seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from paired import difference, train_all
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from autodistill import pareto
from autodistill.data import Splits
from autodistill.distill import load_network
from autodistill.measure import evaluate, sizes
from autodistill.models import Network, build
from autodistill.prepare import load_data, space_of
from autodistill.spec import ResNet, Spec, load
from autodistill.store import Store
from autodistill.study.tables import network_of

ROOT, CPU = Path(__file__).parent.parent, torch.device("cpu")
SPEC = ROOT / "search_spaces/digits.yaml"
CASES: dict[str, list[str]] = {
    "digits": [],
    "fashion": [
        *("study=peer_fashion", "task.dataset=fashion_mnist", "task.samples=6000", "search.trials=12"),
        *(f"{part}.recipe.epochs=8" for part in ("teacher", "student", "assistants")),
    ],
}


def spec_of(case: str, seed: int) -> Spec:
    return load(SPEC, [*CASES[case], f"seed={seed}", f"search.seed={seed}", "search.guard=false"])


# The peer


def networks(splits: Splits) -> Any:
    """(depth, width) -> a new network of the space, and its parameters."""
    mean, std = splits.scale()

    def make(depth: int, width: int) -> tuple[Network, int]:
        architecture = ResNet(depth=depth, width=width)
        network = build(architecture, shape=splits.shape, classes=splits.classes, mean=mean, std=std)
        return network, sizes(architecture, splits.shape, splits.classes).params

    return make


def distil(
    student: nn.Module, teacher: nn.Module, data: DataLoader[Any], weight: float, temperature: float, epochs: int
) -> None:
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3, weight_decay=0.01)
    steps = epochs * len(data) + 1
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, cycle_momentum=False)
    student.train()
    teacher.eval()
    for _ in range(epochs):
        for x_B, y_B in data:
            with torch.no_grad():
                taught_BK = F.softmax(teacher({"x": x_B}).logits / temperature, dim=1)
            logits_BK = student({"x": x_B}).logits
            soft = F.kl_div(F.log_softmax(logits_BK / temperature, dim=1), taught_BK, reduction="batchmean")
            loss = (1 - weight) * F.cross_entropy(logits_BK, y_B) + weight * temperature**2 * soft
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()


def accuracy(network: nn.Module, x: Any, y: Any) -> float:
    logits_NK = evaluate(network, x, batch_size=256, device=CPU)
    return float((logits_NK.argmax(1).numpy() == np.asarray(y)).mean())


def trainable(config: dict[str, Any], case: str, seed: int, teacher: str, folder: str) -> None:
    from ray import tune

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    spec = spec_of(case, seed)
    spec, splits = load_data(spec, cuda=False)
    make, epochs = networks(splits), spec.student.recipe["epochs"]
    train = TensorDataset(torch.from_numpy(np.array(splits.train.x)), torch.from_numpy(np.array(splits.train.y)))
    data: DataLoader[Any] = DataLoader(train, batch_size=64, shuffle=True, drop_last=True)
    student, params = make(config["depth"], config["width"])
    above, _ = make(2, 32)
    above.load_state_dict(torch.load(teacher, weights_only=True))
    found = {}
    if config["count"]:
        rung = spec.assistants.ladder[config["rung"]]
        assistant, larger = make(rung.depth, rung.width)
        if larger > params:
            distil(assistant, above, data, 0.9, 4.0, epochs)
            above = assistant
            found = {"assistant": accuracy(assistant, splits.validation.x, splits.validation.y), "assistant_params": larger}
            torch.save(assistant.state_dict(), f"{folder}/{tune.get_context().get_trial_id()}-assistant.pt")
    distil(student, above, data, config["weight"], config["temperature"], epochs)
    torch.save(student.state_dict(), f"{folder}/{tune.get_context().get_trial_id()}.pt")
    tune.report({"accuracy": accuracy(student, splits.validation.x, splits.validation.y), "params": params, **found})


def run_peer(case: str, seed: int, teacher: str, folder: str) -> None:
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    spec = spec_of(case, seed)
    space = {
        "depth": tune.randint(1, 4),
        "width": tune.randint(1, 17),
        "weight": tune.uniform(0, 1),
        "temperature": tune.loguniform(1, 16),
        "count": tune.randint(0, 2),
        "rung": tune.randint(0, 3),
    }
    search = OptunaSearch(metric=["accuracy", "params"], mode=["max", "min"], seed=seed)
    function = tune.with_parameters(trainable, case=case, seed=seed, teacher=teacher, folder=folder)
    tuner = tune.Tuner(
        tune.with_resources(function, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(search_alg=search, num_samples=spec.search.trials, max_concurrent_trials=os.cpu_count()),
        run_config=tune.RunConfig(storage_path=f"{folder}/ray", verbose=0),
    )
    points = []
    for result in tuner.fit():
        name, config, metrics = result.metrics["trial_id"], result.config, result.metrics
        points.append({**{key: metrics[key] for key in ("accuracy", "params")}, "file": f"{name}.pt", "assistant": False})
        points[-1]["network"] = [config["depth"], config["width"]]
        if "assistant" in metrics:
            rung = spec.assistants.ladder[config["rung"]]
            also = {"accuracy": metrics["assistant"], "params": metrics["assistant_params"], "file": f"{name}-assistant.pt"}
            points.append(also | {"assistant": True, "network": [rung.depth, rung.width]})
    Path(folder, "points.json").write_text(json.dumps(points))
    ray.shutdown()


# Both, in turn


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds from a process's start to its end, and what it printed."""
    started = time.perf_counter()
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started, done.stdout


def peer_points(case: str, seed: int, teacher: str, splits: Splits, folder: Path) -> tuple[float, list[dict[str, Any]]]:
    folder.mkdir()
    own = [sys.executable, __file__, "--case", case, "--only-peer", str(seed), teacher, str(folder)]
    seconds, _ = timed(own)
    points = json.loads((folder / "points.json").read_text())
    test, make = splits.test.unseal(), networks(splits)
    for point in points:
        network, _ = make(*point["network"])
        network.load_state_dict(torch.load(folder / point["file"], weights_only=True))
        point["test"] = accuracy(network, test.x, test.y)
    return seconds, points


def our_points(
    case: str, seed: int, store: Store, splits: Splits, folder: Path, trials: int
) -> tuple[float, list[dict[str, Any]], dict[str, Any]]:
    settings = [*CASES[case], f"seed={seed}", f"search.seed={seed}", "search.guard=false", f"search.trials={trials}"]
    words = [word for one in settings for word in ("--set", one)]
    own = [sys.executable, "-m", "autodistill", "search", str(SPEC), *words, "--store", str(store.root), "--out", str(folder)]
    seconds, text = timed([*own, "--json"])
    said, test, points = json.loads(text), splits.test.unseal(), list[dict[str, Any]]()
    table = pd.read_csv(folder / "trials.csv")
    for row in table[(table.state == "complete") & (table.role != "teacher")].to_dict("records"):
        network = load_network(store, network_of(store, row["stage"]), CPU)
        found = {name: row[name] for name in ("accuracy", "params")} | {"assistant": row["role"] == "assistant"}
        points.append(found | {"test": accuracy(network, test.x, test.y)})
    return seconds, points, {name: said[name] for name in ("trials", "spent")}


def score(points: list[dict[str, Any]], teacher: dict[str, Any], chance: float, assistants: bool) -> dict[str, float]:
    """Of the frontier on validation, its hypervolume on test: above chance, and above the teacher less 10 points."""
    able = [point for point in points if assistants or not point["assistant"]]
    costs = np.array([[-point["accuracy"], point["params"]] for point in able]).reshape(-1, 2)
    members = [able[index] for index in pareto.frontier(costs)]
    found = np.array([[-point["test"], math.log10(point["params"])] for point in members]).reshape(-1, 2)
    edge = math.log10(teacher["params"])
    return {
        "above_chance": pareto.hypervolume(found, [-chance, edge]),
        "above_teacher_less_10": pareto.hypervolume(found, [-(teacher["test"] - 0.1), edge]),
    }


def one_seed(case: str, seed: int, folder: Path, long: bool) -> dict[str, Any]:
    spec, splits = load_data(spec_of(case, seed), cuda=False)
    store = Store(folder / f"store-{seed}")
    space = space_of(spec, splits, store)
    (stage,) = space.teachers
    train_all(store, [stage], 2)
    network = load_network(store, stage, CPU)
    weights = str(folder / f"teacher-{seed}.pt")
    torch.save(network.state_dict(), weights)
    test = splits.test.unseal()
    teacher = {"test": accuracy(network, test.x, test.y), "params": space.sizes(stage.architecture).params}
    trials = spec.search.trials
    found: dict[str, Any] = {"seed": seed, "teacher": teacher}
    seconds, points, facts = our_points(case, seed, store, splits, folder / f"ours-{seed}", trials)
    found["ours"] = _scored(seconds, points, teacher, splits) | facts
    seconds, points = peer_points(case, seed, weights, splits, folder / f"peer-{seed}")
    found["peer"] = _scored(seconds, points, teacher, splits)
    if long:
        each = found["ours"]["seconds"] / trials
        more = round(found["peer"]["seconds"] / each)
        alone = Store(folder / f"store-long-{seed}")
        space_of(spec, splits, alone)
        train_all(alone, [stage], 2)
        seconds, points, facts = our_points(case, seed, alone, splits, folder / f"long-{seed}", more)
        found["ours long"] = _scored(seconds, points, teacher, splits) | facts
    return found


def _scored(seconds: float, points: list[dict[str, Any]], teacher: dict[str, Any], splits: Splits) -> dict[str, Any]:
    both = {name: score(points, teacher, splits.chance, wanted) for name, wanted in (("with", True), ("without", False))}
    return {"seconds": seconds, "hypervolume": both, "points": points}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(runs)}
    for name in ("ours", "peer", "ours long"):
        here = [run[name] for run in runs if name in run]
        if here:
            found[name] = {"seconds": spread([one["seconds"] for one in here])}
            for assistants in ("with", "without"):
                for kind in ("above_chance", "above_teacher_less_10"):
                    values = [one["hypervolume"][assistants][kind] for one in here]
                    found[name][f"{kind}, {assistants} assistants"] = spread(values)
    found["times faster"] = spread([run["peer"]["seconds"] / run["ours"]["seconds"] for run in runs])
    for name in ("ours", "ours long"):
        for assistants in ("with", "without"):
            for kind in ("above_chance", "above_teacher_less_10"):
                here = [run for run in runs if name in run]
                of = [100 * run[name]["hypervolume"][assistants][kind] for run in here]
                against = [100 * run["peer"]["hypervolume"][assistants][kind] for run in here]
                if len(here) > 1:
                    share = statistics.mean(of) / statistics.mean(against) - 1
                    text = f"{difference(of, against)} hundredths, {share:+.1%} of the peer's"
                    found[f"{name} - peer, {kind}, {assistants} assistants"] = text
    return found


def spread(values: list[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "deviation": deviation, "min": min(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--long", type=int, default=2, metavar="N", help="of how many seeds to run `ours long` too")
    parser.add_argument("--out", type=Path, default=Path("peer.json"))
    parser.add_argument("--only-peer", nargs=3, metavar=("SEED", "TEACHER", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only_peer:
        return run_peer(given.case, int(given.only_peer[0]), *given.only_peer[1:])
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "torch": torch.__version__}
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            runs.append(one_seed(given.case, seed, Path(folder), seed < given.long))
            given.out.write_text(json.dumps({"summary": summary(runs), "machine": machine, "runs": runs}, indent=1))
    print(json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    main()
