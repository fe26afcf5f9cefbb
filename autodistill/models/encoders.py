"""Transformers that read token ids, built by the package transformers, which is imported only where it is used.

Shape suffixes: B batch, L length, K classes.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..data import InputSpec
from ..data.encoding import TYPES
from ..spec import BuildError, Transformers
from ..spec.arrays import Array
from ..spec.checkpoints import quiet, require
from .encoder_config import config_of
from .vocabulary import fits_small, kept_count, table_of, tokens_of

LINEAR = frozenset({"bert", "electra", "roberta", "xlm-roberta", "camembert", "distilbert"})
"""Models with sizes that are linear in the layers, in the inner width and in the rows of tokens."""


class Simpler(NamedTuple):
    """Two transformers whose sizes are those at 0 and 1 of a line that has the sizes of a third at `x`."""

    at_0: Transformers
    at_1: Transformers
    x: int


def simpler(architecture: Transformers, inputs: InputSpec) -> Simpler | None:
    """Smaller transformers from which the sizes follow: a search needs those of a thousand transformers. Raises BuildError."""
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
    id of the unknown token. `mean`: the model classifies tokens, whose logits are averaged over a text. `pairs`: whether it
    reads to which text of a pair a token belongs.
    """

    table: Tensor | None

    def __init__(
        self, model: nn.Module, layers: int, table: Tensor | None = None, unknown: int | None = None, *, mean: bool = False
    ) -> None:
        super().__init__()
        self.model, self.mean = model, mean
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
        found: Tensor = self.model(**given).logits
        if not self.mean:
            return found
        real_BL1 = input_ids_mask.unsqueeze(2).to(found.dtype)
        return (found * real_BL1).sum(1) / real_BL1.sum(1)

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
    def base(self) -> str:
        """The name of the part that gives the hidden states (B, L, H) after the last layer."""
        return f"model.{self.model.base_model_prefix}"

    @property
    def words(self) -> Tensor:
        """The embedding of tokens (rows, E)."""
        weight: Tensor = self.model.get_input_embeddings().weight  # type: ignore[operator]
        return weight

    @property
    def last(self) -> str:
        """The name of the linear layer that gives the logits."""
        linears: list[str] = [name for name, module in self.named_modules() if isinstance(module, nn.Linear)]
        return [name for name in linears if not name.startswith(f"{self.base}.")][-1]

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
        return len(self.words)


def build_encoder(
    architecture: Transformers, inputs: InputSpec, classes: int, ranking: Array | None = None, unknown: int | None = None
) -> Encoder:
    """Initialized as transformers does. `ranking` (vocabulary,) has all token ids, those first that a smaller vocabulary keeps.

    Raises UsageError for samples that are not texts and for a model that transformers does not have, BuildError for sizes that
    it refuses.
    """
    field = tokens_of(inputs)
    kept = kept_count(architecture, field)
    table = table_of(kept, field, ranking, unknown)
    config = config_of(architecture, field, classes, kept, table)
    with quiet():
        try:
            model = classifier_of(architecture).from_config(config, dtype=torch.float32)
        except Exception as error:  # a width that is not a multiple of the heads, a negative number
            raise BuildError(f"transformers cannot build {architecture.model}: {error}") from error
    return Encoder(model, architecture.layers, table, unknown, mean=architecture.pooling == "mean")


def classifier_of(architecture: Transformers) -> Any:
    """The class of transformers that builds it. The logits of a mean of tokens are the mean of those of the tokens."""
    require()
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    return AutoModelForTokenClassification if architecture.pooling == "mean" else AutoModelForSequenceClassification


def _types(model: nn.Module) -> int:
    return int(getattr(model.config, "type_vocab_size", 1) or 1)


def _blocks(model: nn.Module, count: int) -> list[str]:
    """The names of the model's layers, from input to output: the first list of so many modules of one class.

    None if all layers are one and the same, as in ALBERT.
    """
    if hasattr(model.config, "num_hidden_groups"):
        return []
    for name, module in model.named_modules():
        children = list(module.children())
        if isinstance(module, nn.ModuleList) and len(children) == count and len({type(one) for one in children}) == 1:
            return [f"model.{name}.{index}" for index in range(count)]
    return []
