"""The code blocks of README.md and of the pages of docs/, for tests that read and run them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)(`{3,})(.*)$")


class Block(NamedTuple):
    """A fenced block: its page, the line of its fence, its language, and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    begun, line, inner = None, 0, list[str]()
    for number, text in enumerate(page.read_text().splitlines(), 1):
        fence = FENCE.match(text)
        if begun is None:
            begun, line, inner = fence, number, []
        elif text.strip() == begun[2]:
            yield Block(page, line, begun[3].strip(), "\n".join(inner) + "\n")
            begun = None
        else:
            inner.append(text[len(begun[1]) :])


def blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command of a block, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def prose_of(page: Path) -> str:
    """A page without its blocks."""
    lines = page.read_text().splitlines()
    for block in blocks_of(page):
        for number in range(block.line - 1, block.line + block.text.count("\n") + 1):
            lines[number] = ""
    return "\n".join(lines)
