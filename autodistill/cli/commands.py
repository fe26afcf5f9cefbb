"""What each subcommand does. Imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from ..answers import Wanted

Result = dict[str, Any]
WANTED = ("accuracy", "retain", "params", "bytes", "latency_ms", "confidence")


def check(arguments: argparse.Namespace, console: Console) -> Result:
    from ..spec import load

    spec = load(arguments.spec, arguments.set)
    from ..reporting.terminal import checked
    from ..runners import cores
    from ..study.preflight.check import check

    workers = max(1, int(cores() / spec.resources.cpus))
    found = check(spec, workers=workers)
    console.print(checked(found, workers), soft_wrap=True)
    return found.as_json()


def search(arguments: argparse.Namespace, console: Console) -> Result:
    from ..spec import load

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch systems send SIGTERM: handle it like Ctrl-C

    spec = load(arguments.spec, arguments.set)
    out = str(Path(arguments.out or Path("reports") / spec.study))
    from ..runners import runner_of
    from ..study.record.folder import Folder

    runner = runner_of(arguments.runner, arguments.address)
    if arguments.fresh or not Folder(out).exists():
        runner.begin()  # takes as long as the imports below
    from ..api import search
    from ..reporting.summary import summary
    from ..reporting.terminal import frontier_table, remarks
    from ..reporting.write import as_json
    from ..study.driver import Options

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
    improvement = study.record.notes.expected_improvement
    found = summary(study.spec, study.rows(), study.chance, improvement, study.spent())
    for line in [*found.why_failed(), *(line.sentence() for line in found.headline)]:
        console.print(line, soft_wrap=True)
    console.print(frontier_table(found))
    for line in remarks(found):
        console.print(line, soft_wrap=True)
    console.print(f"report: {out}", soft_wrap=True)
    stages = {"trained": len(study.trained), "reused": study.reused()}
    return {"out": out, "seconds": _seconds(), "stages": stages, **as_json(found)}


def confirm(arguments: argparse.Namespace, console: Console) -> Result:
    from ..answers.confirm import confirm
    from ..reporting.terminal import confirmed_table
    from ..runners import runner_of
    from ..study.record.folder import Folder

    runner = runner_of(arguments.runner, arguments.address)
    found = confirm(Folder(arguments.folder), seeds=arguments.seeds, runner=runner, force=arguments.force, console=console)
    console.print(confirmed_table(found))
    return {"out": str(arguments.folder), **found.as_json()}


def smallest(arguments: argparse.Namespace, console: Console) -> Result:
    from ..answers import later, smallest

    wanted = _wanted(arguments)
    from ..answers.confirm import confirm, read, refuse_any_opening
    from ..runners import runner_of
    from ..study.record.folder import Folder
    from ..study.record.opened import open_study

    folder, runner = Folder(arguments.folder), runner_of(arguments.runner, arguments.address)
    if arguments.within is not None:
        from ..answers.towards import towards

        if not arguments.force:
            refuse_any_opening(folder)
        from ..reporting.progress import Progress

        with Progress(console) as progress:
            towards(folder, wanted, seconds=arguments.within, runner=runner, listener=progress)
    confirmed = None if arguments.force else read(folder)
    if confirmed is None:
        confirmed = confirm(folder, seeds=arguments.seeds, runner=runner, force=arguments.force, console=console)
    found = smallest(confirmed, wanted)
    with open_study(folder) as study:
        since = confirmed.later(study.record)
    for line in [*found.lines(), *([f"warning      {later(since)}"] if since else [])]:
        console.print(line, soft_wrap=True)
    return {"sentence": found.sentence(), **found.as_json(), "later": since, "exit_code": 0 if found.meets else 3}


def export(arguments: argparse.Namespace, console: Console) -> Result:
    from ..spec import UsageError

    wanted = _wanted(arguments)
    if arguments.stage is not None and wanted != type(wanted)(confidence=wanted.confidence):
        raise UsageError(f"--stage {arguments.stage} already names a network; give either --stage or a target and limits")
    from ..exporting import export
    from ..study.record.folder import Folder

    found = export(Folder(arguments.folder), to=arguments.to, stage=arguments.stage, wanted=wanted)
    for line in found.lines():
        console.print(line, soft_wrap=True)
    return found.as_json()


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from ..answers import Wanted

    return Wanted(**{name: getattr(arguments, name) for name in WANTED})


def chain(arguments: argparse.Namespace, console: Console) -> Result:
    from .. import api
    from ..answers.chains import Home, read_spec
    from ..runners import runner_of

    spec, study = read_spec(arguments.spec, arguments.set)
    home = Home.of(spec, arguments.student, study, arguments.out, arguments.store)
    runner = runner_of(arguments.runner, arguments.address)
    options = {"seeds": arguments.seeds, "seconds": arguments.time, "runner": runner, "console": console}
    found = api.chain(spec, student=arguments.student, home=home, **options)
    console.print(found.table())
    for line in [*found.lines(), f"report: {home.out}"]:
        console.print(line, soft_wrap=True)
    return {"sentence": found.sentence(), "out": str(home.out), **found.as_json()}


def report(arguments: argparse.Namespace, console: Console) -> Result:
    from ..reporting.page import write_page
    from ..reporting.terminal import frontier_table
    from ..reporting.write import as_json, redraw
    from ..study.record.folder import Folder

    wanted = _wanted(arguments)
    found = redraw(Folder(arguments.folder))
    console.print(frontier_table(found))
    written = write_page(arguments.folder, wanted)
    console.print(written.answer["sentence"], soft_wrap=True)
    if written.pdf is None:
        console.print("no report.pdf: no Chromium is installed; print the page from any browser")
    console.print(f"report: {written.page}", soft_wrap=True)
    paths = {"page": str(written.page), "pdf": written.pdf and str(written.pdf)}
    return {"out": str(arguments.folder), **paths, "answer": written.answer, **as_json(found)}


def compare(arguments: argparse.Namespace, console: Console) -> Result:
    from ..reporting.page import compare

    page, found = compare(arguments.folders, arguments.to)
    console.print(f"compared: {page}", soft_wrap=True)
    return {"page": str(page), "studies": found.as_json()}


def explain(arguments: argparse.Namespace, console: Console) -> Result:
    from ..reporting.explain import explain
    from ..reporting.terminal import explained
    from ..study.record.folder import Folder

    found = explain(Folder(arguments.folder), arguments.key)
    console.print(explained(found), soft_wrap=True)
    return found.as_json()


def _seconds() -> float:
    """Wall time since this process started."""
    import psutil

    return time.time() - float(psutil.Process().create_time())
