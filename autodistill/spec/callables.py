"""The name by which other processes can import a function or class of the running program.

A function or class in a module has such a name. One that the running script or notebook defines has none, and importing the
script would run all of it again. So a new module is written that holds only the definition and the imports, functions, classes
and constants that it uses by name.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import math
import os
import re
import symtable
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from .architectures import IMPORT
from .code import check_loaded
from .errors import UsageError, is_full
from .value import Json

CHANGING = ("append", "extend", "insert", "update", "setdefault", "pop", "remove", "clear", "add", "discard", "sort", "reverse")
"""Methods that change a list, a dict or a set."""
MOST = 1000
"""The longest list or dict that is written out."""
WAY = "move it to the top level of a module, the script, or the notebook"


def architecture_of(function: Callable[..., object], folder: Path) -> Json:
    """`{import: package.module:function}`, with the arguments of a functools.partial beside it.

    A definition of the running script or notebook is written to a new module in `folder`, which becomes importable here; list
    `folder` in `modules` of the spec, so that later processes find it, too. Equal definitions have equal names and keys.

    Raises UsageError for anything that other processes could not import, and for a module that changed after its import.
    """
    if isinstance(function, functools.partial):
        if function.args:
            raise UsageError(f"{function!r}: its arguments have no names; name them, as in functools.partial(f, width=8)")
        return architecture_of(function.func, folder) | function.keywords
    name, place = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    module = sys.modules.get(place)
    if not callable(function) or not name.isidentifier() or module is None:
        raise UsageError(f"{function!r:.80}: other processes cannot import it by name; {WAY}")
    if place != "__main__" and getattr(module, name, None) is not function:
        raise UsageError(f"{place}.{name} is no longer {function!r:.80}; {WAY}")
    if place != "__main__":
        check_loaded(module)
    return {IMPORT: f"{_written(module, name, folder) if place == '__main__' else place}:{name}"}


def _written(main: ModuleType, name: str, folder: Path) -> str:
    """The name of the new module; the same definition is written once."""
    statements = needed(_statements(main, name), name, vars(main))
    code = "\n\n".join(ast.unparse(_absolute(one, main.__package__ or "")) for one in statements) + "\n"
    stem = re.sub(r"\W", "_", Path(getattr(main, "__file__", "") or "notebook.py").stem)
    module = f"{stem}_{hashlib.sha256(code.encode()).hexdigest()[:8]}"
    head = f'"""{name} and what it uses, copied by autodistill from the program that searched with it."""\n\n'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{module}.py").write_text(head + code)
    except OSError as error:
        if is_full(error):
            raise
        raise UsageError(f"{folder} cannot be written to: {error.strerror}; give another out") from error
    earlier = sys.modules.get(module)
    if earlier is not None and not os.path.exists(earlier.__file__ or ""):  # of a folder that was removed
        del sys.modules[module]
    importlib.invalidate_caches()
    if str(folder.absolute()) not in sys.path:
        sys.path.append(str(folder.absolute()))
    return module


def _statements(main: ModuleType, name: str) -> list[ast.stmt]:
    """The top-level statements of the running program in the order in which they ran, without cells that are not Python."""
    cells: Sequence[str] = getattr(main, "In", ())
    file = getattr(main, "__file__", None)
    if not cells and (file is None or not Path(file).is_file()):
        raise UsageError(f"{name}: this program has no source to copy it from; put it in a module")
    found: list[ast.stmt] = []
    for text in cells or [Path(str(file)).read_text()]:
        try:
            found += ast.parse(text).body
        except SyntaxError:
            continue
    return found


def needed(statements: Sequence[ast.stmt], name: str, now: Mapping[str, object] | None = None) -> list[ast.stmt]:
    """Those that make `name` and, directly or indirectly, what it uses, as they are at the end; calls on their own line and
    `if __name__` are not. Statements that ran again, or whose results were replaced, are left out.

    `now` are the values that the program has: a number, text, list or dict that another value was given meanwhile is set last.
    """
    statements = _once(statements)
    names, before = {name}, set[str]()
    while names != before:  # a function finds what its names mean at the end
        before = set(names)
        taken, live = list[ast.stmt](), set(names)
        for one in reversed(statements):
            if _is_always(one) or live & {*_bound(one), *_changed(one)}:
                taken.insert(0, one)
                own, used = set(_replaced(one)), _used(one)
                live = live - own | used - (own - _used_at_once(one))
                names |= used
    ordered = _as_first(_once(taken), statements)
    ordered += _reset(statements, ordered, {one: value for one, value in (now or {}).items() if one in names})
    return sorted(ordered, key=lambda one: not (isinstance(one, ast.ImportFrom) and one.module == "__future__"))


def _is_always(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and (statement.module == "__future__" or statement.names[0].name == "*")


def _once(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Without those that ran again although nothing that they depend on had changed: as when a cell runs twice."""
    kept, current = list[ast.stmt](), set[str]()
    for one in statements:
        text = ast.unparse(one)
        if text in current:
            continue
        kept.append(one)
        touched = {*_bound(one), *_changed(one)}
        current = {other for other in current if not touched & _about(other)}
        if _is_always(one) or _replaced(one) and not touched & _used_at_once(one):
            current.add(text)
    return kept


def _as_first(kept: Sequence[ast.stmt], all_: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Each statement where one like it was first, if those between have nothing to do with it: as when a change was undone."""
    texts = [ast.unparse(one) for one in all_]
    at = {id(one): place for place, one in enumerate(all_)}
    placed = list[tuple[int, ast.stmt]]()
    for one in kept:
        first, own = texts.index(ast.unparse(one)), {*_bound(one), *_changed(one)}
        between = [other for place, other in placed if place > first]
        apart = not any(
            {*_bound(other), *_changed(other)} & _about(ast.unparse(one)) | _used_at_once(other) & own for other in between
        )
        placed.append((first if apart else at[id(one)], one))
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]


@functools.cache
def _about(text: str) -> frozenset[str]:
    """The names that a statement binds or uses."""
    (one,) = ast.parse(text).body
    return frozenset({*_bound(one), *_used(one)})


def _reset(all_: Sequence[ast.stmt], kept: Sequence[ast.stmt], now: Mapping[str, object]) -> list[ast.stmt]:
    """Assignments of the plain values that names have now, unless what is kept makes them."""
    found = list[ast.stmt]()
    for name, value in sorted(now.items()):
        makers = [one for one in kept if name in {*_bound(one), *_changed(one)}]
        others = {ast.unparse(one) for one in all_ if name in _bound_anywhere(one)}
        trusted = len(makers) == len(others) == 1 and not isinstance(value, list | dict)
        if _is_plain(value) and not trusted and (not makers or not _assigns(makers[-1], name, value)):
            found += ast.parse(f"{name} = {value!r}").body
    return found


def _is_plain(value: object) -> bool:
    """Whether it is a number, text, or a list or dict of such things, which its repr makes again."""
    if isinstance(value, list | tuple | dict):
        inner = [*value, *(value.values() if isinstance(value, dict) else ())]
        return type(value) in (list, tuple, dict) and len(inner) < MOST and all(map(_is_plain, inner))
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return value is None or type(value) in (bool, int, float, str)


def _assigns(statement: ast.stmt, name: str, value: object) -> bool:
    """Whether a statement is `name = value`, literally."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or list(_replaced(statement)) != [name] or statement.value is None:
        return False
    try:
        found: object = ast.literal_eval(statement.value)
    except ValueError:
        return False
    return repr(found) == repr(value)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement gives a value."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif not isinstance(statement, ast.Expr) and not _is_main(statement):
        yield from (symbol.get_name() for symbol in _table(statement).get_symbols() if symbol.is_assigned())
        yield from (symbol.get_name() for symbol in _table(statement).get_symbols() if symbol.is_imported())


def _bound_anywhere(statement: ast.stmt) -> set[str]:
    """The same, also below `if __name__`."""
    parts = statement.body if isinstance(statement, ast.If) and _is_main(statement) else [statement]
    return {name for one in parts for name in (*_bound(one), *_changed(one))}


def _replaced(statement: ast.stmt) -> Iterator[str]:
    """The names to which a statement gives a value that does not depend on the one before, except through its own names."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        yield from _bound(statement)
    elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        yield from _bound(statement)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """The names whose objects a top-level statement changes: SIZES["width"] = 8, Net.forward = other, LAYERS.append(3)."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or _is_main(statement):
        return
    for node in ast.walk(statement):
        is_target = isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)
        is_call = isinstance(node, ast.Attribute) and node.attr in CHANGING
        while (is_target or is_call) and isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
            if isinstance(node, ast.Name):
                yield node.id


def _used_at_once(statement: ast.stmt) -> set[str]:
    """The names that a statement itself needs, not the functions in it when they are called."""
    found, ahead = set[str](), [_table(statement)]
    top = ahead[0]
    while ahead:
        table = ahead.pop()
        ahead += [one for one in table.get_children() if one.get_type() == "class"]
        read = [symbol for symbol in table.get_symbols() if symbol.is_referenced()]
        found |= {symbol.get_name() for symbol in read if table is top or symbol.is_global()}
    return found


def _used(statement: ast.stmt) -> set[str]:
    """The global names that a statement needs, also within functions and classes; not their own local names."""
    found, ahead = set[str](), [_table(statement)]
    top = ahead[0]
    while ahead:
        table = ahead.pop()
        ahead += table.get_children()
        read = [symbol for symbol in table.get_symbols() if symbol.is_referenced()]
        found |= {symbol.get_name() for symbol in read if table is top or symbol.is_global()}
    return found


def _table(statement: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(statement), "<own>", "exec")


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def _absolute(statement: ast.stmt, package: str) -> ast.stmt:
    """A relative import of a program that was started as `python -m package.module`, by its whole name."""
    if isinstance(statement, ast.ImportFrom) and statement.level:
        above = package.split(".")[: len(package.split(".")) - statement.level + 1]
        return ast.ImportFrom(".".join([*above, *([statement.module] if statement.module else [])]), statement.names, 0)
    return statement
