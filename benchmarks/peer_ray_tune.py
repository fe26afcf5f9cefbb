"""A search by autodistill against the usual way: Ray Tune, OptunaSearch, and a function that trains its own assistant.

    python benchmarks/peer_ray_tune.py --case digits --seeds 5 --out peer_digits.json
    python benchmarks/peer_ray_tune.py --case fashion --seeds 5 --out peer_fashion.json
    python benchmarks/peer_ray_tune.py --case signals --seeds 5 --out peer_signals.json

The peer is written as public tutorials are: TPE with two objectives, a DataLoader, the teacher run in each step, one trial
a worker. Space, data, splits, epochs, trials and networks are those of the spec; both are given the same trained teacher, whose
time is not counted; no baselines are trained (search.label_baselines: false). Each runs as a process of its own, one after
the other; seconds are from its start to its end. Frontiers are chosen on validation and scored on the test split by this
script: the hypervolume in the region of interest (from 90% of the way between the majority class and the teacher's test
accuracy on, below the teacher's log10 params), and that above the majority class. `seconds to the peer's value` is when the
running frontier reaches the peer's final value in the region, and what the process takes after its last trial. `together` is
the region's hypervolume of the frontier of all networks that any of these searches found: about as much as there is to find.

`--everywhere` adds a search with search.region: all, `--longer`
one with four times the trials, in case the peer's value is not reached in as many as the peer has. `--peer FILE` takes the
peer's runs from an earlier result of this script, of the same machine, as far as it has them.
If --out exists, its runs are kept, and only the seeds that it does not have are run.
--retrain N trains the smallest students at 95 and 97% of the teacher again, with N fresh seeds and autodistill's own loop for
all, upwards from the smallest until one holds on the test split in the mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from paired import CPU, accuracy, train_all
from peers import ROOT, SHARES, Search, able, compare, earlier, in_turn, ours, summary, timed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from autodistill.data import Splits
from autodistill.distill import load_network
from autodistill.models import Network, build
from autodistill.models.sizes import sizes
from autodistill.spec import ResNet, Spec, load
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.schedule.plan import FRESH, with_seed
from autodistill.study.space import Space

PARTS = ("teacher", "student", "assistants")
CASES: dict[str, tuple[str, list[str]]] = {
    "digits": ("digits", ["task.split.validation=0.5", "task.split.test=0.2"]),
    "fashion": (
        "fashion_mnist",
        [
            *("study=peer_fashion", "task.samples=15000", "task.split.validation=0.8"),
            *(f"{part}.recipe={{epochs: 8, batch_size: 64, learning_rate: 3e-3}}" for part in PARTS),
        ],
    ),
    "signals": (
        "digits",
        [
            *("study=peer_signals", "task.dataset={import: signals:signals}", "search.trials=16"),
            *("task.split.validation=0.34", "task.split.test=0.33", *(f"{part}.recipe.epochs=8" for part in PARTS)),
        ],
    ),
}
"""A search space and what differs from it. The third case has been used for nothing but this comparison."""


def file_of(case: str) -> Path:
    return ROOT / "search_spaces" / f"{CASES[case][0]}.yaml"


def settings_of(case: str, seed: int) -> list[str]:
    return [*CASES[case][1], f"seed={seed}", f"search.seed={seed}", f"task.split.seed={seed}", "search.label_baselines=false"]


def spec_of(case: str, seed: int) -> Spec:
    return load(file_of(case), settings_of(case, seed))


# The peer


def networks(splits: Splits) -> Any:
    """(depth, width) -> a new network of the space, and its parameters."""
    mean, std = splits.scale()

    def make(depth: int, width: int) -> tuple[Network, int]:
        architecture = ResNet(depth=depth, width=width)
        network = build(architecture, inputs=splits.inputs, classes=splits.classes, mean=mean, std=std)
        return network, sizes(architecture, splits.inputs, splits.classes).params

    return make


def distill(
    student: nn.Module, teacher: nn.Module, data: DataLoader[Any], weight: float, temperature: float, recipe: dict[str, Any]
) -> None:
    rate, epochs = float(recipe["learning_rate"]), recipe["epochs"]
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * len(data) + 1
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps, cycle_momentum=False)
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


def trainable(config: dict[str, Any], case: str, seed: int, teacher: str, folder: str) -> None:
    from ray import tune

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    spec = spec_of(case, seed)
    spec, splits = load_data(spec, cuda=False)
    make, recipe = networks(splits), spec.student.recipe
    train = TensorDataset(torch.from_numpy(np.array(splits.train.x["x"])), torch.from_numpy(np.array(splits.train.y)))
    data: DataLoader[Any] = DataLoader(train, batch_size=recipe["batch_size"], shuffle=True, drop_last=True)
    student, params = make(config["depth"], config["width"])
    larger = spec.teacher.architecture
    above, _ = make(larger.depth, larger.width)
    above.load_state_dict(torch.load(teacher, weights_only=True))
    found = {}
    if config["count"]:
        chosen = spec.assistants.ladder[config["index"]]
        assistant, size = make(chosen.depth, chosen.width)
        if size > params:
            distill(assistant, above, data, 0.9, 4.0, recipe)
            above = assistant
            found = {"assistant": accuracy(assistant, splits.validation), "assistant_params": size}
            torch.save(assistant.state_dict(), f"{folder}/{tune.get_context().get_trial_id()}-assistant.pt")
    distill(student, above, data, config["weight"], config["temperature"], recipe)
    torch.save(student.state_dict(), f"{folder}/{tune.get_context().get_trial_id()}.pt")
    tune.report({"accuracy": accuracy(student, splits.validation), "params": params, **found})


def run_peer(case: str, seed: int, teacher: str, folder: str) -> None:
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    spec = spec_of(case, seed)
    depths, widths = (spec.student.architecture[name] for name in ("depth", "width"))
    space = {
        "depth": tune.randint(depths.low, depths.high + 1),
        "width": tune.randint(widths.low, widths.high + 1),
        "weight": tune.uniform(0, 1),
        "temperature": tune.loguniform(1, 16),
        "count": tune.randint(0, 2),
        "index": tune.randint(0, len(spec.assistants.ladder)),
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
        points[-1] |= {"network": [config["depth"], config["width"]], "params_of": as_params(config)}
        if "assistant" in metrics:
            chosen = spec.assistants.ladder[config["index"]]
            also = {"accuracy": metrics["assistant"], "params": metrics["assistant_params"], "file": f"{name}-assistant.pt"}
            points.append(also | {"assistant": True, "network": [chosen.depth, chosen.width], "params_of": None})
    Path(folder, "points.json").write_text(json.dumps(points))
    ray.shutdown()


def as_params(config: dict[str, Any]) -> dict[str, Any]:
    """The same student in the space of the spec."""
    return {
        "architecture.depth": config["depth"],
        "architecture.width": config["width"],
        "loss.kd.weight": config["weight"],
        "loss.kd.temperature": config["temperature"],
        "assistants.count": config["count"],
        "assistants.1": config["index"],
    }


# Both, in turn


def peer_points(case: str, seed: int, teacher: str, splits: Splits, folder: Path) -> tuple[float, list[dict[str, Any]]]:
    folder.mkdir()
    own = [sys.executable, __file__, "--case", case, "--only-peer", str(seed), teacher, str(folder)]
    seconds, _ = timed(own)
    points = json.loads((folder / "points.json").read_text())
    test, make = splits.test.unseal(), networks(splits)
    for point in points:
        network, _ = make(*point["network"])
        network.load_state_dict(torch.load(folder / point["file"], weights_only=True))
        point["test"] = accuracy(network, test)
    return seconds, points


def retrained(
    points: list[dict[str, Any]], teacher: dict[str, Any], space: Space, splits: Splits, store: Store, seeds: int
) -> Any:
    """As `smallest_at`, of those that hold on the test split in the mean of fresh seeds; the smallest are tried first."""
    test, found = splits.test.unseal(), dict[str, Any]()
    fixed = {one.key() for one in space.teachers}
    for share in SHARES:
        found[f"{share:g}"] = None
        for one in able(points, teacher, share):
            if one["params_of"] is None:
                continue  # an assistant, which taught a student
            stage = space.decode(one["params_of"])
            stages = [with_seed(stage, FRESH + seed, fixed) for seed in range(seeds)]
            train_all(store, stages, 2)
            each = [accuracy(load_network(store, fresh, CPU), test) for fresh in stages]
            if statistics.mean(each) >= share * teacher["test"]:
                found[f"{share:g}"] = one["params"]
                break
    return found


def one_seed(case: str, seed: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    spec, splits = load_data(spec_of(case, seed), cuda=False)
    store = Store(folder / f"store-{seed}")
    space = space_of(spec, splits, store)
    (stage,) = space.teachers
    train_all(store, [stage], 2)
    network = load_network(store, stage, CPU)
    weights = str(folder / f"teacher-{seed}.pt")
    torch.save(network.state_dict(), weights)
    test = splits.test.unseal()
    teacher = {
        "test": accuracy(network, test),
        "accuracy": accuracy(network, splits.validation),
        "params": space.sizes(stage.architecture).params,
    }
    found: dict[str, Any] = {"seed": seed, "teacher": teacher}
    arms: dict[str, list[str]] = {"ours": []}
    arms |= {"everywhere": ["search.region=all"]} if given.everywhere else {}
    arms |= {"longer": [f"search.trials={4 * spec.search.most()}"]} if given.longer else {}
    for name, more in arms.items():
        alone = Store(folder / f"store-{name}-{seed}")
        shutil.copytree(store.root, alone.root)
        search = Search(file_of(case), [*settings_of(case, seed), *more])
        found[name] = ours(search, alone, splits, folder / f"{name}-{seed}")
    known = next((run for run in given.peer if run["seed"] == seed), None)
    if known is not None:
        assert known["teacher"] == teacher, "the peer had another teacher"
        found["peer"] = known["peer"]
    else:
        seconds, points = peer_points(case, seed, weights, splits, folder / f"peer-{seed}")
        found["peer"] = {"seconds": seconds, "points": points}
    compare(found, list(arms), teacher, splits.floors["accuracy"])
    for name in (*arms, "peer"):
        run = found[name]
        if given.retrain and name != "longer" and "retrained" not in run:
            run["retrained"] = retrained(run["points"], teacher, space, splits, store, given.retrain)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--longer", action="store_true")
    parser.add_argument("--peer", type=earlier, default=[], metavar="FILE")
    parser.add_argument("--retrain", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("peer.json"))
    parser.add_argument("--only-peer", nargs=3, metavar=("SEED", "TEACHER", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "benchmarks"))  # the signals
    if given.only_peer:
        return run_peer(given.case, int(given.only_peer[0]), *given.only_peer[1:])
    arms = {"everywhere": given.everywhere, "longer": given.longer}
    runs = in_turn(given.out, given.case, given.seeds, arms, lambda seed, folder: one_seed(given.case, seed, folder, given))
    print(json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    main()
