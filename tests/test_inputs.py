"""Named fields: what they say of themselves, samples of different lengths, and networks of your own that take both.

Suffixes of shapes: N samples, B batch, C channels, L length, K classes.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill import spec
from autodistill.answers.confirm import confirm
from autodistill.data import Columns, InputField, InputSpec, Ragged, Splits, split
from autodistill.data.arrays import check
from autodistill.distill import load_network, open_data, save_data
from autodistill.distill.predictions import evaluate, logits_of
from autodistill.distill.samples import Samples
from autodistill.exporting import Exported, export
from autodistill.exporting.formats import FORMATS
from autodistill.losses import Loss
from autodistill.metrics import latency
from autodistill.models import Layers, Network, Outputs, build
from autodistill.models.sizes import sizes
from autodistill.reporting.checked import checked
from autodistill.spec import MLP, DataError, Hint, Imported, LossSpec, MaskedTokens, TaskSpec, Term, UsageError
from autodistill.spec.task import FieldOptions
from autodistill.store import Store
from autodistill.study.preflight.check import check as preflight
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.rows import network_of

from . import own
from .conftest import DOCUMENT
from .searching import search
from .test_terms import CASES

CPU = torch.device("cpu")
IMAGE = InputField(name="image", shape=(3, 4, 4), dtype="uint8")
SIGNAL = InputField(name="signal", shape=(2, None), longest=7)
IDS = InputField(name="ids", shape=(None,), dtype="int64", padding=1, longest=5)
SPECS = [InputSpec.x((5,)), InputSpec.x((1, 8, 8), "uint8"), *(InputSpec(fields=one) for one in ((IMAGE, IDS), (SIGNAL,)))]
every_spec = pytest.mark.parametrize("inputs", SPECS, ids=lambda one: one.label)


# InputSpec


@every_spec
@pytest.mark.parametrize("batch", [1, 3])
def test_a_dummy_is_what_the_tensors_say(inputs: InputSpec, batch: int) -> None:
    found, forms = inputs.dummy(batch), inputs.tensors()
    assert list(found) == list(forms)
    for name, one in found.items():
        assert str(one.dtype) == f"torch.{forms[name].dtype}" and len(one) == batch and one.ndim == len(forms[name].axes)
        free = inputs.dynamic_axes()[name]
        assert free[0] == "batch" and all(
            side == axis or place in free for place, (side, axis) in enumerate(zip(one.shape, forms[name].axes, strict=True))
        )
    assert all(one.all() for one in found.values() if one.dtype == torch.bool), "all positions are real"


@every_spec
def test_a_spec_is_a_value(inputs: InputSpec) -> None:
    again = InputSpec.model_validate(json.loads(inputs.model_dump_json()))
    assert again == inputs and hash(again) == hash(inputs) and len({again, *SPECS}) == len(SPECS)
    assert inputs.numbers == sum(one[0].numel() for one in inputs.dummy(1).values() if one.dtype != torch.bool)


def test_an_open_axis_brings_a_mask_of_the_same_length() -> None:
    inputs = InputSpec(fields=(IDS, SIGNAL))
    shapes = {name: tuple(one.shape) for name, one in inputs.dummy(4).items()}
    assert shapes == {"ids": (4, 5), "ids_mask": (4, 5), "signal": (4, 2, 7), "signal_mask": (4, 7)}
    assert inputs.dynamic_axes()["signal"] == {0: "batch", 2: "signal_length"}
    assert inputs.dynamic_axes()["signal_mask"] == {0: "batch", 1: "signal_length"}


def test_only_is_the_shape_of_a_single_closed_x() -> None:
    assert [one.only for one in SPECS] == [(5,), (1, 8, 8), None, None]
    assert InputSpec(fields=(IMAGE,)).only is None, "another name is an argument's name"


# Samples of different lengths, against plain numpy

lists = st.lists(st.integers(1, 6), min_size=1, max_size=8).flatmap(
    lambda lengths: st.tuples(st.just(lengths), st.integers(0, 2**32 - 1), st.sampled_from([(), (2,), (2, 3)]))
)


def samples_of(drawn: tuple[list[int], int, tuple[int, ...]]) -> list[np.ndarray]:
    lengths, seed, rest = drawn
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(*rest, length)).astype(np.float32) for length in lengths]


@settings(max_examples=60)
@given(lists, st.data())
def test_a_batch_is_padded_behind_each_sample(drawn: Any, data: st.DataObject) -> None:
    samples = samples_of(drawn)
    column = Ragged(**{**vars(Ragged.of(samples)), "padding": 9.0})
    rows = np.array(data.draw(st.lists(st.integers(0, len(samples) - 1), max_size=9)), int)
    found = Columns({"x": column}).batch(rows)
    longest = max((samples[row].shape[-1] for row in rows), default=0)
    assert found["x"].shape == (len(rows), *samples[0].shape[:-1], longest) and found["x_mask"].shape == (len(rows), longest)
    for row, x, mask in zip(rows, found["x"], found["x_mask"], strict=True):
        length = samples[row].shape[-1]
        assert (x[..., :length] == samples[row]).all() and (x[..., length:] == 9.0).all()
        assert mask[:length].all() and not mask[length:].any()


@settings(max_examples=60)
@given(lists, st.data())
def test_rows_taken_and_parts_joined_are_the_same_samples(drawn: Any, data: st.DataObject) -> None:
    samples = samples_of(drawn)
    rows = np.array(data.draw(st.lists(st.integers(0, len(samples) - 1), min_size=1, max_size=9)), int)
    whole = Columns({"x": Ragged.of(samples)})
    both = whole.take(rows).followed_by([whole])
    expected = Columns({"x": Ragged.of([*(samples[row] for row in rows), *samples])})
    assert len(both) == len(rows) + len(samples)
    for one, other in zip(both.parts(), expected.parts(), strict=True):
        assert one[0] == other[0] and (one[1] == other[1]).all()


# What users bring


def arrays(**changes: Any) -> dict[str, Any]:
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    x = {"x_image": rng.integers(0, 256, (40, 1, 4, 4), np.uint8), "x_vector": rng.normal(size=(40, 3)), "y": y}
    return {name: one for name, one in (x | changes).items() if one is not None}


def signal_arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = {"x": rng.normal(size=(40, 2, 6)), "x_lengths": rng.integers(1, 7, 40), "y": np.arange(40) % 2}
    return {name: one for name, one in (x | changes).items() if one is not None}


def splits_of(given_: dict[str, Any], options: dict[str, FieldOptions] | None = None) -> Splits:
    return split(check("here", given_, options), TaskSpec(dataset="data.npz"))


def test_a_field_is_an_array_of_its_own() -> None:
    splits = splits_of(arrays())
    assert [(one.name, one.shape, one.dtype) for one in splits.inputs.fields] == [
        ("image", (1, 4, 4), "uint8"),
        ("vector", (3,), "float32"),
    ]
    assert splits.layout == "as given" and splits.scale() == (None, None)
    parts = [splits.train, splits.validation, splits.test.unseal()]
    assert sum(map(len, parts)) == 40 and all(len(part.x) == len(part) for part in parts)


@pytest.mark.parametrize("form", ["padded", "listed", "mapped"])
def test_lengths_lists_and_mappings_say_the_same(form: str) -> None:
    padded = signal_arrays()
    cut = [x[..., :length].astype(np.float32) for x, length in zip(padded["x"], padded["x_lengths"], strict=True)]
    y = padded["y"]
    given_: dict[str, Any] = {
        "padded": padded,
        "listed": {"x": cut, "y": y},
        "mapped": {"x": {"x": padded["x"], "x_lengths": padded["x_lengths"]}, "y": y},
    }
    raw = check("here", given_[form])
    column = raw.x["x"]
    assert isinstance(column, Ragged) and (column.lengths == padded["x_lengths"]).all()
    assert all((column.padded(np.array([row]))[0][0] == one).all() for row, one in enumerate(cut))
    assert splits_of(given_[form]).fingerprint == splits_of(padded).fingerprint


def test_a_test_split_of_its_own_and_samples_without_labels_have_the_same_fields() -> None:
    whole = arrays()
    rest = {"x_test_image": whole["x_image"][:6], "x_test_vector": whole["x_vector"][:6], "y_test": whole["y"][:6]}
    rest |= {"x_unlabeled_image": whole["x_image"][:5], "x_unlabeled_vector": whole["x_vector"][:5]}
    train = {"x_train_image": whole["x_image"], "x_train_vector": whole["x_vector"], "y_train": whole["y"]}
    splits = splits_of(train | rest)
    assert splits.own_test and len(splits.test) == 6 and splits.rows == len(splits.train) + 5
    assert splits.unlabeled is not None and list(splits.unlabeled) == ["image", "vector"]


def test_a_list_of_equal_lengths_is_open_if_another_part_is() -> None:
    long, short = [np.ones((2, 3))] * 6, [np.ones((2, 3)), np.ones((2, 2))] * 20
    raw = check("here", {"x_train": short, "y_train": np.arange(40) % 2, "x_test": long, "y_test": np.arange(6) % 2})
    assert raw.x_test is not None and isinstance(raw.x_test["x"], Ragged)


def test_integers_stay_integers_if_the_spec_says_so() -> None:
    given_ = {"x": np.arange(80).reshape(40, 2), "y": np.arange(40) % 2}
    plain, ids = splits_of(given_), splits_of(given_, {"x": FieldOptions(dtype="int64")})
    assert plain.inputs.fields[0].dtype == "float32" and ids.inputs.fields[0].dtype == "int64"
    assert plain.fingerprint != ids.fingerprint


def test_padding_is_part_of_the_fingerprint_and_so_are_names() -> None:
    one, other = signal_arrays(), arrays()
    renamed = {name.replace("vector", "other"): value for name, value in other.items()}
    found = [splits_of(one), splits_of(one, {"x": FieldOptions(padding=2)}), splits_of(other), splits_of(renamed)]
    assert len({splits.fingerprint for splits in found}) == 4


WRONG: dict[str, tuple[Any, dict[str, FieldOptions], tuple[str, ...]]] = {
    "rows": (arrays(x_vector=np.ones((39, 3))), {}, ("x_vector has 39 samples, but x_image has 40", "one row per sample")),
    "NaN": (arrays(x_vector=np.full((40, 3), np.nan)), {}, ("x_vector row 0 has NaN", "(40 of 40 rows do)", "drop, fill")),
    "text": (arrays(x_vector=np.full((40, 3), "a")), {}, ("x_vector has dtype <U1", "give numbers")),
    "x beside": (arrays(x=np.ones((40, 2))), {}, ("has x, x_image, x_vector", "one for each field, such as x_image")),
    "no name": (arrays(**{"x_a-b": np.ones((40, 2))}), {}, ("x_a-b names the field 'a-b'", "use letters and _")),
    "option": (arrays(), {"imgae": FieldOptions()}, ("no field 'imgae'", "use one of image, vector")),
    "padding of a closed one": (arrays(), {"vector": FieldOptions(padding=1)}, ("padding for x_vector", "remove it")),
    "int64": (arrays(), {"vector": FieldOptions(dtype="int64")}, ("x_vector has dtype float64, but", "give integers")),
    "lengths": (signal_arrays(x_lengths=np.arange(40)), {}, ("x_lengths row 0 is 0, out of range", "use 1 to 6")),
    "long": (signal_arrays(x_lengths=np.full(40, 7)), {}, ("x_lengths row 0 is 7, out of range", "use 1 to 6")),
    "lengths' form": (
        signal_arrays(x_lengths=np.ones(40)),
        {},
        ("x_lengths has shape (40,) and dtype float64", "one whole number"),
    ),
    "lengths alone": (signal_arrays(x=None, x_a=np.ones((40, 2))), {}, ("has x_lengths, but no x", "give both, or remove it")),
    "NaN inside": (
        signal_arrays(x=np.full((40, 2, 6), np.nan), x_lengths=np.full(40, 2)),
        {},
        ("x row 0 has NaN", "(40 of 40 rows do)"),
    ),
    "another axis": ({"x": [np.ones((2, 3)), np.ones((3, 3))], "y": [0, 1]}, {}, ("x row 1 has shape (3, 3)", "transpose")),
    "empty": ({"x": [np.ones((2, 3)), np.ones((2, 0))], "y": [0, 1]}, {}, ("x row 1 has length 0", "drop it")),
    "whole padding": (
        signal_arrays(x=np.ones((40, 6), np.uint8)),
        {"x": FieldOptions(padding=0.5)},
        ("padding 0.5 for x, whose dtype is uint8", "a whole number from 0 to 255"),
    ),
    "mask": (
        {"x_a": np.ones((40, 6)), "x_a_lengths": np.full(40, 2), "x_a_mask": np.ones((40, 2)), "y": np.arange(40) % 2},
        {},
        ("a_mask is the name of the mask of a", "rename that field"),
    ),
    "test": (
        {f"x_train{key[1:]}" if key[0] == "x" else "y_train": one for key, one in arrays().items()}
        | {"x_test_image": np.ones((2, 1, 4, 4), np.uint8), "y_test": [0, 1]},
        {},
        ("x_test has the fields image, but x_train has image, vector", "give both the same fields"),
    ),
    "no lengths of the test": (
        {key[0] + "_train" + key[1:]: one for key, one in signal_arrays().items()}
        | {"x_test": np.ones((2, 2, 6)), "y_test": [0, 1]},
        {},
        ("x_test has samples of shape (2, 6)", "but x_train of (2, length)", "add x_test_lengths"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays(name: str) -> None:
    given_, options, messages = WRONG[name]
    with pytest.raises(DataError) as caught:
        splits_of(given_, options)
    assert all(message in str(caught.value) for message in messages), caught.value


def test_what_lies_behind_the_end_may_be_anything() -> None:
    x = np.full((40, 2, 6), np.nan)
    x[..., :2] = 1.0
    assert isinstance(check("here", signal_arrays(x=x, x_lengths=np.full(40, 2))).x["x"], Ragged)


def test_a_layout_needs_a_single_array() -> None:
    with pytest.raises(DataError, match="task.layout: CHW applies to a single array x of one shape, not to image, vector"):
        split(check("here", arrays()), TaskSpec(dataset="data.npz", layout="CHW"))


def test_options_are_for_arrays_of_your_own() -> None:
    with pytest.raises(ValueError, match="inputs applies to arrays of your own"):
        TaskSpec(dataset="sklearn/digits", inputs={"x": FieldOptions()})


# The store and batches


@pytest.mark.parametrize("unlabeled", [False, True])
def test_workers_see_the_same_samples(tmp_path: Path, unlabeled: bool) -> None:
    given_ = own.sentences(60)
    assert isinstance(given_, dict)
    more = {"x_unlabeled": {name: one[:7] for name, one in given_["x"].items()}} if unlabeled else {}
    splits = splits_of(given_ | more, {"words": FieldOptions(dtype="int64", padding=3)})
    store = Store(tmp_path)
    save_data(store, splits)
    data = open_data(store, splits.fingerprint)
    assert data.inputs == splits.inputs and data.classes == 3 and data.rows == splits.rows
    rows = np.arange(data.rows)[::-3]
    whole = splits.train.x if splits.unlabeled is None else splits.train.x.followed_by([splits.unlabeled])
    expected, samples = whole.batch(rows), Samples(data, None, 0, CPU)
    batch = samples.batch(torch.from_numpy(rows.copy()), 0)
    assert batch.inputs.keys() == expected.keys() == {"vector", "words", "words_mask"}
    assert all((batch.inputs[name].numpy() == one).all() for name, one in expected.items())
    assert batch.inputs["words"].dtype == torch.int64 and batch.inputs["words_mask"].dtype == torch.bool


def test_arrays_of_one_shape_are_resident(tmp_path: Path) -> None:
    splits, store = splits_of(arrays()), Store(tmp_path)
    save_data(store, splits)
    samples = Samples(open_data(store, splits.fingerprint), None, 0, CPU)
    assert samples.resident is not None and samples.resident["image"].dtype == torch.uint8


# Networks


def test_a_network_casts_numbers_and_keeps_integers_and_masks() -> None:
    class Asked(torch.nn.Module):
        def forward(self, **inputs: torch.Tensor) -> dict[str, torch.dtype]:
            return {name: one.dtype for name, one in inputs.items()}

    given_ = {
        "a": torch.zeros(2, 3, dtype=torch.uint8),
        "b": torch.zeros(2, 3, dtype=torch.int64),
        "b_mask": torch.ones(2, 3) > 0,
    }
    found = Network(Asked())(given_).logits
    assert found == {"a": torch.float32, "b": torch.int64, "b_mask": torch.bool}


@pytest.mark.parametrize("inputs", SPECS[2:], ids=lambda one: one.label)
def test_families_take_a_single_x_and_say_so(inputs: InputSpec) -> None:
    with pytest.raises(UsageError) as caught:
        build(MLP(depth=1, width=2), inputs=inputs, classes=2)
    assert "family mlp takes a single input x of one shape, not samples of" in str(caught.value)
    assert f"import: package.module:function), whose forward takes {', '.join(inputs.tensors())}" in str(caught.value)


def test_families_take_no_ids() -> None:
    with pytest.raises(UsageError, match="family mlp takes numbers, but task.inputs.x.dtype makes them int64"):
        build(MLP(depth=1, width=2), inputs=InputSpec.x((4,), "int64"), classes=2)


def test_macs_are_those_of_the_longest_sample() -> None:
    heard = Imported(factory="tests.own:heard", arguments={"width": 4})
    at = {L: InputSpec(fields=(InputField(name="x", shape=(1, None), longest=L),)) for L in (10, 20)}
    macs = {length: sizes(heard, inputs, 2).macs for length, inputs in at.items()}
    assert macs == {length: length * 4 * 3 + length * 4 * 4 * 3 + 4 * 2 for length in at}


def test_what_lies_behind_a_sample_does_not_change_its_logits() -> None:
    network, rng = Network(own.heard(4)).eval(), np.random.default_rng(0)
    column = Ragged.of([rng.normal(size=(1, length)).astype(np.float32) for length in (3, 9, 5, 7)])
    expected = torch.cat(
        [evaluate(network, Columns({"x": column.take(np.array([row]))}), batch_size=1, device=CPU) for row in range(4)]
    )
    for padding in (0.0, 100.0, float("nan")):
        padded = Columns({"x": Ragged(values=column.values, offsets=column.offsets, padding=padding)})
        torch.testing.assert_close(evaluate(network, padded, batch_size=4, device=CPU), expected)


# Losses by position


LOGITS = [term for term, layers in CASES if layers == "logits" and not isinstance(term, MaskedTokens)]  # it reads tokens


def alone(term: Term) -> LossSpec:
    """The loss of one term."""
    name = next(name for name, field in LossSpec.model_fields.items() if type(term) in get_args(field.annotation))
    return LossSpec.model_validate({name: term.model_copy(update={"weight": 1.0})})


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("term", LOGITS, ids=repr)
def test_positions_are_the_rows_that_the_mask_picks(term: Term, mixed: bool) -> None:
    torch.manual_seed(0)
    student_BPK, teacher_BPK, mask_BP = torch.randn(3, 5, 4), torch.randn(3, 5, 4), torch.rand(3, 5) < 0.6
    targets = torch.softmax(torch.randn(3, 5, 4), 2) if mixed else torch.randint(-1, 4, (3, 5))
    loss = Loss(alone(term))
    whole = loss(Outputs(student_BPK, {}), [Outputs(teacher_BPK, {})], targets, mask_BP)
    rows = loss(Outputs(student_BPK[mask_BP], {}), [Outputs(teacher_BPK[mask_BP], {})], targets[mask_BP])
    torch.testing.assert_close(whole, rows)
    every = loss(Outputs(student_BPK, {}), [Outputs(teacher_BPK, {})], targets)
    flat = loss(Outputs(student_BPK.flatten(0, 1), {}), [Outputs(teacher_BPK.flatten(0, 1), {})], targets.flatten(0, 1))
    torch.testing.assert_close(every, flat)


def test_features_count_by_sample_whatever_the_positions() -> None:
    torch.manual_seed(0)
    layers, loss_spec = Layers({"a": (6, 5)}, {}), LossSpec(hint=Hint(weight=1.0, layers=(1.0,)))
    student, teacher = (Outputs(torch.randn(3, 5, 4), {"a": torch.randn(3, 6, 5)}) for _ in range(2))
    mask_BP = torch.tensor([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    first = [Outputs(one.logits[[0, 2]], {"a": one.features["a"][[0, 2]]}) for one in (student, teacher)]
    loss, targets = Loss(loss_spec, layers, [layers]), torch.zeros(3, 5, dtype=torch.int64)
    torch.testing.assert_close(loss(student, [teacher], targets, mask_BP), loss(first[0], first[1:], targets[[0, 2]]))


# From the data to files, for networks of your own


def document(dataset: Any, factory: str, **task: Any) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(DOCUMENT)
    recipe = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02}
    architecture = {"import": f"tests.own:{factory}", "width": 12}
    found["task"] = found["task"] | {"dataset": dataset} | task
    found["teacher"] = {"architecture": architecture, "recipe": recipe}
    found["student"] = found["student"] | {"recipe": recipe}
    found["student"]["architecture"] = architecture | {"width": {"int": [2, 8]}}
    ladder = [architecture | {"width": 10}]
    found["assistants"] = found["assistants"] | {"ladder": ladder, "recipe": recipe}
    return found | {"search": found["search"] | {"trials": 3}}


def both_arrays() -> dict[str, Any]:
    """An image that tells one bit of the label and a vector that tells the other."""
    rng, y = np.random.default_rng(0), np.arange(160) % 4
    image = rng.integers(0, 100, (160, 1, 6, 6)) + 120 * (y % 2)[:, None, None, None]
    return {"x_image": image.astype(np.uint8), "x_vector": rng.normal(size=(160, 3)) + 3 * (y // 2)[:, None], "y": y}


def made(root: Path, found: dict[str, Any]) -> tuple[StudyDirectory, Path, Exported]:
    """Searched, confirmed, exported."""
    folder, to = StudyDirectory(root / "out"), root / "model"
    study = search(spec.parse(found), out=folder.path, runner="serial")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        assert confirm(folder, runner="serial", seeds=1).test.n == 40
        best = max((row for row in study.rows() if row.role == "student"), key=lambda row: row.value)
        return folder, to, export(folder, to=to, stage=best.stage)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyDirectory, Path, Exported]:
    root = tmp_path_factory.mktemp("both")
    np.savez(root / "data.npz", **both_arrays())
    return made(root, document(str(root / "data.npz"), "both"))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyDirectory, Path, Exported]:
    dataset = {"import": "tests.own:signals", "arguments": {"samples": 160}}
    return made(tmp_path_factory.mktemp("heard"), document(dataset, "heard"))


def stored(folder: StudyDirectory, stage: str) -> tuple[Network, Any]:
    store = Store(folder.path / "store")
    network = network_of(store, stage)
    return load_network(store, network, CPU), open_data(store, network.task.data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["both", "heard"])
def test_files_take_named_inputs_of_any_length(name: str, request: pytest.FixtureRequest) -> None:
    folder, to, found = request.getfixturevalue(name)
    assert found.card is not None and not found.card.left_out and set(found.card.formats) == set(FORMATS)
    assert found.card.validation.scores["accuracy"].value > 0.8
    network, data = stored(folder, found.card.stage)
    generator = torch.Generator().manual_seed(0)
    for batch, length in ((1, 40), (5, 40), (3, 8), (2, 95)):
        lengths = torch.tensor([length, *torch.randint(1, length, (batch - 1,), generator=generator).tolist()])
        inputs = {"x": torch.randn(batch, 1, length), "x_mask": torch.arange(length) < lengths[:, None]}
        inputs = inputs if name == "heard" else {"image": torch.rand(batch, 1, 6, 6) * 255, "vector": torch.randn(batch, 3)}
        with torch.inference_mode():
            expected = network(inputs).logits
        for file, form in FORMATS.items():
            torch.testing.assert_close(form.run(to / file, 1)(inputs), expected, msg=f"{file}, {batch} of {length}")


@pytest.mark.slow
def test_the_onnx_file_names_its_inputs_and_free_axes(heard: tuple[StudyDirectory, Path, Exported]) -> None:
    import onnxruntime

    _, to, _ = heard
    session = onnxruntime.InferenceSession(str(to / "model.onnx"), providers=["CPUExecutionProvider"])
    found = {one.name: (one.type, one.shape) for one in session.get_inputs()}
    assert found == {
        "x": ("tensor(float)", ["batch", 1, "x_length"]),
        "x_mask": ("tensor(bool)", ["batch", "x_length"]),
    }


@pytest.mark.slow
def test_architecture_json_lists_fields_and_tensors(heard: tuple[StudyDirectory, Path, Exported]) -> None:
    facts = json.loads((heard[1] / "architecture.json").read_text())
    (field,) = facts["inputs"]
    assert field == {"name": "x", "shape": [1, None], "dtype": "float32", "padding": 0.0, "longest": field["longest"]}
    assert [one["shape"] for one in facts["tensors"]] == [["batch", 1, "x_length"], ["batch", "x_length"]]
    text = (heard[1] / "card.md").read_text()
    assert "- `x`: float32, shape (batch, 1, x_length): any length" in text and "- `x_mask`: bool" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["both", "heard"])
def test_the_example_runs_the_samples_of_a_file(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder, to, found = request.getfixturevalue(name)
    assert found.card is not None
    network, data = stored(folder, found.card.stage)
    x = data.validation_x.take(np.arange(6))
    predicted = logits_of(network, data, x, CPU).argmax(1).tolist()
    given_ = {field: one for field, one in x.batch(slice(None)).items() if not field.endswith("_mask")}
    column = x[next(iter(x))]
    lengths = {"x_lengths": column.lengths} if isinstance(column, Ragged) else {}
    np.savez(tmp_path / "samples.npz", **given_, **lengths)
    for arguments in ([str(tmp_path / "samples.npz"), *FORMATS], [])[: 2 if name == "heard" else 1]:
        command = [sys.executable, str(to / "example.py"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == (3 if arguments else 2)
        assert not arguments or all(line.endswith(": " + " ".join(map(str, predicted))) for line in lines), done.stdout


def test_ids_and_a_vector_beside_them_are_searched(tmp_path: Path) -> None:
    dataset = {"import": "tests.own:sentences", "arguments": {"samples": 120}}
    found = document(dataset, "read", inputs={"words": {"dtype": "int64", "padding": 0}})
    study = search(spec.parse(found), out=tmp_path / "out", runner="serial")
    assert max(row.value for row in study.rows()) > 0.8


def test_check_says_what_each_field_is() -> None:
    dataset = {"import": "tests.own:sentences", "arguments": {"samples": 120}}
    made_ = spec.parse(document(dataset, "read", inputs={"words": {"dtype": "int64", "padding": 2}}))
    text = checked(preflight(made_, timed=True), 1)
    assert "input        vector: 2, float32\n" in text
    assert "input        words: length, int64, at most 9 long, padded with 2; sizes and times are for the longest" in text


def test_augmentation_needs_a_single_x_of_one_shape() -> None:
    found = document({"import": "tests.own:signals", "arguments": {"samples": 160}}, "heard")
    found["student"]["recipe"] = found["student"]["recipe"] | {"augmentation": {"mixup": 0.2}}
    with pytest.raises(UsageError, match="student.recipe: augmentation takes a single input x of one shape, not .* remove it"):
        preflight(spec.parse(found), timed=False)


def test_families_are_refused_before_anything_is_trained() -> None:
    found = document({"import": "tests.own:signals", "arguments": {"samples": 160}}, "heard")
    found["student"]["architecture"] = {"family": "convnet", "depth": 1, "width": {"int": [1, 4]}}
    with pytest.raises(UsageError, match="student.architecture: family convnet takes a single input x .*x, x_mask"):
        preflight(spec.parse(found), timed=False)


def test_the_code_of_a_module_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "from tests.own import both  # {}\n"
    np.savez(tmp_path / "data.npz", **both_arrays())
    found = document(str(tmp_path / "data.npz"), "both")
    found["assistants"] = {"at_most": 0}
    for part in (found["teacher"]["architecture"], found["student"]["architecture"]):
        part["import"] = "module_of_fields:both"
    keys = []
    for number in range(2):
        (tmp_path / "module_of_fields.py").write_text(code.format(number))
        resolved, splits = load_data(spec.parse(found), cuda=False)
        space = space_of(resolved, splits, Store(tmp_path / "store"))
        keys.append(
            (
                space.teachers[0].key(),
                space.decode({**dict.fromkeys(space.domains, 1), "architecture.width": 3}).key(),
            )
        )
    assert not set(keys[0]) & set(keys[1])
    pinned = resolved.document()
    (tmp_path / "module_of_fields.py").write_text(code.format(2))
    with pytest.raises(UsageError, match="architecture.source: the code of module_of_fields:both has changed"):
        load_data(spec.parse(pinned), cuda=False)
