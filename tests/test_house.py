"""Sizes of files, and heavy libraries imported only where they are used. import-linter checks which package imports which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import autodistill

PACKAGE = Path(autodistill.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def test_only_confirm_may_open_the_test_split() -> None:
    for path in FILES:
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        may = path.is_relative_to(PACKAGE / "data") or path.is_relative_to(PACKAGE / "answers/confirm")
        assert may or not names & {"unseal", "_samples"}, f"{path} opens the test split"


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()}


HEAVY = {"torch", "ray", "optuna", "matplotlib", "plotly", "pandas", "sklearn", "scipy", "timm", "torchvision"}


def test_the_package_and_its_help_import_nothing_heavy() -> None:
    assert not modules_after("import autodistill, autodistill.cli; autodistill.cli.parser().format_help()") & HEAVY
    assert not modules_after("import autodistill; autodistill.load") & HEAVY


def test_check_imports_neither_ray_nor_optuna_nor_matplotlib() -> None:
    assert not modules_after("import autodistill.study.preflight.check, autodistill.reporting.checked") & {
        "ray",
        "optuna",
        "matplotlib",
        "pandas",
    }


def test_report_imports_neither_torch_nor_ray() -> None:
    assert not modules_after(
        "import autodistill.reporting.write, autodistill.reporting.terminal, autodistill.study.record.record"
    ) & {"torch", "ray", "timm"}


def test_files_and_functions_keep_their_size() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.lineno} {node.name}"


def test_the_version_is_known_where_nothing_is_installed() -> None:
    """Such as a checkout in a cluster's shared folder: no code asks the installation for it."""
    asked = [path for path in PACKAGE.rglob("*.py") if 'version("autodistill' in path.read_text()]
    assert not asked and autodistill.__version__
