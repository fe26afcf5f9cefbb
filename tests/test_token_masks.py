"""Terms on tokens: padding has no effect, and a padded batch gives the mean over its samples without padding, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autodistill.losses import TERMS, Loss
from autodistill.models import Layers, Outputs
from autodistill.spec import Attention, Cosine, FeatureTerm, Hint, LossSpec, Relational, Similarity

TARGETS = torch.zeros(8, dtype=torch.int64)
STATES, PROJECTED = ("states", (5,)), ("projected", (3, 2, 3))
BY_TOKEN: list[tuple[FeatureTerm, str]] = [
    (Hint(), "states"),
    (Cosine(), "states"),
    (Attention(), "states"),
    (Attention(kind="maps"), "heads"),
    (Attention(kind="maps"), "other heads"),
    (Attention(kind="relations"), "heads"),
    (Attention(kind="relations", relation_heads=1), "other heads"),
    (Attention(kind="relations", between=("queries", "keys", "values"), relation_heads=3), "heads"),
]
BY_BATCH: list[tuple[FeatureTerm, str]] = [(Relational(), "states"), (Similarity(), "states")]
every = pytest.mark.parametrize(("term", "form"), [*BY_TOKEN, *BY_BATCH], ids=repr)
by_token = pytest.mark.parametrize(("term", "form"), BY_TOKEN, ids=repr)


class Texts(NamedTuple):
    """Features of texts of these lengths, one tensor a text, and how many positions their batch has."""

    student: list[Tensor]
    teacher: list[Tensor]
    wide: int

    def outputs(self, junk: float = 0.0, rows: slice = slice(None), wide: int | None = None) -> list[Outputs]:
        """Of student and teacher, with `junk` at padding."""
        wide = wide or self.wide
        real = torch.stack([torch.arange(wide) < each.shape[-2] for each in self.student[rows]])
        logits = torch.zeros(len(real), 2, dtype=torch.float64)
        both = [torch.stack([padded(each, wide, junk) for each in side[rows]]) for side in (self.student, self.teacher)]
        return [Outputs(logits, {name: feature}, real) for name, feature in zip("st", both, strict=True)]


def padded(feature: Tensor, wide: int, junk: float) -> Tensor:
    found = torch.full((*feature.shape[:-2], wide, feature.shape[-1]), junk, dtype=feature.dtype)
    found[..., : feature.shape[-2], :] = feature
    return found


@st.composite
def texts(draw: st.DrawFn, form: str) -> Texts:
    lengths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))

    def side(heads: int) -> list[Tensor]:
        shape: Callable[[int], tuple[int, ...]] = lambda n: (n, 4) if form == "states" else (3, heads, n, 6 // heads)  # noqa: E731
        return [torch.randn(shape(n), generator=generator, dtype=torch.float64) for n in lengths]

    return Texts(side(2 if form == "other heads" else 3), side(3), max(lengths) + draw(st.integers(0, 3)))


def value(term: FeatureTerm, student: Outputs, teacher: Outputs, mask: Tensor | None = None) -> Tensor:
    return TERMS[type(term)](term, student, teacher, TARGETS[: len(student.logits)], mask)


def assert_equal(found: Tensor, wanted: Tensor | float) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=found.dtype), rtol=1e-12, atol=1e-13)


@by_token
@settings(max_examples=25)
@given(data=st.data())
def test_a_padded_batch_gives_the_mean_over_its_texts(term: FeatureTerm, form: str, data: st.DataObject) -> None:
    """Each text alone, without padding and without a mask, is what the formulas of the terms are tested on."""
    drawn = data.draw(texts(form))
    alone = []
    for row, each in enumerate(drawn.student):
        student, teacher = drawn.outputs(rows=slice(row, row + 1), wide=each.shape[-2])
        alone.append(value(term, student._replace(real=None), teacher._replace(real=None)))
    assert_equal(value(term, *drawn.outputs()), torch.stack(alone).mean())
    counts = torch.arange(len(alone)) % 2 == 0
    assert_equal(value(term, *drawn.outputs(), counts), torch.stack(alone)[counts].mean())


@every
@settings(max_examples=25)
@given(data=st.data(), junk=st.sampled_from([7.0, -1e30, float("inf"), float("nan")]), more=st.integers(0, 3))
def test_padding_has_no_effect_and_gets_no_gradient(
    term: FeatureTerm, form: str, data: st.DataObject, junk: float, more: int
) -> None:
    drawn = data.draw(texts(form))
    grown = drawn._replace(wide=drawn.wide + more)
    losses, gradients = [], []
    for batch, filler in [(drawn, 0.0), (grown, junk)]:
        student, teacher = batch.outputs(filler)
        leaf = student.features["s"].requires_grad_()
        losses.append(value(term, student, teacher))
        (gradient,) = torch.autograd.grad(losses[-1], leaf)
        assert student.real is not None
        assert not gradient.transpose(1, -2)[~student.real].any()
        gradients.append(gradient[..., : drawn.wide, :])
    assert_equal(losses[1], losses[0].detach())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)


@settings(max_examples=25)
@given(drawn=texts("states"))
def test_relations_between_texts_are_those_of_their_means_over_tokens(drawn: Texts) -> None:
    means = [torch.stack([each.mean(0) for each in side]) for side in (drawn.student, drawn.teacher)]
    logits = torch.zeros(len(means[0]), 2, dtype=torch.float64)
    student, teacher = (Outputs(logits, {"mean": each}) for each in means)
    assert_equal(value(Relational(), *drawn.outputs(9.0)), value(Relational(), student, teacher))


@settings(max_examples=25)
@given(drawn=texts("states"))
def test_similarity_sees_zeros_at_padding(drawn: Texts) -> None:
    plain = [one._replace(real=None) for one in drawn.outputs(0.0)]
    assert_equal(value(Similarity(), *drawn.outputs(9.0)), value(Similarity(), *plain))


@pytest.mark.parametrize("term", [Relational(), Similarity()], ids=repr)
def test_vectors_and_pooled_features_have_no_padding(term: FeatureTerm) -> None:
    """A pooled text, or latents of another number, beside the tokens of a teacher."""
    generator = torch.Generator().manual_seed(0)
    logits, real = torch.zeros(4, 2), torch.arange(5) < torch.tensor([[5], [3], [2], [4]])
    teacher = Outputs(logits, {"t": torch.randn(4, 5, 6, generator=generator)}, real)
    for shape in ((4, 6), (4, 3, 6)):
        own = torch.randn(shape, generator=generator)
        found = value(term, Outputs(logits, {"s": own}, real), teacher)
        other = value(term, Outputs(logits, {"s": own + torch.randn(shape, generator=generator)}, real), teacher)
        assert found.isfinite() and found != other


def test_the_loss_masks_what_its_projections_add() -> None:
    """The bias of a projection is not 0 at padding."""
    width, longest = (4, 6), 5
    student, teacher = (Layers({"l": (longest, c)}, {"a": (3, 2, longest, c // 2)}, longest) for c in width)
    torch.manual_seed(0)
    loss = Loss(LossSpec(hint=Hint(weight=1.0, layers=(1.0,)), cosine=Cosine()), student, [teacher]).double()
    real = torch.arange(longest) < torch.tensor([[5], [2], [3]])
    logits = torch.zeros(3, 2, dtype=torch.float64)
    own, its = (torch.randn(3, longest, c, dtype=torch.float64) for c in width)

    def of(mine: Tensor, theirs: Tensor, real: Tensor | None) -> Tensor:
        count = len(mine)
        both = Outputs(logits[:count], {"l": mine}, real), [Outputs(logits[:count], {"l": theirs}, real)]
        return loss(*both, TARGETS[:count])

    alone = [of(own[row : row + 1, :n], its[row : row + 1, :n], None) for row, n in enumerate(real.sum(1).tolist())]
    assert_equal(of(own, its, real), torch.stack(alone).mean())
    (bias,) = [each for name, each in loss.named_parameters() if name == "projections.hint.0.0.bias"]
    whole, parts = (torch.autograd.grad(each, bias)[0] for each in (of(own, its, real), torch.stack(alone).mean()))
    torch.testing.assert_close(whole, parts)
