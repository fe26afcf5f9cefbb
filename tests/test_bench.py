"""Strategies compared on a table of trained students."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistill.spec import UsageError
from benchmarks.replay import Asked, Table, bench
from benchmarks.replay.__main__ import main as replay
from benchmarks.replay.compare import Score, run

DIGITS = Path(__file__).parents[1] / "benchmarks" / "digits_students.csv"


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """A file of 12 configurations, two seeds each; larger ones are better."""

    def make(unit: float = 1.0, *, kinds: bool = False, **more: Any) -> Path:
        rows = []
        for depth in (1, 2, 4):
            for width in (2, 4, 8, 16):
                for seed in (0, 1):
                    params = depth * width * width
                    at = [round(unit * (1 - share / (1 + math.log(params))), 4) for share in (0.9, 0.7, 0.5 + 0.01 * seed)]
                    row = {"depth": depth, "width": width, "seed": seed, "params": params}
                    row |= {"kind": "ab"[depth > 1]} if kinds else {}
                    rows.append(row | {f"raw_{epoch}": value for epoch, value in enumerate(at, 1)} | more)
        path = tmp_path / "table.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return path

    return make


def test_parameters_are_the_columns_that_are_nothing_else(table: Callable[..., Path]) -> None:
    found = Table.read(table(kinds=True, macs=7, seconds=2, accuracy_old=3, ema_1=0))
    assert list(found.values) == ["depth", "width", "kind"] and found.epochs == 3 and len(found.students) == 12
    assert all(len(each) == 2 and each[0].seconds == 2 for each in found.students.values())


def test_accuracies_are_shares_or_per_cent(table: Callable[..., Path]) -> None:
    found = [Table.read(table(unit=unit)).students[0, 0][0].accuracies for unit in (1.0, 100.0)]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_one_column_may_be_named(table: Callable[..., Path]) -> None:
    found = Table.read(table(score=0.5), "score")
    assert found.epochs == 1 and "score" not in found.values
    with pytest.raises(UsageError, match=r"no column wrong; it has depth"):
        Table.read(table(), "wrong")


def test_a_seed_draws_the_same_training_of_each_configuration_for_all_strategies(table: Callable[..., Path]) -> None:
    found = Table.read(table())
    assert found.draw(3).students == found.draw(3).students
    assert len({tuple(map(id, found.draw(seed).students.values())) for seed in range(5)}) > 1


@pytest.mark.parametrize("strategy", ["ehvi", "tpe", "nsga2", "random"])
def test_a_search_is_of_the_table_alone(table: Callable[..., Path], strategy: str) -> None:
    """Each configuration once, whatever the strategy, on the simulated clock; all of them are the whole hypervolume."""
    drawn = Table.read(table()).draw(0)
    events = run(drawn, strategy, 0, Asked(strategies=(), target=0.85))
    assert all(
        one.seconds < other.seconds and one.trials < other.trials for one, other in zip(events, events[1:], strict=False)
    )
    assert all(0 <= one.hypervolume <= 1 + 1e-9 for one in events) and events[-1].seconds == events[-1].trials == 12
    assert events[-1].hypervolume == pytest.approx(1) and events[-1].found and not any(one.found for one in events[:1])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ehvi", "tpe", "nsga2", "random"])
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_every_strategy_evaluates_as_many(strategy: str, workers: int) -> None:
    """Half of what TPE proposes repeats, on this table of 72: without more it ends after some 40."""
    drawn = Table.read(DIGITS).draw(0)
    for name in (strategy, f"{strategy}+halving"):
        assert run(drawn, name, 0, Asked(strategies=(), trials=60, workers=workers))[-1].trials == 60


def test_the_score_is_the_hypervolume_in_the_region_of_interest(table: Callable[..., Path]) -> None:
    """From 90% of the way between 0.11 and the teacher's 0.21 to all sizes below twice the largest."""
    drawn = Table.read(table()).draw(0, 0.21)
    asked = Asked(strategies=(), chance=0.11, trials=5, teacher=0.21)
    found = Score(drawn, asked)
    points = [(100, 0.5), (50, 0.4), (60, 0.3), (10**6, 0.9)]
    rectangles = 0.2 * math.log10(2 * 1024 / 50) + 0.1 * math.log10(2 * 1024 / 100)
    assert found.volume(points) == pytest.approx(rectangles) and found.volume([]) == 0


def test_configurations_that_are_not_in_the_table_are_not_asked_for(table: Callable[..., Path]) -> None:
    """kind follows from depth: half of the product of all values is there."""
    drawn = Table.read(table(kinds=True)).draw(0)
    spec = drawn.spec({"trials": 4})
    space = drawn.space(spec)
    paths = [f"architecture.arguments.{name}" for name in drawn.table.values]
    assert space.feasible(dict(zip(paths, (0, 0, 0), strict=True)))
    assert not space.feasible(dict(zip(paths, (0, 0, 1), strict=True)))


@pytest.mark.slow
def test_the_command_writes_curves_and_a_picture(
    table: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--strategies", "ehvi,random+halving", "--seeds", "3", "--target", "0.85", "--out", str(out), "--json"]
    assert replay([str(table()), *more]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "summary.json").read_text())
    assert printed["strategies"]["ehvi"]["trials_to_smallest"]["median"] <= 12
    lines = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
    assert {line["strategy"] for line in lines} == {"ehvi", "random+halving"}
    volumes = [float(line["hypervolume_median"]) for line in lines if line["strategy"] == "ehvi"]
    assert volumes == sorted(volumes) and volumes[-1] == pytest.approx(1)
    assert (out / "curves.png").read_bytes()[16:24] == (1600).to_bytes(4, "big") + (900).to_bytes(4, "big")


@pytest.mark.slow
def test_the_same_replays_give_the_same_bytes(table: Callable[..., Path], tmp_path: Path) -> None:
    asked = Asked(strategies=("ehvi", "tpe"), seeds=2)
    for name in ("one", "other"):
        bench(Table.read(table()), asked, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--strategies", "bayes"], "--strategies bayes: give one of auto, ehvi"),
        (["--seeds", "0"], "give 1 or more"),
        (["--accuracy", "none"], "has no column none"),
        (["--chance", "1"], "no student of the table is above 0."),
        (
            ["--strategies", "ehvi,tpe+halving", "--accuracy", "raw_3"],
            "--strategies tpe.halving: .* has one accuracy a student",
        ),
    ],
)
def test_what_is_wrong_is_said(
    table: Callable[..., Path], capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    assert replay([str(table()), *given]) == 2
    assert re.search(said, capsys.readouterr().err)


GOOD = "depth,params,macs,seconds,raw_1,raw_2\n1,10,20,1.5,0.5,0.6\n2,40,80,2.5,0.6,0.7\n"
TABLES: dict[str, tuple[str | bytes, str]] = {
    "NaN params": (GOOD.replace("40", "nan"), r"table.csv:3: params: 'nan' is wrong; give a whole number from 1 to"),
    "a share of a parameter": (GOOD.replace("40", "4.5"), r"table.csv:3: params: '4.5' is wrong; give a whole number"),
    "no params": (GOOD.replace("40", ""), r"table.csv:3: params: '' is wrong"),
    "params 0": (GOOD.replace("40", "0"), r"table.csv:3: params: '0' is wrong"),
    "too many params": (GOOD.replace("40", "9" * 30), r"table.csv:3: params: '999.* is wrong"),
    "params of 5,000 digits": (GOOD.replace("40", "9" * 5000), r"table.csv:3: params: '999.* is wrong"),
    "negative macs": (GOOD.replace("80", "-80"), r"table.csv:3: macs: '-80' is wrong; give a whole number from 0 to"),
    "endless": (GOOD.replace("2.5", "inf"), r"table.csv:3: seconds: 'inf' is wrong; give a number from 0 to"),
    "negative seconds": (GOOD.replace("2.5", "-1"), r"table.csv:3: seconds: '-1' is wrong"),
    "a NaN accuracy": (GOOD.replace("0.7", "NaN"), r"table.csv:3: raw_2: 'NaN' is wrong; give a number from 0 to 100"),
    "a negative accuracy": (GOOD.replace("0.7", "-0.7"), r"table.csv:3: raw_2: '-0.7' is wrong"),
    "an accuracy above all": (GOOD.replace("0.7", "101"), r"table.csv:3: raw_2: '101' is wrong"),
    "a NaN parameter": (GOOD.replace("\n2,", "\nnan,"), r"table.csv:3: depth: 'nan' is wrong; give a finite number or"),
    "a field too many": (GOOD.replace("0.7", "0.7,1"), r"table.csv:3 has 7 fields for 6 columns"),
    "a field too few": (GOOD.replace(",0.7", ""), r"table.csv:3 has 5 fields for 6 columns"),
    "a column twice": (GOOD.replace("raw_2", "raw_1"), r"table.csv:1 has the column 'raw_1' twice; keep one"),
    "a column without a name": (GOOD.replace("macs", ""), r"table.csv:1 has a column without a name"),
    "no rows": (GOOD.splitlines()[0], r"table.csv has no rows"),
    "nothing": ("", r"table.csv has no rows"),
    "empty lines": ("\n\n\n", r"table.csv has no rows"),
    "a picture": (b"\x89PNG\xff", r"table.csv cannot be read \(.*\); give a CSV file"),
    "a field without end": (GOOD + "1," + "x" * 200_000, r"table.csv cannot be read \(field larger than .*\); give a CSV file"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_wrong_table_is_refused_by_line_and_column(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, said = TABLES[name]
    (tmp_path / "table.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert replay([str(tmp_path / "table.csv"), "--strategies", "random", "--seeds", "1"]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error) and error.count("\n") == 1, error


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() + b"\r\n")
    assert len(Table.read(tmp_path / "table.csv").students) == 2


@pytest.mark.parametrize("given", [["--target", "nan"], ["--target", "1.5"], ["--chance", "nan"], ["--chance", "-1"]])
def test_shares_are_shares(table: Callable[..., Path], capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    assert replay([str(table()), "--strategies", "random", "--seeds", "1", *given]) == 2
    assert f"{given[0]} {given[1]}" in capsys.readouterr().err
