"""The script that makes a small data set of texts of WordNet's nouns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.wordnet_nouns import CLASSES, LABELED, NOUNS, OTHERS, Noun, nouns, spread, write

from .minilm import needs_wordnet

SOME = [
    Noun(f"{name} {number}", name) for name, count in (("plant", 600), ("act", 300), ("time", 5)) for number in range(count)
]


@pytest.mark.parametrize("length", [3, 30, 181, 450])
def test_every_beginning_is_stratified(length: int) -> None:
    found, whole = Counter(one.name for one in spread(SOME, 1)[:length]), Counter(one.name for one in SOME)
    assert all(abs(found[name] - length * whole[name] / len(SOME)) <= 2 for name in whole)
    assert set(found) == set(whole)


def test_the_seed_alone_decides_the_order() -> None:
    assert spread(SOME, 1) == spread(SOME, 1) != spread(SOME, 2)
    assert sorted(spread(SOME, 1)) == sorted(SOME)


def test_a_definition_ends_at_its_first_semicolon_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "data.noun"
    lines = ["  1 This is the license; it has a | too", "00001740 03 n 01 entity 0 000 | that which exists; a root"]
    lines += [
        f"0000{file:04d} {file:02d} n 01 word 0 000 | {text}  "
        for file, text in ((4, 'a deed; "good"'), (5, "a deed"), (28, "now"))
    ]
    path.write_text("\n".join(lines) + "\n")
    assert nouns(path) == [("a deed", "act"), ("now", "time")]


@needs_wordnet
def test_the_files_have_the_parts_that_they_promise(tmp_path: Path) -> None:
    found = nouns(NOUNS)
    assert len(found) == 81_158 and len({one.name for one in found}) == len(CLASSES) == 25
    write(found, tmp_path, seed=0)
    labeled, others = pd.read_csv(tmp_path / LABELED), pd.read_csv(tmp_path / OTHERS)
    parts = [group for _, group in labeled.groupby("part")]
    assert [len(part) for part in parts] == [2_000, 2_000, 8_000] and len(others) == 20_000
    assert all(part["class"].nunique() == 25 for part in parts)
    texts = [*labeled["definition"], *others["definition"]]
    assert len(set(texts)) == len(texts) and set(texts) <= {one.definition for one in found}
    write(found, tmp_path / "fewer", seed=0, labels=500, unlabeled=100)
    fewer = pd.read_csv(tmp_path / "fewer" / LABELED)
    assert fewer.equals(pd.concat([labeled[:500], labeled[2_000:]], ignore_index=True))
    assert fewer["class"][:500].nunique() == 25
    assert pd.read_csv(tmp_path / "fewer" / OTHERS).equals(others[:100])
