"""A tokenizer.json whose ids are the rows of a network with a smaller vocabulary.

Such a network reads a token that it does not keep as the unknown one. No token may be removed from its tokenizer, because texts
would then be split into other tokens. Instead, each token that is not kept gets the id of the unknown one. Some need ids of
their own, after the rows: tokens that were added to the model and parts of merges of byte-pair encoding, which are found by
id, and pieces of Unigram, whose ids are positions. The network needs a copy of the row of the unknown token for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..spec.value import Json

PIECES = "Unigram"
KINDS = ("WordPiece", "WordLevel", "BPE", PIECES)


class Cut(NamedTuple):
    """The `content` of a tokenizer.json, and the row of the network for each of its ids."""

    content: bytes
    rows: list[int]


def cut(content: bytes, kept: Sequence[int], unknown: int | None) -> Cut:
    """A tokenizer for a network that keeps these ids of the one with this `content`, by row, and reads others as `unknown`.

    It neither pads nor shortens texts. Raises ValueError for a kind of tokenizer that is not known.
    """
    plain: Json = json.loads(content)
    plain |= {"padding": None, "truncation": None}
    ids = _ids(plain)
    row_of = {old: row for row, old in enumerate(kept)}
    own = sorted(_alone(plain, ids) - row_of.keys())
    numbers = row_of | {old: len(kept) + place for place, old in enumerate(own)}
    rows = list(range(len(kept)))
    if not row_of.keys() >= set(ids.values()):
        assert unknown is not None, "a vocabulary is only cut if there is an unknown token"
        rows += [row_of[unknown]] * len(own)
        numbers = dict.fromkeys(ids.values(), row_of[unknown]) | numbers
    _renumber(plain, ids, numbers)
    return Cut(json.dumps(plain, ensure_ascii=False).encode(), rows)


def _ids(plain: Json) -> dict[str, int]:
    """The id of each token, also of those that were added to the model."""
    model = plain["model"]
    if model.get("type") not in KINDS:
        raise ValueError(f"its tokenizer is of the kind {model.get('type')}, not {', '.join(KINDS)}")
    words: Mapping[str, int] = model["vocab"]
    if model["type"] == PIECES:
        words = {piece: place for place, (piece, _) in enumerate(model["vocab"])}
    return dict(words) | {one["content"]: int(one["id"]) for one in plain["added_tokens"]}


def _alone(plain: Json, ids: Mapping[str, int]) -> set[int]:
    """The ids that no other token may share."""
    model, added = plain["model"], {int(one["id"]) for one in plain["added_tokens"]}
    if model["type"] == PIECES:
        return set(ids.values())
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges", ())]
    return added | {ids[part] for merge in merges for part in merge}


def _renumber(plain: Json, ids: Mapping[str, int], numbers: Mapping[int, int]) -> None:
    """Gives all tokens their numbers."""
    model, new = plain["model"], {token: numbers[old] for token, old in ids.items()}
    if model["type"] == PIECES:
        model["vocab"] = _pieces(model["vocab"], new)
        if model.get("unk_id") is not None:
            model["unk_id"] = numbers[model["unk_id"]]
    else:
        model["vocab"] = new
    for one in plain["added_tokens"]:
        one["id"] = new[one["content"]]
    _renumber_ends(plain.get("post_processor"), numbers)


def _pieces(vocabulary: Sequence[tuple[str, float]], new: Mapping[str, int]) -> list[tuple[str, float]]:
    """In the order of their ids. An added token, which the model does not look for, has the least score."""
    scores = dict(vocabulary)
    least = min(scores.values())
    return [(piece, scores.get(piece, least)) for piece in sorted(new, key=new.__getitem__)]


def _renumber_ends(processor: Json | None, numbers: Mapping[int, int]) -> None:
    """The ids that a post-processor adds before and after a text."""
    if processor is None:
        return
    for one in processor.get("processors", ()):
        _renumber_ends(one, numbers)
    for name in ("sep", "cls"):  # of BERT and RoBERTa
        if name in processor:
            token, old = processor[name]
            processor[name] = [token, numbers[old]]
    templates = processor.get("special_tokens", {})
    for one in templates.values():
        one["ids"] = [numbers[old] for old in one["ids"]]
