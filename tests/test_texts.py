"""Texts as samples: tokens of one tokenizer, the same from any file, and a student of one's own that learns from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from autodistill import spec
from autodistill.answers.confirm import confirm
from autodistill.data import Ragged, Splits
from autodistill.data.corpus import ranked
from autodistill.data.encoding import TOKENS
from autodistill.distill import open_data, save_data
from autodistill.metrics import latency
from autodistill.store import Store
from autodistill.study.record.directory import StudyDirectory

from .searching import search
from .textual import document, reviews, splits_of, written


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
