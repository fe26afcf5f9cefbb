"""What keeps people out of the ditch: label-only baselines, what a teacher has to teach, shapes that cannot be matched."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill.reporting.checked import checked
from autodistill.reporting.summary import summary
from autodistill.reporting.terminal import frontier_table, remarks
from autodistill.spec import Spec, SpecError, UsageError
from autodistill.spec.measurement import SoftTargetEntropy
from autodistill.spec.stage import label_only
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.preflight.check import check
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.directory import dump
from autodistill.study.record.rows import network_of

from .searching import search
from .test_cli import call

BAD = {"ce": {"weight": 0.001}, "kd": {"weight": 0.001, "temperature": 1.0}}


@pytest.fixture(scope="module")
def with_baselines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A search whose students hardly train, so that their label-only baselines are better."""
    from .conftest import DOCUMENT, blobs

    folder = tmp_path_factory.mktemp("label_baselines")
    np.savez(folder / "data.npz", **blobs())
    document = json.loads(json.dumps(DOCUMENT))
    document["task"]["dataset"] = str(folder / "data.npz")
    recipe = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, "optimizer": "sgd"}
    document["student"] |= {"loss": BAD, "recipe": recipe}
    document["search"] |= {"trials": 4, "label_baselines": True}
    from autodistill.spec import parse

    return search(parse(document), out=folder / "out", runner="serial"), folder / "out"


def test_every_member_of_the_frontier_has_its_baseline(with_baselines: Any) -> None:
    study, out = with_baselines
    members = [row for row in study.rows() if row.frontier]
    assert members
    for row in members:
        network = network_of(study.store, row.stage)
        measured = study.store.manifest("stages", label_only(network).key())["measurement"]  # type: ignore[arg-type]
        assert row.label_only == measured["scores"]["accuracy"]["value"]
        assert row.worse_than_label_only == (row.value < measured["scores"]["accuracy"]["value"])


def test_a_student_worse_than_label_only_is_marked_everywhere(with_baselines: Any) -> None:
    study, out = with_baselines
    worse = [row.stage for row in study.rows() if row.worse_than_label_only]
    assert worse
    found = json.loads((out / "frontier.json").read_text())
    assert [row["stage"] for row in found["frontier"] if row["worse_than_label_only"]] == worse
    for name in ("frontier.csv", "trials.csv"):
        with (out / name).open() as file:
            assert [row["stage"] for row in csv.DictReader(file) if row["worse_than_label_only"] == "True"] == worse
    seen = summary(study.spec, study.rows(), study.chance)
    accuracies = list(frontier_table(seen).columns[1].cells)
    assert sum(str(cell).endswith(" !") for cell in accuracies) == len(worse)
    said = "worse on the validation samples than their label-only baselines with the same seed"
    assert any(said in line for line in remarks(seen))
    assert "worse than label-only" in (out / "frontier.svg").read_text()


def test_baselines_are_no_trials(with_baselines: Any) -> None:
    study, _ = with_baselines
    assert len([row for row in study.rows() if row.origin is not None]) == 4
    assert study.finished() and study.next() is None


def test_without_label_baselines_none_is_trained(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = search(tiny(search__trials=3), out=tmp_path / "out", runner="serial")
    assert all(row.label_only is None for row in study.rows())


def test_a_failing_baseline_ends_nothing(tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodistill.distill import jobs
    from autodistill.spec import StageFailed

    original = jobs.training

    def fail(store: Any, stage: Any, device: Any, rungs: Any, **how: Any) -> Any:
        if not stage.teachers and stage.architecture.width != 64:
            raise StageFailed("no")
        yield from original(store, stage, device, rungs, **how)

    monkeypatch.setattr(jobs, "training", fail)
    soft = {"kd": {"weight": 1.0, "temperature": 2.0}}
    spec = tiny(search__trials=2, search__label_baselines=True, student__loss=soft)
    study = search(spec, out=tmp_path / "out", runner="serial")
    assert study.finished() and all(row.state == "complete" for row in study.rows())
    members = [row for row in study.rows() if row.frontier]
    assert all(row.worse_than_label_only is None and "its label-only baseline failed: no" in row.reason for row in members)
    assert any("its label-only baseline failed" in line for line in remarks(summary(study.spec, study.rows(), study.chance)))
    assert study.pending.retry_failed() == len(members)
    monkeypatch.setattr(jobs, "training", original)
    again = search(spec, out=tmp_path / "out", runner="serial", options=Options(retry_failed=True))
    assert all(row.label_only is not None for row in again.rows() if row.frontier)


# Soft targets


def soft_targets(**changes: Any) -> SoftTargetEntropy:
    return SoftTargetEntropy(**{"entropy": {"1": 0.3, "4": 1.5, "8": 2.0}, "classes": 10, "train_accuracy": 0.95} | changes)


def test_a_saturated_and_an_overfitted_teacher_are_warned_of() -> None:
    assert soft_targets().warnings(0.92) == []
    (saturated,) = soft_targets(entropy={"1": 0.0, "4": 0.01, "8": 0.1}).warnings(0.92)
    assert "saturated" in saturated
    (learned,) = soft_targets(train_accuracy=1.0).warnings(0.8)
    assert "100.0% on training samples but 80.0%" in learned


def test_check_says_what_a_teacher_from_outside_has_to_teach(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = {"import": "tests.own:nearest", "arguments": {"path": str(tmp_path / "data.npz")}}
    spec = tiny(teacher=teacher, assistants={"at_most": 0})
    found = check(spec, timed=False)
    (taught,) = found.soft_targets
    assert taught is not None and set(taught.entropy) == {"1", "4", "8"} and 0.5 < taught.train_accuracy <= 1
    assert "mean entropy of the teacher's outputs" in checked(found, 1) and "uniform: 1.39" in checked(found, 1)


def test_check_knows_the_teacher_of_a_study_that_has_begun(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tiny(search__trials=1)
    assert check(spec, timed=False).soft_targets == (None,)
    search(spec, runner="serial")
    (taught,) = check(spec, timed=False).soft_targets
    assert taught is not None and taught.train_accuracy > 0.5


# Caches


def cached(tiny: Callable[..., Spec], **changes: Any) -> int:
    return check(tiny(**changes), timed=False).cache_bytes


def test_every_way_of_asking_for_outputs_is_counted(tiny: Callable[..., Spec]) -> None:
    recipe = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}
    one = cached(tiny, assistants={"at_most": 0})
    assert one == 160 * 4 * 4
    views = {"augmentation": {"mixup": 0.2}, "views": {"int": [1, 4]}}
    assert cached(tiny, assistants={"at_most": 0}, student__recipe=recipe | views) == 4 * 4 * one, "no less than 1 + 2 + 3 + 4"
    half = {"outputs_dtype": {"choice": ["float16", "float32"]}}
    assert cached(tiny, assistants={"at_most": 0}, student__recipe=recipe | half) == 2 * one
    fresh = {"augmentation": {"mixup": 0.2}}
    assert cached(tiny, assistants={"at_most": 0}, student__recipe=recipe | fresh) == 0
    hint = {"ce": {"weight": 1.0}, "hint": {"weight": 1.0}}
    assert cached(tiny, assistants={"at_most": 0}, student__loss=hint) == 0, "such teachers always run live"


# The ditch


@pytest.mark.parametrize(
    ("kd", "warned_of"),
    [
        ({"weight": 0.9, "temperature": 4.0}, True),
        ({"weight": {"uniform": [0.5, 1]}, "temperature": {"log": [4, 16]}}, True),
        ({"weight": 9.0, "temperature": 2.0, "standardized": True}, True),
        ({"weight": {"uniform": [0.5, 1]}, "temperature": {"log": [1, 16]}}, False),
        ({"weight": 0.9, "temperature": 4.0, "optional": True}, False),
        ({"weight": 0.1, "temperature": 4.0}, False),
        ({}, False),
    ],
)
def test_a_space_that_only_pulls_hard_is_warned_of(tiny: Callable[..., Spec], kd: dict[str, Any], warned_of: bool) -> None:
    loss = {"ce": {"weight": 0.1}, "kd": kd}
    found = check(tiny(student__loss=loss), timed=False)
    assert bool(found.cautions) == warned_of == ("warning      kd has weight * temperature^2 of" in checked(found, 1))


# Shapes


def refused(path: Path, capsys: pytest.CaptureFixture[str], spec: Spec) -> str:
    path.write_text(dump(spec.document()))
    code, found, _ = call(capsys, "check", str(path))
    assert code == 2
    return str(found["error"])


IMAGES = {"task__dataset": "sklearn/digits", "assistants": {"at_most": 0}}
VIT = {"family": "vit", "depth": 1, "heads": 1, "patch_size": 4}
RESNET = {"family": "resnet", "depth": 1, "width": {"int": [1, 2]}}


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({"hint": {"weight": 1.0}}, ["hint", "(2, 4, 4)", "(5, 16)"]),
        ({"attention": {"weight": 1.0, "kind": "maps"}}, ["attention", "maps"]),
        ({"cosine": {"weight": 1.0, "layers": [{"student": "stages.9", "teacher": "blocks.0"}]}}, ["stages.9", "stages.2"]),
    ],
)
def test_shapes_that_cannot_be_matched_are_refused_before_training(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str], loss: Any, words: list[str]
) -> None:
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}
    spec = tiny(
        **IMAGES,
        teacher={"architecture": VIT, "recipe": recipe},
        student={"architecture": RESNET, "loss": loss, "recipe": recipe},
    )
    said = refused(tmp_path / "spec.yaml", capsys, spec)
    assert ": student.loss: " in said and all(word in said for word in words), said


def test_similarity_takes_any_two_families(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    recipe = {"epochs": 1, "batch_size": 64, "learning_rate": 0.01}
    loss = {"ce": {"weight": 1.0}, "similarity": {"weight": 1000.0}, "balance": "initial"}
    spec = tiny(
        **IMAGES,
        teacher={"architecture": VIT, "recipe": recipe | {"epochs": 3}},
        student={"architecture": RESNET, "loss": loss, "recipe": recipe},
        search={"trials": 1, "label_baselines": False},
    )
    study = search(spec, out=tmp_path / "out", runner="serial")
    (row,) = [row for row in study.rows() if row.role == "student"]
    assert row.state == "complete"
    scales = study.store.manifest("stages", row.stage)["scales"]
    assert set(scales) == {"ce", "similarity"} and scales["ce"] == pytest.approx(1 / np.log(10), rel=0.5)


def test_a_ladder_that_cannot_be_compared_is_refused(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    hint = {"ce": {"weight": 1.0}, "hint": {"weight": 1.0}}
    spec = tiny(
        task__dataset="sklearn/digits",
        teacher={"architecture": {"family": "resnet", "depth": 2, "width": 16}, "recipe": {"epochs": 1}},
        student__architecture={"family": "resnet", "depth": 1, "width": 2},
        student__loss=hint,
    )
    with pytest.raises(UsageError, match="student.loss.*hint"):
        check(spec, timed=False)


VECTORS = {"augmentation": {"crop": 2}}


@pytest.mark.parametrize("part", ["student", "teacher", "assistants"])
def test_an_augmentation_that_does_not_suit_the_samples_is_refused_before_training(
    tiny: Callable[..., Spec], part: str
) -> None:
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01} | VECTORS
    with pytest.raises(UsageError, match=rf"{part}.recipe: augmentation.crop: takes images .* not samples of shape \(12,\)"):
        check(tiny(**{f"{part}__recipe": recipe}), timed=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"student__loss": {"ce": {"weight": 0.3}, "dkd": {"weight": "rest"}}},
            "dkd has weight: rest; only ce, mse, and kd can have it",
        ),
        ({"teacher": {"ensemble": [{"import": "a.b:c"}]}}, "needs two or more teachers, not 1"),
    ],
)
def test_specs_that_say_nothing_sensible(tiny: Callable[..., Spec], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        tiny(**changes)


def test_the_same_teacher_twice_is_no_ensemble(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    member = {"import": "tests.own:nearest", "arguments": {"path": str(tmp_path / "data.npz")}}
    with pytest.raises(UsageError, match="two of its teachers are the same network"):
        check(tiny(teacher={"ensemble": [member, member]}, assistants={"at_most": 0}), timed=False)


def test_the_own_store_of_another_study_is_not_shared(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """It is swept when that study begins, and what is being trained there would be taken away."""
    search(tiny(search__trials=1), out=tmp_path / "one", runner="serial")
    with pytest.raises(UsageError, match="is the private store of the study"):
        search(
            tiny(search__trials=1), out=tmp_path / "two", runner="serial", options=Options(store=str(tmp_path / "one/store"))
        )


def test_outputs_and_views_beyond_what_there_is_are_the_same_stage(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    keys = []
    mixed = {"augmentation": {"mixup": 0.2}}
    for recipe in ({"outputs_top": 4}, {"outputs_top": 9}, {}, mixed | {"views": 1}, mixed | {"views": 5}):
        spec = tiny(student__recipe={"epochs": 1} | recipe, student__loss={"kd": {"weight": 1.0}})
        spec, splits = load_data(spec, cuda=False)
        space = space_of(spec, splits, Store(tmp_path / "store"))
        keys.append(space.decode({path: domain.ends()[0] for path, domain in space.domains.items()}).key())
    assert keys[0] == keys[1] == keys[2] and keys[3] == keys[4] != keys[0]
