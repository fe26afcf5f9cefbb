"""Results that a worker has stored, but that are not visible yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...distill import Job
from ...spec import StudyError
from ...store import Store
from .jobs import Address

SECONDS = 30


class Arrivals:
    """A network file system may take some seconds to show what another node wrote. `clock` gives seconds."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store, self.clock = store, clock
        self._until: dict[Address, tuple[Job, float]] = {}

    def __bool__(self) -> bool:
        """Whether any result is awaited."""
        return bool(self._until)

    def wait_for(self, job: Job) -> None:
        self._until[job.address()] = (job, self.clock() + SECONDS)

    def seen(self) -> Iterator[Job]:
        """The jobs whose results are visible now, each once. Raises StudyError if one stays invisible for too long."""
        for address, (job, until) in list(self._until.items()):
            if self.store.has(*address):
                del self._until[address]
                yield job
            elif self.clock() > until:
                where = f"{self.store.root}; give a --store that every node sees"
                raise StudyError(f"a worker stored a result that is not in {where}")
