"""A small corpus of sentences about food, weather and work, and an imported network that reads tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from autodistill.data import InputSpec, Splits, read, split
from autodistill.spec import Split, TaskSpec

ABOUT = {
    "food": "bread butter soup cheese kitchen dinner oven salt pepper apple".split(),
    "weather": "rain wind cloud storm sunshine forecast cold snow thunder breeze".split(),
    "work": "office meeting salary manager report deadline project team email desk".split(),
}
OTHERS = "the a and of with was very not today we they some again because under over small".split()


def reviews(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """`review` has 4 to 24 words, a third of them about its `topic`; `stars` is how many these are."""
    random, topics = np.random.default_rng(seed), list(ABOUT)
    found = []
    for row in range(rows):
        topic, length = topics[row % 3], int(random.integers(4, 25))
        own = 1 + length // 3
        words = [*random.choice(ABOUT[topic], own), *random.choice(OTHERS, length - own)]
        found.append({"review": " ".join(random.permutation(words)), "topic": topic, "stars": own + 0.5})
    return pd.DataFrame(found)


def written(folder: Path, frame: pd.DataFrame | None = None, name: str = "reviews.csv") -> Path:
    """The frame as a file of that kind; by default, the reviews."""
    frame, path = reviews() if frame is None else frame, folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def task_of(path: Path | str, **changes: Any) -> TaskSpec:
    known = {"dataset": str(path), "label": "topic", "text": "review", "split": Split(validation=0.25, test=0.25)}
    known |= {"tokenizer": {"train": "bpe", "vocabulary": 400}}
    return TaskSpec.model_validate(known | changes, by_name=True, by_alias=True)


def splits_of(path: Path | str, **changes: Any) -> Splits:
    task = task_of(path, **changes)
    return split(read(task), task)


MINI = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "bread": 4, "rain": 5, "office": 6, "##s": 7, "gap": 9}


def word_piece(folder: Path, positions: int | None = None) -> Path:
    """A folder as a checkpoint has it, with a tokenizer that knows few words."""
    tokenizer = Tokenizer(models.WordPiece(MINI, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=ends)
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(5)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if positions is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": positions}))
    return folder


class Bag(nn.Module):
    """The mean of the embeddings of the tokens, and of the types of a pair."""

    def __init__(self, width: int, vocabulary: int, outputs: int) -> None:
        super().__init__()
        self.tokens, self.types, self.last = nn.Embedding(vocabulary, width), nn.Embedding(2, width), nn.Linear(width, outputs)

    def forward(self, input_ids: Tensor, input_ids_mask: Tensor, **of_pairs: Tensor) -> Tensor:
        types = of_pairs.get("token_type_ids", torch.zeros_like(input_ids))
        real = input_ids_mask.unsqueeze(2)
        found = (self.tokens(input_ids) + self.types(types)) * real
        return self.last(found.sum(1) / real.sum(1))  # type: ignore[no-any-return]


def bag(width: int, inputs: InputSpec, outputs: int) -> nn.Module:
    (tokens,) = [field for field in inputs.fields if field.vocabulary is not None]
    assert tokens.vocabulary is not None
    return Bag(width, tokens.vocabulary, outputs)


def document(path: Path | str, **task: Any) -> dict[str, Any]:
    """A spec with an imported teacher and imported students, which read texts."""
    recipe = {"epochs": 4, "batch_size": 16, "learning_rate": 0.05}
    architecture = {"import": "tests.textual:bag", "width": 16}
    known = {"dataset": str(path), "label": "topic", "text": "review", "split": {"validation": 0.25, "test": 0.25, "seed": 0}}
    return {
        "study": "texts",
        "task": known | {"tokenizer": {"train": "bpe", "vocabulary": 400}} | task,
        "teacher": {"architecture": architecture, "recipe": recipe},
        "student": {"architecture": architecture | {"width": {"int": [2, 8]}}, "recipe": recipe},
        "search": {"trials": 3, "seed": 0, "label_baselines": False, "halving": False, "region": "all"},
        "resources": {"gpus": 0},
    }
