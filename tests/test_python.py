"""Searches from Python: data and teachers as objects, in scripts, in notebooks, with Ray; and later without the objects."""

from __future__ import annotations

import copy
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import autodistill
from autodistill.models.kept import keep
from autodistill.spec import DataError, SpecError, UsageError

from .conftest import DOCUMENT, blobs

SPEC = {name: value for name, value in DOCUMENT.items() if name not in ("teacher", "assistants")} | {
    "task": {"split": {"validation": 0.25, "test": 0.25}},
    "search": {"trials": 2, "label_baselines": False, "halving": False, "region": "all"},
}

MLP = {"teacher": DOCUMENT["teacher"]}


class Centers(nn.Module):
    """The nearest of the means of the classes."""

    def __init__(self, data: dict[str, Any], classes: int = 4) -> None:
        super().__init__()
        means = np.stack([data["x"][data["y"] == number % 4].mean(0) for number in range(classes)])
        self.layer = nn.Linear(12, classes)
        with torch.no_grad():
            self.layer.weight.copy_(torch.from_numpy(2 * means))
            self.layer.bias.copy_(torch.from_numpy(-(means**2).sum(1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


def searched(out: Path, data: object, **options: Any) -> autodistill.Study:
    options = {"teacher": Centers(blobs())} | options
    return autodistill.search(copy.deepcopy(SPEC), data=data, out=out, runner="serial", **options)


def test_the_same_objects_again_resume_and_others_are_refused(tmp_path: Path) -> None:
    first = searched(tmp_path / "out", blobs())
    kept = sorted(path.name for path in (tmp_path / "out" / "given").iterdir())
    assert len(kept) == 2 and first.run is not None and first.run.trained == 2
    again = searched(tmp_path / "out", blobs())
    assert again.run is not None and again.run.trained == 0
    with pytest.raises(UsageError, match="study of other data"):
        searched(tmp_path / "out", blobs(seed=1))
    with pytest.raises(UsageError, match="digest was .*another --out"):
        searched(tmp_path / "out", blobs(), teacher=Centers(blobs(seed=2)))
    assert sorted(path.name for path in (tmp_path / "out" / "given").iterdir()) == kept


class Scaled(nn.Module):
    """With what no state_dict has."""

    def __init__(self, scale: float = 1.0, act: Any = torch.relu, shift: float = 0.0) -> None:
        super().__init__()
        self.layer, self.scale, self.act = nn.Linear(12, 4), scale, act
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.register_buffer("shift", torch.tensor(shift), persistent=False)

    @property
    def half(self) -> float:
        return HALF / 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.layer(x / self.scale + self.half))  # type: ignore[no-any-return]


HALF = 1.0


def test_a_teacher_is_another_one_if_anything_that_it_computes_with_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooked, sparse = Scaled(), Scaled()
    hooked.layer.register_forward_hook(lambda module, inputs, outputs: 2 * outputs)
    sparse.rows = torch.eye(3).to_sparse()  # type: ignore[assignment]
    steep, flat = [functools.partial(nn.functional.leaky_relu, negative_slope=slope) for slope in (0.1, 0.2)]
    made = [Scaled(), Scaled(255.0), Scaled(act=torch.sigmoid), Scaled(shift=1.0), Scaled(act=steep), Scaled(act=flat)]
    made += [Scaled(act=lambda x: x), Scaled(act=lambda x: 2 * x), Scaled(act=lambda x: x * 2.5), hooked, sparse]
    kept = [keep(one, tmp_path) for one in made]
    monkeypatch.setitem(globals(), "HALF", 3.0)
    kept.append(keep(Scaled(), tmp_path))
    assert len({one["digest"] for one in kept}) == len({one["path"] for one in kept}) == len(made) + 1
    monkeypatch.undo()
    assert keep(copy.deepcopy(Scaled()).train(), tmp_path) == kept[0]


@pytest.mark.slow
def test_a_teacher_is_the_same_in_every_process() -> None:
    code = (
        "from tests.test_python import Scaled; from autodistill.models.contents import contents;"
        "one = Scaled(); one.names, one.more = {'a', 'b', 'c'}, {'x': (1, 2.5)}; print(contents(one))"
    )
    seeds = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    found = [subprocess.run([sys.executable, "-c", code], env=one, capture_output=True, text=True).stdout for one in seeds]
    assert found[0] == found[1] != ""


@pytest.mark.slow
def test_a_study_needs_neither_the_objects_nor_its_place(tmp_path: Path) -> None:
    searched(tmp_path / "out", blobs())
    shutil.move(tmp_path / "out", tmp_path / "moved")
    code = (
        "import sys, autodistill; study = autodistill.search(sys.argv[1], overrides=['search.trials=3'], extend=True,"
        " runner='serial'); claim = study.smallest(accuracy=0.3, seeds=1, runner='serial'); print(claim.module());"
        "print(study.trials['architecture'][0], len(study.trials))"
    )
    done = subprocess.run([sys.executable, "-c", code, "moved"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Centers 4"


def test_check_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = autodistill.check(SPEC, data=blobs(), teacher=Centers(blobs()), workers=1)
    assert found.teachers[0].params == 52 and found.data.train == 160 and not list(tmp_path.iterdir())


def test_wrong_teachers_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"returns \(2, 5\) for 2 samples; the data need \(2, 4\)"):
        searched(tmp_path / "out", blobs(), teacher=Centers(blobs(), classes=5))
    with pytest.raises(UsageError, match="teacher: Linear cannot be copied to the CPU .*save its state_dict"):
        searched(tmp_path / "out", blobs(), teacher=nn.Linear(12, 4, device="meta"))
    with pytest.raises(UsageError, match="teacher is a dict; give a torch.nn.Module"):
        searched(tmp_path / "out", blobs(), teacher={"weights": 1})
    locked = Centers(blobs())
    locked.file = open(os.devnull)  # type: ignore[assignment]
    with locked.file, pytest.raises(UsageError, match="teacher: Centers cannot be (copied|pickled)"):  # type: ignore[attr-defined]
        searched(tmp_path / "out", blobs(), teacher=locked)
    with pytest.raises(DataError, match="data: list is empty"):
        searched(tmp_path / "out", [])
    with pytest.raises(SpecError, match="student"):
        autodistill.search({"study": "x"}, data=blobs(), teacher=locked, out=tmp_path / "out")
    assert not (tmp_path / "out" / "given").exists()


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "out" / "given").mkdir(parents=True)
    (tmp_path / "out" / "given" / "mine.txt").write_text("mine")
    searched(tmp_path / "out", blobs())
    searched(tmp_path / "out", blobs(seed=3), fresh=True, teacher=Centers(blobs(seed=3)))
    assert len(list((tmp_path / "out" / "given").iterdir())) == 3
    assert (tmp_path / "out" / "given" / "mine.txt").read_text() == "mine"


class Small(nn.Module):
    def __init__(self, inputs: Any, outputs: int, hidden: int) -> None:
        super().__init__()
        self.one, self.head = nn.Linear(inputs.numbers, hidden), nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.one(x).relu())  # type: ignore[no-any-return]


def test_a_class_is_a_student_by_its_name(tmp_path: Path) -> None:
    spec = copy.deepcopy(SPEC)
    spec["student"] = DOCUMENT["student"] | {"architecture": {"hidden": {"int": [2, 9]}}}
    study = autodistill.search(
        spec, data=blobs(), teacher=Centers(blobs()), student=Small, out=tmp_path / "out", runner="serial"
    )
    assert f"{Small.__module__}:Small hidden=" in study.trials["architecture"].iloc[-1]
    with pytest.raises(UsageError, match="other processes cannot import it by name"):
        autodistill.check(spec, data=blobs(), teacher=Centers(blobs()), student=lambda hidden: Small)
    for value in (nn.ReLU, np.int64(3)):
        with pytest.raises(UsageError, match=r"student.architecture.hidden: .* cannot be written to a spec; use numbers"):
            autodistill.check(spec, data=blobs(), teacher=Centers(blobs()), student=functools.partial(Small, hidden=value))


SCRIPT = """
import sys
import numpy as np
import torch
from torch.utils.data import TensorDataset
import autodistill

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[5.0, 0.0], [-5.0, 0.0]]))

    def forward(self, x):
        return self.layer(x)

{guard}
    torch.manual_seed(0)
    x = torch.randn(200, 2)
    recipe = {{"epochs": 2, "batch_size": 32, "learning_rate": 0.05}}
    spec = {{"study": "script", "student": {{"architecture": {{"family": "mlp", "depth": 1, "width": {{"int": [1, 8]}}}},
            "loss": {{"kd": {{"weight": 1.0, "temperature": 2.0}}}}, "recipe": recipe}},
            "search": {{"trials": 2, "label_baselines": False, "region": "all"}}, "resources": {{"gpus": 0}}}}
    data = TensorDataset(x, (x[:, 0] < 0).long())
    study = autodistill.search(spec, data=data, teacher=Net(), runner=sys.argv[1])
    print(study.trials["state"].tolist(), study.trials["architecture"][0])
"""


def script(folder: Path, guard: str, runner: str) -> str:
    (folder / "mine.py").write_text(SCRIPT.format(guard=guard))
    done = subprocess.run([sys.executable, "mine.py", runner], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("guard", ["if __name__ == '__main__':", "if True:"])
def test_a_script(guard: str, tmp_path: Path) -> None:
    assert script(tmp_path, guard, "serial") == "['complete', 'complete', 'complete'] Net\n"
    assert (tmp_path / "reports" / "script" / "frontier.csv").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_a_script_without_a_guard_on_ray(tmp_path: Path) -> None:
    assert script(tmp_path, "if True:", "ray") == "['complete', 'complete', 'complete'] Net\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    new, code = nbformat.v4.new_notebook, nbformat.v4.new_code_cell
    first = SCRIPT.format(guard="if True:").replace("sys.argv[1]", "'serial'").rpartition("    print")[0]
    notebook = new(cells=[code(first), code("study"), code("study.frontier"), code("study.smallest(seeds=1, runner='serial')")])
    nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    searching, shown, frame, claim = (cell.outputs for cell in notebook.cells)
    assert [one.output_type for one in searching] == ["display_data"], "one place, updated, and nothing else"
    assert "trials 2/2" in searching[0].data["text/plain"] and "<table>" in searching[0].data["text/html"]
    assert "data:image/png;base64," in shown[0].data["text/html"] and "<table" in frame[0].data["text/html"]
    assert claim[-1].data["text/plain"].startswith(("Ship", "Not proven yet: ", "Do not ship: "))
    whole = nbformat.writes(notebook)
    assert "\\u001b" not in whole and len(whole) < 400_000


def test_a_data_frame_is_kept_with_the_types_of_its_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(blobs()["x"][:, :3], columns=["a", "b", "c"])
    frame["plan"] = pandas.Categorical(np.where(np.arange(320) % 2, "big", "small"))
    frame["kind"] = blobs()["y"]
    study = autodistill.search(copy.deepcopy(SPEC) | MLP, data=frame, label="kind", out=tmp_path / "out", runner="serial")
    assert str(study.spec.task.dataset) == str(next((tmp_path / "out" / "given").glob("*/table.parquet")))
    assert (tmp_path / "out" / "spec.yaml").read_text().count(str(tmp_path)) == 0
    again = autodistill.search(copy.deepcopy(SPEC) | MLP, data=frame, label="kind", out=tmp_path / "out", runner="serial")
    assert again.run is not None and again.run.trained == 0
    with pytest.raises(DataError, match="task.label: there is no column 'kin' in data; did you mean 'kind'"):
        autodistill.check(copy.deepcopy(SPEC) | MLP, data=frame, label="kin")


def test_values_and_several_labels_of_a_data_set_are_of_their_kind(tmp_path: Path) -> None:
    x = torch.from_numpy(blobs()["x"])
    values, marks = x[:, :1] * 2 + x[:, 1:2], (x[:, :3] > 0).long()
    for y, kind in ((values, "regression"), (marks, "multilabel")):
        spec = copy.deepcopy(SPEC) | MLP
        spec["student"] = {key: value for key, value in spec["student"].items() if key != "loss"}
        found = autodistill.check(spec, data=torch.utils.data.TensorDataset(x, y), workers=1)
        assert found.data.kind == kind
