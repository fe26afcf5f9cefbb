"""Trainings that were stopped or killed go on: with the same bytes, no epoch twice, whatever their randomness."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autodistill.distill import Job, Rung, open_data, perform, train
from autodistill.distill.loop import training
from autodistill.distill.predictions import measurement, on_validation
from autodistill.distill.run import Run
from autodistill.metrics.metric import Outcome
from autodistill.spec import (
    MLP,
    Augmentation,
    Hint,
    Imported,
    LossSpec,
    Recipe,
    ResNet,
    Similarity,
    SoftTargets,
    Spec,
    Stage,
    Timm,
)
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.record.record import Record

from .conftest import timeless
from .searching import search
from .test_distill import CPU, KD, LABELS, House, one_thread

__all__ = ["one_thread"]

EPOCHS = 4
RECIPE = Recipe(epochs=EPOCHS, batch_size=256, learning_rate=0.01, precision="float32")
HINT = LossSpec(kd=SoftTargets(weight=1.0), hint=Hint(weight=1.0), similarity=Similarity(weight=1.0), balance="initial")
FRESH = Augmentation(crop=1, mixup=0.5)
VIT = {"img_size": 8, "patch_size": 4, "embed_dim": 12, "depth": 1, "num_heads": 3, "drop_rate": 0.2, "drop_path_rate": 0.2}


def recipe(**changes: Any) -> Recipe:
    return Recipe(**RECIPE.model_dump() | changes)


def student(house: House, architecture: Any, loss: LossSpec = LABELS, teachers: int = 0, **changes: Any) -> Stage:
    """The teachers are stored: see `base`."""
    above = tuple(house.stage(MLP(depth=1, width=64), seed=seed) for seed in range(teachers))
    return house.stage(architecture, loss, teachers=above, recipe=recipe(**changes))


KINDS: dict[str, Callable[[House], Stage]] = {
    "mlp": partial(student, architecture=MLP(depth=1, width=8)),
    "batch norm": partial(student, architecture=ResNet(depth=1, width=2), schedule="cosine", optimizer="sgd"),
    "bfloat16": partial(student, architecture=ResNet(depth=1, width=2), precision="bfloat16"),
    "dropout": partial(student, architecture=Timm(name="vit_tiny_patch16_224", arguments=VIT), loss=KD, teachers=1),
    "cached outputs": partial(student, architecture=MLP(depth=1, width=8), loss=KD, teachers=1),
    "projections, balanced": partial(student, architecture=MLP(depth=1, width=8), loss=HINT, teachers=1),
    "ensemble, dropped": partial(
        student, architecture=MLP(depth=1, width=8), loss=KD.model_copy(update={"drop_teachers": 0.5}), teachers=2
    ),
    "fresh views": partial(student, architecture=ResNet(depth=1, width=2), loss=KD, teachers=1, augmentation=FRESH),
    "views in turn": partial(student, architecture=ResNet(depth=1, width=2), augmentation=FRESH, views=3),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the digits and two teachers."""
    house = House(tmp_path_factory.mktemp("base"))
    for seed in range(2):
        teacher = house.stage(MLP(depth=1, width=64), seed=seed)
        train(house.store, teacher, CPU)
        perform(
            Job(network=teacher, cache=student(house, teacher.architecture, KD, 1).logits_cache()),
            house.store,
            cuda=False,
            threads=1,
        )
    return house.store.root


@pytest.fixture
def houses(base: Path, tmp_path: Path) -> tuple[House, House]:
    """Two with the same in them."""
    return houses_of(base, tmp_path)


def houses_of(base: Path, root: Path) -> tuple[House, House]:
    return House(shutil.copytree(base, root / "one")), House(shutil.copytree(base, root / "two"))


def stretch(store: Store, stage: Stage, rungs: Sequence[int]) -> list[Rung]:
    """Trains until the last of the rungs, and stops there; to the end where there are none."""
    torch.manual_seed(len(rungs))  # of no matter
    work, found = training(store, stage, CPU, rungs), list[Rung]()
    for rung in work:
        found.append(rung)
        torch.rand(3)  # others draw numbers meanwhile
        if rung.epochs == max(rungs):
            work.close()
    return found


def same(one: House, two: House, stage: Stage) -> bool:
    losses = [house.store.manifest("stages", stage.key())["losses"] for house in (one, two)]
    assert len(losses[0]) == stage.recipe.epochs
    return losses[0] == losses[1] and one.weights(stage) == two.weights(stage)


# The same bytes


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_training_goes_on_to_the_same_bytes(houses: tuple[House, House], kind: str) -> None:
    whole, stopped = houses
    stage = KINDS[kind](whole)
    train(whole.store, stage, CPU)
    for rungs in ([1], [1, 3]):
        assert [rung.epochs for rung in stretch(Store(stopped.store.root), stage, rungs)] == rungs
        assert not stopped.store.has("stages", stage.key())
    stretch(Store(stopped.store.root), stage, [])
    assert same(whole, stopped, stage)


SUBSETS = st.lists(st.lists(st.integers(1, 6), unique=True).map(sorted), max_size=4)


@settings(max_examples=12)
@given(stretches=SUBSETS)
def test_any_rungs_give_the_bytes_of_none(base: Path, tmp_path_factory: pytest.TempPathFactory, stretches: list[Any]) -> None:
    """However often it stops and wherever; no epoch is trained twice, no rung measured twice."""
    whole, other = houses_of(base, tmp_path_factory.mktemp("any"))
    stage = student(whole, MLP(depth=1, width=4), epochs=6)
    train(whole.store, stage, CPU)
    with pytest.MonkeyPatch.context() as patch:
        epochs = counted(patch)
        for rungs in [*stretches, []]:
            stretch(Store(other.store.root), stage, rungs)
    assert epochs == list(range(6))
    assert same(whole, other, stage)


def counted(patch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that are begun from now on."""
    begun, epoch = list[int](), Run.epoch

    def counting(run: Run) -> float:
        begun.append(run.epochs)
        return epoch(run)

    patch.setattr(Run, "epoch", counting)
    return begun


KILLED = """
from autodistill.distill import Job, perform
from tests.test_resume import KINDS, House, Path, Run, os, signal, sys, torch

house, kill, step = House(Path(sys.argv[1])), int(sys.argv[2]), Run.step
torch.set_num_threads(1)

def mortal(run, *arguments):
    if run.taken == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(run, *arguments)

Run.step = mortal
perform(Job(network=KINDS["dropout"](house), rungs=(1, 3)), house.store, cuda=False, threads=1)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_rung(houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process: with the same bytes, and only the epochs that were cut off are trained again."""
    whole, killed = houses
    stage = KINDS["dropout"](whole)
    job = Job(network=stage, rungs=(1, 3))
    perform(job, whole.store, cuda=False, threads=1)
    steps = killed.run(stage).steps
    for kill in (steps + 1, 3 * steps + 2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(killed.store.root), str(kill)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not killed.store.has("stages", stage.key())
    epochs = counted(monkeypatch)
    perform(job, killed.store, cuda=False, threads=1)
    assert epochs == [3]
    assert same(whole, killed, stage)


# What a rung says


def test_passed_rungs_are_said_again_in_order_and_only_those_asked_for(houses: tuple[House, House]) -> None:
    stage = KINDS["mlp"](houses[0])
    passed = stretch(houses[0].store, stage, [1, 2, 3])
    assert [rung.epochs for rung in passed] == [1, 2, 3]
    assert stretch(houses[0].store, stage, [1, 3]) == [passed[0], passed[2]]
    whole = stretch(houses[0].store, stage, [2, 3, EPOCHS])
    assert whole[:2] == passed[1:] and len(whole) == 3
    stretch(houses[0].store, stage, [])
    record = houses[0].store.manifest("stages", stage.key())
    assert [Rung(*rung) for rung in record["rungs"]] == [*passed, whole[2]]
    assert stretch(houses[0].store, stage, [1, 2]) == []  # it is stored


def test_a_rung_is_the_accuracy_of_so_many_epochs_as_they_are(houses: tuple[House, House]) -> None:
    """Neither the statistics of batch norm nor the random numbers feel the measuring."""
    stage = KINDS["batch norm"](houses[0])
    rungs = stretch(houses[0].store, stage, [2, 3])
    run = houses[1].run(stage)
    for rung in rungs:
        while run.epochs < rung.epochs:
            run.epoch()
        found = measurement(run.network, open_data(houses[1].store, stage.task.data), stage.architecture, CPU, seconds=0.0)
        assert rung.values["accuracy"] == found.scores["accuracy"].value > 0.1


def test_seconds_are_those_of_training_over_all_stretches(houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only steps and measuring advance: neither measuring nor waiting counts."""
    now, step = [0.0], Run.step
    monkeypatch.setattr("autodistill.distill.loop.time.perf_counter", lambda: now[0])

    def slow(run: Run, *arguments: Any) -> Any:
        now[0] += 1.0
        return step(run, *arguments)

    def measured(*arguments: Any) -> Outcome:
        now[0] += 1000.0
        return on_validation(*arguments)

    monkeypatch.setattr(Run, "step", slow)
    monkeypatch.setattr("autodistill.distill.loop.on_validation", measured)
    stage = KINDS["mlp"](houses[0])
    steps = houses[0].run(stage).steps
    assert [rung.seconds for rung in stretch(houses[0].store, stage, [1, 2])] == [steps, 2 * steps]
    now[0] += 5000.0
    assert [rung.seconds for rung in stretch(houses[0].store, stage, [2, 3])] == [2 * steps, 3 * steps]
    stretch(houses[0].store, stage, [])
    assert houses[0].store.manifest("stages", stage.key())["measurement"]["seconds"] == EPOCHS * steps


def test_between_rungs_torchs_generators_and_modes_are_as_they_were(houses: tuple[House, House]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for _ in training(houses[0].store, KINDS["dropout"](houses[0]), CPU, [1, 2]):
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


# A partial is only a saving


def partials(store: Store) -> list[Path]:
    return list((store.root / "partial").glob("*"))


def test_a_partial_is_there_before_its_rung_is_said_and_gone_when_the_stage_is_stored(houses: tuple[House, House]) -> None:
    store, stage = houses[0].store, KINDS["mlp"](houses[0])
    for _ in training(store, stage, CPU, [1, 2]):
        assert [path.name for path in partials(store)] == [stage.key()]
    assert store.has("stages", stage.key()) and not partials(store)


@pytest.mark.parametrize("damage", ["flipped", "cut off", "empty", "no state"])
def test_a_damaged_partial_is_begun_anew(houses: tuple[House, House], damage: str) -> None:
    whole, damaged = houses
    stage = KINDS["mlp"](whole)
    train(whole.store, stage, CPU)
    stretch(damaged.store, stage, [2])
    (path,) = partials(damaged.store)
    content = path.read_bytes()
    if damage == "no state":
        damaged.store.save_partial(stage.key(), b"whole, but no state of a training")
    else:
        flipped = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
        path.write_bytes({"flipped": flipped, "cut off": content[:-1], "empty": b""}[damage])
    assert stretch(damaged.store, stage, [3])
    stretch(damaged.store, stage, [])
    assert [rung[0] for rung in damaged.store.manifest("stages", stage.key())["rungs"]] == [3]
    assert same(whole, damaged, stage)


def test_of_another_torch_it_is_begun_anew(houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = KINDS["mlp"](houses[0])
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.1")
        assert stretch(houses[0].store, stage, [1])
    epochs = counted(monkeypatch)
    stretch(houses[0].store, stage, [])
    assert epochs == list(range(EPOCHS))


WIDTH = 3


def changing() -> nn.Module:
    """Your own module, whose file is edited between two stretches."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10))


def test_of_a_network_that_has_changed_since_it_is_begun_anew(
    houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = student(houses[0], Imported(factory="tests.test_resume:changing"))
    stretch(houses[0].store, stage, [2])
    monkeypatch.setattr(sys.modules["tests.test_resume"], "WIDTH", 5)
    epochs = counted(monkeypatch)
    stretch(houses[0].store, stage, [])
    assert epochs == list(range(EPOCHS))


class Trap:
    def __reduce__(self) -> Any:
        return (os._exit, (3,))


def test_a_partial_runs_no_code(houses: tuple[House, House]) -> None:
    import io

    buffer, stage = io.BytesIO(), KINDS["mlp"](houses[0])
    torch.save({"state": Trap(), "made_by": []}, buffer)
    houses[0].store.save_partial(stage.key(), buffer.getvalue())
    train(houses[0].store, stage, CPU)


FULL = """
import resource
from autodistill.distill.jobs import Job, performing
from autodistill.spec import StudyError
from tests.test_resume import KINDS, House, Path, signal, sys

house = House(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    next(performing(Job(network=KINDS["mlp"](house), rungs=(1,)), house.store, cuda=False, threads=1))
except StudyError as error:
    print(error)
"""


@pytest.mark.slow
def test_on_a_full_disk_nothing_is_held_against_the_stage(houses: tuple[House, House]) -> None:
    """What really comes of a file that cannot grow."""
    command = [sys.executable, "-c", FULL, str(houses[0].store.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "no space left" in done.stdout, done.stdout + done.stderr
    assert not partials(houses[0].store)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", ["batch norm", "dropout", "bfloat16", "projections, balanced", "ensemble, dropped"])
def test_on_cuda_a_stopped_training_goes_on_as_if_it_had_not(houses: tuple[House, House], kind: str) -> None:
    """Losses to rounding: sums of CUDA need not repeat in their last bits."""
    stage, device = KINDS[kind](houses[0]), torch.device("cuda")
    train(houses[0].store, stage, device)
    for rungs in ([1], [1, 3], []):
        for rung in (work := training(houses[1].store, stage, device, rungs)):
            torch.rand(3, device=device)
            if rung.epochs == max(rungs):
                work.close()
    found = [house.store.manifest("stages", stage.key())["losses"] for house in houses]
    assert found[1] == pytest.approx(found[0], rel=1e-3)


# Searches


class Cut(KeyboardInterrupt):
    """As sudden as a kill."""


def cut_off(patch: pytest.MonkeyPatch, epochs: list[int], after: int) -> None:
    """Raises Cut once, where `epochs`, as `counted` counts them, are that many."""
    epoch = Run.epoch

    def mortal(run: Run) -> float:
        if len(epochs) == after:
            epochs.append(-1)
            raise Cut
        return epoch(run)

    patch.setattr(Run, "epoch", mortal)


def found(out: Path, spec: Spec) -> list[Any]:
    record = Record(out / "study.db", spec)
    told = [(trial.params, trial.state, trial.values, timeless(trial.facts)) for trial in record.trials]
    record.close()
    return told


@pytest.mark.parametrize("cut", [13, *(pytest.param(one, marks=pytest.mark.slow) for one in (7, 20, 28, 37))])
def test_a_search_cut_anywhere_becomes_the_one_that_was_not(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """With the Serial runner and halving on: the same trials, stopped at the same rungs; an epoch or two are trained twice."""
    halving = {"first": 0.3, "factor": 2, "share": 0.5}
    recipe = RECIPE.model_dump(mode="json") | {"epochs": 6, "batch_size": 32}
    spec = tiny(student__recipe=recipe, search__trials=8, search__halving=halving)
    epochs = counted(monkeypatch)
    search(spec, out=tmp_path / "whole", runner="serial")
    whole = len(epochs)
    cut_off(monkeypatch, epochs, whole + cut)
    with pytest.raises(Cut):
        search(spec, out=tmp_path / "out", runner="serial")
    search(spec, out=tmp_path / "out", runner="serial")
    assert found(tmp_path / "out", spec) == found(tmp_path / "whole", spec)
    assert {"complete", "stopped"} == {state for _, state, _, _ in found(tmp_path / "out", spec)}
    assert len(epochs) - 1 - 2 * whole <= 3


@pytest.mark.slow
def test_a_study_that_finds_stages_and_partials_is_the_one_that_made_them(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It decides by the same accuracies at rungs, and trains nothing."""
    spec, options = tiny(search__trials=10), Options(store=str(tmp_path / "shared"))
    search(spec, out=tmp_path / "one", runner="serial", options=options)
    epochs = counted(monkeypatch)
    search(spec, out=tmp_path / "two", runner="serial", options=options)
    assert not epochs
    assert found(tmp_path / "two", spec) == found(tmp_path / "one", spec)


def test_sweeping_keeps_what_can_go_on(houses: tuple[House, House]) -> None:
    store, stage = houses[0].store, KINDS["mlp"](houses[0])
    stretch(store, stage, [2])
    (path,) = partials(store)
    path.with_name(".cut-off").write_bytes(b"half")
    store.sweep()
    assert partials(store) == [path]
    content = path.read_bytes()
    stretch(store, stage, [])
    path.write_bytes(content)  # by another that trained the same
    store.sweep()
    assert not partials(store)
