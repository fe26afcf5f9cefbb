"""Which layers are compared, what makes them comparable, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from autodistill.losses.matching import Match, aligned, pairs
from autodistill.models import Layers
from autodistill.spec import Attention, Cosine, FeatureTerm, Hint, Pair, Relational, Similarity, UsageError

Shapes = dict[str, tuple[int, ...]]


def net(*shapes: tuple[int, ...], attentions: tuple[tuple[int, ...], ...] = (), prefix: str = "l") -> Layers:
    found = {f"{prefix}{i}": shape for i, shape in enumerate(shapes)}
    return Layers(found, {f"{prefix}a{i}": shape for i, shape in enumerate(attentions)})


CONV = net((8, 8, 8), (16, 4, 4), (32, 2, 2), (32,))
WIDE = net((64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (512,), prefix="t")
SIGNAL = net((8, 32), (16, 16))
VIT = net((17, 48), (17, 48), attentions=((3, 3, 17, 16), (3, 3, 17, 16)))
DEIT = net(*[(17, 96)] * 4, attentions=((3, 6, 17, 16),) * 4, prefix="t")
FINER = net((65, 96), attentions=((3, 6, 65, 16),), prefix="t")
MLP = net((64,), (32,))


def named(term: FeatureTerm, student: Layers, teacher: Layers) -> list[tuple[str, str]]:
    return [(match.student, match.teacher) for match in pairs(term, student, teacher)]


@pytest.mark.parametrize(
    ("term", "student", "teacher", "wanted"),
    [
        (Hint(), CONV, WIDE, [("l1", "t2")]),  # ceil(4 / 2) and ceil(5 / 2)
        (Relational(), CONV, WIDE, [("l3", "t4")]),
        (Similarity(), MLP, DEIT, [("l1", "t3")]),
        (Cosine(), VIT, DEIT, [("l1", "t3")]),
        (Attention(), CONV, WIDE, [("l0", "t1"), ("l1", "t2"), ("l2", "t3")]),  # of maps alone: 1/3, 2/3, 3/3 of 4
        (Attention(kind="maps"), VIT, DEIT, [("la0", "ta1"), ("la1", "ta3")]),
        (Hint(layers=(0.1, 1.0)), CONV, WIDE, [("l0", "t0"), ("l3", "t4")]),
        (Hint(layers=(Pair(student="l2", teacher="t0"), 0.25)), CONV, WIDE, [("l2", "t0"), ("l0", "t1")]),
        (Attention(kind="relations", layers=(Pair(student="la0", teacher="ta3"),)), VIT, DEIT, [("la0", "ta3")]),
    ],
)
def test_layers_by_default_by_depth_and_by_name(
    term: FeatureTerm, student: Layers, teacher: Layers, wanted: list[tuple[str, str]]
) -> None:
    assert named(term, student, teacher) == wanted


@pytest.mark.parametrize("count", range(1, 14))
def test_depth_i_of_n_is_layer_i(count: int) -> None:
    """ceil(i / n * n) is i, whatever floats make of it."""
    layers = net(*[(4, 4, 4)] * count)
    for i in range(count):
        assert named(Hint(layers=((i + 1) / count,)), layers, layers) == [(f"l{i}", f"l{i}")]


def one(term: FeatureTerm, student: Layers, teacher: Layers) -> Match:
    (match,) = pairs(term, student, teacher)
    return match


def test_maps_are_pooled_side_by_side_to_the_smaller() -> None:
    match = one(Hint(layers=(1.0,)), net((4, 8, 2)), net((4, 4, 6)))
    assert match.sides == (4, 2) and match.projection is None
    student, teacher = torch.randn(2, 4, 8, 2), torch.randn(2, 4, 4, 6)
    s, t = aligned(match, student, teacher)
    assert s.shape == t.shape == (2, 8, 4)
    torch.testing.assert_close(s, F.avg_pool2d(student, (2, 1)).flatten(2).transpose(1, 2))
    torch.testing.assert_close(t, F.avg_pool2d(teacher, (1, 3)).flatten(2).transpose(1, 2))


def test_signals_are_pooled_too() -> None:
    match = one(Attention(layers=(1.0,)), net((8, 32)), net((4, 16)))
    s, t = aligned(match, torch.randn(2, 8, 32), torch.randn(2, 4, 16))
    assert match.sides == (16,) and s.shape == (2, 16, 8) and t.shape == (2, 16, 4)


def test_two_axes_are_tokens_where_there_are_attentions() -> None:
    """Channels come last in tokens and first in signals."""
    tokens, signal = one(Cosine(), VIT, DEIT), one(Cosine(), SIGNAL, SIGNAL)
    assert (tokens.student_kind, tokens.projection) == ("tokens", (48, 96))
    assert (signal.student_kind, signal.projection) == ("map", None)
    x = torch.randn(2, 17, 48)
    assert torch.equal(aligned(tokens, x, x)[0], x)
    assert aligned(signal, x, x)[0].shape == (2, 48, 17)


def test_two_axes_are_tokens_where_the_first_is_that_of_the_longest_text() -> None:
    """A recurrent network has no attentions; a convolution over tokens gives maps."""
    recurrent, convolution = Layers({"r": (17, 48)}, {}, tokens=17), Layers({"c": (48, 17)}, {}, tokens=17)
    found = one(Cosine(), recurrent, DEIT)
    assert (found.student_kind, found.teacher_kind, found.projection) == ("tokens", "tokens", (48, 96))
    assert one(Cosine(), convolution, convolution).student_kind == "map"


@pytest.mark.parametrize("term", [Hint(layers=(1.0,)), Cosine()], ids=repr)
def test_projections_are_there_only_where_channels_differ(term: FeatureTerm) -> None:
    assert one(term, CONV, WIDE).projection == (32, 512)
    assert one(term, CONV, CONV).projection is None


@pytest.mark.parametrize("term", [Relational(), Similarity()], ids=repr)
@pytest.mark.parametrize("student", [CONV, SIGNAL, VIT, MLP])
@pytest.mark.parametrize("teacher", [WIDE, SIGNAL, DEIT, FINER, MLP])
def test_relations_between_samples_take_any_two_layers(term: FeatureTerm, student: Layers, teacher: Layers) -> None:
    match = one(term, student, teacher)
    assert match.projection is None and match.sides is None


REFUSED: dict[str, tuple[FeatureTerm, Layers, Layers, tuple[str, ...]]] = {
    "tokens of different count": (
        Cosine(),
        VIT,
        FINER,
        ("cosine: ", "the student's 'l1' (tokens (17, 48))", "the teacher's 't0' (tokens (65, 96))", "cosine.layers"),
    ),
    "a map and tokens": (
        Hint(),
        CONV,
        DEIT,
        ("hint: ", "(map (16, 4, 4))", "(tokens (17, 96))", "use relational or similarity"),
    ),
    "tokens and a signal": (Hint(), VIT, SIGNAL, ("(tokens (17, 48))", "(map (8, 32))")),
    "a signal and a picture": (Hint(), SIGNAL, WIDE, ("(map (8, 32))", "(map (256, 4, 4))")),
    "a vector and a map": (
        Cosine(layers=(Pair(student="l3", teacher="t0"),)),
        CONV,
        WIDE,
        ("the student's 'l3' (vector (32,))", "the teacher's 't0' (map (64, 16, 16))", "{student: ..., teacher: ...}"),
    ),
    "attention: a map and tokens": (Attention(), CONV, DEIT, ("attention: ", "(map (8, 8, 8))", "(tokens (17, 96))")),
    "attention of vectors": (
        Attention(),
        MLP,
        WIDE,
        ("attention needs maps or tokens", "but the student has", "'l0' (vector (64,))", "use relational or similarity"),
    ),
    "maps of a convolutional teacher": (
        Attention(kind="maps"),
        VIT,
        WIDE,
        ("attention of kind maps needs self-attention, but the teacher has", "'t0' (map (64, 16, 16))", "kind: activations"),
    ),
    "relations of an MLP": (Attention(kind="relations"), MLP, DEIT, ("of kind relations needs self-attention", "the student")),
    "maps of other tokens": (
        Attention(kind="maps", layers=(1.0,)),
        VIT,
        FINER,
        ("the student's 'la1' (attentions (3, 3, 17, 16))", "the teacher's 'ta0' (attentions (3, 6, 65, 16))"),
    ),
    "relation heads that divide one width only": (
        Attention(kind="relations", relation_heads=32),
        VIT,
        DEIT,
        ("attention.relation_heads: 32 does not divide both widths, 48 and 96", "(3, 3, 17, 16)", "(3, 6, 17, 16)", "or 48"),
    ),
    "an unknown layer of the student": (
        Hint(layers=(Pair(student="l9", teacher="t0"),)),
        CONV,
        WIDE,
        ("hint.layers: 'l9' is not a layer of the student", "did you mean 'l", "'l3'"),
    ),
    "an unknown layer of the teacher": (
        Hint(layers=(Pair(student="l1", teacher="body"),)),
        CONV,
        WIDE,
        ("hint.layers: 'body' is not a layer of the teacher", "use one of t0, t1, t2, t3, t4"),
    ),
    "no layers at all": (Hint(), CONV, net(), ("hint needs features by layer", "but the teacher has no layers", "kd")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_term_both_layers_and_the_way_out(name: str) -> None:
    term, student, teacher, words = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        pairs(term, student, teacher)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_a_default_never_pairs_a_network_with_itself_wrongly() -> None:
    terms: list[Any] = [Hint(), Attention(), Relational(), Similarity(), Cosine()]
    for layers in (CONV, WIDE, SIGNAL, VIT, DEIT):
        for term in terms:
            assert all(a == b for a, b in named(term, layers, layers))
