"""Do students make up for trees on tables? Accuracy, bytes and latency against scikit-learn's HistGradientBoostingClassifier.

    python benchmarks/tables_vs_trees.py --out SCRATCH [--trials 24] [--seeds 3]

Three tables that scikit-learn ships or makes, each split once into training, validation and test samples. The trees are the
reference model of the study (`baselines: [hist_gradient_boosting]`): scikit-learn's defaults on the same training samples. Of
the confirmed students, the smallest one whose validation accuracy is within one standard error of that of the trees is chosen,
else the best one; `confirm` measures all of them on the test samples. Bytes are those of the pickle, and of the student's
float32 weights. Latency is the median of one sample on one thread. Prints a Markdown table. The same command continues where an
earlier one stopped.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from sklearn.datasets import load_breast_cancer, make_classification, make_hastie_10_2

import autodistill
from autodistill.answers.confirm.confirmation import FrozenReference, Member
from autodistill.spec import parse
from autodistill.spec.measurement import Score

RECIPE = {"epochs": 30, "batch_size": 64, "learning_rate": 3e-3}


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
            "baselines": ["hist_gradient_boosting"],
            "resources": {"gpus": 0},
        }
    )


def chosen(members: tuple[Member, ...], trees: Score) -> Member:
    """The smallest within one standard error of the trees, else the best; decided without the test samples."""
    least = trees.value - math.sqrt(trees.value * (1 - trees.value) / trees.n)
    able = [one for one in members if one.on_validation.value >= least]
    return min(able, key=lambda one: one.params) if able else max(members, key=lambda one: one.on_validation.value)


def line(table: str, model: str, one: Member | FrozenReference, seconds: float) -> str:
    test = one.on_test
    scored = f"{one.on_validation.value:.1%} | {test.value:.1%} ({test.low:.1%} to {test.high:.1%})"
    return f"| {table} | {model} | {scored} | {one.bytes:,} | {one.latency.one.p50_ms:.3f} | {seconds:.1f} |"


def compared(name: str, table: tuple[np.ndarray, np.ndarray], out: Path, trials: int, seeds: int) -> list[str]:
    """Two lines: the trees and the student."""
    data, quiet = out / f"{name}.npz", Console(quiet=True)
    np.savez(data, x=table[0].astype(np.float32), y=table[1])
    study = autodistill.search(spec_of(name, data, trials), out=out / name, runner="serial", console=quiet)
    found = study.confirm(seeds=seeds, runner="serial", console=quiet)
    (trees,) = found.references
    student = chosen(found.members, trees.on_validation)
    size = f"{len(table[0]):,} rows, {table[0].shape[1]} columns"
    about = f"{student.architecture} ({student.params:,} params)"
    return [line(name, "trees", trees, trees.seconds), line(size, about, student, student.seconds_chain or 0.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print("| table | model | validation | test (95%) | bytes | ms for one | seconds to train |\n|---|---|---|---|---|---|---|")
    for name, table in tables().items():
        print("\n".join(compared(name, table, given.out, given.trials, given.seeds)), flush=True)


if __name__ == "__main__":
    main()
