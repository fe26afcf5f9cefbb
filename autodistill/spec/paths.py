"""Paths as a spec names them: checked at the door, where the line is known; whether a file is there is said later."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator


def check_path(value: str) -> str:
    """Raises ValueError for what no file can be called, and for the home folder of a user that does not exist."""
    if not value:
        raise ValueError("'' is no path; give one, or leave it out")
    if "\0" in value:
        raise ValueError(f"{value!r:.60} is no path: it holds a null character")
    if value.startswith("~") and os.path.expanduser(value) == value:
        user = value[1:].partition("/")[0]
        what = f"there is no user {user!r}" if user else "the home folder is not known"
        raise ValueError(f"{value!r:.60} is wrong: {what}; give a whole path")
    return value


FilePath = Annotated[str, AfterValidator(check_path)]
