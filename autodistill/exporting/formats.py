"""The export formats: how each is created, how it is run from its file alone, and whether that reproduces the network.

Each takes the raw numbers of the data by name, such as `x` (B, *shape) float32, and returns logits_BK. B is free, and so is the
length of an input with an open axis, which comes with its mask.
Shape suffixes: B batch, N validation samples, K classes.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..data import Columns, InputSpec
from ..data.columns import X
from ..data.inputs import BATCH
from ..distill import Data
from ..distill.lengths import by_length
from ..distill.networks import NUMBERS, plain_state
from ..distill.predictions import batch_for, checked_logits
from ..metrics.metric import outcome
from ..models import Inputs, Network, build
from ..models.plain import plain
from ..spec import Value
from ..spec.architectures import ARCHITECTURE as SCHEMA
from ..spec.arrays import Array
from ..spec.value import Json

Run = Callable[[Inputs], Tensor]
"""A batch on the CPU, tensors by name as `InputSpec.tensors` lists them -> logits_BK."""
ARCHITECTURE, SAFETENSORS, ONNX, PT2 = "architecture.json", "model.safetensors", "model.onnx", "model.pt2"
COLUMNS, ENCODE = "columns.json", "encode.py"
"""How the rows of a table become inputs: what was fitted, and the code that applies it."""
TEXTS = "texts.json"
"""How texts become token ids, beside the tokenizer.json."""
ROUNDING = 1e-3
"""Relative to the largest logit: how much another order of float32 sums may change. Our families change about 1e-6."""
FLOAT32 = 1e-6
"""The rounding error of a float32, relative to it, with a margin of a few times."""
INSTALL = "pip install 'autodistill-search[onnx]'"


class Called(nn.Module):
    """What runs a file, as a network whose latency can be measured."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, inputs: Inputs) -> Tensor:
        return self.run(inputs)


def called(module: Callable[..., Tensor], inputs: InputSpec) -> Run:
    """A module with the inputs of `Plain` or `Named` as a run."""
    return (lambda batch: module(batch[X])) if inputs.only is not None else (lambda batch: module(**batch))


class Source:
    """A network on the CPU, in eval mode and frozen, and its graph, from which both graph formats are made.

    `data` are those of the network, where they are known.
    """

    def __init__(self, network: Network, inputs: InputSpec, data: Data | None = None) -> None:
        self.network, self.inputs, self.data = network, inputs, data
        self.output = "logits" if network.target_scale is None else "values"
        self.plain: nn.Module = plain(network, inputs)

    @property
    def run(self) -> Run:
        return called(self.plain, self.inputs)

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """Raises whatever torch.export raises for a module that it cannot trace."""
        batch = self.inputs.dummy(2)  # with one sample, the batch size would be taken as a constant
        some, any_length = torch.export.Dim(BATCH), torch.export.Dim.DYNAMIC  # torch finds the least length by itself
        free = {
            name: {place: some if axis == BATCH else any_length for place, axis in axes.items()}
            for name, axes in self.inputs.dynamic_axes().items()
        }
        if self.inputs.only is not None:
            program = torch.export.export(self.plain, (batch[X],), dynamic_shapes=(free[X],))
        else:
            program = torch.export.export(self.plain, (), batch, dynamic_shapes=free)
        for module in program.graph_module.modules():
            for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                node.meta.pop("stack_trace", None)  # contains paths of this machine
        return program


def safetensors_of(source: Source) -> bytes:
    content: bytes = save(plain_state(source.network))
    return content


def pt2_of(source: Source) -> bytes:
    stream = io.BytesIO()
    torch.export.save(source.program, stream)
    return stream.getvalue()


def onnx_of(source: Source) -> bytes:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        importlib.import_module(name)  # a file that cannot be run is not written
    names = list(source.inputs.tensors())
    program = torch.onnx.export(source.program, input_names=names, output_names=[source.output], verbose=False)
    assert program is not None
    model = program.model_proto
    _strip(model.graph)
    axes = source.inputs.dynamic_axes()
    for value in (*model.graph.input, *model.graph.output):
        for place, axis in axes.get(value.name, {0: BATCH}).items():
            value.type.tensor_type.shape.dim[place].dim_param = axis
    content: bytes = model.SerializeToString()
    return content


def _strip(graph: Any) -> None:
    """Removes the exporter's notes: they contain paths of this machine and are most of the file of a small network."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    del graph.value_info[:]
    for node in graph.node:
        node.ClearField("doc_string")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


def run_safetensors(path: Path, threads: int) -> Run:
    """The network, rebuilt from the file and from architecture.json beside it."""
    facts = facts_beside(path)
    inputs, numbers = inputs_in(facts), {name: facts.get(name) for name in NUMBERS}
    network = build(SCHEMA.validate_python(facts["architecture"]), inputs=inputs, classes=facts["classes"], **numbers)
    network.load_state_dict(load_file(path))
    return Source(network.eval().requires_grad_(False), inputs).run


def facts_beside(path: Path) -> Json:
    """The content of architecture.json beside a file."""
    found: Json = json.loads((path.parent / ARCHITECTURE).read_bytes())
    return found


def inputs_in(facts: Json) -> InputSpec:
    return InputSpec.model_validate({"fields": facts["inputs"]})


def run_pt2(path: Path, threads: int) -> Run:
    return called(torch.export.load(path).module(), inputs_in(facts_beside(path)))


def run_onnx(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    output = facts_beside(path)["output"]["name"]
    return lambda batch: torch.from_numpy(session.run([output], {name: one.numpy() for name, one in batch.items()})[0])


class Format(NamedTuple):
    """`content` creates the bytes of the file, or those of the files of a folder by name; `run` loads only these, for a number
    of threads.
    """

    content: Callable[[Source], bytes | dict[str, bytes]]
    run: Callable[[Path, int], Run]
    loaded_by: str


FORMATS: dict[str, Format] = {
    SAFETENSORS: Format(safetensors_of, run_safetensors, "autodistill.models.build with architecture.json"),
    ONNX: Format(onnx_of, run_onnx, "onnxruntime, on the CPU"),
    PT2: Format(pt2_of, run_pt2, "torch.export.load"),
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps messages of exporters off the terminal; they raise what they cannot do."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# Whether a file reproduces the outputs of its network


def outputs(run: Run, data: Data) -> Tensor:
    """logits_NK of the validation samples, the first one in a batch of its own: graphs may be wrong for single samples only.

    Raises StageFailed if they are not finite or do not match the data's classes, and whatever `run` raises.
    """
    rows = np.arange(len(data.validation_y))
    found_NK = run_on(run, data.validation_x, [rows[:1], *batches(data.validation_x, rows[1:], batch_for(data))], data.inputs)
    return checked_logits(found_NK, data.classes)


def batches(x: Columns, rows: Array, most: int) -> list[Array]:
    """The rows in batches of at most so many samples, texts by length."""
    if x.tokens is not None:
        return [rows[one] for one in by_length(x.tokens[rows], most)]
    return [rows[start : start + most] for start in range(0, len(rows), most)]


def run_on(run: Run, x: Columns, rows: Sequence[Array], inputs: InputSpec) -> Tensor:
    """outputs_NK of the samples x, which are given in batches of these rows.

    Files take float32, but for integers and masks. Raises ValueError for outputs of another shape, and whatever `run` raises.
    """
    forms, found = inputs.tensors(), list[Tensor]()
    with torch.inference_mode():
        for one in rows:
            batch = x.batch(one)
            found.append(run({name: torch.from_numpy(np.array(part, dtype=forms[name].dtype)) for name, part in batch.items()}))
            if found[-1].ndim != 2 or len(found[-1]) != len(one):
                raise ValueError(f"the outputs of a batch of {len(one):,} have shape {tuple(found[-1].shape)}")
    order = torch.from_numpy(np.argsort(np.concatenate(rows)))
    return torch.cat(found)[order]


class Compared(Value):
    """The `largest` absolute difference of outputs, `flipped` predictions, and correct predictions, `correct` of `n` samples.

    With several labels, a prediction is about one of them. Values of a regression have only differences.
    """

    largest: float
    flipped: int | None
    correct: int | None
    n: int


def compared(found_NK: Tensor, wanted_NK: Tensor, data: Data) -> Compared:
    labels = np.array(data.validation_y)
    found, wanted = (outcome(one, labels).predicted for one in (found_NK, wanted_NK))
    values = data.kind == "regression"
    return Compared(
        largest=float((found_NK - wanted_NK).abs().max()),
        flipped=None if values else int((found != wanted).sum()),
        correct=None if values else int((found == labels).sum()),
        n=len(wanted_NK),
    )


def refusal(found: Compared, wanted_NK: Tensor) -> str | None:
    """Why a file is left out; None if all its differences are due to rounding.

    A prediction can only flip if the two largest logits are closer than twice the largest difference: if that is due to
    rounding, so is every flip.
    """
    largest = float(wanted_NK.abs().max())
    allowed = ROUNDING * max(1.0, largest)
    if found.flipped is None:  # values have any scale
        allowed = ROUNDING * float((wanted_NK.amax(0) - wanted_NK.amin(0)).min()) + FLOAT32 * largest
    if found.largest <= allowed:
        return None
    what = f"differ from PyTorch's by up to {found.largest:.2g}, more than rounding explains ({allowed:.2g})"
    if found.flipped is None:
        return f"its values {what}"
    return f"its logits {what}, and {found.flipped:,} of {found.n:,} predictions differ"
