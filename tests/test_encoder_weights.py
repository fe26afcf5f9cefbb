"""A smaller transformer starts from the weights of a larger one.

Shape suffixes: B batch, K classes, V tokens, E width of embeddings.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistill.data import InputSpec
from autodistill.models import Network, build, inherit
from autodistill.models import sizes as measure
from autodistill.models.encoder_weights import NORM, PROJECT, WORDS, factorized
from autodistill.models.encoders import Encoder
from autodistill.spec import MLP, Transformers, UsageError

from .tokens import UNKNOWN, batch, encoder, ranking, texts

pytest.importorskip("transformers")
torch.set_num_threads(1)

CLASSES = 3
LIKE_BERT = ("bert", "electra", "roberta", "distilbert")
every_like_bert = pytest.mark.parametrize("model", LIKE_BERT)


def seeded(architecture: Transformers, seed: int) -> Network:
    """With biases and norms that are not those of the start."""
    torch.manual_seed(seed)
    network = build(architecture, inputs=texts(), classes=CLASSES, ranking=ranking(), unknown=UNKNOWN).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif "position" in name or "type" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def inherited(student: Transformers, source: Transformers) -> tuple[Network, Network]:
    one, other = seeded(student, 0), seeded(source, 1)
    inherit(one, other)
    return one, other


def tensors(network: Network) -> dict[str, Tensor]:
    return {name.removeprefix("body.model."): tensor for name, tensor in network.named_parameters()}


def short() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return batch()


@pytest.mark.parametrize("model", [*LIKE_BERT, "albert", "modernbert"])
@pytest.mark.parametrize("vocabulary", ["full", "used"])
def test_the_same_architecture_becomes_the_same_network(model: str, vocabulary: str) -> None:
    one, other = inherited(*[encoder(model=model, vocabulary=vocabulary)] * 2)
    assert torch.equal(one(short()).logits, other(short()).logits)


@every_like_bert
def test_every_kth_layer_is_taken(model: str) -> None:
    one, other = (tensors(each) for each in inherited(encoder(model=model, layers=3), encoder(model=model, layers=6)))
    for mine, theirs in ((0, 0), (1, 3), (2, 5)):
        names = [name for name in one if f"layer.{mine}." in name]
        assert names
        for name in names:
            assert torch.equal(one[name], other[name.replace(f"layer.{mine}.", f"layer.{theirs}.")])


@every_like_bert
@pytest.mark.parametrize(("heads", "width"), [(2, 4), (4, 2), (3, 4), (2, 3)])
def test_leading_heads_are_taken_with_their_leading_numbers(model: str, heads: int, width: int) -> None:
    hidden = heads * width
    one, other = inherited(encoder(model=model, hidden=hidden, heads=heads, intermediate=10), encoder(model=model))
    mine, theirs = tensors(one), tensors(other)
    for name, tensor in mine.items():
        last = name.split(".")[-2]
        if last in ("query", "key", "value", "q_lin", "k_lin", "v_lin"):
            part = theirs[name].unflatten(0, (4, 4))[:heads, :width].flatten(0, 1)
            assert torch.equal(tensor, part[:, :hidden] if tensor.dim() == 2 else part)
        if name.endswith(("attention.output.dense.weight", "out_lin.weight")):
            part = theirs[name].unflatten(1, (4, 4))[:, :heads, :width].flatten(1, 2)
            assert torch.equal(tensor, part[:hidden])
        if name.endswith(("intermediate.dense.weight", "lin1.weight")):
            assert torch.equal(tensor, theirs[name][:10, :hidden])


@every_like_bert
@pytest.mark.parametrize(("mine", "theirs"), [("used", "full"), (12, "used"), (12, "full")])
def test_a_smaller_vocabulary_has_the_rows_of_its_tokens(model: str, mine: int | str, theirs: int | str) -> None:
    """Texts of tokens that both keep are read the same."""
    one, other = inherited(encoder(model=model, vocabulary=mine), encoder(model=model, vocabulary=theirs))
    assert isinstance(one.body, Encoder)
    kept = one.body.kept()
    given = short()
    own = given | {"input_ids": kept[given["input_ids"] % (len(kept) - 2) + 2].where(given["input_ids_mask"], 0)}
    torch.testing.assert_close(one(own).logits, other(own).logits, rtol=0, atol=0)


def test_a_token_that_the_source_lacks_begins_as_its_unknown_token() -> None:
    one, other = inherited(encoder(vocabulary="full"), encoder(vocabulary=12))
    torch.testing.assert_close(one(short()).logits, other(short()).logits, rtol=0, atol=0)


@pytest.mark.parametrize("source", LIKE_BERT)
@every_like_bert
def test_what_has_other_names_computes_the_same_hidden_states(model: str, source: str) -> None:
    """roberta's positions begin after the padding, distilbert has no types: the layers see the same tokens anyway."""
    one, other = inherited(encoder(model=model), encoder(model=source))
    found = [each(short(), [each.body.feature_info[-1]["module"]]).features.popitem()[1] for each in (one, other)]  # type: ignore[union-attr, index]
    real_BL = short()["input_ids_mask"]
    torch.testing.assert_close(found[0][real_BL], found[1][real_BL], rtol=1e-4, atol=1e-5)


def test_a_norm_behind_a_projection_is_the_norm_before_it() -> None:
    """With all directions kept, embeddings of the same width give the same numbers."""
    torch.manual_seed(0)
    rows_VH, weight_H, bias_H = torch.randn(50, 8, dtype=torch.float64), torch.rand(8).double() + 0.5, torch.randn(8).double()
    found = factorized({WORDS: rows_VH}, weight_H, bias_H, 8)
    normed_VE = F.layer_norm(found[WORDS], (8,), found[f"{NORM}.weight"], found[f"{NORM}.bias"], eps=0)
    given = normed_VE @ found[f"{PROJECT}.weight"].T + found[f"{PROJECT}.bias"]
    torch.testing.assert_close(given, F.layer_norm(rows_VH, (8,), weight_H, bias_H, eps=0))


def test_rows_in_few_directions_lose_nothing() -> None:
    torch.manual_seed(0)
    rows_VH = torch.randn(50, 3, dtype=torch.float64) @ torch.randn(3, 12, dtype=torch.float64)
    ones, zeros = torch.ones(12).double(), torch.zeros(12).double()
    found = factorized({WORDS: rows_VH}, ones, zeros, 4)
    given = F.layer_norm(found[WORDS], (4,), eps=0) @ found[f"{PROJECT}.weight"].T
    torch.testing.assert_close(given, F.layer_norm(rows_VH, (12,), eps=0))
    assert found[WORDS].shape == (50, 4) and found[f"{PROJECT}.weight"].shape == (12, 4)


def test_a_wider_embedding_is_nearer_to_the_source() -> None:
    source = encoder()
    errors = []
    for width in (2, 6, 10, 15):
        one, other = inherited(encoder(embedding=width), source)
        names = [each.body.feature_info[0]["module"] for each in (one, other)]  # type: ignore[union-attr, index]
        found = [each(short(), [name]).features[name] for each, name in zip((one, other), names, strict=True)]
        errors.append(float((found[0] - found[1])[short()["input_ids_mask"]].pow(2).mean().detach()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.25 * errors[0]


def test_a_narrower_embedding_of_an_embedding_is_its_slice() -> None:
    one, other = inherited(encoder(embedding=4, hidden=8, heads=2), encoder(embedding=6))
    name = "electra.embeddings_project.weight"
    assert torch.equal(tensors(one)[name], tensors(other)[name][:8, :4])


@pytest.mark.parametrize(
    ("student", "source", "message"),
    [
        ({"layers": 3}, {}, r"the student is 3 layers deep, but the source only 2"),
        ({"hidden": 32}, {}, r"embeddings.word_embeddings.weight \(60, 32\) is larger than the source's \(60, 16\)"),
        ({"heads": 8}, {}, r"\(16, 16\) is larger than the source's \(16, 16\), or has wider heads"),
        ({"heads": 2}, {}, r"or has wider heads; inherit from a transformer"),
        ({"intermediate": 25}, {}, r"intermediate.dense.weight \(25, 16\) is larger than the source's \(24, 16\)"),
        ({}, {"embedding": 6}, r"the source's embeddings are narrower than its layers; give the student a key embedding"),
        ({"positions": 20}, {}, r"embeddings.position_embeddings.weight \(20, 16\) is larger than the source's \(9, 16\)"),
        ({"model": "albert"}, {}, r"the source, a bert, has no .* for a albert"),
        ({"model": "modernbert", "hidden": 8, "heads": 2}, {"model": "modernbert"}, r"can only take whole layers"),
    ],
)
def test_refuses_a_source_that_is_too_small_or_different(
    student: dict[str, object], source: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        measure.check_inherit(encoder(**student), encoder(**source), texts(), CLASSES)
    with pytest.raises(UsageError, match=message):
        inherited(encoder(**student), encoder(**source))


def test_listed_layers_are_taken() -> None:
    one, other = seeded(encoder(layers=2), 0), seeded(encoder(layers=6), 1)
    inherit(one, other, (1, 5))
    mine, theirs = tensors(one), tensors(other)
    for at, taken in enumerate((1, 5)):
        name = "bert.encoder.layer.{}.intermediate.dense.weight"
        assert torch.equal(mine[name.format(at)], theirs[name.format(taken)])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((0, 6), r"init lists layer 6, but the source has layers 0 to 5; list these only"),
        ((0, 1, 2), r"init lists 3 layers, but the student has 2; list one for each"),
    ],
)
def test_a_list_of_layers_suits_both(layers: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        measure.check_inherit(encoder(), encoder(layers=6), texts(), CLASSES, layers)


def test_other_families_take_no_list() -> None:
    sizes = MLP(depth=1, width=4), MLP(depth=2, width=4)
    with pytest.raises(UsageError, match="a list of layers applies only to transformers; use init: from_teacher"):
        measure.check_inherit(*sizes, InputSpec.x((3,)), CLASSES, (1,))


def test_a_source_of_another_family_is_refused() -> None:
    one = seeded(encoder(), 0)
    other = Network(torch.nn.Linear(2, 2))
    with pytest.raises(UsageError, match="the source is not of family transformers"):
        inherit(one, other)


@pytest.mark.parametrize(
    "student", [{"embedding": 4}, {"vocabulary": 12, "embedding": 5, "layers": 1}, {"model": "distilbert"}]
)
def test_what_can_be_inherited_is_known_without_weights(student: dict[str, object]) -> None:
    measure.check_inherit(encoder(**student), encoder(), texts(), CLASSES)


@pytest.mark.skipif("AUTODISTILL_MINILM" not in os.environ, reason="needs all-MiniLM-L6-v2, see test_checkpoints.py")
def test_a_wider_embedding_of_all_minilm_is_nearer_to_it() -> None:
    """Its embeddings, factorized, are near to what the layers read: random ones would be off by the variance twice."""
    from autodistill.distill.weights import load_into, read_weights
    from autodistill.spec.architectures import ARCHITECTURE
    from autodistill.spec.checkpoints import architecture_of

    folder, inputs = Path(os.environ["AUTODISTILL_MINILM"]), texts(vocabulary=30522, longest=16)
    architecture = ARCHITECTURE.validate_python(architecture_of(folder))
    assert isinstance(architecture, Transformers)
    teacher = build(architecture, inputs=inputs, classes=CLASSES).eval()
    load_into(teacher, read_weights(folder, architecture)[1]._replace(lenient=True), architecture, CLASSES)
    shape = {"layers": 3, "hidden": 384, "heads": 12, "intermediate": 1536, "positions": 16}
    torch.manual_seed(0)
    given = batch((16, 12, 16), vocabulary=30522)
    theirs = teacher.body.model.bert.embeddings(given["input_ids"])  # type: ignore[union-attr]
    for width, most in ((64, 0.9), (128, 0.6), (256, 0.35), (383, 0.01)):
        student = build(encoder(**shape, embedding=width), inputs=inputs, classes=CLASSES).eval()
        inherit(student, teacher)
        model = student.body.model.electra  # type: ignore[union-attr]
        mine = model.embeddings_project(model.embeddings(given["input_ids"]))
        off = float(((mine - theirs).pow(2).mean() / theirs.var()).detach())
        assert off < most, width
