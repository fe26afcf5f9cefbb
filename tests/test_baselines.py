"""Reference models beside the students: gradient-boosted trees of scikit-learn. They are shown, and never an answer."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss, root_mean_squared_error
from threadpoolctl import threadpool_limits

import autodistill
from autodistill.answers import Wanted
from autodistill.answers.smallest import smallest
from autodistill.data import Columns, Splits, inputs_of
from autodistill.distill import open_data, references, save_data
from autodistill.distill.boosting import BINS, SURE, WIDEST, Trees, columns_of
from autodistill.distill.references import fitted, make_reference, reference_key, refuse_unsuited
from autodistill.metrics import latency
from autodistill.reporting.page import html
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.plots import frontier_figure
from autodistill.reporting.page.study import read_study
from autodistill.reporting.terminal import confirmed_table, frontier_table
from autodistill.spec import Spec, SpecError, UsageError, parse
from autodistill.spec.document import ReferenceName
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data
from autodistill.study.record.directory import comparable
from autodistill.study.record.ledger import openings

from .conftest import DOCUMENT, blobs
from .tabular import customers, splits_of, written

TREES: ReferenceName = "hist_gradient_boosting"
LABEL = "gradient-boosted trees"
FEW = {"assistants__at_most": 0, "search__trials": 2}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    with threadpool_limits(1):  # with more threads than idle cores, scikit-learn's own fits take seconds
        yield


@pytest.fixture
def made(tiny: Callable[..., Spec]) -> Callable[..., Spec]:
    """Makes a small spec with trees, unless `baselines` says otherwise."""

    def make(**changes: Any) -> Spec:
        return tiny(**{**FEW, "baselines": [TREES], **changes})

    return make


class Made(NamedTuple):
    """A spec with trees, the directory of its study, and what the search said."""

    spec: Spec
    out: Path
    said: str


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root, document = tmp_path_factory.mktemp("trees"), copy.deepcopy(DOCUMENT)
    np.savez(root / "data.npz", **blobs())
    document["task"]["dataset"], document["search"]["trials"] = str(root / "data.npz"), 2
    spec = parse(document | {"assistants": {"at_most": 0}, "baselines": [TREES]})
    return Made(spec, root / "out", searched(spec, root / "out")[1])


@pytest.fixture
def once(original: Made, tmp_path: Path) -> Made:
    """A copy of one finished study, for tests that change nothing about its search."""
    return original._replace(out=shutil.copytree(original.out, tmp_path / "out"))


def searched(spec: Spec, out: Path) -> tuple[autodistill.Study, str]:
    """The study, and what its search says."""
    console = Console(width=200, record=True, file=io.StringIO())
    study = autodistill.search(spec, out=out, runner="serial", console=console)
    return study, console.export_text()


def text_of(table: Any) -> str:
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def confirmed(out: Path, **options: Any) -> Any:
    return autodistill.open(out).confirm(seeds=0, runner="serial", console=Console(quiet=True), **options)


def logits_of(model: Trees, x: Columns) -> Any:
    return model.predict(model.prepared(x))


def data_of(splits: Splits, folder: Path) -> Any:
    store = Store(folder / "store").open()
    save_data(store, splits)
    return open_data(store, splits.fingerprint)


# The spec


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        (["xgboost"], "baselines[0]", "hist_gradient_boosting"),
        (TREES, "baselines", "a list"),
        ([TREES, TREES], "baselines[1]", "is already listed; remove it"),
    ],
)
def test_other_models_are_refused(given: Any, path: str, words: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(DOCUMENT | {"baselines": given})
    (problem,) = raised.value.problems
    assert problem.path == path and words in problem.message


def test_images_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    document = DOCUMENT | {"task": {"dataset": "sklearn/digits"}, "baselines": [TREES]}
    with pytest.raises(
        UsageError, match=r"baselines: .* takes tables and vectors, .* not samples of shape \(1, 8, 8\); remove it"
    ):
        autodistill.search(parse(document), out=tmp_path / "out", runner="serial")
    assert not (tmp_path / "out" / "study.db").exists()


def test_very_wide_samples_are_refused() -> None:
    for width in (WIDEST, WIDEST + 1):
        inputs = inputs_of([Columns({"x": np.zeros((2, width), np.float32)})])
        if width > WIDEST:
            with pytest.raises(UsageError, match="at most 2,000 columns, not of 2,001"):
                refuse_unsuited(TREES, inputs)
        else:
            refuse_unsuited(TREES, inputs)


def test_a_finished_study_gets_one_without_training_anything_again(once: Made) -> None:
    spec, drawn = once.spec, once.out / "frontier.json"
    without, stages = spec.model_copy(update={"baselines": ()}), [row.stage for row in autodistill.open(once.out).rows()]
    assert comparable(without) == comparable(spec), "it is the same study"
    study, said = searched(without, once.out)
    assert not study.summary().references and "reference model" not in said
    assert study.spec.baselines == () and json.loads(drawn.read_text())["references"] == []
    shutil.rmtree(once.out / "store" / "references")
    study, said = searched(spec, once.out)
    assert study.run is not None and study.run.trained == 0 and f"fitting {LABEL}" in said
    assert [row.stage for row in study.rows()] == stages
    assert study.spec.baselines == (TREES,) and json.loads(drawn.read_text())["references"][0]["name"] == TREES


# What is measured


def test_classes_have_the_score_of_scikit_learns_own_fit(once: Made) -> None:
    study = autodistill.open(once.out)
    _, splits = load_data(once.spec, cuda=False)
    own = HistGradientBoostingClassifier(random_state=0).fit(splits.train.x["x"], splits.train.y)
    (found,) = study.summary().references
    x, y = splits.validation.x["x"], splits.validation.y
    assert found.score.value == own.score(x, y)
    assert found.reference.scores["log_loss"].value == pytest.approx(log_loss(y, own.predict_proba(x)))
    assert found.score.low < found.score.value < found.score.high and found.score.n == len(y)
    assert found.reference.library.startswith("scikit-learn ")
    assert found.reference.bytes > 10_000 and found.reference.seconds > 0


@pytest.mark.parametrize("kind", ["binary", "regression", "multilabel"])
def test_labels_and_values_have_a_model_each(kind: str, tiny: Callable[..., Spec], tmp_path: Path) -> None:
    known = blobs()
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(known["x"]), 2))
    y = known["x"][:, :2] * 3 + noise
    if kind != "regression":
        y = (y > 0).astype(np.int64) if kind == "multilabel" else (y[:, 0] > 0).astype(np.int64)
    np.savez(tmp_path / "data.npz", x=known["x"], y=y.astype(np.float32) if kind == "regression" else y)
    loss = {"mse": {"weight": 1}} if kind == "regression" else {"ce": {"weight": 1}}
    _, splits = load_data(tiny(student__loss=loss, assistants={"at_most": 0}), cuda=False)
    data = data_of(splits, tmp_path)
    trees, found = fitted(data, TREES)
    x, truth = splits.validation.x["x"], splits.validation.y
    if kind == "regression":
        each = [HistGradientBoostingRegressor(random_state=0).fit(splits.train.x["x"], one) for one in splits.train.y.T]
        said = np.stack([one.predict(x) for one in each], 1)
        assert np.array_equal(logits_of(trees, splits.validation.x), said)
        assert found.scores["rmse"].value == pytest.approx(root_mean_squared_error(truth, said))
    elif kind == "multilabel":
        each = [HistGradientBoostingClassifier(random_state=0).fit(splits.train.x["x"], one) for one in splits.train.y.T]
        said = np.stack([one.predict(x) for one in each], 1)
        assert np.array_equal(logits_of(trees, splits.validation.x) > 0, said > 0)
        assert "f1_micro" in found.scores
    else:
        own = HistGradientBoostingClassifier(random_state=0).fit(splits.train.x["x"], splits.train.y)
        shares = np.exp(logits_of(trees, splits.validation.x))
        assert shares == pytest.approx(own.predict_proba(x)) and found.scores["accuracy"].value == own.score(x, truth)


def test_a_table_has_categories_and_gaps_for_trees(tmp_path: Path) -> None:
    frame = customers()
    splits = splits_of(written(tmp_path, frame))
    data = data_of(splits, tmp_path)
    x_ND = columns_of(data.train_x, data.encoding)
    names = [column.name for column in splits.encoding.columns]
    categories = [column.name for column in splits.encoding.columns if column.kind == "category"]
    assert x_ND.shape[1] == len(names), "no masks: trees take NaN"
    measured = [name for name in names if name not in categories]
    gaps = dict(zip([*categories, *measured], np.isnan(x_ND).mean(axis=0), strict=True))
    assert gaps["price"] > 0.05 and not any(share for name, share in gaps.items() if name != "price")
    (model,) = Trees.fit(data).models
    assert model.is_categorical_.tolist() == [name in categories for name in [*categories, *measured]]
    trees, found = fitted(data, TREES)
    assert found.scores["accuracy"].value > 0.6
    assert logits_of(trees, data.validation_x).shape == (len(splits.validation), 2)


def test_a_category_with_many_values_is_a_number(tmp_path: Path) -> None:
    frame = customers(rows=2400)
    frame["store"] = [f"s{number % 280}" for number in range(len(frame))]
    splits = splits_of(written(tmp_path, frame))
    assert splits.encoding is not None and max(splits.encoding.values) > BINS
    (model,) = Trees.fit(data_of(splits, tmp_path)).models
    categories = [column for column in splits.encoding.columns if column.kind == "category"]
    flags = [column.values <= BINS for column in categories]
    assert model.is_categorical_[: len(flags)].tolist() == flags and not all(flags)


def test_what_training_samples_never_vary_in_needs_no_model(tmp_path: Path, tiny: Callable[..., Spec]) -> None:
    _, splits = load_data(tiny(), cuda=False)
    data, n = data_of(splits, tmp_path), len(splits.train)
    labels = np.stack([np.ones(n), splits.train.y % 2, np.zeros(n)], 1).astype(np.int64)
    trees = Trees.fit(replace(data, train_y=labels, kind="multilabel", classes=3))
    logits = logits_of(trees, splits.validation.x)
    assert (logits[:, 0] == SURE).all() and (logits[:, 2] == -SURE).all() and np.unique(logits[:, 1]).size > 2
    values = Trees.fit(replace(data, train_y=np.full((n, 1), 2.5, np.float32), kind="regression", classes=1))
    assert (logits_of(values, splits.validation.x) == 2.5).all()
    known = splits.train.y > 0
    few = replace(data, train_x=data.train_x.take(np.flatnonzero(known)), train_y=splits.train.y[known])
    shares = np.exp(logits_of(Trees.fit(few), splits.validation.x))
    assert shares.sum(axis=1) == pytest.approx(1) and shares.shape[1] == 4
    assert (shares[:, 0] < 1e-15).all(), "no training sample has that class"


def test_only_labeled_samples_are_fitted(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    _, splits = load_data(tiny(task__labeled=0.25), cuda=False)
    assert splits.unlabeled is not None
    own = HistGradientBoostingClassifier(random_state=0).fit(splits.train.x["x"], splits.train.y)
    trees = Trees.fit(data_of(splits, tmp_path))
    assert logits_of(trees, splits.validation.x).argmax(1).tolist() == own.predict(splits.validation.x["x"]).tolist()


# What is stored


def test_a_search_that_resumes_does_not_fit_again(once: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    study, said = autodistill.open(once.out), once.said
    assert said.count(f"fitting {LABEL}") == 1
    monkeypatch.setattr(Trees, "fit", None)
    again, said = searched(once.spec, once.out)
    assert "fitting" not in said and "nothing to do" in said
    assert again.summary().references == study.summary().references
    files = [path for path in (once.out / "store" / "references").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["reference.json"], "nothing that would have to be unpickled"


def test_a_damaged_result_is_not_believed_and_fitted_again(once: Made) -> None:
    study = autodistill.open(once.out)
    before = study.summary().references
    (path,) = (once.out / "store" / "references").rglob("reference.json")
    path.write_text(re.sub(r'"value": [\d.]+', '"value": 0.999', path.read_text()))
    seen = autodistill.open(once.out).summary()
    assert not seen.references and any("is not fitted yet; to fit it, run the search again" in line for line in seen.remarks())
    again, said = searched(once.spec, once.out)
    assert f"fitting {LABEL}" in said
    assert [one.score for one in again.summary().references] == [one.score for one in before]


def test_the_key_depends_on_data_library_and_your_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {reference_key(TREES, "a"), reference_key(TREES, "b"), reference_key(TREES, "a", ("mine",))}
    monkeypatch.setattr(references, "library", lambda: "scikit-learn 0.1")
    assert len({*keys, reference_key(TREES, "a")}) == 4


def test_a_model_that_cannot_be_fitted_does_not_end_the_search(once: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Any) -> None:
        raise MemoryError("too many rows")

    shutil.rmtree(once.out / "store" / "references")
    with monkeypatch.context() as patched:
        patched.setattr(Trees, "fit", fails)
        study, said = searched(once.spec, once.out)
        assert "cannot be fitted: MemoryError: too many rows; the search continues without it" in said
        assert sum(study.summary().trials) == 2 and not study.summary().references
        found = confirmed(once.out)
        assert found.references == () and found.members
    study, _ = searched(once.spec, once.out)
    assert study.summary().references, "it is fitted once it can be"
    assert [one.name for one in confirmed(once.out).references] == [TREES], "the first opening was for it, too"


# What is shown


def test_it_is_shown_everywhere_and_never_on_the_frontier(once: Made) -> None:
    study = autodistill.open(once.out)
    found = study.summary()
    (trees,) = found.references
    value = trees.metric.text(trees.score.value)
    assert re.search(rf"{value} .*reference model .*{LABEL}, {trees.reference.bytes:,} bytes", text_of(frontier_table(found)))
    (line,) = [line for line in found.remarks() if line.startswith("reference model")]
    assert value in line and f"{trees.reference.bytes:,} bytes" in line
    assert not any(LABEL in row.architecture for row in study.rows())
    document = json.loads((once.out / "frontier.json").read_text())
    (shown,) = document["references"]
    assert shown["accuracy"] == trees.score.value and shown["bytes"] == trees.reference.bytes
    assert TREES not in json.dumps(document["frontier"])
    assert LABEL in (once.out / "frontier.svg").read_text() or "<defs>" in (once.out / "frontier.svg").read_text()
    seen = read_study(once.out)
    page = html(seen, answer(seen, Wanted()))
    assert "Reference models" in page and LABEL in page and f"{trees.reference.bytes:,}" in page
    levels = frontier_figure(seen, None).levels
    assert [(one.text, one.value) for one in levels if LABEL in one.text] == [(f"{LABEL}, validation", 100 * trees.score.value)]


def test_confirm_measures_it_on_the_test_samples_and_it_is_no_answer(once: Made) -> None:
    found = confirmed(once.out)
    (trees,) = found.references
    _, splits = load_data(once.spec, cuda=False)
    test = splits.test.unseal()
    own = HistGradientBoostingClassifier(random_state=0).fit(splits.train.x["x"], splits.train.y)
    assert trees.on_test.value == own.score(test.x["x"], test.y) and trees.on_test.n == len(test)
    assert trees.on_test.low < trees.on_test.high and trees.test.agreement is not None
    assert 0 < trees.latency.one.p50_ms <= trees.latency.one.p95_ms and trees.latency.batched.batch == 64
    assert confirmed(once.out).references == found.references, "read from confirm.json"
    table = text_of(confirmed_table(found))
    assert re.search(rf"{trees.on_test.value:.1%} .*reference model: {LABEL}", table)
    assert all(LABEL not in one.architecture for one in found.members)
    claim = smallest(found, Wanted(metric="accuracy", target=0.5, params=10**9))
    assert {one.member.chosen for one in claim.tested} <= {one.chosen for one in found.members}
    seen = read_study(once.out)
    page = html(seen, answer(seen, Wanted()))
    assert f"{trees.on_test.value:.1%}" in page and "measured on the same test samples" in page
    assert f"{LABEL}, test" in [one.text for one in frontier_figure(seen, None).levels]


@pytest.mark.slow
def test_one_that_is_added_after_the_test_split_was_opened_needs_force(made: Callable[..., Spec], tmp_path: Path) -> None:
    out = tmp_path / "out"
    searched(made(baselines=[]), out)
    first = confirmed(out)
    searched(made(), out)
    console = Console(width=300, record=True, file=io.StringIO())
    again = autodistill.open(out).confirm(seeds=0, runner="serial", console=console)
    assert again.as_json() == first.as_json() and not again.references
    assert f"the reference model {TREES} has no test score" in console.export_text()
    assert len(openings(out)) == 1
    seen = read_study(out)
    assert "not tested" in html(seen, answer(seen, Wanted()))
    (out / "confirm.json").unlink()
    assert not confirmed(out).references, "the same opening once more"
    forced = confirmed(out, force=True)
    assert [one.name for one in forced.references] == [TREES] and forced.forced == 1
    assert len(openings(out)) == 2


def test_make_reference_reads_what_is_stored(once: Made) -> None:
    store = Store(once.out / "store")
    _, splits = load_data(once.spec, cuda=False)
    before = store.manifest("references", reference_key(TREES, splits.fingerprint))
    assert store.manifest("references", make_reference(store, TREES, splits.fingerprint)) == before
