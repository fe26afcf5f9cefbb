"""The command line: exit codes, streams, and errors."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import parser

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main", "parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 for success, 2 for an invalid spec or argument, 3 for no answer (no student meets the target, or
    the time for a chain was too short), 1 for any other failure.
    """
    arguments = parser().parse_args(argv)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # for `import:` in a spec
    code = _run(arguments)
    if arguments.json and argv is None:  # libraries may print at exit, after the JSON object
        _keep_off_stdout()
    return code


def _run(arguments: argparse.Namespace) -> int:
    try:
        with _stdout_kept() if arguments.json else contextlib.nullcontext():
            found = arguments.run(arguments, _console(arguments.json))
            text = json.dumps(found)
    except KeyboardInterrupt:
        return _failed(arguments, "stopped; run the same command again to resume", 1)
    except BaseException as error:  # user code may raise anything
        return _explained(arguments, error)
    if arguments.json:
        print(text)
    return int(found.get("exit_code", 0))


@contextlib.contextmanager
def _stdout_kept() -> Iterator[None]:
    """Redirects standard output to standard error, including the output of C code and of child processes."""
    with contextlib.ExitStack() as stack, contextlib.redirect_stdout(sys.stderr):
        with contextlib.suppress(OSError):  # standard output is closed
            kept = os.dup(1)
            stack.callback(os.close, kept)
            _keep_off_stdout()
            stack.callback(os.dup2, kept, 1)
            stack.callback(_flush_c)
        yield


def _keep_off_stdout() -> None:
    for stream in (sys.__stdout__, sys.stdout):
        if stream is not None:
            stream.flush()
    os.dup2(2, 1)


def _flush_c() -> None:
    """What C code printed may still be in its buffer."""
    ctypes.CDLL(None).fflush(None)


def _explained(arguments: argparse.Namespace, error: BaseException) -> int:
    from ..spec import AutodistillError, SpecError, UsageError, is_full
    from ..spec.door import with_line
    from ..spec.imports import text_of

    if arguments.debug:
        raise error
    if is_full(error):
        return _failed(arguments, "no space left on the disk; free some space, then run the same command again to resume", 1)
    problems = [problem.as_dict() for problem in error.problems] if isinstance(error, SpecError) else []
    known = isinstance(error, AutodistillError)
    text = str(error) if known else f"{type(error).__name__}: {text_of(error)} (--debug shows where)"
    if isinstance(error, UsageError) and not problems and "spec" in arguments:
        text = with_line(text, Path(arguments.spec), arguments.set)
    return _failed(arguments, text, error.exit_code if isinstance(error, AutodistillError) else 1, problems)


def _failed(arguments: argparse.Namespace, text: str, code: int, problems: Sequence[Mapping[str, object]] = ()) -> int:
    print(text, file=sys.stderr)
    if arguments.json:
        print(json.dumps({"error": text, "exit_code": code, "problems": list(problems)}))
    return code


def _console(json_mode: bool) -> Console:
    """Keeps the real stream, so that output of other code can be kept off it."""
    from ..console import plain

    stream = sys.stderr if json_mode else sys.stdout
    is_terminal = stream.isatty()
    width = None if is_terminal else 160
    return plain(file=stream, soft_wrap=not is_terminal, width=width)
