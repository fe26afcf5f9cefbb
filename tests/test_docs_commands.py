"""The commands and the Python of the README and the site, run on tiny data, page by page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.blocks import PAGES, ROOT, blocks, blocks_of, commands_of
from tests.tabular import written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
TINY = """study: {name}
task: {{dataset: sklearn/digits, samples: 500, split: {{validation: 0.25, test: 0.15}}}}
teacher: {{architecture: {{family: resnet, depth: 1, width: 8}}, recipe: {{epochs: 4}}}}
student:
  architecture: {{family: resnet, depth: {{int: [1, 2]}}, width: {{int: [1, 6]}}}}
  loss: {{ce: {{weight: rest}}, kd: {{weight: {{uniform: [0, 1]}}, temperature: {{log: [1, 4]}}}}}}
  recipe: {{epochs: 2}}
search: {{trials: 2, region: all, halving: false}}
resources: {{gpus: 0}}
"""
STUDIES = ("fashion_mnist", "wordnet_text", "one", "two")
"""Names on the pages that stand for any study: those of the tiny digits take their place."""
INSTALLS = ("make", "source", "pip", "optuna-dashboard")
"""They install, build, and serve; tests/test_cli.py opens a study in the dashboard."""
ELSEWHERE = {
    "ray job submit": "needs a cluster with a dashboard: tests/test_cluster.py",
    "autodistill watch": "serves until Ctrl-C: tests/test_live.py",
    "autodistill search my.yaml --log": "tests/test_trackers.py",
    "wordnet": "needs all-MiniLM-L6-v2: tests/test_wordnet.py",
    "zipfile": "needs all-MiniLM-L6-v2: tests/test_wordnet.py",
    "predict model": "exports of texts: tests/test_text_export.py",
    "model/example.py": "exports of texts and tables: tests/test_text_export.py, tests/test_examples.py",
}
SERIAL = ("search", "confirm", "smallest", "chain")


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny data, specs, and a confirmed study of the digits."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "search_spaces").mkdir()
    (folder / "search_spaces/digits.yaml").write_text(TINY.format(name="digits"))
    written(folder, name="churn.csv")
    written(folder, name="customers.csv")
    np.savez(folder / "samples.npz", x=np.zeros((3, 1, 8, 8), np.float32))
    np.save(folder / "SAMPLES.npy", np.zeros((3, 1, 8, 8), np.float32))
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    ran(folder, ["autodistill", "search", "search_spaces/digits.yaml"])
    shutil.copytree(folder / "reports/digits", folder / "reports/my")  # one that is not confirmed
    ran(folder, ["autodistill", "confirm", "reports/digits", "--seeds", "1"])
    for name in STUDIES:
        shutil.copytree(folder / "reports/digits", folder / "reports" / name)
    return folder


def ran(folder: Path, words: list[str]) -> str:
    """Runs one command of a page in a folder, with less to train. Exit code 3 is an answer, too."""
    words = [key_in(folder) if word == "KEY" else word for word in words]
    if words[0] == "autodistill":
        words = [sys.executable, "-m", *words, *shorter(words)]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(words, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode in (0, 3), f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def key_in(folder: Path) -> str:
    return str(pd.read_csv(folder / "reports/digits/frontier.csv")["stage"][0])[:12]


def shorter(words: list[str]) -> list[str]:
    """Options that make a command of a page short, and repeatable."""
    found = ["--runner", "serial"] if words[1] in SERIAL and "--runner" not in words else []
    if words[1] in ("smallest", "confirm", "chain"):
        found += ["--seeds", "1"]
    if words[1] == "chain":
        found += ["--time", "30s"]
    if "--within" in words:
        found += ["--within", "30s"]
    if words[1] == "search":
        found += ["--set", f"search.trials={3 if '--extend' in words else 2}"]
    return found


def reason(words: list[str]) -> str | None:
    """Why a command is not run here."""
    line = " ".join(words)
    if words[0] in INSTALLS:
        return "installs, builds, or serves"
    return next((why for part, why in ELSEWHERE.items() if part in line), None)


RUN = [
    page
    for page in PAGES
    if any(not reason(words) for one in blocks_of(page) if one.language == "bash" for words in commands_of(one))
]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, studied: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(studied, tmp_path / "pages")
    for block in blocks_of(page):
        for words in commands_of(block) if block.language == "bash" else ():
            if reason(words) is None:
                if "--to" in words:
                    shutil.rmtree(folder / words[words.index("--to") + 1], ignore_errors=True)
                if "digits-model/example.py" in words or words[1:3] == ["predict", "digits-model"]:
                    exported(folder)
                ran(folder, words)


def exported(folder: Path) -> None:
    """The commands before it may have found that no student meets their target."""
    if not (folder / "digits-model").exists():
        ran(folder, ["autodistill", "export", "reports/digits", "--stage", "KEY", "--to", "digits-model"])


@pytest.mark.parametrize("page", ["README.md", "start.md"])
def test_the_python_of_a_page_runs(page: str, studied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shutil.copytree(studied, tmp_path / "pages"))
    names: dict[str, Any] = {}
    for block in blocks("python"):
        if block.page.name == page:
            try:
                exec(compile(block.text, str(block), "exec"), names)
            except Exception as error:  # a tiny student need not meet the target of the page
                assert "no student is proven" in str(error)
    assert len(names["study"].trials) > 0
