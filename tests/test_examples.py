"""The examples: short, with headers that say the same things, and from nothing to an export by the commands in them."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from benchmarks.examples import EXAMPLES, commands, header, run

from .minilm import needs_minilm, needs_wordnet

MOST_LINES = 40
"""How many lines of data, models and spec a user writes, without comments."""
NAMES = sorted(path.name for path in EXAMPLES.iterdir())
NOTEBOOKS = [name for name in NAMES if name.startswith("notebook_")]
SPECS = [name for name in NAMES if name != "dataset_class" and name not in NOTEBOOKS]
FILES = {"model.safetensors", "model.pt2", "model.onnx", "card.md", "example.py"}
NEEDS = (needs_minilm, needs_wordnet)
LABELS = {"imbalanced": "fraud", "table": "churned"}
TOPICS = {"none", "art", "food", "law", "music", "sport", "work"}


def own_lines(path: Path) -> int:
    """Lines of code or of a spec that are neither empty nor a comment nor in the header."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return sum(len(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    if path.suffix == ".py":
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        code = {token.start[0] for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE)}
        first = ast.parse(text).body[0]
        return len(code - set(range(first.lineno, (first.end_lineno or 0) + 1)))
    return sum(bool(line.strip()) and not line.startswith("#") for line in text.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_short_and_says_what_it_is_for(name: str) -> None:
    files = [path for path in (EXAMPLES / name).iterdir() if path.suffix in (".py", ".yaml", ".ipynb")]
    assert sum(map(own_lines, files)) <= MOST_LINES
    words = [header(name).find(word) for word in ("Purpose", "Command", "Time", "Expect")]
    assert -1 not in words and words == sorted(words)
    assert re.search(r"\d\.\d minutes on 2 cores", header(name))
    assert not re.search(r"idle|busy|load of", header(name))


@pytest.mark.parametrize("name", SPECS)
def test_its_commands_lead_to_an_export(name: str) -> None:
    words = [command.split()[1] for command in commands(name)]
    assert "search" in words and "export" in words[words.index("search") :]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_as_it_ran_from_top_to_bottom(name: str) -> None:
    (path,) = (EXAMPLES / name).glob("*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs or not is_shown(cell.source) for cell in code)
    outputs = json.dumps([cell.outputs for cell in code])
    assert not re.search(r"stderr|\\u001b|/tmp|/home|/work|/root|Warning", outputs) and len(outputs) < 250_000


def is_shown(source: str) -> bool:
    """Whether a cell ends with a value, which Jupyter shows."""
    return isinstance(ast.parse(source).body[-1], ast.Expr)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS) if name == "notebook_text" else name for name in NAMES])
def test_it_leads_from_nothing_to_an_export(name: str, tmp_path: Path) -> None:
    said = run(name, tmp_path)
    (card,) = (tmp_path / name).rglob("card.md")
    assert FILES - {"model.onnx"} <= {path.name for path in card.parent.iterdir()}
    if name in LABELS:
        check_predictions(tmp_path / name, card.parent, LABELS[name])
    elif name in SPECS:
        shown = subprocess.run([sys.executable, "example.py", "model.pt2"], cwd=card.parent, capture_output=True, text=True)
        assert shown.returncode == 0 and shown.stdout.startswith("model.pt2: "), shown.stderr
        assert name != "multilabel" or set(re.split(r",|\s", shown.stdout.removeprefix("model.pt2: ").strip())) <= TOPICS
    if name == "incumbent":
        assert "your convnet depth=2 width=16 (3,194 params" in "".join(said.values())


def check_predictions(folder: Path, export: Path, label: str) -> None:
    """Raw rows become classes, with autodistill and without."""
    (data,) = (path for path in folder.glob("*.csv") if path.name != "predictions.csv")
    found = pd.read_csv(folder / "predictions.csv", dtype={"class": str})
    wanted = pd.read_csv(data, dtype=str)[label]
    each = (found["class"] == wanted).groupby(wanted).mean()
    assert len(found) == len(wanted) and each.mean() > 0.7, each
    shown = subprocess.run(
        [sys.executable, export / "example.py", data, "model.pt2"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["model.pt2:", *found["class"]]
