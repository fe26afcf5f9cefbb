"""The first phase of a student: masked tokens, the head that predicts them, and its stage in a search."""

from __future__ import annotations

import itertools
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill import api
from autodistill.answers.chains import Home
from autodistill.answers.confirm import confirm
from autodistill.data.masking import Masking
from autodistill.data.tokens import known
from autodistill.distill import load_network, open_data
from autodistill.distill.data import Data
from autodistill.distill.networks import build_for, initialized, plain_state
from autodistill.distill.run import Run
from autodistill.models.encoders import Encoder
from autodistill.models.token_head import TokenHead
from autodistill.reporting.explain import explain
from autodistill.reporting.terminal import explained
from autodistill.spec import (
    Cosine,
    LossSpec,
    MaskedTokens,
    Network,
    Recipe,
    SpecError,
    Split,
    Stage,
    Task,
    Transformers,
    UsageError,
    label_only,
    load,
    parse,
)
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.preflight import prepare
from autodistill.study.preflight.check import check
from autodistill.study.preflight.prepare import load_data
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.opened import open_study
from autodistill.study.record.rows import Stages
from autodistill.study.schedule.plan import FRESH
from autodistill.study.schedule.scheduler import Study
from autodistill.study.space import Space

from .searching import search
from .texts import data_of
from .textual import document, reviews, word_piece, written
from .tokens import encoder

pytest.importorskip("transformers")
torch.set_num_threads(1)

CPU = torch.device("cpu")
PAD, MASK_ID, SPECIAL_IDS = 0, 4, 5
PHASE: dict[str, Any] = {"loss": {"mlm": {}}, "recipe": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}}


@pytest.fixture(scope="module")
def data() -> Data:
    """Labeled texts whose tokenizer has [MASK]."""
    frame, topics = reviews(128), {"food": 0, "weather": 1, "work": 2}
    y = frame["topic"].map(topics).to_numpy()
    texts = list(frame["review"])
    found = data_of(texts[:96], y[:96], texts[96:], y[96:], classes=3)
    assert found.text is not None
    encoding = found.text.encoding.model_copy(update={"unknown": 1})
    return replace(found, text=replace(found.text, encoding=encoding))


def masking(data: Data, share: float = 0.15, seed: int = 0) -> Masking:
    assert data.text is not None
    return Masking(data.text, share, seed)


def ids_of(rows: int, length: int, data: Data, seed: int = 0) -> torch.Tensor:
    """Random ids of words between [CLS] and [SEP], the last quarter padding."""
    generator = torch.Generator().manual_seed(seed)
    ids_BL = torch.randint(SPECIAL_IDS, vocabulary(data), (rows, length), generator=generator)
    ids_BL[:, 0], ids_BL[:, -length // 4 - 1], ids_BL[:, -length // 4 :] = 2, 3, PAD
    return ids_BL


def vocabulary(data: Data) -> int:
    assert data.text is not None
    return data.text.encoding.vocabulary


# Masks


def test_shares_of_masked_tokens_are_those_of_bert(data: Data) -> None:
    ids_BL = ids_of(500, 400, data)
    found = masking(data).masked(ids_BL, torch.arange(500), 0)
    words = int((ids_BL >= SPECIAL_IDS).sum())
    assert len(found.places_R) / words == pytest.approx(0.15, abs=0.005)
    read_R = found.ids_BL.flatten()[found.places_R]
    assert torch.equal(found.hidden_R, ids_BL.flatten()[found.places_R])
    assert float((read_R == MASK_ID).float().mean()) == pytest.approx(0.8, abs=0.01)
    assert float((read_R == found.hidden_R).float().mean()) == pytest.approx(0.1, abs=0.01)
    others_R = read_R[(read_R != MASK_ID) & (read_R != found.hidden_R)]
    assert others_R.min() >= SPECIAL_IDS and others_R.unique().numel() > 300


def test_special_and_padding_tokens_are_never_masked_and_other_tokens_stay(data: Data) -> None:
    ids_BL = ids_of(40, 40, data)
    found = masking(data, share=0.999).masked(ids_BL, torch.arange(40), 0)
    special_BL = ids_BL < SPECIAL_IDS
    assert torch.equal(found.ids_BL[special_BL], ids_BL[special_BL])
    assert not special_BL.flatten()[found.places_R].any()
    few = masking(data, share=0.1).masked(ids_BL, torch.arange(40), 0)
    stays = torch.ones(ids_BL.numel(), dtype=torch.bool)
    stays[few.places_R] = False
    assert torch.equal(few.ids_BL.flatten()[stays], ids_BL.flatten()[stays])


def test_a_mask_depends_on_seed_text_and_view_but_not_on_the_batch(data: Data) -> None:
    ids_BL, rows_B = ids_of(8, 24, data), torch.arange(100, 108)
    whole = masking(data).masked(ids_BL, rows_B, 3)
    order = torch.tensor([5, 0, 7])
    padded = torch.cat([ids_BL[order], torch.zeros(3, 9, dtype=ids_BL.dtype)], 1)
    assert torch.equal(masking(data).masked(padded, rows_B[order], 3).ids_BL[:, :24], whole.ids_BL[order])
    for other in (masking(data, seed=1).masked(ids_BL, rows_B, 3), masking(data).masked(ids_BL, rows_B, 4)):
        assert not torch.equal(other.ids_BL, whole.ids_BL)
    assert not torch.equal(masking(data).masked(ids_BL, rows_B + 8, 3).places_R, whole.places_R)


def test_a_tokenizer_without_a_mask_is_refused(data: Data, tmp_path: Path) -> None:
    content = (word_piece(tmp_path / "model") / "tokenizer.json").read_bytes()
    assert known(content, "it").mask is None and data.text is not None
    with pytest.raises(UsageError, match=r"needs a mask token .* use another one"):
        Masking(replace(data.text, content=content), 0.15, 0)


# The head, and a phase


def phase(architecture: Transformers, teachers: tuple[Network, ...] = (), **changes: Any) -> Stage:
    loss = LossSpec(mlm=MaskedTokens(), cosine=Cosine() if teachers else None)
    given = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "precision": "float32"} | changes
    task = Task(data="0", split=Split())
    return Stage(task=task, architecture=architecture, loss=loss, recipe=Recipe(**given), seed=0, teachers=teachers)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vocabulary": 350, "embedding": 6},
        {"model": "distilbert", "vocabulary": 300},
        {"model": "albert"},
        {"pooling": "mean", "dropout": 0.1},
    ],
    ids=str,
)
def test_a_phase_learns_to_predict_tokens_and_its_state_resumes(data: Data, tmp_path: Path, changes: dict[str, object]) -> None:
    one = phase(encoder(**changes))
    run = Run(Store(tmp_path), one, data, CPU)
    first = run.epoch()
    kept = len(run.loss.head.bias) if run.loss.head is not None else 0
    assert first < np.log(kept) + 0.1
    torch.save(run.state(), tmp_path / "state")
    last = [run.epoch(), run.epoch()][-1]
    assert last < first
    again = Run(Store(tmp_path), one, data, CPU, torch.load(tmp_path / "state", weights_only=True))
    assert [again.epoch(), again.epoch()][-1] == last
    mine, theirs = plain_state(run.network), plain_state(again.network)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert mine.keys() == plain_state(build_for(data, one.architecture)).keys()


def test_the_gradient_reaches_the_encoder_and_its_embeddings_but_not_its_classifier(data: Data, tmp_path: Path) -> None:
    run = Run(Store(tmp_path), phase(encoder(embedding=6)), data, CPU)
    rows_B = run.rows(run.order)[0]
    batch = run.samples.batch(rows_B, 0)
    run.loss(*run.outputs(run.network, rows_B, batch, []), run.targets(batch)).backward()
    without = {name for name, one in run.network.named_parameters() if one.grad is None or not one.grad.any()}
    assert without and all("classifier" in name for name in without)
    body, head = run.network.body, run.loss.head
    assert isinstance(body, Encoder) and head is not None
    unseen = torch.ones(len(body.words), dtype=torch.bool)
    unseen[batch.inputs["input_ids"].unique().long()] = False
    assert body.words.grad is not None and body.words.grad[unseen].any(), "tied to the output"
    assert head.bias.grad is not None and head.dense.out_features == 6


def test_tokens_that_a_smaller_vocabulary_lacks_are_no_targets(data: Data) -> None:
    body = build_for(data, encoder(vocabulary=60)).body
    assert isinstance(body, Encoder)
    rows_V = TokenHead(body).rows_V
    assert len(rows_V) == vocabulary(data) and sorted(rows_V[rows_V >= 0].tolist()) == list(range(60))
    assert torch.equal(body.kept()[rows_V[rows_V >= 0]], (rows_V >= 0).nonzero().flatten())
    assert rows_V[1] == 1  # that of the unknown token, which others share


def test_unlabeled_texts_are_read_and_other_splits_are_not(data: Data, tmp_path: Path) -> None:
    more = replace(data, unlabeled_x=data.validation_x)
    run = Run(Store(tmp_path), phase(encoder(), batch_size=32), more, CPU)
    assert run.steps == 4 and sorted(run.rows(run.order).flatten().tolist()) == list(range(128))
    alone = Run(Store(tmp_path), phase(encoder(), batch_size=32), data, CPU)
    assert alone.steps == 3 and len(alone.samples) == 96


# In a search


def spec_of(folder: Path, pretrain: object = None, **student: Any) -> dict[str, Any]:
    path = folder / "reviews.csv"
    found = document(path if path.exists() else written(folder))
    architecture = {"family": "transformers", "hidden": 16, "heads": 4, "intermediate": 24}
    recipe = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
    found["teacher"] = {"architecture": architecture | {"layers": 2}, "recipe": recipe | {"epochs": 8}}
    loss = {"kd": {"weight": {"choice": [0.4, 0.5, 0.6]}}, "ce": {"weight": "rest"}}
    found["student"] = {"architecture": architecture | {"layers": 1}, "loss": loss, "recipe": recipe} | student
    found["student"] |= {"init": "from_teacher", "pretrain": PHASE if pretrain is None else pretrain}
    return found | {"baselines": []}


def weights(study: Study) -> dict[str, str]:
    """The sha256 of each stored stage's weights."""
    store = study.store
    return {key: store.manifest("stages", key)["files"]["model.safetensors"] for key in store.keys("stages")}


def phases(stages: Stages) -> list[Stage]:
    found = [stages.network(key) for key in stages.store.keys("stages")]
    return [one for one in found if isinstance(one, Stage) and one.pretrains]


def space_of(folder: Path, document: dict[str, Any]) -> Space:
    spec, splits = load_data(parse(document), cuda=False)
    return prepare.space_of(spec, splits, Store(folder / "store"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("whole")
    return search(parse(spec_of(folder)), out=folder / "out", runner="serial")


def students(study: Study) -> list[Stage]:
    found = [study.stages.network(trial.facts.stage) for trial in study.record.trials]
    return [one for one in found if isinstance(one, Stage)]


def test_students_share_a_phase_and_begin_with_its_weights(whole: Study) -> None:
    (first,) = phases(whole.stages)
    assert len({one.key() for one in students(whole)}) == 3 and all(one.init == first for one in students(whole))
    assert first.init == whole.space.teachers[0] and not first.teachers
    data = open_data(whole.store, first.task.data)
    begun = initialized(whole.store, students(whole)[0], data).state_dict()
    stored = load_network(whole.store, first, CPU).state_dict()
    assert all(torch.equal(one, begun[name]) for name, one in stored.items())
    assert label_only(students(whole)[0]).init is None
    assert [whole.space.encode(one) for one in students(whole)] == [trial.params for trial in whole.record.trials]


def test_a_phase_is_no_row_and_its_seconds_are_those_of_the_chain(whole: Study) -> None:
    (first,) = phases(whole.stages)
    teacher, *others = whole.rows()
    assert teacher.role == "teacher" and [row.role for row in others] == ["student"] * 3
    measured = whole.stages.measured(first.key())
    assert not measured.scores and measured.seconds > 0
    for row in others:
        assert row.chain.endswith(" (pretrained)") and row.seconds is not None and teacher.seconds is not None
        assert row.seconds_chain == pytest.approx(row.seconds + measured.seconds + teacher.seconds)
    directory = StudyDirectory(whole.store.root.parent)
    found = explain(directory, others[0].stage)
    assert found.pretrained == first.key() and [link.stage for link in found.chain] == [teacher.stage, others[0].stage]
    assert "student.pretrain=" in found.command and first.key()[:8] in explained(found)
    with pytest.raises(UsageError, match=f"{first.key()[:12]} is a first phase, trained on texts alone"):
        explain(directory, first.key())


@pytest.mark.slow
def test_an_interrupted_search_ends_with_the_same_bytes(whole: Study, tmp_path: Path) -> None:
    ended = Options(until=lambda study: "its first phase is trained" if phases(study.stages) else None)
    first = search(parse(spec_of(tmp_path)), out=tmp_path / "out", runner="serial", options=ended)
    assert len(first.record.trials) == 1 and len(phases(first.stages)) == 1
    parts = search(parse(spec_of(tmp_path)), out=tmp_path / "out", runner="serial")
    assert weights(parts) == weights(whole) and len(weights(whole)) == 5
    assert [trial.values for trial in parts.record.trials] == [trial.values for trial in whole.record.trials]


@pytest.mark.slow
def test_the_command_of_explain_trains_a_student_again(whole: Study, tmp_path: Path) -> None:
    words = shlex.split(explain(StudyDirectory(whole.store.root.parent), students(whole)[1].key()).command)
    sets = [after for word, after in itertools.pairwise(words) if word == "--set"]
    again = search(load(words[2], sets), out=tmp_path / "out", runner="serial")
    assert [one.key() for one in students(again)] == [students(whole)[1].key()]


def test_the_search_decides_whether_there_is_a_phase(tmp_path: Path) -> None:
    loss = {"mlm": {"share": {"uniform": [0.1, 0.3]}}, "cosine": {"weight": 1, "optional": True}}
    space = space_of(tmp_path, spec_of(tmp_path, PHASE | {"loss": loss, "optional": True}))
    low = {path: domain.ends()[0] for path, domain in space.domains.items()}
    assert "pretrain{1}.loss.cosine" in low and "pretrain{1}.loss.mlm.share" in low
    none, alone, taught = (
        space.decode(low | given) for given in ({}, {"pretrain": 1}, {"pretrain": 1, "pretrain{1}.loss.cosine": 1})
    )
    assert none.init == space.teachers[0] and isinstance(alone.init, Stage) and isinstance(taught.init, Stage)
    assert not alone.init.teachers and taught.init.teachers == space.teachers
    for one in (none, alone, taught):
        params = space.encode(one)
        assert params is not None and space.decode(params).key() == one.key()


def test_a_student_without_a_phase_has_the_key_that_it_always_had(tmp_path: Path) -> None:
    loss = LossSpec(mlm=MaskedTokens())
    assert "mlm" in loss.identity() and "mlm" not in LossSpec(cosine=Cosine()).identity()
    document = spec_of(tmp_path)
    del document["student"]["pretrain"]
    assert "pretrain" not in parse(document).document()["student"]


def test_check_counts_the_phase_and_its_time(tmp_path: Path) -> None:
    loss = {"mlm": {}, "cosine": {}}
    with_phase, without = (check(parse(spec_of(tmp_path, given))) for given in (PHASE | {"loss": loss}, {"choice": [None]}))
    assert (with_phase.stages.most, without.stages.most) == (1 + 2 * 3, 1 + 2 * 3)
    assert with_phase.seconds is not None and with_phase.seconds.pretraining_each > 0
    assert without.seconds is not None and without.seconds.pretraining_each == 0


@pytest.mark.slow
def test_assistants_may_have_a_phase_too(tmp_path: Path) -> None:
    document = spec_of(tmp_path)
    document["student"]["architecture"] |= {"hidden": 8, "heads": 2}
    ladder = [{"family": "transformers", "layers": 1, "hidden": 16, "heads": 4, "intermediate": 24}]
    document["assistants"] = {"at_most": 1, "at_least": 1, "ladder": ladder, "init": "from_teacher", "pretrain": PHASE}
    document["assistants"] |= {"loss": {"kd": {}}, "recipe": document["student"]["recipe"]}
    document["search"]["trials"] = 1
    study = search(parse(document), out=tmp_path / "out", runner="serial")
    student = study.stages.network(study.record.trials[0].facts.stage)
    assert isinstance(student, Stage)
    assert len(phases(study.stages)) == 2 and [row.role for row in study.rows()] == ["teacher", "assistant", "student"]
    (assistant,) = student.teachers
    assert isinstance(assistant, Stage) and isinstance(assistant.init, Stage) and assistant.init.pretrains
    assert study.space.encode(student) == study.record.trials[0].params


@pytest.mark.slow
def test_confirm_trains_a_phase_for_each_fresh_seed(whole: Study, tmp_path: Path) -> None:
    shutil.copytree(whole.store.root.parent, tmp_path / "out")
    before = {one.seed for one in phases(whole.stages)}
    found = confirm(StudyDirectory(tmp_path / "out"), seeds=2, runner="serial")
    with open_study(StudyDirectory(tmp_path / "out")) as study:
        fresh = phases(study.stages)
    assert found.members and {one.seed for one in fresh} - before == {FRESH, FRESH + 1} and len(fresh) == 3


@pytest.mark.slow
def test_a_chain_has_a_phase_before_the_student_and_before_its_assistants(tmp_path: Path) -> None:
    document = spec_of(tmp_path)
    document["student"]["architecture"] |= {"hidden": 8, "heads": 2}
    ladder = [{"family": "transformers", "layers": 1, "hidden": 16, "heads": 4, "intermediate": 24}]
    document["assistants"] = {"at_most": 1, "ladder": ladder, "init": "from_teacher", "pretrain": PHASE, "loss": {"kd": {}}}
    document["assistants"] |= {"recipe": document["student"]["recipe"]}
    spec, out = parse(document), tmp_path / "out"
    home = Home.of(spec, "hidden=8", out=str(out))
    found = api.chain(spec, student="hidden=8", home=home, runner="serial", seeds=1)
    for row in found.candidates:
        networks = 1 + len(row.path)
        assert row.stages == (1 if row.kind == "labels" else 2 * networks), row


# Wrong specs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"ce": {}, "mlm": {}}}, r"student\.loss\.mlm: .* move it to pretrain\.loss"),
        ({"pretrain": PHASE | {"loss": {"cosine": {}}}}, r"student\.pretrain\.loss: has no mlm, .* add mlm"),
        ({"pretrain": PHASE | {"loss": {"mlm": {}, "kd": {}}}}, r"student\.pretrain\.loss\.kd: kd needs a classifier"),
        ({"pretrain": PHASE | {"loss": {"mlm": {"share": 1}}}}, r"student\.pretrain\.loss\.mlm\.share: 1 is invalid"),
        ({"pretrain": PHASE | {"optional": "yes"}}, r"student\.pretrain\.optional: 'yes' is invalid: use true or false"),
        ({"pretrain": {"loss": {"mlm": {}}}}, r"student\.pretrain\.recipe: is missing"),
        ({"pretrain": PHASE | {"epochs": 3}}, r"student\.pretrain\.epochs: .* it belongs at student\.pretrain\.recipe\.epochs"),
    ],
    ids=str,
)
def test_a_wrong_phase_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    document = spec_of(tmp_path)
    document["student"] |= changes
    with pytest.raises(SpecError, match=message):
        parse(document)


def test_data_and_networks_without_tokens_are_refused(tmp_path: Path) -> None:
    model = word_piece(tmp_path / "model")
    document = spec_of(tmp_path)
    document["task"]["tokenizer"] = str(model)
    with pytest.raises(UsageError, match=r"student\.pretrain: mlm needs a mask token"):
        check(parse(document), timed=False)
    document = spec_of(tmp_path)
    document["student"] |= {"architecture": {"import": "tests.textual:bag", "width": 4}, "init": "random"}
    with pytest.raises(UsageError, match=r"student\.pretrain\.loss: .* cannot predict tokens; use family transformers"):
        check(parse(document), timed=False)


def test_samples_that_are_no_texts_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .conftest import DOCUMENT

    monkeypatch.chdir(folder)
    document = DOCUMENT | {"student": DOCUMENT["student"] | {"pretrain": PHASE}}
    with pytest.raises(UsageError, match=r"student\.pretrain: it learns from texts, not from samples of"):
        check(parse(document), timed=False)
