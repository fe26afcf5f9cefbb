"""Networks of your own in a spec: whether they can be built at all, and which files they consist of."""

from __future__ import annotations

from collections.abc import Iterator

from ...models.imported import probe_imported
from ...spec import Imported, Spec, Value, located
from ...spec.architectures import IMPORT
from ...spec.code import code_of
from ..space import Space
from .values import CodeFacts


def probe_own(space: Space) -> None:
    """Builds one network of each of your functions in a separate process: a crash there does not end this one.

    Raises UsageError if that process crashes. Once for a study: a network that crashes only with other arguments, or in
    training, ends the worker that trains it, which the search survives.
    """
    probed: set[str] = set()
    for place, architecture in _architectures(space):
        if isinstance(architecture, Imported) and architecture.factory not in probed:
            probed.add(architecture.factory)
            with located(place):
                probe_imported(architecture, space.inputs, space.classes)


def _architectures(space: Space) -> Iterator[tuple[str, Value]]:
    yield from (("teacher.architecture", one.architecture) for one in space.teachers)
    yield from (("student.architecture", one) for one in space.corners("architecture"))
    yield from ((f"assistants.ladder[{index}]", one) for index, one in enumerate(space.ladder))


def code_facts(spec: Spec) -> tuple[CodeFacts, ...]:
    """The files behind each name in a spec, each name once."""
    found = dict.fromkeys(_names(spec.document()))
    return tuple(_facts(name) for name in found)


def _facts(name: str) -> CodeFacts:
    code = code_of(name)
    return CodeFacts(name=name, folder=str(code.folder), files=tuple(code.names()), source=code.source())


def _names(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
    if isinstance(value, dict) and isinstance(value.get(IMPORT), str) and "source" in value:
        yield value[IMPORT]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _names(item)
