"""The worked examples of your own networks: the commands in their headers lead from nothing to an export."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ("own_student", "torchvision_teacher")
MOST = 40
"""Lines that a person writes, without the header."""


def commands(spec: Path) -> list[list[str]]:
    """Those in the header of a spec."""
    lines = [line.removeprefix("#   ") for line in spec.read_text().splitlines() if line.startswith("#   ")]
    return [shlex.split(line, comments=True) for line in lines]


def own_lines(folder: Path) -> int:
    """Lines of code and spec that are neither empty nor a comment."""
    texts = [path.read_text() for path in folder.iterdir() if path.suffix in (".py", ".yaml")]
    return sum(bool(line.strip()) and not line.startswith("#") for text in texts for line in text.splitlines())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_says_what_it_is(name: str) -> None:
    folder = ROOT / "examples" / name
    header = [line for line in (folder / "spec.yaml").read_text().splitlines() if line.startswith("#")]
    text = " ".join(line.removeprefix("# ") for line in header)
    assert text.startswith("Purpose: ") and re.search(r"Takes about .* on 2 cores\. Expect ", text)
    assert own_lines(folder) <= MOST
    assert [one[1] for one in commands(folder / "spec.yaml")][-4:] == ["check", "search", "confirm", "export"]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_ends_in_an_export(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / name, tmp_path / "examples" / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in commands(tmp_path / "examples" / name / "spec.yaml"):
        program = [sys.executable] if command[0] == "python" else [sys.executable, "-m", "autodistill"]
        done = subprocess.run([*program, *command[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    to = tmp_path / command[command.index("--to") + 1]
    assert {"model.safetensors", "model.pt2", "example.py"} <= {path.name for path in to.iterdir()}
    done = subprocess.run([sys.executable, str(to / "example.py"), "model.pt2"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("model.pt2: "), done.stderr
