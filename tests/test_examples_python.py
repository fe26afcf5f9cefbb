"""The examples of data, teachers and notebooks run from nothing to an export, as their headers say."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = [pytest.mark.slow, pytest.mark.ray]


def run(*command: str, cwd: Path) -> str:
    """What a command prints in a folder of its own."""
    paths = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_lines(source: str) -> int:
    """The lines of code without the header and empty lines."""
    tree = ast.parse(source)
    header = tree.body[0].end_lineno or 0
    return sum(bool(line.strip()) for line in source.splitlines()[header:])


@pytest.mark.parametrize("name", ["dataset_class/search.py", "incumbent/make.py"])
def test_an_example_is_short(name: str) -> None:
    assert own_lines((EXAMPLES / name).read_text()) <= 40


def test_a_dataset_class_and_a_teacher_from_python(tmp_path: Path) -> None:
    found = run(str(EXAMPLES / "dataset_class" / "search.py"), cwd=tmp_path)
    assert "Yes: convnet" in found
    assert (tmp_path / "reports" / "strokes-model" / "model.safetensors").exists()


def test_an_image_folder_with_an_incumbent(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "incumbent", tmp_path / "incumbent")
    run("incumbent/make.py", cwd=tmp_path)
    found = run("-m", "autodistill", "search", "incumbent/incumbent.yaml", cwd=tmp_path)
    assert "your convnet depth=2 width=16 (3,194 params" in found
    run("-m", "autodistill", "smallest", "incumbent/incumbent.yaml", "--accuracy", "0.8", "--seeds", "1", cwd=tmp_path)
    run("-m", "autodistill", "export", "incumbent/incumbent.yaml", "--accuracy", "0.8", "--to", "model", cwd=tmp_path)
    assert (tmp_path / "model" / "card.md").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    found = nbformat.read(EXAMPLES / "notebook" / "digits.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in found.cells)
    assert sum(len(cell.source.splitlines()) for cell in found.cells if cell.cell_type == "code") <= 40
    nbclient.NotebookClient(found, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "reports" / "notebook-model" / "card.md").exists()
