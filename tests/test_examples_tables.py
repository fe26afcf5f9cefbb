"""The examples with tables, as their headers say: from nothing to predictions, by the commands of a user."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
OWN_LINES = 40
"""The most lines that a user writes: data, spec and commands, without comments."""


def commands(spec: Path) -> list[str]:
    """The commands in the header, without the remarks behind them."""
    found = re.findall(r"^# (?:Command:|        ) ((?:python|autodistill) .*)$", spec.read_text(), re.M)
    return [line.partition("#")[0].strip() for line in found]


def run(folder: Path, command: str) -> str:
    program, *arguments = shlex.split(command)
    module = ["-m", "autodistill"] if program == "autodistill" else []
    done = subprocess.run([sys.executable, *module, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "label"), [("table", "churned"), ("imbalanced", "fraud")])
def test_an_example_leads_from_nothing_to_predictions(name: str, label: str, tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLES / name, tmp_path / name)
    (spec,) = folder.glob("*.yaml")
    said = {command: run(folder, command) for command in commands(spec)}
    assert [command.split()[1] for command in said][1:] == ["check", "search", "smallest", "export", "predict"]
    check, smallest = (next(text for command, text in said.items() if f" {word} " in command) for word in ("check", "smallest"))
    assert f"label        {label}: " in check and "% missing, which networks are told" in check and "warning" not in check
    assert smallest.count("Yes: mlp") == 1
    (data,), (model,) = folder.glob("[!p]*.csv"), folder.glob("*-model")
    found = pd.read_csv(folder / "predictions.csv", dtype={"class": str})
    wanted = pd.read_csv(data, dtype=str)[label]
    each = (found["class"] == wanted).groupby(wanted).mean()
    assert len(found) == len(wanted) and each.mean() > 0.7, each
    shown = run(folder, f"python {model.name}/example.py {data.name} model.pt2").split()
    assert shown == ["model.pt2:", *found["class"]]


@pytest.mark.parametrize("name", ["table", "imbalanced"])
def test_an_example_is_short(name: str) -> None:
    lines = [line for path in (EXAMPLES / name).iterdir() for line in path.read_text().splitlines()]
    (spec,) = (EXAMPLES / name).glob("*.yaml")
    own = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(own) + len(commands(spec)) <= OWN_LINES
