"""Paths in a spec: syntax is checked at parsing, when the line is known; whether the file exists is checked later."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator


def check_path(value: str) -> str:
    """Raises ValueError for an invalid file name, and for the home directory of a user that does not exist."""
    if not value:
        raise ValueError("the path is empty; give a path, or remove this key")
    if "\0" in value:
        raise ValueError(f"{value!r:.60} is not a valid path: it contains a null character; remove it")
    if value.startswith("~") and os.path.expanduser(value) == value:
        user = value[1:].partition("/")[0]
        what = f"there is no user {user!r}" if user else "the home directory is unknown"
        raise ValueError(f"{value!r:.60} is invalid: {what}; use an absolute path")
    return value


FilePath = Annotated[str, AfterValidator(check_path)]
