"""What stopping students at rungs saves, by where the first rung is and how many go on there.

    python benchmarks/halving.py [--seeds 30]

Replays of `ehvi` on digits_students.csv (72 students, three trainings each), 60 trials, one simulated worker: seconds and
trials until 99% of the best hypervolume, without halving and for each `first` and `share`; rungs double. Medians and quartiles
over the seeds. Needs no training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from replay import Asked, Table, bench

TABLE = Path(__file__).parent / "digits_students.csv"
FIRST, SHARE = (0.1, 0.2, 0.33, 0.5), (0.33, 0.5, 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=30)
    seeds, table = parser.parse_args().seeds, Table.read(TABLE, None)
    print("| first | share | seconds to 99% | trials to 99% | hypervolume at the end |\n|---|---|---|---|---|")
    settings: list[dict[str, float] | None] = [None, *({"first": first, "share": share} for first in FIRST for share in SHARE)]
    for halving in settings:
        name = "ehvi" if halving is None else "ehvi+halving"
        asked = Asked(strategies=[name], seeds=seeds, trials=60, chance=0.1, halving=halving or {})
        row = bench(table, asked)["strategies"][name]
        place = "none | " if halving is None else f"{halving['first']} | {halving['share']}"
        print(
            f"| {place} | {shown(row['seconds_to_99'])} | {shown(row['trials_to_99'])} | {shown(row['hypervolume'], 3)} |",
            flush=True,
        )


def shown(row: dict[str, float | None], digits: int = 1) -> str:
    median, low, high = ("never" if row[name] is None else f"{row[name]:.{digits}f}" for name in ("median", "q25", "q75"))
    return f"{median} ({low} to {high})"


if __name__ == "__main__":
    main()
