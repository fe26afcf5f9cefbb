"""What is tried before the sampler proposes: configurations that the spec lists, neighbors of the incumbent, defaults.

A configuration is a value for each parameter of the space, by path. A parameter that is left out gets the published value if
its domain contains that, else the middle of the domain.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence

from ...spec import Checkpoint, UsageError, Value, describe, located
from ...spec.domains import Choice, Domain, Int, Log, Params, match
from ..record.notes import First
from ..space import COUNT, Setting, Settings, Space

OPTION = re.compile(r"\{(\d+)\}")
PUBLISHED: dict[str, float] = {
    "kd.weight": 0.5,
    "dkd.weight": 1.0,
    "dkd.alpha": 1.0,
    "dkd.beta": 8.0,
    "dist.weight": 2.0,
    "hint.weight": 100.0,
    "attention.weight": 1000.0,
    "relational.weight": 1.0,
    "relational.distance": 25.0,
    "relational.angle": 50.0,
    "similarity.weight": 3000.0,
    "cosine.weight": 1.0,
    "mlm.weight": 1.0,
    "mlm.share": 0.15,
}
"""Weights from the papers, except for kd: 0.9 at T 4 cost small students accuracy (reports/LOG.md)."""
TEMPERATURES = {"kd.temperature": 2.0, "dkd.temperature": 4.0, "dist.temperature": 1.0}
"""The nearest value in the domain is used: unlike a weight, a temperature means the same for all models and data."""
PRESENT = ("ce", "kd", "dkd", "dist")
"""Optional terms that defaults include: terms on features hurt as often as they help."""
NEIGHBORS = 5
NEAREST = 3
STEP = 0.25


def configurations(space: Space, incumbent: Checkpoint | None = None) -> list[First]:
    """The configurations to try first, in order: each student once, whatever the number of trials.

    Raises UsageError, with the place in the spec, for a listed one that the space does not contain.
    """
    found: dict[str, First] = {}
    for one in _listed(space):
        earlier = found.setdefault(space.decode(one.params).key(), one)
        if earlier is not one:
            raise UsageError(f"{one.name}: this is the same student as {earlier.name}; keep one of them")
    for one in _named("search.incumbent", _around(space, incumbent) if incumbent else ()):
        found.setdefault(space.decode(one.params).key(), one)
    return list(found.values())


def defaults(space: Space, sizes: Sequence[float] | None) -> list[First]:
    """Default students of about these params; if `sizes` is None, one in the middle, the smallest, and the largest."""
    sized = _sized(space)
    if not sized:  # only a sample of a large space is checked
        return []
    if sizes is None:
        chosen = [_middle(space), sized[0][1], sized[-1][1]]
    else:
        chosen = [_near(space, math.log(max(1.0, size))) for size in sizes]
    return _named("default", _feasible(space, chosen))


def _named(name: str, found: Sequence[Params]) -> list[First]:
    return [First(f"{name}[{position}]", params) for position, params in enumerate(found)]


# What the spec lists


def _listed(space: Space) -> Iterator[First]:
    for position, given in enumerate(space.spec.search.enqueue):
        place = f"search.enqueue[{position}]"
        params = completed(space, dict(_checked(space, place, path, value) for path, value in given.items()))
        with located(place):
            _check_allowed(space, params)
        yield First(place, params)


def _checked(space: Space, place: str, path: str, value: Setting) -> tuple[str, Setting]:
    known = path if path in space.domains else path.removeprefix("student.")
    if known not in space.domains:
        near = difflib.get_close_matches(known, space.domains, n=1, cutoff=0.5)
        there = f"did you mean {near[0]!r}?" if near else f"the parameters are {', '.join(space.domains)}"
        raise UsageError(f"{place}.{path}: {path!r} is not a parameter of this space; {there}")
    domain = space.domains[known]
    found = [option for option in domain.values() if _same(option, value)] if isinstance(domain, Choice) else []
    if isinstance(domain, Choice) and not found:
        raise UsageError(f"{place}.{path}: {value!r} is not an option; give one of {', '.join(map(repr, domain.values()))}")
    if found:
        return known, found[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in domain:
        low, high = domain.ends()
        kind = "whole number" if isinstance(domain, Int) else "number"
        raise UsageError(f"{place}.{path}: {value!r} is outside the domain; give a {kind} from {low:g} to {high:g}")
    return known, value if isinstance(domain, Int) else float(value)


def _same(option: object, value: object) -> bool:
    return bool(option == value) and isinstance(option, bool) == isinstance(value, bool)


def _check_allowed(space: Space, params: Params) -> None:
    """Raises UsageError if the space would never propose this."""
    architecture = space.architecture(params)
    limits, sizes = space.spec.search.limits, space.sizes(architecture)
    for name in limits.exceeded(sizes):
        raise UsageError(
            f"{describe(architecture)} has {getattr(sizes, name):,} {name}, more than search.limits.{name} "
            f"({limits.given()[name]:,}); choose a smaller student or raise the limit"
        )
    least = space.spec.assistants.at_least
    larger = len(space.ladder_indices(params))
    if larger < least:
        raise UsageError(
            f"{describe(architecture)} has {larger} larger assistant{'s' * (larger != 1)}, but assistants.at_least is {least}; "
            "choose other assistants or a smaller student"
        )
    space.decode(params)


# What is left out


def completed(space: Space, given: Params) -> Settings:
    """`given` with a value for every other parameter."""
    found = {path: default(path, domain) for path, domain in space.domains.items()}
    if not any(path.startswith("architecture") for path in given):
        found |= _middle(space)
    implied = {path[: option.start()]: int(option[1]) for path in given for option in OPTION.finditer(path)}
    return found | _assistants(space, found | implied | dict(given), given) | implied | dict(given)


def default(path: str, domain: Domain) -> Setting:
    """The published value of a parameter, else the middle of its domain (geometric if logarithmic or an integer)."""
    name = ".".join(OPTION.sub("", path).split(".")[-2:])
    if isinstance(domain, Choice):
        return _option(name, domain)
    low, high = domain.ends()
    if name in TEMPERATURES:
        return type(low)(min(max(TEMPERATURES[name], low), high))
    if PUBLISHED.get(name) in domain:
        return type(low)(PUBLISHED[name])
    middle = math.sqrt(low * high) if low > 0 and isinstance(domain, Int | Log) else (low + high) / 2
    return min(max(round(middle), low), high) if isinstance(domain, Int) else min(max(middle, low), high)


def _option(name: str, domain: Choice) -> Setting:
    """For numbers, the one nearest to the published value, else the middle one; for terms, one with kd; else the first."""
    values = domain.values()
    if domain.plain and all(type(value) in (int, float) for value in values):
        wanted = TEMPERATURES.get(name, PUBLISHED.get(name))
        ordered = sorted(values)
        return ordered[(len(values) - 1) // 2] if wanted is None else min(ordered, key=lambda value: abs(value - wanted))
    if name.split(".")[-1] in PRESENT:
        return next((place for place, option in enumerate(domain.options) if option is not None), 0)
    with_kd = [place for place, option in enumerate(domain.options) if isinstance(option, dict) and option.get("kd")]
    return values[with_kd[0] if with_kd else 0]


def _assistants(space: Space, params: Params, given: Params) -> Settings:
    """As few as allowed, unless some are given; those that divide the range from student to teacher most evenly."""
    if COUNT not in space.domains:
        return {}
    places = range(1, space.spec.assistants.at_most + 1)
    named = [place for place in places if f"assistants.{place}" in given]
    count = given.get(COUNT, max([space.spec.assistants.at_least, *named]))
    student, teacher = _log(space, space.architecture(params)), _log(space, space.teachers[0].architecture)
    taken = {given[f"assistants.{place}"] for place in named}
    free = {index: _log(space, one) for index, one in enumerate(space.ladder) if index not in taken}
    free = {index: size for index, size in free.items() if size > student}
    found: Settings = {COUNT: count} | {f"assistants.{place}": 0 for place in places}
    for place in range(1, count + 1):
        if f"assistants.{place}" not in given and free:
            wanted = teacher + (student - teacher) * place / (count + 1)
            index = min(free, key=lambda one: abs(free[one] - wanted))
            found[f"assistants.{place}"] = index
            del free[index]
    return found


# Sizes


def _log(space: Space, architecture: Value) -> float:
    return math.log(max(1, space.sizes(architecture).params))


def _sized(space: Space) -> list[tuple[float, Settings]]:
    """The architectures within the limits, as their log params and parameters, the smallest first."""
    found = [(space.architecture(params), params) for params in space.candidates()[0]]
    allowed = [(_log(space, one), params) for one, params in found if space.within_limits(one)]
    return sorted(allowed, key=lambda pair: pair[0])


def _middle(space: Space) -> Settings:
    """An architecture of middle size: the most balanced one among the nearest tenth (at least 3).

    A deep and narrow one and a shallow and wide one may have the same size; balanced means near the middle of each domain.
    """
    sized = _sized(space)
    return _near(space, (sized[0][0] + sized[-1][0]) / 2, max(3, len(sized) // 10)) if sized else {}


def _near(space: Space, size: float, among: int = 3) -> Settings:
    """The most balanced one of the `among` architectures nearest to a size (the logarithm of params)."""
    nearest = sorted(_sized(space), key=lambda pair: abs(pair[0] - size))[:among]
    return min((params for _, params in nearest), key=lambda params: _unevenness(space, params))


def _unevenness(space: Space, params: Params) -> float:
    """The total distance of parameters from the middles of their domains: in logarithms, or 1 for another option."""
    pairs = [(value, default(path, space.domains[path])) for path, value in params.items()]
    numbers = [not isinstance(middle, bool) and isinstance(middle, int | float) and middle > 0 for _, middle in pairs]
    return sum(
        abs(math.log(max(value, 0.5) / middle)) if is_number else float(value != middle)
        for (value, middle), is_number in zip(pairs, numbers, strict=True)
    )


def _feasible(space: Space, architectures: Sequence[Params]) -> list[Settings]:
    able = [one for one in architectures if space.within_limits(space.architecture(one))]
    return [params for one in able if space.feasible(params := completed(space, one))]


# Around the incumbent


def _around(space: Space, incumbent: Checkpoint) -> list[Settings]:
    """Its architecture and its neighbors, one step away in one parameter; outside the space, the nearest by log params."""
    found = match(space.tree["architecture"], incumbent.architecture.model_dump(mode="json"), "architecture")
    if found is None or space.architecture(completed(space, found)) != incumbent.architecture:
        size = _log(space, incumbent.architecture)
        nearest = sorted(_sized(space), key=lambda pair: abs(pair[0] - size))[:NEAREST]
        return _feasible(space, [params for _, params in nearest])
    steps = [
        found | {path: step} for sign in (-1, 1) for path in found for step in _step(space.domains[path], found[path], sign)
    ]
    return _feasible(space, [found, *steps])[:NEIGHBORS]


def _step(domain: Domain, value: Setting, sign: int) -> list[Setting]:
    """The next value in a direction, if there is one: a quarter away, at least 1 of whole numbers; the next option."""
    if isinstance(domain, Choice):
        if not all(type(option) in (int, float) for option in domain.values()) or not domain.plain:
            return []
        ordered = sorted(domain.values())
        place = ordered.index(value) + sign
        return [ordered[place]] if 0 <= place < len(ordered) else []
    low, high = domain.ends()
    amount = max(1, round(STEP * value)) if isinstance(domain, Int) else STEP * abs(value)
    stepped = min(max(value + sign * amount, low), high)
    return [stepped] if stepped != value else []
