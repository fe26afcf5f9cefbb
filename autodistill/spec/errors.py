"""The errors that users may see.

AutodistillError            exit code 1
|-- UsageError              exit code 2: invalid input (also a ValueError)
|   |-- SpecError           one or more problems in a spec, each with its place and what to do
|   |-- DataError           a data set that cannot be used
|   `-- BuildError          a network of your own that cannot be built with these arguments; others may be
|-- StudyError              a study directory that cannot be used now
|-- StoreError              a stored file that is damaged, or a store that cannot be written to
`-- StageFailed             one stage could not be trained; the search continues without it
    `-- OutOfMemory         it needed more memory than the other jobs left free
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Location = tuple[int | str, ...]
"""The keys and positions from the root of a spec down to a value."""


class AutodistillError(Exception):
    exit_code = 1


class UsageError(AutodistillError, ValueError):
    exit_code = 2


class DataError(UsageError):
    pass


class BuildError(UsageError):
    pass


class StudyError(AutodistillError):
    pass


class StoreError(AutodistillError):
    pass


class StageFailed(AutodistillError):
    pass


class OutOfMemory(StageFailed):
    def __init__(self, message: str, of: Literal["memory", "GPU memory"]) -> None:
        super().__init__(message)
        self.of: Literal["memory", "GPU memory"] = of


def is_full(error: BaseException) -> bool:
    """Whether the system refused to write because a disk is full, or a quota or a size limit is reached."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def located(place: str) -> Iterator[None]:
    """Prefixes a UsageError with the place in the spec that caused it."""
    try:
        yield
    except UsageError as error:
        if str(error).startswith(place) or isinstance(error, SpecError):
            raise
        kind = BuildError if isinstance(error, BuildError) else UsageError
        raise kind(f"{place}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem in a spec: `place` is file and line, `path` the keys down to it."""

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.place}: {self.path}" if self.path else self.place
        return f"{where}: {self.message}"

    def as_dict(self) -> dict[str, str]:
        return {"place": self.place, "path": self.path, "message": self.message}


class SpecError(UsageError):
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    @classmethod
    def at(cls, place: str, message: str) -> Self:
        """One problem of a whole file, or of one line of it."""
        return cls([Problem(place=place, path="", message=message)])


def fault(value: object, message: str, location: Location = ()) -> ErrorDetails:
    """An error with our own message."""
    return {"type": "wrong", "msg": message, "loc": location, "input": value}


def wrong(value: object, message: str, location: Location = ()) -> ValidationError:
    """A ValidationError with our own message at `location`."""
    return refusal([fault(value, message, location)])


def refusal(faults: Iterable[ErrorDetails]) -> ValidationError:
    """A ValidationError with exactly these messages."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(line["type"], "{text}", {"text": line["msg"], **line.get("ctx", {})}),
            loc=line["loc"],
            input=line["input"],
        )
        for line in faults
    ]
    return ValidationError.from_exception_data("", details)


def shown(value: object) -> str:
    """A value as YAML writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."
