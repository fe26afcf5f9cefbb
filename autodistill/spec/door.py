"""Strict reading: turns a YAML file into a Spec, or into a list of everything that is wrong with it; then fills in what it
leaves open.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from .architectures import IMPORT, KEPT
from .checkpoints import with_checkpoints
from .code import code_of
from .document import Spec, Teacher
from .domains import plain
from .errors import DataError, Location, Problem, SpecError, UsageError, located, shown
from .kinds import ABOUT, TaskKind
from .losses import LossSpec, SquaredError
from .metric import OwnMetric
from .pretraining import Pretraining
from .problems import OVERRIDE, dotted, explained
from .reading import Places, from_text, read_yaml
from .recipe import Recipe
from .schema import models_of
from .shorthand import expanded
from .task import TEACHERS, TaskSpec, kind_of
from .teachers_tokenizer import with_teachers_tokenizer
from .value import Json, Value, Yaml

BUILT = ("architecture", "ladder")
"""Keys below which networks are."""
KEY = re.compile(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*")

AT_PATH = re.compile(r"[a-z_]+(\.\w+|\[\d+\])+")
"""A path of a spec at the beginning of a message."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Reads a spec; `overrides` are `key.path=value` with the value in YAML.

    Raises SpecError with every problem: its file, line and path, the value, and what to do.
    """
    raw, places = read_yaml(Path(path))
    return _overridden(raw, places, overrides, Path(path).parent)


def from_document(document: Mapping[str, object], overrides: Sequence[str] = ()) -> Spec:
    """A spec from plain dicts and lists, as Python has them; paths are relative to the working directory. Raises SpecError."""
    return _overridden(_plain(document), {(): "spec"}, overrides, Path.cwd())


def _plain(value: object) -> Yaml:
    """A copy with lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _overridden(raw: Yaml, places: Places, overrides: Sequence[str], folder: Path) -> Spec:
    problems = [problem for override in overrides for problem in _override(raw, override, places)]
    try:
        spec = parse(raw, places, folder)
    except SpecError as error:
        raise SpecError(problems + error.problems) from None
    if problems:
        raise SpecError(problems)
    return _anchored(spec, folder)


def _anchored(spec: Spec, folder: Path) -> Spec:
    """Makes paths absolute: relative to the spec's directory or, if the file is only there, to the working directory.

    Makes modules of your own in that directory importable.
    """
    search = spec.search
    if search.incumbent is not None:
        incumbent = search.incumbent.model_copy(update={"checkpoint": _whole(search.incumbent.checkpoint, folder)})
        search = search.model_copy(update={"incumbent": incumbent})
    task, teacher = _task(spec.task, folder), _teacher(spec.teacher, folder)
    modules = tuple(_whole(one, folder) for one in spec.modules)
    if not modules and _imports(spec.document()):
        modules = (str(folder.absolute()),)
    sys.path += [one for one in modules if one not in sys.path]  # behind the working directory and PYTHONPATH
    return spec.model_copy(update={"task": task, "teacher": teacher, "search": search, "modules": modules})


def _imports(value: object) -> bool:
    """Whether anything in a document is imported by name."""
    if isinstance(value, list):
        return any(map(_imports, value))
    return isinstance(value, dict) and (IMPORT in value or any(map(_imports, value.values())))


def _teacher(teacher: Teacher, folder: Path) -> Teacher:
    checkpoint = teacher.checkpoint and _whole(teacher.checkpoint, folder)
    ensemble = teacher.ensemble and tuple(_teacher(member, folder) for member in teacher.ensemble)
    arguments = teacher.arguments
    if teacher.factory == KEPT and arguments is not None:
        arguments = arguments | {"path": _whole(str(arguments["path"]), folder)}
    return teacher.model_copy(update={"checkpoint": checkpoint, "ensemble": ensemble, "arguments": arguments})


def _task(task: TaskSpec, folder: Path) -> TaskSpec:
    """`hfds/NAME` is a folder if one exists, otherwise a name."""
    kind, name = kind_of(task.dataset)
    whole = _whole(name, folder)
    found = {} if task.unlabeled is None else {"unlabeled": _whole(task.unlabeled, folder)}
    if isinstance(task.tokenizer, str) and task.tokenizer != TEACHERS:
        found["tokenizer"] = _whole(task.tokenizer, folder)
    if kind in ("npz", "table"):
        found["dataset"] = whole
    elif kind in ("npy", "folder", "wds") or kind == "hfds" and os.path.isdir(whole):
        found["dataset"] = f"{kind}/{whole}"
    return task.model_copy(update=found)


def _whole(name: str, folder: Path) -> str:
    path = os.path.expanduser(name)
    beside = folder / path
    found = Path(path) if os.path.exists(path) and not os.path.exists(beside) else beside
    return str(found.absolute())


def parse(raw: object, places: Places | None = None, folder: Path | None = None) -> Spec:
    """Turns plain dicts and lists into a Spec. Checkpoints of transformers are relative to `folder`. Raises SpecError."""
    places = places or {(): "spec"}
    if not isinstance(raw, dict):
        what = "is empty" if raw is None else f"{shown(raw)} is not a mapping"
        needed = [name for name, field in Spec.model_fields.items() if field.is_required()]
        raise SpecError.at(places[()], f"{what}; a spec needs the keys {', '.join(needed)}")
    try:
        raw = with_checkpoints(raw, lambda name: _whole(name, folder or Path.cwd()))
        raw = expanded(with_teachers_tokenizer(raw))
        return Spec.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecError(explained(error, raw, places)) from None


def with_line(message: str, path: Path, overrides: Sequence[str]) -> str:
    """A message that begins with a path of the spec, such as `task.label: ...`, with the file and line of that path before it.

    Used for errors that only the data, or your own code, can show. Other messages stay as they are.
    """
    found = AT_PATH.match(message)
    if found is None or not path.is_file():
        return message
    try:
        raw, places = read_yaml(path)
    except SpecError:
        return message
    for override in overrides:
        _override(raw, override, places)
    keys = _keys(found[0])
    known = [keys[:length] for length in range(len(keys), 0, -1) if keys[:length] in places]
    return f"{places[known[0]]}: {message}" if known else message


def _override(raw: object, override: str, places: Places) -> list[Problem]:
    """Sets one value in `raw`; returns what is wrong with the override."""
    place = f"{OVERRIDE} {override}"
    key, equals, text = override.partition("=")
    if not equals or not KEY.fullmatch(key):
        return [Problem(place=place, path="", message="does not have the form key.path=value, such as search.trials=8")]
    path = _keys(key)
    try:
        _put(raw, path, from_text(text, lambda line: place)[0])
    except SpecError as error:
        return error.problems
    except LookupError as error:
        return [Problem(place=place, path=key, message=error.args[0])]
    for old in [old for old in places if old[: len(path)] == path]:
        del places[old]
    places[path] = place
    return []


def _keys(path: str) -> Location:
    """`student.loss` or `assistants.ladder[0]` as keys and positions."""
    return tuple(int(index) if index else name for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path))


def _put(raw: Yaml, path: Location, value: object) -> None:
    """Creates missing mappings. Raises LookupError, which tells where `path` leaves the document."""
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(raw, dict) and isinstance(part, str):
            raw[part] = value if last else {} if raw.get(part) is None else raw[part]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw[part] = value if last else raw[part]
        else:
            raise LookupError(_stray(raw, path[:depth], part))
        raw = raw[part]


def _stray(raw: object, above: Location, part: int | str) -> str:
    where = dotted(above) or "the spec"
    if isinstance(raw, list):
        return f"does not exist: {where} is a list of {len(raw)}" + (f"; its items are [0] to [{len(raw) - 1}]" if raw else "")
    kind = "has keys, not positions" if isinstance(raw, dict) else "has no keys"
    return f"does not exist: {where} is {shown(raw)}, which {kind}, so there is no {part!r}"


def suited(spec: Spec, kind: TaskKind, own: OwnMetric | None = None, also: tuple[str | OwnMetric, ...] | None = None) -> Spec:
    """The spec with the kind of its task, and with the metric and the losses of that kind unless it has its own.

    `own` is its metric, if that is one of your own, with its source; `also` are the metrics beside it, with theirs.
    """
    about, teacher, search = ABOUT[kind], spec.teacher, spec.search
    metric: str | OwnMetric = own or spec.task.metric
    if not {"metric"} & spec.task.model_fields_set and search.objectives[0] == spec.task.metric:
        metric = about.metric
    task = spec.task.model_copy(update={"kind": kind, "metric": metric, "also": spec.task.also if also is None else also})
    search = search.model_copy(update={"objectives": (task.measure, *search.objectives[1:])})
    members = tuple(_learning(member, kind) for member in teacher.members())
    teacher = members[0] if teacher.ensemble is None else teacher.model_copy(update={"ensemble": members})
    student = spec.student
    if "loss" not in student.model_fields_set:
        student = student.model_copy(update={"loss": about.loss})
    if kind == "regression" and any("temperature" in kd for kd in _distilled(plain(student.loss))):
        way = "which has no probabilities; remove it"
        raise UsageError(f"student.loss.kd.temperature: a temperature does not apply to regression, {way}")
    return spec.model_copy(update={"task": task, "search": search, "teacher": teacher, "student": student})


def _learning(teacher: Teacher, kind: TaskKind) -> Teacher:
    """A teacher that learns from labels of this kind."""
    if kind != "regression" or teacher.recipe is None or "loss" in teacher.model_fields_set:
        return teacher
    return teacher.model_copy(update={"loss": LossSpec(mse=SquaredError())})


def _distilled(tree: Yaml) -> Iterator[Json]:
    """The settings of kd in a searched loss, in each option of a choice."""
    for loss in _options(tree):
        yield from _options(loss.get("kd"))


def _options(tree: Yaml) -> Iterator[Json]:
    """The mappings that a part of a spec may be: the options of a choice, or itself."""
    if isinstance(tree, dict) and tree.keys() == {"choice"}:
        for option in tree["choice"]:
            yield from _options(option)
    elif isinstance(tree, dict):
        yield tree


def resolve(spec: Spec, *, fingerprint: str, cuda: bool, positions: int | None = None) -> Spec:
    """The spec with every default, the precision, the GPUs, the data's fingerprint and the source of your modules filled in.

    `cuda` says whether workers have CUDA, `positions` how long texts are at most: transformers that do not say how many
    positions they have get as many. Raises DataError if the spec pins other data, UsageError if it pins other code.
    """
    pinned = spec.task.fingerprint
    if pinned not in (None, fingerprint):
        message = f"the spec pins data {pinned:.12}, but the data are {fingerprint:.12}; use the same data, or remove the key"
        raise DataError(f"task.fingerprint: {message}")
    gpus = (1.0 if cuda else 0.0) if spec.resources.gpus == "auto" else spec.resources.gpus
    precision = "bfloat16" if gpus else "float32"
    document = _sourced(spec.document(), "")
    document["task"]["fingerprint"] = fingerprint
    document["resources"]["gpus"] = gpus
    student = document["student"]
    for part in (document["teacher"], *document["teacher"].get("ensemble", ()), student):
        if "architecture" in part and positions is not None:
            part["architecture"] = _placed(part["architecture"], positions)
    if positions is not None:
        document["assistants"]["ladder"] = [_placed(one, positions) for one in document["assistants"]["ladder"]]
    student["loss"] = _filled(student["loss"], LossSpec)
    if spec.task.kind == "regression":
        for kd in _distilled(student["loss"]):
            kd.pop("temperature", None)
    student["recipe"] = _filled(student["recipe"], Recipe)
    if "pretrain" in student:
        student["pretrain"] = _filled(student["pretrain"], Pretraining)
    for part in (document["teacher"], *document["teacher"].get("ensemble", ()), student, document["assistants"]):
        if part.get("recipe") is not None:
            part["recipe"] = _precise(part["recipe"], precision)
        for phase in _options(part.get("pretrain")):
            phase["recipe"] = _precise(phase["recipe"], precision)
    return Spec.model_validate(document)


def _sourced(value: Yaml, place: str, inside: bool = False) -> Yaml:
    """`value` with the source of each network of your own `inside` an architecture or a ladder."""
    if isinstance(value, list):
        return [_sourced(item, f"{place}[{index}]", inside) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if not inside or IMPORT not in value:
        items = value.items()
        return {name: _sourced(one, f"{place}.{name}".lstrip("."), inside or name in BUILT) for name, one in items}
    if not isinstance(value[IMPORT], str):
        raise UsageError(f"{place}.import: cannot be searched; use a choice of architectures, each with its own import")
    with located(place):
        source = code_of(value[IMPORT]).source()
    if value.get("source") not in (None, source):
        way = "restore it, or begin another study"
        raise UsageError(f"{place}.source: the code of {value[IMPORT]} has changed since the spec pinned it; {way}")
    return value | {"source": source}


def _placed(tree: Yaml, positions: int) -> Yaml:
    """An architecture with its positions, in each option of a choice."""
    if isinstance(tree, dict) and tree.keys() == {"choice"}:
        return {"choice": [_placed(option, positions) for option in tree["choice"]]}
    if isinstance(tree, dict) and tree.get("family") == "transformers":
        return {"positions": positions} | tree
    return tree


def _filled(tree: object, model: type[BaseModel] = Value) -> object:
    """A searched tree with the defaults of `model` and of the terms within it, in each option of a choice."""
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"choice"}:
        return {"choice": [_filled(option, model) for option in tree["choice"]]}
    defaults = {name: field.default for name, field in model.model_fields.items() if not field.is_required()}
    known = {name: default for name, default in defaults.items() if default is not None}
    return known | {name: _filled(item, *models_of(model, name)[:1]) for name, item in tree.items()}


def _precise(recipe: Json, precision: str) -> Json:
    """A recipe with `precision: auto` decided, in each option of a choice."""
    if recipe.keys() == {"choice"}:
        return {"choice": [_precise(option, precision) for option in recipe["choice"]]}
    given = recipe.get("precision")
    if isinstance(given, dict):
        options = [precision if option == "auto" else option for option in given["choice"]]
        return recipe | {"precision": {"choice": list(dict.fromkeys(options))}}
    return recipe | ({"precision": precision} if given in (None, "auto") else {})
