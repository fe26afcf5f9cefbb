"""What a terminal shows of a search: its frontier and jobs while it runs, and its result on one screen."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from autodistill.distill.jobs import attempt
from autodistill.reporting.screen import MEMBERS, running_search, show_result
from autodistill.reporting.summary import Reached, StudySummary, summary
from autodistill.reporting.terminal import frontier_table
from autodistill.runners import attempts
from autodistill.spec import Spec
from autodistill.spec.measurement import Sizes
from autodistill.study.record.findings import Failure
from autodistill.study.schedule.running import Running

from .rows import trial_row
from .scored import measured
from .searching import search

ROOM = 36
"""The most lines of a search's result."""


@pytest.fixture
def found(tiny: Callable[..., Spec]) -> Callable[..., StudySummary]:
    """A study with so many members on the frontier."""

    def make(members: int, architecture: str = "resnet depth=1 width={}") -> StudySummary:
        rows = [_row("teacher", "resnet depth=2 width=32", 700_000, 0.99)]
        for number in range(members):
            accuracy = 0.93 + 0.06 * number / max(1, members - 1)
            rows.append(_row(f"{number:08}", architecture.format(number + 2), 2_000 * (number + 1), accuracy))
        return summary(tiny(search__region=0.9), rows, 0.1)

    return make


def _row(stage: str, architecture: str, params: int, accuracy: float) -> Any:
    role = "teacher" if stage == "teacher" else "student"
    chain = architecture if role == "teacher" else f"resnet depth=2 width=32 > resnet depth=1 width=64 > {architecture}"
    sizes = Sizes(params=params, macs=params, bytes=4 * params)
    return trial_row(
        role=role,
        stage=stage,
        architecture=architecture,
        chain=chain,
        sizes=sizes,
        measured=measured(accuracy, 2000, sizes),
        seconds=1.0,
        of_teacher=accuracy / 0.99,
        compression=700_000 / params,
        frontier=role == "student",
        inside=role == "student",
    )


def result(found: StudySummary, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    show_result(console, found, "reports/digits")
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("members", [1, MEMBERS, 3 * MEMBERS])
def test_the_result_of_a_search_fits_one_screen(found: Callable[..., StudySummary], members: int) -> None:
    lines = result(found(members))
    assert len(lines) <= ROOM and max(map(len, lines)) <= 100, "\n".join(lines)
    assert lines[0] == "tiny: frontier of validation accuracy and size, with at least 90.1% accuracy"
    assert any(line.startswith("  autodistill smallest reports/digits --retain ") for line in lines)
    assert lines[-1] == "report: reports/digits"
    more = [line for line in lines if line.endswith("more members are in frontier.csv")]
    assert bool(more) == (members > MEMBERS)


def test_a_table_that_is_cut_keeps_the_first_and_the_last_member(found: Callable[..., StudySummary]) -> None:
    stages = list(frontier_table(found(25), most=10).columns[-1].cells)
    assert len(stages) == 11 and stages[0] == "00000000" and stages[9] == "00000024" and stages[10] == "teacher"
    assert frontier_table(found(25)).row_count == 26


def test_what_all_networks_share_is_in_the_header(found: Callable[..., StudySummary]) -> None:
    column = frontier_table(found(3)).columns[-2]
    assert column.header == "assistants > student: resnet depth=1"
    assert list(column.cells) == ["width=64 > width=2", "width=64 > width=3", "width=64 > width=4", "teacher"]
    column = frontier_table(found(2, "mlp depth={}")).columns[-2]
    assert list(column.cells)[0] == "resnet depth=1 width=64 > mlp depth=2" and column.header == "assistants > student"


def test_one_student_answers_once(found: Callable[..., StudySummary]) -> None:
    one = found(1)
    assert [line.split(":")[0] for line in one.answers()] == ["90% of the teacher's accuracy", "95% of the teacher's accuracy"]
    row = one.frontier[0]
    reached = StudySummary(**{**vars(one), "target": Reached(0.9, True, row)})
    assert reached.answers()[0].startswith("the smallest student with 90.0% validation accuracy has 2,000 params")
    assert any("autodistill smallest reports/digits --target accuracy=0.9 " in line for line in result(reached))
    missed = StudySummary(**{**vars(one), "target": Reached(0.999, False, row)})
    assert any("autodistill search reports/digits --extend" in line for line in result(missed))


def test_remarks_that_do_not_fit_are_counted(found: Callable[..., StudySummary]) -> None:
    one = found(1)
    failures = [Failure(1, f"{number} " + "x" * 90) for number in range(20)]
    lines = result(StudySummary(**{**vars(one), "failures": failures, "trials": one.trials._replace(failed=20)}))
    assert any(line.endswith("more remarks: autodistill report reports/digits") for line in lines)
    assert len(lines) <= ROOM


def test_a_running_search_shows_its_jobs_and_failures(found: Callable[..., StudySummary]) -> None:
    one = found(2)
    one = StudySummary(**{**vars(one), "failures": [Failure(1, "it diverged")], "trials": one.trials._replace(failed=1)})
    jobs = [Running(f"trial {number}", "resnet depth=1 width=3", 75.0 + number) for number in range(6)]
    console = Console(file=io.StringIO(), width=100, highlight=False)
    console.print(running_search(Text("0:12  trials 3/9"), one, jobs))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "0:12  trials 3/9"
    assert [line.split()[:3] for line in lines if line.startswith("running")] == [
        ["running", "trial", str(k)] for k in range(4)
    ]
    assert "1:15" in next(line for line in lines if line.startswith("running"))
    assert any("2 more" in line for line in lines) and any("it diverged" in line for line in lines)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_only_a_terminal_that_can_redraw_gets_a_live_table(
    term: str, tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, _environ={"TERM": term})

    def once_drawn(*job: Any, **options: Any) -> Any:
        """A job that lasts until the thread that draws has drawn it."""
        assert isinstance(console.file, io.StringIO)
        latest = time.monotonic() + 60
        while term == "xterm" and "running  " not in console.file.getvalue() and time.monotonic() < latest:
            time.sleep(0.01)
        return attempt(*job, **options)

    monkeypatch.setattr(attempts, "attempt", once_drawn)
    search(tiny(search__trials=2), out=tmp_path / "out", runner="serial", console=console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert ("\x1b[2K" in said) == (term == "xterm") and "trials " in said
    assert ("running  " in said) == (term == "xterm")
