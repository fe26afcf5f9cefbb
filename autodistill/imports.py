"""Floor 0: a function of one's own by name, for teachers and for data."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .spec.errors import UsageError


def import_function(path: str) -> Callable[..., Any]:
    """What `path`, "package.module:function", names.

    Raises UsageError if the module cannot be imported, or has no such name, or what it names cannot be called.
    """
    place, _, name = path.partition(":")
    module = _module(path, place)
    if not hasattr(module, name):
        raise UsageError(f"{path}: {place} ({module.__file__}) has no {name!r}{_nearest(name, dir(module))}")
    function = getattr(module, name)
    if not callable(function):
        raise UsageError(f"{path}: {name} is of type {type(function).__name__}; name a function that can be called")
    return function  # type: ignore[no-any-return]


def _module(path: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        way = f"install what holds {error.name!r}, or put the folder it lies in on PYTHONPATH"
        raise UsageError(f"{path}: {error}; {way}") from error
    except (Exception, SystemExit) as error:
        message = f"{path}: importing {place} failed with {reason(error)}"
        raise UsageError(f"{message}; try it alone: python -c 'import {place}'") from error


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of its text."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; name a function of it"
