"""A corpus of wrong texts: each is refused with the place, the value or the way out, or it is handled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, models

from autodistill import spec
from autodistill.data import Ragged, Splits
from autodistill.data.encoding import TOKENS
from autodistill.data.tokens import trained
from autodistill.spec.errors import AutodistillError
from autodistill.study.preflight.prepare import load_data

from .textual import document, reviews, splits_of, task_of, word_piece, written

Given = Mapping[str, Any]
"""Changes of the task, after what is wrong is written into the folder."""


def changed(column: str, row: int, value: Any, name: str = "reviews.csv") -> Callable[[Path], Given]:
    """One wrong value in a file."""

    def write(folder: Path) -> Given:
        frame = reviews().astype({column: object})
        frame.at[row, column] = value
        return {"dataset": str(written(folder, frame, name))}

    return write


def content(text: str | bytes, name: str = "reviews.jsonl", /, **task: Any) -> Callable[[Path], Given]:
    def write(folder: Path) -> Given:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return {"dataset": str(folder / name), **task}

    return write


def task(**changes: Any) -> Callable[[Path], Given]:
    return lambda folder: {"dataset": str(written(folder))} | changes


def more(text: str, name: str = "more.csv") -> Callable[[Path], Given]:
    """A file of texts without labels."""

    def write(folder: Path) -> Given:
        (folder / name).write_text(text)
        return {"dataset": str(written(folder)), "unlabeled": str(folder / name)}

    return write


def tokenizer(save: Callable[[Path], object], **changes: Any) -> Callable[[Path], Given]:
    """A tokenizer in a folder of its own."""

    def write(folder: Path) -> Given:
        (folder / "model").mkdir()
        save(folder / "model")
        return {"dataset": str(written(folder)), "tokenizer": str(folder / "model"), **changes}

    return write


def no_padding(folder: Path) -> None:
    Tokenizer(models.WordLevel({"[UNK]": 0, "rain": 1}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))


def other_network(folder: Path) -> None:
    word_piece(folder)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 8, "max_position_embeddings": 512}))


def files(entries: Mapping[str, str | bytes], **changes: Any) -> Callable[[Path], Given]:
    def write(folder: Path) -> Given:
        for name, text in entries.items():
            path = folder / "texts" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        (folder / "texts").mkdir(exist_ok=True)
        return {"dataset": f"folder/{folder / 'texts'}", "label": None} | changes

    return write


def by_class(**others: str | bytes) -> dict[str, str | bytes]:
    plain = {f"{topic}/{row}.txt": f"some words about {topic}" for topic in ("food", "work") for row in range(10)}
    return plain | {name.replace("__", "/") + ".txt": text for name, text in others.items()}


def saved(**changes: Any) -> Callable[[Path], Given]:
    def write(folder: Path) -> Given:
        train, test = reviews(60), reviews(30, seed=2).replace({"work": "sports"})
        parts = {"train": train, "test": test}
        found = {name: datasets.Dataset.from_pandas(frame, preserve_index=False) for name, frame in parts.items()}
        datasets.DatasetDict(found).save_to_disk(str(folder / "saved"))
        return {"dataset": f"hfds/{folder / 'saved'}"} | changes

    return write


def pairs(folder: Path) -> Given:
    frame = reviews().assign(answer="yes")
    frame.loc[5, "answer"] = " "
    return {"dataset": str(written(folder, frame)), "text": ["review", "answer"]}


def tagged(tags: list[Any]) -> Callable[[Path], Given]:
    def write(folder: Path) -> Given:
        frame = reviews(len(tags)).assign(tags=pd.Series(tags, dtype=object))
        return {"dataset": str(written(folder, frame, "tags.jsonl")), "label": "tags"}

    return write


LINE = '{"review": "rain", "topic": "weather"}\n'
REFUSED: dict[str, tuple[Callable[[Path], Given], tuple[str, ...]]] = {
    "an empty text": (changed("review", 7, ""), ("'review' row 7 (line 9) has no text (1 of 240 rows", "drop such rows")),
    "a blank text": (changed("review", 7, " \t "), ("row 7 (line 9) has no text",)),
    "a text that is missing": (changed("review", 7, None, "reviews.parquet"), ("row 7 has no text", "fill them in")),
    "a text that is a number": (changed("review", 3, 4, "reviews.jsonl"), ("row 3 (line 4) has int '4', not a text",)),
    "a text that is an object": (changed("review", 3, {"a": 1}, "reviews.jsonl"), ("has dict", "name the column of the texts")),
    "a column of numbers": (task(text="stars"), ("column 'stars' holds numbers, not texts; name the column", "task.text")),
    "half of a pair": (pairs, ("column 'answer' row 5 (line 7) has no text",)),
    "no UTF-8": (content(b"review,topic\ncaf\xe9,food\n", "reviews.csv"), ("is not UTF-8: byte 0xe9", "iconv -f latin1")),
    "lines that are no UTF-8": (content(b'{"review": "caf\xe9"}\n'), ("reviews.jsonl is not UTF-8: byte 0xe9", "iconv")),
    "a lone surrogate": (
        content(LINE * 3 + '{"review": "a \\ud83d b", "topic": "food"}\n'),
        ("row 3 (line 4) has the lone surrogate U+D83D at character 2", "text.encode('utf-8', 'replace')"),
    ),
    "a line that is no JSON": (content(LINE + "{review: 3}\n"), ("line 2 is not JSON", "write one object in each line")),
    "a line that is a list": (content(LINE + '["rain"]\n'), ("line 2 is a list, not an object",)),
    "a line that is nested deeply": (content(LINE + "[" * 100_000), ("line 2 is nested too deeply",)),
    "an empty file": (content("\n"), ("reviews.jsonl is empty; give a JSON object in each line",)),
    "an empty table": (content("", "reviews.csv"), ("is empty; give a line of column names",)),
    "a file that is not there": (lambda folder: {"dataset": str(folder / "no.csv")}, ("no.csv is not a file",)),
    "a line with too many values": (
        content("review,topic\na,b,c\n", "reviews.csv"),
        ("put values that contain",),
    ),
    "a label column that is not there": (
        task(label="topik"),
        ("task.label: there is no column 'topik'", "'topic'?"),
    ),
    "a text column that is not there": (
        task(text="revew"),
        ("task.text: there is no column 'revew'", "'review'?"),
    ),
    "no label column": (task(label=None), ("task.label is missing: name the column of the labels",)),
    "a row without a label": (changed("topic", 2, ""), ("column 'topic' row 2 (line 4) has no label",)),
    "one class": (content(LINE * 30), ("has only the label 'weather'", "add rows of another")),
    "texts as labels": (task(label="review", text="topic"), ("240 different labels in 240 rows, too many for classes",)),
    "the label as the text": (task(text="topic"), ("topic is the label, so a network would read the answer",)),
    "a column twice": (task(text=["review", "review"]), ("names the column 'review' twice",)),
    "three columns": (task(text=["a", "b", "c"]), ("task.text",)),
    "lists and words as labels": (tagged([["a"], "b"] * 20), ("row 1 (line 2) has 'b', but other rows have lists of labels",)),
    "a label of all rows": (tagged([["a"], ["a", "b"]] * 20), ("have label 'a', so there is nothing to learn",)),
    "lists of no labels": (tagged([[]] * 20), ("have no label, so there is nothing to learn",)),
    "a tokenizer that is not there": (task(tokenizer="no.json"), ("task.tokenizer: ", "is not a file", "train: bpe")),
    "a folder without a tokenizer": (tokenizer(lambda folder: None), ("model has no tokenizer.json; give the path",)),
    "a damaged tokenizer": (
        tokenizer(lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0"')),
        ("tokenizer.json is not a tokenizer.json (", "save it again with tokenizer.save"),
    ),
    "a tokenizer without padding": (tokenizer(no_padding), ("has no padding token ([PAD] or <pad>", "add_special_tokens")),
    "a tokenizer of another model": (
        tokenizer(other_network),
        ("has 10 tokens, but the network of", "config.json has embeddings of 8", "tokenizer of another model"),
    ),
    "no teacher with a tokenizer": (task(tokenizer="teacher"), ("task.tokenizer: teacher has no tokenizer here", "checkpoint")),
    "a tokenizer that varies": (
        task(tokenizer={"train": "wordpiece"}),
        ("is invalid: use 'bpe'",),
    ),
    "a small vocabulary": (task(tokenizer={"train": "bpe", "vocabulary": 20}), ("20 is invalid: use 300 or more",)),
    "more tokens than positions": (
        tokenizer(lambda folder: word_piece(folder, 64), max_length=65),
        ("task.max_length: 65 is more than the 64 positions of", "use at most 64"),
    ),
    "no room for tokens": (task(max_length=2), ("task.max_length", "2 is invalid: use 8 or more")),
    "a tokenizer without texts": (task(text=None), ("tokenizer applies to texts; name their column in text",)),
    "lines without texts": (content(LINE, text=None, tokenizer=None), ("reviews.jsonl is a file of texts; name their column",)),
    "several columns of labels": (task(label=["topic", "stars"]), ("topic, stars are several columns", "a list of labels in")),
    "texts of a function": (
        lambda folder: {"dataset": {"import": "tests.textual:reviews"}},
        ("text applies to a table", "write the texts to a .parquet file, or pass a DataFrame from Python"),
    ),
    "texts in arrays": (lambda folder: {"dataset": "x.npz", "label": None}, ("text applies to a table", "not to x.npz")),
    "a size of images": (task(image_size=8), ("image_size does not apply to texts (task.text); remove it",)),
    "features": (task(features=["stars"]), ("features does not apply to texts",)),
    "streaming": (task(memory="stream"), ("memory: stream does not apply to texts",)),
    "unlabeled texts of another column": (more("reviw\nrain\n"), ("no column 'review', only reviw; rename",)),
    "unlabeled texts that are empty": (
        more("review,stars\nrain,2\n,3\n"),
        ("task.unlabeled: ", "more.csv: column 'review' row 1 (line 3) has no text"),
    ),
    "unlabeled texts that are not there": (task(unlabeled="no.csv"), ("task.unlabeled: ", "no.csv is not a file")),
    "a folder without texts": (files({"food/a.md": "x"}), ("contains no texts; give a folder of .txt files",)),
    "a text outside of the classes": (files(by_class(stray="text")), ("stray.txt is not in a class folder", "task.unlabeled")),
    "a file that is no UTF-8": (files(by_class(food__bad=b"\xff")), ("food/bad.txt is not UTF-8: byte 0xff",)),
    "an empty file of a folder": (files(by_class(work__none="")), ("work/none.txt has no text (1 of 21 rows",)),
    "a pair in a folder": (files(by_class(), text=["a", "b"]), ("has one text, not a pair",)),
    "a test class that training lacks": (saved(), ("test has class 'sports', which no training sample has",)),
    "a saved data set without that text": (saved(text="body"), ("task.text: there is no column 'body'",)),
    "a saved data set without labels": (saved(label=None), ("saved has no label, only", "topic (Value)")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_texts_are_refused_with_place_and_way_out(name: str, tmp_path: Path) -> None:
    write, messages = REFUSED[name]
    found = document("reviews.csv")
    given = found["task"] | write(tmp_path)
    found["task"] = {key: value for key, value in given.items() if value is not None}
    with pytest.raises(AutodistillError) as error:
        load_data(spec.parse(found), cuda=False)
    for message in messages:
        assert message in str(error.value)


# What looks wrong, but is handled


def ids_of(splits: Splits, row: int) -> list[int]:
    column = splits.train.x[TOKENS]
    assert isinstance(column, Ragged)
    return column.values[column.offsets[row] : column.offsets[row + 1]].tolist()  # type: ignore[no-any-return]


def trains(splits: Splits) -> bool:
    return splits.text is not None and all(field.vocabulary for field in splits.inputs.fields)


def of_words(folder: Path, texts: list[str], name: str = "reviews.csv", **changes: Any) -> Splits:
    frame = pd.DataFrame({"review": texts * 10, "topic": ["a", "b"] * (5 * len(texts))})
    return splits_of(written(folder, frame, name), **changes)


def test_words_for_missing_values_are_texts(tmp_path: Path) -> None:
    for name in ("reviews.csv", "reviews.tsv"):
        splits = of_words(tmp_path, ["NA", "null", "None", "nan"], name)
        assert splits.text is not None
        texts = {
            Tokenizer.from_buffer(splits.text.content).decode(ids_of(splits, row)).strip() for row in range(len(splits.train))
        }
        assert texts == {"NA", "null", "None", "nan"}


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet"])
def test_any_characters_are_kept(name: str, tmp_path: Path) -> None:
    odd = ['a "quoted", text', "two\nlines\r\nand more", "tab\tand \U0001f600 emoji", "\u202eright to left \u0301\u0301"]
    splits = of_words(tmp_path, odd, name)
    assert splits.text is not None
    tokens = Tokenizer.from_buffer(splits.text.content)
    assert {tokens.decode(ids_of(splits, row)).strip() for row in range(len(splits.train))} == set(odd)


def test_a_document_of_five_megabytes_is_cut(tmp_path: Path) -> None:
    frame = reviews(40)
    frame["review"] = ["word " * 1_000_000, *frame["review"][1:]]
    splits = splits_of(written(tmp_path, frame, "long.parquet"), max_length=16)
    assert splits.text is not None and splits.text.lengths is not None
    assert splits.inputs.fields[0].longest == 16 and splits.text.lengths.longest > 16


def test_a_tokenizer_is_trained_on_a_word_without_end() -> None:
    for long in ("x" * 400_000, "a" + " " * 400_000 + "b"):
        tokens = trained([long, *reviews(40)["review"]], 400)
        assert tokens.vocabulary == 400 and len(tokens.encoded([[long]], 16).ids) == 16


def test_texts_of_characters_that_a_tokenizer_drops_are_only_special_tokens(tmp_path: Path) -> None:
    splits = of_words(tmp_path, ["\u200b", "rain"], tokenizer=str(word_piece(tmp_path / "model")))
    assert {tuple(ids_of(splits, row)) for row in range(len(splits.train))} <= {(2, 3), (2, 5, 3), (2, 1, 3)} and trains(splits)


def test_more_tokens_than_texts_have_are_not_made_up(tmp_path: Path) -> None:
    splits = of_words(tmp_path, ["rain", "wind"], tokenizer={"train": "bpe", "vocabulary": 50_000})
    assert splits.text is not None and splits.text.encoding.vocabulary < 300


def test_a_byte_order_mark_and_blank_lines_are_no_text(tmp_path: Path) -> None:
    lines = "".join(f'{{"review": "words {row % 7}", "topic": "{"ab"[row % 2]}"}}\n\n' for row in range(40))
    (tmp_path / "reviews.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert len(splits_of(tmp_path / "reviews.jsonl").train) == 20


def test_a_tokenizer_without_an_unknown_token_has_no_unknown_tokens(tmp_path: Path) -> None:
    plain = Tokenizer(models.BPE({"<pad>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    plain.add_special_tokens(["<pad>"])
    (tmp_path / "model").mkdir()
    plain.save(str(tmp_path / "model" / "tokenizer.json"))
    splits = of_words(tmp_path, ["ab", "ba"], tokenizer=str(tmp_path / "model"))
    assert splits.text is not None and splits.text.lengths is not None and splits.text.lengths.unknown == 0
    assert splits.text.ranking[0] == 0 and {tuple(ids_of(splits, row)) for row in range(len(splits.train))} == {(3,), (2, 1)}
    with pytest.raises(AutodistillError, match=r"row 0 \(line 2\) has no token; drop such rows"):
        of_words(tmp_path, ["xyz", "ba"], tokenizer=str(tmp_path / "model"))


def test_groups_stay_together_and_times_split_texts(tmp_path: Path) -> None:
    frame = reviews().assign(author=[f"author {row % 40}" for row in range(240)], day=np.arange(240))
    path = written(tmp_path, frame)
    splits = splits_of(path, groups="author")
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 240
    assert trains(splits_of(path, split=task_of(path).split.model_copy(update={"by": "day"})))
