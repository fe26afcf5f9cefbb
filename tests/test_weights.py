"""Networks from outside: files of several kinds, stages of other studies, timm's pretrained models, other normalizations."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autodistill.data import InputSpec
from autodistill.distill import load_network, open_data
from autodistill.distill.predictions import evaluate
from autodistill.distill.weights import pretrained, read_weights
from autodistill.models import build
from autodistill.spec import MLP, AutodistillError, DataError, Spec, SpecError, Timm, UsageError
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.space import Space

from .searching import search

TEACHER = {"family": "mlp", "depth": 1, "width": 64}


@pytest.fixture
def space(tiny: Callable[..., Spec], tmp_path: Path) -> Callable[..., Space]:
    def make(**teacher: Any) -> Space:
        spec, splits = load_data(tiny(teacher=teacher), cuda=False)
        return space_of(spec, splits, Store(tmp_path / "store"))

    return make


@pytest.fixture
def body() -> torch.nn.Module:
    torch.manual_seed(0)
    return build(MLP(depth=1, width=64), inputs=InputSpec.x((12,)), classes=4).body


def logits(space: Space) -> torch.Tensor:
    store = Store(Path(str(space.spec.task.dataset)).parent / "store")
    network = load_network(store, space.teachers[0], torch.device("cpu"))
    data = open_data(store, space.task.data)
    return evaluate(network, data.validation_x, batch_size=64, device="cpu")


WRAPS = [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}, lambda state: {"model": {"state_dict": state}}]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_pth_file_says_what_a_safetensors_file_says(
    space: Callable[..., Space], body: torch.nn.Module, tmp_path: Path, wrap: Callable[[Any], Any], prefix: str
) -> None:
    save_file(body.state_dict(), tmp_path / "teacher.safetensors")
    torch.save(wrap({prefix + name: tensor for name, tensor in body.state_dict().items()}), tmp_path / "teacher.pth")
    one = space(architecture=TEACHER, checkpoint=str(tmp_path / "teacher.safetensors"))
    two = space(architecture=TEACHER, checkpoint=str(tmp_path / "teacher.pth"))
    assert one.teachers[0].key() == two.teachers[0].key()
    assert torch.equal(logits(one), logits(two))


class Trap:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sprung"),))


def test_code_in_a_pth_file_never_runs(space: Callable[..., Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"1.weight": Trap()}}, tmp_path / "trap.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"1.weight": Trap()}))
    for name in ("trap.pth", "plain.pth"):
        with pytest.raises(UsageError, match=r"torch.save\(model.state_dict\(\), path\)"):
            space(architecture=TEACHER, checkpoint=str(tmp_path / name))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read"), (b"rubbish", "cannot be read"), (None, "contains no state_dict")],
)
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "teacher.pth"
    if content is None:
        torch.save({"epoch": 3}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_weights(path, MLP(depth=1, width=64))


def test_a_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    one: dict[str, Any] = {"epoch": 3}
    one["model"] = {"net": one}
    torch.save(one, tmp_path / "teacher.pth")
    with pytest.raises(DataError, match="contains no state_dict of tensors; save it with torch.save"):
        read_weights(tmp_path / "teacher.pth", MLP(depth=1, width=64))


def test_weights_of_another_architecture_are_refused_by_name(
    space: Callable[..., Space], body: torch.nn.Module, tmp_path: Path
) -> None:
    save_file(body.state_dict(), tmp_path / "teacher.safetensors")
    with pytest.raises(UsageError, match="does not fit mlp depth=1 width=32"):
        space(architecture=TEACHER | {"width": 32}, checkpoint=str(tmp_path / "teacher.safetensors"))
    with pytest.raises(UsageError, match="add the key architecture beside checkpoint"):
        space(checkpoint=str(tmp_path / "teacher.safetensors"))


def test_a_student_of_an_earlier_study_teaches(space: Callable[..., Space], tiny: Any, tmp_path: Path) -> None:
    study = search(tiny(search__trials=3), out=tmp_path / "first", runner="serial")
    best = max((row for row in study.rows() if row.role == "student"), key=lambda row: row.value)
    folder = tmp_path / "first" / "store" / "stages" / best.stage
    made = space(checkpoint=str(folder))
    assert made.sizes(made.teachers[0].architecture).params == best.params
    measured = Store(tmp_path / "store").manifest("stages", made.teachers[0].key())["measurement"]
    assert measured["scores"]["accuracy"]["value"] == best.value, "its own normalization comes along"
    with pytest.raises(UsageError, match="remove the key architecture, or give this one"):
        space(checkpoint=str(folder), architecture=TEACHER)
    with pytest.raises(UsageError, match="is not a stage of a study"):
        space(checkpoint=str(tmp_path))


def test_a_teacher_may_expect_other_numbers_than_the_task_gives(
    space: Callable[..., Space], body: torch.nn.Module, tmp_path: Path
) -> None:
    """(x / scale - mean) / std by the teacher's own numbers, whatever the data's mean and deviation are."""
    save_file(body.state_dict(), tmp_path / "teacher.safetensors")
    normalize = {"mean": [0.5], "std": [0.25], "scale": 3.0}
    made = space(architecture=TEACHER, checkpoint=str(tmp_path / "teacher.safetensors"), normalize=normalize)
    store = Store(tmp_path / "store")
    x = torch.from_numpy(np.array(open_data(store, made.task.data).validation_x["x"]))
    with torch.no_grad():
        torch.testing.assert_close(logits(made), body((x / 3.0 - 0.5) / 0.25), rtol=1e-4, atol=1e-5)
    wide = normalize | {"mean": [0.5, 0.5], "std": [1.0, 1.0]}
    with pytest.raises(UsageError, match=r"normalize.mean has 2 numbers for 1 channel; give"):
        space(architecture=TEACHER, checkpoint=str(tmp_path / "teacher.safetensors"), normalize=wide)


def test_a_classifier_that_is_drawn_anew_comes_from_the_seed(space: Callable[..., Space], tmp_path: Path) -> None:
    wide = build(MLP(depth=1, width=64), inputs=InputSpec.x((12,)), classes=7).body.state_dict()
    save_file(wide, tmp_path / "wide.safetensors")
    keys = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made = space(architecture=TEACHER, recipe={"epochs": 1}, checkpoint=str(tmp_path / "wide.safetensors"))
        keys.append(made.teachers[0].key())
        init = made.teachers[0].init  # type: ignore[union-attr]
        assert init is not None
    assert keys[0] == keys[1]
    kept = load_network(Store(tmp_path / "store"), init, torch.device("cpu")).body.state_dict()
    assert torch.equal(kept["1.weight"], wide["1.weight"]) and kept["3.weight"].shape == (4, 64)


def test_only_a_classifier_may_be_of_another_shape(space: Callable[..., Space], body: torch.nn.Module, tmp_path: Path) -> None:
    save_file(body.state_dict(), tmp_path / "teacher.safetensors")
    with pytest.raises(UsageError, match="does not fit mlp depth=1 width=8"):
        space(architecture=TEACHER | {"width": 8}, recipe={"epochs": 1}, checkpoint=str(tmp_path / "teacher.safetensors"))


def test_a_network_that_knows_its_normalization_takes_no_other(space: Callable[..., Space], tmp_path: Path) -> None:
    whole = build(MLP(depth=1, width=64), inputs=InputSpec.x((12,)), classes=4)
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    normalize = {"mean": [0.5], "std": [0.25]}
    with pytest.raises(UsageError, match="contains its own normalization; remove normalize"):
        space(architecture=TEACHER, checkpoint=str(tmp_path / "whole.safetensors"), normalize=normalize)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"architecture": TEACHER, "pretrained": True}, "family: timm"),
        ({"pretrained": True}, "has pretrained"),
        ({"architecture": TEACHER, "recipe": {"epochs": 1}, "arguments": {}}, "has architecture, arguments, recipe"),
    ],
)
def test_forms_that_do_not_go_together_are_refused(tiny: Any, teacher: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tiny(teacher=teacher)


def test_timms_pretrained_weights_and_their_normalization_are_taken(tmp_path: Path) -> None:
    """From a file where there is no hub, by timm's own loading; the classifier of other classes is drawn anew."""
    import timm

    small = {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]}
    torch.manual_seed(0)
    source = timm.create_model("resnet18", num_classes=1000, **small)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    overlay = {"file": str(tmp_path / "resnet18.pth"), "num_classes": 1000}
    architecture = Timm(name="resnet18", arguments={**small, "pretrained_cfg_overlay": overlay})
    found = pretrained(architecture, InputSpec.x((3, 32, 32)), 7)
    assert torch.equal(found.state["layer1.0.conv1.weight"], source.state_dict()["layer1.0.conv1.weight"])
    assert found.state["fc.weight"].shape == (7, 4) and list(found.mean or []) == pytest.approx([0.485, 0.456, 0.406])
    gray = pretrained(architecture, InputSpec.x((1, 32, 32)), 7)
    torch.testing.assert_close(gray.state["conv1.weight"], source.state_dict()["conv1.weight"].sum(1, keepdim=True))
    assert list(gray.mean or []) == pytest.approx([0.449])


def test_pretrained_weights_that_cannot_be_had_name_the_way_out() -> None:
    with pytest.raises(AutodistillError, match="give its file as checkpoint"):
        pretrained(
            Timm(name="resnet18", arguments={"pretrained_cfg_overlay": {"file": "/nowhere.pth"}}), InputSpec.x((3, 32, 32)), 7
        )
