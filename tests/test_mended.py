"""What misled people: hints for keys and domains, students that ignore their input, and teachers that `check` knew but hid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill import spec
from autodistill.api import check
from autodistill.cli import main
from autodistill.metrics.metric import ACCURACY
from autodistill.reporting.checked import checked
from autodistill.reporting.page import html
from autodistill.reporting.page.answer import Wanted, answer
from autodistill.reporting.page.study import read_study
from autodistill.spec import Spec, UsageError
from autodistill.spec.schema import homes
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.opened import open_study

from .conftest import DOCUMENT
from .searching import search


def said(path: str, value: object) -> str:
    """What is said of a spec with this value at a path with dots."""
    document: dict[str, Any] = json.loads(json.dumps(DOCUMENT)) | {}
    document["task"]["dataset"] = "x.npz"
    *above, last = path.split(".")
    place = document
    for part in above:
        place = place[part]
    place[last] = value
    with pytest.raises(UsageError) as error:
        spec.parse(document)
    return str(error.value)


@pytest.mark.parametrize(
    ("domain", "own"),
    [
        ({"loguniform": [1e-4, 1e-2]}, "log"),
        ({"log_uniform": [1e-4, 1e-2]}, "log"),
        ({"LogUniform": [1e-4, 1e-2]}, "log"),
        ({"randint": [1, 4]}, "int"),
        ({"min": 1, "max": 4}, "int"),
        ({"float": [0, 1]}, "uniform"),
        ({"categorical": [1, 2]}, "choice"),
        ({"values": [1, 2]}, "choice"),
    ],
)
def test_a_domain_of_another_tool_is_translated(domain: dict[str, Any], own: str) -> None:
    name = next(iter(domain))
    assert f"{name!r} is not a known domain; it is called {own!r} here: {{{own}: [" in said("student.loss.kd.weight", domain)


def test_a_domain_that_is_not_searched_is_refused_by_any_name() -> None:
    assert "is a domain, but only student is searched" in said("teacher.recipe.learning_rate", {"loguniform": [1e-4, 1e-2]})


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("search.metric", "task.metric"),
        ("metric", "task.metric"),
        ("trials", "search.trials"),
        ("target", "search.target"),
        ("student.epochs", "student.recipe.epochs"),
        ("teacher.learning_rate", "teacher.recipe.learning_rate"),
        ("search.gpus", "resources.gpus"),
        ("task.sampler", "search.sampler"),
        ("task.normalize", "teacher.normalize or search.incumbent.normalize"),
        ("task.normalise", "teacher.normalize or search.incumbent.normalize"),
        ("student.recipe.normalize", "teacher.normalize or search.incumbent.normalize"),
    ],
)
def test_a_key_at_the_wrong_place_is_told_the_right_one(path: str, places: str) -> None:
    found = said(path, 1)
    assert f"is not a key here; it belongs at {places}" in found
    assert ("network from a file" in found) == ("normal" in path)


@pytest.mark.parametrize("key", ["metric", "validation", "epochs", "gpus", "sampler", "checkpoint", "at_most", "uri"])
def test_every_place_that_is_named_takes_that_key(key: str) -> None:
    found = homes(key, ("nowhere",))
    assert found
    for place in found:
        document: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
        inner = document
        for part in place.split(".")[:-1]:
            inner = inner.setdefault(part, {})
        inner[key] = {"wrong": [[]]}
        with pytest.raises(UsageError) as error:
            spec.parse(document)
        assert f"{key!r} is not a key here" not in str(error.value)


# Students that ignore their input


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of rare positives: the majority class alone is right on 94%, which is 96% of what the teacher has."""
    folder, rng = tmp_path_factory.mktemp("skewed"), np.random.default_rng(0)
    y = (rng.random(2000) < 0.06).astype(int)
    x = rng.normal(size=(2000, 8)).astype(np.float32)
    x[y == 1, :3] += 2.2
    np.savez(folder / "data.npz", x=x, y=y)
    document: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    document["task"]["dataset"] = str(folder / "data.npz")
    document["teacher"]["recipe"] |= {"epochs": 10}
    document["student"]["architecture"] |= {"depth": 1, "width": 1}
    document["search"] |= {"trials": 3, "region": "all", "target": 0.9}
    document["assistants"] = {"at_most": 0}
    search(spec.parse(document), out=folder / "out", runner="serial")
    return folder / "out"


@pytest.mark.slow
def test_a_student_at_the_majority_class_is_called_out_and_is_no_headline(
    skewed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_study(StudyDirectory(skewed)) as study:
        rows, chance = study.rows(), study.notes.chance
    (member,) = [row for row in rows if row.frontier]
    assert member.ignorant and not ACCURACY.clears(member.score, chance) and (member.of_teacher or 0) > 0.9
    assert not rows[0].ignorant, "the teacher is none"
    assert main(["report", str(skewed)]) == 0
    text = capsys.readouterr().out
    assert f"{ACCURACY.text(member.value)} ?" in text
    found = json.loads((skewed / "frontier.json").read_text())
    assert all(line["params"] is None for line in found["headline"]) and found["frontier"][0]["ignorant"] is True
    assert found["target"]["reached"] is False
    assert "no student is shown to be better than a network that ignores its input" in text


def test_its_page_says_so_and_answers_with_no_student(skewed: Path) -> None:
    study = read_study(skewed)
    answered = answer(study, Wanted())
    assert not answered.meets and answered.stage is None
    assert "not shown to be better than a network that ignores its input" in html(study, answered)


def test_the_search_remarks_on_it(skewed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(skewed / "spec.yaml"), "--out", str(skewed), "--runner", "serial"]) == 0
    text = capsys.readouterr().out
    assert "? marks networks (params " in text
    assert "90% of the teacher's accuracy: no student" in text


# Teachers that are there already


def outside(tiny: Callable[..., Spec], tmp_path: Path) -> Path:
    """The folder of a trained teacher."""
    study = search(tiny(search__trials=1), out=tmp_path / "first", runner="serial")
    (key,) = study.teachers
    return study.store.folder("stages", key)


def test_check_measures_a_teacher_from_a_checkpoint(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    folder = outside(tiny, tmp_path)
    found = check(tiny(teacher={"checkpoint": str(folder)}), workers=1)
    (teacher,) = found.teachers
    manifest = json.loads((folder / "stage.json").read_text())
    assert teacher.score is not None
    assert teacher.score.value == pytest.approx(manifest["measurement"]["scores"]["accuracy"]["value"])
    low, high = (f"{end:.1%}" for end in (teacher.score.low, teacher.score.high))
    (line,) = [line for line in checked(found, 1).splitlines() if line.startswith("teacher ")]
    assert line.endswith(f", checkpoint; validation accuracy {teacher.score.value:.1%} (95%: {low} to {high})")
    assert found.as_json()["teachers"][0]["score"]["n"] == teacher.score.n


def test_check_measures_an_imported_teacher_and_warns_of_one_that_ignores_its_input(tiny: Callable[..., Spec]) -> None:
    own = {"import": "tests.test_mended:constant"}
    found = check(tiny(teacher=own, assistants={"at_most": 0}), workers=1)
    assert found.teachers[0].score is not None and found.teachers[0].score.value == pytest.approx(0.25, abs=0.02)
    assert any("a search refuses the teacher" in line and "ignores its input" in line for line in found.cautions)


def test_check_knows_nothing_of_a_teacher_that_is_to_be_trained(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = check(tiny(), workers=1)
    assert found.teachers[0].score is None and "validation accuracy" not in checked(found, 1)


def test_check_times_steps_with_the_threads_of_a_trial(tiny: Callable[..., Spec]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = check(tiny(student__architecture={"import": "tests.own:OneThread"}), workers=1)
        assert found.seconds is not None and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def constant() -> Any:
    """A network that says class 0, whatever it sees."""
    import torch
    from torch import nn

    network = nn.Linear(12, 4)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    return network
