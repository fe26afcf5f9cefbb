"""Runs the network in this folder: python example.py [SAMPLES] [model.onnx | model.pt2 | model.safetensors]...

SAMPLES contains one or more samples: raw numbers as in the training data (`inputs` in architecture.json). If the only input is
x with samples of one shape, SAMPLES is a .npy file, channels first. Otherwise, it is a .npz file with an array (B, ...) for
each input NAME and, if the samples differ in length (null in the shape), NAME_lengths (B,); numbers after the end of a shorter
sample are ignored. If there is a columns.json, the training data were a table: SAMPLES is a .csv or .parquet file with the same
columns (by name, in any order; others are ignored), or a .json file with one row as a mapping, or with a list of rows.
encode.py, which needs pandas, turns rows into inputs. If there is a texts.json, SAMPLES is one text or, for pairs, two, such as
python example.py "some text"; this needs the package tokenizers. Without SAMPLES, the network runs on one sample of zeros, on
one row of missing values, or on an empty text. model.onnx needs numpy and onnxruntime, model.pt2 needs torch in the version
that card.md names, and model.safetensors needs autodistill, which builds the network. Without file names, model.onnx and
model.pt2 are run if they exist. Prints the class of each sample as a number or, for a table or texts, as a word of the label
column; if samples have several labels, the labels with a probability above one half; for a regression, the values.

Shape suffixes: B samples, K classes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
FACTS = json.loads((HERE / "architecture.json").read_text())
Array = NDArray[Any]
Inputs = dict[str, Array]
FIELDS = FACTS["inputs"]
TABLE: dict[str, Any] = json.loads((HERE / "columns.json").read_text()) if (HERE / "columns.json").exists() else {}
TEXTS: dict[str, Any] = json.loads((HERE / "texts.json").read_text()) if (HERE / "texts.json").exists() else {}
SINGLE = len(FIELDS) == 1 and FIELDS[0]["name"] == "x" and None not in FIELDS[0]["shape"]
"""Whether the only input is x with samples of one shape."""


def run_onnx(path: Path, inputs: Inputs) -> Array:
    """Arrays by the names in `tensors` of architecture.json -> logits_BK."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([FACTS["output"]["name"]], inputs)[0])


def run_pt2(path: Path, inputs: Inputs) -> Array:
    """Arrays as for `run_onnx` -> logits_BK."""
    import torch

    network = torch.export.load(path).module()
    tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
    with torch.inference_mode():
        return np.asarray(network(tensors["x"]) if SINGLE else network(**tensors))


def run_safetensors(path: Path, inputs: Inputs) -> Array:
    """Arrays as for `run_onnx` -> logits_BK, with the network that autodistill builds from architecture.json."""
    import torch
    from safetensors.torch import load_file

    from autodistill.data import InputSpec
    from autodistill.models import build
    from autodistill.spec.architectures import ARCHITECTURE

    architecture = ARCHITECTURE.validate_python(FACTS["architecture"])
    numbers = {name: FACTS.get(name) for name in ("classes", "mean", "std", "target_mean", "target_scale")}
    network = build(architecture, inputs=InputSpec.model_validate({"fields": FACTS["inputs"]}), **numbers)
    network.load_state_dict(load_file(path))
    with torch.inference_mode():
        return np.asarray(network.eval()({name: torch.from_numpy(one) for name, one in inputs.items()}).logits)


RUNS: dict[str, Callable[[Path, Inputs], Array]] = {
    "model.onnx": run_onnx,
    "model.pt2": run_pt2,
    "model.safetensors": run_safetensors,
}


def samples(given: list[str]) -> Inputs:
    """The arrays by the names in `tensors` of architecture.json: bytes are numbers from 0 to 255."""
    most = len(TEXTS["columns"]) if TEXTS else 1
    if len(given) > most:
        wanted = f"give only {('one text', 'two texts')[most - 1]}" if TEXTS else "give only one file of samples"
        raise SystemExit(f"{given[most]!r} is not one of {', '.join(RUNS)}; {wanted}")
    return tokens([*given, ""][:most]) if TEXTS else arrays(given[0] if given else None)


def tokens(texts: list[str]) -> Inputs:
    """The same arrays from one text, or from a pair."""
    from tokenizers import Tokenizer

    if len(texts) < len(TEXTS["columns"]):
        raise SystemExit(f"give two texts: {' and '.join(TEXTS['columns'])}")
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TEXTS["max_length"])
    found = tokenizer.encode(texts[0], texts[1] if len(texts) > 1 else None)
    by_name = {"input_ids": found.ids, "token_type_ids": found.type_ids}
    inputs = {field["name"]: np.array([by_name[field["name"]]], dtype="int64") for field in FIELDS}
    return inputs | {f"{name}_mask": np.ones(one.shape, bool) for name, one in inputs.items()}


def arrays(path: str | None) -> Inputs:
    """The same arrays from a file of samples."""
    if TABLE:
        return rows(path)
    if SINGLE:
        return {"x": numbers(FIELDS[0], path, None if path is None else np.load(path))}
    given = {} if path is None else dict(np.load(path))
    found = {}
    for field in FIELDS:
        name = field["name"]
        if path is not None and name not in given:
            raise SystemExit(f"{path} has {', '.join(given)}; give an array {name}, too")
        found[name] = numbers(field, path, given.get(name))
        if None in field["shape"]:
            count, length = len(found[name]), found[name].shape[-1]
            found[f"{name}_mask"] = np.arange(length) < given.get(f"{name}_lengths", np.full(count, length))[:, None]
            hidden = found[f"{name}_mask"].reshape(count, *[1] * (found[name].ndim - 2), length)
            found[name] = np.where(hidden, found[name], np.asarray(field["padding"], found[name].dtype))
    return found


def rows(path: str | None) -> Inputs:
    """The same arrays from the raw rows of a table."""
    from encode import encoded, read_rows  # type: ignore[import-not-found]

    found = dict.fromkeys(one["name"] for one in TABLE["columns"]) if path is None else read_rows(path, TABLE["separator"])
    try:
        inputs: Inputs = encoded(found, TABLE["columns"])
    except ValueError as error:
        raise SystemExit(f"{path}: {error}") from None
    return inputs


def numbers(field: dict[str, Any], path: str | None, x: Array | None) -> Array:
    """(B, ...) of one input, float32 or int64; zeros, as long as the longest sample, if none are given."""
    shape = tuple(field["longest"] if side is None else side for side in field["shape"])
    x = np.zeros(shape) if x is None else x
    x = x[None] if x.ndim == len(shape) else x
    pairs = zip(field["shape"], x.shape[1:], strict=False)
    if x.ndim != len(shape) + 1 or any(side not in (None, there) for side, there in pairs):
        wanted = str(tuple("length" if side is None else side for side in field["shape"])).replace("'", "")
        raise SystemExit(f"{path} has shape {x.shape}; give one sample of shape {wanted}, or several as (B, *shape)")
    return np.ascontiguousarray(x, dtype="int64" if field["dtype"] == "int64" else "float32")


def shown(outputs_BK: Array) -> list[str]:
    """The prediction for each sample."""
    if FACTS["kind"] == "regression":
        return [",".join(f"{value:.7g}" for value in row) for row in outputs_BK]
    if FACTS["kind"] == "multilabel":
        names = FACTS["class_names"] or list(map(str, range(outputs_BK.shape[1])))
        return [",".join(names[label] for label in np.flatnonzero(row > 0)) or "none" for row in outputs_BK]
    classes = (TABLE or TEXTS).get("classes") or range(outputs_BK.shape[1])
    return [str(classes[label]) for label in outputs_BK.argmax(1)]


def main(arguments: list[str]) -> None:
    names = [name for name in arguments if name in RUNS]
    inputs = samples([one for one in arguments if one not in RUNS])
    alone = [name for name in ("model.onnx", "model.pt2") if (HERE / name).exists()]
    for name in names or alone or ["model.safetensors"]:
        print(f"{name}: {' '.join(shown(RUNS[name](HERE / name, inputs)))}")


if __name__ == "__main__":
    main(sys.argv[1:])
