"""A table of trained students: which columns are parameters, and a search space that holds exactly its rows."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autodistill.data import InputSpec
from autodistill.distill import Job
from autodistill.spec import Spec, Stage, Task, UsageError, Value, parse, resolve
from autodistill.spec.measurement import Measurement, Sizes
from autodistill.study.space import Space, teacher_stage

from .replay import Answer, measurement

Place = tuple[int, ...]
KNOWN = re.compile(r"params|macs|bytes|seconds|seed|accuracy.*|raw_\d+|ema_\d+")
FAR = 2
"""The hypervolume ends at so many times the largest student: where its teacher might stand."""
MOST_BYTES, MOST_SIZE, MOST_SECONDS = 100_000_000, 10**14, 10**9
"""Upper limits for a file, for a student's params and macs, and for one training."""
TEACHER_SAMPLES = 1000
ABSENT = Sizes(10**15, 10**15, 10**15)


@dataclass(frozen=True, kw_only=True)
class Student:
    """One training of a configuration: accuracies are shares by epoch, the last one at full length."""

    sizes: Sizes
    seconds: float
    accuracies: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """`values` are those of each parameter in order; a configuration is the places of its values among them."""

    path: Path
    values: Mapping[str, tuple[Any, ...]]
    students: Mapping[Place, tuple[Student, ...]]
    epochs: int

    @classmethod
    def read(cls, path: Path, accuracy: str | None = None) -> Table:
        """`accuracy` names the column of accuracies; else raw_1, raw_2, ... are those after each epoch.

        Accuracies are shares, or percent where any of the table is above 1. Raises UsageError.
        """
        rows = _rows(path)
        columns = list(rows[0].fields)
        epochs = [accuracy] if accuracy else sorted((c for c in columns if re.fullmatch(r"raw_\d+", c)), key=_number)
        names = [column for column in columns if not KNOWN.fullmatch(column) and column != accuracy]
        for column in ("params", *epochs):
            if column not in columns:
                raise UsageError(f"{path} has no column {column}; it has {', '.join(columns)}")
        if not epochs:
            raise UsageError(f"{path} has no columns raw_1, raw_2, ...; name its column of accuracies by --accuracy")
        values = {name: _values([row.value(name) for row in rows]) for name in names}
        found = [_student(row, epochs) for row in rows]
        share = 100 if max(max(one.accuracies) for one in found) > 1 else 1
        students: dict[Place, list[Student]] = {}
        for row, one in zip(rows, found, strict=True):
            place = tuple(values[name].index(row.value(name)) for name in names)
            scaled = tuple(value / share for value in one.accuracies)
            students.setdefault(place, []).append(Student(sizes=one.sizes, seconds=one.seconds, accuracies=scaled))
        kept = {place: tuple(each) for place, each in students.items()}
        return cls(path=path, values=values, students=kept, epochs=len(epochs))

    def draw(self, seed: int, teacher: float | None = None) -> Draw:
        """One training of each configuration; the `teacher` has the accuracy of the best of them unless given."""
        rng = np.random.default_rng(seed)
        return Draw(self, {place: each[int(rng.integers(len(each)))] for place, each in self.students.items()}, teacher)


class Draw:
    """A table with one training of each configuration, as a search sees it."""

    def __init__(self, table: Table, students: Mapping[Place, Student], teacher: float | None = None) -> None:
        self.table, self.students = table, students
        self._accuracy = teacher or max(one.accuracies[-1] for one in students.values())

    def spec(self, search: Mapping[str, Any]) -> Spec:
        """A study whose student is a row of the table; `search` is that part of a spec."""
        recipe = {"epochs": self.table.epochs}
        domains = {name: {"int": [0, len(values) - 1]} for name, values in self.table.values.items()}
        document = {
            "study": "bench",
            "task": {"dataset": "table.npz"},
            "teacher": {"architecture": {"family": "timm", "name": "teacher"}, "recipe": recipe},
            "student": {
                "architecture": {"family": "timm", "name": "row", "arguments": domains},
                "loss": {"ce": {"weight": 1.0}},
                "recipe": recipe,
            },
            "search": {"label_baselines": False, "limits": {"params": ABSENT.params - 1}, **search},
            "resources": {"gpus": 0},
        }
        return resolve(parse(document), fingerprint="", cuda=False)

    def space(self, spec: Spec) -> Space:
        task = Task(data="table", split=spec.task.split)
        teacher = teacher_stage(spec.teacher, task, spec.seed)
        return Space(spec, task=task, teachers=(teacher,), inputs=InputSpec.x((1,)), classes=2, measure=self.sizes)

    def reference(self) -> Sizes:
        return Sizes(*(FAR * max(size) for size in zip(*(one.sizes for one in self.students.values()), strict=True)))

    def teacher(self) -> Measurement:
        """The measurement of a teacher."""
        return measurement(self._accuracy, self.reference(), TEACHER_SAMPLES)

    def sizes(self, architecture: Value) -> Sizes:
        """Of what is not in the table: beyond the limits."""
        if getattr(architecture, "name", None) == "teacher":
            return self.reference()
        found = self.students.get(self.place(architecture))
        return ABSENT if found is None else found.sizes

    def everything(self) -> list[dict[str, Any]]:
        """The parameters of each row."""
        paths = [f"architecture.arguments.{name}" for name in self.table.values]
        return [dict(zip(paths, place, strict=True)) for place in self.students]

    def place(self, architecture: Any) -> Place:
        return tuple(architecture.arguments[name] for name in self.table.values)

    def answer(self, job: Job) -> Answer:
        """What a training comes to. The teacher is there at once."""
        assert isinstance(job.network, Stage)
        if job.network.architecture.name == "teacher":  # type: ignore[union-attr]
            return Answer(seconds=0.0, measurement=self.teacher())
        one = self.students[self.place(job.network.architecture)]
        accuracies = dict(enumerate(one.accuracies, 1))
        told = measurement(one.accuracies[-1], one.sizes, 10_000)
        return Answer(seconds=one.seconds, accuracies=accuracies, measurement=told)


class _Row(NamedTuple):
    """One line of the file; `place` is file:line."""

    place: str
    fields: dict[str, str]

    def number(self, column: str, kind: type[int] | type[float], least: int, most: int, *, missing: int | None = None) -> Any:
        """The number in a column, or `missing` if the field is empty. Raises UsageError outside `least` to `most`."""
        text = self.fields.get(column, "")
        if missing is not None and not text:
            return kind(missing)
        try:
            found = kind(text)
        except ValueError:
            found = -1
        if not least <= found <= most:
            what = "a whole number" if kind is int else "a number"
            raise UsageError(f"{self.place}: {column}: {text!r:.60} is wrong; give {what} from {least} to {most:,}")
        return found

    def value(self, column: str) -> Any:
        """The value of a search parameter: a number if it parses as one, otherwise a string."""
        found = _plain(self.fields[column])
        if isinstance(found, float) and not math.isfinite(found):
            text = self.fields[column]
            raise UsageError(f"{self.place}: {column}: {text!r:.60} is wrong; give a finite number or a string")
        return found


def _rows(path: Path) -> list[_Row]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, fields) for fields in reader if fields]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({error}); give a CSV file of trained students") from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} has more than {MOST_BYTES:,} bytes; give a CSV file with one trained student a row")
    if len(lines) < 2:
        raise UsageError(f"{path} has no rows; give a CSV file with one trained student a row")
    first, columns = lines[0]
    _check_columns(f"{path}:{first}", columns)
    for line, fields in lines[1:]:
        if len(fields) != len(columns):
            way = "give one field for each column"
            raise UsageError(f"{path}:{line} has {len(fields)} fields for {len(columns)} columns; {way}")
    return [_Row(f"{path}:{line}", dict(zip(columns, fields, strict=True))) for line, fields in lines[1:]]


def _check_columns(place: str, columns: Sequence[str]) -> None:
    twice = next((name for index, name in enumerate(columns) if name in columns[:index]), None)
    if not all(columns):
        raise UsageError(f"{place} has a column without a name; name it, or remove it")
    if twice is not None:
        raise UsageError(f"{place} has the column {twice!r} twice; keep one")


def _student(row: _Row, epochs: Sequence[str]) -> Student:
    params, macs = row.number("params", int, 1, MOST_SIZE), row.number("macs", int, 0, MOST_SIZE, missing=0)
    accuracies = tuple(row.number(column, float, 0, 100) for column in epochs)
    seconds = row.number("seconds", float, 0, MOST_SECONDS, missing=1)
    return Student(sizes=Sizes(params, macs, 4 * params), seconds=seconds, accuracies=accuracies)


def _number(column: str) -> int:
    return int(column.split("_")[1])


def _plain(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _values(found: Sequence[Any]) -> tuple[Any, ...]:
    """The distinct values in order: numbers by size, else texts by the alphabet."""
    return tuple(sorted(set(found), key=lambda value: (isinstance(value, str), value)))
