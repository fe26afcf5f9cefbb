"""The fifth slide: how the study was made, what it does not claim, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..page import sentences
from .deck import BODY, CODE, Box, add_slide, add_table, add_text
from .fitting import Line
from .shown import Shown

if TYPE_CHECKING:
    from pptx.presentation import Presentation as File

ASIDE, GAP = 5.0, 0.3
"""Inches: the column beside the table, and the space between them."""


class Step(NamedTuple):
    """A command, and what it does."""

    command: str
    what: str


def add_method(file: File, shown: Shown) -> None:
    slide = add_slide(file, "Method, and what to do next", above=shown.title)
    facts = [["trials", sentences.trials(shown.study)], *map(list, sentences.method(shown.study))]
    table = Box(BODY.left, BODY.top, BODY.width - ASIDE - GAP, BODY.height)
    add_table(slide, facts, (1.1, 5.2), table, "How the study was made", header=False)
    top = Box(BODY.left + BODY.width - ASIDE, BODY.top, ASIDE, (BODY.height - GAP) / 2)
    lines = [Line(text=one) for one in _unclaimed(shown)]
    end = add_text(slide, [Line(text="What is not claimed", bold=True, scale=1.15), *lines], top, 14, panel=True) + GAP
    below = Box(top.left, end, ASIDE, BODY.top + BODY.height - end)
    add_text(slide, [Line(text="What to do next", bold=True, scale=1.15), *_steps(shown)], below, 14, panel=True)


def _unclaimed(shown: Shown) -> Iterator[str]:
    if shown.study.confirmed is None:
        yield f"{sentences.UNCONFIRMED} All numbers {sentences.OPTIMISTIC}"
        return
    yield "Nothing about other data than those that the test samples are drawn from."
    yield "Nothing about single classes or groups."
    yield "Test samples are assumed to be independent of each other and of the training samples."
    if not shown.answer.verdict.ships:
        yield "That no student is proven to have what is wanted does not mean that none has it."


def _steps(shown: Shown) -> Iterator[Line]:
    for one in steps(shown):
        yield Line(text=f"{one.what}:")
        yield Line(text=one.command, font=CODE, scale=0.85, color="--link")


def steps(shown: Shown) -> Iterator[Step]:
    """Commands that people run next."""
    place, verdict = str(shown.study.path), shown.answer.verdict
    more = Step(_command("search", place, "--extend", "--set", "search.trials=N"), "To run more trials")
    if shown.study.confirmed is None:
        what = "To test these numbers with fresh seeds, baselines, and the sealed test split"
        yield Step(_command("confirm", place), what)
        yield more
    elif verdict.ships and verdict.chosen is not None:
        what = "To write the student as files that run without the study"
        yield Step(_command("export", place, "--stage", verdict.chosen[:12], "--to", "model"), what)
    else:
        yield Step(_command("smallest", place, "--retain", "SHARE"), "To ask what these test samples prove for less")
        yield more
    yield Step(_command("report", place), "To write the page, which tells the rest")


def _command(*words: str) -> str:
    return shlex.join(["autodistill", *words])
