"""The Python API: what it exports, what its docstrings say, one name for one thing, and a study from the search to files."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import autodistill
from autodistill import Study, Wanted, api
from autodistill.cli import main
from autodistill.spec import Spec, UsageError

FUNCTIONS = [getattr(api, name) for name in api.__all__ if name not in ("load", "Study")]
METHODS = [getattr(Study, name) for name in ("chain", "confirm", "explain", "export", "module", "report", "smallest")]
PLAIN = ("self", "spec", "study", "studies", "runner", "seeds", "console", "force")
"""Arguments that need no explanation."""


def test_all_that_is_exported_exists() -> None:
    for name in autodistill.__all__:
        assert getattr(autodistill, name) is not None
    assert {*api.__all__} <= {*autodistill.__all__}
    assert (Path(autodistill.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        _ = autodistill.serch  # type: ignore[attr-defined]


@pytest.mark.parametrize("found", [*FUNCTIONS, *METHODS], ids=lambda found: found.__qualname__)
def test_a_docstring_gives_result_errors_and_an_example(found: Callable[..., object]) -> None:
    text = inspect.getdoc(found) or ""
    for part in ("Returns: ", "Raises: ", "Example:"):
        assert part in text, f"{found.__name__} does not say {part}"
    assert f".{found.__name__}(" in text.partition("Example:")[2]
    arguments = [one for one in inspect.signature(found).parameters if one not in PLAIN]
    assert all(f"`{one}`" in text for one in arguments), f"{found.__name__} explains {arguments}"


def test_importing_the_api_is_light() -> None:
    heavy = ("torch", "ray", "optuna", "numpy")
    code = f"import sys, autodistill; autodistill.search; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_study_from_search_to_files(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec, out = tiny(search__trials=2), tmp_path / "study"
    assert autodistill.check(spec, workers=1).teachers
    study = autodistill.search(spec, out=out, runner="serial")
    assert len(study.frontier) >= 1 and {"teacher", "student"} <= set(study.trials["role"])
    assert study.run is not None and study.run.trained >= 2 and "2 trials" in repr(study)
    assert "<table>" in study._repr_html_() and "data:image/png" in study._repr_html_()
    confirmed = study.confirm(seeds=1, runner="serial")
    assert {one.stage for one in confirmed.members} >= {row.stage for row in study.rows() if row.frontier and row.inside}
    claim = study.smallest(accuracy=0.05)
    assert claim.answer is not None and claim.sentence().startswith("Yes: ") and claim.later == 0
    assert repr(claim).startswith(claim.sentence())
    none = autodistill.open(out).smallest(Wanted(target=0.999999))
    assert none.answer is None
    with pytest.raises(UsageError, match="there is no network to load: No"):
        none.module()
    with pytest.raises(UsageError, match="accuracy and wanted are two targets"):
        study.smallest(Wanted(retain=0.9), accuracy=0.5)
    with pytest.raises(UsageError, match="retain and wanted are two targets"):
        study.smallest(Wanted(target=0.9), retain=0.5)
    kept = study.smallest(retain=0.5)
    assert kept.sentence() == study.smallest(Wanted(retain=0.5)).sentence() and "50% of the teacher's" in kept.sentence()
    found = study.report()
    assert found.page == out / "report.html" and found.page.exists() and found.summary.study == spec.study
    again = autodistill.search(spec.model_copy(update={"study": "other"}), out=tmp_path / "other", runner="serial")
    assert autodistill.compare([study, again.path], tmp_path / "both").page.exists()
    assert study.explain(claim.answer.stage[:12]).stage == claim.answer.stage
    exported = study.export(tmp_path / "model", accuracy=0.05)
    assert exported.to == str(tmp_path / "model") and (tmp_path / "model" / "model.safetensors").exists()
    with pytest.raises(UsageError, match="already names a network"):
        study.export(tmp_path / "no", stage="ab", accuracy=0.05)
    assert json.dumps([claim.as_json(), confirmed.as_json(), exported.as_json()])


@pytest.mark.slow
def test_the_module_of_an_answer_is_the_network_that_was_measured(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    from autodistill.data import read, split

    spec = tiny(search__trials=3)
    study = autodistill.search(spec, out=tmp_path / "study", runner="serial")
    validation = split(read(spec.task), spec.task).validation
    x, y = torch.from_numpy(validation.x["x"]), torch.from_numpy(validation.y)  # type: ignore[arg-type]
    for row in study.frontier.itertuples():
        network = study.module(row.stage)
        assert not network.training and not any(one.requires_grad for one in network.parameters())
        assert float((network(x).argmax(1) == y).double().mean()) == pytest.approx(row.accuracy)
    claim = study.smallest(accuracy=0.05, seeds=1, runner="serial")
    assert claim.answer is not None and claim.module()(x).shape == (len(y), 4)
    with pytest.raises(UsageError, match="'zz' matches no network"):
        study.module("zz")


@pytest.fixture
def named(tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with tiny.yaml and its study in reports/tiny."""
    from autodistill.study.record.directory import dump

    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(dump(tiny(search__trials=2).document()))
    autodistill.search("tiny.yaml", runner="serial")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny.yaml", "reports/tiny", "reports/tiny/spec.yaml"])
def test_every_command_takes_a_spec_or_its_study(name: str, named: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = autodistill.open("reports/tiny").frontier["stage"][0]
    fast = ["--runner", "serial", "--seeds", "1"]
    commands: dict[str, list[str]] = {
        "check": [],
        "search": ["--runner", "serial"],
        "confirm": fast,
        "smallest": [*fast, "--accuracy", "0.05"],
        "export": ["--accuracy", "0.05", "--to", "model"],
        "report": [],
        "explain": [str(key)],
        "chain": [*fast, "--student", "depth=1,width=4"],
    }
    before = {path.name for path in Path("reports").iterdir()}
    for command, options in commands.items():
        assert main([command, name, *options]) == 0, (command, capsys.readouterr().err)
    assert {path.name for path in Path("reports").iterdir()} == before == {"tiny"}


NAMES: Mapping[str, tuple[Callable[[], object], str]] = {
    "a spec that was not searched": (
        lambda: {**autodistill.load("tiny.yaml").document(), "study": "new"},
        "run the search first",
    ),
    "a study of another spec": (
        lambda: autodistill.load("tiny.yaml", ["student.recipe.epochs=3"]),
        "contains a study of another spec .student.recipe.epochs was 2, is 3",
    ),
    "nothing": (lambda: "reports/tine", "reports/tine does not exist; give the directory of a study"),
    "an empty directory": (lambda: "empty", "contains no study"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_names_no_study_is_refused(name: str, named: Path) -> None:
    make, words = NAMES[name]
    Path("empty").mkdir()
    what: Any = make()
    with pytest.raises(UsageError, match=words):
        autodistill.open(what)
