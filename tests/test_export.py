"""A network handed over: files that run without the study, each the same as PyTorch, and a card that says what is so."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autodistill import spec
from autodistill.answers import Wanted
from autodistill.answers.confirm import confirm, read
from autodistill.cli import main
from autodistill.data import InputSpec, Sealed
from autodistill.distill import load_network, open_data
from autodistill.exporting import Exported, drafted, export, facts, formats
from autodistill.exporting.card import correct, plain
from autodistill.exporting.facts import Chosen
from autodistill.exporting.formats import FORMATS, Compared, Format, Source, compared, onnx_of, refusal, run_onnx
from autodistill.metrics import latency
from autodistill.models import build
from autodistill.models.plain import Plain
from autodistill.spec import (
    MLP,
    ConvNet,
    ConvNeXt,
    MobileNet,
    ResNet,
    Spec,
    StoreError,
    StudyError,
    TimmResNet,
    UsageError,
    ViT,
)
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.rows import Stages, network_of

from .conftest import DOCUMENT, blobs
from .searching import search

FILES = {"architecture.json", "card.md", "example.py", "model.onnx", "model.pt2", "model.safetensors"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)


def images() -> dict[str, Any]:
    """Blobs as gray images of bytes, 4 x 5."""
    found = blobs(features=20)
    x = np.clip(128 + 30 * found["x"], 0, 255).astype(np.uint8)
    return {"x": x.reshape(-1, 4, 5), "y": found["y"]}


def document(data: Path, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(DOCUMENT)
    found["task"]["dataset"] = str(data)
    return {**found, **changes}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    """Searched and confirmed, once for all tests: none of them writes into it."""
    root = tmp_path_factory.mktemp("study")
    np.savez(root / "data.npz", **images())
    search(spec.parse(document(root / "data.npz")), out=root / "out", runner="serial")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        confirm(StudyDirectory(root / "out"), runner="serial", seeds=1)
    return StudyDirectory(root / "out")


@pytest.fixture(scope="module")
def handed(study: StudyDirectory, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """The answer to a question that some student meets, exported once."""
    to = tmp_path_factory.mktemp("handed") / "model"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        return to, export(study, to=to, wanted=Wanted(target=0.3))


def store_of(study: StudyDirectory) -> Store:
    return Store(study.path / "store")


def validation(study: StudyDirectory, key: str) -> tuple[Tensor, np.ndarray]:
    """logits_NK of a stored network, and the validation samples that they are of."""
    store = store_of(study)
    network = network_of(store, key)
    x = np.array(open_data(store, network.task.data).validation_x["x"])
    with torch.inference_mode():
        return load_network(store, network, torch.device("cpu"))({"x": torch.from_numpy(x)}).logits, x


def nothing_in(folder: Path) -> bool:
    return not any(folder.iterdir())


# What is written


def test_all_files_are_there_and_each_gives_the_outputs_of_the_network(
    handed: tuple[Path, Exported], study: StudyDirectory
) -> None:
    to, found = handed
    assert {path.name for path in to.iterdir()} == FILES
    assert not found.card.left_out and set(found.card.formats) == set(FORMATS)
    logits, x = validation(study, found.card.stage)
    for name, one in found.card.formats.items():
        run = FORMATS[name].run(to / name, 1)
        again = run({"x": torch.from_numpy(x.astype(np.float32))})
        assert torch.equal(again.argmax(1), logits.argmax(1))
        assert float((again - logits).abs().max()) <= 1e-5 and one.largest <= 1e-5
        assert one.flipped == 0 and one.n == len(x) and one.bytes == (to / name).stat().st_size
    assert {path.name for path in to.parent.iterdir()} == {"model"}, "no draft is left"
    json.dumps(found.as_json())


def test_it_is_the_file_that_smallest_answers(handed: tuple[Path, Exported], study: StudyDirectory) -> None:
    to, found = handed
    assert found.card.stage == found.claim.answer.chosen
    stored = store_of(study).file("stages", found.card.stage, "model.safetensors")
    assert (to / "model.safetensors").read_bytes() == stored.read_bytes()


@pytest.mark.slow
def test_the_card_says_what_was_confirmed(handed: tuple[Path, Exported], study: StudyDirectory) -> None:
    to, found = handed
    text, confirmed = (to / "card.md").read_text(), read(study)
    assert confirmed is not None
    [member] = [one for one in confirmed.members if one.chosen == found.card.stage]
    test, teacher = member.test, confirmed.teacher
    score, correct = member.on_test, int((confirmed.outcomes[member.chosen].rank == 0).sum())
    assert f"| test | {correct} | {score.n} | {score.value:.1%} | {score.low:.1%} to {score.high:.1%} |" in text
    for part in test.by_class:
        assert f"| {part.label} | {part.n} | {part.accuracy:.1%} | {part.teacher:.1%} |" in text
    for name in ("params", "macs", "bytes", "bytes_float16"):
        assert f"| {getattr(member, name):,} |" in text
    assert f"| {teacher.params:,} | {teacher.on_validation.value:.1%} | {teacher.on_test.value:.1%} |" in text
    assert "Yes: mlp" in text and "with 95% confidence" in text
    assert "The test split was opened 1 time in this study." in text
    assert f"`{network_of(store_of(study), found.card.stage).task.data}`" in text
    assert f"| onnxruntime | {latency.name_of(torch.device('cpu'))} | 1 | 64 |" in text
    assert "## License\n\nTo be filled in by you" in text
    assert f"torch {torch.__version__}" in text.replace("\\", "")


def test_no_file_but_the_card_names_a_folder_of_this_machine(handed: tuple[Path, Exported], study: StudyDirectory) -> None:
    package = str(Path(formats.__file__).parents[1]).encode()
    for name in FILES - {"card.md"}:
        content = (handed[0] / name).read_bytes()
        assert package not in content and str(study.path.parent).encode() not in content, name


def test_the_graph_of_onnx_is_whole_and_its_batch_is_free(handed: tuple[Path, Exported]) -> None:
    import onnx

    model = onnx.load(handed[0] / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    [given], [said] = model.graph.input, model.graph.output
    assert (given.name, said.name) == ("x", "logits")
    shapes = [[side.dim_param or side.dim_value for side in one.type.tensor_type.shape.dim] for one in (given, said)]
    assert shapes == [["batch", 1, 4, 5], ["batch", 4]]


QUICK = [(MLP(depth=1, width=3), (6,)), (ResNet(depth=1, width=2), (2, 16)), (ViT(depth=1, heads=2), (1, 8, 8))]
SLOW = [
    (ConvNet(depth=2, width=2), (1, 8, 8)),
    (TimmResNet(depth=1, width=2), (3, 8, 8)),
    (ConvNeXt(depth=1, width=4), (1, 8, 8)),
    (MobileNet(depth=1, width=4), (1, 8, 8)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "shape"), QUICK + [pytest.param(*one, marks=pytest.mark.slow) for one in SLOW])
def test_graphs_of_each_family_take_any_batch(architecture: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    sides = shape[0] if len(shape) > 1 else 1
    numbers = {"mean": [0.5] * sides, "std": [2.0] * sides}
    network = build(architecture, inputs=InputSpec.x(shape), classes=3, **numbers).eval().requires_grad_(False)
    source = Source(network, InputSpec.x(shape))
    facts = {"inputs": source.inputs.model_dump(mode="json")["fields"], "output": {"name": source.output}}
    (tmp_path / "architecture.json").write_text(json.dumps(facts))
    for name in ("model.onnx", "model.pt2"):
        with formats.quiet():
            (tmp_path / name).write_bytes(FORMATS[name].content(source))
            run = FORMATS[name].run(tmp_path / name, 1)
        for batch in (1, 2, 7):
            x = torch.randn(batch, *shape)
            assert torch.allclose(run({"x": x}), Plain(network)(x), atol=1e-5), (name, batch)


# The example

ALONE = """
import runpy, sys

class Refused:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "autodistill":
            raise ImportError("autodistill is not here")

sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def alone(to: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the example where this package cannot be imported."""
    command = [sys.executable, "-I", "-c", ALONE, str(to / "example.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=to)


@pytest.mark.slow
def test_the_example_runs_without_this_package(handed: tuple[Path, Exported], study: StudyDirectory, tmp_path: Path) -> None:
    to, found = handed
    logits, x = validation(study, found.card.stage)
    np.save(tmp_path / "samples.npy", x)
    done = alone(to, str(tmp_path / "samples.npy"))
    classes = " ".join(str(int(one)) for one in logits.argmax(1))
    assert done.stdout.splitlines() == [f"model.onnx: {classes}", f"model.pt2: {classes}"], done.stderr
    refused = alone(to, "model.safetensors")
    assert refused.returncode == 1 and "autodistill is not here" in refused.stderr


@pytest.mark.slow
def test_the_example_shows_how_weights_are_loaded(handed: tuple[Path, Exported], study: StudyDirectory, tmp_path: Path) -> None:
    to, found = handed
    logits, x = validation(study, found.card.stage)
    np.save(tmp_path / "one.npy", x[3])
    command = [sys.executable, str(to / "example.py"), str(tmp_path / "one.npy"), "model.safetensors", "model.onnx"]
    done = subprocess.run(command, capture_output=True, text=True)
    said = int(logits[3].argmax())
    assert done.stdout.splitlines() == [f"model.safetensors: {said}", f"model.onnx: {said}"], done.stderr
    np.save(tmp_path / "wrong.npy", x[:, :, 1:])
    done = subprocess.run([*command[:2], str(tmp_path / "wrong.npy")], capture_output=True, text=True)
    assert done.returncode == 1 and "give one sample of shape (1, 4, 5)" in done.stderr


def test_the_weights_are_a_teacher_of_another_study(
    handed: tuple[Path, Exported], study: StudyDirectory, tmp_path: Path
) -> None:
    to, found = handed
    architecture = json.loads((to / "architecture.json").read_text())["architecture"]
    teacher = {"checkpoint": str(to / "model.safetensors"), "architecture": architecture}
    task = study.read().task.dataset
    other, splits = load_data(spec.parse(document(Path(str(task)), teacher=teacher)), cuda=False)
    store = Store(tmp_path / "store")
    [adopted] = space_of(other, splits, store).teachers
    assert Stages(store).measured(adopted.key()).scores["accuracy"] == found.card.validation.scores["accuracy"]


# Which network


def test_any_stored_network_may_be_named_by_the_beginning_of_its_key(study: StudyDirectory, tmp_path: Path) -> None:
    confirmed = read(study)
    assert confirmed is not None
    key = confirmed.teacher.chosen
    found = export(study, to=tmp_path / "teacher", stage=key[:10])
    assert found.card.stage == key and found.claim is None
    text = (tmp_path / "teacher" / "card.md").read_text()
    assert "trained from labels, without a teacher" in text
    assert found.card.again[0] == f"autodistill search {study.spec} --out {study.path}"
    assert found.card.test == confirmed.teacher.test


@pytest.mark.parametrize(("key", "message"), [("", "matches .* stages, such as"), ("none", "matches no stored stage")])
def test_a_key_of_none_or_several_is_refused(study: StudyDirectory, tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(study, to=tmp_path / "out", stage=key)
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("parts", [(), ("test",), ("validation",), ("validation", "test")])
def test_the_card_names_only_the_shares_that_made_a_part(parts: tuple[str, ...], folder: Path) -> None:
    given: dict[str, Any] = {f"{name}_train" if "test" in parts else name: value for name, value in blobs().items()}
    for part in parts:
        given |= {f"{name}_{part}": value for name, value in blobs(80, seed=0).items()}
    np.savez(folder / "data.npz", **given)
    found = spec.parse(document(folder / "data.npz", search=DOCUMENT["search"] | {"trials": 1}))
    search(found, out=folder / "study", runner="serial")
    key = json.loads((folder / "study" / "frontier.json").read_text())["teacher"]["stage"]
    data = Chosen(StudyDirectory(folder / "study"), key)
    assert data.data.own == parts
    assert (
        facts.data_of(data).divided
        == {
            (): "validation 0.25, test 0.25, seed 0, stratified by class",
            ("test",): "validation 0.25, seed 0, stratified by class; the test samples are the data set's own",
            ("validation",): "test 0.25, seed 0, stratified by class; the validation samples are the data set's own",
            ("validation", "test"): "the validation and test samples are the data set's own",
        }[parts]
    )


def test_the_card_of_a_table_says_how_it_was_split(handed: tuple[Path, Exported]) -> None:
    data = handed[1].card.data  # type: ignore[union-attr]
    assert data.divided == "validation 0.25, test 0.25, seed 0, stratified by class"
    by = data.model_copy(update={"split": {"validation": 0.2, "test": 0.2, "seed": 0, "by": "day"}})
    assert by.divided == "validation 0.2, test 0.2, seed 0, by day"
    assert data.model_copy(update={"groups": "city"}).divided.endswith("seed 0, in whole groups of city")


@pytest.mark.slow
def test_a_network_that_was_not_confirmed_is_said_to_be_so_and_the_test_split_stays_sealed(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tiny(), out=tmp_path / "study", runner="serial")
    folder = StudyDirectory(tmp_path / "study")
    monkeypatch.setattr(Sealed, "unseal", lambda _: pytest.fail("the test split was opened"))
    key = json.loads((folder.path / "frontier.json").read_text())["frontier"][-1]["stage"]
    (tmp_path / "data.npz").unlink()  # what the store holds is enough
    found = export(folder, to=tmp_path / "out", stage=key)
    text = (tmp_path / "out" / "card.md").read_text()
    assert found.card.test is None and "This network was not tested on the test samples." in text
    assert "The test split was opened 0 times in this study." in text
    assert sum(part.n * part.accuracy for part in found.card.validation.by_class) == pytest.approx(
        correct(found.card.validation)
    )
    with pytest.raises(UsageError, match="is not confirmed yet"):
        export(folder, to=tmp_path / "other")


def test_where_no_student_meets_the_target_nothing_is_written(
    study: StudyDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(tmp_path / "out")
    assert main(["export", str(study.path), "--to", to, "--accuracy", "0.999"]) == 3
    said = capsys.readouterr().out
    assert said.startswith("No: no student is proven to meet the target") and said.endswith("nothing was written\n")
    assert nothing_in(tmp_path)


def test_the_command_line_prints_each_difference(
    study: StudyDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(tmp_path / "out")
    assert main(["export", str(study.path), "--to", to, "--accuracy", "0.3"]) == 0
    said = capsys.readouterr().out
    for name in FORMATS:
        assert f"{name:17}  {(tmp_path / 'out' / name).stat().st_size:,} bytes; the same predictions on 80" in said
    assert "latency      onnxruntime on" in said
    assert main(["export", str(study.path), "--to", to, "--json"]) in (2, 3)
    assert main(["export", str(study.path), "--to", to, "--stage", "0", "--accuracy", "0.9"]) == 2


@pytest.mark.slow
def test_the_commands_on_the_card_make_the_same_file_again(study: StudyDirectory, tmp_path: Path) -> None:
    """Of a student that the search trained; of a fresh seed it is confirm that makes it."""
    confirmed = read(study)
    assert confirmed is not None
    files = [file for member in confirmed.members if member.role == "student" for file in member.networks]
    keys = {kind: next(file.key for file in files if file.kind == kind) for kind in ("searched", "fresh")}
    fresh = export(study, to=tmp_path / "fresh", stage=keys["fresh"]).card.again
    assert fresh[0] == f"autodistill confirm {study.path} --seeds 1"
    searched = export(study, to=tmp_path / "searched", stage=keys["searched"]).card.again
    try:
        assert main([*shlex.split(searched[0])[1:], "--runner", "serial"]) == 0
        made = shlex.split(searched[1])
        assert main([*made[1:-1], str(tmp_path / "again")]) == 0
    finally:
        shutil.rmtree(f"{study.path}-{keys['searched'][:8]}", ignore_errors=True)
    one, two = (tmp_path / name / "model.safetensors" for name in ("searched", "again"))
    assert one.read_bytes() == two.read_bytes()


# Where it is written


def test_a_folder_that_holds_anything_is_left_alone(study: StudyDirectory, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UsageError, match="full is not empty"):
        export(study, to=tmp_path / "full", stage="0")
    with pytest.raises(UsageError, match="mine is a file"):
        export(study, to=tmp_path / "full" / "mine", stage="0")
    with pytest.raises(UsageError, match="cannot be written to"):
        export(study, to=tmp_path / "full" / "mine" / "below", wanted=Wanted(target=0.3))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


@pytest.mark.parametrize("place", ["loop", "loop/below", "n" * 300, f"{'n' * 300}/below"])
def test_a_place_that_can_hold_nothing_is_a_wrong_argument(place: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match=f"--to {tmp_path / place} cannot be written to: .*; give another directory"):
        export(StudyDirectory(tmp_path), to=tmp_path / place, stage="0")


@pytest.mark.slow
def test_a_kill_leaves_no_folder_and_the_same_command_does_it(study: StudyDirectory, tmp_path: Path) -> None:
    to, draft = tmp_path / "out", tmp_path / ".out.autodistill-export"
    to.mkdir()  # an empty one may be there
    command = [sys.executable, "-m", "autodistill", "export", str(study.path), "--accuracy", "0.3", "--to", str(to)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (draft / "model.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert draft.exists() and nothing_in(to)
    export(study, to=to, wanted=Wanted(target=0.3))
    assert {path.name for path in to.iterdir()} == FILES and not draft.exists()


@pytest.mark.slow
def test_two_exports_to_one_folder_leave_one_whole(study: StudyDirectory, tmp_path: Path) -> None:
    """The later one is told so, whether it comes while the other writes or just after."""
    to = tmp_path / "out"
    command = [sys.executable, "-m", "autodistill", "export", str(study.path), "--accuracy", "0.3", "--to", str(to)]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode == 0 for process in both) == [False, True], said
    [loser] = [text for process, text in zip(both, said, strict=True) if process.returncode]
    assert re.search("another export is writing to it|is not empty", loser), loser
    assert {path.name for path in to.iterdir()} == FILES and {path.name for path in tmp_path.iterdir()} == {"out"}


def test_an_export_beside_another_takes_nothing_of_it_away(study: StudyDirectory, tmp_path: Path) -> None:
    draft = tmp_path / ".out.autodistill-export"
    with drafted(tmp_path / "out") as mine:
        (mine / "file").touch()
        with pytest.raises(StudyError, match="another export is writing to it; wait for it, or give another directory"):
            export(study, to=tmp_path / "out", wanted=Wanted(target=0.3))
        assert mine == draft and (draft / "file").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"out"} and (tmp_path / "out" / "file").exists()


FULL = """
import resource, sys
from autodistill.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing(study: StudyDirectory, tmp_path: Path) -> None:
    """What really comes of a file that cannot grow."""
    command = [sys.executable, "-c", FULL, "export", str(study.path), "--accuracy", "0.3", "--to", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "no space left" in done.stderr, done.stderr
    assert nothing_in(tmp_path)


def test_damaged_weights_are_not_handed_over(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(search__trials=1), out=tmp_path / "study", runner="serial")
    key = json.loads((tmp_path / "study" / "frontier.json").read_text())["frontier"][0]["stage"]
    [path] = (tmp_path / "study" / "store" / "stages" / key).glob("*/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        export(StudyDirectory(tmp_path / "study"), to=tmp_path / "out", stage=key)
    assert not (tmp_path / "out").exists()


# What cannot be handed over


class Moody(nn.Module):
    """One's own module, of which no graph can be made: what it computes depends on the numbers. The nearest center wins."""

    def __init__(self, centers: Tensor, fickle: bool) -> None:
        super().__init__()
        self.register_buffer("weight", 2 * centers.T)
        self.register_buffer("bias", -(centers**2).sum(1))
        self.fickle = fickle

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = x @ self.weight + self.bias
        if self.fickle:
            return logits + torch.rand_like(logits)
        return logits if float(x.sum()) > 0 else logits * 2


def moody(path: str, fickle: bool = False) -> nn.Module:
    with np.load(path) as archive:
        x, y = archive["x"], archive["y"]
    return Moody(torch.tensor(np.stack([x[y == label].mean(0) for label in np.unique(y)])), fickle)


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_onnx_is_left_out(
    study: StudyDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    found = export(study, to=tmp_path / "out", wanted=Wanted(target=0.3))
    assert set(found.card.formats) == set(FORMATS) - {"model.onnx"}
    assert found.card.left_out["model.onnx"].endswith("; pip install 'autodistill-search[onnx]'")
    assert [one.runs for one in found.card.latency] == ["PyTorch"]


@pytest.fixture
def adopted(tiny: Callable[..., Spec], tmp_path: Path) -> Callable[..., StudyDirectory]:
    """Makes a study whose teacher is your own module."""

    def make(**arguments: Any) -> StudyDirectory:
        teacher = {"import": "tests.test_export:moody", "arguments": {"path": str(tmp_path / "data.npz"), **arguments}}
        search(tiny(teacher=teacher, search__trials=1, assistants={"at_most": 0}), out=tmp_path / "study", runner="serial")
        return StudyDirectory(tmp_path / "study")

    return make


def teacher_of(folder: StudyDirectory) -> str:
    return str(json.loads((folder.path / "frontier.json").read_text())["teacher"]["stage"])


def test_what_has_no_graph_is_left_out_with_the_reason(adopted: Callable[..., StudyDirectory], tmp_path: Path) -> None:
    folder = adopted()
    found = export(folder, to=tmp_path / "out", stage=teacher_of(folder))
    assert set(found.card.formats) == {"model.safetensors"} and set(found.card.left_out) == {"model.onnx", "model.pt2"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES - {"model.onnx", "model.pt2"}
    text = (tmp_path / "out" / "card.md").read_text()
    assert "`model.onnx` is left out: " in text and "imported as it was, not trained here" in text
    assert all("data-dependent" in why for why in found.card.left_out.values()), found.card.left_out


@pytest.mark.slow
def test_a_network_that_answers_otherwise_each_time_is_not_handed_over(
    adopted: Callable[..., StudyDirectory], tmp_path: Path
) -> None:
    folder = adopted(fickle=True)
    with pytest.raises(StudyError, match="nothing was written: its logits differ from PyTorch's by up to"):
        export(folder, to=tmp_path / "out", stage=teacher_of(folder))
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.autodistill-export").exists()


def test_a_file_of_other_weights_is_found_out(study: StudyDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(source: Source) -> bytes:
        network = copy.deepcopy(source.network)
        with torch.no_grad():
            next(network.body.parameters()).mul_(1.1)
        return onnx_of(Source(network, source.inputs))

    monkeypatch.setitem(formats.FORMATS, "model.onnx", Format(changed, run_onnx, "onnxruntime"))
    found = export(study, to=tmp_path / "out", wanted=Wanted(target=0.3))
    assert "more than rounding explains" in found.card.left_out["model.onnx"]
    assert not (tmp_path / "out" / "model.onnx").exists() and (tmp_path / "out" / "model.pt2").exists()


def test_predictions_may_flip_by_rounding_alone(study: StudyDirectory, handed: tuple[Path, Exported]) -> None:
    store = store_of(study)
    data = open_data(store, network_of(store, handed[1].card.stage).task.data)
    wanted = torch.zeros(len(data.validation_y), 4)
    wanted[:, 0] = 1
    wanted[5, 1] = 1 + 1e-6  # nearly a tie
    found = wanted.clone()
    same = compared(found, wanted, data).model_copy(update={"correct": 0})
    assert same == Compared(largest=0, flipped=0, correct=0, n=len(wanted))
    found[5, 1] = 1 - 1e-6
    facts = compared(found, wanted, data)
    assert facts.flipped == 1 and facts.largest == pytest.approx(2e-6, rel=0.1) and refusal(facts, wanted) is None
    found[6, 2] = 1.01
    assert "1 of" not in str(refusal(compared(found, wanted, data), wanted))
    assert f"2 of {len(wanted)} predictions" in str(refusal(compared(found, wanted, data), wanted))


# The card


def test_the_card_says_where_a_file_says_another_class(handed: tuple[Path, Exported]) -> None:
    card = handed[1].card
    assert card.markdown() == (handed[0] / "card.md").read_text()
    assert "another class" not in card.markdown()
    formats = card.formats | {"model.onnx": card.formats["model.onnx"].model_copy(update={"flipped": 2})}
    opened = (*card.opened, card.opened[0].model_copy(update={"forced": True}))
    card = card.model_copy(update={"formats": formats, "opened": opened})
    assert "- `model.onnx` predicts another class for 2 of 80 samples" in card.markdown()
    assert "opened 2 times in this study, 1 of them by force" in card.markdown()
    assert "warning      the test split was opened 1 more time by force" in card.lines()


@pytest.mark.slow
def test_the_card_shows_the_metric_of_the_study_and_those_beside_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **images())
    task = document(tmp_path / "data.npz")["task"] | {"metric": "log_loss", "also": ["accuracy", "f1_macro"]}
    loss = spec.parse(document(tmp_path / "data.npz", task=task, search=DOCUMENT["search"] | {"trials": 2}))
    search(loss, out=tmp_path / "study", runner="serial")
    confirm(StudyDirectory(tmp_path / "study"), runner="serial", seeds=1)
    confirmed = read(StudyDirectory(tmp_path / "study"))
    assert confirmed is not None
    frozen = confirmed.members[0]
    found = export(StudyDirectory(tmp_path / "study"), to=tmp_path / "out", stage=frozen.chosen)
    card, text = found.card, (tmp_path / "out" / "card.md").read_text()
    assert card is not None and card.test is not None
    assert (card.metric, card.also) == ("log_loss", ("accuracy", "f1_macro")) and card.test.scores == frozen.test.scores
    for name, score in card.validation.scores.items():
        assert score.value == pytest.approx(frozen.validation[name].value, abs=1e-6)
    assert "\n## Log loss\n" in text
    heads = [line for line in text.splitlines() if line.startswith("| samples | correct | of |")]
    metrics = ("log loss", "accuracy", "macro F1")
    assert heads == [
        f"| samples | correct | of | {' | '.join(f'{one} | 95% interval' for one in metrics)} | calibration error |"
    ]
    for name, part in (("validation", card.validation), ("test", card.test)):
        loss, accuracy, f1 = (part.scores[one] for one in ("log_loss", "accuracy", "f1_macro"))
        cells = [f"{loss.value:.3f}", f"{loss.low:.3f} to {loss.high:.3f}"]
        cells += [f"{accuracy.value:.1%}", f"{accuracy.low:.1%} to {accuracy.high:.1%}"]
        cells += [f"{f1.value:.3f}", f"{f1.low:.3f} to {f1.high:.3f}", f"{part.calibration_error:.3f}"]
        assert f"| {name} | {correct(part)} | {accuracy.n} | {' | '.join(cells)} |" in text
    table = text.split("\n## Log loss\n\n")[1].split("\n\n")[0].splitlines()
    assert {line.count("|") for line in table} == {11}
    assert "| validation log loss | test log loss |" in text
    assert f"| {frozen.params:,} | {card.chain[-1].value:.3f} | {frozen.on_test.value:.3f} |" in text
    assert "chosen by their validation log loss" in text and "The test log loss was measured for this frozen file." in text
    measured = [line for line in card.lines() if " validation (" in line]
    assert [line[:13].rstrip() for line in measured] == list(metrics)
    assert measured[0].startswith(f"log loss     {card.validation.scores['log_loss'].value:.3f} validation (")


def test_the_card_says_if_it_was_better_or_worse_where_it_was_trained(handed: tuple[Path, Exported]) -> None:
    card = handed[1].card
    assert card is not None and card.validation.recorded == card.validation.scores["accuracy"]
    assert "Where it was trained" not in card.markdown()
    recorded = card.validation.recorded.model_copy(update={"value": 0.125})
    other = card.model_copy(update={"validation": card.validation.model_copy(update={"recorded": recorded})})
    assert "\n\nWhere it was trained, the validation accuracy was 12.5%.\n" in other.markdown()


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40))
def test_no_name_is_taken_for_markdown(name: str) -> None:
    from markdown_it import MarkdownIt

    wanted = " ".join(name.split())
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    [heading] = [token for token in reader.parse(f"# of {plain(name)}") if token.type == "inline"]
    assert {token.type for token in heading.children or []} <= {"text", "text_special"}
    assert "".join(token.content for token in heading.children or []) == f"of {wanted}".rstrip()
    cells = [token for token in reader.parse(f"| a | b |\n| --- | --- |\n| {plain(name)} | end |") if token.type == "inline"]
    assert ["".join(part.content for part in token.children or []) for token in cells][2:] == [wanted, "end"]
