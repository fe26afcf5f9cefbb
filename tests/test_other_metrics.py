"""Studies whose metric is not accuracy: the whole way from a spec to a claim, and the gate of ignorant teachers."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill import Wanted, api
from autodistill.cli import main
from autodistill.metrics.metric import named, outcome
from autodistill.metrics.own import called, drawn_rows, own_metric, pinned
from autodistill.spec import OwnMetric, Spec, SpecError, StudyError, UsageError

from .conftest import RECIPE
from .searching import search


def rare(path: Path, samples: int = 800, share: float = 0.04) -> str:
    """Two overlapping classes, one with 4% of the samples."""
    rng = np.random.default_rng(0)
    y = (np.arange(samples) < share * samples).astype(np.int64)
    x = rng.normal(size=(samples, 6)) + 0.9 * y[:, None]
    order = rng.permutation(samples)
    np.savez(path / "rare.npz", x=x[order].astype(np.float32), y=y[order])
    return str(path / "rare.npz")


@pytest.fixture
def changes(tmp_path: Path) -> dict[str, Any]:
    """Teacher and students weigh the classes alike, so that they find the rare one at the cost of some accuracy."""
    weighed = {"ce": {"weight": 1.0, "class_weights": "balanced"}}
    return {
        "task__dataset": rare(tmp_path),
        "task__split": {"validation": 0.3, "test": 0.3, "seed": 0},
        "teacher": {
            "architecture": {"family": "mlp", "depth": 1, "width": 32},
            "recipe": RECIPE | {"epochs": 10},
            "loss": weighed,
        },
        "student__loss": {"ce": {"weight": 0.5, "class_weights": "balanced"}, "kd": {"weight": 0.5, "temperature": 2}},
        "student__recipe": RECIPE | {"epochs": 6},
        "assistants__at_most": 0,
    }


def test_a_sound_teacher_is_refused_by_accuracy_and_the_message_names_a_metric(
    tiny: Callable[..., Spec], changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as refused:
        api.search(tiny(**changes), out=tmp_path / "out", runner="serial")
    message = str(refused.value)
    assert "no better than a network that ignores its input (96.2%)" in message
    assert "its balanced accuracy of" in message
    assert "is better than such a network's (50.0%), so set task.metric: balanced_accuracy" in message


@pytest.fixture
def balanced(tiny: Callable[..., Spec], changes: dict[str, Any], tmp_path: Path) -> Path:
    more = {"task__metric": "balanced_accuracy", "task__also": ["accuracy", "log_loss"], "search__halving": {"first": 0.5}}
    found = search(tiny(**changes, **more), out=tmp_path / "out", runner="serial")
    assert found.finished() and found.record.trials[0].value == found.rows()[-found.trials.counted].value
    return tmp_path / "out"


@pytest.mark.slow
def test_a_study_of_balanced_accuracy_speaks_of_it_from_the_search_to_the_export(balanced: Path) -> None:
    with (balanced / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"balanced_accuracy", "low", "high", "accuracy", "log_loss", "rung_balanced_accuracy"} <= rows[0].keys()
    front = [row for row in rows if row["frontier"] == "True"]
    values = [float(row["balanced_accuracy"]) for row in sorted(front, key=lambda row: int(row["params"]))]
    assert values == sorted(values) and len(values) >= 2
    facts = json.loads((balanced / "frontier.json").read_text())
    assert facts["region"]["balanced_accuracy"] == pytest.approx(0.5) and "balanced_accuracy" in facts["teacher"]

    claim = api.open(balanced).smallest(Wanted(target=0.55), seeds=1, runner="serial")
    assert claim.answer is not None and "a balanced accuracy of at least 55%" in claim.sentence()
    confirmed = json.loads((balanced / "confirm.json").read_text())
    assert confirmed["metric"] == "balanced_accuracy" and confirmed["also"] == ["accuracy", "log_loss"]
    assert set(confirmed["members"][0]["test"]["scores"]) >= {"accuracy", "balanced_accuracy", "f1_macro", "log_loss"}
    page = api.open(balanced).report().page.read_text()
    assert "balanced accuracy" in page
    exported = api.open(balanced).export(balanced / "model", wanted=Wanted(target=0.55))
    assert exported.to is not None and "balanced accuracy" in (balanced / "model" / "card.md").read_text()


@pytest.mark.slow
def test_a_target_on_the_command_line_names_its_metric(balanced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api.open(balanced).confirm(seeds=0, runner="serial")
    capsys.readouterr()
    assert main(["smallest", str(balanced), "--target", "balanced_accuracy=0.55"]) == 0
    assert "a balanced accuracy of at least 55%" in capsys.readouterr().out
    assert main(["smallest", str(balanced), "--target", "log_loss=3"]) == 0
    assert "a log loss of at most 3" in capsys.readouterr().out
    assert main(["smallest", str(balanced), "--target", "f1=0.9"]) == 2
    assert "--target: 'f1' is not a metric" in capsys.readouterr().err


@pytest.mark.slow
def test_by_a_loss_smaller_is_better_everywhere(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(
        task__metric="log_loss", task__also=["accuracy"], search__region=0.5, search__trials=8, search__label_baselines=True
    )
    assert spec.search.objectives == ("log_loss", "params")
    study = search(spec, out=tmp_path / "out", runner="serial")
    frontier = api.open(tmp_path / "out").frontier
    losses, sizes = list(frontier["log_loss"]), list(frontier["params"])
    assert losses == sorted(losses, reverse=True) and sizes == sorted(sizes) and len(losses) >= 2
    for row in study.rows():
        if row.origin is not None and row.is_complete and not row.frontier:
            assert any(loss <= row.value and size <= row.params for loss, size in zip(losses, sizes, strict=True))
    teacher = study.rows()[0]
    assert study.chance == pytest.approx(np.log(4), rel=0.01)
    assert study.region.floor == pytest.approx((study.chance + teacher.value) / 2)
    assert all(row.inside == (row.value <= study.region.floor and row.params < teacher.params) for row in study.rows()[1:])
    claim = api.open(tmp_path / "out").smallest(Wanted(target=1.3), seeds=1, runner="serial")
    assert claim.answer is not None and "a log loss of at most 1.3" in claim.sentence()
    best = min(claim.tested, key=lambda one: one.member.on_validation.value)
    assert best.member.params == max(one.member.params for one in claim.tested)
    assert api.open(tmp_path / "out").report().page.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task__metric": "acuracy"}, "task.metric: 'acuracy' is not a metric; did you mean 'accuracy'"),
        ({"task__also": ["top5", "auc"]}, r"task.also\[1\]: 'auc' is not a metric; did you mean 'auroc'"),
        ({"search__target": 1.5}, "search.target: 1.5 is not a valid accuracy; give a number from 0 to 1"),
    ],
)
def test_wrong_metrics_are_refused_with_their_place(
    tiny: Callable[..., Spec], tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        api.search(tiny(**given), out=tmp_path / "out", runner="serial")


def test_the_objectives_and_the_metric_must_agree(tiny: Callable[..., Spec]) -> None:
    with pytest.raises(SpecError, match="the first objective is accuracy, but task.metric is f1_macro; make them equal"):
        tiny(task__metric="f1_macro", search__objectives=["accuracy", "params"])
    assert tiny(task__metric="f1_macro", search__objectives=["f1_macro", "macs"]).search.objectives == ("f1_macro", "macs")


@pytest.mark.parametrize("also", [["accuracy"], ["top5", "top5"]])
def test_a_metric_is_shown_once(tiny: Callable[..., Spec], also: list[str]) -> None:
    with pytest.raises(SpecError, match=rf"task.also\[{len(also) - 1}\]: {also[-1]} is already shown; remove it"):
        tiny(task__also=also)


def test_a_study_continues_only_by_its_own_metric(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    api.search(tiny(search__trials=2), out=tmp_path / "out", runner="serial")
    with pytest.raises(UsageError, match="task.metric was 'accuracy', is 'f1_macro'"):
        api.search(tiny(search__trials=2, task__metric="f1_macro"), out=tmp_path / "out", runner="serial")


OWN = """
import numpy as np
from sklearn.metrics import roc_auc_score

def cost(outputs, labels):
    return 10.0 * (outputs.argmax(1) != labels)

def area(outputs, labels):
    return roc_auc_score(labels, outputs[:, 1])

def total(outputs, labels):
    return np.ones(len(labels)) * 10 * (0.1 + 0.2 - 0.3 + 1)

def destructive(outputs, labels):
    found = float((outputs.argmax(1) == labels).mean())
    outputs[:], labels[:] = 0, 0
    return found

def undefined(outputs, labels):
    return float("nan")

def column(outputs, labels):
    return labels[:, None]
"""
NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with metrics."""
    name = f"own_metrics_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def own(module: str, function: str, **more: Any) -> OwnMetric:
    return OwnMetric.model_validate({"import": f"{module}:{function}", **more}, by_alias=True)


def few(positive: int = 3, samples: int = 60) -> tuple[Any, Any]:
    logits = np.random.default_rng(0).normal(size=(samples, 2))
    return logits, (np.arange(samples) < positive).astype(np.int64)


def test_a_metric_of_your_own_from_the_search_to_the_export(tiny: Callable[..., Spec], module: str, tmp_path: Path) -> None:
    metric = {"import": f"{module}:cost", "better": "lower", "bounded": [0, 10]}
    spec = tiny(task__metric=metric, task__also=["accuracy"], search__trials=3, assistants__at_most=0)
    study = api.search(spec, out=tmp_path / "out", runner="serial")
    front = study.frontier
    assert np.allclose(front["cost"], 10 * (1 - front["accuracy"])) and front["cost"].is_monotonic_decreasing
    again = api.search(spec, out=tmp_path / "out", runner="serial")
    assert again.run is not None and again.run.trained == 0
    claim = study.smallest(Wanted(target=9.0), seeds=1, runner="serial")
    assert claim.answer is not None and "a cost of at most 9" in claim.sentence()
    assert study.export(tmp_path / "model", wanted=Wanted(target=9.0)).to is not None
    (tmp_path / f"{module}.py").write_text(OWN.replace("10.0", "20.0"))
    with pytest.raises(UsageError, match="task.metric.*has changed since this process imported it; restart this program"):
        api.search(spec, out=tmp_path / "other", runner="serial")


def test_a_metric_that_changed_after_its_import_is_refused(module: str, tmp_path: Path) -> None:
    importlib.import_module(module)
    (tmp_path / f"{module}.py").write_text(OWN.replace("10.0", "20.0"))
    with pytest.raises(UsageError, match=f"{module}.py has changed since this process imported {module}"):
        pinned(own(module, "cost"), few()[1], 2)


def test_a_function_that_needs_all_classes_has_an_error_although_one_is_rare(module: str) -> None:
    logits, labels = few()
    metric = own_metric(pinned(own(module, "area", bounded=[0, 1]), labels, 2).text())
    found = metric.score(outcome(logits, labels), 2)
    assert 0 < found.error < 0.3 and found.low < found.value < found.high and metric.floor(labels, 2) == 0.5


@pytest.mark.parametrize("several", [False, True])
def test_draws_keep_each_class_and_are_of_all_samples(several: bool) -> None:
    labels = few(1, 40)[1]
    labels = np.stack([labels, 1 - labels, np.zeros_like(labels)], 1) if several else labels
    random = np.random.default_rng(0)
    rows = np.stack([drawn_rows(labels, random) for _ in range(2000)])
    for drawn in labels[rows]:
        assert np.array_equal(drawn.max(axis=0), labels.max(axis=0)) and np.array_equal(drawn.min(axis=0), labels.min(axis=0))
    counts = np.bincount(rows.ravel(), minlength=40) / 2000
    assert np.abs(counts[1:] - 1).max() < 0.15, "as many as without the rule"


def test_a_value_beyond_its_bound_by_rounding_is_the_bound(module: str) -> None:
    logits, labels = few()
    assert called(own(module, "total", bounded=[0, 10]), outcome(logits, labels)).max() == 10


def test_a_function_may_write_to_what_it_gets(module: str) -> None:
    logits, labels = few()
    found = outcome(logits, labels)
    assert (
        called(own(module, "destructive"), found)
        == called(own(module, "destructive"), found)
        == (logits.argmax(1) == labels).mean()
    )


@pytest.mark.parametrize(
    ("function", "words"), [("undefined", "returned nan of type float"), ("column", r"with shape \(60, 1\)")]
)
def test_what_is_no_value_is_refused(module: str, function: str, words: str) -> None:
    logits, labels = few()
    with pytest.raises(UsageError, match=words):
        called(own(module, function), outcome(logits, labels))


FAILS = """
import numpy as np

def right(outputs, labels):
    '''Has no value for students that are unsure, and fails for some of the others.'''
    sure = outputs.max(1).mean()
    if 0.3 < sure < 0.4:
        return np.full(len(labels), np.nan)
    if 0.4 < sure < 0.5:
        raise ZeroDivisionError("nobody is sure")
    return (outputs.argmax(1) == labels) * 1.0
"""


@pytest.mark.parametrize("stored", [False, True])
def test_a_metric_without_a_value_for_a_student_fails_its_trial_alone(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    name = f"own_metrics_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(FAILS)
    monkeypatch.syspath_prepend(str(tmp_path))
    changes: dict[str, Any] = {"search__trials": 6, "search__tolerate_failures": 1.0, "student__recipe": RECIPE | {"epochs": 3}}
    if stored:  # networks of another study, which measured only accuracy
        api.search(tiny(**changes), out=tmp_path / "first", store=tmp_path / "store", runner="serial")
    changes["task__metric"] = {"import": f"{name}:right", "bounded": [0, 1]}
    found = api.search(tiny(**changes), out=tmp_path / "out", store=tmp_path / "store", runner="serial").trials
    failed = found[found["state"] == "failed"]
    assert (found["state"] == "complete").any() and len(found) >= 6
    reasons = " ".join(failed["reason"])
    assert f"{name}:right failed with ZeroDivisionError: nobody is sure" in reasons
    assert "with numbers that are not finite; return one number, or one for each of the 80 samples" in reasons


@pytest.mark.slow
def test_a_metric_of_your_own_is_shown_beside_another(tiny: Callable[..., Spec], module: str, tmp_path: Path) -> None:
    also = ["log_loss", {"import": f"{module}:cost", "better": "lower", "bounded": [0, 10], "name": "price"}]
    spec = tiny(task__also=also, search__trials=3, assistants__at_most=0)
    study = api.search(spec, out=tmp_path / "out", runner="serial")
    assert np.allclose(study.frontier["price"], 10 * (1 - study.frontier["accuracy"]))
    assert api.search(spec, out=tmp_path / "out", runner="serial").run.trained == 0  # type: ignore[union-attr]
    confirmed = study.confirm(seeds=1, runner="serial")
    assert confirmed.also[0] == "log_loss" and named(confirmed.also[1]).label == "price"
    for member in confirmed.members:
        scores = member.test.scores
        assert scores[confirmed.also[1]].value == pytest.approx(10 * (1 - scores["accuracy"].value))
    page = study.report().page.read_text()
    assert page.count("price") == 2 and "own:" not in page.split("<body", 1)[1].split("<script", 1)[0]
    assert study.export(tmp_path / "model", wanted=Wanted(target=0.3)).to is not None
    assert "price" in (tmp_path / "model" / "card.md").read_text()


def test_what_is_wrong_with_a_metric_beside_another_names_its_place(
    tiny: Callable[..., Spec], module: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"task.also\[0\]: the metric {module}:undefined returned nan"):
        api.check(tiny(task__also=[{"import": f"{module}:undefined"}]))
    with pytest.raises(SpecError, match=r"task.also\[1\]: cost is already shown; remove it, or give it another name"):
        tiny(task__also=["top5", {"import": f"{module}:cost"}], task__metric={"import": f"{module}:cost"})
