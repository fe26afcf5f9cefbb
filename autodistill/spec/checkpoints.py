"""Folders of the package transformers as architectures: a config.json becomes plain sizes and settings.

    teacher: {architecture: {family: transformers, checkpoint: models/MiniLM}, recipe: ...}

becomes `checkpoint: /.../models/MiniLM` beside an architecture with the sizes and settings of models/MiniLM/config.json, so
that a study records what the network is, wherever it came from.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic_core import ErrorDetails

from .architectures import Dropout, Pooling
from .errors import Location, UsageError, fault, refusal, shown
from .value import FilePath, Json, Value

SIZES: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers",),
    "hidden": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "intermediate": ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim"),
    "positions": ("max_position_embeddings",),
}
"""The fields of an architecture, and what configs of transformers call them, beside their own `attribute_map`."""
FROM_PADDING = frozenset(
    "camembert data2vec-text esm ibert longformer luke mluke mpnet roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl "
    "xmod".split()
)
"""Models that count positions from the id of the padding token on, as fairseq does."""

PADDING_IS_ONE = "mpnet"
"""A model that takes token 1 for padding, whatever its config says."""
KEPT_OUT = frozenset(
    "architectures dtype torch_dtype id2label label2id num_labels problem_type transformers_version model_type use_cache "
    "tie_word_embeddings is_decoder add_cross_attention return_dict pad_token_id chunk_size_feed_forward".split()
)
"""Keys of a config that say nothing about the network, or that are set when it is built."""
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
POOLING = "1_Pooling/config.json"
"""Where sentence-transformers says how the tokens become one vector."""
Config = Any
"""A config of the package transformers, which has no types."""


class InCheckpoint(Value):
    """A folder of transformers, with config.json and model.safetensors, or the name of one on the hub: it says what the
    network is.
    """

    family: Literal["transformers"]
    """An encoder of the package transformers, which reads texts."""
    checkpoint: FilePath
    """The folder, or its name on the hub."""
    dropout: Dropout | None = None
    """Share of values that are dropped, everywhere; by default the folder says where."""
    pooling: Pooling | None = None
    """What the classifier reads: the first token, or the mean of all tokens; by default the folder says it."""


FREE = tuple(InCheckpoint.model_fields)
"""What may stand beside a checkpoint: the rest is in the folder."""
ALONE = frozenset({"checkpoint", "recipe"})
"""The keys of a teacher whose checkpoint is a folder: other teachers with a checkpoint say what their network is."""
STAGES = "stages"
"""The name of the folder that holds the stages of a study."""
FILES = (".safetensors", ".pt", ".pth", ".bin")
"""Ends of files of weights, which are no folders."""


def require() -> None:
    """Raises UsageError if the package transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise UsageError("family transformers needs the package transformers; run: pip install 'autodistill-search[text]'")


def name_in(config: Config, names: tuple[str, ...]) -> str:
    """The first of these names that a config has, as it calls it itself."""
    own: list[str] = [config.attribute_map.get(name, name) for name in names]
    return next((name for name in own if hasattr(config, name)), own[0])


def dropouts(config: Config) -> list[str]:
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


def with_checkpoints(raw: Json, whole: Callable[[str], str]) -> Json:
    """`raw` with the architectures of all teachers that are folders of transformers. Does not modify `raw`.

    `whole` makes a path absolute. Raises pydantic's ValidationError for folders that cannot be read.
    """
    teacher = raw.get("teacher")
    if not isinstance(teacher, dict):
        return raw
    faults: list[ErrorDetails] = []
    found = _teacher(teacher, whole, ("teacher",), faults)
    if isinstance(found.get("ensemble"), list):
        members = enumerate(found["ensemble"])
        place = ("teacher", "ensemble")
        one = [_teacher(each, whole, (*place, at), faults) if isinstance(each, dict) else each for at, each in members]
        found = found | {"ensemble": one}
    if faults:
        raise refusal(faults)
    return raw | {"teacher": found}


def _is_alone(raw: Json, whole: Callable[[str], str]) -> bool:
    """Whether a teacher is a folder of transformers without an architecture: not a file of weights, nor a stage of another
    study, which cannot be fine-tuned.
    """
    beside = raw.get("checkpoint")
    if not isinstance(beside, str) or not raw.keys() <= ALONE or Path(beside).suffix in FILES:
        return False
    return Path(beside).parent.name != STAGES and ("recipe" in raw or Path(whole(beside), CONFIG).is_file())


def _teacher(raw: Json, whole: Callable[[str], str], place: Location, faults: list[ErrorDetails]) -> Json:
    """The teacher with its checkpoint beside a plain architecture; appends what is wrong to `faults`."""
    architecture, beside = raw.get("architecture"), raw.get("checkpoint")
    inside = isinstance(architecture, dict) and architecture.get("family") == "transformers" and "checkpoint" in architecture
    if not inside and not _is_alone(raw, whole):
        return raw
    given: Json = dict(architecture) if isinstance(architecture, dict) else {"checkpoint": beside}
    place = (*place, "architecture") if inside else place
    for key in given:
        if key not in FREE:
            faults.append(fault(given[key], f"{key!r} is in the checkpoint; remove it", (*place, key)))
    if inside and beside is not None:
        faults.append(fault(beside, "a checkpoint is in architecture, too; keep one of them", (*place[:-1], "checkpoint")))
    try:
        folder = folder_of(given["checkpoint"], whole)
        found = architecture_of(folder)
    except UsageError as error:
        faults.append(fault(given["checkpoint"], str(error), (*place, "checkpoint")))
        return raw
    own = {key: given[key] for key in ("dropout", "pooling") if key in given}
    return raw | {"checkpoint": str(folder), "architecture": found | own}


def folder_of(name: object, whole: Callable[[str], str]) -> Path:
    """The folder of that path or, if there is none, that of a model of Hugging Face's hub in its cache, downloaded if need be.

    Raises UsageError if there is neither.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise UsageError(f"{shown(name)} is not a path; give a folder with {CONFIG} and {WEIGHTS}")
    folder = Path(whole(name))
    if folder.is_dir() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        for file in (CONFIG, WEIGHTS):
            if not (folder / file).is_file():
                raise UsageError(f"{shown(name)}: there is no {folder / file}; give a folder with {CONFIG} and {WEIGHTS}")
        return folder
    require()
    from huggingface_hub import snapshot_download

    try:
        with quiet():
            return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", WEIGHTS]))
    except Exception as error:  # no network, no such model, no permission
        what = " ".join(str(error).split())[:150]
        raise UsageError(
            f"{name} is not a folder, and the hub does not give it ({type(error).__name__}: {what}); give a folder"
        ) from None


def architecture_of(folder: Path) -> Json:
    """The architecture in the config.json of a folder: sizes, and all settings that differ from the model's defaults.

    Raises UsageError if the file cannot be read, or if transformers has no text classifier of that model.
    """
    require()
    from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig

    try:
        with quiet():
            config: Config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # no JSON, no model_type, an unknown one, values that it refuses
        what = " ".join(str(error).split())[:200]
        raise UsageError(f"{folder / CONFIG} cannot be read by transformers ({type(error).__name__}: {what})") from None
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise UsageError(f"transformers has no text classifier of model {config.model_type!r}; use an encoder such as bert")
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        raise UsageError(f"transformers 5 cannot build positions of type {config.position_embedding_type!r}; use another model")
    defaults = CONFIG_MAPPING[config.model_type]()
    plain, names = defaults.to_dict(), {field: name_in(defaults, known) for field, known in SIZES.items()}
    sizes = {field: getattr(config, name) for field, name in names.items() if hasattr(config, name)}
    if "positions" in sizes:
        sizes["positions"] -= offset(config.model_type, config.pad_token_id or 0)
    if hasattr(config, "embedding_size") and config.embedding_size != config.hidden_size:
        sizes["embedding"] = config.embedding_size
    left = {name: value for name, value in config.to_dict().items() if name in plain and name not in KEPT_OUT}
    left = {name: value for name, value in left.items() if not name.startswith("_")}
    dropped = set(dropouts(config))
    settings = {name: value for name, value in left.items() if value != plain[name] or name in dropped}
    settings = {name: settings[name] for name in sorted(settings) if name not in {*names.values(), "embedding_size"}}
    settings |= {"vocab_size": config.vocab_size}
    pooling = {"pooling": "mean"} if _reads_the_mean(folder) else {}
    return {"family": "transformers", **sizes, "model": config.model_type, "settings": settings, **pooling}


def _reads_the_mean(folder: Path) -> bool:
    """Whether sentence-transformers takes the mean of the tokens: then the first token has learned little."""
    try:
        found = json.loads((folder / POOLING).read_bytes())
        return bool(found.get("pooling_mode_mean_tokens") or found.get("pooling_mode") == "mean")
    except (OSError, ValueError, AttributeError):
        return False
