"""Which jobs are wanted, what each waits for, which is the next, and whose results are stored.

A change costs only as much as it touches: with a thousand workers, nothing may iterate over all trials or all jobs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...distill import Job
from ...spec import Network, Stage, StudyError
from ...store import Kind, Store

Address = tuple[Kind, str]
VISIBLE_AFTER = 30
"""Seconds after which what a worker stored must be visible."""


def chain_of(stage: Network) -> list[Network]:
    """All networks that must exist before this one, teachers first, and the network itself."""
    return [*(stage.ancestors() if isinstance(stage, Stage) else []), stage]


def needs(stage: Network) -> Iterator[Job]:
    """The jobs that end with `stage` being stored, each after those it waits for."""
    for network in chain_of(stage):
        yield from outputs_of(network)
        yield Job(network=network)


def outputs_of(network: Network) -> list[Job]:
    """The jobs that compute the logits of a stage's teachers, unless these run during its training."""
    cache = network.logits_cache() if isinstance(network, Stage) else None
    return [] if cache is None else [Job(network=one, cache=cache) for one in network.teachers]  # type: ignore[union-attr]


def _waits_for(job: Job) -> list[Job]:
    if not job.trains:
        return [Job(network=job.network)]
    return [*map(lambda one: Job(network=one), chain_of(job.network)[:-1]), *outputs_of(job.network)]


@dataclass(eq=False)
class _Node:
    """A job that is not done. `own` and `above` count the wanted stages whose own training it is, or that it unblocks.

    `order` is that of its latest entry in the queue of ready jobs.
    """

    job: Job
    address: Address
    number: int
    own: int = 0
    above: int = 0
    first: bool = False
    waits: int = 0
    runs: bool = False
    order: tuple[float, float] = (0, 0)
    dependents: list[_Node] = field(default_factory=list)

    def is_wanted(self) -> bool:
        return self.own + self.above > 0

    def is_ready(self) -> bool:
        return not self.waits and not self.runs and self.is_wanted()

    def count(self, stage: Network, sign: int) -> None:
        if self.job.trains and self.job.network.key() == stage.key():
            self.own += sign
        else:
            self.above += sign


class Jobs:
    """The jobs that some stage needs; `is_done` tells whether a result is stored, `seconds` how long a job will take.

    The order: jobs wanted first (the teachers), then jobs that unblock the most stages, then students in the order in which
    they were wanted or, after `longest_first`, the longest first.
    """

    def __init__(self, is_done: Callable[[Job], bool], seconds: Callable[[Job], float]) -> None:
        self.is_done, self._seconds = is_done, seconds
        self._nodes: dict[Address, _Node] = {}
        self._wanted: dict[str, list[list[_Node]]] = {}
        self._ready: list[tuple[tuple[float, float], int, _Node]] = []
        self._made = 0
        self._longest = False
        self.running: dict[Address, Job] = {}

    # What is wanted

    def want(self, stage: Network, *, first: bool = False) -> None:
        """Adds the jobs that `stage` needs and that are not done."""
        nodes = [self._nodes.get(job.address()) or self._add(job) for job in self._missing(stage)]
        self._wanted.setdefault(stage.key(), []).append(nodes)
        for node in nodes:
            node.count(stage, 1)
            node.first |= first
            self._offer(node)

    def drop(self, stage: Network) -> None:
        """Withdraws a wanted stage."""
        for node in self._wanted[stage.key()].pop():
            node.count(stage, -1)
            if not node.is_wanted() and not node.runs:
                self._nodes.pop(node.address, None)
        if not self._wanted[stage.key()]:
            del self._wanted[stage.key()]

    def _missing(self, stage: Network) -> Iterator[Job]:
        """Jobs that are not done, each after those it waits for. A stored network no longer needs its teachers' logits."""
        for network in chain_of(stage):
            training = Job(network=network)
            if not self.is_done(training):
                yield from (job for job in outputs_of(network) if not self.is_done(job))
                yield training

    def _add(self, job: Job) -> _Node:
        self._made += 1
        node = self._nodes[job.address()] = _Node(job, job.address(), self._made)
        for other in _waits_for(job):
            if not self.is_done(other):
                self._nodes[other.address()].dependents.append(node)
                node.waits += 1
        return node

    # What is next

    def pop(self, *, only_first: bool = False) -> Job | None:
        """Takes the next job that can start and marks it as running; with `only_first`, only of stages wanted first."""
        while self._ready:
            order, _, node = self._ready[0]
            if self._nodes.get(node.address) is not node or not node.is_ready() or order != node.order:
                heapq.heappop(self._ready)  # it runs, was offered again, or is no longer wanted
            elif only_first and not node.first:
                return None
            else:
                heapq.heappop(self._ready)
                node.runs = True
                self.running[node.address] = node.job
                return node.job
        return None

    def ended(self, job: Job, *, done: bool) -> None:
        """A running job ended: `done` if its result is stored; otherwise it is ready again if it is still wanted."""
        address = job.address()
        self.running.pop(address, None)
        node = self._nodes.get(address)
        if node is None:
            return
        node.runs = False
        if not done and node.is_wanted():
            self._offer(node)
            return
        del self._nodes[address]
        for dependent in node.dependents if done else ():
            dependent.waits -= 1
            self._offer(dependent)

    def longest_first(self) -> None:
        """Changes the order: nothing more will be wanted, so long jobs must not start last."""
        if not self._longest:
            self._longest = True
            for node in self._nodes.values():
                self._offer(node)

    def _offer(self, node: _Node) -> None:
        if node.is_ready():
            node.order = self._order(node)
            heapq.heappush(self._ready, (node.order, node.number, node))

    def _order(self, node: _Node) -> tuple[float, float]:
        if node.first or node.above:
            return (0, 0) if node.first else (1, -node.above)
        return (2, -self._seconds(node.job) if self._longest else 0)

    # Questions

    def unblocks(self, job: Job) -> bool:
        """Whether stages other than its own wait for it."""
        node = self._nodes.get(job.address())
        return node is not None and node.above > 0

    def train_for_others(self) -> bool:
        """Whether the training of a network that other stages wait for is running."""
        return any(job.trains and self.unblocks(job) for job in self.running.values())

    def is_student(self, job: Job) -> bool:
        """Whether it trains a wanted stage that no other waits for."""
        return job.trains and job.address() in self._nodes and not self.unblocks(job)

    def pending(self) -> list[Job]:
        """All jobs that are wanted and not done, running or not."""
        return [node.job for node in self._nodes.values() if node.is_wanted()]

    def all_done(self) -> bool:
        return not any(node.is_wanted() for node in self._nodes.values())


class Results:
    """Whose results are in a store. A network file system may take some seconds to show what another node wrote.

    `clock` gives seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store, self.clock = store, clock
        self._there: set[Address] = set()
        self._until: dict[Address, tuple[Job, float]] = {}

    def has(self, job: Job) -> bool:
        """Whether the result of a job is stored; what was seen once is not looked up again."""
        if job.address() not in self._there and self.store.has(*job.address()):
            self._there.add(job.address())
        return job.address() in self._there

    def wait_for(self, job: Job) -> None:
        """A worker stored the result of a job that is not visible yet."""
        self._until[job.address()] = (job, self.clock() + VISIBLE_AFTER)

    def awaits(self) -> bool:
        """Whether the result of a finished job is not visible yet."""
        return bool(self._until)

    def arrived(self) -> Iterator[Job]:
        """The awaited jobs whose results are visible now, each once. Raises StudyError if one is invisible for too long."""
        for address, (job, until) in list(self._until.items()):
            if self.has(job):
                del self._until[address]
                yield job
            elif self.clock() > until:
                where = f"{self.store.root}; give a --store that every node sees"
                raise StudyError(f"a worker stored a result that is not in {where}")
