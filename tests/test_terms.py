"""Each loss term against an independent float64 computation in NumPy, closed forms and its own claims."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodistill.losses import TERMS, TERMS_OF
from autodistill.models import Outputs
from autodistill.spec import (
    Attention,
    Cosine,
    CrossEntropy,
    Decoupled,
    Dist,
    Hint,
    LossSpec,
    MaskedTokens,
    Relational,
    Similarity,
    SoftTargets,
    Term,
)

Array = NDArray[np.float64]
TARGETS = torch.tensor([0, 1, 2, 3, 0, 1])
MASK = torch.tensor([1, 0, 1, 0, 1, 1.0])
KEPT = MASK.bool()
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "logits": [],
    "positions": [(5, 3), (4, 2)],
    "vectors": [(6,)],
    "attentions": [(3, 2, 4, 3), (3, 2, 4, 3)],
}


def outputs(seed: int, layers: str = "logits", batch: int = 6) -> Outputs:
    """Random logits and features in float64."""
    rng = np.random.default_rng(seed)
    draw: Callable[..., torch.Tensor] = lambda *shape: torch.tensor(rng.normal(size=(batch, *shape)) * 1.5)  # noqa: E731
    return Outputs(draw(4), {f"{seed}.{i}": draw(*shape) for i, shape in enumerate(SHAPES[layers])})


def value(term: Term, student: Outputs, teacher: Outputs, targets: Any = TARGETS, mask: Any = None) -> torch.Tensor:
    return TERMS[type(term)](term, student, teacher, targets, mask)


def some(of: Outputs, rows: Any) -> Outputs:
    return Outputs(of.logits[rows], {name: feature[rows] for name, feature in of.features.items()})


def scaled(of: Outputs, factor: float) -> Outputs:
    return Outputs(of.logits * factor, {name: feature * factor for name, feature in of.features.items()})


# The formulas once more, sample by sample.


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def kl(p: Array, q: Array) -> float:
    return float((p * np.log(p / q)).sum())


def by_hand_ce(term: CrossEntropy, s: Array, t: Array, targets: Array) -> float:
    smooth = term.label_smoothing
    rows = zip(softmax(s), targets, strict=True)
    return float(np.mean([-(1 - smooth) * np.log(q[y]) - smooth * np.log(q).mean() for q, y in rows]))


def by_hand_mlm(term: MaskedTokens, s: Array, t: Array, targets: Array) -> float:
    return float(np.mean([-np.log(q[y]) for q, y in zip(softmax(s), targets, strict=True)]))


def by_hand_kd(term: SoftTargets, s: Array, t: Array, targets: Array) -> float:
    if term.standardized:
        s, t = ((z - z.mean(1, keepdims=True)) / (z.std(1, keepdims=True, ddof=1) + 1e-7) for z in (s, t))
    rows = zip(softmax(t / term.temperature), softmax(s / term.temperature), strict=True)
    return float(term.temperature**2 * np.mean([kl(p, q) for p, q in rows]))


def by_hand_dkd(term: Decoupled, s: Array, t: Array, targets: Array) -> float:
    losses = []
    for zs, zt, y in zip(s / term.temperature, t / term.temperature, targets, strict=True):
        q, p, others = softmax(zs), softmax(zt), np.arange(len(zs)) != y
        on_target = kl(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        losses.append(term.alpha * on_target + term.beta * kl(p[others] / (1 - p[y]), q[others] / (1 - q[y])))
    return float(term.temperature**2 * np.mean(losses))


def by_hand_dist(term: Dist, s: Array, t: Array, targets: Array) -> float:
    q, p = softmax(s / term.temperature), softmax(t / term.temperature)
    inter = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(q, p, strict=True)]
    intra = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(q.T, p.T, strict=True)]
    return float(term.temperature**2 * (term.inter * np.mean(inter) + term.intra * np.mean(intra)))


def by_hand_hint(term: Hint, s: Array, t: Array, targets: Array) -> float:
    return float(np.mean((s - t) ** 2))


def by_hand_cosine(term: Cosine, s: Array, t: Array, targets: Array) -> float:
    vectors = zip(s.reshape(-1, s.shape[-1]), t.reshape(-1, t.shape[-1]), strict=True)
    return float(np.mean([1 - a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in vectors]))


def by_hand_attention(term: Attention, s: Array, t: Array, targets: Array) -> float:
    if term.kind == "activations":
        energies = [[(x[b] ** 2).sum(1) for b in range(len(x))] for x in (s, t)]
        return float(np.mean([(a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2 for a, b in zip(*energies, strict=True)]))
    maps = [attention_maps(term, x, t.shape[2]) for x in (s, t)]
    if s.shape[2] != t.shape[2] and term.kind == "maps":
        maps = [x.mean(1, keepdims=True) for x in maps]
    rows = zip(*(x.reshape(-1, x.shape[-1]) for x in maps), strict=True)
    return float(np.mean([kl(p, q) for q, p in rows]))


def attention_maps(term: Attention, x: Array, heads: int) -> Array:
    """(B, heads, P, P) of queries, keys and values (B, 3, Z, P, D)."""
    batch, _, own, tokens, width = x.shape
    if term.kind == "maps":
        return softmax(np.einsum("bzpd,bzqd->bzpq", x[:, 0], x[:, 1]) / np.sqrt(width))
    heads = term.relation_heads or heads
    found = []
    for place in [("queries", "keys", "values").index(name) for name in term.between or ("values",)]:
        values = np.stack([np.concatenate([x[b, place, z] for z in range(own)], axis=1) for b in range(batch)])
        parts = np.stack(np.split(values, heads, axis=2), axis=1)
        found.append(softmax(np.einsum("bzpd,bzqd->bzpq", parts, parts) / np.sqrt(own * width / heads)))
    return np.concatenate(found, axis=1)


def by_hand_relational(term: Relational, s: Array, t: Array, targets: Array) -> float:
    huber = lambda x: 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5  # noqa: E731
    (ds, cs), (dt, ct) = ((distances(x), angles(x)) for x in (v if v.ndim == 2 else v.mean(1) for v in (s, t)))
    distance, angle = (np.mean([huber(x) for x in (a - b).ravel()]) for a, b in ((ds, dt), (cs, ct)))
    return float(term.distance * distance + term.angle * angle)


def distances(x: Array) -> Array:
    found = np.array([[np.linalg.norm(a - b) for a in x] for b in x])
    return np.asarray(found / found[~np.eye(len(x), dtype=bool)].mean())


def angles(x: Array) -> Array:
    found = np.zeros((len(x),) * 3)
    for i, j, k in itertools.product(range(len(x)), repeat=3):
        if i not in (j, k):
            a, b = x[j] - x[i], x[k] - x[i]
            found[i, j, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return found


def by_hand_similarity(term: Similarity, s: Array, t: Array, targets: Array) -> float:
    grams = [x.reshape(len(x), -1) @ x.reshape(len(x), -1).T for x in (s, t)]
    rows = [g / np.linalg.norm(g, axis=1, keepdims=True) for g in grams]
    return float(((rows[0] - rows[1]) ** 2).sum() / len(s) ** 2)


BY_HAND: dict[type[Term], Callable[..., float]] = {
    CrossEntropy: by_hand_ce,
    SoftTargets: by_hand_kd,
    Decoupled: by_hand_dkd,
    Dist: by_hand_dist,
    Hint: by_hand_hint,
    Attention: by_hand_attention,
    Relational: by_hand_relational,
    Similarity: by_hand_similarity,
    Cosine: by_hand_cosine,
    MaskedTokens: by_hand_mlm,
}
CASES: list[tuple[Term, str]] = [
    (CrossEntropy(), "logits"),
    (CrossEntropy(label_smoothing=0.1), "logits"),
    (MaskedTokens(), "logits"),
    (SoftTargets(), "logits"),
    (SoftTargets(temperature=2.0, standardized=True), "logits"),
    (Decoupled(), "logits"),
    (Decoupled(alpha=2.0, beta=0.5, temperature=1.0), "logits"),
    (Dist(), "logits"),
    (Dist(inter=2.0, intra=0.5, temperature=4.0), "logits"),
    (Hint(), "positions"),
    (Hint(), "vectors"),
    (Attention(), "positions"),
    (Attention(kind="maps"), "attentions"),
    (Attention(kind="relations"), "attentions"),
    (Attention(kind="relations", relation_heads=3), "attentions"),
    (Attention(kind="relations", between=("queries", "keys", "values")), "attentions"),
    (Relational(), "positions"),
    (Relational(distance=1.0, angle=2.0), "vectors"),
    (Similarity(), "positions"),
    (Similarity(), "vectors"),
    (Cosine(), "positions"),
    (Cosine(), "vectors"),
]
IDS = [f"{term!r} {layers}" for term, layers in CASES]
OF_TEACHERS = [case for case in CASES if case[0].needs_teachers]
every = pytest.mark.parametrize(("term", "layers"), CASES, ids=IDS)
every_of_teachers = pytest.mark.parametrize(("term", "layers"), OF_TEACHERS, ids=IDS[len(CASES) - len(OF_TEACHERS) :])


def test_every_term_of_a_spec_has_its_function() -> None:
    kinds = {arg for field in LossSpec.model_fields.values() for arg in get_args(field.annotation)}
    schemas = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Term)}
    assert schemas == set().union(*TERMS_OF.values())
    assert set(TERMS) == set(BY_HAND) == {type(term) for term, _ in CASES}


@every
def test_a_term_equals_its_formula(term: Term, layers: str) -> None:
    student, teacher = outputs(0, layers), outputs(1, layers)
    pairs = [(student.logits, teacher.logits)]
    if layers != "logits":
        pairs = list(zip(student.features.values(), teacher.features.values(), strict=True))
    by_hand = np.mean([BY_HAND[type(term)](term, s.numpy(), t.numpy(), TARGETS.numpy()) for s, t in pairs])
    found = value(term, student, teacher)
    assert found.dtype == torch.float64 and found.shape == ()
    assert float(found) == pytest.approx(by_hand, rel=1e-4 if isinstance(term, Dist) else 1e-6)


@every
def test_gradients_are_those_of_finite_differences(term: Term, layers: str) -> None:
    student, teacher = outputs(0, layers, batch=3), outputs(1, layers, batch=3)
    names = list(student.features)

    def f(logits: torch.Tensor, *features: torch.Tensor) -> torch.Tensor:
        return value(term, Outputs(logits, dict(zip(names, features, strict=True))), teacher, TARGETS[:3]) + 0 * logits.sum()

    inputs = [tensor.clone().requires_grad_() for tensor in (student.logits, *student.features.values())]
    assert torch.autograd.gradcheck(f, inputs, fast_mode=True)  # along random directions


@every_of_teachers
def test_a_student_that_equals_its_teacher_has_no_loss(term: Term, layers: str) -> None:
    teacher = outputs(1, layers)
    rounded = 1e-3 if isinstance(term, Dist) else 1e-12  # for its authors' 1e-8 beside the norms
    assert float(value(term, teacher, teacher)) == pytest.approx(0, abs=rounded)
    assert float(value(term, outputs(0, layers), teacher)) > 1e-3


@pytest.mark.parametrize("term", [SoftTargets(), Decoupled(), Dist()])
@settings(max_examples=30)
@given(seed=st.integers(0, 1000), shift=st.floats(-5, 5))
def test_a_constant_added_to_logits_does_not_matter(term: Term, seed: int, shift: float) -> None:
    student, teacher = outputs(seed), outputs(seed + 1)
    moved = student._replace(logits=student.logits + shift)
    torch.testing.assert_close(value(term, moved, teacher), value(term, student, teacher), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("term", "layers"),
    [
        (SoftTargets(standardized=True), "logits"),
        (Attention(), "positions"),
        (Relational(), "positions"),
        (Similarity(), "positions"),
        (Cosine(), "positions"),
    ],
    ids=repr,
)
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
def test_terms_that_a_positive_factor_does_not_change(term: Term, layers: str, seed: int, factor: float) -> None:
    student, teacher = outputs(seed, layers), outputs(seed + 1, layers)
    found = value(term, scaled(student, factor), teacher)
    torch.testing.assert_close(found, value(term, student, teacher), rtol=1e-4, atol=1e-6)


@every
def test_samples_that_are_masked_do_not_count(term: Term, layers: str) -> None:
    student, teacher = outputs(0, layers), outputs(1, layers)
    alone = value(term, some(student, KEPT), some(teacher, KEPT), TARGETS[KEPT])
    for mask in (MASK, KEPT):
        torch.testing.assert_close(value(term, student, teacher, mask=mask), alone)
    assert torch.isfinite(value(term, student, teacher, mask=torch.zeros(6)))


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_gives_a_finite_loss_in_float32(term: Term, layers: str, dtype: torch.dtype) -> None:
    student, teacher = (
        Outputs(of.logits.to(dtype), {name: feature.to(dtype) for name, feature in of.features.items()})
        for of in (outputs(0, layers), outputs(1, layers))
    )
    found = value(term, student, teacher)
    assert found.dtype == torch.float32 and torch.isfinite(found)
    assert float(found) == pytest.approx(float(value(term, outputs(0, layers), outputs(1, layers))), rel=0.1, abs=0.02)


def gradients(term: Term, student: Outputs, teacher: Outputs, targets: torch.Tensor) -> list[torch.Tensor]:
    """Of logits and features, after the loss is found finite."""
    leaves = [tensor.clone().requires_grad_() for tensor in (student.logits, *student.features.values())]
    loss = value(term, Outputs(leaves[0], dict(zip(student.features, leaves[1:], strict=True))), teacher, targets)
    assert torch.isfinite(loss)
    return list(torch.autograd.grad(loss + 0 * sum(leaf.sum() for leaf in leaves), leaves))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_sample_constant_logits_and_dead_features_have_finite_gradients(
    term: Term, layers: str, dtype: torch.dtype
) -> None:
    """Features that are all 0 or all alike have no direction: their gradient stays as small as others are."""
    student, teacher = outputs(0, layers), outputs(1, layers)
    alike = Outputs(torch.full((6, 4), 0.3), {name: torch.full_like(x, 0.3) for name, x in student.features.items()})
    for one, other in [
        (some(student, [0]), some(teacher, [0])),
        (alike, teacher),
        (scaled(student, 0), teacher),
        (student, scaled(teacher, 0)),
        (scaled(student, 0), scaled(teacher, 0)),
    ]:
        one, other = (Outputs(of.logits.to(dtype), {n: x.to(dtype) for n, x in of.features.items()}) for of in (one, other))
        for gradient in gradients(term, one, other, TARGETS[: len(one.logits)]):
            assert gradient.isfinite().all()
            assert layers == "logits" or gradient.abs().max() < 1e4


# Labels.


def test_samples_without_a_label_never_count_in_cross_entropy() -> None:
    student, term = outputs(0), CrossEntropy(label_smoothing=0.1)
    targets = torch.where(KEPT, TARGETS, -1)
    alone = value(term, some(student, KEPT), student, TARGETS[KEPT])
    torch.testing.assert_close(value(term, student, student, targets), alone)
    torch.testing.assert_close(value(term, student, student, one_hot(targets)), alone)
    torch.testing.assert_close(value(term, student, student, targets, torch.ones(6)), alone)
    nothing = value(term, student, student, torch.full((6,), -1))
    assert float(nothing) == 0.0


def one_hot(targets: torch.Tensor) -> torch.Tensor:
    return (targets[:, None] == torch.arange(4)).float()


@pytest.mark.parametrize("term", [CrossEntropy(), CrossEntropy(label_smoothing=0.2), Decoupled()], ids=repr)
def test_probabilities_of_one_class_are_that_class(term: Term) -> None:
    student, teacher = outputs(0), outputs(1)
    torch.testing.assert_close(value(term, student, teacher, one_hot(TARGETS)), value(term, student, teacher))


def test_cross_entropy_of_mixed_samples_is_mixed() -> None:
    student, other = outputs(0), torch.roll(TARGETS, 1)
    mixed = value(CrossEntropy(), student, student, 0.3 * one_hot(TARGETS) + 0.7 * one_hot(other))
    parts = [value(CrossEntropy(), student, student, targets) for targets in (TARGETS, other)]
    torch.testing.assert_close(mixed, 0.3 * parts[0] + 0.7 * parts[1])


def test_decoupled_takes_the_teachers_class_where_there_is_no_label() -> None:
    student, teacher = outputs(0), outputs(1)
    said = torch.where(KEPT, TARGETS, teacher.logits.argmax(1))
    wanted = value(Decoupled(), student, teacher, said)
    torch.testing.assert_close(value(Decoupled(), student, teacher, torch.where(KEPT, TARGETS, -1)), wanted)
    torch.testing.assert_close(value(Decoupled(), student, teacher, one_hot(torch.where(KEPT, TARGETS, -1))), wanted)


def test_tokens_that_the_student_does_not_keep_never_count() -> None:
    student = outputs(0)
    alone = value(MaskedTokens(), some(student, KEPT), student, TARGETS[KEPT])
    torch.testing.assert_close(value(MaskedTokens(), student, student, torch.where(KEPT, TARGETS, -1)), alone)
    assert float(value(MaskedTokens(), student, student, torch.full((6,), -1))) == 0.0


# Closed forms.


def test_two_classes_in_closed_form() -> None:
    """Teacher certain of nothing (1/2, 1/2), student (p, 1 - p): KL is -1/2 log(4 p (1 - p))."""
    student, teacher = Outputs(torch.tensor([[np.log(3.0), 0.0]]), {}), Outputs(torch.zeros(1, 2), {})
    wanted = -0.5 * np.log(4 * 0.75 * 0.25)
    for term in (SoftTargets(temperature=1.0), Decoupled(alpha=1.0, beta=3.0, temperature=1.0)):
        assert float(value(term, student, teacher, torch.tensor([0]))) == pytest.approx(wanted, rel=1e-6)


def test_equal_logits_of_all_tokens_cost_the_logarithm_of_their_number_and_no_token_costs_nothing() -> None:
    alike, none = Outputs(torch.full((5, 400), 0.7), {}), Outputs(torch.zeros(0, 400, requires_grad=True), {})
    found = value(MaskedTokens(), alike, alike, torch.arange(5))
    assert float(found) == pytest.approx(np.log(400), rel=1e-6)
    nothing = value(MaskedTokens(), none, none, torch.zeros(0, dtype=torch.int64))
    assert float(nothing.detach()) == 0.0 and nothing.requires_grad


def test_the_gradient_is_t_times_the_difference_of_probabilities() -> None:
    """d/dz of T^2 KL = T (q - p) / B: why T^2 keeps gradients alike across temperatures."""
    student, teacher, temperature = outputs(0), outputs(1), 5.0
    (found,) = gradients(SoftTargets(temperature=temperature), student, teacher, TARGETS)
    q, p = (torch.softmax(of.logits / temperature, 1) for of in (student, teacher))
    torch.testing.assert_close(found, temperature * (q - p) / 6)


def test_decoupled_is_soft_targets_when_its_weights_say_so() -> None:
    """KL = KL on the target + (1 - p_target) * KL among the others."""
    student, teacher = (some(of, [0]) for of in (outputs(0), outputs(1)))
    beta = 1 - float(torch.softmax(teacher.logits / 4, 1)[0, 0])
    whole = value(SoftTargets(temperature=4.0), student, teacher, TARGETS[:1])
    torch.testing.assert_close(value(Decoupled(alpha=1.0, beta=beta), student, teacher, TARGETS[:1]), whole)


def test_dist_of_opposites_is_at_its_most() -> None:
    """Two classes, student and teacher swapped: every correlation is -1, both parts are 2."""
    logits = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    found = value(Dist(inter=1.0, intra=10.0), Outputs(-logits, {}), Outputs(logits, {}), TARGETS[:3])
    assert float(found) == pytest.approx(22, rel=1e-5)


def test_relational_sees_neither_moves_nor_turns() -> None:
    """A triangle turned by a right angle, moved and doubled is the same triangle; an equilateral one is not a line."""
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]], dtype=torch.float64)
    turned = 2 * triangle @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64) + 3
    line = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    make: Callable[[Any], Outputs] = lambda x: Outputs(torch.zeros(3, 2), {"x": x})  # noqa: E731
    assert float(value(Relational(), make(turned), make(triangle), TARGETS[:3])) == pytest.approx(0, abs=1e-12)
    # Distances 3/4 and 3/2 against 1; cosines (1, -1, 1) against 1/2.
    distance, angle = (4 * 0.5 * 0.25**2 + 2 * 0.5 * 0.5**2) / 9, (4 * 0.5 * 0.5**2 + 2 * (1.5 - 0.5)) / 27
    found = value(Relational(distance=1.0, angle=1.0), make(line), make(triangle), TARGETS[:3])
    assert float(found) == pytest.approx(distance + angle)


def test_attention_on_other_places_is_at_its_most() -> None:
    """Energy at one of two positions, the other's at the other: u = (1, 0) and (0, 1)."""
    x = torch.tensor([[[3.0], [0.0]]])
    found = value(Attention(), Outputs(torch.zeros(1, 2), {"x": x}), Outputs(torch.zeros(1, 2), {"x": x.flip(1)}))
    assert float(found) == 1.0


def test_orthogonal_and_opposite_directions() -> None:
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    logits = torch.zeros(1, 2)
    assert float(value(Cosine(), Outputs(logits, {"x": x}), Outputs(logits, {"x": y}))) == 1.0
    assert float(value(Cosine(), Outputs(logits, {"x": x}), Outputs(logits, {"x": -3 * x}))) == 2.0


def test_student_and_teacher_may_differ_where_a_term_says_so() -> None:
    """Relations between samples in any shape; attention maps in the number of heads; value relations in width too."""
    student, teacher = outputs(0, "positions"), outputs(1, "vectors")
    student = student._replace(features={"a": student.features["0.0"]})
    for term in (Relational(), Similarity()):
        (s,), (t,) = student.features.values(), teacher.features.values()
        by_hand = BY_HAND[type(term)](term, s.numpy(), t.numpy(), TARGETS.numpy())
        assert float(value(term, student, teacher)) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("heads", [None, 1, 2, 6])
@pytest.mark.parametrize("kind", ["maps", "relations"])
def test_numbers_of_heads_may_differ(kind: Any, heads: int | None) -> None:
    rng = np.random.default_rng(0)
    s, t = rng.normal(size=(3, 3, 4, 5, 3)), rng.normal(size=(3, 3, 2, 5, 9))
    term = Attention(kind=kind, relation_heads=heads if kind == "relations" else None)
    logits = torch.zeros(3, 2)
    found = value(term, Outputs(logits, {"a": torch.tensor(s)}), Outputs(logits, {"b": torch.tensor(t)}))
    assert float(found) == pytest.approx(by_hand_attention(term, s, t, np.zeros(3)), rel=1e-6)


def test_relations_fall_back_to_one_head() -> None:
    """A width of 4 cannot be split into the teacher's 3 heads."""
    rng = np.random.default_rng(0)
    s, t = torch.tensor(rng.normal(size=(2, 3, 2, 5, 2))), torch.tensor(rng.normal(size=(2, 3, 3, 5, 3)))
    logits = torch.zeros(2, 2)
    default, one = (
        value(Attention(kind="relations", relation_heads=heads), Outputs(logits, {"a": s}), Outputs(logits, {"a": t}))
        for heads in (None, 1)
    )
    torch.testing.assert_close(default, one)
