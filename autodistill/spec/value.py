"""Frozen values, each with one canonical form from which keys are computed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from .errors import UsageError

Seed = Annotated[int, Field(ge=-(10**18), le=10**18)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Yaml = Any
"""A value of a YAML document that nothing has validated yet: a mapping, a list, text, a number, or None."""
Json = dict[str, Any]
"""A JSON object that nothing has validated yet, or that goes to a file as it is."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")


def _as_duration(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    seconds_of(text)
    return text


def seconds_of(text: str) -> float:
    """Seconds of a time such as 90s, 30m, 1.5h, or 2d. Raises ValueError."""
    found = DURATION.fullmatch(text)
    if found is None or not float(found[1]) > 0:
        raise ValueError(f"{text!r} is not a duration; give one such as 90s, 30m, 1.5h, or 2d")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def check_path(value: str) -> str:
    """The path itself. Its syntax is checked while the line in the spec is known; whether the file exists is checked later.

    Raises ValueError for an invalid file name, and for the home directory of a user that does not exist.
    """
    if not value:
        raise ValueError("the path is empty; give a path, or remove this key")
    if "\0" in value:
        raise ValueError(f"{value!r:.60} is not a valid path: it contains a null character; remove it")
    if value.startswith("~") and os.path.expanduser(value) == value:
        user = value[1:].partition("/")[0]
        what = f"there is no user {user!r}" if user else "the home directory is unknown"
        raise ValueError(f"{value!r:.60} is invalid: {what}; use an absolute path")
    return value


def matching(pattern: str) -> WithJsonSchema:
    """What the JSON schema says of a text that a validator of ours checks."""
    return WithJsonSchema({"type": "string", "pattern": pattern})


def having(*names: str) -> Json:
    """The JSON schema of a mapping in which these keys have a value."""
    return {"required": [*names], "properties": {name: {"not": {"type": "null"}} for name in names}}


Duration = Annotated[str, BeforeValidator(_as_duration), matching(rf"^(?![0.]+[smhd]){DURATION.pattern}$")]


def local(path: Path | str, option: str) -> Path:
    """The absolute path. Raises UsageError for a URL, which would become a folder with an odd name."""
    if URL.match(str(path)):
        raise UsageError(f"{option} {path}: this is a URL; give a folder, such as one where the bucket is mounted")
    return Path(path).absolute()


FilePath = Annotated[str, AfterValidator(check_path), matching(r"^[^\0]+$")]
NAME, CURRENCY = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", r"^[A-Z]{3}$"


class Value(BaseModel):
    """A frozen, strictly typed value.

    `version` is part of the canonical form if it is not zero: increment it in a subclass when the computations of that subclass
    change numerically.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        populate_by_name=True,
        use_attribute_docstrings=True,  # they describe the keys in the JSON schema
    )
    version: ClassVar[int] = 0

    def identity(self) -> dict[str, object]:
        """The canonical form: defaults written out, unset optional fields left out."""
        fields = {name: canonical_form(value) for name, value in self if value is not None}
        return fields | ({"version": self.version} if self.version else {})


def canonical_form(value: object) -> object:
    if isinstance(value, Value):
        return value.identity()
    if isinstance(value, dict):
        return {key: canonical_form(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical_form(item) for item in value]
    return value


def digest(value: object) -> str:
    """sha256 of the canonical JSON of `value`, in hexadecimal."""
    text = json.dumps(canonical_form(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(_as_tuple)
"""Accepts a YAML or JSON list for a strict tuple field."""
