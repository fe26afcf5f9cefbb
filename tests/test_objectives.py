"""Loss terms against closed forms and an independent float64 computation."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.batch import Outputs
from autodistill.objectives import TERMS, cross_entropy, loss_of, soft_targets
from autodistill.spec import CrossEntropy, Objective, SoftTargets


def outputs(logits: np.ndarray | torch.Tensor) -> Outputs:
    return Outputs(torch.as_tensor(logits), {})


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - z.max(1, keepdims=True) - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))


def kl(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return float(temperature**2 * (np.exp(p) * (p - q)).sum(1).mean())


LOGITS = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(5, 7)) * 3)


def test_every_term_of_a_spec_has_its_function() -> None:
    schemas = {arg for field in Objective.model_fields.values() for arg in get_args(field.annotation) if arg is not type(None)}
    assert schemas == set(TERMS)


@settings(max_examples=50, deadline=None)
@given(student=LOGITS, teacher=LOGITS, temperature=st.floats(0.5, 16))
def test_soft_targets_equal_the_formula(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    found = soft_targets(SoftTargets(temperature=temperature), outputs(student), [outputs(teacher)], torch.zeros(5, dtype=int))
    assert float(found) == pytest.approx(kl(student, teacher, temperature), rel=1e-4, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(logits=LOGITS, shift=st.floats(-5, 5))
def test_a_student_that_equals_its_teacher_has_no_loss(logits: np.ndarray, shift: float) -> None:
    term = SoftTargets(temperature=4.0)
    found = soft_targets(term, outputs(logits + shift), [outputs(logits)], torch.zeros(5, dtype=int))
    assert float(found) == pytest.approx(0, abs=1e-5)


def test_two_classes_in_closed_form() -> None:
    """Teacher certain of nothing (1/2, 1/2), student (p, 1 - p): KL is -1/2 log(4 p (1 - p))."""
    z = np.log(3.0)
    found = soft_targets(SoftTargets(temperature=1.0), outputs([[z, 0.0]]), [outputs([[0.0, 0.0]])], torch.tensor([0]))  # type: ignore[arg-type]
    assert float(found) == pytest.approx(-0.5 * np.log(4 * 0.75 * 0.25), rel=1e-6)


def test_the_gradient_is_t_times_the_difference_of_probabilities() -> None:
    """d/dz of T^2 KL = T (q - p) / B: why T^2 keeps gradients alike across temperatures."""
    rng = np.random.default_rng(0)
    student, teacher, temperature = torch.tensor(rng.normal(size=(4, 3)), requires_grad=True), rng.normal(size=(4, 3)), 5.0
    soft_targets(
        SoftTargets(temperature=temperature), outputs(student), [outputs(teacher)], torch.zeros(4, dtype=int)
    ).backward()
    q = torch.softmax(student.detach() / temperature, 1)
    p = torch.softmax(torch.tensor(teacher) / temperature, 1)
    assert student.grad is not None
    torch.testing.assert_close(student.grad, temperature * (q - p) / 4, rtol=1e-4, atol=1e-6)


def test_teachers_are_averaged_not_summed() -> None:
    rng = np.random.default_rng(1)
    student, one, two = (rng.normal(size=(5, 7)) for _ in range(3))
    term, targets = SoftTargets(temperature=2.0), torch.zeros(5, dtype=int)
    both = soft_targets(term, outputs(student), [outputs(one), outputs(two)], targets)
    assert float(both) == pytest.approx((kl(student, one, 2.0) + kl(student, two, 2.0)) / 2, rel=1e-4)


def test_cross_entropy_equals_the_formula_and_ignores_teachers() -> None:
    rng = np.random.default_rng(2)
    logits, targets = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    found = cross_entropy(CrossEntropy(), outputs(logits), [], torch.tensor(targets))
    assert float(found) == pytest.approx(-log_softmax(logits)[np.arange(6), targets].mean(), rel=1e-5)


@pytest.mark.parametrize("term", [CrossEntropy(), SoftTargets()])
def test_masked_samples_do_not_count(term: CrossEntropy | SoftTargets) -> None:
    rng = np.random.default_rng(3)
    student, teacher, targets = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), torch.tensor([0, 1, 2, 3, 0, 1])
    mask = torch.tensor([1, 0, 1, 0, 0, 1.0])
    kept = mask.bool()
    masked = TERMS[type(term)](term, outputs(student), [outputs(teacher)], targets, mask)
    alone = TERMS[type(term)](term, outputs(student[kept]), [outputs(teacher[kept])], targets[kept])
    torch.testing.assert_close(masked, alone)


def test_an_objective_is_the_weighted_sum_of_its_terms() -> None:
    objective = Objective(ce=CrossEntropy(weight="rest"), kd=SoftTargets(weight=0.3, temperature=4.0)).resolved()
    rng = np.random.default_rng(4)
    student, teacher, targets = (
        outputs(rng.normal(size=(6, 4))),
        outputs(rng.normal(size=(6, 4))),
        torch.tensor([0, 1, 2, 3, 0, 1]),
    )
    ce = cross_entropy(CrossEntropy(), student, [], targets)
    kd = soft_targets(SoftTargets(temperature=4.0), student, [teacher], targets)
    torch.testing.assert_close(loss_of(objective)(student, [teacher], targets), 0.7 * ce + 0.3 * kd)
