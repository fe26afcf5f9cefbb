"""Transformers in training: one epoch on texts of different lengths, from its state, in every layout; and in a search space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill.answers.chains.asked import geometric
from autodistill.data import Columns, Ragged
from autodistill.data.encoding import TOKENS, TextEncoding
from autodistill.data.texts import Text
from autodistill.distill.data import Data
from autodistill.distill.layout import LAST, lay_out
from autodistill.distill.networks import build_for, plain_state
from autodistill.distill.predictions import logits_of
from autodistill.distill.run import Run
from autodistill.models import Inputs
from autodistill.models.sizes import check_inherit, sizes
from autodistill.spec import (
    CrossEntropy,
    LossSpec,
    Recipe,
    SpecError,
    Split,
    Stage,
    Task,
    Transformers,
    UsageError,
    Value,
    label_only,
    parse,
    resolve,
)
from autodistill.store import Store
from autodistill.study.preflight.prepare import check_edges
from autodistill.study.sampling.candidates import Candidates
from autodistill.study.space import Space

from .tokens import LONGEST, PADDING, UNKNOWN, USED, VOCABULARY, batch, content, encoder, ranking, texts

pytest.importorskip("transformers")
torch.set_num_threads(1)

CPU = torch.device("cpu")
CLASSES = 2


def column(samples: int, seed: int) -> tuple[Ragged, Any]:
    """Texts whose class is whether token 59 occurs."""
    rng = np.random.default_rng(seed)
    found = [rng.integers(5, VOCABULARY - 1, rng.integers(3, LONGEST + 1)) for _ in range(samples)]
    y = np.arange(samples) % CLASSES
    for ids, label in zip(found, y, strict=True):
        ids[0] = 2
        ids[-1] = VOCABULARY - 1 if label else 5
    return replace(Ragged.of(found), padding=float(PADDING)), y


@pytest.fixture
def data() -> Data:
    (train, train_y), (validation, validation_y) = column(96, 0), column(40, 1)
    encoding = TextEncoding(
        label="label",
        classes=("a", "b"),
        columns=("text",),
        tokenizer="0" * 64,
        vocabulary=VOCABULARY,
        used=USED,
        padding=PADDING,
        unknown=UNKNOWN,
        max_length=LONGEST,
        typical=5,
    )
    return Data(
        train_x=Columns({TOKENS: train}),
        train_y=train_y,
        validation_x=Columns({TOKENS: validation}),
        validation_y=validation_y,
        inputs=texts(),
        classes=CLASSES,
        mean=None,
        std=None,
        text=Text(encoding=encoding, content=content(), ranking=ranking()),
    )


def stage(architecture: Transformers, **recipe: Any) -> Stage:
    task = Task(data="0", split=Split())
    given = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "precision": "float32"} | recipe
    loss = LossSpec(ce=CrossEntropy(weight=1.0))
    return Stage(task=task, architecture=architecture, loss=loss, recipe=Recipe(**given), seed=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"vocabulary": "used"},
        {"vocabulary": 20, "embedding": 6},
        {"model": "distilbert"},
        {"dropout": 0.1},
        {"model": "albert"},
    ],
    ids=str,
)
def test_an_epoch_lowers_the_loss_and_its_state_resumes(data: Data, tmp_path: Path, changes: dict[str, object]) -> None:
    one = stage(encoder(**changes), epochs=3)
    run = Run(Store(tmp_path), one, data, CPU)
    first = run.epoch()
    state = run.state()
    torch.save(state, tmp_path / "state")
    last = [run.epoch(), run.epoch()][-1]
    assert last < first
    again = Run(Store(tmp_path), one, data, CPU, torch.load(tmp_path / "state", weights_only=True))
    assert [again.epoch(), again.epoch()][-1] == last
    mine, theirs = plain_state(run.network), plain_state(again.network)
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    logits_NK = logits_of(run.network.eval(), data, data.validation_x, CPU)
    assert logits_NK.shape == (40, CLASSES)


def test_what_decides_the_class_is_learned(data: Data, tmp_path: Path) -> None:
    run = Run(Store(tmp_path), stage(encoder(vocabulary="used"), epochs=16), data, CPU)
    for _ in range(16):
        run.epoch()
    logits_NK = logits_of(run.network.eval(), data, data.validation_x, CPU)
    assert (logits_NK.argmax(1).numpy() == data.validation_y).mean() >= 0.9  # chance is 0.5


def test_a_network_of_the_data_has_its_vocabulary_and_no_pickles(data: Data) -> None:
    network = build_for(data, encoder(vocabulary=12))
    state = plain_state(network)
    table = state["body.table"]
    assert int(table[UNKNOWN]) == UNKNOWN and int(table[ranking()[11]]) == 11 and int(table[ranking()[12]]) == UNKNOWN
    again = build_for(data, encoder(vocabulary=12))
    again.load_state_dict(state)
    given = batch()
    assert torch.equal(network.eval()(given).logits, again.eval()(given).logits)


def test_texts_are_in_no_layout_and_in_bfloat16(data: Data, tmp_path: Path) -> None:
    network = build_for(data, encoder()).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def pair() -> Inputs:
        return batch((4, 9))

    assert lay_out([network], pair, CPU) == LAST
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    run = Run(Store(tmp_path), stage(encoder(), precision="bfloat16"), data, CPU)
    assert run.epoch() > 0


DOCUMENT: dict[str, Any] = {
    "study": "texts",
    "task": {"dataset": "reviews.npz"},
    "teacher": {
        "architecture": {"family": "transformers", "layers": 3, "hidden": 16, "heads": 4, "positions": 20},
        "recipe": {"epochs": 1},
    },
    "student": {
        "architecture": {
            "family": "transformers",
            "layers": {"int": [1, 3]},
            "heads": {"choice": [2, 4]},
            "head_width": 4,
            "vocabulary": {"choice": ["full", "used", 20, 59]},
            "embedding": {"choice": [None, 6]},
        },
        "loss": {"ce": {"weight": "rest"}, "kd": {"weight": 0.5, "temperature": 2}},
        "recipe": {"epochs": 1},
        "init": {"choice": ["random", "from_teacher", {"layers": [0, 2]}]},
    },
    "search": {"trials": 4},
}


FEW = {"vocabulary": {"choice": ["full", "used"]}, "embedding": None}
"""Fewer shapes, whose sizes are known sooner."""


def space(**architecture: object) -> Space:
    return space_with(architecture=DOCUMENT["student"]["architecture"] | architecture)


def space_with(**student: object) -> Space:
    document = DOCUMENT | {"student": DOCUMENT["student"] | student}
    spec = resolve(parse(document), fingerprint="0", cuda=False, positions=LONGEST)
    assert spec.teacher.architecture is not None
    task = Task(data="0", split=Split())
    teacher = stage(spec.teacher.architecture).model_copy(update={"task": task})  # type: ignore[arg-type]
    return Space(spec, task=task, teachers=(teacher,), inputs=texts(), classes=CLASSES)


@pytest.mark.slow
def test_words_and_numbers_of_the_vocabulary_are_searched_together() -> None:
    made = space()
    found, everything = made.architectures()
    assert everything and len(found) == 3 * 2 * 4 * 2
    rows = {one.vocabulary for one in found if isinstance(one, Transformers)}
    assert rows == {"full", "used", 20, 59} and all(one.positions == LONGEST for one in found if isinstance(one, Transformers))
    drawn = Candidates(made, seed=0)
    assert drawn.everything
    for params in made.candidates()[0]:
        for init in range(3):
            whole = {path: domain.ends()[0] for path, domain in made.domains.items()} | params | {"init": init}
            if init == 2 and params["architecture.layers"] != 2:
                assert not made.feasible(whole)
                continue
            decoded = made.decode(whole)
            encoded = made.encode(decoded)
            assert encoded is not None and made.decode(encoded).key() == decoded.key()
            assert (decoded.init is None) == (init == 0) and decoded.init_layers == ((0, 2) if init == 2 else None)


def test_the_layers_that_a_student_takes_are_in_its_key() -> None:
    few = DOCUMENT["student"]["architecture"] | FEW
    made = space_with(architecture=few)
    low = {path: domain.ends()[0] for path, domain in made.domains.items()} | {"architecture.layers": 2}
    every, listed = (made.decode(low | {"init": init}) for init in (1, 2))
    assert every.init is not None and every.init == listed.init and every.key() != listed.key()
    assert label_only(every).key() == label_only(listed).key()
    check_edges(made)
    with pytest.raises(UsageError, match=r"student.init: .*lists layer 3, but the source has layers 0 to 2"):
        check_edges(space_with(architecture=few, init={"layers": [0, 3]}))


@pytest.mark.parametrize("init", [{"layers": []}, {"layers": [-1]}, {"layer": [0]}, "teacher"])
def test_an_init_that_is_none_is_refused(init: object) -> None:
    with pytest.raises(SpecError, match="student.init"):
        space_with(init=init)


def test_widths_that_cannot_be_built_are_never_proposed() -> None:
    made = space(heads=4, head_width=None, hidden={"int": [14, 17]}, layers=1, **FEW)
    found, _ = made.architectures()
    allowed = {one.wide for one in found if isinstance(one, Transformers) and made.within_limits(one)}
    assert allowed == {16}


def test_assistants_between_two_transformers_have_heads_as_wide_as_the_students() -> None:
    student, teacher = encoder(layers=1, hidden=8, heads=2, vocabulary="used"), encoder(layers=6, hidden=32, heads=8)

    def params(architecture: Value) -> int:
        return sizes(architecture, texts(), CLASSES).params

    ladder = geometric(student, teacher, 3, params)
    assert len(ladder) == 3
    for one in ladder:
        assert isinstance(one, Transformers) and one.wide == 4 * one.heads and one.vocabulary == "used"
        assert params(student) < params(one) < params(teacher)
        check_inherit(student, one, texts(), CLASSES)
