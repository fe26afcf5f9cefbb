"""Your own functions, imported by name, for networks and for data."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import UsageError

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
RETURNED = 77
"""The exit code of a probe process whose function returned or raised, and did not crash."""
PROBE = f"""
import importlib, json, os, sys
sys.path[:], place, name, arguments = json.load(sys.stdin)
try:
    getattr(importlib.import_module(place), name)(**arguments)
except BaseException:
    pass
os._exit({RETURNED})
"""
_imported: set[str] = set()
"""Modules that this process imported only because a spec names them."""


def probe(path: str, arguments: Mapping[str, object], through: str | None = None) -> None:
    """Calls the function `path` in a separate process first, so that code that crashes its process does not crash this one.

    `through` names another function that is called instead and that calls `path`. Runs once for the same function and
    arguments, and not at all if the caller had already imported the module (modules of the standard library are always
    probed). Ignores exceptions: the later call in this process reports them. Raises UsageError if the separate process exits
    or crashes before the function returns. Functions of this package are not probed.
    """
    place = path.partition(":")[0]
    if place.partition(".")[0] == __name__.partition(".")[0]:
        return
    if place in _imported or place not in sys.modules or place.partition(".")[0] in sys.stdlib_module_names:
        _imported.add(place)
        _probed(path, json.dumps(arguments, sort_keys=True), through or path)


@functools.lru_cache
def _probed(path: str, arguments: str, called: str) -> None:
    place, _, name = called.partition(":")
    paths = [one for one in sys.path if isinstance(one, str)]  # Python itself ignores all others
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile() as output:  # a pipe would wait for its children, too
        json.dump([paths, place, name, json.loads(arguments)], given)
        given.seek(0)
        command, silence = [sys.executable, "-c", PROBE], subprocess.DEVNULL
        with subprocess.Popen(command, stdin=given, stdout=silence, stderr=output, start_new_session=True) as child:
            try:
                code = child.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
        output.seek(0)
        written = output.read().decode(errors="replace").strip().splitlines()[-3:]
    if code != RETURNED:
        last = f"; last output: {' | '.join(written)[-500:]}" if written else ""
        place, _, name = path.partition(":")
        alone = f"python -c 'import {place}; {place}.{name}(...)'"
        raise UsageError(f"{path}: its process {_end(code)}{last}; run it alone: {alone}")


def _end(code: int) -> str:
    if code >= 0:
        return f"exited with code {code} before the function returned"
    with contextlib.suppress(ValueError):
        return f"was terminated by {signal.Signals(-code).name}"
    return f"was terminated by signal {-code}"


def import_function(path: str) -> Callable[..., Any]:
    """The function that `path`, "package.module:function", names.

    Raises UsageError if the module cannot be imported or has no such name, or if the object cannot be called.
    """
    place, _, name = path.partition(":")
    with running(f"{path}: importing {place}", f"; try it alone: python -c 'import {place}'"):
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            way = f"install the package that provides {error.name!r}, or add its folder to PYTHONPATH"
            raise UsageError(f"{path}: {error}; {way}") from error
    with running(f"{path}: {place}"):
        if not hasattr(module, name):
            file = getattr(module, "__file__", None) or "built in"
            near = difflib.get_close_matches(name, dir(module), n=1)
            way = f"did you mean {near[0]!r}?" if near else "name a function in that module"
            raise UsageError(f"{path}: {place} ({file}) has no {name!r}; {way}")
        function: object = getattr(module, name)
    if not callable(function):
        raise UsageError(f"{path}: {name} is of type {type(function).__name__}, which is not callable; name a function")
    return function


def arguments_for(
    path: str, function: Callable[..., Any], given: Mapping[str, object], offered: Mapping[str, object]
) -> dict[str, object]:
    """The keyword arguments to call a function with: all that are `given`, and those that are `offered` if its signature names
    them.

    Raises UsageError, with the signature, for an argument that the function does not take and for one that it lacks.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return dict(given)
    known = {name: one for name, one in signature.parameters.items() if one.kind not in (one.POSITIONAL_ONLY, *VARIADIC)}
    found = {name: value for name, value in offered.items() if name in known} | dict(given)
    plain = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    shown_ = f"{path}{signature.replace(parameters=plain, return_annotation=signature.empty)}"
    if not any(one.kind == one.VAR_KEYWORD for one in signature.parameters.values()):
        for name in found:
            if name not in known:
                near = difflib.get_close_matches(name, known.keys() - found.keys(), n=1)
                way = f"did you mean {near[0]!r}?" if near else "remove it"
                raise UsageError(f"{shown_} has no argument {name!r}; {way}")
    lacking = [name for name, one in known.items() if one.default is one.empty and name not in found]
    if lacking:
        what = ", ".join(map(repr, lacking))
        way = f"add {what} beside import, or to the arguments of a teacher"
        raise UsageError(f"{shown_} lacks its argument{'s' * (len(lacking) > 1)} {what}; {way}")
    return found


@contextlib.contextmanager
def running(what: str, way: str = "") -> Iterator[None]:
    """Turns any exception of user code into a UsageError, which ends in `way`; KeyboardInterrupt passes through."""
    try:
        yield
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageError(f"{what} failed with {reason(error)}{way}") from error


def reason(error: BaseException) -> str:
    """The type of an error and the first line of its message."""
    return ": ".join([type(error).__name__, *text_of(error).splitlines()[:1]])


def text_of(error: BaseException) -> str:
    """The full message of an error."""
    try:
        return str(error)
    except Exception:  # a user's class may raise here, too
        return "its message cannot be printed"


def shown(value: object) -> str:
    """A value and its type, on one line."""
    try:
        return f"{' '.join(repr(value).split()):.80} of type {type(value).__name__}"
    except Exception:  # a user's class may raise here, too
        return f"a value of type {type(value).__name__}"
