"""Does another checkout find the same students, accuracies and claims? For changes that should change no result.

    python benchmarks/reference.py --out before.json
    python benchmarks/reference.py --checkout OTHER --out after.json --against before.json

Each case is a search with the serial runner and fixed seeds, `confirm` with one fresh seed, and `smallest`. Keys, names of
columns and words may differ; sizes, accuracies, the frontier and the claim may not. Both runs must be made on one machine,
because kernels differ between processors.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SHORT = ["teacher.recipe.epochs=4", "student.recipe.epochs=4"]
CASES: dict[str, tuple[list[str], list[str]]] = {
    "digits": (["search.trials=8", *SHORT, "assistants.recipe.epochs=4"], ["--accuracy", "0.5"]),
    "few_labels": (["search.trials=3", "task.samples=3000", "task.labeled=0.2", *SHORT], ["--accuracy", "0.3"]),
    "vit": (["search.trials=2", "task.samples=2000", *SHORT], ["--accuracy", "0.3"]),
}
"""Of each: settings of the search space of that name, and what `smallest` is asked."""


def ran(checkout: Path, *words: str) -> Any:
    """What a command prints as JSON; `smallest` ends with 3 where no student meets the target."""
    command = [sys.executable, "-m", "autodistill", *words, "--json"]
    done = subprocess.run(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def found(checkout: Path, case: str, folder: Path) -> dict[str, Any]:
    settings, question = CASES[case]
    out = str(folder / case)
    words = [word for one in settings for word in ("--set", one)]
    ran(checkout, "search", str(checkout / f"search_spaces/{case}.yaml"), *words, "--runner", "serial", "--out", out)
    confirmed = ran(checkout, "confirm", out, "--seeds", "1", "--runner", "serial")
    claim = ran(checkout, "smallest", out, *question, "--runner", "serial")
    with open(Path(out, "trials.csv")) as file:
        trials = [[row[name] for name in ("state", "params", "accuracy", "frontier")] for row in csv.DictReader(file)]
    return {
        "trials": trials,
        "test": [_on_test(one["test"]["scores"]["accuracy"]) for one in confirmed["members"]],
        "claim": [claim["meets"], claim["answer"] and claim["answer"]["params"]],
    }


def _on_test(score: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": score["value"], "correct": round(score["value"] * score["n"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=lambda text: Path(text).absolute(), default=ROOT)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {case: found(given.checkout, case, Path(folder)) for case in CASES}
    given.out.write_text(json.dumps(results, indent=1))
    if given.against is not None:
        before = json.loads(given.against.read_text())
        print({case: "the same" if results[case] == before[case] else "DIFFERENT" for case in CASES})


if __name__ == "__main__":
    main()
