"""The training loop: pinned numerics, baselines, teachers left as they were, nothing but the store between stages."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from autodistill.data import read, split
from autodistill.distill import Job, attempt, load_network, make_outputs, open_data, outputs_key, perform, save_data, train
from autodistill.distill.networks import derived_seed, initialized
from autodistill.distill.outputs import open_outputs
from autodistill.distill.predictions import evaluate
from autodistill.distill.run import Run, scheduler_of
from autodistill.spec import (
    MLP,
    CrossEntropy,
    Imported,
    LogitsCacheSpec,
    LossSpec,
    Recipe,
    ResNet,
    SoftTargets,
    Spec,
    Stage,
    StageFailed,
    TaskSpec,
    Timm,
)
from autodistill.store import Store

CPU = torch.device("cpu")
CACHE = LogitsCacheSpec()
RECIPE = Recipe(epochs=2, batch_size=64, learning_rate=0.01, precision="float32")
LABELS = LossSpec(ce=CrossEntropy(weight=1.0))
KD = LossSpec(ce=CrossEntropy(weight=0.1), kd=SoftTargets(weight=0.9, temperature=4.0))


class House:
    """A store with the digits in it, and stages on them."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        spec = TaskSpec(dataset="sklearn/digits")
        splits = split(read(spec), spec)
        save_data(self.store, splits)
        self.task = splits.task(spec)

    def stage(self, architecture: Any = None, loss: LossSpec = LABELS, **changes: Any) -> Stage:
        architecture = architecture or MLP(depth=1, width=8)
        return Stage(**{"task": self.task, "architecture": architecture, "loss": loss, "recipe": RECIPE, "seed": 0} | changes)

    def trained_teacher(self) -> Stage:
        teacher = self.stage(MLP(depth=1, width=64))
        train(self.store, teacher, CPU)
        make_outputs(self.store, teacher, CACHE, CPU)
        return teacher

    def run(self, stage: Stage) -> Run:
        return Run(self.store, stage, open_data(self.store, stage.task.data), CPU)

    def weights(self, stage: Stage) -> bytes:
        return self.store.file("stages", stage.key(), "model.safetensors").read_bytes()


def failure_of(job: Job, store: Store) -> str | None:
    """Why a job without rungs failed."""
    with pytest.raises(StopIteration) as end:
        next(attempt(job, store, cuda=False, threads=1))
    reason = None if end.value.value is None else str(end.value.value)
    return reason


@pytest.mark.parametrize("error", [GeneratorExit, asyncio.CancelledError, SystemExit, StopIteration])
def test_whatever_ones_own_code_raises_is_a_failure_of_its_stage(
    house: House, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: Any) -> None:
        raise error

    monkeypatch.setattr(nn.Flatten, "forward", raises)
    assert error.__name__ in str(failure_of(Job(network=house.stage()), house.store))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "recipe", "losses"),
    [
        (MLP(depth=1, width=8), {}, [5.10838, 4.98292, 5.03358]),
        (ResNet(depth=1, width=2), {}, [5.11403, 5.07513, 5.02156]),
        (MLP(depth=1, width=8), {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine"}, [5.10838, 4.96547, 4.98626]),
    ],
)
def test_three_steps_have_the_losses_they_had(house: House, architecture: Any, recipe: dict[str, Any], losses: Any) -> None:
    """Changed numerics need a new VERSION (the recipe's, a term's or a family's), and then new numbers here."""
    house.trained_teacher()
    teacher = house.stage(MLP(depth=1, width=64))
    changed = Recipe(**RECIPE.model_dump() | recipe)
    run = house.run(house.stage(architecture, KD, teachers=(teacher,), recipe=changed))
    run.network.train()
    found = [float(run.step(rows_B)) for rows_B in run.rows(run.order)[:3]]
    assert found == pytest.approx(losses, rel=1e-4)


def test_stages_that_differ_only_in_their_loss_share_initialization_and_batches(house: House) -> None:
    teacher = house.trained_teacher()
    baselines = [house.run(house.stage()), house.run(house.stage(loss=KD, teachers=(teacher,)))]
    states = [baseline.network.state_dict() for baseline in baselines]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    orders = [baseline.rows(baseline.order) for baseline in baselines]
    assert torch.equal(*orders)
    assert not torch.equal(orders[0], house.run(house.stage(seed=1)).rows(torch.Generator().manual_seed(1)))


def test_randomness_comes_from_the_seed_and_its_purpose_alone(house: House) -> None:
    data = open_data(house.store, house.task.data)
    torch.manual_seed(1)
    one = initialized(house.store, house.stage(), data).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = initialized(house.store, house.stage(), data).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(before, torch.get_rng_state())
    assert derived_seed(0, "init") != derived_seed(0, "order") != derived_seed(1, "order")


def test_a_stage_trained_twice_has_the_same_bytes(house: House, tmp_path: Path) -> None:
    stage = house.stage(ResNet(depth=1, width=2), recipe=RECIPE.model_copy(update={"epochs": 1}))
    train(house.store, stage, CPU)
    other = House(tmp_path / "other")
    train(other.store, stage, CPU)
    assert house.weights(stage) == other.weights(stage)


def test_the_teacher_stays_bitwise_unchanged_and_in_eval_mode(house: House) -> None:
    teacher = house.trained_teacher()
    before = house.weights(teacher)
    network = load_network(house.store, teacher, CPU)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    train(house.store, house.stage(loss=KD, teachers=(teacher,)), CPU)
    assert house.weights(teacher) == before


def test_no_teacher_runs_inside_a_students_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = house.trained_teacher()
    monkeypatch.setattr("autodistill.distill.outputs.load_network", lambda *_: pytest.fail("the teacher was loaded"))
    assert train(house.store, house.stage(loss=KD, teachers=(teacher,)), CPU).scores["accuracy"].value > 0.3


def test_stored_outputs_are_the_teachers_logits(house: House) -> None:
    teacher = house.trained_teacher()
    data = open_data(house.store, house.task.data)
    live = evaluate(load_network(house.store, teacher, CPU), data.train_x, batch_size=77, device=CPU)
    said = open_outputs(house.store, teacher, CACHE).logits[0]
    np.testing.assert_allclose(said, live - live.amax(1, keepdim=True), rtol=1e-5, atol=1e-5)


def test_a_chain_trains_through_its_assistant(house: House) -> None:
    teacher = house.trained_teacher()
    assistant = house.stage(MLP(depth=1, width=16), KD, teachers=(teacher,))
    student = house.stage(MLP(depth=1, width=4), KD, teachers=(assistant,))
    for stage in (assistant, student):
        train(house.store, stage, CPU)
        make_outputs(house.store, stage, CACHE, CPU)
    assert [network.key() for network in student.ancestors()] == [teacher.key(), assistant.key()]


def test_what_is_measured_is_the_stored_network(house: House) -> None:
    teacher = house.trained_teacher()
    measured = house.store.manifest("stages", teacher.key())["measurement"]
    data = open_data(house.store, house.task.data)
    logits = evaluate(load_network(house.store, teacher, CPU), data.validation_x, batch_size=1024, device=CPU)
    assert measured["scores"]["accuracy"]["value"] == (logits.argmax(1).numpy() == data.validation_y).mean()
    assert measured["params"] == 64 * 64 + 64 + 64 * 10 + 10
    saved = load_file(house.store.file("stages", teacher.key(), "model.safetensors"))
    assert measured["bytes"] == sum(tensor.numel() * tensor.element_size() for tensor in saved.values())


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_a_schedule_ends_near_nothing_and_never_above_its_peak(schedule: Any) -> None:
    recipe = Recipe(epochs=1, learning_rate=0.1, schedule=schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = scheduler_of(optimizer, recipe, 50)
    rates = []
    for _ in range(50):
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    assert max(rates) <= 0.1 + 1e-9 and rates[-1] < 0.002
    assert (np.argmax(rates) == 0) == (schedule == "cosine")


def test_bfloat16_trains_on_the_cpu_too(house: House) -> None:
    stage = house.stage(ResNet(depth=1, width=2), recipe=RECIPE.model_copy(update={"precision": "bfloat16"}))
    run = house.run(stage)
    first, second = run.epoch(), run.epoch()
    assert second < first
    assert all(parameter.dtype == torch.float32 for parameter in run.network.parameters())


def test_a_batch_larger_than_the_data_is_the_data(house: House) -> None:
    stage = house.stage(recipe=RECIPE.model_copy(update={"batch_size": 100_000}))
    run = house.run(stage)
    assert run.steps == 1 and run.batch == len(run.samples)


# What goes wrong


def test_a_loss_that_explodes_fails_the_stage_with_the_way_out(house: House) -> None:
    recipe = RECIPE.model_copy(update={"learning_rate": 1e30, "epochs": 3})
    job = Job(network=house.stage(MLP(depth=3, width=8), recipe=recipe))
    reason = failure_of(job, house.store)
    assert reason is not None and "mlp depth=3 width=8" in reason and "lower the learning rate (1e+30)" in reason
    assert not house.store.has(*job.address())


def test_an_exception_in_ones_own_code_is_a_reason_with_its_place(house: House) -> None:
    stage = house.stage(Imported(factory="tests.own:broken"))
    reason = failure_of(Job(network=stage), house.store)
    assert reason is not None and "own forward says no" in reason


def test_out_of_memory_is_a_reason(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Run) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(Run, "epoch", full)
    with pytest.raises(StageFailed, match="out of memory on cpu"):
        perform(Job(network=house.stage()), house.store, cuda=False, threads=1)


FULL = """
import resource, sys, torch
from pathlib import Path
from tests.test_distill import *
house, kind = House(Path(sys.argv[1])), sys.argv[2]
teacher = house.trained_teacher() if kind == "outputs" else house.stage(MLP(depth=1, width=64))
if kind == "outputs":
    import shutil
    shutil.rmtree(house.store.root / "outputs")
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    perform(Job(network=teacher, cache=CACHE if kind == "outputs" else None), house.store, cuda=False, threads=1)
except BaseException as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["train", pytest.param("outputs", marks=pytest.mark.slow)])
def test_a_short_write_is_nobodys_fault(tmp_path: Path, kind: str) -> None:
    """What really comes of a file that cannot grow: not the stage's failure, and nothing is stored."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path), kind], capture_output=True, text=True)
    assert done.stdout.startswith("StudyError") and "same command" in done.stdout, done.stdout + done.stderr
    assert not list((tmp_path / ("stages" if kind == "train" else "outputs")).glob("*/*"))


def test_a_network_that_draws_random_numbers_has_the_same_bytes_again(house: House, tmp_path: Path) -> None:
    arguments = {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4], "drop_rate": 0.5}
    stage = house.stage(Timm(name="resnet18", arguments=arguments), recipe=RECIPE.model_copy(update={"epochs": 1}))
    torch.manual_seed(1)
    train(house.store, stage, CPU)
    other = House(tmp_path / "other")
    torch.manual_seed(2)
    train(other.store, stage, CPU)
    assert house.weights(stage) == other.weights(stage)


def test_outputs_that_are_not_finite_fail_the_stage(house: House) -> None:
    recipe = RECIPE.model_copy(
        update={"learning_rate": 3e38, "epochs": 1, "batch_size": 2000, "optimizer": "sgd", "momentum": 0.0}
    )
    reason = failure_of(Job(network=house.stage(recipe=recipe)), house.store)
    assert reason is not None and "not finite" in reason


def test_threads_are_put_back(house: House) -> None:
    before = torch.get_num_threads()
    perform(Job(network=house.stage()), house.store, cuda=False, threads=2)
    assert torch.get_num_threads() == before
    assert house.store.manifest("stages", house.stage().key())["environment"]["threads"] == 2


def test_a_job_survives_its_own_text(house: House) -> None:
    teacher = house.stage(MLP(depth=1, width=64))
    job = Job(network=house.stage(loss=KD, teachers=(teacher,)))
    again = Job.load(job.dump())
    assert again == job and again.address() == job.address()
    outputs = Job(network=teacher, cache=CACHE)
    assert Job.load(outputs.dump()) == outputs and outputs.address() == ("outputs", outputs_key(teacher, CACHE))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_chain_trains_on_cuda_in_bfloat16(house: House) -> None:
    device = torch.device("cuda")
    recipe = RECIPE.model_copy(update={"precision": "bfloat16", "epochs": 5})
    teacher = house.stage(ResNet(depth=1, width=16), recipe=recipe)
    for stage in (teacher, house.stage(ResNet(depth=1, width=4), KD, teachers=(teacher,), recipe=recipe)):
        perform(Job(network=stage), house.store, cuda=True, threads=1)
        make_outputs(house.store, stage, CACHE, device)
        record = house.store.manifest("stages", stage.key())
        assert record["measurement"]["scores"]["accuracy"]["value"] > 0.5 and record["environment"]["device"].startswith("cuda")


def test_the_same_spec_on_scrambled_test_rows_has_the_same_keys(tiny: Callable[..., Spec], folder: Path) -> None:
    """Neither a key nor a weight depends on the numbers of the test samples."""
    spec = tiny()
    raw = read(spec.task)
    splits = split(raw, spec.task)
    kept = np.concatenate([splits.train.x["x"], splits.validation.x["x"]])
    in_test = np.array([not any(np.array_equal(row, other) for other in kept) for row in raw.x["x"]])
    scrambled = copy.deepcopy(raw.x["x"])
    scrambled[in_test] = np.random.default_rng(0).normal(size=scrambled[in_test].shape)
    np.savez(folder / "data.npz", x=scrambled, y=raw.y)
    again = split(read(spec.task), spec.task)
    assert in_test.sum() == len(splits.test) > 0
    assert again.fingerprint == splits.fingerprint and again.scale() == splits.scale()
