"""The nouns of WordNet 3.0 as a small data set of texts: a definition, and the class of what it defines.

    python benchmarks/wordnet_nouns.py [--out .] [--seed 0] [--labels 2000] [--unlabeled 20000]

Reads /usr/share/wordnet/data.noun (Debian: apt-get install wordnet-base). A definition is the text of a sense before its first
semicolon; what follows are remarks and examples. Its class is one of the 25 lexicographer's files of nouns, such as animal or
artifact; the 51 senses of the file `Tops`, the roots of all others, are left out. Of equal definitions, the first one in the
file counts. This leaves 81,158 definitions.

They are put in one stratified order, which the seed alone decides: each class is shuffled and spread evenly over it. Its first
2,000 are for training, the next 2,000 for validation, the next 8,000 for testing, and the next 20,000 lose their class; 49,158
are in neither file. wordnet_nouns.csv has the columns `definition`, `class` and `part` (1 training, 2 validation, 3 test), so
`task.split: {by: part}` splits it as it is. wordnet_unlabeled.csv has the column `definition`. With fewer `--labels`, only the
first of the training rows are written, with fewer `--unlabeled` only the first of those without a class; the others stay.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

NOUNS = Path("/usr/share/wordnet/data.noun")
TOPS = 3
"""The number of the first file of nouns, which has the roots of all others."""
CLASSES = (
    "act animal artifact attribute body cognition communication event feeling food group location motive object person "
    "phenomenon plant possession process quantity relation shape state substance time".split()
)
"""The files of nouns after `Tops`, in the order of their numbers (lexnames(5WN))."""
TRAINING, VALIDATION, TEST, UNLABELED = 2_000, 2_000, 8_000, 20_000
LABELED, OTHERS = "wordnet_nouns.csv", "wordnet_unlabeled.csv"


class Noun(NamedTuple):
    definition: str
    name: str


def main() -> None:
    given = options()
    if not NOUNS.is_file():
        sys.exit(f"there is no {NOUNS}; run: apt-get install wordnet-base")
    for path, rows in write(nouns(NOUNS), given.out, given.seed, given.labels, given.unlabeled).items():
        print(f"{path}: {rows:,} definitions")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", type=int, default=TRAINING, help=f"how many training rows, at most {TRAINING}")
    parser.add_argument("--unlabeled", type=int, default=UNLABELED, help=f"how many rows without a class, at most {UNLABELED}")
    given = parser.parse_args()
    if not len(CLASSES) <= given.labels <= TRAINING:
        parser.error(f"--labels {given.labels}: give {len(CLASSES)} to {TRAINING}")
    if not 1 <= given.unlabeled <= UNLABELED:
        parser.error(f"--unlabeled {given.unlabeled}: give 1 to {UNLABELED}")
    return given


def nouns(path: Path) -> list[Noun]:
    """All different definitions with their classes, in the order of the file."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith(" "):  # the license
            continue
        head, _, gloss = line.partition("|")
        number = int(head.split()[1])
        if number != TOPS:
            found.setdefault(gloss.split(";")[0].strip(), CLASSES[number - TOPS - 1])
    return [Noun(*one) for one in found.items()]


def spread(nouns: Sequence[Noun], seed: int) -> list[Noun]:
    """In an order of which every beginning is stratified: all classes are in the first ones, and then in their proportions."""
    shuffled = [nouns[row] for row in np.random.default_rng(seed).permutation(len(nouns))]
    sizes, seen, place = Counter(one.name for one in nouns), Counter[str](), []
    for one in shuffled:
        place.append(seen[one.name] / sizes[one.name])
        seen[one.name] += 1
    return [shuffled[row] for row in np.argsort(place, kind="stable")]


def write(
    nouns: Sequence[Noun], folder: Path, seed: int, labels: int = TRAINING, unlabeled: int = UNLABELED
) -> dict[Path, int]:
    """Writes both files and returns how many rows each of them has."""
    ends = np.cumsum([0, TRAINING, VALIDATION, TEST, UNLABELED])
    order = spread(nouns, seed)
    training, *parts, others = [order[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    rows = [(*one, part) for part, some in enumerate((training[:labels], *parts), 1) for one in some]
    folder.mkdir(parents=True, exist_ok=True)
    table(folder / LABELED, ("definition", "class", "part"), rows)
    table(folder / OTHERS, ("definition",), [(one.definition,) for one in others[:unlabeled]])
    return {folder / LABELED: len(rows), folder / OTHERS: len(others[:unlabeled])}


def table(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


def settings(folder: Path, checkpoint: Path, seed: int, labels: int, unlabeled: int) -> list[str]:
    """What differs from search_spaces/wordnet_text.yaml with these data, written to `folder`, and with this teacher."""
    write(nouns(NOUNS), folder, seed, labels, unlabeled)
    count = labels + VALIDATION + TEST
    return [
        f"task.dataset={folder.absolute() / LABELED}",
        f"task.unlabeled={folder.absolute() / OTHERS}",
        f"task.split={{by: part, validation: {VALIDATION / count}, test: {TEST / count}}}",
        f"teacher.architecture.checkpoint={checkpoint.absolute()}",
    ]


if __name__ == "__main__":
    main()
