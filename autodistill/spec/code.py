"""Finds the files that the code behind a name consists of, without running any of it.

These are the file of the module, and everything that it imports, directly or indirectly, from its own package, from modules
beside that package, and from other folders on sys.path without installed packages. For a module of an installed package, only
the files of that package count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from .architectures import Imported
from .errors import UsageError
from .imports import running

MANY = 100
"""With more files, an installed package counts by its version: to read all of torchvision or torch takes seconds."""
OURS = __name__.partition(".")[0]
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

PACKAGES = frozenset({"site-packages", "dist-packages"})
"""Names of folders into which packages are installed."""


class Code(NamedTuple):
    """The files of a function's module and what it imports, by the name of the module; the first one is its own.

    `folder` is where their top-level modules are. `package` is the package and its version if that counts instead.
    """

    folder: Path
    files: dict[str, Path]
    package: str | None = None

    def source(self) -> str:
        """The sha256 of names and contents, which does not depend on where the folder is."""
        parts = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(self.files.items())]
        return hashlib.sha256("\n".join(parts if self.package is None else [self.package]).encode()).hexdigest()

    def names(self) -> list[str]:
        """The files, those in the folder relative to it, or the package with its version."""
        files = [path.relative_to(self.folder) if path.is_relative_to(self.folder) else path for path in self.files.values()]
        return [self.package] if self.package else list(map(str, files))


def code_of(path: str) -> Code:
    """The code behind `path`, "package.module:function". Raises UsageError if there is no such file."""
    place = path.partition(":")[0]
    if place.partition(".")[0] in sys.stdlib_module_names:
        return Code(Path(INSTALLED[0]), {}, f"Python {sys.version_info.major}.{sys.version_info.minor}")
    folder = _folder(path, place)
    if _file(place, [folder]) is None:
        way = "save it as a module beside the spec, in the working directory, or on PYTHONPATH"
        raise UsageError(f"{path}: {place} has no file in {folder}; {way}")
    installed, package = is_installed(folder), place.partition(".")[0]
    folders = [folder] if installed else [folder, *_own_folders()]
    files: dict[str, Path] = {}
    ahead = [place]
    while ahead:
        name = ahead.pop()
        top = name.partition(".")[0]
        found = None if name in files or top == OURS or installed and top != package else _file(name, folders)
        if found is not None:
            files[name] = found
            ahead += reversed(_imports(found, found.stat().st_mtime_ns, name))
        if installed and len(files) > MANY:
            return Code(folder, {place: files[place]}, _version(package))
    return Code(folder, files)


def is_installed(folder: Path) -> bool:
    """Also of other Pythons: those of the user and of the system, and those below a virtual environment."""
    return not PACKAGES.isdisjoint(folder.parts) or any(folder.is_relative_to(one) for one in INSTALLED)


def _own_folders() -> list[Path]:
    """Those on sys.path with modules that nobody installed, the working directory among them."""
    folders = [Path(one).absolute() for one in sys.path if isinstance(one, str)]
    return [one for one in folders if one.is_dir() and not is_installed(one)]


def _file(name: str, folders: Sequence[Path]) -> Path | None:
    return next((file for folder in folders for file in _candidates(folder, name) if file.is_file()), None)


def _folder(path: str, place: str) -> Path:
    """The folder of the top-level module, which is found but not imported."""
    top = place.partition(".")[0]
    with running(f"{path}: finding {top}", f"; try it alone: python -c 'import {place}'"):
        found = importlib.util.find_spec(top)
    if found is None or not (found.submodule_search_locations or found.origin):
        way = "save it as a module beside the spec, in the working directory, or on PYTHONPATH"
        raise UsageError(f"{path}: there is no module {top!r}; {way}")
    inside = list(found.submodule_search_locations or ())
    return Path(inside[0] if inside else str(found.origin)).absolute().parent


def _candidates(folder: Path, name: str) -> tuple[Path, Path]:
    whole = folder.joinpath(*name.split("."))
    return whole / "__init__.py", whole.with_name(f"{whole.name}.py")


@lru_cache(maxsize=4096)
def _imports(file: Path, changed: int, name: str) -> tuple[str, ...]:
    """The names of all modules that a file might import, and of the packages around them; some are not modules.

    `changed` is when the file was, so that the answer is kept only until then.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # importing it says what is wrong
        return ()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = [one for node in ast.walk(tree) for one in _named(node, package)]
    return tuple(dict.fromkeys([*_around(name), *(each for one in found for each in (*_around(one), one))]))


def _named(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names)
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        place = ".".join([*above, *([node.module] if node.module else [])])
        yield from [place] if node.module or not node.level else []
        yield from (f"{place}.{one.name}" for one in node.names if place and one.name != "*")


def _around(name: str) -> list[str]:
    """The packages that a module is in, whose own code runs first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _version(package: str) -> str:
    """Such as `torch 2.9.0`, without the suffix that distinguishes builds of one version."""
    names = importlib.metadata.packages_distributions().get(package, [package])
    try:
        return f"{package} {importlib.metadata.version(names[0]).partition('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return package


@lru_cache
def code_here(path: str) -> str:
    """The source of the code that this process has imported, or is about to: as it was when first asked for."""
    return code_of(path).source()


def check_code(architecture: Imported) -> None:
    """Raises UsageError if the code of a network differs from the code with which its study began: results would be wrong."""
    if architecture.source is not None and code_here(architecture.factory) != architecture.source:
        files = ", ".join(code_of(architecture.factory).names()[:5])
        way = "run the same command again to see the change, or ship the same code to every node"
        raise UsageError(f"{architecture.factory}: its code ({files}) has changed since the study began; {way}")


def check_loaded(module: ModuleType) -> None:
    """Raises UsageError if the file of an imported module was changed after the import: results would be of the old code, under
    the key of the new one. Compares functions and methods.
    """
    file = module.__file__ or ""
    if type(module.__loader__) is not SourceFileLoader:  # what others import, such as pytest, may differ from the file
        return
    try:
        there = list(_codes(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)))
    except (OSError, SyntaxError, ValueError):  # no file, or nothing that can be imported again
        return
    known = {_meaning(code) for code in there}
    members = [one for one in vars(module).values() if getattr(one, "__module__", None) == module.__name__]
    members += [inner for one in members if isinstance(one, type) for inner in vars(one).values()]
    for one in members:
        code = getattr(one, "__code__", None)
        if isinstance(code, CodeType) and code.co_filename == file and _meaning(code) not in known:
            way = "restart this program (in a notebook, the kernel)"
            raise UsageError(f"{file} has changed since this process imported {module.__name__}; {way}")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _meaning(code: object) -> object:
    """What code does, without its lines; of a constant, its text, which does not depend on the order of a set."""
    if isinstance(code, CodeType):
        return code.co_qualname, code.co_code, code.co_names, code.co_varnames, tuple(map(_meaning, code.co_consts))
    return tuple(sorted(map(repr, code))) if isinstance(code, frozenset) else repr(code)
