"""What an early accuracy says of the accuracy at full length: Kendall's tau by epoch, for several schedules.

    python benchmarks/rungs.py

Reads digits_students.csv and digits_schedules.csv (digits_grid.py made them); needs no training. `all` are the 72 students of
the grid, `near` those above 90% at full length, where the order matters most. Full length is each schedule's own 15 epochs; of
`short` (a complete cycle of so many epochs, trained anew when it goes on) it is one cycle over 15. In a row all have cost the
same seconds; one that goes on has cost `short` the row's epochs more.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

HERE, STUDENT, FULL, GOOD = Path(__file__).parent, ["depth", "width", "weight"], "raw_15", 0.9
EPOCHS = (1, 2, 3, 4, 5, 6, 8, 10, 12)


def tau(one: pd.Series, other: pd.Series) -> float:
    both = pd.concat([one, other], axis=1).dropna()
    return float(kendalltau(both.iloc[:, 0], both.iloc[:, 1]).statistic)


def main() -> None:
    seeds = pd.read_csv(HERE / "digits_students.csv")
    cycles = [frame.set_index(STUDENT).sort_index() for _, frame in seeds.groupby("seed")]
    others = pd.read_csv(HERE / "digits_schedules.csv")
    level = others[others.schedule == "wsd"].set_index(STUDENT).sort_index()
    short = others[others.schedule == "short"]
    cycle, near = cycles[0], cycles[0][FULL] > GOOD
    print(f"accuracy at full length, mean of {len(cycle)}: one_cycle {cycle[FULL].mean():.3f}, wsd {level[FULL].mean():.3f},")
    print(f"  wsd averaged {level.ema_15.mean():.3f}, one_cycle averaged {cycle.ema_15.mean():.3f}")
    print(f"between two seeds at full length: tau {tau(cycle[FULL], cycles[1][FULL]):.2f}")
    print(
        "| epoch | one_cycle | averaged | wsd | averaged | short | one_cycle, near | averaged | wsd, near | averaged | short |"
    )
    print("|" + "---|" * 11)
    for epoch in EPOCHS:
        cells = []
        for rows in (cycle.index, cycle.index[near]):
            for table, column in ((cycle, "raw"), (cycle, "ema"), (level, "raw"), (level, "ema")):
                cells.append(f"{tau(table.loc[rows, f'{column}_{epoch}'], table.loc[rows, FULL]):.2f}")
            anew = short[short.epochs == epoch].set_index(STUDENT).sort_index()
            cells.append(f"{tau(anew.loc[rows, f'raw_{epoch}'], cycle.loc[rows, FULL]):.2f}" if len(anew) else "")
        print(f"| {epoch} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
