"""Folders of transformers as teachers: what they become in a spec, and their weights.

Shape suffixes: B batch, K classes.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodistill.data import InputSpec
from autodistill.distill.checkpoints import in_order
from autodistill.distill.weights import load_into, read_weights
from autodistill.models import Network, build, inherit
from autodistill.models.encoders import Encoder
from autodistill.models.sizes import sizes
from autodistill.spec import DataError, Spec, SpecError, Transformers, UsageError, from_document, load, resolve
from autodistill.spec.architectures import ARCHITECTURE
from autodistill.spec.checkpoints import architecture_of

from .conftest import DOCUMENT
from .minilm import MINILM, needs_minilm
from .tokens import UNKNOWN, batch, field, ranking, texts

transformers: Any = pytest.importorskip("transformers")
torch.set_num_threads(1)

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
VOCABULARY = {"vocab_size": 60, "max_position_embeddings": 20, "pad_token_id": 0}
PINNED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Saves a small model and returns its folder; `kind` is the class of transformers behind the model's name."""

    def save(kind: str = "ForSequenceClassification", model: str = "Bert", classes: int = 3, **settings: Any) -> Path:
        torch.manual_seed(0)
        names = {f"{model}Config": SIZES | VOCABULARY | settings}
        config = getattr(transformers, f"{model}Config")(**names[f"{model}Config"], num_labels=classes)
        folder = tmp_path / f"{model}{kind}{classes}"
        getattr(transformers, f"{model}{kind}")(config).eval().save_pretrained(folder)
        return folder

    return save


def loaded(folder: Path, classes: int = 3, *, trained: bool = True, pooling: str = "first") -> Network:
    architecture = ARCHITECTURE.validate_python(architecture_of(folder) | {"pooling": pooling})
    found, weights = read_weights(folder, architecture)
    torch.manual_seed(1)
    network = build(found, inputs=texts(), classes=classes, ranking=ranking(), unknown=UNKNOWN)
    load_into(network, weights._replace(lenient=trained), found, classes)
    return network.eval()


def given_by(folder: Path) -> torch.Tensor:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    torch.manual_seed(2)
    given = batch()
    found: torch.Tensor = model(input_ids=given["input_ids"], attention_mask=given["input_ids_mask"]).logits
    return found


def logits_of(network: Network) -> torch.Tensor:
    torch.manual_seed(2)
    return network(batch()).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("model", ["Bert", "DistilBert", "Electra", "Roberta", "Albert"])
def test_a_folder_gives_the_logits_that_transformers_gives(make: Make, model: str) -> None:
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24} if model == "DistilBert" else {"num_hidden_layers": 2}
    folder = make(model=model, **sizes)
    torch.testing.assert_close(logits_of(loaded(folder, trained=False)), given_by(folder))


@pytest.mark.parametrize("model", ["Bert", "DistilBert", "Electra", "Roberta"])
def test_a_mean_of_the_tokens_is_transformers_classifier_of_tokens_averaged(make: Make, model: str) -> None:
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24} if model == "DistilBert" else {"num_hidden_layers": 2}
    folder = make("ForTokenClassification", model, **sizes)
    found = loaded(folder, trained=False, pooling="mean")
    given, theirs = batch(), transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    mask_BL = given["input_ids_mask"]
    tokens_BLK = theirs(input_ids=given["input_ids"], attention_mask=mask_BL).logits
    expected = torch.stack([row[kept.bool()].mean(0) for row, kept in zip(tokens_BLK, mask_BL, strict=True)])
    torch.testing.assert_close(found(given).logits, expected)
    junk = given["input_ids"].masked_fill(mask_BL == 0, 7)
    torch.testing.assert_close(found({"input_ids": junk, "input_ids_mask": mask_BL}).logits, expected)


def test_a_student_that_reads_the_first_token_begins_as_a_teacher_that_reads_the_mean(make: Make) -> None:
    source, student = loaded(make(), pooling="mean"), loaded(make(), pooling="first")
    before = {name: tensor.clone() for name, tensor in student.named_parameters()}
    torch.nn.init.normal_(source.body.model.classifier.weight)
    inherit(student, source)
    for name, tensor in student.named_parameters():
        expected = before[name] if "pooler" in name else source.get_parameter(name)
        assert torch.equal(tensor, expected), name


@pytest.mark.parametrize(
    ("content", "mean"),
    [
        ('{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}', True),
        ('{"pooling_mode": "mean"}', True),
        ('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}', False),
        ('{"pooling_mode": "cls"}', False),
        ("[]", False),
        ("{", False),
    ],
)
def test_a_folder_of_sentence_transformers_says_whether_it_reads_the_mean(make: Make, content: str, mean: bool) -> None:
    folder = make()
    assert "pooling" not in architecture_of(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(content)
    assert architecture_of(folder).get("pooling") == ("mean" if mean else None)


def test_the_architecture_is_plain_sizes_and_settings(make: Make) -> None:
    folder = make(hidden_act="relu", hidden_dropout_prob=0.2)
    assert architecture_of(folder) == {
        "family": "transformers",
        "layers": 2,
        "hidden": 16,
        "heads": 4,
        "intermediate": 24,
        "positions": 20,
        "model": "bert",
        "settings": {
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "relu",
            "hidden_dropout_prob": 0.2,
            "vocab_size": 60,
        },
    }


def test_positions_of_a_roberta_are_those_after_the_padding(make: Make) -> None:
    found = ARCHITECTURE.validate_python(architecture_of(make(model="Roberta", pad_token_id=1)))
    assert isinstance(found, Transformers) and found.positions == 18
    inputs = InputSpec(fields=(field(longest=18).model_copy(update={"padding": 1.0}),))
    network = build(found, inputs=inputs, classes=3)
    assert network(inputs.dummy(1)).logits.shape == (1, 3)


@pytest.mark.parametrize("kind", ["Model", "ForMaskedLM"])
def test_a_missing_classifier_begins_at_zero(make: Make, kind: str) -> None:
    folder = make(kind)
    network = loaded(folder)
    assert not logits_of(network).any()
    model = transformers.AutoModel.from_pretrained(folder)
    for name, tensor in model.state_dict().items():
        if "pooler" not in name:
            assert torch.equal(tensor, network.body.get_parameter(f"model.bert.{name}"))
    pooler = network.body.get_parameter("model.bert.pooler.dense.weight")
    assert pooler.any() and (kind == "Model") == torch.equal(pooler, model.pooler.dense.weight)


@pytest.mark.parametrize("model", ["Electra", "Roberta", "XLMRoberta", "Albert"])
def test_every_model_begins_with_the_same_logit_for_each_class(make: Make, model: str) -> None:
    network = loaded(make("Model", model))
    assert not logits_of(network).any()
    network(batch()).logits.sum().backward()
    last = network.body.get_submodule(network.body.last)  # type: ignore[union-attr, arg-type]
    assert last.weight.grad.any()  # type: ignore[union-attr]


def test_a_classifier_of_other_labels_begins_at_zero(make: Make) -> None:
    assert not logits_of(loaded(make(classes=5))).any()
    assert logits_of(loaded(make(classes=3))).any()


@pytest.mark.parametrize(
    ("kind", "classes", "message"),
    [
        ("Model", 3, r"has no classifier; give the teacher a recipe, which trains one"),
        ("ForSequenceClassification", 5, r"has a classifier with 5 labels instead of 3; give the teacher a recipe"),
    ],
)
def test_a_network_that_is_not_trained_needs_its_classifier(make: Make, kind: str, classes: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        loaded(make(kind, classes=classes), trained=False)


def test_logits_come_in_the_order_of_the_classes(make: Make) -> None:
    folder = make(id2label={0: "good", 1: "bad", 2: "ugly"}, label2id={"good": 0, "bad": 1, "ugly": 2})
    architecture = ARCHITECTURE.validate_python(architecture_of(folder))
    _, weights = read_weights(folder, architecture)
    assert weights.labels == ("good", "bad", "ugly")
    network = build(architecture, inputs=texts(), classes=3, ranking=ranking(), unknown=UNKNOWN).eval()
    assert isinstance(network.body, Encoder)
    state = in_order(network.body, weights.state, weights.labels, ("bad", "good", "ugly"))
    load_into(network, weights._replace(state=state), architecture, 3)
    torch.testing.assert_close(logits_of(network), given_by(folder)[:, [1, 0, 2]])
    assert in_order(network.body, weights.state, weights.labels, ("a", "b", "c")) is weights.state
    assert read_weights(make(), architecture)[1].labels == ()
    assert network.body.last == "model.classifier"


def document(**teacher: Any) -> dict[str, Any]:
    student = {"family": "transformers", "layers": {"int": [1, 2]}, "hidden": 8, "heads": 2}
    raw = copy.deepcopy(DOCUMENT) | {"assistants": {"at_most": 0}, "teacher": teacher}
    return raw | {"student": raw["student"] | {"architecture": student}}


RECIPE = DOCUMENT["teacher"]["recipe"]


def of_folder(folder: object, **given: Any) -> dict[str, Any]:
    return {"architecture": {"family": "transformers", "checkpoint": str(folder)} | given}


def teacher_of(spec: Spec) -> Transformers:
    found = spec.teacher.architecture
    assert isinstance(found, Transformers)
    return found


def test_a_spec_holds_the_sizes_and_the_folder(make: Make) -> None:
    folder = make()
    spec = from_document(document(**of_folder(folder), recipe=RECIPE))
    assert spec.teacher.checkpoint == str(folder) and teacher_of(spec).layers == 2
    assert from_document(spec.document()) == spec
    assert from_document(document(checkpoint=str(folder), recipe=RECIPE)) == spec
    assert teacher_of(from_document(document(**of_folder(folder, dropout=0.0), recipe=RECIPE))).dropout == 0.0


def test_a_folder_is_relative_to_the_spec_and_its_place_is_no_part_of_the_network(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make()
    (tmp_path / "spec.json").write_text(json.dumps(document(**of_folder(folder.name), recipe=RECIPE)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spec = load(tmp_path / "spec.json")
    assert spec.teacher.checkpoint == str(folder)
    moved = folder.rename(tmp_path / "moved")
    assert teacher_of(from_document(document(**of_folder(moved)))) == teacher_of(spec)


def test_the_members_of_an_ensemble_are_read_too(make: Make) -> None:
    one, other = make(), make(model="Electra", embedding_size=16)
    spec = from_document(document(ensemble=[of_folder(one), of_folder(other)]))
    assert [member.checkpoint for member in spec.teacher.members()] == [str(one), str(other)]


def test_a_resolved_spec_says_how_many_positions_there_are(make: Make) -> None:
    spec = resolve(from_document(document(**of_folder(make()))), fingerprint="0", cuda=False, positions=12)
    assert spec.document()["student"]["architecture"]["positions"] == 12 and teacher_of(spec).positions == 20


def broken(folder: Path, content: str) -> Path:
    (folder / "config.json").write_text(content)
    return folder


def without(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


def changed(folder: Path, **values: object) -> Path:
    path = folder / "config.json"
    return broken(folder, json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: folder / "nowhere", r"there is no .*nowhere/config.json; give a folder with config.json and model.saf"),
        (lambda folder: without(folder, "config.json"), r"there is no .*config.json; give a folder"),
        (lambda folder: without(folder, "model.safetensors"), r"there is no .*model.safetensors; give a folder"),
        (lambda folder: broken(folder, "{"), r"config.json cannot be read by transformers"),
        (lambda folder: broken(folder, "{}"), r"config.json cannot be read by transformers"),
        (lambda folder: changed(folder, model_type="beard"), r"config.json cannot be read by transformers"),
        (lambda folder: changed(folder, model_type="vit"), r"no text classifier of model 'vit'; use an encoder such as bert"),
        (lambda folder: changed(folder, position_embedding_type="relative_key"), r"cannot build positions of type 'relative_k"),
        (lambda folder: 5, r"5 is not a path|there is no"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_with_its_place(
    make: Make, spoil: Callable[[Path], object], message: str
) -> None:
    with pytest.raises(SpecError, match=rf"teacher.architecture.checkpoint: .*{message}"):
        from_document(document(**of_folder(spoil(make()))))


def test_a_model_that_the_hub_does_not_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SpecError, match=r"nobody/no-such-model is not a folder, and the hub does not give it"):
        from_document(document(**of_folder("nobody/no-such-model")))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 3}, r"teacher.architecture.layers: 'layers' is in the checkpoint; remove it"),
        ({"vocabulary": "used"}, r"teacher.architecture.vocabulary: 'vocabulary' is in the checkpoint; remove it"),
    ],
)
def test_what_the_folder_says_is_not_said_again(make: Make, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        from_document(document(**of_folder(make(), **given)))


def test_one_checkpoint_is_enough(make: Make) -> None:
    with pytest.raises(SpecError, match=r"teacher.checkpoint: a checkpoint is in architecture, too; keep one of them"):
        from_document(document(**of_folder(make()), checkpoint="x.safetensors"))


def test_a_teacher_that_is_a_checkpoint_alone_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"teacher.checkpoint: .*there is no .*nowhere/config.json; give a folder with config"):
        from_document(document(checkpoint=str(tmp_path / "nowhere"), recipe=RECIPE))
    with pytest.raises(SpecError, match=r"use architecture and recipe"):
        from_document(document(checkpoint=str(tmp_path / "teacher.safetensors"), recipe=RECIPE))


def test_a_damaged_file_is_refused(make: Make) -> None:
    folder = make()
    (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="cannot be loaded by transformers"):
        loaded(folder)


def test_weights_that_do_not_fit_the_config_are_refused(make: Make) -> None:
    folder = make()
    architecture = ARCHITECTURE.validate_python(architecture_of(folder))
    _, weights = read_weights(folder, architecture)
    wider = architecture.model_copy(update={"intermediate": 32})
    network = build(wider, inputs=texts(), classes=3, ranking=ranking(), unknown=UNKNOWN)
    with pytest.raises(UsageError, match=r"has bert.encoder.layer.0.intermediate.dense.weight of shape \(24, 16\) instead of "):
        load_into(network, weights, wider, 3)
    deeper = architecture.model_copy(update={"layers": 3})
    network = build(deeper, inputs=texts(), classes=3, ranking=ranking(), unknown=UNKNOWN)
    with pytest.raises(UsageError, match=r"lacks bert.encoder.layer.2.attention.self.query.weight"):
        load_into(network, weights._replace(lenient=True), deeper, 3)


@needs_minilm
def test_all_minilm_has_its_known_sizes() -> None:
    """The weights of sentence-transformers/all-MiniLM-L6-v2: 22,713,216 parameters, with a pooler that is not read."""
    folder = Path(str(MINILM))
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == PINNED
    architecture = ARCHITECTURE.validate_python(architecture_of(folder))
    inputs = texts(vocabulary=30522, longest=16)
    assert sizes(architecture, inputs, 25).params == 22_713_216 - 384 * 385 + 25 * 385
    network = build(architecture, inputs=inputs, classes=25)
    _, weights = read_weights(folder, architecture)
    load_into(network, weights._replace(lenient=True), architecture, 25)
    assert not network.eval()(inputs.dummy(2)).logits.any()
