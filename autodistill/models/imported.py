"""Networks of your own: calls the function or class that a spec names.

It is called by name with the arguments in the spec and, if its signature names them, with `inputs`, the InputSpec of the data,
and `outputs`, the number of classes. What it returns takes the raw numbers of the data.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..data import InputSpec
from ..spec import BuildError, Imported, UsageError
from ..spec.imports import arguments_for, import_function, probe, reason, running, shown

HERE = ("cpu", "meta")
LOADED_NOTHING = r".*copying from a non-meta parameter"
"""What torch says where a network is built without weights, to measure its sizes, and the function loads some."""
CUDA = "; build it on the CPU: autodistill moves it to the GPU"


def build_imported(architecture: Imported, inputs: InputSpec, outputs: int) -> nn.Module:
    """The module that the function returns, on the CPU: the inputs by name -> logits_BK.

    Raises UsageError if the function cannot be imported, does not take such arguments, or does not return a torch.nn.Module;
    BuildError if it raises, which it may do for some arguments only.
    """
    path = architecture.factory
    function = import_function(path)
    offered = {"inputs": inputs, "outputs": outputs}
    arguments = arguments_for(path, function, architecture.arguments, offered)
    call = f"{path}({', '.join(f'{name}={value!r}' for name, value in architecture.arguments.items())})"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=LOADED_NOTHING)
            module = function(**arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        way = CUDA if any(word in reason(error).lower() for word in ("cuda", "nvidia")) else ""
        raise BuildError(f"{call} failed with {reason(error)}{way}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"{call} returned {shown(module)}; return a torch.nn.Module")
    return module if all(tensor.device.type in HERE for tensor in _tensors(module)) else module.cpu()


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def probe_imported(architecture: Imported, inputs: InputSpec, outputs: int) -> None:
    """Builds it in a separate process first, without weights: a crash there does not end this process. See `probe`."""
    given = {"architecture": architecture.model_dump(), "inputs": inputs.model_dump(), "outputs": outputs}
    probe(architecture.factory, given, through=f"{__name__}:try_build")


def try_build(architecture: Mapping[str, object], inputs: Mapping[str, object], outputs: int) -> None:
    """What the separate process calls."""
    with torch.device("meta"):
        build_imported(Imported.model_validate(architecture), InputSpec.model_validate(inputs), outputs)


def can_inherit(student: nn.Module) -> bool:
    """Whether its class says itself how it takes over weights."""
    return callable(getattr(student, "inherit", None))


def inherit_own_way(student: nn.Module, teacher: nn.Module) -> None:
    """Calls `student.inherit(teacher)`. Raises UsageError if that raises."""
    own: Any = student
    with running(f"{type(student).__name__}.inherit"), torch.no_grad():
        own.inherit(teacher)
