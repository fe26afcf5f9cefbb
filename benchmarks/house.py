"""How large the package is, at one or more revisions of this repository.

    python benchmarks/house.py f1a8043 HEAD

Counts the Python files of `autodistill/` as git has them: lines, the sizes of files, functions of less than 30 lines (from
`def` to the last line, also nested ones), the methods of the classes that have most, and occurrences of `Any`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from statistics import median

PACKAGE = "autodistill"
SHORT_FILE, SHORT_FUNCTION, LARGEST = 60, 30, 3


def main(revisions: list[str]) -> None:
    rows = [house(one) for one in revisions]
    print(f"| `{PACKAGE}/` | {' | '.join(revisions)} |\n{'|---' * (len(rows) + 1)}|")
    for name in rows[0]:
        print(f"| {name} | {' | '.join(row[name] for row in rows)} |")


def house(revision: str) -> dict[str, str]:
    """The rows of the table for one revision."""
    names = [one for one in git("ls-tree", "-r", "--name-only", revision, PACKAGE).splitlines() if one.endswith(".py")]
    sources = [git("show", f"{revision}:{name}") for name in names]
    lengths = [source.count("\n") for source in sources]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    functions = [_lines(node) for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    short = sum(one < SHORT_FUNCTION for one in functions) / len(functions)
    methods = sorted((_methods(node) for node in nodes if isinstance(node, ast.ClassDef)), reverse=True)
    return {
        "lines": f"{sum(lengths):,}",
        f"files; median lines; under {SHORT_FILE} lines": (
            f"{len(names)}; {median(lengths):g}; {sum(length < SHORT_FILE for length in lengths)}"
        ),
        f"functions of less than {SHORT_FUNCTION} lines": f"{short:.1%}",
        "methods of the largest classes": ", ".join(map(str, methods[:LARGEST])),
        "`Any`": str(sum(len(re.findall(r"\bAny\b", source)) for source in sources)),
    }


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _methods(one: ast.ClassDef) -> int:
    return sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in one.body)


if __name__ == "__main__":
    main(sys.argv[1:] or ["HEAD"])
