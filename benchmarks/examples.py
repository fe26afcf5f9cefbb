"""How long the examples take: the commands in their headers, one after the other, each example in a copy of its directory.

    python benchmarks/examples.py [EXAMPLE ...] [--show] [--keep]

Prints a Markdown table: the time of each example, and the load of the machine when it began. With --show also what the commands
print. With --keep, notebooks in examples/ get the outputs of this run, without the path of its directory.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", default=sorted(path.name for path in EXAMPLES.iterdir()))
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    print(f"| example | minutes on {os.cpu_count()} cores | load when it began |\n|---|---|---|")
    for name in given.examples:
        load, began = os.getloadavg()[0], time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = list(run(name, Path(folder)).values())
            if given.keep:
                keep(name, Path(folder))
        print(f"| {name} | {(time.monotonic() - began) / 60:.1f} | {load:.1f} |", flush=True)
        if given.show:
            print(*found, sep="\n", flush=True)


def header(name: str) -> str:
    """The words of an example that say what it is for: the first cell of a notebook, or comments that name the commands."""
    for path in (EXAMPLES / name).glob("*.ipynb"):
        return str(nbformat.read(path, as_version=4).cells[0].source)
    texts = [path.read_text() for path in sorted((EXAMPLES / name).iterdir()) if path.suffix in (".yaml", ".py")]
    return next(text for text in texts if "Command" in text)


def commands(name: str) -> list[str]:
    """Those in the header of an example."""
    notebooks = [f"jupyter execute --inplace {path.name}" for path in (EXAMPLES / name).glob("*.ipynb")]
    named = re.search(r"^(?:# )?Command: (.*?)^(?:# )?Time:", header(name), re.M | re.S)
    lines = named[1].splitlines() if named else []
    return notebooks or [line.lstrip("# ").partition("  #")[0].strip() for line in lines]


def run(name: str, folder: Path) -> dict[str, str]:
    """What each command of an example prints, in a copy of its directory below `folder`.

    Raises RuntimeError, with what it printed, for a command that fails.
    """
    copy = shutil.copytree(EXAMPLES / name, folder / name)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths}
    found = {}
    for command in commands(name):
        program, *arguments = shlex.split(command)
        module = {"autodistill": ["-m", "autodistill"], "jupyter": ["-m", "jupyter"]}.get(program, [])
        whole = [sys.executable, *module, *arguments]
        done = subprocess.run(whole, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}\n{done.stdout}\n{done.stderr}")
        found[command] = done.stdout
    return found


def keep(name: str, folder: Path) -> None:
    """Takes over the outputs of notebooks that ran below `folder`, but not their times, which would change every time."""
    for path in (folder / name).glob("*.ipynb"):
        notebook = nbformat.reads(path.read_text().replace(f"{path.parent}/", ""), as_version=4)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, EXAMPLES / name / path.name)


if __name__ == "__main__":
    main()
