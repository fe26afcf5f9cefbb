"""The worked examples of other kinds of tasks and of a metric of your own, from nothing to an export."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parent.parent / "examples"
MOST_LINES = 40
NAMES = ("regression", "multilabel", "own_metric")
EASY = {"regression": ["--target", "r2=0.3"], "multilabel": ["--retain", "0.7"], "own_metric": ["--target", "auroc=0.6"]}
"""Targets that do not depend on the machine."""


def run(folder: Path, *words: str) -> str:
    """The standard output of a command that succeeds."""
    paths = os.pathsep.join([str(EXAMPLES.parent), "."])
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_from_nothing_to_an_export(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    run(folder, "data.py")
    program = ("-m", "autodistill")
    run(folder, *program, "search", "spec.yaml", "--runner", "serial")
    run(folder, *program, "confirm", f"reports/{name}", "--seeds", "0")
    answer = json.loads(run(folder, *program, "smallest", f"reports/{name}", *EASY[name], "--json"))
    assert answer["meets"]
    run(folder, *program, "export", f"reports/{name}", *EASY[name], "--to", "model")
    shown = re.search(r"model\.pt2: (\S+)", run(folder, "model/example.py", "model.pt2"))
    assert shown is not None
    known = {"none", *"art food law music sport work".split()}
    assert shown[1] in ("0", "1") if name == "own_metric" else float(shown[1]) if name == "regression" else True
    assert name != "multilabel" or set(shown[1].split(",")) <= known


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_what_it_is_for(name: str) -> None:
    files = [path for path in (EXAMPLES / name).iterdir() if path.suffix in (".py", ".yaml")]
    lines = [line for path in files for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= MOST_LINES
    header = (EXAMPLES / name / "spec.yaml").read_text()
    assert all(word in header for word in ("autodistill search", "minutes", "Expect"))
    assert yaml.safe_load(header)["study"] == name
