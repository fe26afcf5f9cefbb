"""The command line as a person meets it: the help, the completion of a shell, and colors only where they belong."""

from __future__ import annotations

import argparse
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import autodistill
from autodistill.cli import _console, main, parser
from autodistill.cli.arguments import BEGIN, GROUPS
from autodistill.reporting.notebook import console_of

COMMANDS = [command for members in GROUPS.values() for command in members]


def help_of(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_help_lists_each_command_once_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    lines = help_of(capsys=capsys).splitlines()
    starts = [lines.index(f"{title}:") for title in GROUPS]
    assert starts == sorted(starts)
    for start, members in zip(starts, GROUPS.values(), strict=True):
        listed = [line.split()[0] for line in lines[start + 1 : start + 1 + len(members)]]
        assert listed == [command.name for command in members]
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_a_command_has_examples_that_are_valid(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(command.name, capsys=capsys)
    assert command.text.lower() in " ".join(said.lower().split()) and "examples:\n" in said
    for example in command.examples:
        assert f"  {example}\n" in said
        words = shlex.split(example.partition("#")[0].partition(" > ")[0].partition(" | ")[0])
        if words[0] != "eval":
            assert words[0] == "autodistill" and parser().parse_args(words[1:]).run is command.run


def test_people_can_begin_as_the_help_says(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys=capsys)
    for line in BEGIN:
        assert line in said
        parser().parse_args(shlex.split(line.partition("#")[0])[1:])


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"autodistill {autodistill.__version__}\n"


def test_nothing_of_the_parser_is_lost_in_groups() -> None:
    (action,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert list(action.choices) == [command.name for command in COMMANDS]


# The completion of a shell


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_a_shell_knows_all_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert all(command.name in said for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["autodistill", "sea"], {"search"}),
        (["autodistill", "search", "spec.yaml", "--ret"], {"--retry-failed"}),
        (["autodistill", "search", "spec.yaml", "--runner", "s"], {"serial"}),
        (["autodistill", "search", "tin"], {"tiny.yaml"}),
        (["autodistill", "export", "s", "--to", "fol"], {"folder"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bash_completes(words: Sequence[str], wanted: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "tiny.yaml").touch()
    (tmp_path / "folder").mkdir()
    line = (
        f"source ./script; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
        "_shtab_autodistill autodistill; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    assert set(done.stdout.split()) == wanted, done


# Colors


def test_names_that_look_like_emoji_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for console in (_console(False), console_of(None)):
        console.print("runs/a:key:b[c]")
    assert capsys.readouterr() == ("runs/a:key:b[c]\n", "runs/a:key:b[c]\n")


def printed(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], json_mode: bool = False) -> str:
    """What a red text becomes in a terminal with these variables."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as master, os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        _console(json_mode).print("text", style="red")
        terminal.flush()
        return master.read(100).decode() if not json_mode else ""


def test_a_terminal_has_colors_unless_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[31m" in printed(monkeypatch, {})
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert printed(monkeypatch, environment) == "text\r\n"


def test_files_and_json_have_no_colors(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _console(False).print("text", style="red")
    assert capsys.readouterr().out == "text\n"
    printed(monkeypatch, {}, json_mode=True)
    assert capsys.readouterr().err == "text\n"
