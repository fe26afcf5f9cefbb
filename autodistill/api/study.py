"""A study in its directory, for Python: its tables, answers, networks, and exported files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..spec import Spec, UsageError
from ..study.record.directory import StudyDirectory
from .tracking import followed, tracked

if TYPE_CHECKING:
    import pandas
    from rich.console import Console
    from torch import nn

    from ..answers import Claim, Wanted
    from ..answers.chains import ChainPlan
    from ..answers.confirm import Confirmation
    from ..exporting import Exported
    from ..reporting.explain import Explained
    from ..reporting.page import Report
    from ..reporting.summary import StudySummary
    from ..runners import Runner
    from ..study.record.rows import TrialRow
    from ..study.schedule.spent import Spent


class Run(NamedTuple):
    """What one call of `search` did: how many stages it trained and reused, and where its time went."""

    trained: int
    reused: int
    spent: Spent


class Study:
    """The study in a directory. Everything is read from there, so it shows what is there now.

    `run` says what the search did that returned this study; None if the study was opened.
    """

    def __init__(self, directory: StudyDirectory, run: Run | None = None) -> None:
        self._directory, self.run = directory, run

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        found = self.summary()
        trials, networks = sum(found.trials), len(found.frontier)
        counted = f"{trials:,} trial{'s' * (trials != 1)}, {networks:,} network{'s' * (networks != 1)}"
        return f"Study {found.study} in {self.path}: {counted} on the frontier"

    def _repr_html_(self) -> str:
        from ..reporting.notebook import study_html

        return study_html(self.summary(), self.path / "frontier.png")

    @property
    def path(self) -> Path:
        return self._directory.path

    @property
    def spec(self) -> Spec:
        """The spec with every default filled in."""
        return self._directory.read()

    @property
    def frontier(self) -> pandas.DataFrame:
        """The Pareto frontier of the metric on the validation samples and size, the smallest student first."""
        from ..study.record.rows import frontier

        return _frame(frontier(self.rows()))

    @property
    def trials(self) -> pandas.DataFrame:
        """All networks: the teacher, the incumbent, assistants, and the student of each trial."""
        return _frame(self.rows())

    def rows(self) -> list[TrialRow]:
        """The same networks as `trials`, as typed values."""
        from ..study.record.opened import open_study

        with open_study(self._directory) as study:
            return study.rows()

    def summary(self) -> StudySummary:
        """The summary that tables and pages show."""
        from ..reporting.summary import summary
        from ..study.record.opened import open_study

        with open_study(self._directory) as study:
            notes, spent = study.notes, None if self.run is None else self.run.spent
            return summary(study.spec, study.rows(), notes.chance, notes.expected_improvement, spent, study.references())

    def module(self, stage: str) -> nn.Module:
        """The network whose key begins with `stage` (a column of the tables), on the CPU and in eval mode.

        Returns: a torch module that maps the raw numbers of the data to logits.

        Raises: UsageError for a key that matches none or several, StoreError for damaged files.

        Example:
            autodistill.open("reports/digits").module("4e598d1c")(x).argmax(1)
        """
        from ..answers.network import module_of

        return module_of(self._directory, stage)

    def confirm(
        self,
        *,
        seeds: int = 5,
        only: Sequence[str] = (),
        baselines: bool = True,
        runner: Runner | Literal["ray", "serial"] = "ray",
        force: bool = False,
        console: Console | None = None,
    ) -> Confirmation:
        """Retrains the frontier with fresh `seeds`, each with its baselines, and then opens the sealed test split.

        With `only`, the beginnings of keys in the column `stage`, it retrains these students alone; other members of the
        frontier are used as they were searched. Without `baselines`, it trains none of the same students from
        labels and without assistants.

        The split is opened once, for frozen networks. `force` opens it again for other networks; every report then says so.

        Returns: a Confirmation with the test results of the teacher and of each member.

        Raises: UsageError if there is nothing to confirm, StudyError if the split was opened before for other networks.

        Example:
            autodistill.open("reports/digits").confirm(seeds=3).members[0].on_test.value
        """
        from ..answers import confirm as confirmation
        from ..reporting.notebook import console_of

        run = partial(confirmation.confirm, self._directory, seeds=seeds, only=only, baselines=baselines)
        return run(runner=runner, force=force, console=console_of(console))

    def smallest(
        self,
        wanted: Wanted | None = None,
        *,
        accuracy: float | None = None,
        retain: float | None = None,
        within: float | None = None,
        seeds: int = 5,
        runner: Runner | Literal["ray", "serial"] = "ray",
        force: bool = False,
        console: Console | None = None,
    ) -> Claim:
        """The smallest student that is shown to meet the target and limits in `wanted`: by default, 95% of the teacher's
        metric at half its size. `accuracy` is short for a target accuracy, and `retain` for a share of the teacher's metric to
        keep, such as 0.97.

        A study that is not confirmed yet is confirmed first, as by `confirm`. With `within`, in seconds, the search first
        continues toward the target for at most that time.

        Returns: a Claim; `module()` is the network, and `answer` is None if no student is proven to meet the target. `later`
        counts the students that the claim does not cover because they were tried after the confirmation.

        Raises: UsageError for a target out of range and for two targets, StudyError if the test split was opened before for
        other networks.

        Example:
            autodistill.open("reports/digits").smallest(accuracy=0.95).module()
        """
        from ..answers import confirm
        from ..answers.smallest import smallest as answered
        from ..reporting.notebook import console_of
        from ..study.record.opened import open_study

        wanted, console = wanted_of(wanted, accuracy, retain), console_of(console)
        if within is not None:
            _continue(self._directory, wanted, within, runner, force, console)
        found = None if force else confirm.read(self._directory)
        if found is None:
            found = confirm.confirm(self._directory, seeds=seeds, runner=runner, force=force, console=console)
        with open_study(self._directory) as now:
            return replace(answered(found, wanted), later=found.later(now.record), directory=self._directory)

    def chain(
        self,
        student: str,
        *,
        seeds: int = 5,
        seconds: float | None = None,
        runner: Runner | Literal["ray", "serial"] = "ray",
        console: Console | None = None,
    ) -> ChainPlan:
        """Compares ways to distill the teacher into one student, as `autodistill.chain` does, and reuses the stages of this
        study.

        `student` gives the searched fields of the student's architecture, `seeds` the number of seeds of each candidate. No new
        round begins after `seconds`.

        Returns: a ChainPlan; its `sentence()` is the answer, which may be "no assistant".

        Raises: UsageError for invalid arguments, StudyError if direct distillation itself cannot be trained.

        Example:
            autodistill.open("reports/digits").chain("depth=1,width=4", seconds=600).sentence()
        """
        from . import chain

        return chain(self.path, student=student, seeds=seeds, seconds=seconds, runner=runner, console=console)

    def report(self, wanted: Wanted | None = None, *, accuracy: float | None = None, slides: bool = False) -> Report:
        """Rewrites the tables, the pictures and the page: report.html and, if a Chromium is installed, report.pdf.

        The page answers the question in `wanted` (`accuracy` is short for a target accuracy): after `confirm`, with a claim;
        before it, with what the validation samples show. With `slides`, report.pptx says the same on five slides, for those
        who present it.

        Returns: a Report with the paths, the answer, and the summary of the study.

        Raises: UsageError if there is no study or it cannot answer, or without python-pptx for `slides`; StudyError if it is
        damaged.

        Example:
            autodistill.open("reports/digits").report().page
        """
        from ..reporting.page import write_page
        from ..reporting.page.study import read_study
        from ..reporting.slides import refuse_missing, write_slides
        from ..reporting.write import redraw

        if slides:
            refuse_missing()
        redraw(self._directory)
        study = read_study(self.path)
        found = write_page(study, wanted_of(wanted, accuracy))
        return found._replace(slides=write_slides(study, found.answer)) if slides else found

    def export(
        self, to: Path | str, *, stage: str | None = None, wanted: Wanted | None = None, accuracy: float | None = None
    ) -> Exported:
        """Writes one network into the new directory `to`, as files that run without the study; each file is first compared with
        PyTorch.

        The network is the one whose key begins with `stage` or, without `stage`, the answer of `smallest` to `wanted`
        (`accuracy` is short for a target accuracy).

        Returns: an Exported. If no student meets the target, its `to` is None, and nothing is written.

        Raises: UsageError for a key that matches none or several and for a directory that is not empty, StoreError for damaged
        files, StudyError if the weights do not reproduce the network's outputs.

        Example:
            autodistill.open("reports/digits").export("digits-model", accuracy=0.9)
        """
        from .. import exporting

        asked = wanted_of(wanted, accuracy)
        if stage is not None and asked != type(asked)(confidence=asked.confidence):
            raise UsageError(f"--stage {stage} already names a network; give either --stage or a target and limits")
        return exporting.export(self._directory, to=to, stage=stage, wanted=asked)

    def explain(self, key: str) -> Explained:
        """One network, by its `key` or the beginning of it.

        Returns: an Explained: its chain, its numbers, and the command that trains it again.

        Raises: UsageError if no stored network, or more than one, has such a key.

        Example:
            autodistill.open("reports/digits").explain("4e598d1c").command
        """
        from ..reporting.explain import explain

        return explain(self._directory, key)


def wanted_of(wanted: Wanted | None, accuracy: float | None, retain: float | None = None) -> Wanted:
    """What is wanted, with a target accuracy or a share of the teacher's metric to keep. Raises UsageError for two targets."""
    from ..answers import Wanted

    found = wanted or Wanted()
    given = {"accuracy": accuracy is not None, "retain": retain is not None, "wanted": found.has_target}
    targets = [name for name, there in given.items() if there]
    if len(targets) > 1:
        raise UsageError(f"{' and '.join(targets[:2])} are two targets; give one of them")
    found = found if retain is None else replace(found, retain=retain)
    return found if accuracy is None else replace(found, metric="accuracy", target=accuracy)


def _frame(rows: list[TrialRow]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame([row.columns() for row in rows])


def _continue(
    study: StudyDirectory,
    wanted: Wanted,
    seconds: float,
    runner: Runner | Literal["ray", "serial"],
    force: bool,
    console: Console,
) -> None:
    """Continues a search toward the target, unless its test split was opened."""
    from ..answers.confirm import refuse_any_opening
    from ..answers.towards import towards
    from ..reporting.progress import Progress

    if not force:
        refuse_any_opening(study)
    spec, run = tracked(study.read()), partial(towards, study, wanted, seconds=seconds, runner=runner)
    with Progress(console) as progress:
        followed(spec, study.path, progress, lambda listener: run(listener=listener))
