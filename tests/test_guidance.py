"""Several teachers: dense guidance, ensembles, and weights that are handed down."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.distill import Job, load_network, perform
from autodistill.distill.networks import initialized
from autodistill.distill.run import Run
from autodistill.spec import CrossEntropy, LossSpec, SoftTargets, SpecError, Stage, UsageError, chain, label_only
from autodistill.spec.stage import is_dense
from autodistill.store import Store
from autodistill.study.preflight.facts import facts
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.schedule.jobs import needs
from autodistill.study.space import Space, draw

CPU = torch.device("cpu")
LADDER = [{"family": "mlp", "depth": 1, "width": width} for width in (16, 24, 32)]
PARAMS = {
    "architecture.depth": 1,
    "architecture.width": 3,
    "loss.kd.weight": 0.7,
    "loss.kd.temperature": 3.0,
    "assistants.count": 2,
    "assistants.1": 0,
    "assistants.2": 2,
}


@pytest.fixture
def space(tiny: Any, tmp_path: Path) -> Callable[..., Space]:
    def make(**changes: Any) -> Space:
        spec, splits = load_data(tiny(assistants__ladder=LADDER, assistants__at_most=2, **changes), cuda=False)
        return space_of(spec, splits, Store(tmp_path / "store"))

    return make


def widths(stages: Any) -> list[int]:
    return [stage.architecture.width for stage in stages]


# Dense guidance


def test_serial_learns_from_the_network_above_and_dense_from_all(space: Callable[..., Space]) -> None:
    serial, dense = space().decode(PARAMS), space(assistants__guidance="dense").decode(PARAMS)
    assert widths(serial.teachers) == [16] and widths(serial.teachers[0].teachers) == [32]  # type: ignore[union-attr]
    assert widths(dense.teachers) == [64, 32, 16]
    assert widths(dense.teachers[2].teachers) == [64, 32]  # type: ignore[union-attr]
    assert widths(dense.ancestors()) == widths(serial.ancestors()) == [64, 32, 16]
    assert chain(dense).endswith("(dense)") and not chain(serial).endswith("(dense)")
    assert chain(dense).startswith(chain(serial))


def test_without_assistants_guidance_is_the_same_stage(space: Callable[..., Space]) -> None:
    direct = PARAMS | {"assistants.count": 0}
    assert space(assistants__guidance="dense").decode(direct).key() == space().decode(direct).key()


def test_the_first_assistant_is_shared_by_both_guidances(space: Callable[..., Space]) -> None:
    made = space(assistants__guidance={"choice": ["serial", "dense"]})
    both = [made.decode(PARAMS | {"assistants.guidance": guidance}) for guidance in ("serial", "dense")]
    firsts = [stage.ancestors()[1].key() for stage in both]
    assert firsts[0] == firsts[1] and both[0].ancestors()[2].key() != both[1].ancestors()[2].key()
    assert made.assistant_stages() == 3 + 2 * 3


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_a_searched_guidance_can_be_encoded(space_once: Space, seed: int) -> None:
    rng = random.Random(seed)
    params = {path: draw(domain, rng) for path, domain in space_once.domains.items()}
    stage = space_once.decode(params)
    found = space_once.encode(stage)
    assert found is not None and space_once.decode(found).key() == stage.key()


@pytest.fixture(scope="module")
def space_once(tmp_path_factory: pytest.TempPathFactory) -> Space:
    import copy

    from autodistill.spec import parse

    from .conftest import DOCUMENT, blobs

    folder = tmp_path_factory.mktemp("guidance")
    np.savez(folder / "data.npz", **blobs())
    document = copy.deepcopy(DOCUMENT)
    document["task"]["dataset"] = str(folder / "data.npz")
    document["assistants"] |= {"ladder": LADDER, "at_most": 2, "guidance": {"choice": ["serial", "dense"]}}
    document["teacher"]["architecture"]["depth"] = 2
    document["student"]["init"] = {"choice": ["random", "from_teacher"]}
    spec, splits = load_data(parse(document), cuda=False)
    return space_of(spec, splits, Store(folder / "store"))


# Training with several teachers


def trained(space: Space, stage: Stage) -> Store:
    store = Store(space_root(space))
    for job in needs(stage):
        if not store.has(*job.address()):
            perform(job, store, cuda=False, threads=1)
    return store


def space_root(space: Space) -> Path:
    return Path(str(space.spec.task.dataset)).parent / "store"


def test_an_ensemble_is_all_its_members_with_seeds_of_their_own(space: Callable[..., Space], folder: Path) -> None:
    member = {"architecture": {"family": "mlp", "depth": 1, "width": 64}, "recipe": {"epochs": 2, "learning_rate": 0.01}}
    made = space(teacher={"ensemble": [member, member]})
    stage = made.decode(PARAMS | {"assistants.count": 0})
    one, two = stage.teachers
    assert isinstance(one, Stage) and isinstance(two, Stage) and (one.seed, two.seed) == (0, 1) and one.key() != two.key()
    assert " + " in chain(stage)
    store = trained(made, stage)
    run = Run(store, stage, _data(store, stage), CPU)
    rows_B = run.rows(run.order)[0]
    said = run.guides.say(rows_B, run.samples.batch(rows_B, 0).inputs, 0, [0, 1])
    live = [load_network(store, teacher, CPU)(run.samples.batch(rows_B, 0).inputs).logits for teacher in (one, two)]
    for outputs, logits in zip(said, live, strict=True):
        torch.testing.assert_close(outputs.logits.softmax(1), logits.softmax(1))
    assert not torch.equal(said[0].logits, said[1].logits)


def _data(store: Store, stage: Stage) -> Any:
    from autodistill.distill import open_data

    return open_data(store, stage.task.data)


def test_dropped_teachers_are_drawn_from_the_seed_and_one_always_stays(space: Callable[..., Space]) -> None:
    made = space(assistants__guidance="dense")
    stage = made.decode(PARAMS)
    stage = stage.model_copy(update={"loss": stage.loss.model_copy(update={"drop_teachers": 0.6})})
    store = trained(made, stage)
    one, two = (Run(store, stage, _data(store, stage), CPU) for _ in range(2))
    kept = [one.kept() for _ in range(200)]
    assert kept == [two.kept() for _ in range(200)]
    assert min(map(len, kept)) == 1 and {index for each in kept for index in each} == {0, 1, 2}
    whole = Run(store, made.decode(PARAMS), _data(store, stage), CPU)
    assert whole.kept() == [0, 1, 2]


def test_a_dense_student_trains_and_its_loss_is_the_mean_over_teachers(space: Callable[..., Space]) -> None:
    made = space(assistants__guidance="dense")
    stage = made.decode(PARAMS)
    soft = LossSpec(kd=SoftTargets(weight=1.0, temperature=2.0))
    store = trained(made, stage)
    losses = []
    for teachers in (stage.teachers, *((teacher,) for teacher in stage.teachers)):
        run = Run(store, stage.model_copy(update={"loss": soft, "teachers": teachers}), _data(store, stage), CPU)
        run.network.train()
        losses.append(float(run.step(run.rows(run.order)[0])))
    assert losses[0] == pytest.approx(np.mean(losses[1:]), rel=1e-5)


# Weights that are handed down


def test_a_student_may_begin_with_its_teachers_weights(space: Callable[..., Space]) -> None:
    made = space(student__init="from_teacher")
    stage = made.decode(PARAMS | {"assistants.count": 1, "assistants.1": 1})
    assert stage.init is not None and widths([stage.init]) == [24]
    store = trained(made, stage)
    network = initialized(store, stage, _data(store, stage))
    source = load_network(store, stage.init, CPU)
    assert torch.equal(dict(network.named_parameters())["body.1.weight"], dict(source.named_parameters())["body.1.weight"][:3])


def test_from_labels_the_weights_come_from_the_teacher_all_the_same(space: Callable[..., Space]) -> None:
    made = space(student__init="from_teacher")
    stage = made.decode(PARAMS | {"loss.kd.weight": 0.0})
    assert not stage.teachers and stage.init is not None and stage.init.key() == made.teachers[0].key()
    assert [job.network.key() for job in needs(stage)] == [made.teachers[0].key(), stage.key()]
    assert stage.key() != space().decode(PARAMS | {"loss.kd.weight": 0.0}).key()


def test_an_assistant_too_narrow_to_copy_from_is_passed_over(space: Callable[..., Space]) -> None:
    made = space(student__init="from_teacher", student__architecture={"family": "mlp", "depth": 1, "width": {"int": [1, 20]}})
    stage = made.decode({**PARAMS, "architecture.width": 18, "assistants.count": 1, "assistants.1": 0})
    assert stage.init is not None and stage.init.architecture.width >= 18


def test_a_student_larger_than_its_teacher_cannot_inherit(space: Callable[..., Space]) -> None:
    made = space(student__init="from_teacher", student__architecture={"family": "mlp", "depth": 1, "width": {"int": [1, 80]}})
    _, splits = load_data(made.spec, cuda=False)
    with pytest.raises(UsageError, match="student.init"):
        facts(made, splits)


def test_a_teacher_may_be_trained_on_from_a_file(space: Callable[..., Space], folder: Path) -> None:
    first = space()
    teacher = first.teachers[0]
    assert isinstance(teacher, Stage)
    store = trained(first, teacher)
    weights = store.file("stages", teacher.key(), "model.safetensors")
    recipe = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-4}
    made = space(
        teacher={"architecture": {"family": "mlp", "depth": 1, "width": 64}, "recipe": recipe, "checkpoint": str(weights)}
    )
    tuned = made.teachers[0]
    assert isinstance(tuned, Stage) and tuned.init is not None
    found = trained(made, tuned).manifest("stages", tuned.key())["measurement"]["scores"]
    assert (
        found["accuracy"]["value"]
        >= store.manifest("stages", teacher.key())["measurement"]["scores"]["accuracy"]["value"] - 0.05
    )


# Baselines


def test_a_label_only_baseline_differs_in_what_was_handed_over_alone(space: Callable[..., Space]) -> None:
    stage = space(student__init="from_teacher").decode(PARAMS)
    own = label_only(stage)
    assert own.loss == LossSpec(ce=CrossEntropy(weight=1.0)) and not own.teachers and own.init is None
    assert (own.architecture, own.recipe, own.seed, own.task) == (stage.architecture, stage.recipe, stage.seed, stage.task)


def test_a_label_only_baseline_has_a_key_of_its_own_whenever_it_is_asked_for(space: Callable[..., Space]) -> None:
    stage = space().decode(PARAMS)
    before = stage.key()
    assert label_only(stage).key() != before
    assert label_only(stage).key() == label_only(Stage.model_validate(stage.model_dump(), strict=False)).key()


def test_a_label_only_baseline_has_nothing_to_warm_up_beside(space: Callable[..., Space]) -> None:
    loss = {"ce": {"weight": 0.5, "warm_up": 0.5}, "kd": {"weight": 0.5}, "balance": "initial"}
    own = label_only(space(student__loss=loss).decode({k: v for k, v in PARAMS.items() if "loss" not in k}))
    assert own.loss == LossSpec(ce=CrossEntropy())


def test_what_has_no_say_is_not_in_the_key(space: Callable[..., Space]) -> None:
    """Students from labels, with a live teacher, or with one teacher: equal trainings are one stage."""
    fields = {k: v for k, v in PARAMS.items() if "loss" not in k} | {"assistants.count": 0}
    recipe = {"epochs": 1, "outputs_dtype": "float16", "outputs_top": 2}
    labels = {"ce": {"weight": 1.0}, "balance": "initial", "drop_teachers": 0.5}
    one = space(student__loss=labels, student__recipe=recipe).decode(fields)
    assert one.key() == space(student__loss={"ce": {"weight": 1.0}}, student__recipe={"epochs": 1}).decode(fields).key()
    hint = {"ce": {"weight": 1.0}, "hint": {"weight": 1.0}}
    live = [space(student__loss=hint, student__recipe=each).decode(fields) for each in (recipe, {"epochs": 1})]
    assert live[0].key() == live[1].key()
    soft = {"kd": {"weight": 1.0}}
    cached = [space(student__loss=soft, student__recipe=each).decode(fields) for each in (recipe, {"epochs": 1})]
    assert cached[0].key() != cached[1].key(), "there it is what the student sees"
    dropped = space(student__loss=soft | {"drop_teachers": 0.5}, student__recipe={"epochs": 1}).decode(fields)
    assert dropped.key() == cached[1].key()


def test_dense_is_said_of_assistants_alone(space: Callable[..., Space], folder: Path) -> None:
    """Not of an ensemble, one of which was trained on from a file."""
    first = space()
    teacher = first.teachers[0]
    assert isinstance(teacher, Stage)
    weights = str(trained(first, teacher).file("stages", teacher.key(), "model.safetensors"))
    plain = {"architecture": {"family": "mlp", "depth": 1, "width": 64}, "recipe": {"epochs": 1}}
    both = {"ensemble": [plain, plain | {"checkpoint": weights}]}
    direct = space(teacher=both).decode(PARAMS | {"assistants.count": 0})
    assert not is_dense(direct) and chain(direct).startswith("mlp depth=1 width=64 + mlp depth=1 width=64 > mlp")
    tuned = plain | {"checkpoint": weights}
    dense = space(teacher=tuned, assistants__guidance="dense").decode(PARAMS)
    assert is_dense(dense) and chain(dense).count("width=64") == 1


def test_an_ensemble_in_an_ensemble_is_refused(tiny: Any) -> None:
    member = {"architecture": {"family": "mlp", "depth": 1, "width": 8}, "recipe": {"epochs": 1}}
    inner = {"ensemble": [member, member]}
    with pytest.raises(SpecError, match="list all teachers in one"):
        tiny(teacher={"ensemble": [inner, member]})


def test_a_job_waits_for_its_init(space: Callable[..., Space]) -> None:
    stage = space(student__init="from_teacher").decode(PARAMS | {"loss.kd.weight": 0.0})
    assert Job(network=stage).trains and stage.ancestors()[0].key() == space().teachers[0].key()
