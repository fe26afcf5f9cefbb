"""Floor 0: a function of one's own by name, for teachers and for data."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from .spec.errors import UsageError

RETURNED = 77
"""The exit code of a probe whose function returned or raised."""
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
"""Modules that this process imports for a spec alone."""


def probe(path: str, arguments: Mapping[str, Any]) -> None:
    """Calls what `path` names in a process of its own first: code that ends its process must not end this one.

    Once for each call, and not where a caller's own code has imported the module before (Python's own modules count for
    nothing here). What the function raises is said when it is called here. Raises UsageError when the process does not
    come back.
    """
    place = path.partition(":")[0]
    if place in _imported or place not in sys.modules or place.partition(".")[0] in sys.stdlib_module_names:
        _imported.add(place)
        _probed(path, json.dumps(arguments, sort_keys=True))


@functools.lru_cache
def _probed(path: str, arguments: str) -> None:
    place, _, name = path.partition(":")
    paths = [one for one in sys.path if isinstance(one, str)]  # Python itself passes over all others
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile() as said:  # a pipe would wait for its helpers too
        json.dump([paths, place, name, json.loads(arguments)], given)
        given.seek(0)
        command, silence = [sys.executable, "-c", PROBE], subprocess.DEVNULL
        with subprocess.Popen(command, stdin=given, stdout=silence, stderr=said, start_new_session=True) as child:
            try:
                code = child.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
        said.seek(0)
        written = said.read().decode(errors="replace").strip().splitlines()[-3:]
    if code != RETURNED:
        last = f"; it last wrote: {' | '.join(written)[-500:]}" if written else ""
        alone = f"python -c 'import {place}; {place}.{name}(...)'"
        raise UsageError(f"{path} ended its process {_end(code)}{last}; run it alone: {alone}")


def _end(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"


def import_function(path: str) -> Callable[..., Any]:
    """What `path`, "package.module:function", names.

    Raises UsageError if the module cannot be imported, or has no such name, or what it names cannot be called.
    """
    place, _, name = path.partition(":")
    module = _module(path, place)
    with running(f"{path}: {place}"):
        if not hasattr(module, name):
            file = getattr(module, "__file__", None) or "built in"
            raise UsageError(f"{path}: {place} ({file}) has no {name!r}{_nearest(name, dir(module))}")
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"{path}: importing {place} failed with {reason(error)}"
        raise UsageError(f"{message}; try it alone: python -c 'import {place}'") from error


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
    """Says in a UsageError what one's own code raises, which may be anything; Ctrl-C stays what it is."""
    try:
        yield
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageError(f"{what} failed with {reason(error)}") from error


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of its text."""
    return ": ".join([type(error).__name__, *text_of(error).splitlines()[:1]])


def text_of(error: BaseException) -> str:
    """An error's whole text."""
    try:
        return str(error)
    except Exception:  # one's own class may fail here too
        return "its message cannot be printed"


def shown(value: object) -> str:
    """A value and its type."""
    try:
        return f"{value!r:.80} of type {type(value).__name__}"
    except Exception:  # one's own class may fail here too
        return f"a value of type {type(value).__name__}"


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; name a function of it"
