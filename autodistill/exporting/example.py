"""Runs the network in this folder: python example.py [SAMPLES.npy] [model.onnx | model.pt2 | model.safetensors]...

SAMPLES.npy contains one or more samples: raw numbers as in the training data, channels first (`shape` in architecture.json).
Without it, one sample of zeros is classified. model.onnx needs numpy and onnxruntime, model.pt2 needs torch in the version
that card.md names, and model.safetensors needs autodistill, which builds the network. Without file names, model.onnx and
model.pt2 are run if they exist. Prints the class of each sample as a number.

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


def run_onnx(path: Path, x: Array) -> Array:
    """x (B, *shape) float32 -> logits_BK."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"x": x})[0])


def run_pt2(path: Path, x: Array) -> Array:
    """x (B, *shape) float32 -> logits_BK."""
    import torch

    network = torch.export.load(path).module()
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(x)))


def run_safetensors(path: Path, x: Array) -> Array:
    """x (B, *shape) float32 -> logits_BK, by the network that autodistill builds from architecture.json."""
    import torch
    from safetensors.torch import load_file

    from autodistill.models import build
    from autodistill.spec.architectures import ANY_ARCHITECTURE

    architecture = ANY_ARCHITECTURE.validate_python(FACTS["architecture"])
    numbers = {name: FACTS[name] for name in ("classes", "mean", "std")}
    network = build(architecture, shape=tuple(FACTS["shape"]), **numbers)
    network.load_state_dict(load_file(path))
    with torch.inference_mode():
        return np.asarray(network.eval()({"x": torch.from_numpy(x)}).logits)


RUNS: dict[str, Callable[[Path, Array], Array]] = {
    "model.onnx": run_onnx,
    "model.pt2": run_pt2,
    "model.safetensors": run_safetensors,
}


def samples(path: str | None) -> Array:
    """(B, *shape) float32: bytes are numbers from 0 to 255."""
    shape = tuple(FACTS["shape"])
    x = np.zeros(shape) if path is None else np.load(path)
    x = x[None] if x.shape == shape else x
    if x.shape[1:] != shape:
        raise SystemExit(f"{path} has shape {x.shape}; give one sample of shape {shape}, or several as (B, *shape)")
    return np.ascontiguousarray(x, dtype=np.float32)


def main(arguments: list[str]) -> None:
    names = [name for name in arguments if name in RUNS]
    paths = [name for name in arguments if name not in RUNS]
    if len(paths) > 1:
        raise SystemExit(f"{paths[1]} is not one of {', '.join(RUNS)}; give only one file of samples")
    x = samples(paths[0] if paths else None)
    alone = [name for name in ("model.onnx", "model.pt2") if (HERE / name).exists()]
    for name in names or alone or ["model.safetensors"]:
        logits_BK = RUNS[name](HERE / name, x)
        print(f"{name}: {' '.join(map(str, logits_BK.argmax(1)))}")


if __name__ == "__main__":
    main(sys.argv[1:])
