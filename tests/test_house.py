"""The floors of the house: a module imports only from floors below its own, and heavy libraries only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import autodistill

PACKAGE = Path(autodistill.__file__).parent
FLOORS = {
    **dict.fromkeys(("spec", "imports", "pareto", "stats", "batch", "text"), 0),
    **dict.fromkeys(("augment", "data", "halving", "models", "objectives", "store"), 1),
    **dict.fromkeys(("latency", "measure"), 2),
    "distill": 3,
    "space": 4,
    **dict.fromkeys(("prepare", "edges", "study"), 5),
    **dict.fromkeys(("facts", "runners"), 6),
    **dict.fromkeys(("confirm", "report", "progress"), 7),
    **dict.fromkeys(("answers", "bench", "chains", "driver", "check", "explain"), 8),
    **dict.fromkeys(("export", "page", "towards"), 9),
    "commands": 10,
    "cli": 11,
    "__main__": 12,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Top-level modules of this package that a file imports, anywhere in it (types only excepted)."""
    package = ["autodistill", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]).split(".")[1] for name in names if name}
    return found - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    if path.parent == PACKAGE and path.name == "__init__.py":
        return
    own = room(path)
    for other in imported_rooms(path) - {own}:
        assert FLOORS[other] < FLOORS[own] or (FLOORS[other] == FLOORS[own] == 0), f"{own} imports {other}"


def test_a_room_says_its_floor() -> None:
    for name, floor in FLOORS.items():
        path = PACKAGE / f"{name}.py" if (PACKAGE / f"{name}.py").exists() else PACKAGE / name / "__init__.py"
        said = (ast.get_docstring(ast.parse(path.read_text())) or "").partition(":")[0]
        assert said in (f"Floor {floor}", "`python -m autodistill` is the command autodistill."), path


def test_only_confirm_may_open_the_test_split() -> None:
    for path in FILES:
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert room(path) in ("data", "confirm") or not names & {"unseal", "_samples"}, f"{path} opens the test split"


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()}


HEAVY = {"torch", "ray", "optuna", "matplotlib", "plotly", "pandas", "sklearn", "scipy", "timm", "torchvision"}


def test_the_package_and_its_help_import_nothing_heavy() -> None:
    assert not modules_after("import autodistill, autodistill.cli; autodistill.cli.parser().format_help()") & HEAVY
    assert not modules_after("import autodistill; autodistill.load") & HEAVY


def test_check_imports_neither_ray_nor_optuna_nor_matplotlib() -> None:
    assert not modules_after("import autodistill.check, autodistill.text") & {"ray", "optuna", "matplotlib", "pandas"}


def test_report_imports_neither_torch_nor_ray() -> None:
    assert not modules_after("import autodistill.report, autodistill.text, autodistill.study.record") & {"torch", "ray", "timm"}


def test_help_answers_in_under_0_7_seconds() -> None:
    import time

    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "autodistill", "--help"], check=True, capture_output=True)
        best = min(best, time.perf_counter() - started)
    assert best < 0.7


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
