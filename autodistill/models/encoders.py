"""Transformers that read token ids, built by the package transformers, which is imported only here and where weights are read.

Shape suffixes: B batch, L length, K classes.
"""

from __future__ import annotations

import copy
import difflib
import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..data import InputSpec
from ..data.encoding import TYPES
from ..data.inputs import InputField
from ..spec import BuildError, Transformers, UsageError
from ..spec.arrays import Array
from ..spec.checkpoints import PADDING_IS_ONE, SIZES, dropouts, name_in, offset, quiet
from .vocabulary import fits_small, kept_count, table_of, tokens_of

SPECIAL = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
"""Settings that name a token; a network with fewer tokens has another id for it, or none."""
FACTORISED = "embedding_size"
"""What transformers calls the width of embeddings that a linear layer widens."""


LINEAR = frozenset({"bert", "electra", "roberta", "xlm-roberta", "camembert", "distilbert"})
"""Models with sizes that are linear in the layers, in the inner width and in the rows of tokens."""


class Simpler(NamedTuple):
    """Two transformers whose sizes are those at 0 and 1 of a line that has the sizes of a third at `x`."""

    at_0: Transformers
    at_1: Transformers
    x: int


def simpler(architecture: Transformers, inputs: InputSpec) -> Simpler | None:
    """Smaller transformers from which the sizes follow, because a search asks for those of a thousand. Raises BuildError."""
    field = tokens_of(inputs)
    kept = kept_count(architecture, field)
    values = {"layers": architecture.layers, "intermediate": architecture.intermediate or 4 * architecture.wide}
    if kept != field.vocabulary and fits_small(kept):
        values["vocabulary"] = kept
    for name, value in values.items():
        if architecture.model in LINEAR and value > 3:
            at_0, at_1 = (architecture.model_copy(update={name: least}) for least in (2, 3))
            return Simpler(at_0, at_1, value - 2)
    return None


class Encoder(nn.Module):
    """input_ids_BL and their mask -> logits_BK, from a model of transformers with rows for the kept tokens only.

    `table` (vocabulary,) has the row of each token id, None if these are the same; it is part of the weights. `unknown` is the
    id of the unknown token. `pairs`: whether the model reads to which text of a pair a token belongs.
    """

    table: Tensor | None

    def __init__(self, model: nn.Module, layers: int, table: Tensor | None = None, unknown: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.unknown = unknown
        self.register_buffer("table", table)
        self.pairs = "token_type_ids" in inspect.signature(model.forward).parameters and _types(model) > 1
        self.feature_info = [{"module": name} for name in _blocks(model, layers)]

    def forward(
        self,
        input_ids: Tensor,
        input_ids_mask: Tensor,
        token_type_ids: Tensor | None = None,
        token_type_ids_mask: Tensor | None = None,
    ) -> Tensor:
        """The mask of the types is that of the ids. Networks on the meta device have no values, so none to mask."""
        given: dict[str, Tensor] = {"input_ids": input_ids if self.table is None else self.table[input_ids].long()}
        if not input_ids_mask.is_meta:
            given["attention_mask"] = input_ids_mask.long()
        if self.pairs and token_type_ids is not None:
            given[TYPES] = token_type_ids
        return self.model(**given).logits  # type: ignore[no-any-return]

    def kept(self) -> Tensor:
        """The token id of each row (rows,); `unknown` has the row that others share."""
        if self.table is None:
            return torch.arange(self.rows)
        rows, device = self.table.long(), self.table.device
        kept = torch.zeros(self.rows, dtype=torch.int64, device=device)
        kept[rows] = torch.arange(len(rows), device=device)
        if self.unknown is not None:
            kept[rows[self.unknown]] = self.unknown
        return kept

    @property
    def last(self) -> str:
        """The name of the linear layer that gives the logits."""
        base = f"model.{self.model.base_model_prefix}."
        linears: list[str] = [name for name, module in self.named_modules() if isinstance(module, nn.Linear)]
        return [name for name in linears if not name.startswith(base)][-1]

    def standalone(self, mean_K: Tensor | None = None, scale_K: Tensor | None = None) -> Any:
        """A copy of the model that transformers saves and loads without this tool, in eval mode.

        Its ids are the rows of the `kept` tokens. Its last layer includes the mean and scale of the values of a regression, if
        they are given.
        """
        copied = copy.deepcopy(self).eval().requires_grad_(False)
        linear: Any = copied.get_submodule(self.last)
        if mean_K is not None and scale_K is not None:
            assert linear.bias is not None, "all classifiers of transformers with regression have a bias"
            linear.weight.mul_(scale_K[:, None])
            linear.bias.mul_(scale_K).add_(mean_K)
        return copied.model

    @property
    def rows(self) -> int:
        """How many rows the embedding of tokens has."""
        embedding: Any = self.model.get_input_embeddings()  # type: ignore[operator]
        return int(embedding.num_embeddings)


def build_encoder(
    architecture: Transformers, inputs: InputSpec, classes: int, ranking: Array | None = None, unknown: int | None = None
) -> Encoder:
    """Initialized as transformers does. `ranking` (vocabulary,) has all token ids, those first that a smaller vocabulary keeps.

    Raises UsageError for samples that are no texts and for a model that transformers does not have, BuildError for sizes that
    it refuses.
    """
    from transformers import AutoModelForSequenceClassification

    field = tokens_of(inputs)
    kept = kept_count(architecture, field)
    table = table_of(kept, field, ranking, unknown)
    config = _config(architecture, field, classes, kept, table)
    with quiet():
        try:
            model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        except Exception as error:  # a width that is no multiple of the heads, a negative number
            raise BuildError(f"transformers cannot build {architecture.model}: {error}") from error
    return Encoder(model, architecture.layers, table, unknown)


def _config(architecture: Transformers, field: InputField, classes: int, kept: int, table: Tensor | None) -> Any:
    """The config of transformers."""
    defaults = _defaults(_model_of(architecture))
    settings = _known(architecture, defaults)
    sizes = {"layers": architecture.layers, "hidden": architecture.wide, "heads": architecture.heads}
    given: dict[str, Any] = {name_in(defaults, SIZES[name]): value for name, value in sizes.items()}
    given[name_in(defaults, SIZES["intermediate"])] = architecture.intermediate or 4 * architecture.wide
    padding = int(field.padding) if table is None else _row(table, int(field.padding))
    if architecture.model == PADDING_IS_ONE and padding != 1 and not (table is not None and table.is_meta):
        raise BuildError(
            f"{PADDING_IS_ONE} takes token 1 for padding, but that of the tokenizer is {padding}; use another model"
        )
    given |= {"pad_token_id": padding, "vocab_size": max(kept, _rows_of(settings, field)) if table is None else kept}
    given |= _special(settings, defaults, table) | _positions(architecture, defaults, field, padding)
    if hasattr(defaults, FACTORISED):
        given[FACTORISED] = architecture.embedding or architecture.wide
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


def _defaults(model: str) -> Any:
    """The config of a model with everything at its default. Raises UsageError if transformers has no such classifier."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    names = [name for name, config in CONFIG_MAPPING.items() if config in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING]
    if model not in names:
        near = difflib.get_close_matches(model, names, n=3, cutoff=0.5) or ["bert", "electra", "distilbert"]
        raise UsageError(f"transformers has no text classifier of model {model!r}; the nearest are {', '.join(near)}")
    return CONFIG_MAPPING[model]()


def _known(architecture: Transformers, defaults: Any) -> dict[str, Any]:
    """The settings, all of which the model has. Raises UsageError for one that transformers would ignore."""
    taken = {name_in(defaults, names) for names in SIZES.values()} | {"pad_token_id", "num_labels", FACTORISED}
    for name in architecture.settings:
        if name in taken:
            raise UsageError(f"settings.{name}: autodistill sets it itself; remove it")
        if not hasattr(defaults, name):
            near = difflib.get_close_matches(name, defaults.to_dict(), n=3, cutoff=0.5)
            others = f"; the nearest are {', '.join(near)}" if near else "; remove it"
            raise UsageError(f"settings.{name}: {architecture.model} has no such setting{others}")
    if architecture.embedding is not None and not hasattr(defaults, FACTORISED):
        raise UsageError(f"embedding: {architecture.model} has no separate width of embeddings; remove it, or use model: bert")
    return dict(architecture.settings)


def _rows_of(settings: dict[str, Any], field: InputField) -> int:
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


def _special(settings: dict[str, Any], defaults: Any, table: Tensor | None) -> dict[str, int | None]:
    """The rows of special tokens, None for one that no setting names: transformers' defaults may be beyond the last row."""
    found: dict[str, int | None] = {}
    for name in SPECIAL:
        token = settings.get(name)
        if hasattr(defaults, name):
            found[name] = token if table is None or not isinstance(token, int) else _row(table, token)
    return found


def _positions(architecture: Transformers, defaults: Any, field: InputField, padding: int) -> dict[str, int]:
    """How many positions there are. Raises UsageError if some text has more tokens."""
    positions = architecture.positions or field.longest
    assert positions is not None
    if field.longest is not None and positions < field.longest:
        what = f"the network reads up to {positions:,} tokens, but a text has {field.longest:,}"
        raise UsageError(f"{what}; set task.max_length to at most {positions:,}")
    name = name_in(defaults, SIZES["positions"])
    return {name: positions + offset(_model_of(architecture), padding)} if hasattr(defaults, name) else {}


def _types(model: nn.Module) -> int:
    return int(getattr(model.config, "type_vocab_size", 1) or 1)


def _blocks(model: nn.Module, count: int) -> list[str]:
    """The names of the model's layers, from input to output: the first list of so many modules of one class."""
    for name, module in model.named_modules():
        children = list(module.children())
        if isinstance(module, nn.ModuleList) and len(children) == count and len({type(one) for one in children}) == 1:
            return [f"model.{name}.{index}" for index in range(count)]
    return []
