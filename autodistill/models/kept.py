"""A module given from Python, kept as a file from which every process makes it again: the teacher of a notebook.

The file holds the module on the CPU in eval mode, pickled with the code of your own classes, so it needs neither the notebook
nor the script that made it. Unpickling runs code: a study directory with such a file is to be trusted like a program.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import cloudpickle
from torch import nn

from ..spec import UsageError
from ..spec.imports import reason
from .contents import contents, is_own


def keep(given: nn.Module, folder: Path) -> dict[str, str]:
    """Writes a module into `folder`, an equal one only once. Returns the arguments by which `module` makes it again.

    Raises UsageError if it cannot be copied to the CPU or pickled.
    """
    name = type(given).__name__
    try:
        plain = copy.deepcopy(given).cpu().eval()
    except Exception as error:  # weights on the meta device, tensors that are not leaves
        raise UsageError(f"teacher: {name} cannot be copied to the CPU ({reason(error)}); {_way(name)}") from error
    digest = contents(plain)
    path = (folder / f"teacher-{digest[:16]}.pkl").absolute()
    if not path.exists():
        content = _pickled(plain, name)
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(path)
    return {"name": name, "digest": digest, "path": str(path)}


def module(name: str, digest: str, path: str) -> nn.Module:
    """The module of a file that `keep` wrote; `name` and `digest` say what it is, wherever the file is."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        way = "give it again: search(..., teacher=...)"
        raise UsageError(f"{path} of the teacher {name} ({digest[:8]}) cannot be read: {error.strerror}; {way}") from None
    found: nn.Module = cloudpickle.loads(content)
    return found


def _pickled(given: nn.Module, name: str) -> bytes:
    with ExitStack() as stack:
        for place in _own_modules(given):
            cloudpickle.register_pickle_by_value(place)
            stack.callback(cloudpickle.unregister_pickle_by_value, place)
        try:
            content: bytes = cloudpickle.dumps(given)
        except Exception as error:  # a lock, an open file, a generator
            raise UsageError(f"teacher: {name} cannot be pickled ({reason(error)}); {_way(name)}") from error
    return content


def _way(name: str) -> str:
    return (
        f"save its state_dict, and use teacher: {{checkpoint: FILE, architecture: ...}}, or import a function that makes {name}"
    )


def _own_modules(given: nn.Module) -> Iterator[ModuleType]:
    """The Python modules of its classes that no package manager installed; __main__ is pickled by value anyway."""
    for name in sorted({type(one).__module__ for one in given.modules()}):
        if name != "__main__" and is_own(name):
            yield sys.modules[name]
