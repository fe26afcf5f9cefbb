"""The commands with their arguments, in groups, as `--help` and the completion of shells show them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..version import __version__
from . import commands

PROGRAM = "autodistill"
PURPOSE = "Search for the smallest distilled student that is accurate enough."
WIDTH = 12
"""Of the names of commands."""


class Command(NamedTuple):
    """A command: its name, what it does, what its help says, and commands that people type; `takes` adds its arguments."""

    name: str
    run: Callable[..., commands.Result]
    text: str
    examples: Sequence[str]
    takes: Callable[[argparse.ArgumentParser], None]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Exit code 2; prints a JSON object with --json."""
        if "--json" in sys.argv:
            print(json.dumps({"error": message, "exit_code": 2, "problems": []}))
        super().error(message)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves the list of commands to the groups below it."""

    def _format_action(self, action: argparse.Action) -> str:
        return "" if isinstance(action, argparse._SubParsersAction) else super()._format_action(action)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = _Parser(prog=PROGRAM, description=PURPOSE, epilog=_overview(), formatter_class=_Help)
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    those = top.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_Parser)
    for command in _all():
        text = command.text[:1].upper() + command.text[1:] + "."
        shown = "\n".join(["examples:", *(f"  {example}" for example in command.examples)])
        one = those.add_parser(command.name, help=command.text, description=text, epilog=shown, formatter_class=_Help)
        one.set_defaults(run=command.run, top=top)
        command.takes(one)
        output = one.add_argument_group("output")
        output.add_argument(
            "--json", action="store_true", help="print exactly one JSON object; all else goes to standard error"
        )
        output.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return top


def _all() -> Iterator[Command]:
    for members in GROUPS.values():
        yield from members


def _overview() -> str:
    """The commands in groups, and how people begin."""
    lines = []
    for title, members in GROUPS.items():
        lines += [f"{title}:", *(f"  {one.name:{WIDTH}}{one.text}" for one in members), ""]
    lines += ["examples:", *(f"  {line}" for line in BEGIN), "", f"{PROGRAM} COMMAND --help shows the arguments of a command."]
    return "\n".join(lines)


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


def _takes_nothing(one: argparse.ArgumentParser) -> None:
    """Of commands that have no arguments of their own."""


def _takes_spec(one: argparse.ArgumentParser) -> None:
    one.add_argument("spec", metavar="SPEC", help="a YAML file, or the directory of its study")
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the spec, such as search.trials=8"
    )


def _takes_search(one: argparse.ArgumentParser) -> None:
    _takes_spec(one)
    _takes_places(one, "reports/<study>")
    one.add_argument(
        "--log",
        action="append",
        default=[],
        choices=("tensorboard", "mlflow", "wandb"),
        help="log every trial to this tracker, in addition to those in the spec's `log`; may be given several times",
    )
    _takes_runner(one)
    earlier = one.add_argument_group("earlier trials")
    earlier.add_argument("--fresh", action="store_true", help="delete the trials of the study; keep the stages")
    earlier.add_argument("--extend", action="store_true", help="run more trials, or continue in a changed space")
    earlier.add_argument(
        "--from", dest="older", metavar="DIR", help="start with those trials of an older study that fit the spec"
    )
    earlier.add_argument("--retry-failed", action="store_true", help="train failed stages again")


def _takes_places(one: argparse.ArgumentParser, usual: str) -> None:
    one.add_argument("--out", metavar="DIR", help=f"output directory (default: {usual})")
    one.add_argument(
        "--store", metavar="DIR", help="directory of the stages, which studies may share (default: in the study directory)"
    )


def _takes_study(one: argparse.ArgumentParser) -> None:
    one.add_argument("study", metavar="STUDY", help="study directory (--out of the search), or its spec")


def _takes_report(one: argparse.ArgumentParser) -> None:
    _takes_study(one)
    what = one.add_argument_group("what is written")
    what.add_argument(
        "--slides", action="store_true", help="also write report.pptx: five slides for those who present the study"
    )
    _takes_wanted(one)


def _takes_watch(one: argparse.ArgumentParser) -> None:
    _takes_study(one)
    one.add_argument("--port", type=int, default=8300, metavar="N", help="port on 127.0.0.1; 0: any free port (default: 8300)")


def _takes_compare(one: argparse.ArgumentParser) -> None:
    one.add_argument("studies", metavar="STUDY", nargs="+", help="study directories (the --out of each search), or their specs")
    one.add_argument("--to", metavar="DIR", default="reports/compare", help="output directory (default: reports/compare)")


def _takes_explain(one: argparse.ArgumentParser) -> None:
    _takes_study(one)
    one.add_argument("key", metavar="KEY", help="the stage's key, or the beginning of it")


def _takes_completion(one: argparse.ArgumentParser) -> None:
    one.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh"), help="the shell that reads the script")


def _takes_confirm(one: argparse.ArgumentParser) -> None:
    _takes_study(one)
    one.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="fresh seeds of each student and its baselines (default: 5)"
    )
    one.add_argument("--force", action="store_true", help="open the test split again; every report says so")
    _takes_runner(one)


def _takes_students(one: argparse.ArgumentParser) -> None:
    _takes_confirm(one)
    what = one.add_argument_group("what is trained")
    text = "retrain only the student whose key begins with this; take the other members of the frontier from the search"
    what.add_argument("--only", action="append", default=[], metavar="KEY", help=f"{text}; may be given several times")
    text = "do not train the students from labels alone and without assistants"
    what.add_argument("--no-baselines", dest="baselines", action="store_false", help=text)


def _takes_runner(one: argparse.ArgumentParser) -> None:
    where = one.add_argument_group("where it runs")
    where.add_argument("--runner", choices=("ray", "serial"), default="ray", help="ray: all cores; serial: one process")
    where.add_argument("--address", metavar="ADDRESS", help="the running Ray cluster to join; auto: that of this node")


def _takes_smallest(one: argparse.ArgumentParser) -> None:
    _takes_confirm(one)
    one.add_argument(
        "--within", type=_duration, metavar="TIME", help="first continue the search, for at most this time, such as 30m or 2h"
    )
    _takes_wanted(one)


def _takes_wanted(one: argparse.ArgumentParser) -> None:
    wanted = one.add_argument_group("what is wanted")
    wanted.add_argument("--target", type=_target, metavar="NAME=VALUE", help="the target of a metric, such as f1_macro=0.9")
    wanted.add_argument(
        "--accuracy", dest="target", type=_accuracy, metavar="SHARE", help="short for --target accuracy=SHARE, such as 0.95"
    )
    wanted.add_argument(
        "--retain", type=float, metavar="SHARE", help="the target as a share of the teacher's metric, such as 0.97"
    )
    wanted.add_argument("--params", type=int, metavar="N", help="maximum number of parameters")
    wanted.add_argument("--bytes", type=int, metavar="N", help="maximum bytes in float32")
    wanted.add_argument("--latency-ms", type=float, metavar="MS", help="maximum median latency of one sample")
    wanted.add_argument(
        "--confidence", type=float, default=0.95, metavar="SHARE", help="confidence of the claim (default: 0.95)"
    )


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
        help="a .csv, .parquet, or .json file of rows or texts (also .jsonl, .txt), a folder of images, or a .npz file",
    )
    one.add_argument("--out", metavar="FILE", help="write the predictions to this CSV file instead of printing them")


def _takes_chain(one: argparse.ArgumentParser) -> None:
    _takes_spec(one)
    one.add_argument(
        "--student", required=True, metavar="FIELDS", help="fields of the student's architecture, such as depth=1,width=4"
    )
    one.add_argument(
        "--time", type=_duration, metavar="TIME", help="start no new round after this time, such as 90s, 10m, or 1h"
    )
    one.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="seeds of each candidate; the first seed chooses paths (default: 5)"
    )
    _takes_places(one, "in reports/<study>")
    _takes_runner(one)


BEGIN = (
    f"{PROGRAM} init customers.csv --label churned     # writes customers.yaml",
    f"{PROGRAM} search customers.yaml                  # finds students",
    f"{PROGRAM} smallest customers.yaml --retain 0.97  # proves one on the test split",
)
GROUPS: dict[str, tuple[Command, ...]] = {
    "begin": (
        Command(
            "init",
            commands.init,
            "look at a data set and write a spec for it",
            ("autodistill init customers.csv --label churned", "autodistill init images/ --teacher resnet18.a1_in1k"),
            _takes_init,
        ),
        Command(
            "check",
            commands.check,
            "show what a search would do, without training anything",
            ("autodistill check customers.yaml", "autodistill check customers.yaml --set search.trials=50"),
            _takes_spec,
        ),
        Command(
            "schema",
            commands.schema,
            "print the JSON Schema of specs, which editors use to complete and check them",
            ("autodistill schema > schema.json",),
            _takes_nothing,
        ),
        Command(
            "completion",
            commands.completion,
            "print a shell script that completes these commands",
            ('eval "$(autodistill completion bash)"   # in ~/.bashrc', "autodistill completion fish | source"),
            _takes_completion,
        ),
    ),
    "search": (
        Command(
            "search",
            commands.search,
            "run the search of a spec, or resume it",
            (
                "autodistill search customers.yaml",
                "autodistill search customers.yaml --set search.time=30m --out reports/half_hour",
                "autodistill search customers.yaml --set search.trials=100 --extend",
            ),
            _takes_search,
        ),
        Command(
            "watch",
            commands.watch,
            "serve the report on this machine while a search runs; changes nothing",
            ("autodistill watch reports/customers",),
            _takes_watch,
        ),
        Command(
            "report",
            commands.report,
            "write the report page of a study, with its tables and pictures",
            ("autodistill report reports/customers", "autodistill report reports/customers --slides"),
            _takes_report,
        ),
        Command(
            "explain",
            commands.explain,
            "explain one stage: its chain, its numbers, and the command that trains it again",
            ("autodistill explain reports/customers 3217376d",),
            _takes_explain,
        ),
        Command(
            "compare",
            commands.compare,
            "compare the frontiers of several studies on one page",
            ("autodistill compare reports/customers reports/half_hour",),
            _takes_compare,
        ),
    ),
    "decide": (
        Command(
            "smallest",
            commands.smallest,
            "find the smallest student that is shown to meet a target",
            (
                "autodistill smallest reports/customers --accuracy 0.9",
                "autodistill smallest reports/customers --retain 0.97 --latency-ms 2",
            ),
            _takes_smallest,
        ),
        Command(
            "confirm",
            commands.confirm,
            "retrain the frontier with fresh seeds, then open the test split",
            (
                "autodistill confirm reports/customers --seeds 3",
                "autodistill confirm reports/customers --only 3217376d --no-baselines",
            ),
            _takes_students,
        ),
        Command(
            "chain",
            commands.chain,
            "find out which assistants help one student, if any",
            ("autodistill chain customers.yaml --student depth=1,width=4 --time 10m",),
            _takes_chain,
        ),
    ),
    "ship": (
        Command(
            "export",
            commands.export,
            "write a network as files that run without the study; each file is verified",
            ("autodistill export reports/customers --accuracy 0.9 --to model",),
            _takes_export,
        ),
        Command(
            "predict",
            commands.predict,
            "apply an exported network to samples and print predictions",
            ("autodistill predict model new.csv --out predictions.csv",),
            _takes_predict,
        ),
    ),
}
"""The commands, in the order in which people need them."""
