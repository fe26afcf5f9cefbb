"""The public functions, which the command line and notebooks call: one for each command.

Each imports what it needs when it is called: torch, Ray, and Optuna take seconds. A study is named by its directory, the `out`
of its search. Invalid arguments raise UsageError (a ValueError); StudyError and StoreError mean that a study or a stored file
cannot be used now, and say what to do. All are subclasses of AutodistillError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .spec import Spec, UsageError, load

if TYPE_CHECKING:
    from rich.console import Console

    from .answers import Claim, Wanted
    from .answers.chains import ChainPlan, Home
    from .answers.confirm import Confirmation
    from .exporting import Exported, Predictions
    from .reporting.explain import Explained
    from .reporting.page import Comparison, Report
    from .reporting.progress import Progress
    from .runners import Runner
    from .study.driver import Listener, Options
    from .study.preflight.values import Preflight
    from .study.schedule.scheduler import Study

__all__ = [
    "chain",
    "check",
    "compare",
    "confirm",
    "explain",
    "export",
    "load",
    "predict",
    "report",
    "search",
    "smallest",
    "watch",
]


def check(spec: Spec, *, workers: int | None = None) -> Preflight:
    """What a search of `spec` would do: sizes, splits, stages, and how long trainings take here. Trains nothing.

    `workers` is the number of trainings at a time, by default as many as fit on this machine.

    Returns: a Preflight, whose `as_json()` is what `check --json` prints.

    Raises: UsageError for everything that a search would refuse.

    Example:
        autodistill.check(autodistill.load("search_spaces/digits.yaml")).params  # the smallest and the largest student
    """
    from .runners import parallel
    from .study.preflight import check as preflight

    spec = logging(spec)
    return preflight.check(spec, workers=workers or parallel(spec))


def search(
    spec: Spec,
    *,
    out: Path | str | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    options: Options | None = None,
    log: Sequence[str] = (),
    console: Console | None = None,
) -> Study:
    """Searches the students of `spec`, and keeps the study with its tables and pictures in `out`.

    `out` is `reports/<study>` unless given. `runner`: `ray` uses all cores, `serial` this process. `options` say what to do
    with a study that is already there. `log` names trackers that get every trial, beside those of the spec: tensorboard,
    mlflow, wandb. `console` gets the progress lines, by default on standard error. The same call continues where an earlier
    one stopped.

    Returns: the Study; its `frontier()` is a pandas DataFrame, its `rows()` are all its networks.

    Raises: UsageError for invalid arguments, StudyError or StoreError if the search cannot continue.

    Example:
        study = autodistill.search(autodistill.load("search_spaces/digits.yaml"), out="reports/digits")
    """
    from .reporting.progress import Progress
    from .study import driver

    spec, path = logging(spec, log), Path(out or Path("reports") / spec.study).absolute()
    with Progress(_console(console)) as progress:
        return _tracked(
            spec,
            path,
            progress,
            lambda listener: driver.search(spec, out=path, runner=runner, options=options, listener=listener),
        )


def logging(spec: Spec, names: Sequence[str] = ()) -> Spec:
    """The spec with these trackers too. Raises UsageError for an unknown one, and for one that cannot be used here."""
    from .reporting.trackers import refuse_missing
    from .spec.log import TRACKERS

    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"--log {name} is no tracker; use {', '.join(TRACKERS)}")
    found = spec.model_copy(update={"log": spec.log.adding(tuple(names))})
    refuse_missing(found.log)
    return found


def _tracked(spec: Spec, path: Path, progress: Progress, search: Callable[[Listener], Study]) -> Study:
    """Runs a search that trackers follow; its page is written for them."""
    from .reporting.trackers import Trackers, trackers_of
    from .study.driver import Together

    def page() -> object:
        from .reporting.page import write_html

        return write_html(path)

    trackers = Trackers(trackers_of(spec.log, spec.study, path), progress.say)
    study = search(Together(progress, trackers))
    trackers.finish(page)
    return study


def confirm(
    study: Path | str,
    *,
    seeds: int = 5,
    runner: Runner | Literal["ray", "serial"] = "ray",
    force: bool = False,
    console: Console | None = None,
) -> Confirmation:
    """Retrains the frontier of a study with fresh `seeds`, each with its baselines, and then opens the sealed test split.

    The split is opened once for frozen networks. `force` opens it again for others; every report then says so.

    Returns: a Confirmation with the test results of the teacher and of each member.

    Raises: UsageError if there is nothing to confirm, StudyError if the split was opened before for other networks.

    Example:
        autodistill.confirm("reports/digits", seeds=3).members[0].on_test.value
    """
    from .answers import confirm as confirmation
    from .study.record.directory import StudyDirectory

    return confirmation.confirm(StudyDirectory(study), seeds=seeds, runner=runner, force=force, console=_console(console))


def smallest(
    study: Path | str,
    wanted: Wanted | None = None,
    *,
    within: float | None = None,
    seeds: int = 5,
    runner: Runner | Literal["ray", "serial"] = "ray",
    force: bool = False,
    console: Console | None = None,
) -> Claim:
    """The smallest student that is shown to meet what is `wanted`: by default, 95 % of the teacher's metric at half its size.

    A study that is not confirmed yet is confirmed first, as by `confirm`. With `within`, in seconds, the search first
    continues toward the target for at most that time.

    Returns: a Claim; its `answer` is None if no student is proven to meet the target. `later` counts the students that
    were tried after the confirmation and are not covered.

    Raises: UsageError for a target out of range, StudyError if the test split was opened before for other networks.

    Example:
        autodistill.smallest("reports/digits", autodistill.Wanted(target=0.95)).sentence()
    """
    from dataclasses import replace

    from .answers import Wanted, confirm
    from .answers.smallest import smallest as answered
    from .study.record.directory import StudyDirectory
    from .study.record.opened import open_study

    directory, wanted, console = StudyDirectory(study), wanted or Wanted(), _console(console)
    if within is not None:
        _continue(directory.path, wanted, within, runner, force, console)
    found = None if force else confirm.read(directory)
    if found is None:
        found = confirm.confirm(directory, seeds=seeds, runner=runner, force=force, console=console)
    with open_study(directory) as now:
        return replace(answered(found, wanted), later=found.later(now.record))


def _continue(
    study: Path, wanted: Wanted, seconds: float, runner: Runner | Literal["ray", "serial"], force: bool, console: Console
) -> None:
    """Continues a search toward the target, unless its test split was opened."""
    from .answers.confirm import refuse_any_opening
    from .answers.towards import towards
    from .reporting.progress import Progress
    from .study.record.directory import StudyDirectory

    if not force:
        refuse_any_opening(StudyDirectory(study))
    directory = StudyDirectory(study)
    spec = logging(directory.read())
    run = partial(towards, directory, wanted, seconds=seconds, runner=runner)
    with Progress(console) as progress:
        _tracked(spec, directory.path, progress, lambda listener: run(listener=listener))


def chain(
    spec: Spec,
    *,
    student: str,
    home: Home | None = None,
    seeds: int = 5,
    seconds: float | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    console: Console | None = None,
) -> ChainPlan:
    """Compares ways to distill the teacher of `spec` into one student, through assistants or without.

    The metric is that on the validation samples. `student` gives the searched fields of its architecture, such as
    `depth=1,width=4`. `home` says where the plan is kept, by default below `reports/<study>`; it gets chain.json, chain.png
    and chain.svg. No new round begins after `seconds`. The same call continues where an earlier one stopped.

    Returns: a ChainPlan; its `sentence()` is the answer, which may be "no assistant".

    Raises: UsageError for invalid arguments, StudyError if direct distillation itself cannot be trained.

    Example:
        autodistill.chain(autodistill.load("search_spaces/digits.yaml"), student="depth=1,width=4", seconds=600).sentence()
    """
    from .answers.chains import Home, plan_chain
    from .reporting import chain_graph

    home = home or Home.of(spec, student)
    found = plan_chain(spec, student=student, home=home, seeds=seeds, seconds=seconds, runner=runner, console=_console(console))
    chain_graph.draw(found, home.out / "chain")
    return found


def report(study: Path | str, wanted: Wanted | None = None) -> Report:
    """Writes the tables, the pictures and the page of a study again: report.html and, with a Chromium, report.pdf.

    The page answers what is `wanted`: after `confirm` with a claim, before it with what the validation samples say.

    Returns: a Report with the paths, the answer, and the summary of the study.

    Raises: UsageError if there is no study or it cannot answer, StudyError if it is damaged.

    Example:
        autodistill.report("reports/digits").page
    """
    from .reporting.page import write_page
    from .reporting.write import redraw
    from .study.record.directory import StudyDirectory

    redraw(StudyDirectory(study))
    return write_page(study, wanted)


def watch(study: Path | str, *, port: int = 8300, console: Console | None = None) -> str:
    """Serves the report of a study on this machine until Ctrl-C, and shows results as a search writes them.

    The study need not exist yet; nothing is written to it. `port` is one of 127.0.0.1, 0 any that is free. `console` gets the
    address, by default on standard error.

    Returns: the address, once it has ended.

    Raises: UsageError for a port that cannot be used.

    Example:
        autodistill.watch("reports/digits")
    """
    from .reporting.live import serve

    server, console = serve(study, port), _console(console)
    console.print(f"watching {study} at {server.url} (Ctrl-C ends it)", soft_wrap=True)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return server.url


def compare(studies: Sequence[Path | str], to: Path | str = "reports/compare") -> Comparison:
    """Compares the frontiers of several studies on one page, compare.html in the directory `to`.

    Returns: a Comparison; its `page` is the path.

    Raises: UsageError for fewer than two studies, and for studies of different data.

    Example:
        autodistill.compare(["reports/digits", "reports/digits_tpe"]).page
    """
    from .reporting import page

    return page.compare(studies, to)


def export(study: Path | str, *, to: Path | str, stage: str | None = None, wanted: Wanted | None = None) -> Exported:
    """Writes one network as files that run without the study, each first compared with PyTorch, into the new directory `to`.

    The network is the one whose key begins with `stage` or, without it, the answer of `smallest` to what is `wanted`.

    Returns: an Exported; its `to` is None if no student meets what is wanted, and then nothing is written.

    Raises: UsageError for a key that matches none or several and for a directory that is not empty, StoreError for damaged
    files, StudyError if the weights do not reproduce the network's outputs.

    Example:
        autodistill.export("reports/digits", to="digits-model", wanted=autodistill.Wanted(target=0.9))
    """
    from . import exporting
    from .study.record.directory import StudyDirectory

    if stage is not None and wanted is not None and wanted != type(wanted)(confidence=wanted.confidence):
        raise UsageError(f"--stage {stage} already names a network; give either --stage or a target and limits")
    return exporting.export(StudyDirectory(study), to=to, stage=stage, wanted=wanted)


def predict(export: Path | str, samples: Path | str) -> Predictions:
    """Applies the export in the directory `export` to `samples`: a .csv, .parquet or .json file of rows, a folder of images,
    or a .npz file.

    Returns: Predictions; its `frame()` is a pandas DataFrame with the class, its probability, and those of all classes.

    Raises: UsageError for a folder that is no export, DataError for samples that do not fit it.

    Example:
        autodistill.predict("churn-model", "customers.csv").frame()
    """
    from . import exporting

    return exporting.predict(export, samples)


def explain(study: Path | str, key: str) -> Explained:
    """One network of a study, by its `key` or the beginning of it.

    Returns: an Explained: its chain, its numbers, and the command that trains it again.

    Raises: UsageError if no stored network, or more than one, has such a key.

    Example:
        autodistill.explain("reports/digits", "4e598d1c").command
    """
    from .reporting.explain import explain
    from .study.record.directory import StudyDirectory

    return explain(StudyDirectory(study), key)


def _console(console: Console | None) -> Console:
    from rich.console import Console

    return console or Console(file=sys.stderr)
