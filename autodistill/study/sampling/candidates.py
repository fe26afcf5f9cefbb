"""Students that could be proposed next, with their exact sizes, encoded as features for a model."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...spec.arrays import Floats
from ...spec.domains import Choice, Domain, Int, Log, Params, reached
from ...spec.measurement import Sizes
from ..space import COUNT, GUIDANCE, Setting, Settings, Space, draw, product

FEW, FIRST, MORE, MOST = 1000, 64, 8, 1000
"""If a space has at most FEW students, all are candidates. Otherwise all of at most FEW architectures, or a sample of them:
FIRST, and MORE with each further proposal, up to MOST."""
CROSSED, NEAR, TRIES = 400, 20, 3000
INACTIVE = 0.5


class Candidate(NamedTuple):
    params: Settings
    sizes: Sizes


class Candidates:
    """Draws candidates of a space, determined by the seed and the number of proposals."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.seed = space, seed
        self.inner = {path: one for path, one in space.domains.items() if path.split(".")[0].startswith("architecture")}
        self.rest = {path: one for path, one in space.domains.items() if path not in self.inner}
        self.columns = [column for path, domain in space.domains.items() for column in _columns(path, domain)]
        self._draws = random.Random(seed)
        self._few = _count(self.inner) <= FEW
        self._pool: dict[frozenset[tuple[str, Setting]], Candidate] = {}
        self._tries = 0
        self._grow(FIRST)
        self.everything = self._few and len(self._pool) * _count(self.rest) <= FEW
        self.low, self.high = self._range()

    def _grow(self, wanted: int) -> None:
        """Fills the pool with `wanted` architectures within the limits, or with all if they are few."""
        if self._few and not self._tries:
            self._tries = 1
            for params in product(self.inner):
                self._keep(params)
        while not self._few and len(self._pool) < wanted and self._tries < TRIES:
            self._tries += 1
            self._keep({path: draw(domain, self._draws) for path, domain in self.inner.items()})

    def _keep(self, params: Settings) -> None:
        key = frozenset((path, params[path]) for path in reached(self.space.tree["architecture"], params, "architecture"))
        found = None if key in self._pool else self.sized(params)
        if found is not None:
            self._pool[key] = found

    def sized(self, params: Settings) -> Candidate | None:
        """The candidate with its sizes, or None if it is above the limits."""
        architecture = self.space.architecture(params)
        return Candidate(params, self.space.sizes(architecture)) if self.space.within_limits(architecture) else None

    def _range(self) -> tuple[Floats, Floats]:
        """Minima and maxima (2,) of log params and log MACs over the pool."""
        table = np.array([_logs(one.sizes) for one in self._pool.values()] or [(0.0, 0.0)])
        return table.min(axis=0), table.max(axis=0)

    def active(self, params: Params, sizes: Sizes) -> Settings:
        """The parameters that matter: without those of options not taken, terms with weight 0, and absent assistants."""
        chosen = {path: params[path] for path in reached(self.space.tree, params) if path in params}
        off = [path.removesuffix("weight") for path, value in chosen.items() if path.endswith(".weight") and value == 0]
        found = {path: v for path, v in chosen.items() if path.endswith(".weight") or not path.startswith(tuple(off))}
        if COUNT not in params:
            return found
        asked = {params[f"assistants.{place}"] for place in range(1, params[COUNT] + 1)}
        larger = {index: self.space.sizes(self.space.ladder[index]).params for index in asked}
        indices = sorted((index for index in asked if larger[index] > sizes.params), key=lambda index: (-larger[index], index))
        found |= {COUNT: len(indices)} | {f"assistants.{place}": index for place, index in enumerate(indices, 1)}
        return found | ({GUIDANCE: params[GUIDANCE]} if GUIDANCE in params and len(indices) > 1 else {})

    def encode(self, params: Params, sizes: Sizes) -> Floats:
        """A row (d,): parameters in [0, 1], a constant for those that do not matter, then log params and log MACs."""
        active = self.active(params, sizes)
        row = [scale(active[path]) if path in active else INACTIVE for path, scale in self.columns]
        share = (np.array(_logs(sizes)) - self.low) / np.maximum(self.high - self.low, 1e-9)
        return np.array([*row, *share])

    def slopes(self, slope: float) -> Floats:
        """(d,) the trend of a model: larger students are more accurate, in log params."""
        return np.array([0.0] * len(self.columns) + [slope, 0.0])

    def scales(self, rest: float) -> Floats:
        """(d,) length scales of a model relative to that of the architecture: `rest` for everything else."""
        return np.array([1.0 if path in self.inner else rest for path, _ in self.columns] + [1.0, 1.0])

    def draw(self, asked: int, members: Sequence[Params]) -> list[Candidate]:
        """Candidates for proposal number `asked`; `members` are parameters of the frontier."""
        self._grow(min(FIRST + MORE * asked, MOST))
        pool = list(self._pool.values())
        if self.everything:
            return [Candidate(one.params | rest, one.sizes) for one in pool for rest in product(self.rest)]
        rng = random.Random(f"{self.seed} {asked}")
        if len(pool) > CROSSED:
            pool = rng.sample(pool, CROSSED)
        found = [Candidate(one.params | self._rest(rng, members), one.sizes) for one in self._spread(pool)]
        return found + [one for member in members[-NEAR:] for one in self._neighbors(member, rng)]

    def _spread(self, pool: list[Candidate]) -> list[Candidate]:
        return pool * max(1, CROSSED // max(1, len(pool)))

    def _rest(self, rng: random.Random, members: Sequence[Params]) -> Settings:
        """Parameters outside the architecture: drawn, or half the time taken from a member of the frontier."""
        if not members or rng.random() < 0.5:
            return {path: draw(domain, rng) for path, domain in self.rest.items()}
        member = rng.choice(members)
        moved = rng.random() < 0.5
        return {path: _moved(one, member[path], rng) if moved else member[path] for path, one in self.rest.items()}

    def _neighbors(self, member: Params, rng: random.Random) -> Iterator[Candidate]:
        """A step up and down in each parameter of the architecture, and the same architecture with all else moved."""
        for path, domain in self.inner.items():
            for value in _steps(domain, member[path], rng):
                found = self.sized(dict(member) | {path: value})
                if found is not None:
                    yield found
        own = self.sized(dict(member))
        for _ in range(4 if own is not None and self.rest else 0):
            assert own is not None
            yield own._replace(params=own.params | {path: _moved(one, member[path], rng) for path, one in self.rest.items()})


def _logs(sizes: Sizes) -> tuple[float, float]:
    return math.log10(max(sizes.params, 1)), math.log10(max(sizes.macs, 1))


def _count(found: Mapping[str, Domain]) -> float:
    return math.prod(domain.count() for domain in found.values())


def _columns(path: str, domain: Domain) -> Iterator[tuple[str, Callable[[Setting], float]]]:
    """Numbers get one scale, logarithmic if they span a factor of two or more; other choices get one column per option."""
    values = domain.values() if isinstance(domain, Choice) else domain.ends()
    if all(type(value) in (int, float) for value in values) and not (isinstance(domain, Choice) and not domain.plain):
        low, high = float(min(values)), float(max(values))
        logarithmic = isinstance(domain, Log) or isinstance(domain, Int | Choice) and low > 0 and high >= 2 * low
        yield path, _scale(low, high, logarithmic)
        return
    for value in values[1:] if len(values) == 2 else values:
        yield path, functools.partial(_is, value)


def _is(option: object, given: object) -> float:
    return float(given == option and type(given) is type(option))


def _scale(low: float, high: float, logarithmic: bool) -> Callable[[Setting], float]:
    if low == high:
        return lambda _: INACTIVE
    if logarithmic:
        return lambda value: math.log(value / low) / math.log(high / low)
    return lambda value: (value - low) / (high - low)


def _steps(domain: Domain, value: Setting, rng: random.Random) -> list[Setting]:
    if isinstance(domain, Int):
        wide = max(1, round(0.15 * value))
        return [one for one in dict.fromkeys((value - wide, value - 1, value + 1, value + wide)) if one in domain]
    if isinstance(domain, Choice):
        return [one for one in domain.values() if one != value][:4]
    return [_moved(domain, value, rng)]


def _moved(domain: Domain, value: Setting, rng: random.Random) -> Setting:
    """A value about a tenth of the domain away, or occasionally anywhere."""
    if isinstance(domain, Choice) or rng.random() < 0.1:
        return value if rng.random() < 0.7 else draw(domain, rng)
    low, high = domain.ends()
    if isinstance(domain, Log):
        return min(max(math.exp(math.log(value) + rng.gauss(0, 0.1) * math.log(high / low)), low), high)
    moved = min(max(value + rng.gauss(0, 0.1) * (high - low), low), high)
    return round(moved) if isinstance(domain, Int) else moved
