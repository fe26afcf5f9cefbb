"""Networks for texts handed over: tokenizers whose ids are rows, a folder for transformers, files that run on sentences."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from autodistill import exporting, spec
from autodistill.answers import Wanted
from autodistill.answers.confirm import confirm
from autodistill.cli import main
from autodistill.data.tokens import trained
from autodistill.distill.predictions import logits_of
from autodistill.exporting import Exported, export, folder, predict
from autodistill.exporting.cut import Cut, cut
from autodistill.exporting.facts import Chosen
from autodistill.exporting.formats import FORMATS
from autodistill.metrics import latency
from autodistill.spec import DataError
from autodistill.study.record.directory import StudyDirectory

from .searching import search
from .textual import document, reviews, written

pytest.importorskip("transformers")
torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)


# Tokenizers


def tokenizer(kind: str) -> Tokenizer:
    """One of each kind, trained on the reviews, with a token that was added to the model."""
    texts, special = list(reviews()["review"]), ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind == "BPE":
        return Tokenizer.from_buffer(trained(texts, 400).content)
    model, trainer = {
        "WordPiece": (models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=150)),
        "WordLevel": (models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer()),
        "Unigram": (models.Unigram(), trainers.UnigramTrainer(vocab_size=100, unk_token="[UNK]")),
    }[kind]
    trainer.special_tokens, trainer.show_progress = special, False
    found = Tokenizer(model)
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.train_from_iterator(texts, trainer)
    found.add_tokens(["butter"])
    ends = [(word, found.token_to_id(word)) for word in ("[SEP]", "[CLS]")]
    found.post_processor = processors.BertProcessing(*ends)
    return found


KINDS = ("WordPiece", "WordLevel", "BPE", "Unigram")
TOKENIZERS = {kind: tokenizer(kind) for kind in KINDS}
SENTENCES = [*reviews(40, seed=1)["review"], "breads [MASK] butter zebra", "", "Ärger ...", "rain" * 9]


@given(kind=st.sampled_from(KINDS), share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_a_cut_tokenizer_gives_the_rows_that_were_trained(kind: str, share: float, seed: int) -> None:
    whole = TOKENIZERS[kind]
    others = np.random.default_rng(seed).permutation(np.arange(2, whole.get_vocab_size()))
    unknown = whole.token_to_id("[UNK]")
    kept = [0, unknown, *others[: int(share * len(others))].tolist()]
    made = cut(whole.to_str().encode(), kept, unknown)
    smaller = Tokenizer.from_buffer(made.content)
    row_of = {token: row for row, token in enumerate(kept)}
    for text in SENTENCES:
        wanted = [row_of.get(token, row_of[unknown]) for token in whole.encode(text).ids]
        found = smaller.encode(text).ids
        assert [made.rows[number] for number in found] == wanted
    assert smaller.id_to_token(row_of[unknown]) == "[UNK]" and made.rows[: len(kept)] == list(range(len(kept)))
    assert set(made.rows[len(kept) :]) <= {row_of[unknown]}


def test_only_added_tokens_and_parts_of_merges_need_rows_beside_the_kept_ones() -> None:
    merges = json.loads(TOKENIZERS["BPE"].to_str())["model"]["merges"]
    parts = {part for merge in merges for part in merge}
    beside = {"WordPiece": 1, "WordLevel": 1, "BPE": len(parts), "Unigram": TOKENIZERS["Unigram"].get_vocab_size() - 5}
    for kind, whole in TOKENIZERS.items():
        assert len(cut(whole.to_str().encode(), range(5), 1).rows) == 5 + beside[kind]
        everything = cut(whole.to_str().encode(), range(whole.get_vocab_size()), 1)
        assert Tokenizer.from_buffer(everything.content).get_vocab() == whole.get_vocab()
    assert beside["BPE"] < TOKENIZERS["BPE"].get_vocab_size() - 5


def test_a_tokenizer_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="of the kind Morse, not WordPiece"):
        cut(json.dumps({"model": {"type": "Morse", "vocab": {}}, "added_tokens": []}).encode(), [0, 1], 1)


# Exports


def encoders(path: Path, **task: Any) -> dict[str, Any]:
    found = document(path, **task)
    recipe = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01}
    sizes = {"family": "transformers", "layers": 1, "hidden": 16, "heads": 2}
    found["teacher"] = {"architecture": sizes, "recipe": recipe}
    found["student"] = {"architecture": sizes | {"vocabulary": 100}, "recipe": recipe}
    found["search"] |= {"trials": 1}
    return found


def exported(path: Path, raw: dict[str, Any]) -> tuple[Chosen, Exported]:
    """The student of a study of one trial, and what its export says."""
    one = searched(path, raw)
    return one, export(StudyDirectory(path / "out"), to=path / "model", stage=one.stage)


def searched(path: Path, raw: dict[str, Any]) -> Chosen:
    study = search(spec.parse(raw), out=path / "out", runner="serial")
    (stage,) = {row.stage for row in study.rows() if row.role == "student"}
    return Chosen(StudyDirectory(path / "out"), str(stage))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Chosen, StudyDirectory]:
    """A study of encoders that several tests export."""
    root = tmp_path_factory.mktemp("small")
    return searched(root, encoders(written(root))), StudyDirectory(root / "out")


of_small = pytest.mark.xdist_group("text export")


def logits_of_folder(path: Path, *texts: list[str]) -> np.ndarray[Any, Any]:
    """What anybody gets who knows transformers alone."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokens, model = AutoTokenizer.from_pretrained(path), AutoModelForSequenceClassification.from_pretrained(path)
    with torch.inference_mode():
        found = model(**tokens(*texts, truncation=True, padding=True, return_tensors="pt")).logits
    return np.asarray(found)


@of_small
def test_an_encoder_with_few_tokens_runs_from_each_file(small: tuple[Chosen, StudyDirectory], tmp_path: Path) -> None:
    (one, directory), to = small, tmp_path / "model"
    found = export(directory, to=to, stage=one.stage)
    assert found.card is not None and not found.card.left_out and set(found.card.formats) == {*FORMATS, "hf"}
    assert {file.flipped for file in found.card.formats.values()} == {0}
    assert one.data.text is not None and found.card.data.text == one.data.text.encoding
    page = (to / "card.md").read_text()
    assert "A classifier of 3 classes for texts, distilled" in page and "for texts of median length" in page
    frame = reviews(30, seed=5)
    frame["review"] += " zebra" * 40  # longer than any text before
    predicted = predict(to, written(tmp_path, frame, "new.csv")).frame()
    logits_NK = logits_of_folder(to / "hf", list(frame["review"]))
    probabilities_NK = torch.softmax(torch.from_numpy(logits_NK), 1).numpy()
    np.testing.assert_allclose(predicted[["p_food", "p_weather", "p_work"]], probabilities_NK, atol=1e-6)
    config = json.loads((to / "hf" / "config.json").read_bytes())
    assert config["id2label"] == {"0": "food", "1": "weather", "2": "work"} and config["label2id"]["work"] == 2
    assert config["problem_type"] == "single_label_classification" and config["vocab_size"] < 400
    assert config["vocab_size"] == 100 + found.card.added_rows and 0 < found.card.added_rows
    assert f"For {found.card.added_rows} of these tokens, such as parts of merges, its model has rows of their own" in page
    assert len({tuple(row.round(6)) for row in logits_NK}) > 1
    text = "the rain and the wind"
    alone = "import sys; sys.modules['transformers'] = sys.modules['autodistill'] = sys.modules['torch'] = None; "
    alone += f"sys.path.insert(0, {str(to)!r}); import example; example.main(['model.onnx', {text!r}])"
    run = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    said = {name: shown(to, name, text) for name in ("model.pt2", "model.safetensors")} | {"model.onnx": run.stdout.strip()}
    (expected,) = logits_of_folder(to / "hf", [text]).argmax(1)
    assert said == {name: f"{name}: {('food', 'weather', 'work')[expected]}" for name in FORMATS}
    wrong = subprocess.run([sys.executable, str(to / "example.py"), "a", "b"], capture_output=True, text=True)
    assert "'b' is not one of model.onnx, model.pt2, model.safetensors; give only one text" in wrong.stderr
    files_of_lines(tmp_path, to)


def shown(to: Path, name: str, *texts: str) -> str:
    command = [sys.executable, str(to / "example.py"), name, *texts]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def files_of_lines(root: Path, to: Path) -> None:
    """Texts from any file have the same predictions; wrong ones are refused."""
    texts = ["bread and butter", "42", "the office"]
    (root / "new.txt").write_bytes("\r\n".join(texts).encode())
    frame = pd.DataFrame({"id": [7, 8, 9], "review": texts})
    for name in ("lines.jsonl", "rows.csv", "rows.parquet"):
        written(root, frame, name)
    (root / "rows.json").write_text(frame.to_json(orient="records"))
    with redirect_stdout(io.StringIO()) as said:
        assert main(["predict", str(to), str(root / "new.txt")]) == 0
    assert said.getvalue().startswith("sample,class,probability,p_food,p_weather,p_work\n0,")
    for name in ("lines.jsonl", "rows.csv", "rows.parquet", "rows.json"):
        assert predict(to, root / name).text() == said.getvalue()
    written(root, frame.rename(columns={"review": "text"}), "other.csv")
    for name, content, why in [
        ("other.csv", None, "there is no column 'review'"),
        ("empty.txt", b"", "has no texts; add at least one"),
        ("blank.txt", b"one\n\ntwo\n", r"row 1 \(line 2\) has no text"),
        ("latin.txt", b"caf\xe9\n", "is not UTF-8"),
    ]:
        if content is not None:
            (root / name).write_bytes(content)
        with pytest.raises(DataError, match=f"SAMPLES: .*{why}"):
            predict(to, root / name)


@pytest.mark.parametrize("model", ["bert", "distilbert", "roberta", "electra"])
def test_pairs_of_other_models_are_the_same_in_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(exporting, "FORMATS", {"model.safetensors": FORMATS["model.safetensors"]})
    frame = reviews()
    frame["stars"] = frame["topic"].map({"food": -2.5, "weather": 0.5, "work": 3.5})  # learned on any processor
    frame["other"] = reviews(seed=3)["review"]
    TOKENIZERS["WordPiece"].save(str(tmp_path / "tokenizer.json"))
    changes = {"label": "stars", "kind": "regression", "tokenizer": str(tmp_path), "max_length": 32}
    raw = encoders(written(tmp_path, frame), text=["review", "other"], **changes)
    raw["student"]["architecture"] |= {"model": model, "vocabulary": 40} | ({"embedding": 4} if model == "electra" else {})
    for part in ("teacher", "student"):
        raw[part]["recipe"] = raw[part]["recipe"] | {"epochs": 12}
    one, found = exported(tmp_path, raw)
    assert found.card is not None and not found.card.left_out and one.data.kind == "regression"
    logits_NK = logits_of(one.built, one.data, one.data.validation_x, CPU)
    assert found.card.formats["hf"].largest < 1e-5 * float(logits_NK.abs().max())
    new = pd.DataFrame({"review": ["bread rain office", "the rains"], "other": ["office", "foo bread"]})
    expected = predict(tmp_path / "model", written(tmp_path, new, "new.csv")).outputs_NK
    values_NK = logits_of_folder(tmp_path / "model" / "hf", list(new["review"]), list(new["other"]))
    np.testing.assert_allclose(values_NK, expected, 1e-5)
    (tmp_path / "new.txt").write_text("bread\n")
    with pytest.raises(DataError, match="has one text in each line; give a .csv or .jsonl file of review and other"):
        predict(tmp_path / "model", tmp_path / "new.txt")


def test_a_network_of_your_own_is_exported_without_a_folder(tmp_path: Path) -> None:
    raw = document(written(tmp_path, reviews().assign(other="rain"), "pairs.csv"), text=["review", "other"])
    raw["search"] |= {"trials": 1}
    _, found = exported(tmp_path, raw)
    assert found.card is not None and not found.card.left_out and set(found.card.formats) == set(FORMATS)
    new = written(tmp_path, pd.DataFrame({"review": ["bread and butter"], "other": ["rain"]}), "new.csv")
    (expected,) = predict(tmp_path / "model", new).frame()["class"]
    said = {shown(tmp_path / "model", name, "bread and butter", "rain") for name in ("model.onnx", "model.pt2")}
    assert said == {f"model.onnx: {expected}", f"model.pt2: {expected}"}


def without_ends(made: Cut) -> Cut:
    return made._replace(content=json.dumps(json.loads(made.content) | {"post_processor": None}).encode())


@of_small
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without_ends, "its tokenizer gives different tokens in transformers, such as for"),
        (lambda made: made._replace(rows=[1] * len(made.rows)), "its logits differ from PyTorch's by up to"),
    ],
    ids=["tokenizer", "rows"],
)
def test_a_folder_that_is_not_the_same_is_left_out(
    small: tuple[Chosen, StudyDirectory],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Cut], Cut],
    why: str,
) -> None:
    monkeypatch.setattr(exporting, "FORMATS", {"model.safetensors": FORMATS["model.safetensors"]})
    monkeypatch.setattr(folder, "cut", lambda *given: change(cut(*given)))
    one, directory = small
    found = export(directory, to=tmp_path / "model", stage=one.stage)
    assert found.card is not None and list(found.card.left_out) == ["hf"] and not (tmp_path / "model" / "hf").exists()
    assert why in found.card.left_out["hf"] and "`hf` is left out" in (tmp_path / "model" / "card.md").read_text()


def test_a_network_that_reads_the_mean_of_the_tokens_is_exported_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "FORMATS", {name: FORMATS[name] for name in ("model.safetensors", "model.pt2")})
    raw = encoders(written(tmp_path))
    raw["student"]["architecture"]["pooling"] = "mean"
    _, found = exported(tmp_path, raw)
    assert found.card is not None and "reads the mean of the tokens" in found.card.left_out["hf"]
    assert found.card.left_out.keys() == {"hf"}


def test_the_answer_of_a_confirmed_study_with_several_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "FORMATS", {"model.safetensors": FORMATS["model.safetensors"]})
    frame = reviews()
    long = frame["review"].str.split().str.len() > 12
    frame["topic"] = [[topic, *["long"] * is_long] for topic, is_long in zip(frame["topic"], long, strict=True)]
    raw = encoders(written(tmp_path, frame, "reviews.jsonl"), kind="multilabel")
    for part in ("teacher", "student"):
        raw[part]["recipe"] = raw[part]["recipe"] | {"epochs": 12}
    study = StudyDirectory(tmp_path / "out")
    search(spec.parse(raw), out=study.path, runner="serial")
    confirm(study, runner="serial", seeds=1)
    found = export(study, to=tmp_path / "model", wanted=Wanted(retain=0.5))
    assert found.card is not None and found.card.test is not None and not found.card.left_out
    predicted = predict(tmp_path / "model", tmp_path / "reviews.jsonl").outputs_NK
    logits_NK = logits_of_folder(tmp_path / "model" / "hf", list(frame["review"]))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits_NK)), predicted, atol=1e-6)
    config = json.loads((tmp_path / "model" / "hf" / "config.json").read_bytes())
    assert config["problem_type"] == "multi_label_classification"
    assert config["label2id"] == {"food": 0, "long": 1, "weather": 2, "work": 3}
