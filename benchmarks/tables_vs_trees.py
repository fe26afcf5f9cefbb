"""Are students a match for trees on tables? Accuracy, bytes and latency against scikit-learn's HistGradientBoostingClassifier.

    python benchmarks/tables_vs_trees.py --out SCRATCH [--trials 24] [--seeds 3]

Three tables that scikit-learn ships or makes, each split once into training, validation and test samples. The trees, with
scikit-learn's defaults, learn from the same training samples. Of the confirmed students, the smallest one whose validation
accuracy is within one standard error of that of the trees is chosen, else the best one. Only then, both are measured on the
test samples. Bytes are those of the pickle, and of the student's float32 weights. Latency is the median of one sample on one
thread. Prints a Markdown table. The same command continues where an earlier one stopped.
"""

from __future__ import annotations

import argparse
import math
import pickle
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from sklearn.datasets import load_breast_cancer, make_classification, make_hastie_10_2
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

import autodistill
from autodistill.answers.confirm.confirmation import Member
from autodistill.metrics.intervals import wilson
from autodistill.spec import parse
from autodistill.study.preflight.prepare import load_data

RECIPE = {"epochs": 30, "batch_size": 64, "learning_rate": 3e-3}
ONE_ROW = 300


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    cancer, hastie = load_breast_cancer(return_X_y=True), make_hastie_10_2(4000, random_state=0)
    made = make_classification(6000, 40, n_informative=12, n_redundant=8, n_classes=7, class_sep=1.5, random_state=0)
    return {"breast_cancer": cancer, "hastie_10_2": (hastie[0], (hastie[1] > 0).astype(np.int64)), "made_7_classes": made}


def spec_of(name: str, data: Path, trials: int) -> Any:
    return parse(
        {
            "study": name,
            "task": {"dataset": str(data), "split": {"validation": 0.2, "test": 0.2}},
            "teacher": {"architecture": {"family": "mlp", "depth": 2, "width": 256}, "recipe": RECIPE},
            "student": {
                "architecture": {"family": "mlp", "depth": {"int": [1, 2]}, "width": {"int": [1, 64]}},
                "loss": {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 1]}, "temperature": {"log": [1, 16]}}},
                "recipe": RECIPE,
            },
            "search": {"trials": trials},
            "resources": {"gpus": 0},
        }
    )


def chosen(members: tuple[Member, ...], least: float) -> Member:
    """The smallest with that validation accuracy, else the best; decided without the test samples."""
    able = [one for one in members if one.on_validation.value >= least]
    return min(able, key=lambda one: one.params) if able else max(members, key=lambda one: one.on_validation.value)


def milliseconds(trees: HistGradientBoostingClassifier, row: np.ndarray) -> float:
    seconds = []
    with threadpool_limits(1):
        for _ in range(ONE_ROW):
            started = time.perf_counter()
            trees.predict(row)
            seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def compared(name: str, table: tuple[np.ndarray, np.ndarray], out: Path, trials: int, seeds: int) -> list[str]:
    """Two lines: the trees and the student."""
    data, quiet = out / f"{name}.npz", Console(quiet=True)
    np.savez(data, x=table[0].astype(np.float32), y=table[1])
    spec = spec_of(name, data, trials)
    autodistill.search(spec, out=out / name, runner="serial", console=quiet)
    _, splits = load_data(spec, cuda=False)
    started = time.perf_counter()
    trees = HistGradientBoostingClassifier(random_state=0).fit(splits.train.x["x"], splits.train.y)
    fitted = time.perf_counter() - started
    seen, n = trees.score(splits.validation.x["x"], splits.validation.y), len(splits.validation)
    found = autodistill.open(out / name).confirm(seeds=seeds, runner="serial", console=quiet)
    student = chosen(found.members, seen - math.sqrt(seen * (1 - seen) / n))
    test = splits.test.unseal()
    right = int((trees.predict(test.x["x"]) == test.y).sum())
    low, high = wilson(right, len(test))
    size, latency = len(pickle.dumps(trees)), milliseconds(trees, np.asarray(test.x["x"][:1]))
    own = student.on_test
    below = f"{len(splits.train):,} rows, {table[0].shape[1]} columns"
    scored = f"{student.on_validation.value:.1%} | {own.value:.1%} ({own.low:.1%} to {own.high:.1%})"
    cost = f"{student.bytes:,} | {student.latency.one.p50_ms:.3f} | {student.seconds_chain or 0.0:.1f}"
    theirs = f"{seen:.1%} | {right / len(test):.1%} ({low:.1%} to {high:.1%})"
    return [
        f"| {name} | trees | {theirs} | {size:,} | {latency:.3f} | {fitted:.1f} |",
        f"| {below} | {student.architecture} ({student.params:,} params) | {scored} | {cost} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print("| table | model | validation | test (95 %) | bytes | ms for one | seconds to train |\n|---|---|---|---|---|---|---|")
    for name, table in tables().items():
        print("\n".join(compared(name, table, given.out, given.trials, given.seeds)), flush=True)


if __name__ == "__main__":
    main()
