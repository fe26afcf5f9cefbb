"""Compares search strategies on a table of trained students.

python -m benchmarks.replay benchmarks/digits_students.csv --strategies ehvi,ehvi+all,tpe,random --chance 0.1 --out bench
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from autodistill.spec import AutodistillError

from . import Asked, Table, bench

Facts = Mapping[str, Any]


def main(given: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(given)
    asked = Asked(
        strategies=arguments.strategies.split(","),
        **{name: getattr(arguments, name) for name in ("seeds", "workers", "trials", "target", "chance", "teacher")},
    )
    try:
        table = Table.read(Path(arguments.table), arguments.accuracy)
        found = bench(table, asked, None if arguments.out is None else Path(arguments.out))
    except AutodistillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(found))
    else:
        Console().print(compared(found))
    return 0


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(
        "python -m benchmarks.replay", description="Compare search strategies on a table of students."
    )
    one.add_argument("--json", action="store_true", help="print exactly one JSON object")
    one.add_argument("table", metavar="TABLE", help="a CSV file of parameters, params, accuracies; see docs/searching.md")
    one.add_argument(
        "--strategies", default="ehvi,tpe,nsga2,random", metavar="A,B", help="samplers, with +halving or +all after them"
    )
    one.add_argument("--seeds", type=int, default=50, metavar="N", help="replays of each strategy")
    one.add_argument("--workers", type=int, default=1, metavar="N", help="simulated workers")
    one.add_argument("--trials", type=int, metavar="N", help="of a search (default: one for each configuration of the table)")
    one.add_argument("--target", type=float, metavar="SHARE", help="search the smallest student of this accuracy, such as 0.7")
    one.add_argument("--accuracy", metavar="COLUMN", help="the column of accuracies (default: raw_1, raw_2, ... by epoch)")
    one.add_argument("--chance", type=float, default=0.0, metavar="SHARE", help="the accuracy of who guesses")
    one.add_argument("--teacher", type=float, metavar="SHARE", help="the teacher's accuracy (default: the table's best)")
    one.add_argument("--out", metavar="DIR", help="write curves.csv, curves.png and summary.json here")
    return one


def compared(found: Facts) -> RichTable:
    """Medians over the seeds, quartiles in brackets."""
    table = RichTable(title=f"{found['table']}: medians of {found['seeds']} seeds (quartiles)", title_justify="left")
    for name in ("strategy", "trials to the smallest", "seconds to it", "trials to 99%", "seconds to 99%", "hypervolume"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for name, row in found["strategies"].items():
        whole = [_quartiles(row[key], "{:.0f}") for key in ("trials_to_smallest", "seconds_to_smallest", "trials_to_99")]
        table.add_row(name, *whole, _quartiles(row["seconds_to_99"], "{:.1f}"), _quartiles(row["hypervolume"], "{:.1%}"))
    return table


def _quartiles(row: Facts, form: str) -> str:
    median, low, high = ("never" if row[key] is None else form.format(row[key]) for key in ("median", "q25", "q75"))
    return median if median == low == high else f"{median} ({low} - {high})"


if __name__ == "__main__":
    sys.exit(main())
