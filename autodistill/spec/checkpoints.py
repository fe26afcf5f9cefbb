"""Folders of the package transformers as architectures: a config.json becomes plain sizes and settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

SIZES: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers",),
    "hidden": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "intermediate": ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim"),
    "positions": ("max_position_embeddings",),
}
"""The fields of an architecture, and what configs of transformers call them, beside their own `attribute_map`."""
FROM_PADDING = frozenset(
    "camembert data2vec-text esm ibert longformer luke mluke mpnet roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod".split()
)
"""Models that count positions from the id of the padding token on, as fairseq does."""

PADDING_IS_ONE = "mpnet"
"""A model that takes token 1 for padding, whatever its config says."""


def name_in(config: Any, names: tuple[str, ...]) -> str:
    """The first of these names that a config has, as it calls it itself."""
    own = [config.attribute_map.get(name, name) for name in names]
    return next((name for name in own if hasattr(config, name)), own[0])


def dropouts(config: Any) -> list[str]:
    """The settings of a config that are a share of what is dropped."""
    found = config.to_dict().items()
    return [name for name, value in found if "drop" in name and isinstance(value, int | float) and not isinstance(value, bool)]


def offset(model: str, padding: int) -> int:
    """How many positions come before the first."""
    return padding + 1 if model in FROM_PADDING else 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from logging and from drawing progress bars."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
