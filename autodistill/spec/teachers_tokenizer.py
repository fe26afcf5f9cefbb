"""`tokenizer: teacher` is short for the folder of the teacher's checkpoint, and the default of texts if there is one."""

from __future__ import annotations

import os

from .task import TEACHERS
from .value import Json

FAMILY = "transformers"


def with_teachers_tokenizer(raw: Json) -> Json:
    """`raw` with the folder of the teacher's checkpoint as the tokenizer of its texts, unless they have another one. Does not
    modify `raw`; without such a teacher, `raw` itself. Folders of transformers are beside the
    architecture (`with_checkpoints`).
    """
    task, folder = raw.get("task"), checkpoint_of(raw.get("teacher"))
    if not isinstance(task, dict) or "text" not in task or task.get("tokenizer") not in (None, TEACHERS) or folder is None:
        return raw
    return raw | {"task": task | {"tokenizer": folder}}


def checkpoint_of(teacher: object) -> str | None:
    """The folder of the checkpoint of a teacher, of the first one of an ensemble."""
    if not isinstance(teacher, dict):
        return None
    members = teacher.get("ensemble")
    if isinstance(members, list) and members:
        return checkpoint_of(members[0])
    architecture, found = teacher.get("architecture"), teacher.get("checkpoint")
    of_text = isinstance(architecture, dict) and architecture.get("family") == FAMILY
    return found if of_text and isinstance(found, str) and os.path.isdir(found) else None
