"""Networks for rows of a table: embeddings, sizes, a whole study, an export that takes raw rows, and `predict`."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from autodistill import api, spec
from autodistill.answers import Wanted
from autodistill.answers.confirm import read
from autodistill.cli import main
from autodistill.data import InputField, InputSpec
from autodistill.distill import load_network, open_data
from autodistill.distill.predictions import evaluate
from autodistill.exporting import export
from autodistill.metrics import latency
from autodistill.models import build, inherit
from autodistill.models.sizes import layers, sizes
from autodistill.models.tables import width_of
from autodistill.reporting.checked import checked
from autodistill.reporting.page import html
from autodistill.reporting.page.answer import answer
from autodistill.reporting.page.plots import frontier_figure
from autodistill.reporting.page.study import read_study
from autodistill.reporting.terminal import confirmed_table, frontier_table
from autodistill.spec import MLP, ConvNet, DataError, MobileNet, ResNet, Spec, UsageError
from autodistill.store import Store
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.rows import network_of

from .conftest import DOCUMENT
from .searching import search
from .tabular import customers, written

ROWS = InputSpec(
    fields=(
        InputField(name="categories", shape=(2,), dtype="int64", values=(4, 30)),
        InputField(name="numbers", shape=(5,)),
    )
)


# Networks


def test_widths_of_embeddings_are_those_of_fastai() -> None:
    assert [width_of(values, None) for values in (1, 2, 3, 10, 100, 100_000)] == [2, 2, 3, 6, 21, 600]
    assert width_of(100, 4) == 4


def test_sizes_count_the_embeddings() -> None:
    network = MLP(depth=1, width=7)
    vector = width_of(4, None) + width_of(30, None) + 5
    embeddings = 4 * width_of(4, None) + 30 * width_of(30, None)
    found = sizes(network, ROWS, 3)
    assert found.core_params == found.params - embeddings
    assert (found.params, found.macs) == (embeddings + (vector + 1) * 7 + 8 * 3, vector * 7 + 7 * 3)
    assert sizes(MLP(depth=1, width=7, embedding=1), ROWS, 3).params == 34 + 8 * 7 + 8 * 3
    built = build(network, inputs=ROWS, classes=3)
    assert found.params == sum(one.numel() for one in built.parameters())
    assert found.bytes == 4 * found.params


@pytest.mark.parametrize("architecture", [MLP(depth=2, width=6), ResNet(depth=1, width=2), ConvNet(depth=2, width=3)])
def test_families_for_vectors_take_rows(architecture: Any) -> None:
    network = build(architecture, inputs=ROWS, classes=3).eval()
    batch = {"categories": torch.tensor([[3, 29], [0, 0]]), "numbers": torch.randn(2, 5)}
    found = network(batch, list(layers(architecture, ROWS, 3).layers))
    assert found.logits.shape == (2, 3) and found.features
    assert {name: part.shape[1:] for name, part in found.features.items()} == dict(layers(architecture, ROWS, 3).layers)
    only = InputSpec(fields=ROWS.fields[:1])
    assert build(architecture, inputs=only, classes=3)({"categories": batch["categories"]}).logits.shape == (2, 3)


def test_families_for_images_refuse_rows() -> None:
    with pytest.raises(UsageError, match="mobilenet takes images .* use family resnet, convnet, or mlp"):
        sizes(MobileNet(depth=1, width=4), ROWS, 3)


def test_an_unknown_word_adds_nothing_before_training() -> None:
    network = build(MLP(depth=1, width=4), inputs=ROWS, classes=3)
    numbers = torch.randn(1, 5)
    unknown = network({"categories": torch.zeros(1, 2, dtype=torch.int64), "numbers": numbers}).logits
    inner: Any = network.body
    assert torch.equal(unknown, inner.network(torch.cat([torch.zeros(1, inner.network[1].in_features - 5), numbers], 1)))


def test_rows_are_inherited_only_with_embeddings_of_one_width() -> None:
    source, student = (build(MLP(depth=depth, width=8), inputs=ROWS, classes=3) for depth in (2, 1))
    inherit(student, source)
    tables: Any = [one.body for one in (student, source)]
    assert torch.equal(tables[0].embeddings[1].weight, tables[1].embeddings[1].weight)
    narrow = build(MLP(depth=1, width=8, embedding=1), inputs=ROWS, classes=3)
    with pytest.raises(UsageError, match=r"embeddings\.0\.weight \(4, 1\) differs from the source's"):
        inherit(narrow, source)


def test_a_shallower_network_for_rows_takes_the_last_layer_and_the_units_of_values() -> None:
    """As the teacher came from outside, it predicts values in the units of the data."""
    units = {"target_mean": [100.0], "target_scale": [7.0]}
    student = build(MLP(depth=1, width=4), inputs=ROWS, classes=1, **units)  # type: ignore[arg-type]
    source = build(MLP(depth=3, width=8), inputs=ROWS, classes=1, target_mean=[0.0], target_scale=[1.0])
    inherit(student, source)
    (first, last), (_, *hidden, top) = (
        [one for one in part.modules() if isinstance(one, nn.Linear)] for part in (student, source)
    )
    assert torch.equal(last.weight, top.weight[:, :4]) and torch.equal(last.bias, top.bias) and len(hidden) == 2
    assert first.out_features == 4 and student.target_mean is not None and student.target_scale is not None
    assert (student.target_mean.item(), student.target_scale.item()) == (0.0, 1.0)


# A study


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Searched and confirmed, with its table beside it."""
    folder = tmp_path_factory.mktemp("table")
    written(folder)
    out = folder / "reports"
    search(spec_of(folder), out=out, runner="serial")
    api.open(out).confirm(seeds=1, runner="serial")
    return out


def spec_of(folder: Path, **task: Any) -> Spec:
    document = copy.deepcopy(DOCUMENT)
    document["task"] |= {"dataset": str(folder / "churn.csv"), "label": "churned", **task}
    document["student"]["architecture"]["embedding"] = {"int": [1, 4]}
    document["search"] |= {"trials": 2, "objectives": ["accuracy", "core_params"]}
    return spec.parse(document)


@pytest.fixture(scope="module")
def exported(study: Path) -> Path:
    found = export(StudyDirectory(study), to=study.parent / "model", wanted=Wanted(target=0.4))
    assert found.card is not None and not found.card.left_out
    return Path(str(found.to))


@pytest.fixture(scope="module")
def validated(study: Path, exported: Path) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """The raw validation rows, which are known by their dates, and the logits of the exported network as the study computes
    them.
    """
    store, frame = Store(study / "store"), customers()
    network = network_of(store, json.loads((exported / "architecture.json").read_text())["stage"])
    data = open_data(store, network.task.data)
    logits = evaluate(load_network(store, network, torch.device("cpu")), data.validation_x, batch_size=64, device="cpu")
    assert data.encoding is not None
    signed = next(column for column in data.encoding.columns if column.name == "signed")
    found = np.asarray(data.validation_x["numbers"])[:, 2].astype(float) * signed.scale + signed.mean
    rows = pd.Series(range(len(frame)), index=(frame["signed"] - pd.Timestamp(0)).dt.days)
    return frame.iloc[rows[found.round().astype(int)]], logits.numpy()


def run_alone(folder: Path, code: str, *arguments: str) -> str:
    """Runs code in the folder of an export, with autodistill hidden."""
    hidden = f"import sys; sys.modules['autodistill'] = None; sys.argv = ['example.py', *{list(arguments)!r}]; {code}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", hidden], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


PROBE = """
import json, numpy, example
inputs = example.samples([sys.argv[1]])
print(json.dumps([example.run_onnx('model.onnx', inputs).tolist(), example.run_pt2('model.pt2', inputs).tolist()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "turned.csv", "rows.json"])
def test_an_export_takes_raw_rows_without_autodistill(name: str, exported: Path, validated: Any, tmp_path: Path) -> None:
    """From text, typed columns, columns in another order without the label, and mappings."""
    rows, wanted = validated
    frame = rows if name != "turned.csv" else rows[rows.columns[::-1]].drop(columns="churned").assign(extra=1)
    path = tmp_path / name
    if name == "rows.json":
        path.write_text(rows.to_json(orient="records", date_format="iso"))
    else:
        written(tmp_path, frame, name)
    for logits in json.loads(run_alone(exported, PROBE, str(path))):
        np.testing.assert_allclose(logits, wanted, atol=1e-5)


@pytest.mark.slow
def test_the_example_prints_words(exported: Path, validated: Any, tmp_path: Path) -> None:
    rows, logits = validated
    said = run_alone(exported, "import example; example.main(sys.argv[1:])", str(written(tmp_path, rows)))
    words = " ".join(np.array(["no", "yes"])[logits.argmax(1)])
    assert said == f"model.onnx: {words}\nmodel.pt2: {words}\n"
    assert run_alone(exported, "import example; example.main([])").startswith("model.onnx: ")


@pytest.mark.slow
def test_the_example_says_what_is_wrong_with_a_row(exported: Path, tmp_path: Path) -> None:
    path = written(tmp_path, customers().drop(columns="plan"))
    done = subprocess.run([sys.executable, "example.py", str(path)], cwd=exported, capture_output=True, text=True)
    assert done.returncode == 1 and f"{path}: there is no column 'plan'" in done.stderr


def test_the_card_says_what_rows_are(exported: Path) -> None:
    card = (exported / "card.md").read_text()
    for text in (
        "A classifier of 2 classes for rows of a table, 7 columns,",
        "| plan | category of 3 words | unknown |",
        "| paperless | boolean, standardized | the median,",
        "and a number that marks it as missing (",
        "in this order: no, yes.",
        "from a .csv, .parquet, or .json file of raw rows.",
    ):
        assert text in card
    assert "(the longest)" not in card and "Pass the raw numbers" not in card


def test_predict_gives_the_probabilities_of_the_study(exported: Path, validated: Any, tmp_path: Path) -> None:
    rows, logits = validated
    found = api.predict(exported, written(tmp_path, rows)).frame()
    wanted = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    np.testing.assert_allclose(found[["p_no", "p_yes"]], wanted, atol=1e-6)
    assert found["class"].tolist() == np.array(["no", "yes"])[wanted.argmax(1)].tolist()
    assert np.allclose(found["probability"], wanted.max(1)) and found["sample"].tolist() == list(range(len(rows)))


def test_predict_prints_or_writes(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = str(written(tmp_path)), tmp_path / "predictions.csv"
    assert main(["predict", str(exported), rows]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("sample,class,probability,p_no,p_yes\n0,") and len(printed.splitlines()) == 241
    assert main(["predict", str(exported), rows, "--out", str(out)]) == 0
    assert out.read_text() == printed and "(240 samples)" in capsys.readouterr().out
    assert main(["predict", str(exported), rows, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][3]["sample"] == 3
    assert main(["predict", str(exported), rows, "--out", str(tmp_path / "no" / "file.csv")]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tenure,price\n1,2\n", "no column 'paperless', only tenure, price; add column 'paperless', or give another file"),
        ("", "is empty"),
        ("paperless,plan,price,region,signed,store,tenur\n", "rename column 'tenur' to 'tenure', or give another file"),
        ("paperless,plan,price,region,signed,store,tenure\n", "has no rows; add at least one"),
        ("paperless,plan,price,region,signed,store,tenure\n1,u,x,,,,\n", "column 'price' row 0 has 'x', which is not a number"),
    ],
)
def test_predict_says_what_is_wrong_with_rows(exported: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        api.predict(exported, path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_predict_says_what_is_no_export_and_no_sample(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an export: it has no architecture.json"):
        api.predict(tmp_path, tmp_path)
    with pytest.raises(DataError, match="none.csv does not exist"):
        api.predict(exported, tmp_path / "none.csv")


def test_params_without_embeddings_are_an_objective_and_shown_everywhere(study: Path, exported: Path) -> None:
    opened = api.open(study)
    rows = [row for row in opened.rows() if row.is_complete]
    for row in rows:
        assert row.sizes.core_params == row.params - row.sizes.embeddings < row.params
        assert row.columns()["core_params"] == row.measured.core_params == row.sizes.core_params  # type: ignore[union-attr]
    least = min(row.sizes.core_params for row in rows)
    (member, *_), teacher = json.loads((study / "frontier.json").read_text())["frontier"], opened.summary().teacher
    assert member["core_params"] >= least and member["longest_macs"] == member["macs"]
    counted = f"{teacher.params:,} ({teacher.sizes.core_params:,})"
    found = read_study(study)
    told = {trial.values[1] for trial in found.trials if trial.values}
    assert told == {row.sizes.core_params for row in rows if row.origin is not None}
    assert found.confirmed is not None and found.confirmed.teacher.core_params == teacher.sizes.core_params
    for table in (frontier_table(opened.summary()), confirmed_table(found.confirmed)):
        assert [column.header for column in table.columns][0] == "params (core)" and counted in list(table.columns[0].cells)
    assert "core_params" in frontier_figure(found, None).known
    page = html(found, answer(found, Wanted()))
    assert f"{teacher.sizes.core_params:,} without embeddings" in page and 'value="core_params"' in page
    assert "| parameters without embeddings |" in (exported / "card.md").read_text()
    check = checked(api.check(spec_of(study.parent), workers=1), 1)
    assert " without embeddings), " in next(line for line in check.splitlines() if line.startswith("students"))


def test_check_says_what_each_column_is_taken_for(study: Path) -> None:
    frame = customers().assign(customer=[f"C{number}" for number in range(240)])
    written(study.parent, frame, "more.csv")
    found = api.check(spec_of(study.parent, dataset=str(study.parent / "more.csv")), workers=1)
    said = checked(found, 1).splitlines()
    for line in (
        "label        churned: no, yes",
        "column       paperless: boolean",
        "column       plan: category with 3 values (basic, family, plus)",
        "column       signed: date",
        "column       customer: category with no repeated value",
        "input        categories: 3, int64",
        "input        numbers: 6, float32",
    ):
        assert line in said
    price = next(line for line in said if line.startswith("column       price: number; "))
    assert price.endswith(
        "% of its values are missing: each is replaced by the median, and an extra input tells the networks that it was missing"
    )
    region = next(line for line in said if line.startswith("column       region: category with "))
    assert region.endswith("% of its values are missing, which counts as one more category")
    assert any(line.startswith("warning      column 'customer' has a different value") for line in said)
    assert found.as_json()["data"]["table"]["columns"][0]["name"] == "customer"


def test_test_accuracies_are_given_by_group(tmp_path: Path) -> None:
    written(tmp_path, customers().assign(store=lambda frame: "s" + (frame["store"] // 3).astype(str)))
    search(spec_of(tmp_path, groups="store"), out=tmp_path / "out", runner="serial")
    found = api.open(tmp_path / "out").confirm(seeds=1, runner="serial")
    groups = found.members[0].test.by_group
    assert (
        groups is not None and sum(one.n for one in groups) == found.test.n and all(one.group.startswith("s") for one in groups)
    )


@pytest.mark.slow
def test_test_scores_of_a_regression_are_given_by_group(tmp_path: Path) -> None:
    frame = customers()
    tenure = 10 * frame["paperless"] + 6 * (frame["plan"] == "basic") + np.random.default_rng(0).random(len(frame))
    written(tmp_path, frame.assign(store="s" + (frame["store"] // 3).astype(str), tenure=tenure))
    document = copy.deepcopy(DOCUMENT) | {"assistants": {"at_most": 0}}
    document["task"] |= {"dataset": str(tmp_path / "churn.csv"), "label": "tenure", "groups": "store", "kind": "regression"}
    del document["student"]["loss"]
    search(spec.parse(document), out=tmp_path / "out", runner="serial")
    study = api.open(tmp_path / "out")
    found = study.confirm(seeds=1, runner="serial")
    [*_, member] = found.members
    groups = member.test.by_group
    assert groups is not None and sum(one.n for one in groups) == found.test.n
    squares = sum(one.n * one.value**2 for one in groups)
    assert squares == pytest.approx(found.test.n * member.on_test.value**2), "squared errors add up"
    assert all(one.drop == pytest.approx(one.value - one.teacher) for one in groups)
    assert member.test.worst_group == max(groups, key=lambda one: one.drop)
    assert read(StudyDirectory(tmp_path / "out")).teacher.test.by_group[0].drop == 0
    study.export(tmp_path / "model", stage=member.chosen)
    card = (tmp_path / "model" / "card.md").read_text()
    assert "## RMSE by group" in card and "by group of samples were not" not in card
    assert f"| {groups[0].group} | {groups[0].n} |" in card


# Exports of other data


def exported_of(folder: Path, data: str, **task: Any) -> Path:
    document = copy.deepcopy(DOCUMENT)
    document["task"] |= {"dataset": data, **task}
    document |= {"search": document["search"] | {"trials": 1}, "assistants": {"at_most": 0}}
    study = search(spec.parse(document), out=folder / "out", runner="serial")
    return Path(str(api.open(folder / "out").export(folder / "model", stage=str(study.rows()[0].stage)).to))


@pytest.mark.slow
def test_networks_learn_weekdays_from_a_calendar_date_and_the_export_takes_raw_rows(tmp_path: Path) -> None:
    frame = customers()[["signed", "tenure"]]
    frame["open"] = np.where(frame["signed"].dt.day_of_week < 4, "yes", "no")
    path = written(tmp_path, frame)
    folder = exported_of(tmp_path, str(path), label="open", columns={"signed": "calendar"})
    said = run_alone(folder, "import example; example.main(sys.argv[1:])", str(written(tmp_path, frame, "rows.parquet")))
    words = said.splitlines()[0].removeprefix("model.onnx: ").split()
    assert words == api.predict(folder, path).frame()["class"].tolist()
    assert (frame["open"] == words).mean() > 0.85, "from days since 1970 alone, it is at most as good as a guess"
    assert "| signed | calendar, standardized |" in (folder / "card.md").read_text()


def test_predict_takes_arrays_and_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        where = tmp_path / "images" / "ab"[number % 2]
        where.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 120, (6, 5, 3), dtype=np.uint8) + 120 * np.uint8(number % 2)
        Image.fromarray(pixels).save(where / f"{number:02}.png")
    model = exported_of(tmp_path, f"folder/{tmp_path / 'images'}")
    found = api.predict(model, tmp_path / "images").frame()
    assert found["sample"][0] == "a/00.png" and len(found) == 40
    one = api.predict(model, tmp_path / "images" / "b" / "01.png").frame()
    assert one["probability"][0] == pytest.approx(found.set_index("sample")["probability"]["b/01.png"])
    paths = [tmp_path / "images" / str(name) for name in found["sample"]]
    last = np.stack([np.asarray(Image.open(path)) for path in paths])
    np.savez(tmp_path / "last.npz", x=last)
    np.save(tmp_path / "first.npy", last.transpose(0, 3, 1, 2))
    for name in ("last.npz", "first.npy"):
        again = api.predict(model, tmp_path / name).frame()
        assert again.drop(columns="sample").equals(found.drop(columns="sample"))
    np.savez(tmp_path / "other.npz", x=last[:, :4])
    with pytest.raises(DataError, match=r"x has samples of shape \(4, 5, 3\); give samples of shape \(3, 6, 5\)"):
        api.predict(model, tmp_path / "other.npz")
    np.savez(tmp_path / "none.npz", z=last)
    with pytest.raises(DataError, match="has z; give an array x, too"):
        api.predict(model, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match="cannot be read"):
        api.predict(model, tmp_path / "text.npz")
    (model / "model.safetensors").unlink()
    assert api.predict(model, tmp_path / "images").frame()["class"].equals(found["class"]), "another file of the export"
