"""What a Python object is: the sha256 of its values and of the code that it runs, equal in every process.

The code is what was loaded, not what its file says now. Installed code counts only by its name.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from ..spec.code import is_installed

PARTS, HOOKS = ("_parameters", "_buffers", "_modules"), ("_forward_hooks", "_forward_pre_hooks")
"""What a module keeps apart from its other attributes; hooks have numbers that differ between processes."""

OTHER = ("__dict__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__")
"""What a class has beside its code."""


def contents(value: object) -> str:
    found = _Contents()
    found.add(value)
    return found.hash.hexdigest()


def is_own(module: str | None) -> bool:
    """Whether nobody installed the Python module of this name."""
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return module == "__main__" or file is not None and not is_installed(Path(file).absolute()) and not is_ours(module)


def is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] == __name__.partition(".")[0]


class _Contents:
    """Adds values one after the other to a hash; a value that was added before counts by its number."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._seen: dict[int, tuple[int, object]] = {}

    def add(self, value: object) -> None:
        if value is None or type(value) in (bool, int, float, complex, str, bytes):
            self._say(f"{type(value).__name__} {value!r}")
        elif isinstance(value, Tensor | np.ndarray):
            self._add_array(value)
        elif id(value) in self._seen:
            self._say(f"again {self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = len(self._seen), value  # kept, so that no other value gets its id
            self._say(type(value).__qualname__)
            for part in _parts(value):
                self.add(part)
            self._say("end")

    def _say(self, text: str) -> None:
        self.hash.update(f"{text}\0".encode(errors="replace"))

    def _add_array(self, value: Tensor | np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
        if isinstance(value, Tensor):
            self._say(str(value.dtype))
            value = value.dequantize() if value.is_quantized else value.to_dense()
            value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().reshape(*value.shape, -1)
        self._say(f"{value.dtype} {value.shape}")
        self.hash.update(np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value).encode())


def _parts(value: object) -> Iterator[object]:
    """What a value consists of, in an order that does not depend on the process."""
    if isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, set | frozenset):
        yield from sorted(map(contents, value))
    elif isinstance(value, dict):
        yield from (part for item in value.items() for part in item)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, property):
        yield from (value.fget, value.fset)
    elif isinstance(value, staticmethod | classmethod):
        yield value.__func__
    elif isinstance(value, functools.cached_property):
        yield value.func
    elif isinstance(value, FunctionType | BuiltinFunctionType | type):
        yield from (value.__module__, value.__qualname__)
        yield from _of_code(value) if is_own(value.__module__) else ()
    elif isinstance(value, CodeType):
        yield from (value.co_code, value.co_consts, value.co_names, value.co_varnames)
    elif isinstance(value, nn.Module):
        yield type(value)
        yield from _of_module(value)
    elif not isinstance(value, ModuleType):
        yield from (type(value), getattr(value, "__wrapped__", None))
        yield from vars(value).items() if is_own(type(value).__module__) and hasattr(value, "__dict__") else ()


def _of_module(value: nn.Module) -> Iterator[object]:
    known = vars(nn.Module())
    for name in PARTS:
        yield getattr(value, name)
    for name in HOOKS:
        yield list(getattr(value, name).values())
    yield {name: one for name, one in sorted(vars(value).items(), key=lambda item: item[0]) if name not in known}


def _of_code(value: object) -> Iterator[object]:
    """The code, the defaults, and the used names of your own function; the bases and the contents of your own class."""
    if isinstance(value, type):
        yield value.__bases__
        yield from (item for item in sorted(vars(value).items(), key=lambda item: item[0]) if item[0] not in OTHER)
    elif isinstance(value, FunctionType):
        yield from (value.__code__, value.__defaults__, value.__kwdefaults__)
        yield from map(_held, value.__closure__ or ())
        yield from _of_globals(value, set(_names([value.__code__])))


def _held(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _of_globals(value: FunctionType, names: set[str]) -> Iterator[object]:
    for name in sorted(names & value.__globals__.keys()):
        found = value.__globals__[name]
        if isinstance(found, ModuleType) and is_own(found.__name__):
            used = {one for code in _codes([value.__code__]) for one in code.co_names}
            yield from ((one, getattr(found, one)) for one in sorted(used) if hasattr(found, one))
        else:
            yield name, found


def _codes(codes: Iterable[CodeType]) -> Iterator[CodeType]:
    """These and those within them."""
    for code in codes:
        yield code
        yield from _codes(one for one in code.co_consts if isinstance(one, CodeType))


def _names(codes: Iterable[CodeType]) -> Iterator[str]:
    """The global names that code reads."""
    for code in _codes(codes):
        yield from (one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
