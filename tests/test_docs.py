"""The README and the site: it builds without a warning, links lead somewhere, and the tool accepts every command and block."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from autodistill.cli import parser
from autodistill.spec import Spec, load
from benchmarks.replay.__main__ import parser as replay_parser
from tests.blocks import PAGES, ROOT, Block, blocks, blocks_of, commands_of, prose_of

COMMANDS = [(block, words) for block in blocks("bash") for words in commands_of(block)]
MERGED = ("task", "student", "assistants", "search", "resources")
"""Parts of a spec to which a block on a page adds; other parts it replaces."""
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
LANGUAGES = {"bash", "yaml", "python", "text"}
BERT = '{"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}'


def named(block: Block) -> str:
    return str(block)


def said(value: tuple[Block, list[str]]) -> str:
    return f"{value[0]} {' '.join(value[1])}"


@pytest.mark.timeout(900)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strict: a reference without a target, or a link within the site that leads nowhere, is a warning, too."""
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", ROOT / "docs", tmp_path / "site"],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    keys, commands = ((tmp_path / f"site/reference/{name}.html").read_text() for name in ("yaml", "commands"))
    assert all(f">{name}<" in keys for name in Spec.model_fields) and "--retry-failed" in commands
    assert "a number from 0.01 to 1, a whole number or" in keys
    python = (tmp_path / "site/reference/python.html").read_text()
    assert "Retrains the frontier with fresh" in python
    assert "Alias for field" not in python and "model_config" not in python


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_of_the_readme_lead_to_files(page: Path) -> None:
    """Sphinx checks those between pages of the site."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_a_page_names_exist(page: Path) -> None:
    paths = re.findall(r"`((?:examples|search_spaces|benchmarks|tests|docs|reports/examples)/[\w./-]+)`", prose_of(page))
    assert [path for path in paths if path != "docs/build" and not (ROOT / path).exists()] == []


def options() -> set[str]:
    parsers = [one for action in parser()._actions for one in getattr(action, "choices", None) or ()]
    inner = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    found = {option for name in parsers for action in inner[name]._actions for option in action.option_strings}
    return found | {option for action in replay_parser()._actions for option in action.option_strings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`(--[\w-]+)[^`]*`", prose_of(page))
    assert set(named) - options() - {"--working-dir"} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_have_a_language(page: Path) -> None:
    assert {one.language for one in blocks_of(page) if not one.language.startswith("{")} <= LANGUAGES


@pytest.mark.parametrize("command", COMMANDS, ids=said)
def test_a_command_is_one_that_its_program_accepts(command: tuple[Block, list[str]]) -> None:
    check_command(command[1])


def check_command(words: list[str]) -> None:
    match words:
        case ["autodistill", *rest]:
            arguments = parser().parse_args(rest)
            spec = ROOT / getattr(arguments, "spec", "none")
            if spec.is_file() and spec.name != "wordnet_text.yaml":  # it needs a model: tests/test_wordnet.py
                load(spec, arguments.set)
        case ["ray", "job", "submit", *rest]:
            check_command(rest[rest.index("--") + 1 :])
        case ["python", "-m", "benchmarks.replay", *rest]:
            assert (ROOT / replay_parser().parse_args(rest).table).is_file()
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
        case ["pip", "install", *rest]:
            asked = re.findall(r"(?:autodistill-search|\.)\[([\w,]+)\]", " ".join(rest))
            assert all(extra in EXTRAS for one in asked for extra in one.split(","))
            assert asked or set(rest) <= {"optuna-dashboard", "ray[default]"}
        case ["python", path, *_] if path.endswith("/example.py"):
            assert Path(path).parent.name in ("model", "digits-model", "churn-model")  # what an export writes
        case ["python", path, *_] if path != "-m":
            assert (ROOT / path).is_file()
        case ["source", ".venv/bin/activate"] | ["pip", "download", *_] | ["python", "-m", "zipfile", *_]:
            pass
        case ["optuna-dashboard", url]:
            assert url.startswith("sqlite:///") and url.endswith("study.db")
        case _:
            raise AssertionError(f"{' '.join(words)}: no test knows this program")


@pytest.mark.parametrize("block", blocks("yaml"), ids=named)
def test_yaml_is_a_part_of_a_spec(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is not a whole spec is put into that of the demo."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/MiniLM").mkdir(parents=True)
    (tmp_path / "models/MiniLM/config.json").write_text(BERT)
    (tmp_path / "models/MiniLM/model.safetensors").touch()
    path = tmp_path / "spec.yaml"
    YAML(pure=True).dump(whole(block), path)
    load(path)


def whole(block: Block) -> dict[str, Any]:
    reader = YAML(typ="safe", pure=True)  # YAML 1.2, as specs are read
    given = reader.load(block.text)
    if "study" in given:
        return given
    found = reader.load((ROOT / "search_spaces/digits.yaml").read_text())
    del found["search"]["objectives"]  # the metric is that of the task
    return found | {name: found[name] | part if name in MERGED else part for name, part in given.items()}


@pytest.mark.parametrize("block", blocks("python"), ids=named)
def test_python_can_be_read(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("page", ["data.md", "student.md", "metric.md"])
def test_python_that_needs_no_study_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks("python"):
        if block.page.name == page:
            exec(compile(block.text, str(block), "exec"), names)
    if page == "student.md":
        assert names["Small"](8, 2, "relu", Shape, 4)(Shape.sample()).shape == (3, 4)
    if page == "metric.md":
        outputs, labels = pd.DataFrame({0: [0.1, 0.9, 0.5], 1: [0.9, 0.1, 0.5]}).to_numpy(), pd.Series([1, 1, 0]).to_numpy()
        assert names["profit"](outputs, labels).tolist() == [0.7, 0.0, -0.3]


class Shape:
    """What a network is told of its inputs."""

    numbers = 6

    @staticmethod
    def sample() -> Any:
        import torch

        return torch.zeros(3, 2, 3)


SHOWN = [
    ("README.md", "wordnet_text"),
    ("docs/text.md", "wordnet_text"),
    ("docs/start.md", "digits"),
    ("docs/losses.md", "few_labels"),
]


@pytest.mark.parametrize(("page", "study"), SHOWN, ids=lambda value: value)
def test_tables_show_what_the_studies_found(page: str, study: str) -> None:
    rows = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("| ")]
    for one in pd.read_csv(ROOT / f"reports/examples/{study}/frontier.csv").itertuples():
        if one.inside:
            (row,) = (row for row in rows if row.startswith(f"| {one.params:,} |") and f"| {100 * one.accuracy:.1f}%" in row)
            baseline = pd.notna(one.label_only) and one.role != "label-only"
            assert not baseline or f"| {100 * one.label_only:.1f}% |" in row, row


def test_the_reference_has_every_column_and_key_of_the_files() -> None:
    text = (ROOT / "docs/reference/files.md").read_text()
    for name in ("trials.csv", "frontier.csv"):
        columns = pd.read_csv(ROOT / f"reports/examples/wordnet_text/{name}").columns
        assert [one for one in columns if not one.startswith("param.") and f"`{one}`" not in text] == []
    for name in ("frontier.json", "confirm.json"):
        found = json.loads((ROOT / f"reports/examples/wordnet_text/{name}").read_text())
        member = found["members"][0] if "members" in found else {}
        keys = [*found, *member, *member.get("test", ()), *member.get("latency", ()), *member.get("baselines", ())]
        assert [key for key in keys if f"`{key}`" not in text] == [], name
