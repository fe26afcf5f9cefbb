"""From an architecture to a config of the package transformers: its own names, the rows of special tokens, what it drops."""

from __future__ import annotations

import difflib

from torch import Tensor

from ..data.inputs import InputField
from ..spec import BuildError, Transformers, UsageError
from ..spec.checkpoints import PADDING_IS_ONE, SIZES, Config, dropouts, name_in, offset
from ..spec.value import Json

SPECIAL = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
"""Settings that name a token; a network with fewer tokens has another id for it, or none."""
FACTORIZED = "embedding_size"
"""What transformers calls the width of embeddings that a linear layer widens."""


def config_of(architecture: Transformers, field: InputField, classes: int, kept: int, table: Tensor | None) -> Config:
    """The config of a transformer with rows for so many tokens, whose rows are in the `table`.

    Raises UsageError for what no network of that model can have, BuildError for sizes that do not fit each other.
    """
    defaults = _defaults(_model_of(architecture))
    settings = _known(architecture, defaults)
    sizes = {"layers": architecture.layers, "hidden": architecture.wide, "heads": architecture.heads}
    given: Json = {name_in(defaults, SIZES[name]): value for name, value in sizes.items()}
    given[name_in(defaults, SIZES["intermediate"])] = architecture.intermediate or 4 * architecture.wide
    padding = int(field.padding) if table is None else _row(table, int(field.padding))
    if architecture.model == PADDING_IS_ONE and padding != 1 and not (table is not None and table.is_meta):
        raise BuildError(f"{PADDING_IS_ONE} uses token 1 for padding, but the tokenizer uses {padding}; use another model")
    given |= {"pad_token_id": padding, "vocab_size": max(kept, _rows_of(settings, field)) if table is None else kept}
    given |= _special(settings, defaults, table) | _positions(architecture, defaults, field, padding)
    if hasattr(defaults, FACTORIZED):
        given[FACTORIZED] = architecture.embedding or architecture.wide
    if architecture.wide % architecture.heads:
        what = f"hidden {architecture.wide} is not a multiple of heads {architecture.heads}"
        raise BuildError(f"{what}; use such a multiple, or head_width instead of hidden")
    dropped = {name: architecture.dropout or 0.0 for name in dropouts(defaults)}
    after = settings if architecture.dropout is None else {k: v for k, v in settings.items() if k not in dropped}
    try:
        return type(defaults)(**(dropped | after | given), num_labels=classes)
    except Exception as error:  # transformers checks what it is given
        raise BuildError(f"transformers refuses these settings of {architecture.model}: {error}") from error


def _model_of(architecture: Transformers) -> str:
    return "electra" if architecture.embedding is not None and architecture.model == "bert" else architecture.model


def _defaults(model: str) -> Config:
    """The config of a model with everything at its default.

    Raises UsageError if transformers has no such classifier, or if it has a decoder besides, which shares weights with it.
    """
    from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    names = [name for name, config in CONFIG_MAPPING.items() if config in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING]
    if model not in names:
        near = difflib.get_close_matches(model, names, n=3, cutoff=0.5) or ["bert", "electra", "distilbert"]
        raise UsageError(f"transformers has no text classifier of model {model!r}; the nearest are {', '.join(near)}")
    found: Config = CONFIG_MAPPING[model]()
    if found.is_encoder_decoder:
        raise UsageError(
            f"model {model!r} has an encoder and a decoder; use one that is only an encoder, such as bert or electra"
        )
    return found


def _known(architecture: Transformers, defaults: Config) -> Json:
    """The settings, all of which the model has. Raises UsageError for one that transformers would ignore."""
    taken = {name_in(defaults, names) for names in SIZES.values()} | {"pad_token_id", "num_labels", FACTORIZED}
    for name in architecture.settings:
        if name in taken:
            raise UsageError(f"settings.{name}: autodistill sets it itself; remove it")
        if not hasattr(defaults, name):
            near = difflib.get_close_matches(name, defaults.to_dict(), n=3, cutoff=0.5)
            others = f"; the nearest are {', '.join(near)}" if near else "; remove it"
            raise UsageError(f"settings.{name}: {architecture.model} has no such setting{others}")
    if architecture.embedding is not None and not hasattr(defaults, FACTORIZED):
        raise UsageError(f"embedding: {architecture.model} has no separate width of embeddings; remove it, or use model: bert")
    return dict(architecture.settings)


def _rows_of(settings: Json, field: InputField) -> int:
    """How many rows the embedding of an existing network has, which may be more than there are tokens.

    Raises UsageError if there are fewer.
    """
    assert field.vocabulary is not None
    rows = int(settings.get("vocab_size", field.vocabulary))
    if rows < field.vocabulary:
        way = "use the tokenizer that belongs to it (task.tokenizer)"
        raise UsageError(f"the network has rows for {rows:,} tokens, but the tokenizer has {field.vocabulary:,}; {way}")
    return rows


def _row(table: Tensor, token: int) -> int:
    return 0 if table.is_meta else int(table[token])


def _special(settings: Json, defaults: Config, table: Tensor | None) -> dict[str, int | None]:
    """The rows of special tokens, None for one that no setting names: transformers' defaults may be beyond the last row."""
    found: dict[str, int | None] = {}
    for name in SPECIAL:
        token = settings.get(name)
        if hasattr(defaults, name):
            found[name] = token if table is None or not isinstance(token, int) else _row(table, token)
    return found


def _positions(architecture: Transformers, defaults: Config, field: InputField, padding: int) -> dict[str, int]:
    """How many positions there are. Raises UsageError if some text has more tokens."""
    positions = architecture.positions or field.longest
    assert positions is not None
    if field.longest is not None and positions < field.longest:
        what = f"the network reads up to {positions:,} tokens, but a text has {field.longest:,}"
        raise UsageError(f"{what}; set task.max_length to at most {positions:,}")
    name = name_in(defaults, SIZES["positions"])
    return {name: positions + offset(_model_of(architecture), padding)} if hasattr(defaults, name) else {}
