"""Drafts of specs: they are accepted and searched, and they say what was guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autodistill
from autodistill.api.draft import drafted
from autodistill.cli import main
from autodistill.spec import UsageError, load
from autodistill.spec.task import AllExcept

from .conftest import blobs
from .tabular import customers
from .textual import reviews, word_piece, written


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pictures(folder: Path, sides: tuple[int, ...] = (8,)) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        side = sides[number % len(sides)]
        place = folder / ("light" if number % 2 else "dark")
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(100 * (number % 2), 100 + 100 * (number % 2), (side, side, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")


def test_a_draft_of_arrays_is_searched(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("my blobs.npz", **blobs())
    assert main(["init", "my blobs.npz", "--target", "accuracy=0.5"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("wrote my_blobs.yaml: 192 training, 64 validation and 64 test samples of shape (12,), 4 classes\n")
    assert "the teacher, of family mlp, is trained first" in said and "next: autodistill search my_blobs.yaml" in said
    spec = load("my_blobs.yaml")
    assert spec.search.target == 0.5 and spec.study == "my_blobs"
    assert main(["search", "my_blobs.yaml", "--runner", "serial", "--set", "search.trials=2"]) == 0


def test_a_draft_replaces_nothing_unless_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("blobs.npz", **blobs())
    Path("blobs.yaml").write_text("mine")
    assert main(["init", "blobs.npz"]) == 2
    assert "blobs.yaml exists; give another file with --to, or --force" in capsys.readouterr().err
    assert Path("blobs.yaml").read_text() == "mine"
    assert main(["init", "blobs.npz", "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spec"] == "blobs.yaml" and found["check"]["data"]["classes"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(("sides", "size"), [((8,), None), ((9, 12), 9), ((80,), 64)])
def test_a_draft_of_an_image_folder(sides: tuple[int, ...], size: int | None) -> None:
    pictures(Path("images"), sides)
    found = autodistill.init("images")
    spec = load(found.path)
    assert spec.task.dataset == f"folder/{Path('images').absolute()}" and spec.task.image_size == size
    assert any("pixels are resized to" in one for one in found.guesses) == (size is not None)
    assert spec.teacher.architecture is not None and found.preflight.data.classes == 2


def test_a_draft_of_a_folder_of_arrays_and_of_one_of_save_to_disk() -> None:
    Path("arrays").mkdir()
    for name, array in blobs().items():
        np.save(f"arrays/{name}.npy", array)
    assert str(load(autodistill.init("arrays").path).task.dataset).startswith("npy/")
    datasets = pytest.importorskip("datasets")
    data = blobs()
    datasets.Dataset.from_dict({"x": data["x"].tolist(), "label": data["y"].tolist()}).save_to_disk("saved")
    assert str(load(autodistill.init("saved").path).task.dataset).startswith("hfds/")


def test_skewed_classes_get_a_metric_that_notices() -> None:
    data = blobs()
    np.savez("skewed.npz", x=data["x"], y=(data["y"] == 0) & (np.arange(320) < 160))
    found = autodistill.init("skewed.npz")
    assert load(found.path).task.metric == "balanced_accuracy" and any(
        "of the samples have one class" in one for one in found.guesses
    )


@pytest.mark.parametrize(
    ("kind", "metric", "line"),
    [("classification", "accuracy", "kind: classification"), ("regression", "rmse", "kind: regression")],
)
def test_the_kind_of_a_task_may_be_given(kind: str, metric: str, line: str) -> None:
    """Floats that are few whole numbers may be either, so that no guess is made."""
    data = blobs()
    np.savez("grades.npz", x=data["x"], y=data["y"].astype(np.float32))
    assert main(["init", "grades.npz"]) == 2
    assert main(["init", "grades.npz", "--kind", kind]) == 0
    assert load("grades.yaml").task.measure == metric and Path("grades.yaml").read_text().count(line) == 1


def test_a_wrong_guess_of_the_kind_names_the_option() -> None:
    Path("people.csv").write_text(TABLE.replace("height", "level"))
    found = autodistill.init("people.csv", label="level")
    assert any("a regression task (--kind names another)" in one for one in found.guesses)
    again = autodistill.init("people.csv", label="age", kind="regression", force=True)
    assert load(again.path).task.kind == "regression" and not any("--kind" in one for one in again.guesses)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no file": ({"data": "no.npz"}, "is not a file"),
    "a label for arrays": ({"label": "y"}, "--label y names a column of a table"),
    "weights alone": ({"teacher": "net.pth"}, "holds only weights, not their network"),
    "a teacher that is nothing": ({"teacher": "resnet_of_mine"}, "give package.module:function"),
    "an unknown kind": ({"kind": "clasification"}, "did you mean 'classification'"),
    "a kind for known classes": ({"data": "sklearn/digits", "kind": "regression"}, "kind: regression applies to arrays"),
    "an unknown data set": ({"data": "digits"}, "'digits' is not a known data set; did you mean 'sklearn/digits'"),
    "a wrong metric": ({"target": ("acuracy", 0.9)}, "acuracy"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_drafted_is_said_and_nothing_is_written(name: str) -> None:
    np.savez("blobs.npz", **blobs())
    given, words = WRONG[name]
    with pytest.raises(UsageError, match=words):
        autodistill.init(**{"data": "blobs.npz", **given})
    assert not list(Path().glob("*.yaml"))


@pytest.mark.slow
def test_a_draft_takes_an_imported_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("blobs.npz", **blobs())
    Path("drafted_teacher.py").write_text("import torch\n\n\ndef linear():\n    return torch.nn.Linear(12, 4)\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = autodistill.init("blobs.npz", teacher="drafted_teacher:linear")
    assert load(found.path).teacher.factory == "drafted_teacher:linear" and found.preflight.teachers[0].params == 52


TABLE = "age;plan;height;gone\n" + "\n".join(
    f"{n % 7};{'ab'[n % 2]};{n * 0.37:.2f};{('no', 'yes')[n % 3 == 0]}" for n in range(200)
)


@pytest.mark.parametrize(("label", "kind", "metric"), [(None, "classification", "accuracy"), ("height", "regression", "rmse")])
def test_a_draft_of_a_table(label: str | None, kind: str, metric: str) -> None:
    Path("people.csv").write_text(TABLE)
    found = autodistill.init("people.csv", label=label)
    spec = load(found.path)
    assert (spec.task.label, spec.task.separator) == (label or "gone", ";") and spec.task.measure == metric
    assert found.preflight.data.kind == kind and "embedding" in found.path.read_text()
    assert ("mse" in found.path.read_text()) == (kind == "regression")
    many = "1 value" if kind == "regression" else "2 classes"
    assert found.lines()[0].endswith(f", {many}") and f", {many}\n" in found.path.read_text()


def test_a_draft_leaves_out_the_columns_that_check_would_warn_about() -> None:
    ids = customers().assign(**{"id: #1": [f"c{row}" for row in range(240)], "country": "NZ"})
    ids[["id: #1", "country", *customers().columns]].to_csv("churn.csv", index=False)
    found = autodistill.init("churn.csv")
    features = load(found.path).task.features
    assert isinstance(features, AllExcept) and features.names == ("country", "id: #1")
    assert '"id: #1"   # it has a different value in almost every row, like an ID' in found.path.read_text()
    assert "networks do not read the column 'country': it has the same value in all training rows" in " ".join(found.guesses)
    assert not [text for text in found.preflight.cautions if "column" in text]
    left = {field.name for field in found.preflight.data.table.columns} if found.preflight.data.table else set()
    assert left == {*customers().columns} - {"churned"}


def test_a_draft_keeps_a_column_like_an_id_if_there_is_no_other() -> None:
    customers()[["churned"]].assign(id=range(240)).to_csv("churn.csv", index=False)
    found = autodistill.init("churn.csv", label="churned")
    assert load(found.path).task.features is None and any("like an ID" in text for text in found.preflight.cautions)


@pytest.mark.parametrize("label", ["0", "True", "NULL", ".5", "~", "no", "# of", "1e3", 'a "b"'])
def test_any_name_of_a_column_may_be_drafted(label: str) -> None:
    """Some names are numbers, booleans or nothing in YAML."""
    pandas = pytest.importorskip("pandas")
    data = blobs(classes=2)
    pandas.DataFrame({"a": data["x"][:, 0], label: data["y"]}).to_csv("table.csv", index=False)
    autodistill.init("table.csv", label=label)
    assert load("table.yaml").task.label == label


def test_a_draft_of_several_labels() -> None:
    x = blobs()["x"]
    np.savez("marks.npz", x=x, y=(x[:, :3] > 0).astype(int))
    found = autodistill.init("marks.npz")
    assert load(found.path).task.metric == "f1_micro" and "3 labels" in found.lines()[0]


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.parquet"])
def test_a_draft_of_texts(name: str) -> None:
    pytest.importorskip("transformers")
    written(Path(), reviews()[["topic", "review"]], name)
    found = autodistill.init(name)
    spec, student = load(found.path), load(found.path).student
    assert spec.task.text == ("review",) and spec.task.label == "topic" and spec.references == ("tf_idf_linear",)
    assert "networks read 'review' alone, because it holds texts" in found.guesses
    assert found.preflight.data.text is not None
    vocabulary = found.preflight.data.text.vocabulary
    assert f"vocabulary: {{choice: [full, {vocabulary // 2}]}}" in found.path.read_text()
    assert isinstance(student.architecture, dict) and student.architecture["family"] == "transformers"


def test_a_draft_of_pairs_of_texts_and_a_teacher_in_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16, "vocab_size": 10}
    config = transformers.BertConfig(**sizes, max_position_embeddings=64)
    transformers.BertModel(config).save_pretrained(word_piece(tmp_path / "model"))
    frame = reviews().assign(answer=reviews(seed=1)["review"])[["review", "stars", "answer"]]
    written(Path(), frame)
    found = autodistill.init("reviews.csv", label="stars", kind="regression", teacher=str(tmp_path / "model"))
    spec = load(found.path)
    assert spec.task.text == ("review", "answer") and spec.task.tokenizer == str(tmp_path / "model")
    assert spec.teacher.checkpoint == str(tmp_path / "model") and spec.task.kind == "regression"
    assert found.preflight.data.text is not None and found.preflight.data.text.vocabulary == 10
    shape = "layers: 1, heads: {choice: [1, 2]}, head_width: 8, intermediate: 16, vocabulary:"
    assert spec.student.init == "from_teacher" and shape in found.path.read_text()


@pytest.mark.parametrize(
    ("model", "sizes", "more"),
    [("Bert", {}, ""), ("Roberta", {}, "model: roberta, "), ("Electra", {"embedding_size": 16}, "model: electra, ")],
)
def test_students_of_a_drafted_spec_have_heads_of_the_teachers_width(
    tmp_path: Path, model: str, sizes: dict[str, int], more: str
) -> None:
    checkpoint(tmp_path / "model", model, **sizes)
    written(Path(), reviews()[["review", "topic"]])
    text = drafted("reviews.csv", label=None, kind=None, teacher=str(tmp_path / "model"), target=None).text
    shape = f"layers: {{int: [1, 2]}}, heads: {{choice: [1, 2, 4]}}, head_width: 4, {more}vocabulary:"
    assert "\n  init: from_teacher" in text and shape in text


@pytest.mark.parametrize(("model", "sizes"), [("Electra", {"embedding_size": 8}), ("Albert", {})])
def test_students_begin_at_random_where_they_cannot_take_the_teachers_weights(
    tmp_path: Path, model: str, sizes: dict[str, int]
) -> None:
    checkpoint(tmp_path / "model", model, **sizes)
    written(Path(), reviews()[["review", "topic"]])
    text = drafted("reviews.csv", label=None, kind=None, teacher=str(tmp_path / "model"), target=None).text
    assert "init:" not in text and "head_width: 16" in text


def checkpoint(folder: Path, model: str, **sizes: int) -> None:
    """Of 4 layers and 4 heads of width 4."""
    transformers = pytest.importorskip("transformers")
    usual = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 4, "intermediate_size": 64, "vocab_size": 10}
    config = getattr(transformers, f"{model}Config")(**usual | sizes, max_position_embeddings=160, pad_token_id=0)
    getattr(transformers, f"{model}Model")(config).save_pretrained(word_piece(folder))


def test_names_and_numbers_are_no_texts() -> None:
    names = [f"Street of the Number {row}" for row in range(60)]
    pandas = pytest.importorskip("pandas")
    said = ["this is one of two sentences here", "and this is the other one of two"] * 30
    frame = pandas.DataFrame({"place": names, "said": said, "age": range(60), "y": [0, 1] * 30})
    frame.to_csv("people.csv", index=False)
    assert load(autodistill.init("people.csv").path).task.text is None


def test_the_index_of_a_parquet_file_is_not_guessed_to_be_the_label() -> None:
    customers().assign(number=range(240)).set_index("number").to_parquet("churn.parquet")
    assert main(["init", "churn.parquet"]) == 0
    assert load("churn.yaml").task.label == "churned"
