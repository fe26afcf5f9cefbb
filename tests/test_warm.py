"""Warm starts: what is tried first, the incumbent, and what a study keeps of an older one."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.cli import main
from autodistill.reporting.checked import checked
from autodistill.spec import Spec, SpecError, StudyError, UsageError
from autodistill.spec.domains import Choice, Int, Log, Uniform
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.preflight.check import check
from autodistill.study.preflight.prepare import incumbent_of, load_data, space_of
from autodistill.study.record.directory import StudyDirectory, dump
from autodistill.study.record.record import Record, Trial
from autodistill.study.sampling.first import PUBLISHED, TEMPERATURES, completed, configurations, default, defaults
from autodistill.study.schedule.scheduler import Study
from autodistill.study.space import Space

from .searching import search

WIDE = {"family": "mlp", "depth": {"int": [1, 3]}, "width": {"int": [4, 24]}}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Study]:
    def go(spec: Spec, out: str = "out", **options: Any) -> Study:
        return search(spec, out=tmp_path / out, runner="serial", options=Options(**options))

    return go


def asked(study: Study) -> list[Trial]:
    return [trial for trial in study.record.trials if not trial.is_assistant]


# Defaults


@given(st.integers(1, 200), st.integers(0, 200))
def test_a_default_is_in_its_domain(low: int, more: int) -> None:
    for path in ("architecture.width", "recipe.epochs", *(f"loss.{name}" for name in (*PUBLISHED, *TEMPERATURES))):
        for domain in (Int(low=low, high=low + more), Log(low=low / 7, high=low + more), Uniform(low=-low, high=more)):
            assert default(path, domain) in domain
        plain = Choice(options=(low + more + 1, low))
        assert default(path, plain) in plain


def test_defaults_are_published_values_or_middles() -> None:
    weight = Uniform(low=0, high=1)
    assert default("loss.kd.weight", weight) == default("loss{1}.kd{1}.weight", weight) == 0.5
    assert default("loss.kd.temperature", Log(low=1, high=16)) == 2
    assert default("loss.kd.temperature", Log(low=3, high=16)) == 3  # the nearest: less pull than the middle
    assert default("loss.hint.weight", Log(low=10, high=1000)) == 100
    assert default("loss.attention.weight", Log(low=0.1, high=10)) == pytest.approx(1)  # of transformers
    assert default("architecture.width", Int(low=4, high=64)) == 16
    assert default("recipe.learning_rate", Log(low=1e-4, high=1e-2)) == pytest.approx(1e-3)
    assert default("recipe.batch_size", Choice(options=(128, 32, 64))) == 64
    assert default("init", Choice(options=("random", "from_teacher"))) == "random"
    assert default("loss.kd", Choice(options=(None, {"weight": 0.5}))) == 1
    assert default("loss.hint", Choice(options=(None, {"weight": 100.0}))) == 0
    assert default("loss", Choice(options=({"ce": {"weight": 1.0}}, {"kd": {"weight": 1.0}}))) == 1


def test_without_a_region_middle_smallest_and_largest_go_first(space: Callable[..., Space]) -> None:
    made = space()
    first = defaults(made, None)
    assert [one.name for one in first] == ["default[0]", "default[1]", "default[2]"]
    sizes = [made.sizes(made.architecture(one.params)).params for one in first]
    everything = sorted(made.sizes(one).params for one in made.architectures()[0])
    assert sizes[1:] == [everything[0], everything[-1]]
    middle = math.sqrt(everything[0] * everything[-1])
    assert sum(abs(math.log(size / middle)) < abs(math.log(sizes[0] / middle)) for size in everything) < 3
    assert made.architecture(first[0].params).depth == 1  # as even as its neighbors in size
    for one in first:
        stage = made.decode(one.params)
        assert stage.loss.kd is not None and (stage.loss.kd.weight, stage.loss.kd.temperature) == (0.5, 2.0)
        assert [network.key() for network in stage.teachers] == [made.teachers[0].key()]  # no assistant


def test_defaults_stay_within_limits_and_have_the_assistants_that_are_asked_for(space: Callable[..., Space]) -> None:
    made = space(search={"trials": 4, "limits": {"params": 150}}, assistants__at_most=2, assistants__at_least=2)
    first = defaults(made, None)
    assert len(first) == 3 and all(made.feasible(one.params) and len(made.ladder_indices(one.params)) == 2 for one in first)
    completed_middle = completed(made, {"loss.kd.temperature": 3.0})
    assert made.within_limits(made.architecture(completed_middle))


def test_one_assistant_halves_the_way_from_student_to_teacher(space: Callable[..., Space]) -> None:
    ladder = [{"family": "mlp", "depth": 1, "width": width} for width in (12, 20, 28, 40)]
    made = space(assistants__ladder=ladder)
    for width in (1, 6, 12):
        params = completed(made, {"architecture.depth": 1, "architecture.width": width, "assistants.count": 1})
        student, teacher = made.sizes(made.architecture(params)).params, made.sizes(made.teachers[0].architecture).params
        off = [abs(math.log(made.sizes(rung).params / math.sqrt(student * teacher))) for rung in made.ladder]
        assert made.ladder_indices(params) == [off.index(min(off))]


# What the spec lists


def test_listed_configurations_are_the_first_trials_in_order(tiny: Callable[..., Spec], run: Callable[..., Study]) -> None:
    listed = [
        {"architecture.width": 4, "loss.kd.temperature": 3},
        {"student.architecture.depth": 2, "loss.kd.weight": 0, "assistants.count": 0},
        {"architecture.width": 2, "architecture.depth": 1, "assistants.1": 1},
    ]
    study = run(tiny(search__enqueue=listed, search__trials=8))
    trials = asked(study)
    names = ["search.enqueue[0]", "search.enqueue[1]", "search.enqueue[2]", "default[0]", "default[1]", "default[2]"]
    assert [trial.facts.enqueued for trial in trials] == [*names, None, None]
    assert trials[0].params["architecture.width"] == 4 and trials[0].params["loss.kd.temperature"] == 3.0
    assert trials[1].facts.role == "label-only" and trials[1].params["architecture.depth"] == 2
    assert trials[2].params["assistants.count"] == 1 and trials[2].params["assistants.1"] == 1
    assert study.trials.counted_done == 8 and study.finished()
    rows = [row for row in study.rows() if row.origin is not None]
    assert [row.origin.enqueued for row in rows] == [*names, None, None]


@pytest.mark.slow
def test_what_is_tried_first_does_not_change_what_is_proposed(tiny: Callable[..., Spec], run: Callable[..., Study]) -> None:
    plain = tiny(search={"trials": 7, "sampler": "random", "label_baselines": False, "region": "all"})
    listed = [{"architecture.width": 4}, {"architecture.width": 5, "architecture.depth": 2}]
    more = tiny(search={"trials": 9, "sampler": "random", "label_baselines": False, "enqueue": listed, "region": "all"})
    proposed = [
        [t.params for t in asked(run(spec, name)) if t.facts.enqueued is None] for spec, name in ((plain, "a"), (more, "b"))
    ]
    assert proposed[0] == proposed[1] and len(proposed[0]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 7, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (2, 5))])
def test_a_kill_loses_no_listed_configuration_and_doubles_none(
    tiny: Callable[..., Spec], run: Callable[..., Study], stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [{"architecture.width": width} for width in (2, 5, 9)]
    spec = tiny(search={"trials": 6, "enqueue": listed, "halving": False, "label_baselines": False})
    whole = run(spec, "whole")
    calls = 0
    done = Study.done

    def cut(self: Study, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        done(self, *arguments)

    monkeypatch.setattr(Study, "done", cut)
    with pytest.raises(KeyboardInterrupt):
        run(spec, "cut")
    monkeypatch.setattr(Study, "done", done)
    again = run(spec, "cut")
    seen = [[(t.params, t.state, t.values, t.facts.enqueued) for t in one.record.trials] for one in (again, whole)]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"architecture.widht": 4}, r"search.enqueue\[1\].architecture.widht: .*did you mean 'architecture.width'"),
        ({"zzz": 4}, r"search.enqueue\[1\].zzz: 'zzz' is not a parameter of this space; the parameters are architecture.depth"),
        ({"architecture": {"width": 4}}, r"search.enqueue\[1\].architecture: .*not a parameter"),
        ({"architecture.width": 40}, r"search.enqueue\[1\].architecture.width: 40 is outside.*whole number from 1 to 12"),
        ({"architecture.width": 4.0}, r"width: 4.0 is outside the domain; give a whole number"),
        ({"architecture.width": True}, r"width: True is outside the domain"),
        ({"architecture.width": {"int": [1, 2]}}, r"width: \{'int': \[1, 2\]\} is outside"),
        ({"loss.kd.temperature": 0.5}, r"temperature: 0.5 is outside the domain; give a number from 1 to 16"),
        ({"assistants.count": 2}, r"search.enqueue\[1\].assistants.count: 2 is outside"),
        ({"architecture.width": 12, "architecture.depth": 2}, r"search.enqueue\[1\]: mlp depth=2 width=12 has .*limits.params"),
        ({"architecture.width": 2}, r"search.enqueue\[1\]: this is the same student as search.enqueue\[0\]; keep one"),
    ],
)
def test_a_listed_configuration_that_cannot_be_tried_is_refused(
    tiny: Callable[..., Spec], tmp_path: Path, listed: dict[str, Any], message: str
) -> None:
    spec = tiny(search={"trials": 6, "limits": {"params": 250}, "enqueue": [{"architecture.width": 2}, listed]})
    with pytest.raises(UsageError, match=message):
        check(spec, timed=False)
    with pytest.raises(UsageError, match=message):
        search(spec, out=tmp_path / "out", runner="serial")
    assert not (tmp_path / "out" / "study.db").exists()


def test_a_chain_that_would_be_too_short_is_refused(space: Callable[..., Space]) -> None:
    architecture = {"family": "mlp", "depth": 1, "width": {"int": [1, 40]}}
    listed = [{"architecture.width": 20, "assistants.1": 0}]
    made = space(student__architecture=architecture, assistants__at_least=1, search__enqueue=listed)
    with pytest.raises(UsageError, match=r"search.enqueue\[0\]: mlp depth=1 width=20 has 0 larger assistants"):
        configurations(made)


def test_more_configurations_than_trials_are_refused(tiny: Callable[..., Spec]) -> None:
    with pytest.raises(SpecError, match="search.enqueue: lists 3 configurations for 2 trials"):
        tiny(search__trials=2, search__enqueue=[{"architecture.width": width} for width in (1, 2, 3)])


def test_check_says_what_is_tried_first(tiny: Callable[..., Spec]) -> None:
    found = check(tiny(search__enqueue=[{"architecture.width": 7, "architecture.depth": 2}]), timed=False)
    assert found.first[0].name == "search.enqueue[0]" and len(found.first) == 1
    assert "first        mlp depth=2 width=7 (179), then students predicted to reach the region of interest" in checked(
        found, 1
    )


def test_inside_a_choice_the_option_is_understood(space: Callable[..., Space]) -> None:
    options = [{"family": "mlp", "depth": 1, "width": 4}, {"family": "mlp", "depth": 2, "width": {"int": [1, 9]}}]
    made = space(student__architecture={"choice": options}, search__enqueue=[{"architecture{1}.width": 7}])
    stage = made.decode(configurations(made)[0].params)
    assert (stage.architecture.depth, stage.architecture.width) == (2, 7)


@pytest.mark.slow
def test_a_row_of_the_table_can_be_listed(tiny: Callable[..., Spec], run: Callable[..., Study], tmp_path: Path) -> None:
    """The columns of trials.csv without `param.` are the paths."""
    study = run(tiny(), "one")
    row = next(row for row in reversed(study.rows()) if row.origin is not None)
    listed = {path.removeprefix("param."): value for path, value in row.columns().items() if path.startswith("param.")}
    other = run(tiny(search__enqueue=[listed], search__seed=7), "two", store=str(tmp_path / "shared"))
    assert asked(other)[0].facts.stage == row.stage


# The incumbent


@pytest.fixture
def made_by_hand(tiny: Callable[..., Spec], run: Callable[..., Study]) -> Callable[..., dict[str, Any]]:
    """The folder of a stage that was trained elsewhere, as `search.incumbent`."""

    def make(width: int, epochs: int = 2, depth: int = 1) -> dict[str, Any]:
        name = f"by-hand-{depth}-{width}-{epochs}"
        student = {
            "architecture": {"family": "mlp", "depth": depth, "width": width},
            "loss": {"ce": {"weight": 1.0}},
            "recipe": {"epochs": epochs, "batch_size": 32, "learning_rate": 0.01},
        }
        study = run(tiny(student=student, assistants={"at_most": 0}, search={"trials": 1, "label_baselines": False}), name)
        return {"checkpoint": str(study.store.folder("stages", asked(study)[0].facts.stage))}

    return make


def test_ones_own_student_is_shown_and_its_neighborhood_tried(
    tiny: Callable[..., Spec], run: Callable[..., Study], made_by_hand: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    like = made_by_hand(8)
    study = run(tiny(search__incumbent=like, search__trials=8, student__architecture=WIDE))
    own = [row for row in study.rows() if row.role == "incumbent"]
    assert len(own) == 1 and own[0].architecture == "mlp depth=1 width=8" and not own[0].frontier
    source = json.loads((Path(like["checkpoint"]) / "stage.json").read_text())
    assert own[0].value == source["measurement"]["scores"]["accuracy"]["value"]
    around = [t for t in asked(study) if str(t.facts.enqueued).startswith("search.incumbent")]
    shapes = [(t.params["architecture.depth"], t.params["architecture.width"]) for t in around]
    assert shapes == [(1, 8), (1, 6), (2, 8), (1, 10)]
    assert all(t.facts.stage != own[0].stage for t in study.record.trials)  # never told
    with (tmp_path / "out" / "trials.csv").open() as file:
        assert [row["role"] for row in csv.DictReader(file)][:2] == ["teacher", "incumbent"]
    assert "incumbent" in (tmp_path / "out" / "frontier.svg").read_text()


def test_outside_the_space_the_nearest_sizes_are_tried(
    tiny: Callable[..., Spec], made_by_hand: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec, splits = load_data(tiny(search__incumbent=made_by_hand(30)), cuda=False)
    store = Store(tmp_path / "store")
    space, own = space_of(spec, splits, store), incumbent_of(spec, splits, store)
    assert own is not None
    around = [one for one in configurations(space, own) if one.name.startswith("search.incumbent")]
    size = math.log(space.sizes(own.architecture).params)
    off = sorted(abs(math.log(space.sizes(one).params) - size) for one in space.architectures()[0])
    found = [abs(math.log(space.sizes(space.architecture(one.params)).params) - size) for one in around]
    assert found == off[:3]


@pytest.mark.slow
def test_whether_the_incumbent_is_dominated(
    tiny: Callable[..., Spec],
    made_by_hand: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An untrained one is dominated by those of its size; a good and tiny one by none. The summary says which."""
    for width, epochs, is_beaten in ((12, 1, True), (2, 60, False)):
        loss = {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 0.5]}, "temperature": 2.0}}
        recipe = {"epochs": 12 if is_beaten else 1, "batch_size": 32, "learning_rate": 0.01}
        spec = tiny(search__incumbent=made_by_hand(width, epochs), student__loss=loss, student__recipe=recipe)
        path, out = tmp_path / "own.yaml", tmp_path / f"own-{width}"
        path.write_text(dump(spec.document()))
        assert main(["search", str(path), "--out", str(out), "--runner", "serial", "--json"]) == 0
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        own = found["incumbent"]
        for row in found["frontier"]:
            no_worse = row["params"] <= own["params"] and row["accuracy"] >= own["accuracy"]
            better = row["params"] < own["params"] or row["accuracy"] > own["accuracy"]
            assert (row["stage"] in [one["stage"] for one in own["dominated_by"]]) == (no_worse and better)
        assert bool(own["dominated_by"]) == is_beaten
        said = "is dominated by" if is_beaten else "no member of the frontier dominates your mlp depth=1 width=2"
        assert said in captured.err and " incumbent " in captured.err


@pytest.mark.slow
def test_a_new_own_student_under_the_same_path_is_drawn(
    tiny: Callable[..., Spec], run: Callable[..., Study], made_by_hand: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    def put(like: dict[str, Any]) -> None:
        weights = next(Path(like["checkpoint"]).glob("*/model.safetensors"))
        shutil.copy(weights, tmp_path / "mine.safetensors")

    architecture = {"family": "mlp", "depth": 1, "width": 8}
    spec = tiny(search__incumbent={"checkpoint": str(tmp_path / "mine.safetensors"), "architecture": architecture})
    put(made_by_hand(8))
    run(spec)
    before = (tmp_path / "out" / "trials.csv").read_text()
    put(made_by_hand(8, epochs=9))
    assert run(spec).trained == [] and (tmp_path / "out" / "trials.csv").read_text() != before


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"checkpoint": "nothing.safetensors"}, "search.incumbent.checkpoint: .*is not a file"),
        ({"checkpoint": "data.npz"}, "search.incumbent.checkpoint: .*add the key architecture beside checkpoint"),
        (
            {"checkpoint": "data.npz", "architecture": {"family": "mlp", "depth": 1, "width": 3}},
            "search.incumbent.checkpoint: .*cannot be read as tensors only",
        ),
    ],
)
def test_a_wrong_own_student_is_refused(tiny: Callable[..., Spec], folder: Path, like: dict[str, Any], message: str) -> None:
    like = like | {"checkpoint": str(folder / like["checkpoint"])}
    for refuse in (lambda spec: check(spec, timed=False), lambda spec: search(spec, out=folder / "out", runner="serial")):
        with pytest.raises(UsageError, match=message):
            refuse(tiny(search__incumbent=like))


# An older study


def kept(study: Study) -> list[Trial]:
    return [trial for trial in study.record.trials if trial.facts.kept is not None]


NARROW = {"family": "mlp", "depth": 1, "width": {"int": [1, 6]}}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["extend", "from"])
def test_finished_students_that_fit_are_kept(tiny: Callable[..., Spec], run: Callable[..., Study], way: str) -> None:
    old = run(tiny(search__trials=10))
    fit = {
        t.facts.stage: t.values
        for t in old.record.trials
        if t.state == "complete" and t.params["architecture.depth"] == 1 and t.params["architecture.width"] <= 6
    }
    assert 0 < len(fit) < 10
    spec = tiny(student__architecture=NARROW, search__trials=4)
    new = run(spec, extend=True) if way == "extend" else run(spec, "new", older=str(old.store.root.parent))
    assert {trial.facts.stage: trial.values for trial in kept(new)} == fit
    assert new.trials.counted_done == 4 and new.finished()
    assert not set(new.trained) & ({t.facts.stage for t in old.record.trials} | set(new.teachers))
    for trial in kept(new):
        assert old.record.trials[trial.facts.kept].facts.stage == trial.facts.stage
        assert new.space.decode(trial.params).key() == trial.facts.stage
    assert {row.stage for row in new.rows() if row.origin and row.origin.kept is not None} == set(fit)
    again = run(spec) if way == "extend" else run(spec, "new", older=str(old.store.root.parent))
    assert again.trained == [] and len(again.record.trials) == len(new.record.trials)


@pytest.mark.slow
def test_what_stopped_trials_took_is_not_forgotten(tiny: Callable[..., Spec], run: Callable[..., Study]) -> None:
    search = {"sampler": "random", "label_baselines": False, "halving": {"first": 0.3, "factor": 2, "share": 0.3}}
    recipe = {"epochs": 6, "batch_size": 32, "learning_rate": 0.01}
    old = run(tiny(search=search | {"trials": 12}, student__recipe=recipe))
    took = {trial.facts.stage: trial.facts.seconds for trial in old.record.trials if trial.state == "stopped"}
    assert took and min(took.values()) > 0
    for width in (8, 6):
        architecture = {"family": "mlp", "depth": 1, "width": {"int": [1, width]}}
        new = run(tiny(search=search | {"trials": 1}, student__recipe=recipe, student__architecture=architecture), extend=True)
        found = new.record.notes.stopped
        assert took.items() <= found.items()


@pytest.mark.slow
def test_limits_objectives_ladder_and_sampler_may_change(tiny: Callable[..., Spec], run: Callable[..., Study]) -> None:
    old = run(tiny(search__trials=8))
    ladder = [{"family": "mlp", "depth": 1, "width": 32}, {"family": "mlp", "depth": 1, "width": 24}]
    changed = {
        "limits": {"params": 200},
        "objectives": ["accuracy", "macs", "core_params"],
        "sampler": "random",
        "label_baselines": False,
    }
    new = run(tiny(search={"trials": 2, **changed}, assistants__ladder=ladder), extend=True)
    assert kept(new)
    for trial in kept(new):
        measured = new.stages.measured(trial.facts.stage)
        assert (
            trial.values == [measured.scores["accuracy"].value, measured.macs, measured.core_params] and measured.params <= 200
        )
        assert all(one.architecture.width != 16 for one in new.space.decode(trial.params).ancestors())
    left = {trial.facts.stage for trial in old.record.trials} - {trial.facts.stage for trial in kept(new)}
    assert left and all(new.store.has("stages", key) for key in left)  # their stages stay


@pytest.mark.slow
def test_a_wider_space_keeps_all_and_more_trials_count_the_new(tiny: Callable[..., Spec], run: Callable[..., Study]) -> None:
    old = run(tiny())
    new = run(tiny(student__architecture__width={"int": [1, 20]}, search__trials=2), extend=True)
    assert len(kept(new)) == 6 and new.trials.counted_done == 2
    more = run(tiny(student__architecture__width={"int": [1, 20]}, search__trials=4), extend=True)
    assert len(kept(more)) == 6 and more.trials.counted_done == 4
    back = run(tiny(search__trials=1), extend=True)  # and of a continued one
    assert {trial.facts.stage for trial in kept(back)} >= {trial.facts.stage for trial in asked(old)}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["auto", "nsga2", pytest.param("random", marks=pytest.mark.slow)])
def test_every_sampler_goes_on_from_what_is_kept(
    tiny: Callable[..., Spec], run: Callable[..., Study], sampler: str, tmp_path: Path
) -> None:
    run(tiny(), "old")
    new = run(tiny(search={"trials": 9, "sampler": sampler, "label_baselines": False}), older=str(tmp_path / "old"))
    assert len(kept(new)) >= 4 and new.trials.counted_done == 9 and new.finished()
    proposed = {trial.facts.stage for trial in asked(new) if trial.was_proposed}
    assert not proposed & {trial.facts.stage for trial in kept(new)}


@pytest.mark.slow
def test_failed_trials_are_forgotten(tiny: Callable[..., Spec], run: Callable[..., Study]) -> None:
    old = run(tiny())
    record = Record(Path(old.store.root).parent / "study.db", old.spec, old.space.domains)
    known = old.record.trials[0]
    lost = record.add({**known.params, "architecture.width": 11}, replace(known.facts, stage="x" * 64))
    record.tell(lost, replace(lost.facts, reason="boom"))
    record.close()
    new = run(tiny(search__sampler="random", search__trials=1), extend=True)
    assert len(kept(new)) == 6 and all(trial.state == "complete" for trial in kept(new))


def test_what_sqlite_left_beside_a_replaced_database_is_removed(tmp_path: Path) -> None:
    """A log of the old study.db beside the new one would damage it."""
    for name in ("next.yaml", "next.db", "next.db-journal", "study.db", "study.db-wal", "study.db-shm", "spec.yaml"):
        (tmp_path / name).write_text(name)
    with StudyDirectory(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "spec.yaml", "study.db"}
    assert (tmp_path / "study.db").read_text() == "next.db" and (tmp_path / "spec.yaml").read_text() == "next.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(
    "at", ["deciding", *(pytest.param(at, marks=pytest.mark.slow) for at in ("adding", "replacing", "spec"))]
)
def test_a_kill_while_a_study_changes_loses_nothing(
    tiny: Callable[..., Spec], run: Callable[..., Study], tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    old, spec = run(tiny()), tiny(student__architecture=NARROW, search__trials=2)
    whole = shutil.copytree(tmp_path / "out", tmp_path / "whole")
    expected = search(spec, out=whole, runner="serial", options=Options(extend=True))
    replaced, add, calls = os.replace, Record.add, 0

    def die(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        name = Path(arguments[1]).name if not isinstance(arguments[0], Record) else "add"
        if name == {"adding": "add", "deciding": "next.yaml", "replacing": "study.db", "spec": "spec.yaml"}[at]:
            calls += 1
            if calls == (2 if at == "adding" else 1):
                raise KeyboardInterrupt
        return add(*arguments, **more) if name == "add" else replaced(*arguments)

    monkeypatch.setattr(Record, "add", die) if at == "adding" else monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        run(spec, extend=True)
    monkeypatch.undo()
    if at in ("adding", "deciding"):  # still the old study, whole
        study = run(tiny())
        assert study.trained == [] and len(asked(study)) == len(asked(old))
    new = run(spec, extend=True)
    seen = [[(t.params, t.state, t.values, t.facts) for t in one.record.trials] for one in (new, expected)]
    assert seen[0] == seen[1]
    assert not list((tmp_path / "out").glob("next.*"))


def test_what_may_not_change_is_refused_and_what_may_is_said(
    tiny: Callable[..., Spec], run: Callable[..., Study], tmp_path: Path
) -> None:
    run(tiny())
    with pytest.raises(UsageError, match="student.architecture.width.*--extend to continue with the trials that still fit"):
        run(tiny(student__architecture__width={"int": [1, 6]}))
    teacher = {"architecture": {"family": "mlp", "depth": 1, "width": 48}, "recipe": {"epochs": 6}}
    for other in (tiny(seed=1), tiny(teacher=teacher), tiny(task__split={"validation": 0.2, "test": 0.2})):
        with pytest.raises(UsageError, match="another spec.*give another --out, or --fresh") as refused:
            run(other, extend=True)
        assert "--extend to" not in str(refused.value)
        with pytest.raises(UsageError, match="--from .* is a study of another teacher or of other data"):
            run(other, "other", older=str(tmp_path / "out"))
    with pytest.raises(UsageError, match="--from .*did not start from it.*--extend"):
        run(tiny(), older=str(tmp_path / "out"))
    with pytest.raises(UsageError, match="contains no study"):
        run(tiny(), "third", older=str(tmp_path / "nowhere"))
    with StudyDirectory(tmp_path / "third"), pytest.raises(StudyError, match="in use"):
        run(tiny(), "third")
