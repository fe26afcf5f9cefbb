"""A search for students of texts by autodistill against the usual way: transformers' Trainer in Ray Tune with OptunaSearch.

    pip install accelerate   # the Trainer needs it; autodistill does not
    python benchmarks/peer_trainer.py --checkpoint FOLDER --store SCRATCH --seeds 3 --out peer_text.json

FOLDER holds all-MiniLM-L6-v2, the data are WordNet's nouns (search_spaces/wordnet_text.yaml says how to get both). The peer,
trainer_script.py, is written as public tutorials are: a Trainer whose compute_loss adds the distillation loss of a live
teacher, texts padded to max_length, labels of -100 for texts without one, TPE with two objectives and no scheduler, one trial a
worker. Both have the same texts, space, trials, epochs, batch size, learning rate and networks, and one thread a trial. Both
are given the same trained teacher, whose time is not counted. It reads the mean of the tokens, as MiniLM was trained, so that
its folder is a classifier of tokens, and the peer takes the mean of its logits. The Trainer's cosine with a warm-up over 30%
of the steps stands for our one-cycle schedule; it clips gradients, which we do not. Texts, teacher and searches have the seed
of their row.

The space is SPACE: layers, heads of 32 numbers, inner width, vocabulary, the beginning (the teacher's layers and leading
slices, or random), and the weight and temperature of kd. Of wordnet_text.yaml it leaves out what takes a modeling file of its
own in the peer's way: factorized embeddings, and the relations of the teacher's tokens. There are no assistants. The peer's
students are loaded into ours, which must agree with its accuracies, and scored as peer_ray_tune.py says. --longer adds a search
by autodistill with four times the trials. Prints a Markdown table; --out keeps the runs, SCRATCH the teachers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from paired import CPU, accuracy, train_all
from peers import KINDS, REACHED, ROOT, Search, compare, earlier, in_turn, ours, summary, timed
from safetensors.torch import load_file
from torch import nn
from wordnet_nouns import LABELED, OTHERS, TRAINING, UNLABELED, settings

from autodistill.data import Splits
from autodistill.distill import load_network, open_data
from autodistill.distill.networks import build_for
from autodistill.spec import Stage, load
from autodistill.spec.checkpoints import quiet
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.space import Space

SPEC, SCRIPT = ROOT / "search_spaces" / "wordnet_text.yaml", Path(__file__).parent / "trainer_script.py"
HEAD_WIDTH = 32
SPACE: dict[str, Any] = {
    "architecture.layers": {"int": [1, 3]},
    "architecture.heads": {"choice": [3, 4, 6, 8]},
    "architecture.intermediate": {"choice": [256, 512, 1024]},
    "architecture.vocabulary": {"choice": ["used", 4000, 8000]},
    "init": {"choice": ["from_teacher", "random"]},
    "loss.kd.weight": {"uniform": [0.5, 1]},
    "loss.kd.temperature": {"log": [1, 4]},
}
RECIPE = {"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.01}


def settings_of(folder: Path, seed: int, given: argparse.Namespace) -> list[str]:
    return [
        *settings(folder, given.checkpoint, seed, given.labels, given.unlabeled),
        *("study=peer_text", "baselines=[]", "search.label_baselines=false", f"search.trials={given.trials}"),
        *(f"seed={seed}", f"search.seed={seed}", "search.limits={}"),
        f"student.architecture={{family: transformers, layers: 1, heads: 1, head_width: {HEAD_WIDTH}}}",
        "student.loss={ce: {weight: rest}, kd: {weight: 1, temperature: 1}}",
        f"student.recipe={json.dumps(RECIPE | {'epochs': given.epochs})}",
        *(f"student.{name}={json.dumps(domain)}" for name, domain in SPACE.items()),
    ]


def texts_for_peer(folder: Path, splits: Splits) -> None:
    """train.csv and validation.csv with the columns text and label, which is -100 where there is none, split as ours are."""
    labeled, others = (pd.read_csv(folder / name, keep_default_na=False) for name in (LABELED, OTHERS))
    assert splits.text is not None
    number = {name: at for at, name in enumerate(splits.text.encoding.classes)}
    texts = pd.DataFrame({"text": labeled["definition"], "label": labeled["class"].map(number)})
    train, validation = (texts[labeled["part"] == part] for part in (1, 2))
    assert np.array_equal(train["label"], splits.train.y) and np.array_equal(validation["label"], splits.validation.y)
    unlabeled = pd.DataFrame({"text": others["definition"], "label": -100})
    pd.concat([train, unlabeled]).to_csv(folder / "train.csv", index=False)
    validation.to_csv(folder / "validation.csv", index=False)


def export(network: nn.Module, checkpoint: Path, folder: Path) -> None:
    """The teacher as transformers loads it, with its tokenizer."""
    from transformers import AutoTokenizer

    body: Any = network.body
    with quiet():
        body.standalone().save_pretrained(folder)
        AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)


def as_params(config: dict[str, Any]) -> dict[str, Any]:
    """The same student in the space of the spec."""
    return {name: config[name.rpartition(".")[2]] for name in SPACE}


def peer_run(teacher: Path, texts: Path, folder: Path, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    given_to = [teacher, texts, folder, given.trials, given.epochs, seed]
    seconds, _ = timed([sys.executable, str(SCRIPT), *map(str, given_to)])
    return {"seconds": seconds, "points": json.loads((folder / "points.json").read_text())}


def score_peer(run: dict[str, Any], folder: Path, space: Space, splits: Splits, store: Store) -> None:
    """Adds the test accuracies, of our networks with the peer's weights."""
    data, test = open_data(store, splits.fingerprint), splits.test.unseal()
    for point in run["points"]:
        point["params_of"] = as_params(point["config"])
        stage = space.decode(point["params_of"])
        network, weights = build_for(data, stage.architecture), load_file(folder / point["file"])
        network.body.model.load_state_dict(weights)
        assert point["params"] == space.sizes(stage.architecture).params, point
        assert abs(accuracy(network, splits.validation) - point["accuracy"]) < 2 / len(splits.validation), point
        point["test"] = accuracy(network, test)


def one_seed(seed: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    texts, store = folder / f"texts-{seed}", Store(given.store)
    of = settings_of(texts, seed, given)
    spec, splits = load_data(load(SPEC, of), cuda=False)
    texts_for_peer(texts, splits)
    space = space_of(spec, splits, store)
    (stage,) = space.teachers
    assert isinstance(stage, Stage) and stage.init is not None
    train_all(store, [stage], 1)
    network = load_network(store, stage, CPU)
    export(network, given.checkpoint, folder / f"teacher-{seed}")
    teacher = {
        "test": accuracy(network, splits.test.unseal()),
        "accuracy": accuracy(network, splits.validation),
        "params": space.sizes(stage.architecture).params,
    }
    found: dict[str, Any] = {"seed": seed, "teacher": teacher}
    arms: dict[str, list[str]] = {"ours": []} | ({"longer": [f"search.trials={4 * given.trials}"]} if given.longer else {})
    for name, more in arms.items():
        alone = Store(folder / f"store-{name}-{seed}")
        for network_given in (stage, stage.init):
            shutil.copytree(store.folder("stages", network_given.key()), alone.folder("stages", network_given.key()))
        found[name] = ours(Search(SPEC, [*of, *more]), alone, splits, folder / f"{name}-{seed}")
    known = next((run for run in given.peer if run["seed"] == seed), None)
    if known is not None:
        assert known["teacher"] == teacher, "the peer had another teacher"
        found["peer"] = known["peer"]
    else:
        place = folder / f"peer-{seed}"
        found["peer"] = peer_run(folder / f"teacher-{seed}", texts, place, seed, given)
        score_peer(found["peer"], place, space, splits, store)
    compare(found, list(arms), teacher, splits.floors["accuracy"])
    return found


def row(run: dict[str, Any], arm: str) -> str:
    """A row of the table: of one seed, one arm beside the peer."""
    own, peer = run[arm], run["peer"]
    cells = [str(run["seed"]), arm, f"{run['teacher']['test']:.1%}"]
    for kind, name in zip(KINDS, REACHED, strict=True):
        cells += [f"{one['hypervolume'][kind]:.4f}" for one in (own, peer)]
        seconds = own[name]
        missing = "never" if peer["hypervolume"][kind] else "the peer has none"
        cells.append(missing if seconds is None else f"{seconds:.0f} (1/{peer['seconds'] / seconds:.1f})")
    cells += [f"{one['seconds']:.0f}" for one in (own, peer)]
    return f"| {' | '.join(cells)} | {own['seconds'] / peer['seconds']:.2f} |"


HEADER = (
    "| seed | | teacher | in the region: ours | peer | seconds to the peer's "
    "| above chance: ours | peer | seconds to the peer's | seconds: ours | peer | ours / peer |"
)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--labels", type=int, default=TRAINING)
    parser.add_argument("--unlabeled", type=int, default=UNLABELED)
    parser.add_argument("--longer", action="store_true")
    parser.add_argument("--peer", type=earlier, default=[], metavar="FILE", help="the peer's runs of an earlier result")
    parser.add_argument("--out", type=Path, default=Path("peer_text.json"))
    return parser.parse_args()


def main() -> None:
    given = options()
    scale = {name: getattr(given, name) for name in ("labels", "unlabeled", "epochs", "trials")}
    case = "WordNet: " + ", ".join(f"{name} {number}" for name, number in scale.items())
    runs = in_turn(given.out, case, given.seeds, {"longer": given.longer}, lambda seed, folder: one_seed(seed, folder, given))
    print(json.dumps(summary(runs), indent=1))
    print(f"{case}\n\n{HEADER}\n{'|---' * HEADER.count(' |')}|")
    for run in runs:
        for arm in ("ours", "longer"):
            if arm in run:
                print(row(run, arm))


if __name__ == "__main__":
    main()
