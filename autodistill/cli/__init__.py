"""The command line: arguments and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import commands

if TYPE_CHECKING:
    from rich.console import Console


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
    from rich.console import Console

    stream = sys.stderr if json_mode else sys.stdout
    return Console(
        file=stream, soft_wrap=not stream.isatty(), width=None if stream.isatty() else 160, highlight=False, markup=False
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Exit code 2; prints a JSON object with --json."""
        if "--json" in sys.argv:
            print(json.dumps({"error": message, "exit_code": 2, "problems": []}))
        super().error(message)


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="autodistill", description="Search for the smallest distilled student that is accurate enough.")
    those = top.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    _takes_init(_command(those, "init", commands.init, "look at a data set and write a spec for it"))
    _command(those, "schema", commands.schema, "print the JSON Schema of a spec, with which editors complete and check it")
    one = _command(those, "check", commands.check, "show what a search would do, without training anything")
    _takes_spec(one)
    _takes_search(_command(those, "search", commands.search, "run the search of a spec, or resume it"))
    one = _command(those, "confirm", commands.confirm, "retrain the frontier with fresh seeds, then open the test split")
    _takes_confirm(one)
    _takes_students(one)
    _takes_smallest(_command(those, "smallest", commands.smallest, "find the smallest student that is shown to meet a target"))
    _takes_export(
        _command(those, "export", commands.export, "write a network as files that run without the study; each file is verified")
    )
    _takes_predict(_command(those, "predict", commands.predict, "apply an exported network to samples and print predictions"))
    _takes_chain(_command(those, "chain", commands.chain, "find out which assistants help one student, if any"))
    one = _command(those, "report", commands.report, "write the report page of a study, with its tables and pictures")
    _takes_study(one)
    _takes_wanted(one)
    one = _command(those, "watch", commands.watch, "serve the report on this machine while a search runs; changes nothing")
    _takes_study(one)
    one.add_argument("--port", type=int, default=8300, metavar="N", help="port on 127.0.0.1; 0: any free port (default: 8300)")
    one = _command(those, "compare", commands.compare, "compare the frontiers of several studies on one page")
    one.add_argument("studies", metavar="STUDY", nargs="+", help="study directories (the --out of each search), or their specs")
    one.add_argument("--to", metavar="DIR", default="reports/compare", help="output directory (default: reports/compare)")
    one = _command(
        those, "explain", commands.explain, "explain one stage: its chain, its numbers, and the command that trains it again"
    )
    one.add_argument("study", metavar="STUDY", help="study directory (--out of the search), or its spec")
    one.add_argument("key", metavar="KEY", help="the stage's key, or the beginning of it")
    return top


def _command(those: Any, name: str, run: Callable[..., commands.Result], text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = those.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
    one.set_defaults(run=run)
    one.add_argument("--json", action="store_true", help="print exactly one JSON object; other output goes to standard error")
    one.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return one


def _takes_init(one: argparse.ArgumentParser) -> None:
    one.add_argument("data", metavar="DATA", help="a file, a folder, or a name that task.dataset accepts")
    one.add_argument("--label", metavar="COLUMN", help="the column of a table that holds the labels")
    one.add_argument(
        "--kind",
        choices=("classification", "multilabel", "regression"),
        help="what the labels are (default: guessed from the labels)",
    )
    one.add_argument(
        "--teacher",
        metavar="NAME",
        help="package.module:function, a stage of a study, a timm model, or a folder of transformers (default: trained first)",
    )
    one.add_argument("--target", type=_target, metavar="NAME=VALUE", help="the target of a metric, such as accuracy=0.95")
    one.add_argument("--to", metavar="FILE", help="the spec to write (default: named after the data, in this directory)")
    one.add_argument("--force", action="store_true", help="replace the file if it exists")


def _takes_spec(one: argparse.ArgumentParser) -> None:
    one.add_argument("spec", metavar="SPEC", help="a YAML file, or the directory of its study")
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the spec, such as search.trials=8"
    )


def _takes_search(one: argparse.ArgumentParser) -> None:
    _takes_spec(one)
    one.add_argument("--out", metavar="DIR", help="the study directory (default: reports/<study>)")
    one.add_argument(
        "--store", metavar="DIR", help="directory of the stages, which studies may share (default: in the study directory)"
    )
    _takes_runner(one)
    one.add_argument(
        "--log",
        action="append",
        default=[],
        choices=("tensorboard", "mlflow", "wandb"),
        help="log every trial to this tracker, in addition to those in the spec's `log`; may be given several times",
    )
    one.add_argument("--fresh", action="store_true", help="delete the trials of the study; keep the stages")
    one.add_argument("--extend", action="store_true", help="run more trials, or continue in a changed space")
    one.add_argument("--from", dest="older", metavar="DIR", help="start with those trials of an older study that fit the spec")
    one.add_argument("--retry-failed", action="store_true", help="train failed stages again")


def _takes_study(one: argparse.ArgumentParser) -> None:
    one.add_argument("study", metavar="STUDY", help="study directory (--out of the search), or its spec")


def _takes_confirm(one: argparse.ArgumentParser) -> None:
    _takes_study(one)
    one.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="fresh seeds of each student and its baselines (default: 5)"
    )
    one.add_argument("--force", action="store_true", help="open the test split again; every report says so")
    _takes_runner(one)


def _takes_students(one: argparse.ArgumentParser) -> None:
    text = "retrain only students whose keys begin so; other members of the frontier are used as they were searched"
    one.add_argument("--only", nargs="+", default=[], metavar="KEY", help=text)
    text = "do not train the students from labels alone and without assistants"
    one.add_argument("--no-baselines", dest="baselines", action="store_false", help=text)


def _takes_runner(one: argparse.ArgumentParser) -> None:
    one.add_argument("--runner", choices=("ray", "serial"), default="ray", help="ray: all cores; serial: one process")
    one.add_argument("--address", metavar="ADDRESS", help="the running Ray cluster to join; auto: that of this node")


def _takes_smallest(one: argparse.ArgumentParser) -> None:
    _takes_confirm(one)
    one.add_argument(
        "--within", type=_duration, metavar="TIME", help="first continue the search, for at most this time, such as 30m or 2h"
    )
    _takes_wanted(one)


def _takes_wanted(one: argparse.ArgumentParser) -> None:
    one.add_argument("--target", type=_target, metavar="NAME=VALUE", help="the target of a metric, such as f1_macro=0.9")
    one.add_argument(
        "--accuracy", dest="target", type=_accuracy, metavar="SHARE", help="short for --target accuracy=SHARE, such as 0.95"
    )
    one.add_argument(
        "--retain", type=float, metavar="SHARE", help="the target as a share of the teacher's metric, such as 0.97"
    )
    one.add_argument("--params", type=int, metavar="N", help="maximum number of parameters")
    one.add_argument("--bytes", type=int, metavar="N", help="maximum bytes in float32")
    one.add_argument("--latency-ms", type=float, metavar="MS", help="maximum median latency of one sample")
    one.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="confidence of the claim (default: 0.95)")


def _target(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give a metric and its value, such as accuracy=0.95") from None


def _accuracy(text: str) -> tuple[str, float]:
    return "accuracy", float(text)


def _duration(text: str) -> float:
    from ..spec.value import seconds_of

    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _takes_export(one: argparse.ArgumentParser) -> None:
    _takes_study(one)
    one.add_argument("--to", required=True, metavar="DIR", help="output directory; must be new or empty")
    one.add_argument("--stage", metavar="KEY", help="key of a network, or its beginning (default: the answer of smallest)")
    _takes_wanted(one)


def _takes_predict(one: argparse.ArgumentParser) -> None:
    one.add_argument("export", metavar="EXPORT", help="directory of an export (--to)")
    one.add_argument(
        "samples",
        metavar="SAMPLES",
        help="a .csv, .parquet or .json file of rows or texts (also .jsonl, .txt), a folder of images, or a .npz file",
    )
    one.add_argument("--out", metavar="FILE", help="write the predictions to this CSV file instead of printing them")


def _takes_chain(one: argparse.ArgumentParser) -> None:
    one.add_argument("spec", metavar="SPEC", help="a YAML file, or the directory of its study, whose stages are reused")
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the spec, such as seed=1"
    )
    one.add_argument(
        "--student", required=True, metavar="FIELDS", help="fields of the student's architecture, such as depth=1,width=4"
    )
    one.add_argument(
        "--time", type=_duration, metavar="TIME", help="start no new round after this time, such as 90s, 10m or 1h"
    )
    one.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="seeds of each candidate; the first seed chooses paths (default: 5)"
    )
    one.add_argument("--out", metavar="DIR", help="output directory (default: in reports/<study>)")
    one.add_argument(
        "--store", metavar="DIR", help="directory of the stages, which studies may share (default: in the study directory)"
    )
    _takes_runner(one)
