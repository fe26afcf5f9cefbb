"""Transformers that read token ids: sizes in closed form, vocabularies, padding, features, and what is refused.

Shape suffixes: B batch, L length, K classes, D features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistill.data import InputSpec
from autodistill.models import Network, build
from autodistill.models import sizes as measure
from autodistill.models.encoders import LINEAR, Encoder, simpler
from autodistill.models.features import attentions_of, layers_of
from autodistill.spec import BuildError, Transformers, UsageError, describe
from autodistill.spec.architectures import ARCHITECTURE

from .tokens import LONGEST, TYPICAL, UNKNOWN, USED, VOCABULARY, batch, encoder, ranking, texts

pytest.importorskip("transformers")
torch.set_num_threads(1)

CLASSES = 3
MODELS = ("bert", "electra", "distilbert", "roberta", "albert", "modernbert", "xlm-roberta", "camembert", "ernie")


def seeded(architecture: Transformers, inputs: InputSpec | None = None, seed: int = 0, classes: int = CLASSES) -> Network:
    inputs = inputs or texts()
    torch.manual_seed(seed)
    return build(architecture, inputs=inputs, classes=classes, ranking=ranking(), unknown=UNKNOWN).eval()


def body(network: Network) -> Encoder:
    assert isinstance(network.body, Encoder)
    return network.body


def params(layers: int, hidden: int, intermediate: int, rows: int, positions: int, classes: int) -> int:
    """Devlin et al., NAACL 2019, with a pooler."""
    norm, embeddings = 2 * hidden, (rows + positions + 2) * hidden
    attention = 4 * (hidden * hidden + hidden) + norm
    linear = hidden * intermediate + intermediate + intermediate * hidden + hidden + norm
    return embeddings + norm + layers * (attention + linear) + hidden * hidden + hidden + classes * (hidden + 1)


@pytest.mark.parametrize(
    ("vocabulary", "rows"), [("full", VOCABULARY), ("used", USED), (12, 12), (VOCABULARY, VOCABULARY)], ids=str
)
@pytest.mark.parametrize("layers", [1, 3])
def test_sizes_are_those_of_the_paper_and_of_the_built_network(layers: int, vocabulary: object, rows: int) -> None:
    architecture = encoder(layers=layers, vocabulary=vocabulary)
    known = measure.sizes(architecture, texts(), CLASSES)
    network = seeded(architecture)
    assert known.params == params(layers, 16, 24, rows, LONGEST, CLASSES)
    assert known.params == sum(parameter.numel() for parameter in network.parameters())
    assert known.bytes == sum(tensor.nbytes for tensor in network.state_dict().values())


def test_a_factorized_embedding_has_the_sizes_of_albert() -> None:
    """Lan et al., ICLR 2020: V * e + e * H in place of V * H, with a bias."""
    plain, small = (measure.sizes(encoder(embedding=width), texts(), CLASSES).params for width in (16, 6))
    rows = VOCABULARY + LONGEST + 2 + 2
    assert plain - small == rows * (16 - 6) - (6 * 16 + 16)


def test_width_is_that_of_all_heads() -> None:
    one = encoder(hidden=None, head_width=4)
    assert one.wide == 16 and measure.sizes(one, texts(), CLASSES) == measure.sizes(encoder(), texts(), CLASSES)


def test_the_inner_width_is_four_times_the_width() -> None:
    assert measure.sizes(encoder(intermediate=None), texts(), CLASSES) == measure.sizes(
        encoder(intermediate=64), texts(), CLASSES
    )


SMALLER = ({"layers": 5}, {"vocabulary": 12}, {"layers": 3})
ALL_SMALLER = {"layers": 4, "hidden": 8, "intermediate": None, "vocabulary": "used"}


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        *(pytest.param(model, ALL_SMALLER, id=model) for model in sorted(LINEAR)),
        *(
            pytest.param(model, changes, marks=[pytest.mark.slow] if model != "bert" else [], id=f"{model} {changes}")
            for model in sorted(LINEAR)
            for changes in SMALLER
        ),
    ],
)
def test_sizes_that_follow_from_smaller_ones_are_exact(model: str, changes: dict[str, object]) -> None:
    architecture = encoder(model=model, **changes)
    assert simpler(architecture, texts()) is not None
    assert measure.sizes(architecture, texts(), CLASSES) == measure._measured(architecture, texts(), CLASSES)


def test_macs_count_attention_and_linear_layers() -> None:
    layers, d, inner, found = 2, 16, 24, measure.sizes(encoder(), texts(), CLASSES)
    for n, macs in ((TYPICAL, found.macs), (LONGEST, found.longest_macs)):
        block = n * 4 * d * d + 2 * n * n * d + 2 * n * d * inner
        assert macs == layers * block + d * d + d * CLASSES


@pytest.mark.parametrize("vocabulary", ["full", "used", 12])
def test_is_a_function_of_the_seed_and_leaves_the_generator_as_a_family_does(vocabulary: object) -> None:
    architecture = encoder(vocabulary=vocabulary)
    one, same, other = (seeded(architecture, seed=seed) for seed in (0, 0, 1))
    given = batch()
    assert torch.equal(one(given).logits, same(given).logits)
    assert not torch.equal(one(given).logits, other(given).logits)
    before = torch.get_rng_state()
    measure.sizes(encoder(vocabulary=vocabulary, layers=5), texts(), CLASSES)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("vocabulary", ["used", 12])
def test_ids_beyond_the_vocabulary_are_read_as_the_unknown_token(vocabulary: int | str) -> None:
    network = seeded(encoder(vocabulary=vocabulary))
    kept = set(body(network).kept().tolist())
    given = batch()
    ids_BL = given["input_ids"]
    unknown_BL = torch.tensor([[token in kept for token in row] for row in ids_BL.tolist()])
    replaced = given | {"input_ids": ids_BL.where(unknown_BL, UNKNOWN)}
    assert not unknown_BL.all() and torch.equal(network(given).logits, network(replaced).logits)
    known = given | {"input_ids": ids_BL.where(unknown_BL, max(kept))}
    assert not torch.equal(network(given).logits, network(known).logits)


def test_a_smaller_vocabulary_keeps_the_first_of_the_ranking() -> None:
    for kept in (6, 12, 59):
        assert body(seeded(encoder(vocabulary=kept))).kept().tolist() == ranking()[:kept].tolist()
    assert body(seeded(encoder())).kept().tolist() == list(range(VOCABULARY))


def test_the_table_travels_with_the_weights() -> None:
    network, other = seeded(encoder(vocabulary=12)), seeded(encoder(vocabulary=12), seed=1)
    table = body(other).table
    assert table is not None and table.dtype == torch.int16
    table.fill_(0)
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(batch_of(0)).logits, other(batch_of(0)).logits)


def batch_of(seed: int, **given: Any) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return batch(**given)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("vocabulary", ["full", "used"])
def test_padding_changes_nothing(model: str, vocabulary: str) -> None:
    network = seeded(encoder(model=model, vocabulary=vocabulary))
    given = batch((9, 4, 7))
    logits_BK = network(given).logits
    assert logits_BK.shape == (3, CLASSES)
    for row, length in enumerate((9, 4, 7)):
        alone = {name: tensor[row : row + 1, :length] for name, tensor in given.items()}
        torch.testing.assert_close(network(alone).logits[0], logits_BK[row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", [*MODELS, "gpt2"])
@pytest.mark.parametrize("changes", [{}, {"settings": {"tie_word_embeddings": True}}, {"pooling": "mean"}], ids=str)
def test_no_two_weights_are_tied(model: str, changes: dict[str, object]) -> None:
    """So stored weights, and those of the folder for transformers, have each tensor once."""
    state = seeded(encoder(model=model, **changes)).state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_sized_trained_and_has_layers(model: str) -> None:
    architecture = encoder(model=model)
    network = seeded(architecture).train()
    assert measure.sizes(architecture, texts(), CLASSES).params == sum(one.numel() for one in network.parameters())
    F.cross_entropy(network(batch((LONGEST, 2, 5))).logits, torch.arange(3)).backward()
    assert all(one.grad is None or bool(one.grad.isfinite().all()) for one in network.parameters())
    found = measure.layers(architecture, texts(), CLASSES)
    assert list(found.layers.values()) == ([] if model == "albert" else [(LONGEST, 16)] * 2)


@pytest.mark.parametrize("model", ["bert", "electra", "distilbert", "roberta"])
def test_attention_gives_queries_keys_and_values_by_heads(model: str) -> None:
    network = seeded(encoder(model=model))
    names = attentions_of(network.body)
    assert len(names) == 2
    given = batch()
    with torch.no_grad():
        found = network(given, [*layers_of(network.body), *names])
        assert torch.equal(found.logits, network(given).logits)
    for name in names:
        qkv = found.features[name]
        assert qkv.shape == (3, 3, 4, 9, 4)
    first, second = layers_of(network.body)
    assert found.features[first].shape == (3, 9, 16)
    attention: Any = network.body.get_submodule(names[1])
    linear = next(one for one in attention.children() if isinstance(one, torch.nn.Linear))
    query_BLD = linear(found.features[first])
    assert torch.equal(query_BLD.unflatten(-1, (4, 4)).transpose(1, 2), found.features[names[1]][:, 0])


@pytest.mark.parametrize(
    ("given", "reads"),
    [
        ({}, True),
        ({"embedding": 4}, True),
        ({"model": "distilbert"}, False),
        ({"model": "roberta", "settings": {"type_vocab_size": 1}}, False),
    ],
    ids=str,
)
def test_pairs_are_read_where_the_model_has_types(given: dict[str, object], reads: bool) -> None:
    network = seeded(encoder(**given), texts(pairs=True))
    types = batch(pairs=True)
    alone = types | {"token_type_ids": torch.zeros_like(types["token_type_ids"])}
    assert torch.equal(network(types).logits, network(alone).logits) is not reads
    assert measure.sizes(encoder(**given), texts(pairs=True), CLASSES).params > 0


def test_dropout_is_that_of_the_settings_or_none() -> None:
    def rates(architecture: Transformers) -> set[float]:
        return {one.p for one in seeded(architecture).modules() if isinstance(one, torch.nn.Dropout)}

    assert rates(encoder()) == {0.0} and rates(encoder(dropout=0.2)) == {0.2}
    some = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.3}
    assert rates(encoder(settings=some)) == {0.1, 0.3} and rates(encoder(settings=some, dropout=0.2)) == {0.2}


def test_positions_are_as_many_as_the_longest_text_unless_given() -> None:
    rows = {places: measure.sizes(encoder(positions=places), texts(), CLASSES).params for places in (None, LONGEST, 20)}
    assert rows[None] == rows[LONGEST] == rows[20] - 11 * 16
    with pytest.raises(UsageError, match=r"reads up to 8 tokens, but a text has 9; set task.max_length to at most 8"):
        measure.sizes(encoder(positions=8), texts(), CLASSES)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"hidden": 18}, BuildError, r"hidden 18 is not a multiple of heads 4; use such a multiple, or head_width"),
        ({"vocabulary": 61}, BuildError, r"vocabulary 61: the tokenizer has 60 tokens; use full"),
        ({"model": "bertt"}, UsageError, r"no text classifier of model 'bertt'; the nearest are .*bert"),
        ({"model": "vit"}, UsageError, r"no text classifier of model 'vit'"),
        ({"model": "bart"}, UsageError, r"model 'bart' has an encoder and a decoder; use one that is only an encoder"),
        ({"model": "t5"}, UsageError, r"model 't5' has an encoder and a decoder; use one that is only an encoder"),
        ({"settings": {"hiden_act": "relu"}}, UsageError, r"settings.hiden_act: bert has no such setting; .*hidden_act"),
        ({"settings": {"hidden_size": 8}}, UsageError, r"settings.hidden_size: autodistill sets it itself; remove it"),
        ({"settings": {"vocab_size": 30}}, UsageError, r"rows for 30 tokens, but the tokenizer has 60; use the tokenizer"),
        ({"settings": {"layer_norm_eps": "small"}}, BuildError, r"transformers refuses these settings of bert"),
        ({"model": "mpnet"}, BuildError, r"mpnet uses token 1 for padding, but the tokenizer uses 0; use another model"),
        ({"model": "distilbert", "embedding": 4}, UsageError, r"distilbert has no separate width of embeddings"),
    ],
)
def test_errors_say_what_and_the_way_out(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure.sizes(encoder(**changes), texts(), CLASSES)


def test_a_vocabulary_holds_padding_and_the_unknown_token() -> None:
    last = ranking()[::-1].copy()
    with pytest.raises(BuildError, match=r"vocabulary 30 leaves out the token for padding or unknown words; use at least 60"):
        build(encoder(vocabulary=30), inputs=texts(), classes=2, ranking=last, unknown=UNKNOWN)
    with pytest.raises(UsageError, match=r"no token for unknown words, .*; use vocabulary: full"):
        build(encoder(vocabulary=30), inputs=texts(), classes=2, ranking=ranking())


def test_takes_texts_only() -> None:
    with pytest.raises(UsageError, match=r"takes texts, not samples of shape \(8,\); .* name the column in task.text"):
        measure.sizes(encoder(), InputSpec.x((8,)), 2)


@pytest.mark.parametrize("given", [{"hidden": 8, "head_width": 2}, {}], ids=["both", "neither"])
def test_needs_one_width(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give either hidden, the width, or head_width"):
        ARCHITECTURE.validate_python({"family": "transformers", "layers": 1, "heads": 2} | given)


def test_description_is_short() -> None:
    one = encoder(vocabulary="used", settings={"hidden_act": "relu"})
    assert describe(one) == "transformers layers=2 hidden=16 heads=4 intermediate=24 vocabulary=used"


@pytest.mark.parametrize("model", [*MODELS, "gpt2"])
@pytest.mark.parametrize("vocabulary", ["full", "used"])
def test_transformers_loads_what_it_saves_without_this_tool(model: str, vocabulary: str, tmp_path: Path) -> None:
    """The rows of the kept tokens are the ids of the saved model; the regression's units are in it."""
    torch.manual_seed(0)
    mean, scale = [3.0, -1.0, 0.0], [2.0, 0.5, 10.0]
    architecture = encoder(model=model, vocabulary=vocabulary)
    given = {"inputs": texts(), "classes": CLASSES, "ranking": ranking(), "unknown": UNKNOWN}
    network = build(architecture, **given, target_mean=mean, target_scale=scale).eval()
    one = body(network)
    if one.get_submodule(one.last).bias is None:
        return
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    one.standalone(network.target_mean, network.target_scale).save_pretrained(tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    from transformers import AutoModelForSequenceClassification

    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    read = batch()
    kept = one.kept()
    rows_BL = read["input_ids"] % (len(kept) - 2) + 2
    rows_BL = rows_BL.where(read["input_ids_mask"], loaded.config.pad_token_id)
    ids_BL = kept[rows_BL]
    expected = network(read | {"input_ids": ids_BL}).logits
    found = loaded(input_ids=rows_BL, attention_mask=read["input_ids_mask"].long()).logits
    torch.testing.assert_close(found, expected)
    assert loaded.config.vocab_size == one.rows == len(kept) and loaded.config.problem_type is None
