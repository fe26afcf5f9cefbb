"""Floor 10: the command line. Imports what a subcommand needs only when it runs."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Result = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 2 a spec or an argument that is wrong, 3 no student meets the target, 1 anything else."""
    arguments = parser().parse_args(argv)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # for `import:` in a spec
    console = _console(arguments.json)
    try:
        with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
            found = arguments.run(arguments, console)
            text = json.dumps(found)
    except KeyboardInterrupt:
        return _failed(arguments, "stopped; the same command goes on from here", 1)
    except Exception as error:
        return _explained(arguments, error)
    if arguments.json:
        print(text)
    return int(found.get("exit_code", 0))


def _explained(arguments: argparse.Namespace, error: Exception) -> int:
    from .spec import AutodistillError, SpecError

    if arguments.debug:
        raise error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):
        return _failed(arguments, "no space left; free some, then give the same command again: it goes on from here", 1)
    problems = [problem.as_dict() for problem in error.problems] if isinstance(error, SpecError) else []
    known = isinstance(error, AutodistillError)
    text = str(error) if known else f"{type(error).__name__}: {error} (--debug shows where)"
    return _failed(arguments, text, error.exit_code if isinstance(error, AutodistillError) else 1, problems)


def _failed(arguments: argparse.Namespace, text: str, code: int, problems: Sequence[Any] = ()) -> int:
    print(text, file=sys.stderr)
    if arguments.json:
        print(json.dumps({"error": text, "exit_code": code, "problems": list(problems)}))
    return code


def _console(json_mode: bool) -> Console:
    """Holds the real stream, so that what others print can be kept off it."""
    from rich.console import Console

    stream = sys.stderr if json_mode else sys.stdout
    return Console(
        file=stream, soft_wrap=not stream.isatty(), width=None if stream.isatty() else 160, highlight=False, markup=False
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Exit code 2; with --json an object all the same."""
        if "--json" in sys.argv:
            print(json.dumps({"error": message, "exit_code": 2, "problems": []}))
        super().error(message)


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="autodistill", description="Search for the smallest distilled student that is accurate enough.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    one = _command(commands, "check", _check, "say what a spec would do, before anything is trained")
    _takes_spec(one)
    _takes_search(_command(commands, "search", _search, "search the students of a spec, or go on with a search"))
    _takes_confirm(_command(commands, "confirm", _confirm, "retrain the frontier with fresh seeds, then open the test split"))
    _takes_smallest(_command(commands, "smallest", _smallest, "the smallest student that may be claimed to meet a target"))
    _takes_chain(_command(commands, "chain", _chain, "which assistants, in which order, for one student; or none"))
    one = _command(commands, "report", _report, "draw the tables and pictures of a study again")
    one.add_argument("folder", metavar="FOLDER", help="the --out of a search")
    one = _command(commands, "explain", _explain, "one stage: its chain, numbers, and the command that makes it again")
    one.add_argument("folder", metavar="FOLDER", help="the --out of a search")
    one.add_argument("key", metavar="KEY", help="the stage's key, or the beginning of it")
    _takes_bench(_command(commands, "bench", _bench, "compare search strategies on a table of trained students"))
    return top


def _command(commands: Any, name: str, run: Callable[..., Result], text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
    one.set_defaults(run=run)
    one.add_argument("--json", action="store_true", help="print exactly one JSON object; all else goes to standard error")
    one.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return one


def _takes_spec(one: argparse.ArgumentParser) -> None:
    one.add_argument("spec", metavar="SPEC", help="a YAML file")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, such as search.trials=8")


def _takes_search(one: argparse.ArgumentParser) -> None:
    _takes_spec(one)
    one.add_argument("--out", metavar="DIR", help="the study's folder (default: reports/<study>)")
    one.add_argument("--store", metavar="DIR", help="where stages are kept, to share them (default: in the study's folder)")
    _takes_runner(one)
    one.add_argument("--fresh", action="store_true", help="forget the trials of the folder; stages are kept")
    one.add_argument("--extend", action="store_true", help="let a study have more trials, or go on in a changed space")
    one.add_argument("--from", dest="older", metavar="FOLDER", help="begin with what fits of an older study's trials")
    one.add_argument("--retry-failed", action="store_true", help="try failed stages again")


def _takes_folder(one: argparse.ArgumentParser) -> None:
    one.add_argument("folder", metavar="FOLDER", help="the --out of a search")


def _takes_confirm(one: argparse.ArgumentParser) -> None:
    _takes_folder(one)
    one.add_argument("--seeds", type=int, default=5, metavar="N", help="fresh seeds of each student and its twins (default: 5)")
    one.add_argument("--force", action="store_true", help="open the test split again; every report says so")
    _takes_runner(one)


def _takes_runner(one: argparse.ArgumentParser) -> None:
    one.add_argument("--runner", choices=("ray", "serial"), default="ray", help="ray: all cores; serial: one process")
    one.add_argument("--address", metavar="ADDRESS", help="join a running Ray cluster, from one of its nodes: auto")


def _takes_smallest(one: argparse.ArgumentParser) -> None:
    _takes_confirm(one)
    one.add_argument("--accuracy", type=float, metavar="SHARE", help="the target, such as 0.95")
    one.add_argument(
        "--retain", type=float, metavar="SHARE", help="the target as a share of the teacher's accuracy, such as 0.97"
    )
    one.add_argument("--params", type=int, metavar="N", help="at most so many parameters")
    one.add_argument("--bytes", type=int, metavar="N", help="at most so many bytes in float32")
    one.add_argument("--latency-ms", type=float, metavar="MS", help="at most so long for one sample, at the median")
    one.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="of the claim (default: 0.95)")


def _takes_chain(one: argparse.ArgumentParser) -> None:
    one.add_argument("spec", metavar="SPEC", help="a YAML file, or the --out of a search, whose stages are reused")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, such as seed=1")
    one.add_argument("--student", required=True, metavar="FIELDS", help="of its architecture, such as depth=1,width=4")
    one.add_argument("--time", metavar="TIME", help="begin no round after so long, such as 90s, 10m or 1h")
    one.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="of each candidate; the first chooses paths (default: 5)"
    )
    one.add_argument("--out", metavar="DIR", help="where the plan is written (default: in reports/<study>)")
    one.add_argument("--store", metavar="DIR", help="where stages are kept, to share them (default: in the study's folder)")
    _takes_runner(one)


def _takes_bench(one: argparse.ArgumentParser) -> None:
    one.add_argument("table", metavar="TABLE", help="a CSV file: columns of parameters, params, accuracies; see the README")
    one.add_argument("--strategies", default="gain,tpe,nsga2,random", metavar="A,B", help="samplers, or sampler+halving")
    one.add_argument("--seeds", type=int, default=50, metavar="N", help="replays of each strategy")
    one.add_argument("--workers", type=int, default=1, metavar="N", help="simulated workers")
    one.add_argument("--trials", type=int, metavar="N", help="of a search (default: one for each configuration of the table)")
    one.add_argument("--target", type=float, metavar="SHARE", help="search the smallest student of this accuracy, such as 0.7")
    one.add_argument("--accuracy", metavar="COLUMN", help="the column of accuracies (default: raw_1, raw_2, ... by epoch)")
    one.add_argument("--chance", type=float, default=0.0, metavar="SHARE", help="the accuracy of who guesses")
    one.add_argument("--out", metavar="DIR", help="write curves.csv, curves.png and summary.json here")


def _check(arguments: argparse.Namespace, console: Console) -> Result:
    from .spec import load

    spec = load(arguments.spec, arguments.set)
    from .check import check
    from .runners import cores
    from .text import checked

    workers = max(1, int(cores() / spec.resources.cpus))
    found = check(spec, workers=workers)
    console.print(checked(found, workers), soft_wrap=True)
    return found


def _search(arguments: argparse.Namespace, console: Console) -> Result:
    from .spec import load

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a batch system sends is as good as Ctrl-C

    spec = load(arguments.spec, arguments.set)
    out = str(Path(arguments.out or Path("reports") / spec.study))
    from .runners import runner_of
    from .study.folder import Folder

    runner = runner_of(arguments.runner, arguments.address)
    if arguments.fresh or not Folder(out).exists():
        runner.begin()  # takes as long as what is imported below
    from .driver import Options, search
    from .report import summary
    from .text import frontier_table, remarks

    options = Options(
        store=arguments.store,
        fresh=arguments.fresh,
        extend=arguments.extend,
        retry_failed=arguments.retry_failed,
        older=arguments.older,
    )
    study = search(
        spec,
        out=out,
        runner=runner,
        options=options,
        console=console,
    )
    found = summary(study.spec, study.rows(), study.chance, study.record.facts().get("outlook")) | {"spent": study.spent()}
    console.print(frontier_table(found))
    for line in remarks(found):
        console.print(line, soft_wrap=True)
    console.print(f"report: {out}", soft_wrap=True)
    stages = {"trained": len(study.trained), "reused": study.reused()}
    return {"out": out, "seconds": _seconds(), "stages": stages, **found}


def _confirm(arguments: argparse.Namespace, console: Console) -> Result:
    from .confirm import confirm
    from .runners import runner_of
    from .study.folder import Folder
    from .text import confirmed_table

    runner = runner_of(arguments.runner, arguments.address)
    found = confirm(Folder(arguments.folder), seeds=arguments.seeds, runner=runner, force=arguments.force, console=console)
    console.print(confirmed_table(dict(found.facts)))
    return {"out": str(arguments.folder), **found.facts}


def _smallest(arguments: argparse.Namespace, console: Console) -> Result:
    from .answers import Wanted, lines, sentence, smallest

    names = ("accuracy", "retain", "params", "bytes", "latency_ms", "confidence")
    wanted = Wanted(**{name: getattr(arguments, name) for name in names})
    from .confirm import confirm, read
    from .runners import runner_of
    from .study.folder import Folder

    folder, runner = Folder(arguments.folder), runner_of(arguments.runner, arguments.address)
    confirmed = None if arguments.force else read(folder.path)
    if confirmed is None:
        confirmed = confirm(folder, seeds=arguments.seeds, runner=runner, force=arguments.force, console=console)
    found = smallest(confirmed, wanted)
    for line in lines(found):
        console.print(line, soft_wrap=True)
    return {"sentence": sentence(found), **found, "exit_code": 0 if found["meets"] else 3}


def _chain(arguments: argparse.Namespace, console: Console) -> Result:
    from .chains import Home, plan_chain, read_spec
    from .chains.asked import duration
    from .chains.words import lines, sentence, table
    from .runners import runner_of

    seconds = None if arguments.time is None else duration(arguments.time)
    spec, study = read_spec(arguments.spec, arguments.set)
    home = Home.of(spec, arguments.student, study, arguments.out, arguments.store)
    runner = runner_of(arguments.runner, arguments.address)
    options = {"seeds": arguments.seeds, "seconds": seconds, "runner": runner, "console": console}
    found = plan_chain(spec, student=arguments.student, home=home, **options)
    console.print(table(found))
    for line in [*lines(found), f"report: {home.out}"]:
        console.print(line, soft_wrap=True)
    return {"sentence": sentence(found), "out": str(home.out), **found}


def _report(arguments: argparse.Namespace, console: Console) -> Result:
    from .report import redraw, summary
    from .study.folder import Folder
    from .text import frontier_table

    folder = Folder(arguments.folder)
    found = summary(*redraw(folder))
    console.print(frontier_table(found))
    console.print(f"report: {arguments.folder}")
    return {"out": str(arguments.folder), **found}


def _explain(arguments: argparse.Namespace, console: Console) -> Result:
    from .explain import explain
    from .study.folder import Folder
    from .text import explained

    found = explain(Folder(arguments.folder), arguments.key)
    console.print(explained(found), soft_wrap=True)
    return found


def _bench(arguments: argparse.Namespace, console: Console) -> Result:
    from .bench import Asked, Table, bench
    from .text import compared

    asked = Asked(
        strategies=arguments.strategies.split(","),
        **{name: getattr(arguments, name) for name in ("seeds", "workers", "trials", "target", "chance")},
    )
    table = Table.read(Path(arguments.table), arguments.accuracy)
    found = bench(table, asked, None if arguments.out is None else Path(arguments.out))
    console.print(compared(found))
    return found


def _seconds() -> float:
    """Wall time since this process started."""
    import psutil

    return time.time() - float(psutil.Process().create_time())
