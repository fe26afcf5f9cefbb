"""Sample inputs on the page that only the teacher gets right: they read as they were given, and none is a test sample."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autodistill.answers import Wanted
from autodistill.data.encode import encoded
from autodistill.data.encoding import EncodedColumn, Encoding
from autodistill.distill import open_data
from autodistill.reporting.page import html
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.finalists import finalists, the_teacher
from autodistill.reporting.page.samples import COLUMNS, LETTERS, MOST, SIDE, as_png, as_row, as_text, only_teacher
from autodistill.reporting.page.study import read_study
from autodistill.store import Store

from .textual import reviews, splits_of, written

pytestmark = pytest.mark.xdist_group("page")


def test_samples_are_validation_samples_of_the_class_that_the_teacher_says(confirmed: Path) -> None:
    study = read_study(confirmed)
    teacher, student = the_teacher(study), finalists(study)[0]
    found = only_teacher(study, teacher, student)
    assert found is not None and 0 < len(found.samples) <= MOST and found.missed >= len(found.samples)
    data = open_data(study.stages.store, study.stages.network(teacher.stage).task.data)
    images = {as_png(image): str(label) for image, label in zip(data.validation_x["x"][:], data.validation_y, strict=True)}
    for one in found.samples:
        assert images[one.image] == one.label != one.said and not one.text
    assert len({one.label for one in found.samples}) == min(MOST, len({images[one.image] for one in found.samples}))
    again = only_teacher(study, teacher, student)
    assert again == found, "the same samples each time"


def test_the_page_says_of_which_networks_and_samples_they_are(raw: Path) -> None:
    study = read_study(raw)
    found = answer(study, Wanted())
    text = html(study, found)
    assert "What only the teacher gets right" in text and "No test sample is shown." in text
    assert "What only the teacher gets right" not in html(study, found, "part.html"), "a live page costs no predictions"


def test_without_the_store_or_for_slow_networks_there_are_none(raw: Path, tmp_path: Path) -> None:
    study = read_study(raw)
    teacher, student = the_teacher(study), finalists(study)[0]
    assert only_teacher(study, teacher, dataclasses.replace(student, chosen=teacher.chosen)) is None, "no difference"
    assert only_teacher(study, dataclasses.replace(teacher, longest_macs=10**12), student) is None
    study.stages.store = Store(tmp_path / "elsewhere")
    assert only_teacher(study, teacher, student) is None


def test_a_row_reads_as_it_was_in_the_table() -> None:
    numbers = {"fill": 40.0, "mean": 38.5, "scale": 12.25}
    columns = [
        EncodedColumn(name="age", kind="number", missing=0.1, mask=True, **numbers),
        EncodedColumn(name="job", kind="category", missing=0.1, mask=True, words=("clerk", "nurse")),
        EncodedColumn(name="paperless", kind="boolean", missing=0, mask=False, fill=1, mean=0.4, scale=0.49),
        EncodedColumn(name="signed", kind="calendar", missing=0, mask=False, fill=19000, mean=19000, scale=300),
    ]
    encoding = Encoding(label="churned", classes=("no", "yes"), columns=tuple(columns))
    rows = pd.DataFrame(
        {
            "age": [39.5, None, 41],
            "job": ["nurse", None, "pilot"],
            "paperless": [True, False, True],
            "signed": pd.to_datetime(["2024-02-29", "2023-01-01", "2022-07-14"]),
        }
    )
    batch = encoded(rows, encoding.plain()["columns"])
    assert [as_row(encoding, {name: part[[row]] for name, part in batch.items()}) for row in range(3)] == [
        "age 39.5, job nurse, paperless yes, signed 2024-02-29",
        "age missing, job missing, paperless no, signed 2023-01-01",
        "age 41, job another word, paperless yes, signed 2022-07-14",
    ]


def test_a_row_of_many_columns_is_cut() -> None:
    number: dict[str, Any] = {"kind": "number", "missing": 0, "mask": False, "fill": 0, "mean": 1, "scale": 1}
    columns = [EncodedColumn(name=f"c{one:02}", **number) for one in range(30)]
    encoding = Encoding(label="y", classes=("a", "b"), columns=tuple(columns))
    text = as_row(encoding, {"x": np.zeros((1, 30), np.float32)})
    assert text.startswith("c00 1, c01 1, ") and text.endswith(f"c{COLUMNS - 1} 1, and {30 - COLUMNS} more")


def test_a_text_reads_as_it_was_given(tmp_path: Path) -> None:
    splits = splits_of(written(tmp_path))
    assert splits.text is not None
    texts = [as_text(splits.text, splits.validation.x.batch(np.array([row]))) for row in range(len(splits.validation))]
    assert set(texts) <= set(reviews()["review"])
    frame = reviews()
    frame["review"] = [" ".join([text] * 40) for text in frame["review"]]
    (tmp_path / "long").mkdir()
    long = splits_of(written(tmp_path / "long", frame))
    assert long.text is not None
    cut = as_text(long.text, long.validation.x.batch(np.array([0])))
    assert len(cut) <= LETTERS and cut.endswith("\u2026")


def test_an_image_keeps_its_bytes_unless_it_is_large() -> None:
    draw = np.random.default_rng(0).integers(0, 256, (3, 8, 6)).astype(np.uint8)
    assert (pixels_of(as_png(draw)) == draw.transpose(1, 2, 0)).all()
    gray = pixels_of(as_png(np.linspace(-1, 1, 12).reshape(1, 3, 4)))
    assert gray.shape == (3, 4) and (gray.min(), gray.max()) == (0, 255)
    digits = pixels_of(as_png(np.linspace(0, 16, 12).astype(np.uint8).reshape(1, 3, 4)))
    assert (digits.min(), digits.max()) == (0, 255), "bytes that are all dark are made brighter"
    assert pixels_of(as_png(np.zeros((1, 500, 250), np.uint8))).shape == (SIDE, SIDE // 2)


def pixels_of(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
