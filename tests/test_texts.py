"""Texts as samples: tokens of one tokenizer, the same from any file, and an imported student that learns from them."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

import autodistill as api
from autodistill import spec
from autodistill.answers.confirm import confirm
from autodistill.api.draft import drafted
from autodistill.data import Ragged, Splits
from autodistill.data.columns import JoinedRagged
from autodistill.data.corpus import ranked
from autodistill.data.encoding import TOKENS, TYPES
from autodistill.data.splits import Samples
from autodistill.data.tokens import positions_of, trained
from autodistill.distill import load_network, make_outputs, open_data, save_data, train
from autodistill.distill.data import tensors_of
from autodistill.distill.lengths import TOKENS_MOST, by_length, of_similar_length
from autodistill.distill.outputs import open_outputs
from autodistill.distill.predictions import evaluate
from autodistill.distill.samples import Samples as Drawn
from autodistill.metrics import latency
from autodistill.models import build
from autodistill.reporting.checked import checked
from autodistill.spec import DataError, Imported, LogitsCacheSpec, Stage, StoreError, UsageError, digest
from autodistill.spec.teachers_tokenizer import with_teachers_tokenizer
from autodistill.spec.value import Json
from autodistill.store import Store
from autodistill.study.preflight.check import check as preflight
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.directory import StudyDirectory

from .searching import search
from .textual import document, reviews, splits_of, word_piece, written


def ids_of(splits: Splits) -> Ragged:
    found = splits.train.x[TOKENS]
    assert isinstance(found, Ragged)
    return found


def tokenizer_of(splits: Splits) -> Tokenizer:
    assert splits.text is not None
    return Tokenizer.from_buffer(splits.text.content)


# Tokens


def test_samples_are_the_tokens_of_their_texts(tmp_path: Path) -> None:
    splits, tokenizer = splits_of(written(tmp_path)), None
    assert splits.text is not None and (splits.layout, splits.names) == ("texts", ("food", "weather", "work"))
    tokenizer, ids = tokenizer_of(splits), ids_of(splits)
    known = {text: topic for text, topic in reviews()[["review", "topic"]].itertuples(index=False)}
    for row in range(len(ids)):
        own = ids.values[ids.offsets[row] : ids.offsets[row + 1]].tolist()
        text = tokenizer.decode(own).strip()
        assert tokenizer.encode(text).ids == own and (own[0], own[-1]) == (2, 3)
        assert splits.names is not None and known[text] == splits.names[splits.train.y[row]]


def test_a_file_of_any_kind_is_the_same_data(tmp_path: Path) -> None:
    names = ("reviews.csv", "reviews.parquet")
    assert len({splits_of(written(tmp_path, name=name)).fingerprint for name in names}) == 1


def test_the_fingerprint_covers_the_tokenizer_and_how_it_is_used(tmp_path: Path) -> None:
    path = written(tmp_path)
    first, other = (splits_of(path, tokenizer={"train": "bpe", "vocabulary": size}) for size in (400, 380))
    assert first.text is not None and first.text.encoding.tokenizer == hashlib.sha256(first.text.content).hexdigest()
    found = [first, other, splits_of(path, max_length=12), splits_of(path, tokenizer={"train": "bpe", "vocabulary": 400})]
    assert len({splits.fingerprint for splits in found[:3]}) == 3 and found[3].fingerprint == first.fingerprint
    file = tmp_path / "tokenizer.json"
    file.write_bytes(first.text.content)
    assert splits_of(path, tokenizer=str(tmp_path)).fingerprint == first.fingerprint
    file.write_bytes(first.text.content + b"\n")
    assert splits_of(path, tokenizer=str(file)).fingerprint != first.fingerprint


def test_neither_the_tokenizer_nor_the_ranking_depends_on_validation_and_test(tmp_path: Path) -> None:
    frame = reviews()
    splits = splits_of(written(tmp_path, frame))
    train = {tokenizer_of(splits).decode(ids_of(splits).values[start:end].tolist()).strip() for start, end in ends(splits)}
    others = ~frame["review"].isin(train)
    frame.loc[others, "review"] = "zebra " * 8 + frame.loc[others, "review"]
    again = splits_of(written(tmp_path, frame))
    assert splits.text is not None and again.text is not None and others.sum() == 120
    assert again.text.content == splits.text.content and (again.text.ranking == splits.text.ranking).all()


def ends(splits: Splits) -> list[tuple[int, int]]:
    offsets = ids_of(splits).offsets.tolist()
    return list(zip(offsets[:-1], offsets[1:], strict=True))


def test_texts_are_cut_to_max_length_and_keep_their_ends(tmp_path: Path) -> None:
    whole, cut = (splits_of(written(tmp_path), max_length=most) for most in (100, 10))
    assert whole.text is not None and cut.text is not None and whole.text.lengths is not None and cut.text.lengths is not None
    for row, (start, end) in enumerate(ends(cut)):
        first, last = ends(whole)[row]
        own = ids_of(whole).values[first:last]
        expected = own if len(own) <= 10 else [*own[:9], own[-1]]
        assert ids_of(cut).values[start:end].tolist() == list(expected)
    lengths = np.array([last - first for first, last in ends(whole)])
    for found in (whole.text.lengths, cut.text.lengths):
        assert (found.median, found.longest) == (np.median(lengths), lengths.max())
    assert whole.text.lengths.cut == 0 and cut.text.lengths.cut == (lengths > 10).mean() > 0.2
    assert "more than 10 tokens" in cut.cautions[0] and not whole.cautions


def test_the_ranking_has_special_tokens_then_the_most_frequent(tmp_path: Path) -> None:
    assert ranked(np.array([0, 5, 7, 5, 0, 9]), (4, 1)).tolist() == [4, 1, 5, 2, 3, 0]
    splits = splits_of(written(tmp_path))
    assert splits.text is not None
    counts = np.bincount(ids_of(splits).values, minlength=400)
    ranking, encoding = splits.text.ranking, splits.text.encoding
    assert ranking[:5].tolist() == [0, 1, 2, 3, 4] and sorted(ranking) == list(range(encoding.vocabulary))
    assert (np.diff(counts[ranking[5:]]) <= 0).all()
    assert set(np.flatnonzero(counts)) <= set(ranking[: encoding.used]) and encoding.used == (counts > 0).sum() + 3


def test_fields_say_what_a_network_needs(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path))
    assert splits.text is not None
    (field,) = splits.inputs.fields
    encoding, lengths = splits.text.encoding, np.diff(ids_of(splits).offsets)
    assert (field.name, field.shape, field.dtype, field.padding) == ("input_ids", (None,), "int64", 0)
    assert (field.vocabulary, field.used, field.typical) == (encoding.vocabulary, encoding.used, int(np.median(lengths)))
    assert ids_of(splits).values.dtype == np.uint16
    batch = splits.train.x.batch(np.array([3, 5]))
    assert batch["input_ids"].dtype == np.int64 and batch["input_ids_mask"].dtype == bool


# The store, and a study


def test_stored_texts_are_what_was_stored(tmp_path: Path) -> None:
    splits, store = splits_of(written(tmp_path)), Store(tmp_path / "store")
    save_data(store, splits)
    data = open_data(store, splits.fingerprint)
    assert data.text is not None and splits.text is not None
    assert data.inputs == splits.inputs and data.text.encoding == splits.text.encoding
    assert data.text.content == splits.text.content and (data.text.ranking == splits.text.ranking).all()
    rows = np.array([5, 1, 7])
    for name, found in data.train_x.batch(rows).items():
        assert (found == splits.train.x.batch(rows)[name]).all()
    found = data.train_x[TOKENS]
    assert isinstance(found, Ragged) and isinstance(found.values, np.memmap) and found.values.dtype == np.uint16


def test_texts_that_another_version_stored_are_refused_by_name(tmp_path: Path) -> None:
    splits, store = splits_of(written(tmp_path)), Store(tmp_path / "store")
    save_data(store, splits)
    path = store.folder("data", splits.fingerprint) / "data.json"
    manifest = json.loads(path.read_bytes())
    del manifest["checksum"], manifest["text"]["max_length"]
    path.write_text(json.dumps(manifest | {"checksum": digest(manifest)}))
    with pytest.raises(StoreError, match=r"data.json was written by another version of autodistill"):
        open_data(store, splits.fingerprint)


def test_a_student_of_your_own_learns_from_texts(tmp_path: Path) -> None:
    folder = StudyDirectory(tmp_path / "out")
    study = search(spec.parse(document(written(tmp_path))), out=folder.path, runner="serial")
    rows = study.rows()
    assert len(rows) == 4 and min(row.value for row in rows if row.role == "teacher") > 0.9
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        assert confirm(folder, runner="serial", seeds=1).test.n == 60
    written_spec = json.loads(json.dumps(study.space.spec.document()))
    assert written_spec["task"]["text"] == ["review"] and written_spec["task"]["fingerprint"]


# Tokenizers


def test_training_twice_gives_the_same_bytes_in_any_process() -> None:
    texts = reviews()["review"].tolist()
    first = trained(texts, 500)
    code = "import sys, hashlib; from autodistill.data.tokens import trained; from tests.textual import reviews"
    code += "; print(trained(reviews()['review'].tolist(), 500).sha256)"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert trained(texts, 500).content == first.content and again.stdout.strip() == first.sha256
    assert first.special == (0, 1, 2, 3, 4) and (first.padding, first.unknown) == (0, 1)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4))
@settings(max_examples=50)
def test_a_trained_tokenizer_knows_every_text(texts: list[str]) -> None:
    tokens = trained(["some words"], 300)
    found, tokenizer = tokens.encoded([texts], 100_000), Tokenizer.from_buffer(tokens.content)
    assert tokens.unknown not in found.ids
    for row, text in enumerate(texts):
        assert (
            tokenizer.decode(found.ids[found.offsets[row] : found.offsets[row + 1]].tolist()) == " " * (text[0] != " ") + text
        )


def test_a_tokenizer_of_a_folder_is_used_without_its_padding_and_truncation(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path), tokenizer=str(word_piece(tmp_path / "model", positions=64)))
    assert splits.text is not None and splits.text.lengths is not None
    encoding, lengths = splits.text.encoding, splits.text.lengths
    assert (encoding.vocabulary, encoding.padding, encoding.max_length) == (10, 0, 64)
    assert splits.text.ranking[:4].tolist() == [0, 1, 2, 3] and sorted(splits.text.ranking) == list(range(10))
    assert ids_of(splits).lengths.max() > 5 and lengths.unknown > 0.5 and "unknown to the tokenizer" in splits.cautions[0]
    counts = np.bincount(ids_of(splits).values, minlength=10)
    assert lengths.unknown == counts[1] / (counts.sum() - counts[[0, 2, 3]].sum())


def test_the_tokenizer_is_that_of_the_teachers_checkpoint_unless_another_is_named(tmp_path: Path) -> None:
    folder = str(tmp_path)
    teacher = {"architecture": {"family": "transformers", "layers": 2}, "checkpoint": folder, "recipe": {}}
    raw: Json = {"task": {"text": "review"}, "teacher": teacher}
    assert with_teachers_tokenizer(raw)["task"] == {"text": "review", "tokenizer": folder}
    raw["task"]["tokenizer"] = "teacher"
    several = raw | {"teacher": {"ensemble": [raw["teacher"], {"import": "package:teacher"}]}}
    assert with_teachers_tokenizer(raw)["task"]["tokenizer"] == folder and raw["task"]["tokenizer"] == "teacher"
    assert with_teachers_tokenizer(several)["task"]["tokenizer"] == folder
    for task in ({"text": "review", "tokenizer": "other"}, {"dataset": "x.npz"}):
        other = raw | {"task": task}
        assert with_teachers_tokenizer(other) is other
    assert with_teachers_tokenizer({"task": {"text": "a"}, "teacher": 3}) == {"task": {"text": "a"}, "teacher": 3}


def test_paths_of_texts_are_relative_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(document("reviews.csv", unlabeled="more.csv", tokenizer="model")))
    task = spec.load(tmp_path / "spec.yaml").task
    assert (task.unlabeled, task.tokenizer) == (str(tmp_path / "more.csv"), str(tmp_path / "model"))


def test_positions_are_those_of_the_network(tmp_path: Path) -> None:
    assert positions_of(tmp_path) is None
    for kind, positions in (("bert", 512), ("roberta", 510)):
        config = {"model_type": kind, "max_position_embeddings": 512, "pad_token_id": 1}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert positions_of(tmp_path) == positions


# Pairs, other labels, and texts without labels


def test_a_pair_is_one_sample_with_the_text_of_each_token(tmp_path: Path) -> None:
    frame = reviews().assign(answer=reviews(seed=1)["review"])
    splits = splits_of(written(tmp_path, frame), text=["review", "answer"], max_length=30)
    types, ids, tokenizer = splits.train.x[TYPES], ids_of(splits), tokenizer_of(splits)
    assert isinstance(types, Ragged) and (types.offsets == ids.offsets).all() and types.dtype == np.int64
    tokenizer.enable_truncation(30)
    pairs = {tuple(one.ids): one.type_ids for one in tokenizer.encode_batch(frame[["review", "answer"]].to_numpy().tolist())}
    for start, end in ends(splits):
        assert pairs[tuple(ids.values[start:end].tolist())] == types.values[start:end].tolist()
    assert [field.name for field in splits.inputs.fields] == [TOKENS, TYPES] and splits.inputs.fields[1].vocabulary is None


def test_labels_may_be_values_and_lists_of_words(tmp_path: Path) -> None:
    frame = reviews().assign(tags=[["x", "y"][: row % 3] for row in range(240)])
    values = splits_of(written(tmp_path, frame), label="stars", kind="regression")
    assert values.kind == "regression" and values.train.y.shape == (120, 1)
    for name in ("tags.jsonl", "tags.parquet"):
        several = splits_of(written(tmp_path, frame, name), label="tags")
        assert (several.kind, several.names) == ("multilabel", ("x", "y"))
        assert several.train.y.sum() + several.validation.y.sum() + several.test.unseal().y.sum() == 240


def test_lines_of_json_are_the_same_data(tmp_path: Path) -> None:
    found = [splits_of(written(tmp_path, name=name)).fingerprint for name in ("reviews.csv", "reviews.jsonl")]
    assert found[0] == found[1]


def test_unlabeled_texts_follow_the_labeled_ones(tmp_path: Path) -> None:
    more = written(tmp_path, reviews(50, seed=7)[["review"]], "more.jsonl")
    splits, store = splits_of(written(tmp_path), unlabeled=str(more), labeled=0.5), Store(tmp_path / "store")
    assert splits.unlabeled is not None and (len(splits.train), len(splits.unlabeled), splits.rows) == (60, 110, 170)
    last = splits.unlabeled.batch(np.array([109]))[TOKENS][0].tolist()
    assert tokenizer_of(splits).decode(last).strip() == reviews(50, seed=7)["review"].iloc[-1]
    save_data(store, splits)
    data = open_data(store, splits.fingerprint)
    rows = np.array([169, 3, 61, 60, 3])
    for name, found in data.fetch(rows).items():
        assert (found == splits.train.x.followed_by([splits.unlabeled]).batch(rows)[name]).all()
    column = data.x[TOKENS]
    assert isinstance(column, JoinedRagged) and all(isinstance(part.values, np.memmap) for part in column.parts)
    other = splits_of(written(tmp_path), labeled=0.5)
    assert other.text is not None and splits.text is not None and other.text.content != splits.text.content


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=2, max_size=3), st.data())
def test_joined_columns_are_one(lengths: list[list[int]], data: st.DataObject) -> None:
    values = itertools.count()
    parts = [Ragged.of([np.array([next(values) for _ in range(own)], np.int32) for own in part]) for part in lengths]
    joined, whole = JoinedRagged(parts=tuple(parts)), parts[0].followed_by(parts[1:])
    rows = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)), int)
    assert len(joined) == len(whole) and (joined.lengths == whole.lengths).all()
    for one, other in zip(joined.padded(rows), whole.padded(rows), strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)


# Batches


@settings(max_examples=60)
@given(st.integers(1, 130), st.integers(1, 7), st.integers(0, 2**31))
def test_batches_of_similar_length_have_the_same_rows(steps: int, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths_N = torch.from_numpy(rng.integers(1, 30, steps * batch))
    rows_SB = torch.from_numpy(rng.permutation(steps * batch)).view(steps, batch)
    found, again = (of_similar_length(rows_SB, lengths_N, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert (found == again).all() and found.shape == rows_SB.shape
    assert found.flatten().sort().values.tolist() == rows_SB.flatten().sort().values.tolist()
    spans = (lengths_N[found].amax(1) - lengths_N[found].amin(1)).sum()
    assert spans <= (lengths_N[rows_SB].amax(1) - lengths_N[rows_SB].amin(1)).sum()


def test_the_order_of_texts_depends_on_the_seed_alone(tmp_path: Path) -> None:
    splits, store = splits_of(written(tmp_path)), Store(tmp_path / "store")
    save_data(store, splits)
    samples = Drawn(open_data(store, splits.fingerprint), None, 0, torch.device("cpu"))
    orders = [samples.order(7, 16, False, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert (orders[0] == orders[1]).all() and not (orders[0] == orders[2]).all()
    batches = [samples.batch(rows_B, 0).inputs["input_ids_mask"] for rows_B in orders[0]]
    filled = np.mean([mask.float().mean() for mask in batches])
    random = [samples.batch(rows_B, 0).inputs["input_ids_mask"].float().mean() for rows_B in torch.arange(112).view(7, 16)]
    assert filled > 0.85 > 0.75 > np.mean(random)
    assert len({mask.shape[1] for mask in batches}) > 3 and batches[0].shape[1] != min(mask.shape[1] for mask in batches)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=40), st.integers(1, 9))
def test_batches_for_inference_have_all_rows_once_and_few_tokens(lengths: list[int], most: int) -> None:
    found, lengths_N = by_length(np.array(lengths), most), np.array(lengths)
    assert sorted(np.concatenate(found)) == list(range(len(lengths)))
    assert (np.diff(lengths_N[np.concatenate(found)]) >= 0).all()
    for rows in found:
        assert len(rows) == 1 or (len(rows) <= most and len(rows) * lengths_N[rows].max() <= TOKENS_MOST)


def test_logits_of_texts_are_in_the_order_of_the_samples(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path))
    assert splits.text is not None
    x, (field,) = splits.train.x, splits.inputs.fields
    assert field.vocabulary is not None
    network = build(Imported(factory="tests.textual:bag", arguments={"width": 4}), inputs=splits.inputs, classes=3)
    found = evaluate(network, x, batch_size=7, device="cpu")
    with torch.inference_mode():
        alone = torch.cat([network(tensors_of(x.batch(np.array([row])), "cpu")).logits for row in range(len(x))])
    torch.testing.assert_close(found, alone)


def test_cached_logits_of_texts_are_those_of_their_rows(tmp_path: Path) -> None:
    spec_, splits = load_data(spec.parse(document(written(tmp_path))), cuda=False)
    store = Store(tmp_path / "store")
    space, device = space_of(spec_, splits, store), torch.device("cpu")
    (teacher,) = space.teachers
    assert isinstance(teacher, Stage)
    train(store, teacher, device)
    cache = LogitsCacheSpec(views=1)
    make_outputs(store, teacher, cache, device)
    data, network = open_data(store, splits.fingerprint), load_network(store, teacher, device)
    found = torch.from_numpy(open_outputs(store, teacher, cache).read(np.arange(data.rows), 0))
    logits = evaluate(network, data.x, batch_size=50, device=device)
    torch.testing.assert_close(found, logits - logits.amax(1, keepdim=True))


# What is said of texts


def test_check_says_how_long_texts_are_and_what_the_tokenizer_knows(tmp_path: Path) -> None:
    tokenizer = str(word_piece(tmp_path / "model"))
    task = spec.parse(document(written(tmp_path), max_length=12, tokenizer=tokenizer))
    found = preflight(task, timed=False)
    assert found.data.text is not None
    lengths, said = found.data.text.lengths, checked(found, 1).splitlines()
    assert "label        topic: food, weather, work" in said
    assert f"held         as token ids in files that workers share, {found.data.bytes / 1e6:,.1f} MB" in said
    (line,) = [line for line in said if line.startswith("text         ")]
    assert line == (
        f"text         review: {lengths.median:,.0f} tokens (median), 95% have at most {lengths.p95:,.0f}, the longest "
        f"{lengths.longest}; cut to 12 tokens, which cuts {lengths.cut:.1%} of the texts"
    )
    (line,) = [line for line in said if line.startswith("tokenizer    ")]
    used = found.data.text.used
    assert line.startswith(f"tokenizer    10 tokens, {used} of them special or in the training texts; {lengths.unknown:.2%} of")
    assert [line for line in said if line.startswith("warning      ") and "unknown to the tokenizer" in line]
    assert found.as_json()["data"]["text"]["lengths"][2] == lengths.longest


def test_no_spec_is_drafted_for_lines_of_json(tmp_path: Path) -> None:
    lines = str(written(tmp_path, name="reviews.jsonl"))
    with pytest.raises(UsageError, match="for which no spec can be drafted; write a spec with task.text"):
        drafted(lines, label="topic", kind=None, teacher=None, target=None)


# Other sources


def in_folders(root: Path, frame: pd.DataFrame) -> Path:
    for row, (text, topic) in enumerate(frame[["review", "topic"]].itertuples(index=False)):
        (root / topic).mkdir(parents=True, exist_ok=True)
        (root / topic / f"{row:03}.txt").write_text(text)
    return root


def texts_of(samples: Samples, tokenizer: Tokenizer) -> set[str]:
    found = samples.x[TOKENS]
    assert isinstance(found, Ragged)
    ends = zip(found.offsets[:-1], found.offsets[1:], strict=True)
    return {tokenizer.decode(found.values[start:end].tolist()).strip() for start, end in ends}


FOLDER = {"label": None, "text": "text"}


def test_a_folder_of_texts_has_its_classes_in_folders(tmp_path: Path) -> None:
    splits = splits_of(f"folder/{in_folders(tmp_path / 'all', reviews())}", **FOLDER)
    assert splits.names == ("food", "weather", "work") and not splits.own_test and len(splits.train) == 120
    in_folders(tmp_path / "parts" / "train", reviews(90))
    in_folders(tmp_path / "parts" / "test", reviews(30, seed=3))
    parts = splits_of(f"folder/{tmp_path / 'parts'}", **FOLDER)
    assert parts.own_test and texts_of(parts.test.unseal(), tokenizer_of(parts)) == set(reviews(30, seed=3)["review"])
    assert np.bincount(parts.test.unseal().y).tolist() == [10, 10, 10]


def test_data_sets_of_hugging_face_keep_their_parts(tmp_path: Path) -> None:
    frames = {"train": reviews(120), "validation": reviews(30, seed=2), "test": reviews(60, seed=3)}
    classes = datasets.ClassLabel(names=["food", "weather", "work"])
    features = datasets.Features({"review": datasets.Value("string"), "topic": classes, "stars": datasets.Value("float32")})
    found = {name: datasets.Dataset.from_pandas(frame, preserve_index=False) for name, frame in frames.items()}
    whole = datasets.DatasetDict({name: one.cast_column("topic", classes).cast(features) for name, one in found.items()})
    whole.save_to_disk(str(tmp_path / "saved"))
    splits = splits_of(f"hfds/{tmp_path / 'saved'}", label=None)
    assert splits.own_test and splits.own_validation and splits.names == ("food", "weather", "work")
    tokenizer = tokenizer_of(splits)
    for name, samples in (("train", splits.train), ("validation", splits.validation), ("test", splits.test.unseal())):
        assert texts_of(samples, tokenizer) == set(frames[name]["review"])
    assert splits.text is not None and splits.text.content == trained(frames["train"]["review"], 400).content
    values = splits_of(f"hfds/{tmp_path / 'saved'}", label="stars", kind="regression")
    assert np.allclose(np.sort(values.test.unseal().y[:, 0]), np.sort(frames["test"]["stars"]))


def test_a_frame_from_python_is_read_as_texts(tmp_path: Path) -> None:
    found = document("reviews.csv")
    del found["task"]["dataset"]
    facts = api.check(found, data=reviews())
    assert facts.data.text is not None and facts.data.text.columns == ("review",) and facts.data.train == 120
    wrong = reviews().assign(review=pd.Series([*["text"] * 239, "\ud83d half"], dtype=object))
    with pytest.raises(DataError, match=r"data: column 'review' row 239 has the lone surrogate U\+D83D at character 0"):
        api.check(found, data=wrong)


# Memory


OPENED = """
import sys, torch, psutil
from pathlib import Path
from autodistill.distill import open_data
from autodistill.distill.samples import Samples
from autodistill.store import Store
memory = lambda: psutil.Process().memory_full_info().uss / 1e6
store, key, before = Store(Path(sys.argv[1])), sys.argv[2], memory()
samples = Samples(open_data(store, key), None, 0, torch.device("cpu"))
rows_SB = samples.order(len(samples) // 64, 64, False, torch.Generator().manual_seed(0))
for rows_B in rows_SB[:2000]:
    samples.batch(rows_B, 0)
print(len(samples), memory() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_worker_needs_little_memory_for_a_million_documents(tmp_path: Path) -> None:
    frame, more = reviews(10_000), reviews(20_000, seed=1)
    written(tmp_path, pd.concat([more] * 50, ignore_index=True)[["review"]], "more.parquet")
    started = time.monotonic()
    splits, store = splits_of(written(tmp_path, frame), unlabeled=str(tmp_path / "more.parquet")), Store(tmp_path / "store")
    seconds = time.monotonic() - started
    save_data(store, splits)
    given = [str(tmp_path / "store"), splits.fingerprint]
    found = subprocess.run([sys.executable, "-c", OPENED, *given], capture_output=True, text=True, check=True).stdout
    samples, added = found.split()
    print(f"{samples} texts: {seconds:.0f} s to encode, {float(added):.0f} MB in a worker")
    assert int(samples) > 1_000_000 and float(added) < 500
