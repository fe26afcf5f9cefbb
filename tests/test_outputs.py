"""Teachers' outputs: cached by view, in half precision or of the largest classes alone, or said while a student trains."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from autodistill.distill import Job, make_outputs, open_data, outputs_key, train
from autodistill.distill.outputs import Cached, compressed, open_outputs
from autodistill.distill.predictions import entropy
from autodistill.distill.samples import UNLABELED, Samples
from autodistill.losses import Loss
from autodistill.models import Layers
from autodistill.spec import Augmentation, CrossEntropy, Hint, LogitsCacheSpec, LossSpec, ResNet, Stage, Timm
from autodistill.study.schedule.jobs import needs, outputs_of

from .test_distill import CACHE, CPU, KD, RECIPE, House, house, one_thread

__all__ = ["house", "one_thread"]
FLIP = Augmentation(flip=True, crop=1)
MIX = Augmentation(mixup=0.4)


def student(house: House, teacher: Stage, loss: LossSpec = KD, **changes: Any) -> Stage:
    recipe = RECIPE.model_copy(update=changes)
    return house.stage(ResNet(depth=1, width=2), loss, teachers=(teacher,), recipe=recipe)


@pytest.fixture
def teacher(house: House) -> Stage:
    stage = house.stage(ResNet(depth=1, width=4))
    train(house.store, stage, CPU)
    return stage


def losses(house: House, stage: Stage) -> list[float]:
    for job in outputs_of(stage):
        assert job.cache is not None
        make_outputs(house.store, job.network, job.cache, CPU)
    run = house.run(stage)
    return [run.epoch() for _ in range(stage.recipe.epochs)]


@pytest.mark.parametrize("augmentation", [FLIP, MIX])
def test_cached_views_give_the_losses_of_a_live_teacher(house: House, teacher: Stage, augmentation: Augmentation) -> None:
    """With as many views as epochs the two are the same training."""
    cached = student(house, teacher, augmentation=augmentation, views=2)
    live = student(house, teacher, augmentation=augmentation, views="fresh")
    assert cached.logits_cache() is not None and live.logits_cache() is None
    assert losses(house, cached) == pytest.approx(losses(house, live), rel=1e-4)


def test_one_view_is_seen_in_every_epoch(house: House, teacher: Stage) -> None:
    run = house.run(student(house, teacher, augmentation=FLIP, views="fresh"))
    rows_B = run.rows(run.order)[0]
    first, again, other = (run.samples.batch(rows_B, view).inputs["x"] for view in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    one = student(house, teacher, augmentation=FLIP, views=1)
    losses(house, one)
    run = house.run(one)
    seen = [run.samples.batch(rows_B, run.shown).inputs["x"]]
    run.epoch()
    seen.append(run.samples.batch(rows_B, run.shown).inputs["x"])
    assert torch.equal(*seen)


def test_views_are_of_the_key(house: House, teacher: Stage) -> None:
    plain, two, three, half = (
        student(house, teacher),
        student(house, teacher, augmentation=FLIP, views=2),
        student(house, teacher, augmentation=FLIP, views=3),
        student(house, teacher, outputs_dtype="float16"),
    )
    assert len({stage.key() for stage in (plain, two, three, half)}) == 4
    asked = [stage.logits_cache() for stage in (plain, two, three, half)]
    assert len({outputs_key(teacher, one) for one in asked if one}) == 4
    same = student(house, teacher, LossSpec(kd=KD.kd), augmentation=FLIP, views=2)
    assert same.logits_cache() == two.logits_cache(), "students of other losses share the cache"


def test_no_outputs_are_made_for_a_live_teacher(house: House, teacher: Stage) -> None:
    live = student(house, teacher, augmentation=FLIP, views="fresh")
    assert [job.trains for job in needs(live)] == [True, True]
    assert [job.trains for job in needs(student(house, teacher))] == [True, False, True]


def test_half_precision_loses_little(house: House, teacher: Stage) -> None:
    halves = student(house, teacher, outputs_dtype="float16")
    assert losses(house, halves) == pytest.approx(losses(house, student(house, teacher)), rel=2e-3)
    asked = halves.logits_cache()
    assert asked is not None and open_outputs(house.store, teacher, asked).logits.dtype == np.float16


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), top=st.integers(1, 6))
def test_the_largest_keep_their_probabilities_and_the_others_share_the_rest(seed: int, top: int) -> None:
    logits = torch.tensor(np.random.default_rng(seed).normal(size=(5, 7)) * 4, dtype=torch.float32)
    parts = {name: part.numpy()[None] for name, part in compressed(logits, top).items()}
    whole = torch.from_numpy(Cached(classes=7, **parts).read(np.arange(5), 0)).softmax(1)
    truth = logits.softmax(1)
    index = logits.sort(1, descending=True).indices
    torch.testing.assert_close(whole.gather(1, index[:, :top]), truth.gather(1, index[:, :top]))
    rest = whole.gather(1, index[:, top:])
    torch.testing.assert_close(rest, rest[:, :1].expand_as(rest))
    torch.testing.assert_close(whole.sum(1), torch.ones(5))


def test_top_of_all_classes_is_no_compression(house: House, teacher: Stage) -> None:
    make_outputs(house.store, teacher, LogitsCacheSpec(top=10), CPU)
    make_outputs(house.store, teacher, CACHE, CPU)
    whole, plain = (open_outputs(house.store, teacher, asked) for asked in (LogitsCacheSpec(top=10), CACHE))
    assert whole.index is None and np.array_equal(whole.logits, plain.logits)


def test_a_student_learns_from_the_top_classes_alone(house: House, teacher: Stage) -> None:
    found = losses(house, student(house, teacher, outputs_top=3))
    assert found[1] < found[0]
    assert found == pytest.approx(losses(house, student(house, teacher)), rel=0.2)


def test_logits_far_apart_survive_half_precision() -> None:
    parts = compressed(torch.tensor([[1e5, -1e5, 0.0], [3.0, 2.0, 1.0]]), None)
    assert np.isfinite(parts["logits"].numpy().astype(np.float16)).all()


# What a teacher has to say


def test_entropies_in_closed_form() -> None:
    flat, sure = torch.zeros(3, 8), torch.tensor([[100.0, 0.0]])
    torch.testing.assert_close(entropy(flat, 4.0), torch.full((3,), float(np.log(8))))
    assert float(entropy(sure, 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(entropy(sure, 100.0)) == pytest.approx(0.5822, abs=1e-3), "p = 1 / (1 + 1/e)"


def test_a_stage_from_labels_knows_what_it_would_teach(house: House, teacher: Stage) -> None:
    soft_targets = house.store.manifest("stages", teacher.key())["soft_targets"]
    assert soft_targets["entropy"]["1"] < soft_targets["entropy"]["4"] < soft_targets["entropy"]["8"] <= np.log(10)
    assert 0.3 < soft_targets["train_accuracy"] <= 1 and soft_targets["classes"] == 10


# Samples


def test_mixed_labels_are_shares_and_unknown_where_either_is(house: House) -> None:
    data = open_data(house.store, house.task.data)
    samples = Samples(data, MIX, 0, CPU)
    rows_B = torch.arange(32)
    targets = samples.batch(rows_B, 0).targets
    assert targets.shape == (32, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(32))
    samples.y_N[:16] = UNLABELED
    assert not samples.batch(rows_B, 0).targets[:16].any()


def test_labeled_samples_are_mixed_with_labeled_ones(house: House) -> None:
    data = open_data(house.store, house.task.data)
    first, rest = (data.train_x.take(rows) for rows in np.split(np.arange(len(data.train_y)), [100]))
    few = dataclasses.replace(data, train_y=data.train_y[:100], train_x=first, unlabeled_x=rest)
    samples = Samples(few, MIX, 0, CPU)
    for view in range(3):
        known = samples.batch(torch.arange(100), view).targets.sum(1)
        torch.testing.assert_close(known, torch.ones(100))
        assert not samples.batch(torch.arange(100, few.rows), view).targets.any()


DROPOUT = Timm(name="resnet10t", arguments={"drop_rate": 0.5, "channels": [4, 4, 4, 4]})


def test_balanced_scales_depend_on_the_seed_alone(house: House) -> None:
    """Not on torch's own generator, from which dropout draws."""
    teacher = house.trained_teacher()
    loss = KD.model_copy(update={"balance": "initial"})
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(house.run(house.stage(DROPOUT, loss, teachers=(teacher,))).loss.scales)
    assert found[0] == found[1] and found[0]["ce"] != 1.0


def test_balance_is_over_the_batches_in_which_a_term_has_something_to_say() -> None:
    loss = Loss(KD, None, [Layers({}, {})])
    loss.balance([{"ce": 0.0, "kd": 2.0}, {"ce": 4.0, "kd": 2.0}, {"ce": 0.0, "kd": 0.0}])
    assert loss.scales == {"ce": 0.25, "kd": 0.5}
    loss.balance([{"ce": 0.0, "kd": 0.0}])
    assert loss.scales == {"ce": 1.0, "kd": 1.0}


def test_labeled_rows_fill_an_epoch_of_all_rows(house: House) -> None:
    data = open_data(house.store, house.task.data)
    samples = Samples(data, None, 0, CPU)
    samples.labeled = 100
    order = samples.order(10, 64, True, torch.Generator().manual_seed(0)).flatten()
    assert order.max() < 100 and np.bincount(order.numpy()[:600], minlength=100).tolist() == [6] * 100


def test_an_outputs_job_has_its_own_address(house: House, teacher: Stage) -> None:
    asked = LogitsCacheSpec(views=2, augmentation=FLIP, seed=0, dtype="float16", top=3)
    job = Job(network=teacher, cache=asked)
    assert Job.load(job.dump()) == job and not job.trains
    assert job.address() == ("outputs", outputs_key(teacher, asked)) != Job(network=teacher, cache=CACHE).address()


def test_projections_train_with_the_student_but_are_not_of_it(house: House, teacher: Stage) -> None:
    stage = student(house, teacher, LossSpec(ce=CrossEntropy(), hint=Hint(weight=10.0)))
    run = house.run(stage)
    before = [parameter.detach().clone() for parameter in run.loss.parameters()]
    run.epoch()
    assert before and not any(torch.equal(*pair) for pair in zip(before, run.loss.parameters(), strict=True))
    measured = train(house.store, stage, CPU)
    saved = load_file(house.store.file("stages", stage.key(), "model.safetensors"))
    plain = house.run(house.stage(stage.architecture)).network
    assert saved.keys() == plain.state_dict().keys()
    assert measured.params == sum(parameter.numel() for parameter in plain.parameters())
