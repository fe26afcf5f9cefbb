"""The public functions, for the command line, scripts and notebooks.

Each imports what it needs when it is called: torch, Ray, and Optuna take seconds. A spec may be a YAML file, plain dicts, or a
Spec; a study is named by its directory (the `out` of its search) or by its spec. Invalid arguments raise UsageError (a
ValueError); StudyError and StoreError mean that a study or a stored file cannot be used now, and say what to do. All are
subclasses of AutodistillError.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..spec import ABOUT, UsageError, load
from ..spec.value import Json
from .named import SpecLike, named, place_of, study_of
from .study import Run, Study
from .tracking import followed, tracked

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

    from ..answers.chains import ChainPlan, Home
    from ..exporting import Predictions
    from ..reporting.page import Comparison
    from ..runners import Runner
    from ..study.preflight.values import Preflight

__all__ = ["Study", "chain", "check", "compare", "init", "load", "open", "predict", "schema", "search", "watch"]


class Drafted(NamedTuple):
    """The spec that `init` wrote, what it guessed, and what `check` says of it."""

    path: Path
    guesses: Sequence[str]
    preflight: Preflight

    def lines(self) -> list[str]:
        data, seconds = self.preflight.data, self.preflight.seconds
        rows = f"{data.train:,} training, {data.validation:,} validation and {data.test:,} test samples of {data.inputs.label}"
        total = None if seconds is None else seconds.total
        time = [] if total is None else [f"a search takes about {max(1, round(total / 60))} min here"]
        many = ABOUT[data.kind].one if data.classes == 1 else ABOUT[data.kind].many
        first = f"wrote {self.path}: {rows}, {data.classes:,} {many}"
        return [first, *self.guesses, *time, f"next: autodistill search {self.path}"]

    def as_json(self) -> dict[str, object]:
        return {"spec": str(self.path), "guesses": [*self.guesses], "check": self.preflight.as_json()}


def init(
    data: str,
    *,
    label: str | None = None,
    kind: str | None = None,
    teacher: str | None = None,
    target: tuple[str, float] | None = None,
    to: Path | str | None = None,
    force: bool = False,
) -> Drafted:
    """Looks at a data set and writes a commented spec with suitable ranges, which `check` accepts.

    `data` is a path, or a name that `task.dataset` accepts. `label` is the label column of a table. `kind` is classification,
    multilabel or regression, if the guess from the labels is wrong. `teacher` is a function
    (`package.module:function`), a stage of a study, a timm model, or, for texts, the folder of a transformer. `target` is a
    metric and its value. The spec is written to `to`, by default a file in the working directory; an existing file is kept
    unless `force` is given.

    Returns: a Drafted, whose `lines()` say what was guessed.

    Raises: DataError for data that cannot be used, UsageError for a kind that the data cannot have, or if the file exists.

    Example:
        autodistill.init("churn.npz").path
    """
    from ..spec.json_schema import modeline
    from .draft import drafted

    draft = drafted(str(data), label=label, kind=kind, teacher=teacher, target=target)
    path = Path(to or f"{draft.study}.yaml")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; give another file with --to, or --force to replace it")
    before = path.read_bytes() if path.exists() else None
    try:
        path.write_text(f"{modeline(path)}\n{draft.text}")
        return Drafted(path, draft.guesses, check(path))
    except BaseException:
        path.unlink(missing_ok=True) if before is None else path.write_bytes(before)
        raise


def schema() -> Json:
    """The JSON schema (draft 2020-12) of a spec, with which editors complete and check the keys and values of a YAML file.

    Whatever it refuses, `load` refuses, too; `load` knows more: which values fit together, and what files there are.

    Returns: the schema, as plain dicts and lists.

    Raises: nothing.

    Example:
        autodistill.schema()["properties"]["search"]
    """
    from ..spec.json_schema import json_schema

    return json_schema()


def check(
    spec: SpecLike,
    *,
    data: object = None,
    label: str | None = None,
    teacher: nn.Module | None = None,
    student: Callable[..., object] | Mapping[str, object] | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
) -> Preflight:
    """Checks a spec without a search: sizes, splits, stages, and how long training runs take here.

    `data`, `label`, `teacher`, `student` and `overrides` are as in `search`. `workers` is the number of training runs at a
    time, by default as many as fit on this machine.

    Returns: a Preflight, whose `as_json()` is what `check --json` prints.

    Raises: UsageError for everything that a search would refuse.

    Example:
        autodistill.check("search_spaces/digits.yaml").params  # the smallest and the largest student
    """
    from ..runners import parallel
    from ..study.preflight import check as preflight
    from .given import Given

    given = Given(data, label, teacher, student)
    with tempfile.TemporaryDirectory(prefix="autodistill-check-") as folder:
        found = tracked(given.kept(spec, overrides, Path(folder) / "given").spec)
        return preflight.check(found, workers=workers or parallel(found))


def search(
    spec: SpecLike,
    *,
    data: object = None,
    label: str | None = None,
    teacher: nn.Module | None = None,
    student: Callable[..., object] | Mapping[str, object] | None = None,
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
    store: Path | str | None = None,
    fresh: bool = False,
    extend: bool = False,
    older: Path | str | None = None,
    retry_failed: bool = False,
    runner: Runner | Literal["ray", "serial"] = "ray",
    log: Sequence[str] = (),
    console: Console | None = None,
) -> Study:
    """Searches for students, and keeps the study with its tables and pictures in `out`. The same call resumes a stopped search.

    `data` takes the place of `task.dataset`: a data set of torch or Hugging Face, arrays (x, y), a dict of arrays, or a tuple
    (train, validation, test) of those; or a table with its `label`. `teacher` is a module with its weights. `student` is a
    function or a class that makes students, or an architecture as in a spec. All three are kept in `out`, so that everything
    else works without the Python objects. `overrides` are texts such as `key.path=value`.

    `out` is `reports/<study>` by default. `store` is a directory of stages that studies share. `fresh` discards the study's
    trials. `extend` continues in a changed space or with more trials. `older` names a study whose trials a new one begins with.
    `retry_failed` trains failed stages again. `runner`: `ray` uses all cores, `serial` only this process. `log` names trackers
    that get every trial, in addition to those of the spec: tensorboard, mlflow, wandb. `console` gets the progress; by default,
    a notebook shows it in its cell.

    Returns: the Study.

    Raises: UsageError for invalid arguments, StudyError or StoreError if the search cannot continue.

    Example:
        study = autodistill.search("search_spaces/digits.yaml", out="reports/digits")
    """
    from ..reporting.notebook import Cell, console_of, in_notebook

    cell = Cell() if console is None and in_notebook() else None
    from ..reporting.progress import Progress
    from ..study import driver
    from .given import Given, swept

    given = Given(data, label, teacher, student)
    plain = given.spec(spec, overrides)
    tracked(plain.spec, log)  # refuses before data are written
    directory = plain.directory(out)
    options = driver.Options(store=_text(store), fresh=fresh, extend=extend, older=_text(older), retry_failed=retry_failed)
    with swept(directory) as folder, Progress(console_of(console), cell) as progress:
        found = tracked(given.kept(spec, overrides, folder).spec, log)
        run = partial(driver.search, found, out=directory.path, runner=runner, options=options)
        done = followed(found, directory.path, progress, lambda listener: run(listener=listener))
    return Study(directory, Run(len(done.trained), done.reused(), done.meter.spent(done.workers)))


def open(study: SpecLike) -> Study:  # as in autodistill.open
    """The study in a directory, or that of a spec in reports/<study>.

    Returns: a Study, with its tables, answers and networks.

    Raises: UsageError if there is no study, or if it was searched with another spec.

    Example:
        autodistill.open("reports/digits").frontier
    """
    directory = study_of(study)
    directory.read()  # refuses a directory without a study
    return Study(directory)


def chain(
    spec: SpecLike,
    *,
    student: str,
    home: Home | None = None,
    seeds: int = 5,
    seconds: float | None = None,
    runner: Runner | Literal["ray", "serial"] = "ray",
    console: Console | None = None,
) -> ChainPlan:
    """Compares ways to distill the teacher of `spec` into one student, through assistants or without.

    Candidates are compared by their metric on the validation samples. `student` gives the searched fields of the student's
    architecture, such as `depth=1,width=4`. `home` says where chain.json, chain.png and chain.svg are kept: by default in the
    directory of the study, whose stages are reused. No new round begins after `seconds`. The same call resumes a stopped one.

    Returns: a ChainPlan; its `sentence()` is the answer, which may be "no assistant".

    Raises: UsageError for invalid arguments, StudyError if direct distillation itself cannot be trained.

    Example:
        autodistill.chain("search_spaces/digits.yaml", student="depth=1,width=4", seconds=600).sentence()
    """
    from ..answers.chains import Home, plan_chain
    from ..reporting import chain_graph
    from ..reporting.notebook import console_of

    found, study = named(spec)
    home = home or Home.of(found, student, None if study is None else study.path)
    plan = plan_chain(
        found, student=student, home=home, seeds=seeds, seconds=seconds, runner=runner, console=console_of(console)
    )
    chain_graph.draw(plan, home.out / "chain")
    return plan


def watch(study: SpecLike, *, port: int = 8300, console: Console | None = None) -> str:
    """Serves the report of a study on this machine until Ctrl-C; the page shows results as a search writes them.

    The study need not exist yet; nothing is written to it. `port` is a port on 127.0.0.1; 0 takes any free port. `console` gets
    the address; by default, it is printed on standard error.

    Returns: the address, after the server has ended.

    Raises: UsageError for a port that cannot be used.

    Example:
        autodistill.watch("reports/digits")
    """
    from ..reporting.live import serve
    from ..reporting.notebook import console_of

    path = place_of(study).path
    server = serve(path, port)
    try:
        console_of(console).print(f"watching {path} at {server.url} (Ctrl-C ends it)", soft_wrap=True)
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return server.url


def predict(export: Path | str, samples: Path | str) -> Predictions:
    """Applies the export in the directory `export` to `samples`: a .csv, .parquet, or .json file of rows or texts (also .jsonl,
    or the lines of a .txt file), a folder of images, or a .npz file.

    Returns: Predictions; `frame()` gives a pandas DataFrame with the class, its probability, and the probabilities of all
    classes.

    Raises: UsageError for a directory that is not an export, DataError for samples that do not fit it.

    Example:
        autodistill.predict("churn-model", "customers.csv").frame()
    """
    from .. import exporting

    return exporting.predict(export, samples)


def compare(studies: Sequence[SpecLike], to: Path | str = "reports/compare") -> Comparison:
    """Compares the frontiers of several studies on one page, compare.html in the directory `to`.

    Returns: a Comparison, whose `page` is the path of the page.

    Raises: UsageError for fewer than two studies, and for studies of different data.

    Example:
        autodistill.compare(["reports/digits", "reports/digits_tpe"]).page
    """
    from ..reporting import page

    return page.compare([study_of(one).path for one in studies], to)


def _text(path: Path | str | None) -> str | None:
    return None if path is None else str(path)
