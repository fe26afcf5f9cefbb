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
import os
import re
import symtable
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from .architectures import IMPORT
from .errors import UsageError, is_full
from .value import Json

WAY = "move it to the top level of a module, the script or the notebook"


def architecture_of(function: Callable[..., object], folder: Path) -> Json:
    """`{import: package.module:function}`, with the arguments of a functools.partial beside it.

    A definition of the running script or notebook is written to a new module in `folder`, which becomes importable here; list
    `folder` in `modules` of the spec, so that later processes find it, too. Equal definitions have equal names and keys.

    Raises UsageError for anything that other processes could not import.
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
    return {IMPORT: f"{_written(module, name, folder) if place == '__main__' else place}:{name}"}


def _written(main: ModuleType, name: str, folder: Path) -> str:
    """The name of the new module; the same definition is written once."""
    statements = needed(_statements(main, name), name)
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


def needed(statements: Sequence[ast.stmt], name: str) -> list[ast.stmt]:
    """Those that bind `name` and, directly or indirectly, what it uses; calls on their own line and `if __name__` are not."""
    ahead, seen, taken = [name], set[str](), set[int]()
    for place, one in enumerate(statements):
        if isinstance(one, ast.ImportFrom) and (one.module == "__future__" or one.names[0].name == "*"):
            taken.add(place)
    while ahead:
        wanted = ahead.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        for place, one in enumerate(statements):
            if place not in taken and wanted in set(_bound(one)):
                taken.add(place)
                ahead += sorted(_used(one))
    ordered = [one for place, one in enumerate(statements) if place in taken]
    return sorted(ordered, key=lambda one: not (isinstance(one, ast.ImportFrom) and one.module == "__future__"))


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement gives a value."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif not isinstance(statement, ast.Expr) and not _is_main(statement):
        yield from (symbol.get_name() for symbol in _table(statement).get_symbols() if symbol.is_assigned())
        yield from (symbol.get_name() for symbol in _table(statement).get_symbols() if symbol.is_imported())


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
