"""Augmented views: fixed by (seed, sample, view), and each option against its closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from autodistill.data.augment import Seen, Views, composed
from autodistill.data.pixels import CODE, LARGEST, cropped, cut_out, flipped, mixed, moved, randomly_augmented, toned
from autodistill.spec import Augmentation, RandAugment, Recipe, SpecError, UsageError, digest, parse, resolve
from autodistill.spec.domains import domains, fill
from autodistill.spec.recipe import RECIPE
from autodistill.spec.trees import searchable
from tests.conftest import DOCUMENT

SAMPLES, SHAPE, CPU = 23, (3, 9, 7), torch.device("cpu")
OPTIONS: dict[str, dict[str, Any]] = {
    "flip": {"flip": True},
    "crop": {"crop": 2},
    "cutout": {"cutout": 4},
    "randaugment": {"randaugment": {}},
    "mixup": {"mixup": 0.4},
    "all": {"flip": True, "crop": 2, "cutout": 4, "randaugment": {"operations": 3}, "mixup": 0.4},
}
X_N = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SAMPLES, *SHAPE), dtype=np.uint8))
EVERY = torch.arange(SAMPLES)
each_option = pytest.mark.parametrize("option", OPTIONS)
each_type = pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])


def views(augmentation: dict[str, Any], *, shape: tuple[int, ...] = SHAPE, samples: int = SAMPLES, **changes: Any) -> Views:
    given = {"seed": 0, "samples": samples, "shape": shape, "fill": [100.0, 120.0, 140.0], "device": CPU} | changes
    return Views(Augmentation.model_validate(augmentation), **given)


def seen(augmentation: dict[str, Any], rows_B: Tensor = EVERY, view: int = 0, x_N: Tensor = X_N, **changes: Any) -> Seen:
    return views(augmentation, **changes).batch(x_N.__getitem__, rows_B, view)


# A view depends on (seed, sample, view) alone


@each_option
@each_type
@settings(max_examples=15)
@given(rows=st.lists(st.integers(0, SAMPLES - 1), min_size=1, max_size=30), view=st.integers(0, 3))
def test_a_view_of_a_sample_is_the_same_in_every_batch(option: str, dtype: torch.dtype, rows: list[int], view: int) -> None:
    x_N, rows_B = X_N.to(dtype), torch.tensor(rows)
    whole, part = seen(OPTIONS[option], view=view, x_N=x_N), seen(OPTIONS[option], rows_B, view, x_N)
    for all_N, some_B in zip(whole, part, strict=True):
        assert (all_N is None) == (some_B is None)
        assert all_N is None or torch.equal(all_N[rows_B], some_B)


@each_option
def test_a_view_does_not_depend_on_what_was_asked_before(option: str) -> None:
    one = views(OPTIONS[option])
    for view in (2, 0, 2, 1):
        assert torch.equal(one.batch(X_N.__getitem__, EVERY, view).x_B, seen(OPTIONS[option], view=view).x_B)


@each_option
def test_views_seeds_and_samples_differ(option: str) -> None:
    same_N = X_N[:1].expand(SAMPLES, *SHAPE) if option != "mixup" else X_N
    first = seen(OPTIONS[option], x_N=same_N).x_B
    assert not torch.equal(first, seen(OPTIONS[option], view=1, x_N=same_N).x_B)
    assert not torch.equal(first, seen(OPTIONS[option], x_N=same_N, seed=1).x_B)
    assert len({sample.numpy().tobytes() for sample in first}) > 1


def test_an_option_draws_the_same_whatever_else_is_on() -> None:
    every = views(OPTIONS["all"]).table(5)
    for name, column in (("flip", "flip_N"), ("crop", "offset_N2"), ("cutout", "center_N2"), ("mixup", "partner_N")):
        assert torch.equal(getattr(views(OPTIONS[name]).table(5), column), getattr(every, column)), name


def test_the_table_of_a_view_is_kept_until_another_is_asked_for() -> None:
    one = views(OPTIONS["all"])
    assert one.table(0) is one.table(0)
    assert one.table(0) is not one.table(1)


@each_option
def test_no_global_generator_is_touched(option: str) -> None:
    before, legacy = torch.get_rng_state(), np.random.get_state()[1]
    seen(OPTIONS[option])
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(legacy, np.random.get_state()[1])


def test_the_draws_have_not_changed() -> None:
    """If they have, by a change here or in numpy, then raise Augmentation.version: kept outputs of teachers are stale."""
    table = views(OPTIONS["all"]).table(0)
    numbers = [None if column is None else column[:4].double().mul(1000).round().long().tolist() for column in table]
    assert digest(numbers)[:16] == "7e8c357da09cd9af"


# The options in closed form


def test_flipping_twice_is_nothing() -> None:
    x = torch.tensor([[[[1, 2, 3], [4, 5, 6]]], [[[7, 8, 9], [0, 1, 2]]]])
    flip = torch.tensor([True, False])
    assert flipped(x, flip).tolist() == [[[[3, 2, 1], [6, 5, 4]]], [[[7, 8, 9], [0, 1, 2]]]]
    assert torch.equal(flipped(flipped(x, flip), flip), x)


def test_about_half_of_the_samples_are_flipped() -> None:
    table = views({"flip": True}, samples=10_000).table(0)
    assert table.flip_N is not None and 4_800 < int(table.flip_N.sum()) < 5_200


def test_a_crop_is_a_window_of_the_padded_sample() -> None:
    table, found = views({"crop": 2}).table(0), seen({"crop": 2}).x_B
    assert table.offset_N2 is not None and set(table.offset_N2.flatten().tolist()) == {0, 1, 2, 3, 4}
    for row, (y, x) in enumerate(table.offset_N2.tolist()):
        padded = np.pad(X_N[row].numpy(), ((0, 0), (2, 2), (2, 2)))
        assert np.array_equal(found[row].numpy(), padded[:, y : y + 9, x : x + 7])


def test_a_crop_in_the_middle_is_nothing() -> None:
    assert torch.equal(cropped(X_N, torch.full((SAMPLES, 2), 3), 3), X_N)


def test_cutout_sets_a_square_to_the_fill() -> None:
    fill_C11 = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    found = cut_out(torch.zeros(2, 3, 9, 7), torch.tensor([[4, 3], [0, 6]]), 3, fill_C11)
    assert (found[0] != 0).sum((1, 2)).tolist() == [9, 9, 9], "whole inside"
    assert (found[1] != 0).sum((1, 2)).tolist() == [4, 4, 4], "cut off at the corner"
    assert found[0, :, 4, 3].tolist() == [1, 2, 3] == found[1, :, 0, 6].tolist()


def test_cutout_of_uint8_is_filled_with_the_rounded_mean() -> None:
    found = seen({"cutout": 4}, x_N=torch.zeros_like(X_N), fill=[99.6, 0.4, 300.0]).x_B
    assert found.dtype == torch.uint8 and found.flatten(2).max(2).values.unique(dim=0).tolist() == [[100, 0, 255]]


@pytest.mark.parametrize("shape", [(5,), (2, 6), SHAPE])
def test_mixup_equals_the_formula_on_any_shape(shape: tuple[int, ...]) -> None:
    x_N = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    x_B, partner_B, share_B = seen({"mixup": 0.4}, x_N=x_N, shape=shape)
    assert partner_B is not None and share_B is not None
    assert sorted(partner_B.tolist()) == list(range(SAMPLES)), "each is the partner of one"
    assert float(share_B.min()) >= 0.5 and float(share_B.max()) <= 1 and share_B.dtype == torch.float32
    share = share_B.view(-1, *[1] * len(shape))
    torch.testing.assert_close(x_B, share * x_N + (1 - share) * x_N[partner_B])


def test_the_shares_of_mixup_come_from_a_beta() -> None:
    """alpha = 1 is uniform on [0, 1], whose greater part has mean 3/4; a small alpha mixes hardly at all."""
    even, rare = (views({"mixup": alpha}, samples=20_000).table(0).share_N for alpha in (1.0, 0.001))
    assert even is not None and float(even.mean()) == pytest.approx(0.75, abs=0.005)
    assert rare is not None and bool(torch.isfinite(rare).all()) and float(rare.mean()) > 0.99


def test_both_samples_of_a_mix_are_augmented_by_their_own_numbers() -> None:
    both = OPTIONS["flip"] | OPTIONS["crop"]
    x_B, partner_B, share_B = seen(both | {"mixup": 0.4})
    alone_N = seen(both).x_B
    assert partner_B is not None and share_B is not None
    assert torch.equal(x_B, mixed(alone_N, alone_N[partner_B], share_B))


# RandAugment


def one(operation: str, strength: float, x_BCHW: Tensor, fill: float = 0.0) -> Tensor:
    """One operation on every sample of the batch."""
    operation_BO, strength_BO = torch.full((len(x_BCHW), 1), CODE[operation]), torch.full((len(x_BCHW), 1), strength)
    matrix_B23 = torch.from_numpy(composed(operation_BO.numpy(), strength_BO.numpy(), *x_BCHW.shape[2:]))
    return randomly_augmented(x_BCHW, (operation_BO, strength_BO), matrix_B23, torch.tensor([[[fill]]]))


LADDER = torch.tensor([[[[0.0, 10, 20, 30], [40, 50, 60, 70], [80, 90, 100, 110], [120, 130, 140, 160]]]])


@pytest.mark.parametrize("operation", LARGEST)
def test_an_operation_of_no_strength_is_nothing(operation: str) -> None:
    torch.testing.assert_close(one(operation, 0.0, LADDER), LADDER)


@pytest.mark.parametrize("operation", [name for name, largest in LARGEST.items() if largest])
def test_an_operation_of_some_strength_is_something(operation: str) -> None:
    assert not torch.equal(one(operation, 0.9 * LARGEST[operation], LADDER), LADDER)
    assert LARGEST["identity"] == 0


def test_a_quarter_turn_and_a_shift_by_a_quarter() -> None:
    turned = one("rotate", np.pi / 2, LADDER)
    assert any(torch.allclose(turned, torch.rot90(LADDER, way, (2, 3)), atol=1e-3) for way in (-1, 1))
    shifted = one("translate_x", 0.25, LADDER, fill=7)
    torch.testing.assert_close(shifted[..., :3], LADDER[..., 1:])
    torch.testing.assert_close(shifted[..., 3], torch.full((1, 1, 4), 7.0))
    torch.testing.assert_close(one("translate_y", -0.25, LADDER)[:, :, 1:], LADDER[:, :, :3])


def test_sides_of_an_image_need_not_be_equal() -> None:
    wide = torch.arange(32.0).view(1, 1, 4, 8)
    torch.testing.assert_close(one("translate_y", 0.25, wide)[:, :, :3], wide[:, :, 1:])
    torch.testing.assert_close(one("translate_x", 0.25, wide)[..., :6], wide[..., 2:])
    torch.testing.assert_close(one("rotate", np.pi, wide), wide.flip(2, 3), atol=1e-3, rtol=0)
    turned = one("rotate", np.pi / 2, wide)[0, 0, :, 2:6]  # the square in the middle
    assert any(torch.allclose(turned, torch.rot90(wide[0, 0, :, 2:6], way), atol=1e-3) for way in (-1, 1))


def test_a_shear_moves_rows_by_their_distance_from_the_center() -> None:
    found = one("shear_x", 2.0, LADDER)  # rows stand 1.5, 0.5, -0.5 and -1.5 from the center
    torch.testing.assert_close(found[0, 0, 1, 1:], LADDER[0, 0, 1, :3])
    torch.testing.assert_close(found[0, 0, 2, :3], LADDER[0, 0, 2, 1:])


def test_moves_after_each_other_are_one_map() -> None:
    """Half a width to the side after a quarter turn, and the other way round, in homogeneous coordinates."""
    operation_NO = np.array([[CODE["rotate"], CODE["translate_x"]], [CODE["translate_x"], CODE["rotate"]]])
    found = composed(operation_NO, np.array([[np.pi / 2, 0.5], [0.5, np.pi / 2]]), 4, 4)
    assert found == pytest.approx(np.array([[[0, -1, 0], [1, 0, 2]], [[0, -1, 2], [1, 0, 0]]]), abs=1e-6)


def test_tones_in_closed_form() -> None:
    mean = float(LADDER.mean())
    torch.testing.assert_close(one("brightness", -0.5, LADDER), LADDER / 2)
    torch.testing.assert_close(one("brightness", 0.5, LADDER), (LADDER * 1.5).clamp(max=160))
    torch.testing.assert_close(one("contrast", -0.5, LADDER), mean + (LADDER - mean) / 2)
    torch.testing.assert_close(one("solarize", -1.0, LADDER + 5)[0, 0, 1:], 170 - (LADDER + 5)[0, 0, 1:])
    torch.testing.assert_close(one("solarize", 0.5, LADDER), torch.where(LADDER > 80, 160 - LADDER, LADDER))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 300.0]), shift=st.sampled_from([-5.0, 0.0, 5.0]))
def test_tones_keep_the_range_of_a_sample_and_do_not_ask_for_its_units(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.integers(0, 256, (4, 1, 3, 3))).float()
    operation_BO = torch.from_numpy(rng.integers(CODE["brightness"], len(LARGEST), (4, 2)))
    strength_BO = torch.from_numpy(rng.uniform(-0.9, 0.9, (4, 2))).float()
    found, other = toned(x, operation_BO, strength_BO), toned(scale * x + shift, operation_BO, strength_BO)
    assert bool((found.amin((1, 2, 3)) >= x.amin((1, 2, 3))).all()) and bool((found.amax((1, 2, 3)) <= x.amax((1, 2, 3))).all())
    near = (other - scale * found - shift).abs() <= 2e-4 * max(scale * 255, abs(shift))
    assert float(near.float().mean()) > 0.9, "all but a number on solarize's threshold"


def test_what_comes_in_from_outside_is_the_fill() -> None:
    far = torch.tensor([[[1.0, 0, 100], [0, 1, 0]]])
    torch.testing.assert_close(moved(LADDER, far, torch.tensor([[[7.0]]])), torch.full_like(LADDER, 7))


# Types, devices, shapes


@each_option
def test_uint8_stays_uint8_but_for_mixup_and_agrees_with_float(option: str) -> None:
    whole, real = seen(OPTIONS[option]).x_B, seen(OPTIONS[option], x_N=X_N.float()).x_B
    assert whole.shape == real.shape == X_N.shape and real.dtype == torch.float32
    assert whole.dtype == (torch.float32 if "mixup" in OPTIONS[option] else torch.uint8)
    assert float((whole.float() - real).abs().max()) <= (0.51 if "randaugment" in OPTIONS[option] else 0)
    assert -1e-3 < float(real.min()) and float(real.max()) < 255.001, "but for rounding"


@each_option
def test_the_order_of_memory_does_not_matter(option: str) -> None:
    last = X_N.contiguous(memory_format=torch.channels_last)
    assert torch.equal(seen(OPTIONS[option], x_N=last).x_B, seen(OPTIONS[option]).x_B)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_device_is_a_value_or_its_name(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    x_N, rows_B, expected = X_N.to(device), EVERY.to(device), seen(OPTIONS["all"])
    for given_device in (device, torch.device(device)):
        found = seen(OPTIONS["all"], rows_B, x_N=x_N, device=given_device)
        assert found.x_B.device.type == device
        torch.testing.assert_close(found.x_B.cpu(), expected.x_B, atol=1.0, rtol=0)
        assert expected.partner_B is not None and torch.equal(found.partner_B.cpu(), expected.partner_B)  # type: ignore[union-attr]


@pytest.mark.parametrize("shape", [(12,), (2, 12)])
@pytest.mark.parametrize("option", ["flip", "crop", "cutout", "randaugment"])
def test_what_is_of_images_is_refused_for_other_shapes(option: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        views(OPTIONS[option] | {"mixup": 1.0}, shape=shape)
    message = "takes images of shape (C, H, W), not samples of shape"
    assert str(caught.value) == f"augmentation.{option}: {message} {shape}; remove it (mixup takes any shape)"


@pytest.mark.parametrize("option", ["crop", "cutout"])
def test_what_can_leave_nothing_of_an_image_is_refused(option: str) -> None:
    views({option: 6})
    with pytest.raises(UsageError) as caught:
        views({option: 7})
    message = "7 can leave nothing of samples of shape (3, 9, 7); use at most 6"
    assert str(caught.value) == f"augmentation.{option}: {message}"


# The schema


def test_a_recipe_without_augmentation_keeps_its_canonical_form() -> None:
    assert Recipe(epochs=1).identity() == {
        "epochs": 1,
        "batch_size": 64,
        "learning_rate": 3e-3,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "schedule": "one_cycle",
        "precision": "auto",
        "outputs_dtype": "float32",
        "version": 2,
    }


def test_views_are_fresh_unless_their_number_is_given() -> None:
    flip = Augmentation(flip=True)
    assert Recipe(epochs=1, augmentation=flip).views == "fresh"
    assert Recipe(epochs=1, augmentation=flip) == Recipe(epochs=1, augmentation=flip, views="fresh")
    assert Recipe(epochs=1, augmentation=flip, views=4).identity()["views"] == 4
    assert Recipe.model_validate(Recipe(epochs=1, augmentation=flip).model_dump(mode="json")).augmentation == flip


def test_the_key_holds_the_options_with_their_defaults() -> None:
    found = Augmentation(randaugment=RandAugment(), mixup=1).identity()
    random = {"operations": 2, "magnitude": 9.0}
    assert found == {"flip": False, "crop": 0, "cutout": 0, "randaugment": random, "mixup": 1.0, "version": 1}


@pytest.mark.parametrize("nothing", [{}, {"flip": False, "crop": 0}])
def test_an_augmentation_of_nothing_is_refused(nothing: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="enables nothing; set at least one of flip, .*, or remove augmentation"):
        Augmentation.model_validate(nothing)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"views": 2}, "", "views: 2 needs an augmentation, and there is none; remove views, or add one"),
    ({"augmentation": {"flip": True}, "views": 0}, ".views", "0 is invalid: use 1 or more, or 'fresh'"),
    ({"augmentation": {}}, ".augmentation", "enables nothing"),
    ({"augmentation": {"flop": True}}, ".augmentation.flop", "did you mean 'flip'?"),
    ({"augmentation": {"mixup": 0}}, ".augmentation.mixup", "0 is invalid: use 0.001 or more"),
    ({"augmentation": {"crop": -1}}, ".augmentation.crop", "-1 is invalid: use 0 or more"),
    ({"augmentation": {"randaugment": {"magnitude": 11}}}, ".augmentation.randaugment.magnitude", "11 is invalid: use"),
]


@pytest.mark.parametrize(("recipe", "path", "message"), WRONG)
@pytest.mark.parametrize("part", ["student", "teacher"])
def test_a_spec_says_what_is_wrong(part: str, recipe: dict[str, Any], path: str, message: str) -> None:
    document = DOCUMENT | {part: DOCUMENT[part] | {"recipe": DOCUMENT[part]["recipe"] | recipe}}
    with pytest.raises(SpecError) as caught:
        parse(document)
    (problem,) = caught.value.problems
    assert problem.path == f"{part}.recipe{path}" and message in problem.message


SEARCHED = {"choice": [None, {"flip": True}, {"crop": {"int": [1, 2]}, "randaugment": {"magnitude": {"uniform": [1, 9]}}}]}


def test_augmentation_can_be_searched() -> None:
    tree = searchable({"epochs": 1, "augmentation": SEARCHED}, RECIPE)
    inner = "augmentation{2}"
    assert list(domains(tree)) == ["augmentation", f"{inner}.crop", f"{inner}.randaugment.magnitude"]
    params = {"augmentation": 2, f"{inner}.crop": 2, f"{inner}.randaugment.magnitude": 3.0}
    found = RECIPE.validate_python(fill(tree, params)).augmentation
    assert found == Augmentation(crop=2, randaugment=RandAugment(magnitude=3.0))
    assert RECIPE.validate_python(fill(tree, {"augmentation": 0})).views is None


def test_resolving_writes_the_defaults_of_an_augmentation_down(tiny: Callable[..., Any]) -> None:
    spec = tiny(student__recipe={"epochs": 1, "augmentation": SEARCHED})
    found = resolve(spec, fingerprint="ab", cuda=False)
    nothing, flip, random = found.document()["student"]["recipe"]["augmentation"]["choice"]
    assert nothing is None and flip == {"flip": True, "crop": 0, "cutout": 0}
    assert random["randaugment"] == {"operations": 2, "magnitude": {"uniform": [1.0, 9.0]}} and random["flip"] is False
    assert resolve(found, fingerprint="ab", cuda=False) == found and parse(found.document()) == found
