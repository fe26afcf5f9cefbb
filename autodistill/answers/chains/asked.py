"""What is asked for: one student of a spec, and the ladder between it and the teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue, ValidationError

from ...spec import BuildError, Imported, LossSpec, Spec, Transformers, UsageError, Value, describe, parse
from ...spec.architectures import ARCHITECTURE
from ...spec.document import Assistants
from ...spec.domains import Choice, Domain, Int, Tree, domains, fill
from ...spec.reading import from_text
from ...spec.recipe import Recipe

PLACE = "--student"
GEOMETRIC = 3
"""The number of ladder sizes if a spec gives no ladder."""
AMOUNTS = ("depth", "width", "heads")
KINDS = ("family", "import")
"""The keys that say what kind of network an architecture is."""
Given = Mapping[str, JsonValue]
Option = dict[str, object]
"""An architecture whose fields may be domains."""


def with_student(spec: Spec, text: str) -> Spec:
    """The spec with its student's architecture fixed by a text such as depth=1,width=4. Raises UsageError."""
    given = _given(text)
    option = _option(spec.student.architecture, given)
    inner = domains(option)
    for name, value in given.items():
        _check(option, inner, name, value)
    lacking = [name for name, domain in inner.items() if name not in given and domain.count() > 1]
    if lacking:
        ways = ", ".join(f"{name} ({_span(inner[name])})" for name in lacking)
        raise UsageError(f"{PLACE} {text}: a plan is for exactly one student; also give {ways}")
    single = {name: domain.ends()[0] for name, domain in inner.items()}
    document = spec.document()
    document["student"]["architecture"] = fill(option, single | {name: given[name] for name in given if name in inner})
    document["search"] |= {"enqueue": []}
    document["search"].pop("incumbent", None)
    return parse(document)


def _given(text: str) -> Given:
    found: dict[str, JsonValue] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or not name or name in found:
            raise UsageError(f"{PLACE} {text}: {part.strip()!r} is invalid; give each field once, such as depth=1,width=4")
        found[name] = from_text(value, lambda line: f"{PLACE} {text}")[0]
    return found


def _option(tree: Tree, given: Given) -> Option:
    """The architecture of a choice that has these fields."""
    options = [one for one in (tree.options if isinstance(tree, Choice) else [tree]) if isinstance(one, dict)]
    able = [one for one in options if all(one.get(key) == value for key, value in given.items() if key in KINDS)]
    fitting = [one for one in able if all(name in one or name in domains(one) for name in given)]
    if len(fitting) > 1:
        fitting = [one for one in fitting if all(_fits(one, name, value) for name, value in given.items())] or fitting
    if len(fitting) == 1 or (len(able) == 1 and not fitting):
        return (fitting or able)[0]
    ways = " or ".join(dict.fromkeys(f"{key}={one[key]}" for one in options for key in KINDS if key in one))
    asked = ",".join(f"{name}={value}" for name, value in given.items())
    what = "fit several options of" if fitting else "do not fit"
    raise UsageError(f"{PLACE} {asked}: these fields {what} student.architecture; give {ways}, and its fields")


def _fits(option: Option, name: str, value: JsonValue) -> bool:
    inner = domains(option)
    return value in inner[name] if name in inner else option.get(name) == value


def _check(option: Option, inner: Mapping[str, Domain], name: str, value: JsonValue) -> None:
    if name not in inner and (name not in option or isinstance(option[name], dict | tuple)):
        there = ", ".join(dict.fromkeys([*(key for key in option if key not in KINDS), *inner]))
        raise UsageError(f"{PLACE} {name}={value}: student.architecture has no field {name!r}; its fields are {there}")
    if name in inner and value not in inner[name]:
        way_out = f"or widen it: --set student.architecture.{name}=..."
        raise UsageError(f"{PLACE} {name}={value}: the value is outside its domain; give {_span(inner[name])}, {way_out}")
    if name not in inner and option[name] != value:
        way_out = f"--set student.architecture.{name}={value} changes that"
        raise UsageError(f"{PLACE} {name}={value}: the spec fixes {name} at {option[name]}; {way_out}")


def _span(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return "one of " + ", ".join(map(str, domain.values()))
    low, high = domain.ends()
    return f"a {'whole ' * isinstance(domain, Int)}number from {low:g} to {high:g}"


def assistants_of(
    given: Assistants, student: Value, teacher: Value, learns: LossSpec, recipe: Recipe, params: Callable[[Value], int]
) -> Assistants:
    """The assistants that chains may have, largest first: the spec's ladder, else sizes between the two networks.

    They use the loss and recipe of the spec's assistants, else the student's loss `learns` and `recipe`. Raises UsageError if
    no assistant is larger than the student.
    """
    own = params(student)
    ladder = given.ladder or geometric(student, teacher, GEOMETRIC, params)
    sizes = sorted((size for size in ladder if params(size) > own), key=lambda size: -params(size))
    if not sizes:
        small, large = f"{describe(student)} ({own:,} params)", f"{describe(teacher)} ({params(teacher):,} params)"
        none = f"none is given, and {small} and {large} have no sizes in between or differ in family"
        raise UsageError(
            f"assistants.ladder: {f'no size is larger than {small}' if given.ladder else none}; "
            "list assistants: --set 'assistants={at_most: 0, ladder: [{family: resnet, depth: 1, width: 8}]}'"
        )
    return Assistants.model_validate(
        {
            "at_most": len(sizes),
            "ladder": tuple(sizes),
            "loss": given.loss or learns,
            "recipe": given.recipe or recipe,
            "init": given.init,
            "pretrain": given.pretrain,
            "guidance": {"choice": ["serial", "dense"]},
        }
    )


def geometric(student: Value, teacher: Value, count: int, params: Callable[[Value], int]) -> Sequence[Value]:
    """At most `count` architectures in equal ratios of depth and width between student and teacher; none if their families
    differ or have no such fields. For a transformer, they are its layers, heads, and inner width; for a network of your own,
    all whole-number arguments that differ.
    """
    own, its = _amounts(student), _amounts(teacher)
    if _kind(student) != _kind(teacher) or not own or own.keys() != its.keys():
        return ()
    found: list[Value] = []
    for step in range(count, 0, -1):
        amounts = {name: round(own[name] * (its[name] / own[name]) ** (step / (count + 1))) for name in own}
        try:
            size = ARCHITECTURE.validate_python(student.model_dump() | _by_heads(student) | amounts)
            if size not in found and params(student) < params(size) < params(teacher):
                found.append(size)
        except (ValidationError, BuildError):
            continue
    return found


def layers_of(networks: Sequence[Value]) -> Sequence[int] | None:
    """How many layers each network has, in the unit of its family (`layers`, or `depth`); None if the families differ or have
    no such number.
    """
    amounts = [_amounts(one) for one in networks]
    found = [amount for one in amounts if (amount := one.get("layers", one.get("depth"))) is not None]
    return found if len(found) == len(networks) and len({_kind(one) for one in networks}) == 1 else None


def _kind(architecture: Value) -> tuple[type, str | None]:
    return type(architecture), getattr(architecture, "factory", None)


def _by_heads(student: Value) -> dict[str, int | None]:
    """A transformer is as wide as its heads, each as wide as the student's."""
    if not isinstance(student, Transformers):
        return {}
    return {"hidden": None, "head_width": student.wide // student.heads}


def _amounts(architecture: Value) -> dict[str, int]:
    """The numbers that decide how large a network is."""
    if isinstance(architecture, Transformers):
        inner = architecture.intermediate or 4 * architecture.wide
        return {"layers": architecture.layers, "heads": architecture.heads, "intermediate": inner}
    if isinstance(architecture, Imported):
        return {name: value for name, value in architecture.arguments.items() if type(value) is int and value > 0}
    return {name: getattr(architecture, name) for name in AMOUNTS if hasattr(architecture, name)}
