"""A folder that the package transformers loads without this tool: its model, its config, and its tokenizer.

Shape suffixes: B batch, L length, K classes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.columns import Ragged, mask_of
from ..data.encoding import TOKENS, TYPES
from ..data.tokens import FILE as TOKENIZER
from ..data.tokens import known
from ..distill import Data
from ..models import Inputs, Network
from ..models.encoders import Encoder
from ..spec.checkpoints import quiet
from ..spec.value import Json
from .cut import Cut, cut
from .formats import Format, Run, Source

HF = "hf"
PROBLEMS = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}
"""What transformers calls the kinds of tasks."""
NAMES = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""The usual names of special tokens, by the setting of transformers that names them."""


def is_loadable(data: Data, network: Network) -> bool:
    """Whether transformers has such networks."""
    return data.text is not None and isinstance(network.body, Encoder)


def added_rows(data: Data, network: Network) -> int:
    """How many more rows of tokens the folder's model has than the network: copies of the row of the unknown token."""
    assert data.text is not None and isinstance(network.body, Encoder)
    return max(0, len(cut(data.text.content, network.body.kept().tolist(), network.body.unknown).rows) - network.body.rows)


def files_of(source: Source) -> dict[str, bytes]:
    """The files of the folder by name.

    Raises ValueError if its tokenizer gives other ids than the study's, or if the network reads the mean of the tokens.
    """
    data, encoder = source.data, source.network.body
    assert data is not None and data.text is not None and isinstance(encoder, Encoder)
    if encoder.mean:
        raise ValueError("transformers has no text classifier that reads the mean of the tokens (pooling: mean)")
    made = cut(data.text.content, encoder.kept().tolist(), encoder.unknown)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder)
        _model(source, encoder, made, data).save_pretrained(path)
        (path / TOKENIZER).write_bytes(made.content)
        (path / "tokenizer_config.json").write_text(json.dumps(_settings(data, made, encoder.pairs), indent=1) + "\n")
        _check_tokenizer(path, data, _ids_in(made.content, data.text.content))
        return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def _model(source: Source, encoder: Encoder, made: Cut, data: Data) -> Any:
    """The model of transformers, with a row for each id of its tokenizer and the words of the classes."""
    assert data.text is not None
    model = encoder.standalone(source.network.target_mean, source.network.target_scale)
    if len(made.rows) > encoder.rows:
        weight = model.get_input_embeddings().weight[torch.tensor(made.rows)].clone()
        model.resize_token_embeddings(len(made.rows), mean_resizing=False)
        model.get_input_embeddings().weight.requires_grad_(False).copy_(weight)
    names = data.text.encoding.classes or [str(number) for number in range(data.classes)]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.config.problem_type = PROBLEMS[data.kind]
    return model


def _settings(data: Data, made: Cut, pairs: bool) -> Json:
    """The content of tokenizer_config.json."""
    assert data.text is not None
    plain: Json = json.loads(made.content)
    tokens, old = known(made.content, TOKENIZER), known(data.text.content, TOKENIZER)
    added = {one["content"] for one in plain["added_tokens"]}
    words = _opened(made.content)
    found = {"pad_token": words.id_to_token(tokens.padding)}
    if old.unknown is not None and tokens.unknown is not None:
        found["unk_token"] = _opened(data.text.content).id_to_token(old.unknown)
    found |= {setting: name for setting, names in NAMES.items() for name in names if name in added}
    inputs = [TOKENS, *([TYPES] if pairs and TYPES in data.validation_x else []), "attention_mask"]
    most = data.text.encoding.max_length
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": most, "model_input_names": inputs, **found}


def _opened(content: bytes) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_buffer(content)


def _ids_in(new: bytes, old: bytes) -> Tensor:
    """The new id of each old one; 0 for numbers that no token has."""
    found, tokens = _opened(new), _opened(old)
    names = {number: token for token, number in tokens.get_vocab(with_added_tokens=True).items()}
    return torch.tensor([found.token_to_id(names[number]) if number in names else 0 for number in range(max(names) + 1)])


def _check_tokenizer(folder: Path, data: Data, ids: Tensor) -> None:
    """Compares what transformers makes of all validation texts, as they can be read back from their ids.

    Raises ValueError with a text that has other ids.
    """
    from transformers import AutoTokenizer

    assert data.text is not None
    texts = _texts(data, _opened(data.text.content))
    wanted = known(data.text.content, TOKENIZER).encoded(texts, data.text.encoding.max_length)
    found = AutoTokenizer.from_pretrained(folder)(*texts, truncation=True)
    numbers = ids.numpy()[wanted.ids.astype(np.int64)]
    for row, (start, end) in enumerate(zip(wanted.offsets[:-1], wanted.offsets[1:], strict=True)):
        same = found[TOKENS][row] == numbers[start:end].tolist()
        if wanted.types is not None and TYPES in found:
            same &= found[TYPES][row] == wanted.types[start:end].tolist()
        if not same:
            raise ValueError(f"its tokenizer gives different tokens in transformers, such as for {texts[0][row]!r:.80}")


def _texts(data: Data, tokenizer: Any) -> list[list[str]]:
    """The validation texts, or the first and the second ones of pairs."""
    ids, types = data.validation_x[TOKENS], data.validation_x[TYPES] if TYPES in data.validation_x else None
    assert isinstance(ids, Ragged) and (types is None or isinstance(types, Ragged))
    rows = [slice(*ends) for ends in zip(ids.offsets[:-1], ids.offsets[1:], strict=True)]
    parts = [[ids.values[row] for row in rows]]
    if types is not None:
        parts = [[ids.values[row][types.values[row] == number] for row in rows] for number in (0, 1)]
    return [tokenizer.decode_batch([one.tolist() for one in part]) for part in parts]


def run_folder(path: Path, threads: int) -> Run:
    """Takes the token ids of the study, and gives the folder's model its own ids of the same tokens."""
    from transformers import AutoModelForSequenceClassification

    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    ids = _ids_in((path / TOKENIZER).read_bytes(), (path.parent / TOKENIZER).read_bytes())
    settings = json.loads((path / "tokenizer_config.json").read_bytes())

    def run(batch: Inputs) -> Tensor:
        given: dict[str, Tensor] = {TOKENS: ids[batch[TOKENS]], "attention_mask": batch[mask_of(TOKENS)].long()}
        given |= {name: batch[name] for name in settings["model_input_names"] if name == TYPES}
        logits_BK: Tensor = model(**given).logits
        return logits_BK

    return run


FOLDER = Format(files_of, run_folder, "AutoModelForSequenceClassification and AutoTokenizer of transformers")
