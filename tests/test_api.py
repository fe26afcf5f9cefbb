"""The Python API: what it exports, what its docstrings say, and one study from the search to the files that are handed over."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autodistill
from autodistill import Wanted, api
from autodistill.spec import Spec, UsageError

FUNCTIONS = [name for name in api.__all__ if name != "load"]


def test_all_that_is_exported_exists() -> None:
    for name in autodistill.__all__:
        assert getattr(autodistill, name) is not None
    assert {*api.__all__} <= {*autodistill.__all__}
    assert (Path(autodistill.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        _ = autodistill.serch  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_gives_result_errors_and_an_example(name: str) -> None:
    found = getattr(api, name)
    text = inspect.getdoc(found) or ""
    for part in ("Returns: ", "Raises: ", "Example:"):
        assert part in text, f"{name} does not say {part}"
    assert f"autodistill.{name}(" in text
    arguments = [
        one for one in inspect.signature(found).parameters if one not in ("spec", "study", "studies", "runner", "seeds")
    ]
    assert all(f"`{one}`" in text or one in ("console", "force") for one in arguments), f"{name} explains {arguments}"


def test_importing_the_api_is_light() -> None:
    heavy = ("torch", "ray", "optuna", "numpy")
    code = f"import sys, autodistill; autodistill.search; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_study_from_search_to_files(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec, out = tiny(search__trials=2), tmp_path / "study"
    assert autodistill.check(spec, workers=1).teachers
    study = autodistill.search(spec, out=out, runner="serial")
    assert len(study.frontier()) >= 1
    confirmed = autodistill.confirm(out, seeds=1, runner="serial")
    assert {one.stage for one in confirmed.members} >= {row.stage for row in study.rows() if row.frontier and row.inside}
    claim = autodistill.smallest(out, Wanted(target=0.05))
    assert claim.answer is not None and claim.sentence().startswith("Yes: ") and claim.later == 0
    assert autodistill.smallest(out, Wanted(target=0.999999)).answer is None
    found = autodistill.report(out)
    assert found.page == out / "report.html" and found.page.exists() and found.summary.study == spec.study
    again = autodistill.search(spec.model_copy(update={"study": "other"}), out=tmp_path / "other", runner="serial")
    assert autodistill.compare([out, tmp_path / "other"], tmp_path / "both").page.exists()
    assert autodistill.explain(out, claim.answer.stage[:12]).stage == claim.answer.stage
    exported = autodistill.export(out, to=tmp_path / "model", wanted=Wanted(target=0.05))
    assert exported.to == str(tmp_path / "model") and (tmp_path / "model" / "model.safetensors").exists()
    with pytest.raises(UsageError, match="already names a network"):
        autodistill.export(out, to=tmp_path / "no", stage="ab", wanted=Wanted(target=0.05))
    assert json.dumps([claim.as_json(), confirmed.as_json(), exported.as_json()])
    assert again.finished()
