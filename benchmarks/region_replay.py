"""The sampler of an older checkout against today's on a table of trained students, both scored in the region of interest.

    python benchmarks/region_replay.py benchmarks/digits_students.csv --chance 0.1 --old CHECKOUT --seeds 50

Prints medians (quartiles) over seeds: how many students were trained until 99 % of the best hypervolume in the region
that any students of the table have, and the share of it after 12 and after 24.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from replay import Asked, Table, compare
from replay.compare import Score

from autodistill.study.schedule.scheduler import Study

ROOT = Path(__file__).parent.parent
STRATEGIES = ("ehvi", "ehvi+halving")
LOOKS = (12, 24)


def searched(table: Table, strategy: str, seeds: int, asked: Asked) -> list[Study]:
    """A replayed search for each seed."""
    studies: list[Study] = []

    class Kept(Study):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            studies.append(self)

    compare.Study = Kept  # type: ignore[attr-defined, misc]
    for seed in range(seeds):
        compare.run(table.draw(seed), strategy, seed, asked)
    return studies


def replayed(table: Path, strategy: str, seeds: int, chance: float) -> list[list[tuple[int, float | None]]]:
    """For each seed, params and accuracy (None: stopped) of the students in the order in which they were asked for."""
    studies = searched(Table.read(table), strategy, seeds, Asked(strategies=[strategy], seeds=seeds, chance=chance))
    trials = [[one for one in study.record.trials if "repeats" not in one.facts] for study in studies]
    return [[(one.facts["params"], one.values[0] if one.values else None) for one in each] for each in trials]


def scored(table: Path, runs: list[list[tuple[int, float | None]]], chance: float) -> list[list[float]]:
    """For each seed, the share of the best hypervolume in the region after each student."""
    found, asked, lines = Table.read(table), Asked(strategies=(), chance=chance), []
    for seed, run in enumerate(runs):
        drawn = found.draw(seed)
        score = Score(drawn, asked)
        complete = [[(size, value) for size, value in run[:end] if value is not None] for end in range(1, len(run) + 1)]
        lines.append([score(students)[0] for students in complete])
    return lines


def quartiles(values: list[float]) -> str:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), method="inverted_cdf")
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--old", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--chance", type=float, default=0.0)
    parser.add_argument("--only", metavar="STRATEGY", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(replayed(given.table, given.only, given.seeds, given.chance)))
        return
    print(
        f"| search | students to 99 % | {' | '.join(f'share after {look}' for look in LOOKS)} |\n|{'---|' * (2 + len(LOOKS))}"
    )
    for name, root in (("old", given.old), ("new", ROOT)):
        for strategy in STRATEGIES:
            table = str(given.table.absolute())
            own = [sys.executable, __file__, table, "--old", str(given.old), "--seeds", str(given.seeds)]
            env = os.environ | {"PYTHONPATH": str(root.absolute())}
            done = subprocess.run(
                [*own, "--chance", str(given.chance), "--only", strategy], env=env, check=True, stdout=subprocess.PIPE
            )
            lines = scored(given.table, json.loads(done.stdout), given.chance)
            to = [next((end for end, share in enumerate(line, 1) if share >= 0.99), len(line)) for line in lines]
            looks = [quartiles([line[min(look, len(line)) - 1] for line in lines]) for look in LOOKS]
            print(f"| {name} {strategy} | {quartiles(to)} | {' | '.join(looks)} |")


if __name__ == "__main__":
    main()
