"""A file of slides: its size, its fonts and colors, boxes of text, tables, and what makes equal slides equal bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, MSO_AUTO_SIZE, PP_ALIGN
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.util import Inches, Pt

from ...version import __version__
from ..page.printing import TEMPLATES
from .fitting import BOLD, HEIGHT, Line, clean, fitted, height_of, rows_of

if TYPE_CHECKING:
    from pptx.presentation import Presentation as File
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.slide import Slide
    from pptx.text.text import TextFrame

WIDTH, HEIGHT_OF_SLIDE, MARGIN = 13.333, 7.5, 0.6
"""Inches; 16:9."""
FONT, CODE = "Arial", "Courier New"
TITLE_ONLY = 5
"""Of the layouts in the template of python-pptx."""
PALE = 0.35
"""How much of a color there is in its tint; the rest is white."""
PADDING = 0.08
"""Inches around the text of a cell, and around that of a box with a background."""
LARGEST = 28
"""Points of titles, which are ours."""
TABLE = (14, 13, 12, 11, 10)
"""Points that the text of a table may have."""
DATED = re.compile(rb"<dcterms:(created|modified)[^>]*>[^<]*</dcterms:\1>")
THEN = (1980, 1, 1, 0, 0, 0)
"""The first date that a zip file can hold."""


class Box(NamedTuple):
    """A place on a slide, in inches."""

    left: float
    top: float
    width: float
    height: float

    def place(self) -> tuple[Inches, Inches, Inches, Inches]:
        return Inches(self.left), Inches(self.top), Inches(self.width), Inches(self.height)

    def inner(self) -> Box:
        """Without the padding of a panel."""
        gap = 2 * PADDING
        return Box(self.left + gap, self.top + gap, self.width - 2 * gap, self.height - 2 * gap)


BODY = Box(MARGIN, 1.45, WIDTH - 2 * MARGIN, HEIGHT_OF_SLIDE - 1.45 - 0.5)
"""Below the title."""


@cache
def palette() -> dict[str, str]:
    """The colors of the page on white, by the names of its CSS variables."""
    light = (TEMPLATES / "style.css").read_text().partition("}")[0]
    return dict(re.findall(r"(--[\w-]+): #([0-9a-f]{6})", light))


def color(name: str) -> RGBColor:
    return RGBColor.from_string(palette()[name])


def tint(name: str) -> RGBColor:
    """A pale color."""
    return RGBColor(*(round(255 - PALE * (255 - part)) for part in bytes.fromhex(palette()[name])))


def begun(title: str) -> File:
    """No slides yet, but 16:9: the template is as high, but narrower."""
    file = Presentation()
    wider = Inches(WIDTH) / file.slide_width
    file.slide_width = Inches(WIDTH)
    master = file.slide_master
    for shape in [*master.shapes, *(shape for layout in master.slide_layouts for shape in layout.placeholders)]:
        shape.left, shape.top, shape.width, shape.height = (
            *(int(wider * shape.left), shape.top),
            *(int(wider * shape.width), shape.height),
        )
    theme = master.part.part_related_by(RELATIONSHIP_TYPE.THEME)
    theme._blob = theme.blob.replace(b'typeface="Calibri"', f'typeface="{FONT}"'.encode())
    about = file.core_properties
    about.title, about.author, about.last_modified_by = clean(title), f"autodistill {__version__}", ""
    return file


def add_slide(file: File, title: str, ink: str = "--text", above: str = "") -> Slide:
    """A slide with a title, and a quiet line `above` it."""
    slide = file.slides.add_slide(file.slide_layouts[TITLE_ONLY])
    heading = slide.shapes.title
    box = Box(MARGIN, 0.6, WIDTH - 2 * MARGIN, 0.75)
    heading.left, heading.top, heading.width, heading.height = box.place()
    _write(heading.text_frame, [Line(text=title, bold=True, color=ink)], LARGEST)
    add_text(slide, [Line(text=above, color="--quiet")], Box(MARGIN, 0.27, WIDTH - 2 * MARGIN, 0.32), 12)
    return slide


def add_text(
    slide: Slide, lines: Sequence[Line], box: Box, largest: int = 18, *, panel: bool = False, below: float = 0.0
) -> float:
    """Text as large as fits, but at most so many points; a panel has a background. Both are only as high as the text, unless
    there is to be space `below` it.

    Returns: where the text or the panel ends, in inches.
    """
    inner = box.inner() if panel else box
    inner = inner._replace(height=inner.height - below)
    size, shown = fitted([replace(one, text=clean(one.text)) for one in lines], inner.width, inner.height, largest)
    needed = height_of(shown, size, inner.width) + (box.height - inner.height + PADDING if panel else 0.0)
    box = box._replace(height=box.height if below else min(box.height, needed))
    shape = slide.shapes.add_textbox(*box.place())
    if panel:
        shape.fill.solid()
        shape.fill.fore_color.rgb = color("--panel")
    _write(shape.text_frame, shown, size, 2 * PADDING if panel else 0.0)
    return box.top + box.height


def _write(frame: TextFrame, lines: Sequence[Line], size: int, margin: float = 0.0) -> None:
    frame.word_wrap, frame.vertical_anchor, frame.auto_size = True, MSO_ANCHOR.TOP, MSO_AUTO_SIZE.NONE
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = Inches(margin)
    for place, one in enumerate(lines):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.space_before = Pt(0 if place == 0 else 0.3 * size)
        run = paragraph.add_run()
        run.text = one.text
        run.font.size, run.font.bold, run.font.name = Pt(round(size * one.scale)), one.bold, one.font or FONT
        run.font.color.rgb = color(one.color)


def describe(frame: GraphicFrame, text: str) -> None:
    """The alternative text of a chart or a table."""
    frame._element.nvGraphicFramePr.cNvPr.set("descr", clean(text))


def add_table(
    slide: Slide, rows: Sequence[Sequence[str]], widths: Sequence[float], box: Box, text: str, *, header: bool = True
) -> None:
    """A table with the largest text that fits; `widths` are shares of the box, `text` is the alternative text."""
    cells = [[clean(cell) for cell in row] for row in rows]
    inches = [box.width * width / sum(widths) for width in widths]
    size = next((size for size in TABLE if _fits(cells, inches, size, box.height)), TABLE[-1])
    frame = slide.shapes.add_table(len(cells), len(inches), *box.place())
    describe(frame, text)
    table = frame.table
    table.first_row, table.horz_banding = header, False
    for column, width in zip(table.columns, inches, strict=True):
        column.width = Inches(width)
    for place, (row, height) in enumerate(zip(table.rows, _heights(cells, inches, size), strict=True)):
        row.height = Inches(height)
        for column_place, cell in enumerate(row.cells):
            cell.fill.solid()
            cell.fill.fore_color.rgb = color("--panel" if place % 2 == 0 else "--back")
            cell.margin_left = cell.margin_right = Inches(PADDING)
            cell.margin_top = cell.margin_bottom = Inches(PADDING / 2)
            cell.vertical_anchor = MSO_ANCHOR.MIDDLE
            run = cell.text_frame.paragraphs[0].add_run()
            run.text = cells[place][column_place]
            run.font.size, run.font.name, run.font.color.rgb = Pt(size), FONT, color("--text")
            run.font.bold = place == 0 if header else column_place == 0


def _fits(cells: Sequence[Sequence[str]], widths: Sequence[float], size: float, height: float) -> bool:
    """Whether the rows of a table are not too high, and no word is broken."""
    pairs = [(cell, width - 2 * PADDING) for row in cells for cell, width in zip(row, widths, strict=True)]
    whole = all(rows_of(word, BOLD * size, width) == 1 for cell, width in pairs for word in cell.split())
    return whole and sum(_heights(cells, widths, size)) <= height


def _heights(cells: Sequence[Sequence[str]], widths: Sequence[float], size: float) -> list[float]:
    """Of the rows of a table, in inches."""
    pairs = (zip(row, widths, strict=True) for row in cells)
    rows = [max(rows_of(cell, BOLD * size, width - 2 * PADDING) for cell, width in row) for row in pairs]
    return [count * HEIGHT * size / 72 + PADDING for count in rows]


def add_notes(slide: Slide, lines: Sequence[str]) -> None:
    """What the presenter sees."""
    slide.notes_slide.notes_text_frame.text = "\n".join(map(clean, lines))


def saved(file: File) -> bytes:
    """The file, without the times at which it and the workbooks of its charts were made."""
    buffer = io.BytesIO()
    file.save(buffer)
    return _timeless(buffer.getvalue())


def _timeless(packed: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            part = _timeless(part) if name.endswith(".xlsx") else part
            part = DATED.sub(b"", part) if name == "docProps/core.xml" else part
            new.writestr(zipfile.ZipInfo(name, THEN), part, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
