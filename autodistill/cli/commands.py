"""What each subcommand does. Imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec.value import Json

if TYPE_CHECKING:
    from rich.console import Console

    from ..answers import Wanted
    from ..runners import Runner

Result = Json
FILES = ("DATA", "FILE", "SAMPLES", "SPEC", "STUDY")
COMPLETED = (*FILES, "DIR", "EXPORT")
"""The arguments that a shell completes with names of files or directories."""
WANTED = ("retain", "params", "bytes", "latency_ms", "confidence")


def init(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api

    options = {name: getattr(arguments, name) for name in ("label", "kind", "teacher", "target", "to", "force")}
    found = api.init(arguments.data, **options)
    _print(console, *found.lines())
    return found.as_json()


def schema(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..spec.json_schema import as_text

    found = api.schema()
    if not arguments.json:
        _print(console, as_text(found).rstrip())
    return found


def completion(arguments: argparse.Namespace, console: Console) -> Result:
    import shtab

    top: argparse.ArgumentParser = arguments.top
    for one in _parsers(top):
        for action in one._actions:
            if action.metavar in COMPLETED:
                action.complete = shtab.FILE if action.metavar in FILES else shtab.DIRECTORY  # type: ignore[attr-defined]
    script = shtab.complete(top, arguments.shell)
    if not arguments.json:
        _print(console, script.rstrip())
    return {"shell": arguments.shell, "script": script}


def _parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Those of the commands."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def check(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..api.named import named

    spec = named(arguments.spec, arguments.set).spec
    from ..reporting.checked import checked
    from ..runners import parallel

    workers = parallel(spec)
    found = api.check(spec, workers=workers)
    console.print(checked(found, workers), soft_wrap=True)
    return found.as_json()


def search(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..api.named import named
    from ..api.tracking import tracked

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch systems send SIGTERM: handle it like Ctrl-C

    spec, there = named(arguments.spec, arguments.set)
    spec = tracked(spec, arguments.log)  # refuses before Ray starts
    out = str(arguments.out or (there.path if there is not None else Path("reports") / spec.study))
    from ..study.record.directory import StudyDirectory

    runner = _runner(arguments, console)
    if arguments.fresh or not StudyDirectory(out).exists():
        runner.begin()  # takes as long as the imports below
    from ..reporting.screen import show_result
    from ..reporting.write import as_json

    options = {name: getattr(arguments, name) for name in ("store", "fresh", "extend", "retry_failed", "older")}
    study = api.search(spec, out=out, runner=runner, console=console, **options)
    found, run = study.summary(), study.run
    assert run is not None
    show_result(console, found, out)
    stages = {"trained": run.trained, "reused": run.reused}
    return {"out": out, "seconds": _seconds(), "stages": stages, **as_json(found)}


def confirm(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..reporting.terminal import confirmed_table

    options = {"seeds": arguments.seeds, "runner": _runner(arguments, console), "force": arguments.force, "console": console}
    found = api.open(arguments.study).confirm(only=arguments.only, baselines=arguments.baselines, **options)
    console.print(confirmed_table(found))
    return {"out": str(arguments.study), **found.as_json()}


def smallest(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..answers import later

    wanted = _wanted(arguments)
    options = {"seeds": arguments.seeds, "runner": _runner(arguments, console), "force": arguments.force, "console": console}
    found = api.open(arguments.study).smallest(wanted, within=arguments.within, **options)
    _print(console, *found.lines(), *([f"warning      {later(found.later)}"] if found.later else []))
    end = {"later": found.later, "exit_code": 0 if found.meets else 3}
    return {"sentence": found.sentence(), **found.as_json(), **end}


def export(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api

    found = api.open(arguments.study).export(arguments.to, stage=arguments.stage, wanted=_wanted(arguments))
    _print(console, *found.lines())
    return found.as_json()


def predict(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api

    found = api.predict(arguments.export, arguments.samples)
    if arguments.out is None:
        _print(console, found.text().rstrip("\n"))
    else:
        found.write(arguments.out)
        _print(console, f"written: {arguments.out} ({len(found.samples):,} samples)")
    return {"out": arguments.out, "predictions": found.frame().to_dict("records")}


def chain(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..answers.chains import Home
    from ..api.named import named

    spec, study = named(arguments.spec, arguments.set)
    home = Home.of(spec, arguments.student, None if study is None else study.path, arguments.out, arguments.store)
    options = {"seeds": arguments.seeds, "seconds": arguments.time, "runner": _runner(arguments, console), "console": console}
    found = api.chain(spec, student=arguments.student, home=home, **options)
    console.print(found.table())
    _print(console, *found.lines(), f"report: {home.out}")
    end = {"exit_code": 3} if found.is_open else {}
    return {"sentence": found.sentence(), "out": str(home.out), **found.as_json(), **end}


def report(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..reporting.terminal import frontier_table, remarks
    from ..reporting.write import as_json

    found = api.open(arguments.study).report(_wanted(arguments), slides=arguments.slides)
    console.print(frontier_table(found.summary))
    _print(console, *found.summary.answers(), *found.summary.why_failed(), *remarks(found.summary), found.answer.sentence)
    if found.pdf is None:
        _print(console, "no report.pdf: no Chromium is installed; print the page from any browser")
    if found.slides is not None:
        _print(console, f"slides: {found.slides}")
    _print(console, f"report: {found.page}")
    paths = {"page": str(found.page), "pdf": found.pdf and str(found.pdf), "slides": found.slides and str(found.slides)}
    return {"out": str(arguments.study), **paths, "answer": found.answer.as_json(), **as_json(found.summary)}


def watch(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    return {"url": api.watch(arguments.study, port=arguments.port, console=console)}


def compare(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api

    found = api.compare(arguments.studies, arguments.to)
    _print(console, f"compared: {found.page}")
    return {"page": str(found.page), "studies": found.as_json()}


def explain(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..reporting.terminal import explained

    found = api.open(arguments.study).explain(arguments.key)
    _print(console, explained(found))
    return found.as_json()


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from ..answers import Wanted

    metric, target = arguments.target or (None, None)
    return Wanted(metric=metric, target=target, **{name: getattr(arguments, name) for name in WANTED})


def _runner(arguments: argparse.Namespace, console: Console) -> Runner:
    from ..runners import runner_of

    return runner_of(arguments.runner, arguments.address, partial(_print, console))


def _print(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)


def _seconds() -> float:
    """Wall time since this process started."""
    import psutil

    return time.time() - float(psutil.Process().create_time())
