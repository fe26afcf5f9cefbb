"""A LossSpec as one loss: weights, warm-up, balance, several teachers, features and projections."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from autodistill.losses import TERMS, Loss, weighed
from autodistill.losses.logits import cross_entropy
from autodistill.models import Layers, Outputs
from autodistill.spec import (
    Attention,
    Cosine,
    CrossEntropy,
    Hint,
    LossSpec,
    Pair,
    Relational,
    Similarity,
    SoftTargets,
    UsageError,
)

STUDENT = Layers({"stem": (4, 8, 8), "body": (6, 4, 4), "pool": (6,)}, {})
TEACHER = Layers({"a": (8, 8, 8), "b": (8, 4, 4), "c": (6, 4, 4), "d": (6,)}, {})
OTHER = Layers({"x": (4, 8, 8), "y": (12, 2, 2), "z": (10,)}, {})
TARGETS = torch.tensor([0, 1, 2, 3, 0, 1])
KD = LossSpec(ce=CrossEntropy(weight="rest"), kd=SoftTargets(weight=0.3)).resolved()


def outputs(seed: int, layers: Layers | None = None) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    shapes = layers.layers | layers.attentions if layers else {}
    features = {name: torch.randn(6, *shape, generator=generator) for name, shape in shapes.items()}
    return Outputs(torch.randn(6, 4, generator=generator), features)


def term_of(spec: LossSpec, name: str, student: Outputs, teacher: Outputs | None) -> Tensor:
    term = spec.terms()[name]
    return TERMS[type(term)](term, student, teacher, TARGETS)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    student, teacher = outputs(0), outputs(1)
    wanted = 0.7 * term_of(KD, "ce", student, None) + 0.3 * term_of(KD, "kd", student, teacher)
    torch.testing.assert_close(Loss(KD)(student, [teacher], TARGETS), wanted)


def test_values_are_not_weighted() -> None:
    student, teacher = outputs(0), outputs(1)
    values = Loss(KD).values(student, [teacher], TARGETS)
    assert list(values) == ["ce", "kd"]
    for name, value in values.items():
        torch.testing.assert_close(value, term_of(KD, name, student, teacher))


def test_teachers_are_averaged_not_summed() -> None:
    student, teachers = outputs(0), [outputs(seed) for seed in (1, 2, 3)]
    values = Loss(KD).values(student, teachers, TARGETS)
    each = [term_of(KD, "kd", student, teacher) for teacher in teachers]
    torch.testing.assert_close(values["kd"], sum(each, torch.tensor(0.0)) / 3)
    torch.testing.assert_close(values["ce"], term_of(KD, "ce", student, None))


def test_a_mask_reaches_every_term() -> None:
    student, teacher = outputs(0), outputs(1)
    kept = torch.tensor([True, False, True, True, False, False])
    masked = Loss(KD)(student, [teacher], TARGETS, kept.float())
    alone = Loss(KD)(Outputs(student.logits[kept], {}), [Outputs(teacher.logits[kept], {})], TARGETS[kept])
    torch.testing.assert_close(masked, alone)


@given(st.floats(0, 1), st.floats(0, 0.9))
def test_warm_up_rises_linearly_and_stays(progress: float, warm_up: float) -> None:
    spec = LossSpec(ce=CrossEntropy(), kd=SoftTargets(weight=2.0, warm_up=warm_up))
    loss = Loss(spec)
    assert loss.factor("ce", progress) == 1.0
    assert loss.factor("kd", progress) == pytest.approx(2 * min(1.0, progress / warm_up) if warm_up else 2.0)


def test_progress_reaches_the_loss() -> None:
    loss = Loss(LossSpec(ce=CrossEntropy(), kd=SoftTargets(warm_up=0.5)))
    student, teacher = outputs(0), outputs(1)
    values = loss.values(student, [teacher], TARGETS)
    for progress, share in ((0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)):
        found = loss(student, [teacher], TARGETS, progress=progress)
        torch.testing.assert_close(found, values["ce"] + share * values["kd"])


def test_balance_scales_each_term_to_its_own_first_values() -> None:
    loss = Loss(KD)
    assert loss.scales == {"ce": 1.0, "kd": 1.0}
    loss.balance([{"ce": 2.0, "kd": 1e-9}, {"ce": 6.0, "kd": 0.0}])
    assert loss.scales == {"ce": 0.25, "kd": 1.0}
    values = loss.values(outputs(0), [outputs(1)], TARGETS)
    wanted = 0.7 * 0.25 * values["ce"] + 0.3 * values["kd"]
    torch.testing.assert_close(loss(outputs(0), [outputs(1)], TARGETS), wanted)


FEATURES = LossSpec(
    kd=SoftTargets(),
    hint=Hint(weight=100.0, layers=(0.5, 1.0)),
    attention=Attention(weight=1000.0, layers=(Pair(student="stem", teacher="a"), Pair(student="body", teacher="c"))),
    relational=Relational(),
    similarity=Similarity(weight=3000.0),
    cosine=Cosine(layers=(Pair(student="stem", teacher="b"),)),
)


def test_the_layers_to_tap_are_named_once() -> None:
    loss = Loss(FEATURES, STUDENT, [TEACHER, TEACHER])
    assert loss.student_layers == ["body", "pool", "stem"]
    assert loss.teacher_layers == [["b", "d", "a", "c"]] * 2
    assert Loss(KD).student_layers == [] and Loss(KD, None, [TEACHER]).teacher_layers == [[]]


def test_projections_are_parameters_where_channels_differ() -> None:
    loss = Loss(FEATURES, STUDENT, [TEACHER])
    shapes = {name: tuple(parameter.shape) for name, parameter in loss.named_parameters()}
    assert shapes == {
        "projections.hint.0.0.weight": (8, 6),
        "projections.hint.0.0.bias": (8,),
        "projections.cosine.0.0.weight": (8, 4),
        "projections.cosine.0.0.bias": (8,),
    }
    assert not list(Loss(KD).parameters())
    loss(outputs(0, STUDENT), [outputs(1, TEACHER)], TARGETS).backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_projections_come_from_torchs_generator() -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(nn.utils.parameters_to_vector(Loss(FEATURES, STUDENT, [TEACHER]).parameters()))
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_projection_is_a_1x1_convolution_of_the_pooled_map() -> None:
    spec = LossSpec(hint=Hint(layers=(Pair(student="stem", teacher="c"),)))
    loss, student, teacher = Loss(spec, STUDENT, [TEACHER]), outputs(0, STUDENT), outputs(1, TEACHER)
    convolution = nn.Conv2d(4, 6, 1)
    linear = dict(loss.named_parameters())
    convolution.weight.data = linear["projections.hint.0.0.weight"].data[:, :, None, None]
    convolution.bias = nn.Parameter(linear["projections.hint.0.0.bias"].data)
    regressed = convolution(nn.functional.avg_pool2d(student.features["stem"], 2))
    wanted = nn.functional.mse_loss(regressed, teacher.features["c"])
    torch.testing.assert_close(loss(student, [teacher], TARGETS), wanted)


@pytest.mark.parametrize(
    "name", [name for name in LossSpec.model_fields if name not in ("ce", "mse", "mlm", "balance", "drop_teachers")]
)
def test_a_student_that_equals_its_teacher_has_no_loss(name: str) -> None:
    loss = Loss(LossSpec(**{name: {}}), STUDENT, [STUDENT])
    same = outputs(0, STUDENT)
    assert not list(loss.parameters())
    assert float(loss(same, [same], TARGETS)) == pytest.approx(0, abs=1e-5)
    assert float(loss(outputs(1, STUDENT), [same], TARGETS)) > 1e-4


def test_each_teacher_has_its_own_layers_and_projections() -> None:
    spec = LossSpec(hint=Hint(layers=(0.3,)), relational=Relational())
    student, teachers = outputs(0, STUDENT), [outputs(1, TEACHER), outputs(2, OTHER)]
    loss = Loss(spec, STUDENT, [TEACHER, OTHER])
    assert loss.teacher_layers == [["b", "d"], ["x", "z"]]
    both = loss.values(student, teachers, TARGETS)
    one, two = (loss.values(student, [teachers[i]], TARGETS, which=[i]) for i in (0, 1))
    for name in both:
        torch.testing.assert_close(both[name], (one[name] + two[name]) / 2)
    torch.testing.assert_close(loss(student, teachers[1:], TARGETS, which=[1]), two["hint"] + two["relational"])
    torch.testing.assert_close(loss.values(student, teachers[::-1], TARGETS, which=[1, 0]), both)


def transformer(layers: int, heads: int, width: int) -> Layers:
    blocks = {f"block{i}": (17, heads * width) for i in range(layers)}
    return Layers(blocks, {f"attention{i}": (3, heads, 17, width) for i in range(layers)})


@pytest.mark.parametrize("kind", ["activations", "maps", "relations"])
def test_attention_of_transformers(kind: Any) -> None:
    student, teacher = transformer(2, 3, 8), transformer(4, 6, 8)
    loss = Loss(LossSpec(attention=Attention(kind=kind)), student, [teacher])
    names = ["block", "attention"][kind != "activations"]
    assert loss.student_layers == [f"{names}0", f"{names}1"] and loss.teacher_layers == [[f"{names}1", f"{names}3"]]
    assert float(loss(outputs(0, student), [outputs(1, teacher)], TARGETS)) > 0
    alike = Loss(LossSpec(attention=Attention(kind=kind)), student, [student])
    assert float(alike(outputs(0, student), [outputs(0, student)], TARGETS)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precision_of_features(dtype: torch.dtype) -> None:
    """bfloat16 features give a float32 loss; float64 stays (with the projections moved there)."""
    loss = Loss(FEATURES, STUDENT, [TEACHER]).to(torch.float64 if dtype == torch.float64 else torch.float32)
    sides = [
        Outputs(of.logits.to(dtype), {name: feature.to(dtype) for name, feature in of.features.items()})
        for of in (outputs(0, STUDENT), outputs(1, TEACHER))
    ]
    found = loss(sides[0], [sides[1]], TARGETS)
    assert found.isfinite() and found.dtype == (dtype if dtype == torch.float64 else torch.float32)


def test_what_cannot_be_is_asserted() -> None:
    with pytest.raises(AssertionError, match="kd needs a teacher"):
        Loss(KD)(outputs(0), [], TARGETS)
    with pytest.raises(AssertionError, match="hint needs the layers"):
        Loss(LossSpec(hint=Hint()))
    with pytest.raises(AssertionError, match="resolve"):
        Loss(LossSpec(ce=CrossEntropy(weight="rest")))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_those_of_torch(smoothing: float) -> None:
    logits, labels = torch.randn(12, 3), torch.tensor([0, 0, 1, 2] * 3)
    term = CrossEntropy(class_weights=(0.5, 2.0, 1.0), label_smoothing=smoothing)
    own = cross_entropy(term, Outputs(logits, {}), None, labels)
    theirs = F.cross_entropy(logits, labels, weight=torch.tensor([0.5, 2.0, 1.0]), label_smoothing=smoothing)
    assert torch.allclose(own, theirs)
    shares = cross_entropy(term, Outputs(logits, {}), None, F.one_hot(labels, 3).float())
    assert torch.allclose(shares, theirs), "targets as class shares, after mixup"
    labels[0] = -1
    some = cross_entropy(term, Outputs(logits, {}), None, labels)
    assert torch.allclose(some, cross_entropy(term, Outputs(logits[1:], {}), None, labels[1:])), (
        "without a label, it does not count"
    )


def test_balanced_classes_count_as_much_as_each_other() -> None:
    """As if the samples of the rare class were there several times."""
    logits, labels = torch.randn(5, 2), torch.tensor([0, 0, 0, 0, 1])
    spec = weighed(LossSpec(ce=CrossEntropy(class_weights="balanced")), [4, 1])
    assert spec.ce is not None and spec.ce.class_weights == (0.625, 2.5)
    balanced = cross_entropy(spec.ce, Outputs(logits, {}), None, labels)
    rows = [0, 1, 2, 3, 4, 4, 4, 4]
    assert torch.allclose(balanced, F.cross_entropy(logits[rows], labels[rows]))


def test_weights_that_do_not_suit_the_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="has 2 numbers for 3 classes; give one for each, or balanced"):
        weighed(LossSpec(ce=CrossEntropy(class_weights=(1.0, 2.0))), [1, 1, 1])
    with pytest.raises(UsageError, match="ce.class_weights are all 0; raise at least one"):
        weighed(LossSpec(ce=CrossEntropy(class_weights=(0.0, 0.0))), [1, 1])
    with pytest.raises(ValidationError, match="class_weights"):
        CrossEntropy(class_weights="balance")  # type: ignore[arg-type]
