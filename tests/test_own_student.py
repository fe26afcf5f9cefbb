"""Your own networks as students: a module beside the spec, from its domains to an export."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from autodistill import api
from autodistill.data import InputSpec
from autodistill.models.imported import build_imported
from autodistill.models.sizes import sizes
from autodistill.reporting.checked import checked
from autodistill.spec import BuildError, Imported, Spec, UsageError, describe, load, parse
from autodistill.spec.architectures import ARCHITECTURE
from autodistill.spec.callables import architecture_of, needed
from autodistill.spec.code import check_code, code_of
from autodistill.spec.imports import arguments_for
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.preflight import check as preflight
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.space import Space

from .conftest import blobs
from .searching import search

NUMBERS = itertools.count()
RECIPE = {"epochs": 4, "batch_size": 32, "learning_rate": 0.01}
MODELS = """
import torch
from torch import nn
from {helper} import block

class Small(nn.Module):
    def __init__(self, inputs, outputs, hidden, layers=1, activation="relu"):
        super().__init__()
        widths = [inputs.numbers, *[hidden] * layers]
        self.blocks = nn.ModuleList([block(*pair, activation) for pair in zip(widths, widths[1:])])
        self.head = nn.Linear(hidden, outputs)
        self.feature_info = [dict(module=f"blocks.{{i}}") for i in range(layers)]

    def forward(self, x):
        for one in self.blocks:
            x = one(x)
        return self.head(x)

class Taking(Small):
    def inherit(self, teacher):
        self.head.bias.copy_(teacher.head.bias)

class Even(Small):
    def __init__(self, inputs, outputs, hidden):
        if hidden % 2:
            raise ValueError(f"hidden must be even, not {{hidden}}")
        super().__init__(inputs, outputs, hidden)

class Crashes(Small):
    def __init__(self, inputs, outputs, hidden):
        import os
        os._exit(3)

class OnCuda(Small):
    def __init__(self, inputs, outputs, hidden):
        super().__init__(inputs, outputs, hidden)
        self.cuda()

class Elsewhere(Small):
    def __init__(self, hidden):
        nn.Module.__init__(self)
        self.blocks, self.head = nn.ModuleList(), nn.Linear(7, hidden)

class Wide(nn.Linear):
    def __init__(self, hidden):
        super().__init__(12, hidden)

class Blind(Small):
    def __init__(self, inputs, outputs, hidden):
        super().__init__(inputs, outputs, hidden)
        if float(torch.ones(1).sum()) != 1:
            raise RuntimeError("no numbers without weights")

def shape(hidden):
    return (3, hidden)

NUMBER = 3
"""
HELPER = """
from torch import nn

def block(a, b, activation):
    return nn.Sequential(nn.Linear(a, b), dict(relu=nn.ReLU, gelu=nn.GELU)[activation]())
"""


class Own:
    """A folder with data, models, what they import, and a spec; each has modules of its own names."""

    def __init__(self, folder: Path) -> None:
        self.folder, number = folder, next(NUMBERS)
        self.name, self.helper = f"own_models_{number}", f"own_helper_{number}"
        self.write(self.name, MODELS.format(helper=self.helper))
        self.write(self.helper, HELPER)
        np.savez(folder / "data.npz", **blobs())
        self.document: dict[str, Any] = {
            "study": "own",
            "task": {"dataset": "data.npz", "split": {"validation": 0.25, "test": 0.25}},
            "teacher": {"architecture": self("Small", hidden=32, layers=2), "recipe": RECIPE | {"epochs": 8}},
            "student": {
                "architecture": self("Small", hidden={"int": [2, 9]}, layers={"choice": [1, 2]}, activation="relu"),
                "loss": {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 1]}, "temperature": 2}},
                "recipe": RECIPE,
            },
            "search": {"trials": 6, "label_baselines": False, "region": "all"},
            "resources": {"gpus": 0},
        }

    def __call__(self, of: str, **arguments: Any) -> dict[str, Any]:
        return {"import": f"{self.name}:{of}", **arguments}

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(text)

    def path(self, **changes: Any) -> Path:
        """The spec's file; `changes` are keys with dots, such as search__trials=3."""
        document = json.loads(json.dumps(self.document))
        for keys, value in changes.items():
            *above, last = keys.split("__")
            place = document
            for part in above:
                place = place.setdefault(part, {})
            place[last] = value
        with (self.folder / "spec.yaml").open("w") as file:
            YAML(typ="safe").dump(document, file)
        return self.folder / "spec.yaml"

    def spec(self, **changes: Any) -> Spec:
        return load(self.path(**changes))

    def space(self, **changes: Any) -> Space:
        spec, splits = load_data(self.spec(**changes), cuda=False)
        return space_of(spec, splits, Store(self.folder / "store"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside").mkdir()
    return Own(tmp_path / "beside")


# What is wrong, and the way out

WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no such module": (
        {"import": "mymodles:Small", "hidden": 4},
        ["student.architecture", "no module 'mymodles'", "beside the spec"],
    ),
    "no such submodule": ({"import": "NAME.nets:Small"}, ["student.architecture", "NAME.nets has no file", "PYTHONPATH"]),
    "no such name": ({"import": "NAME:Smal", "hidden": 4}, ["student.architecture", "no 'Smal'", "did you mean 'Small'?"]),
    "not a name": ({"import": "NAME.Small", "hidden": 4}, ["student.architecture.import", "package.module:function"]),
    "not callable": ({"import": "NAME:NUMBER"}, ["student.architecture", "is of type int, which is not callable"]),
    "a missing argument": (
        {"import": "NAME:Small", "layers": 2},
        ["student.architecture: NAME:Small(inputs, outputs, hidden, layers=1, activation='relu') lacks its argument 'hidden'"],
    ),
    "an unknown argument": (
        {"import": "NAME:Small", "hidden": 4, "layer": 2},
        ["student.architecture: NAME:Small(inputs, outputs, hidden, layers=1,", "no argument 'layer'; did you mean 'layers'?"],
    ),
    "a word for a domain": (
        {"import": "NAME:Small", "hidden": {"itn": [2, 8]}},
        ["student.architecture.hidden", "'itn' is not a known domain; did you mean 'int'?"],
    ),
    "a wrong domain": ({"import": "NAME:Small", "hidden": {"int": [2]}}, ["student.architecture.hidden.int", "[low, high]"]),
    "a searched name": (
        {"import": {"choice": ["NAME:Small", "NAME:Even"]}, "hidden": 4},
        ["student.architecture.import: cannot be searched; use a choice of architectures"],
    ),
    "no Module": (
        {"import": "NAME:shape", "hidden": 4},
        ["student.architecture: NAME:shape(hidden=4) returned (3, 4) of type tuple"],
    ),
    "other outputs": (
        {"import": "NAME:Wide", "hidden": {"int": [5, 6]}},
        ["student.architecture: NAME:Wide hidden=5", "shape (1, 5), not logits of shape (1, 4)"],
    ),
    "other inputs": (
        {"import": "NAME:Elsewhere", "hidden": 4},
        ["student.architecture: NAME:Elsewhere hidden=4 cannot take samples of shape (12,)"],
    ),
    "CUDA": (
        {"import": "NAME:OnCuda", "hidden": 4},
        ["student.architecture: NAME:OnCuda(hidden=4) failed with", "build it on the CPU"],
    ),
    "always raises": (
        {"import": "NAME:Even", "hidden": {"choice": [3, 5]}},
        ["student.architecture: NAME:Even(hidden=3) failed with ValueError: hidden must be even, not 3"],
    ),
    "a crash": (
        {"import": "NAME:Crashes", "hidden": 4},
        ["student.architecture: NAME:Crashes: its process exited with code 3"],
    ),
    "the old form": (
        {"family": "import", "factory": "a:b"},
        ["student.architecture.family", "write {import: package.module:function"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_place_and_the_way_out(case: str, own: Own) -> None:
    architecture, words = json.loads(json.dumps(WRONG[case]).replace("NAME", own.name))
    with pytest.raises(UsageError) as caught:
        preflight.check(own.spec(student__architecture=architecture), timed=False)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_is_said_of_a_teacher_and_of_a_ladder(own: Own) -> None:
    with pytest.raises(UsageError, match=r"teacher.architecture.hidden: .* is a domain, but only student is searched"):
        own.spec(teacher__architecture=own("Small", hidden={"int": [2, 8]}))
    ladder = [own("Small", hiden=16)]
    assistants = {"at_most": 1, "ladder": ladder, "loss": {"kd": {"weight": 1.0}}, "recipe": RECIPE}
    with pytest.raises(UsageError, match=r"assistants.ladder\[0\]: .* has no argument 'hiden'; did you mean 'hidden'?"):
        preflight.check(own.spec(assistants=assistants), timed=False)


# What it is called with


def test_weights_that_are_loaded_without_memory_for_them_warn_of_nothing(own: Own) -> None:
    """Sizes are measured on the meta device, and warnings are errors here."""
    text = "import torch\nfrom torch import nn\n\ndef loaded(path):\n    network = nn.Linear(12, 4)\n"
    own.write(f"{own.name}_loaded", text + "    network.load_state_dict(torch.load(path))\n    return network\n")
    torch.save(torch.nn.Linear(12, 4).state_dict(), own.folder / "weights.pt")
    own.spec()  # makes its folder importable
    network = {"import": f"{own.name}_loaded:loaded", "path": str(own.folder / "weights.pt")}
    with torch.device("meta"):
        built = build_imported(ARCHITECTURE.validate_python(network), InputSpec.x((12,)), 4)
    assert {one.device.type for one in built.parameters()} == {"meta"}


def test_a_function_gets_what_its_signature_names() -> None:
    offered = {"inputs": InputSpec.x((3,)), "outputs": 2}

    def none(width: int) -> None: ...
    def both(outputs: int, *, inputs: InputSpec, width: int = 3) -> None: ...
    def rest(**others: int) -> None: ...

    assert arguments_for("m:f", none, {"width": 4}, offered) == {"width": 4}
    assert arguments_for("m:f", both, {"width": 4}, offered) == {**offered, "width": 4}
    assert arguments_for("m:f", both, {"outputs": 7}, offered) == {**offered, "outputs": 7}
    assert arguments_for("m:f", rest, {"depth": 1}, offered) == {"depth": 1}


def test_the_spec_holds_what_was_written(own: Own) -> None:
    spec = own.spec()
    assert spec.document()["student"]["architecture"] == own.document["student"]["architecture"]
    assert parse(spec.document()) == spec
    found = ARCHITECTURE.validate_python(own("Small", hidden=4, version="b"))
    assert isinstance(found, Imported) and ARCHITECTURE.validate_python(found.model_dump()) == found
    assert describe(found) == f"{own.name}:Small hidden=4 version=b"


# Sizes


def test_sizes_need_no_weights(own: Own) -> None:
    own.spec()  # makes its folder importable
    found = sizes(ARCHITECTURE.validate_python(own("Small", hidden=2_000_000, layers=2)), InputSpec.x((12,)), 4)
    assert found.params == 12 * 2_000_000 + 2_000_000**2 + 2 * 2_000_000 + 4 * 2_000_001
    assert found.macs == 12 * 2_000_000 + 2_000_000**2 + 4 * 2_000_000


def test_a_network_that_needs_numbers_is_built_with_weights(own: Own) -> None:
    own.spec()
    blind, small = (ARCHITECTURE.validate_python(own(name, hidden=5)) for name in ("Blind", "Small"))
    assert sizes(blind, InputSpec.x((12,)), 4) == sizes(small, InputSpec.x((12,)), 4)


@pytest.mark.slow
def test_arguments_that_a_constructor_refuses_are_not_proposed(own: Own) -> None:
    spec = own.spec(student__architecture=own("Even", hidden={"int": [2, 9]}))
    found = preflight.check(spec, timed=False)
    assert found.architectures.count == 4
    text = "architectures that cannot be built and are never proposed: 4 of 8, such as: "
    assert any(line.startswith(text) and "hidden must be even, not 3" in line for line in found.cautions)
    study = search(spec, out=own.folder / "out", runner="serial")
    hidden = [trial.params["architecture.hidden"] for trial in study.record.trials]
    assert len(hidden) == 6 and not any(one % 2 for one in hidden)


@pytest.mark.slow
def test_one_that_is_asked_for_and_refused_says_why(own: Own) -> None:
    changes = {"student__architecture": own("Even", hidden={"int": [2, 9]}), "search__enqueue": [{"architecture.hidden": 5}]}
    with pytest.raises(BuildError, match=r"search.enqueue\[0\]: .*hidden must be even, not 5"):
        preflight.check(own.spec(**changes), timed=False)


# Keys


def keys(own: Own, **changes: Any) -> tuple[str, str]:
    """Of the teacher and of one student."""
    space = own.space(**changes)
    low = {path: domain.ends()[0] for path, domain in space.domains.items()}
    return space.teachers[0].key(), space.decode(low).key()


def test_the_code_that_counts_is_that_of_the_module_and_of_what_it_imports(own: Own) -> None:
    before = keys(own)
    own.write("another", "nobody = 'imports this'\n")
    assert keys(own) == before
    own.write(own.helper, HELPER + "# changed\n")
    changed = keys(own)
    assert not set(changed) & set(before)
    own.write(own.helper, HELPER)
    assert keys(own) == before
    own.write(own.name, MODELS.format(helper=own.helper) + "# changed\n")
    assert not {*keys(own)} & {*changed, *before}


def test_a_version_makes_another_student(own: Own) -> None:
    architecture = own.document["student"]["architecture"]
    found = [keys(own, student__architecture=architecture | more) for more in ({}, {"version": 1}, {"version": "b"})]
    assert len({teacher for teacher, _ in found}) == 1 and len({student for _, student in found}) == 3


def test_a_package_counts_wherever_it_imports_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "counted/__init__.py": "from .nets import Net",
        "counted/nets.py": "import torch\nfrom . import blocks\ndef Net():\n    from counted.deep.inner import one",
        "counted/blocks.py": "import beside_counted",
        "counted/deep/__init__.py": "",
        "counted/deep/inner.py": "from ..blocks import *",
        "counted/unused.py": "",
        "beside_counted.py": "import json",
        "beside_unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code = code_of("counted:Net")
    assert set(code.names()) == {name for name in files if "unused" not in name} and code.names()[0] == "counted/__init__.py"
    source = code.source()
    (tmp_path / "moved").mkdir()
    for name in ("counted", "beside_counted.py"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    monkeypatch.syspath_prepend(tmp_path / "moved")
    assert code_of("counted:Net").source() == source


@pytest.mark.parametrize("folder", ["lib/python3/dist-packages", "home/.local/lib/python3.11/site-packages"])
def test_what_another_python_installed_does_not_count(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of the user or of the system may be in other versions elsewhere, as on the nodes of a cluster."""
    installed, own = tmp_path / folder, tmp_path / "own"
    for place, name, text in ((installed, "their_package", "x = 1"), (own, "uses_theirs", "import their_package, torch")):
        place.mkdir(parents=True)
        (place / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(place)
    assert list(code_of("uses_theirs:Net").files) == ["uses_theirs"]
    assert list(code_of("their_package:Net").files) == ["their_package"]


def test_a_large_installed_package_counts_by_its_version() -> None:
    import torchvision

    version = torchvision.__version__.partition("+")[0]
    assert code_of("torchvision.models:resnet18").names() == [f"torchvision {version}"]


def test_check_says_which_files_count(own: Own) -> None:
    found = preflight.check(own.spec(), timed=False)
    assert f"code         {own.name}:Small: {own.name}.py, {own.helper}.py in {own.folder}" in checked(found, 1)
    assert found.as_json()["code"][0]["files"] == [f"{own.name}.py", f"{own.helper}.py"]


def test_a_worker_with_other_code_trains_nothing(own: Own) -> None:
    spec, _ = load_data(own.spec(), cuda=False)
    assert spec.teacher.architecture is not None
    own.write(own.helper, HELPER + "# changed before the worker began\n")
    with pytest.raises(UsageError, match=r"its code \(.*\) has changed since the study began; run the same command"):
        check_code(spec.teacher.architecture)


# From nothing to an export


@pytest.mark.slow
def test_it_is_searched_resumed_confirmed_exported_and_reported(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.folder.parent)  # where its modules are not
    pytest.importorskip("onnxruntime")
    out = own.folder / "out"
    halving = {"first": 0.25, "share": 0.1}
    study = search(own.spec(search__trials=12, search__halving=halving), out=out, runner="serial")
    states = [trial.state for trial in study.record.trials]
    assert states.count("complete") >= 3 and set(states) == {"complete", "stopped"}, states
    more = own.spec(search__trials=13, search__halving=halving)
    again = search(more, out=out, runner="serial", options=Options(extend=True))
    assert len(again.trained) <= 1 and len(again.record.trials) == 13
    found = api.open(out).confirm(seeds=2, runner="serial")
    assert found.members and all(one.architecture.startswith(f"{own.name}:Small") for one in found.members)
    exported = api.open(out).export(own.folder / "model", stage=found.members[0].stage)
    assert exported.to is not None
    assert {"model.safetensors", "model.pt2", "model.onnx"} <= {path.name for path in (own.folder / "model").iterdir()}
    done = subprocess.run(
        [sys.executable, str(own.folder / "model" / "example.py"), "model.onnx", "model.pt2", "model.safetensors"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0 and len({line.partition(": ")[2] for line in done.stdout.splitlines()}) == 1, done.stderr
    assert f"{own.name}:Small" in api.open(out).report().page.read_text()


@pytest.mark.slow
def test_feature_terms_find_its_layers_by_depth_and_by_name(own: Own) -> None:
    for layers in ([1.0], [{"student": "blocks.0", "teacher": "blocks.1"}]):
        loss = {"ce": {"weight": 1.0}, "hint": {"weight": 1.0, "layers": layers}}
        study = search(own.spec(student__loss=loss, search__trials=2), out=own.folder / f"{len(str(layers))}", runner="serial")
        assert [trial.state for trial in study.record.trials] == ["complete"] * 2
    loss["hint"]["layers"] = [{"student": "block.0", "teacher": "blocks.1"}]
    with pytest.raises(UsageError, match="there is no layer 'block.0'; the nearest are blocks.0"):
        preflight.check(own.spec(student__loss=loss), timed=False)


@pytest.mark.slow
def test_assistants_incumbent_and_teacher_from_its_weights(own: Own) -> None:
    assistants = {
        "at_most": 1,
        "at_least": 1,
        "ladder": [own("Small", hidden=16)],
        "loss": {"kd": {"weight": 1.0}},
        "recipe": RECIPE,
    }
    first = search(own.spec(assistants=assistants, search__trials=2), out=own.folder / "first", runner="serial")
    chains = [row.chain for row in first.rows() if row.role not in ("teacher", "assistant")]
    assert chains and all(f"{own.name}:Small hidden=16 > " in chain for chain in chains), chains
    space = own.space()
    weights = {}
    for name, hidden, layers in (("teacher", 32, 2), ("incumbent", 3, 1)):
        from autodistill.models import build

        torch.manual_seed(0)
        architecture = ARCHITECTURE.validate_python(own("Small", hidden=hidden, layers=layers))
        body = build(architecture, inputs=space.inputs, classes=space.classes).body
        weights[name] = own.folder / f"{name}.pt"
        torch.save(body.state_dict(), weights[name])
    teacher = {"architecture": own("Small", hidden=32, layers=2), "checkpoint": "teacher.pt"}
    incumbent = {"architecture": own("Small", hidden=3, layers=1, activation="relu"), "checkpoint": "incumbent.pt"}
    found = preflight.check(own.spec(teacher=teacher, search__incumbent=incumbent), timed=False)
    assert found.teachers[0].source == "checkpoint" and found.first[0].architecture.endswith("hidden=3 layers=1")


def test_like_teacher_takes_shares_of_its_whole_numbers(own: Own) -> None:
    spec = own.spec(student__architecture={"like": "teacher", "hidden": [0.25, 0.5]})
    assert spec.document()["student"]["architecture"] == own("Small", hidden={"int": [8, 16]}, layers=2)
    every = own.spec(student__architecture={"like": "teacher"}).document()["student"]["architecture"]
    assert every == own("Small", hidden={"int": [8, 32]}, layers={"int": [1, 2]})
    with pytest.raises(UsageError, match="'width' cannot be set with like, .* use only like, hidden, layers"):
        own.spec(student__architecture={"like": "teacher", "width": [0.25, 0.5]})


def test_a_chain_is_planned_for_one_student(own: Own) -> None:
    found = api.chain(own.spec(), student="hidden=4,layers=1", seeds=1, runner="serial", home=None)
    assert found.sentence()


# Initial weights


@pytest.mark.parametrize("kind", ["Small", "Taking"])
def test_weights_come_from_the_teacher(kind: str, own: Own) -> None:
    from autodistill.models import build, inherit

    own.spec()
    architectures = [own(kind, hidden=3), own("Small", hidden=8, layers=2)]
    student, teacher = (build(ARCHITECTURE.validate_python(one), inputs=InputSpec.x((12,)), classes=4) for one in architectures)
    before = student.body.head.weight.clone()
    inherit(student, teacher)
    assert torch.equal(student.body.head.bias, teacher.body.head.bias)
    if kind == "Small":
        assert torch.equal(student.body.head.weight, teacher.body.head.weight[:, :3])
        assert torch.equal(student.body.blocks[0][0].weight, teacher.body.blocks[0][0].weight[:3])
    else:
        assert torch.equal(student.body.head.weight, before)


def test_values_of_a_network_that_starts_from_its_source_are_those_of_the_source(own: Own) -> None:
    from autodistill.models import build, inherit

    own.spec()
    architecture = ARCHITECTURE.validate_python(own("Small", hidden=8))
    student, source = (
        build(architecture, inputs=InputSpec.x((12,)), classes=1, target_mean=[mean], target_scale=[scale])
        for mean, scale in ((100.0, 7.0), (0.0, 1.0))
    )
    inherit(student, source)
    x = {"x": torch.randn(5, 12)}
    assert torch.equal(student(x).logits, source(x).logits)


@pytest.mark.slow
def test_what_the_teacher_lacks_is_said(own: Own) -> None:
    with pytest.raises(UsageError, match=r"student.init: .*no module 'blocks.1.0'.* method inherit\(self, teacher\)"):
        changes = {"student__init": "from_teacher", "student__architecture": own("Small", hidden=4, layers=2)}
        preflight.check(own.spec(teacher__architecture=own("Small", hidden=64), **changes), timed=False)


@pytest.mark.slow
def test_it_starts_from_its_teacher(own: Own) -> None:
    study = search(own.spec(student__init="from_teacher", search__trials=2), out=own.folder / "out", runner="serial")
    assert [trial.state for trial in study.record.trials] == ["complete"] * 2


# A function of a running program


SCRIPT = """
from __future__ import annotations
import sys
from pathlib import Path
import torch
from torch import nn
import autodistill
from autodistill.spec.callables import architecture_of

WIDTH = 2
print("this runs once")

def scaled(x):
    study = x / WIDTH
    return study

class Mine(nn.Module):
    def __init__(self, inputs, outputs, hidden):
        super().__init__()
        self.one, self.head = nn.Linear(inputs.numbers, hidden), nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.head(self.one(scaled(x)).relu())

out, recipe = Path(sys.argv[1]), {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}
own = architecture_of(Mine, out / "code")
study = autodistill.search(autodistill.spec.parse({
    "study": "script", "task": {"dataset": sys.argv[2]}, "modules": [str(out / "code")],
    "teacher": {"architecture": own | {"hidden": 32}, "recipe": recipe},
    "student": {"architecture": own | {"hidden": {"int": [2, 9]}}, "loss": {"kd": {"weight": 1.0}}, "recipe": recipe},
    "search": {"trials": 3, "region": "all", "label_baselines": False}, "resources": {"gpus": 0},
}), out=out, runner=sys.argv[3])
print(study.run.trained, study.run.reused)
"""


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["serial", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_class_of_a_script_is_searched_and_resumed(runner: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **blobs())
    (tmp_path / "script.py").write_text(SCRIPT)
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "script.py"), str(out), str(tmp_path / "data.npz"), runner]
    ends = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
        assert done.returncode == 0, done.stderr
        ends.append(done.stdout.splitlines())
    assert ends == [["this runs once", "4 0"], ["this runs once", "0 4"]]
    (module,) = (out / "code").glob("script_*.py")
    assert "this runs once" not in module.read_text() and "WIDTH = 2" in module.read_text()
    found = api.open(out).confirm(seeds=1, runner="serial")  # the script does not run here
    assert found.members


def test_what_a_definition_needs_is_what_it_uses_globally() -> None:
    import ast

    text = """
import os, numpy as np
from torch import *
try:
    import fast
except ImportError:
    fast = None
def unused(): return np
def helper(x=DEFAULT): return fast
DEFAULT = 3
DEFAULT += 1
model = Net()
os.chdir("/")
if __name__ == "__main__":
    DEFAULT = 5
class Net(base):
    def f(self):
        model = helper()
        return model
"""
    kept = "\n".join(ast.unparse(one) for one in needed(ast.parse(text).body, "Net"))
    assert all(word in kept for word in ("from torch import *", "import fast", "def helper", "DEFAULT += 1", "class Net"))
    assert not any(word in kept for word in ("unused", "model = Net()", "chdir", "__main__"))


NET = """
class Net(nn.Module):
    def forward(self, x):
        return helper(x) * SIZES["width"] + WIDTH, super(Net, self)
"""
FIRST = "from torch import nn\nSIZES = {'width': 4}\nWIDTH = 3\ndef helper(x): return x"


def copied(*cells: str) -> tuple[str, dict[str, Any]]:
    """What is copied of a program with these cells, and what it is when it is imported."""
    import ast

    program: dict[str, Any] = {}
    exec("\n".join(cells), program)
    parts = needed(ast.parse("\n".join(cells)).body, "Net", program)
    text = "\n".join(ast.unparse(one) for one in parts)
    module: dict[str, Any] = {}
    exec(text, module)
    return text, module


@pytest.mark.parametrize(
    "cells",
    [
        (FIRST, NET, NET),
        (FIRST, NET, FIRST),
        (FIRST, NET, FIRST, NET),
        (FIRST, NET, "from torch import nn", NET, "WIDTH = 3"),
        (FIRST, NET, "WIDTH = 9", NET, "WIDTH = 3", NET),
        (FIRST, NET, "import torch\nmodel = Net()", "print(WIDTH)"),
    ],
)
def test_cells_that_run_again_leave_the_copy_of_a_definition_as_it_was(cells: tuple[str, ...]) -> None:
    assert copied(*cells)[0] == copied(FIRST, NET)[0]


@pytest.mark.parametrize(
    "change",
    [
        "SIZES['width'] = 8",
        "SIZES.update(width=8)",
        "SIZES = {**SIZES, 'width': 8}",
        "def change(): SIZES['width'] = 8\nchange()",
        "WIDTH += 1",
        "for WIDTH in range(5): pass",
        "if __name__ != 'imported': WIDTH = 7",
        "Net.forward = lambda self, x: x",
        "def helper(x): return 2 * x",
    ],
)
def test_the_copy_of_a_definition_knows_what_changed_after_it(change: str) -> None:
    text, module = copied(FIRST, NET, change)
    program: dict[str, Any] = {}
    exec("\n".join((FIRST, NET, change)), program)
    assert text != copied(FIRST, NET)[0]
    assert {name: module[name] for name in ("SIZES", "WIDTH")} == {name: program[name] for name in ("SIZES", "WIDTH")}
    assert module["helper"](1) == program["helper"](1)
    assert module["Net"].forward.__code__.co_code == program["Net"].forward.__code__.co_code


def test_a_value_that_changes_after_its_use_is_copied_as_it_is_now() -> None:
    """A script that searches twice, with another width each time."""
    import ast

    statements = ast.parse("\n".join((FIRST, NET, "WIDTH = 9"))).body
    text = "\n".join(ast.unparse(one) for one in needed(statements, "Net", {"SIZES": {"width": 4}, "WIDTH": 3}))
    module: dict[str, Any] = {}
    exec(text, module)
    assert (module["WIDTH"], module["SIZES"]) == (3, {"width": 4})


def test_what_no_other_process_can_import_is_refused(tmp_path: Path) -> None:
    wrong: list[Callable[..., Any]] = [lambda: None, Own(tmp_path).path]
    for one in wrong:
        with pytest.raises(UsageError, match="other processes cannot import it by name; move it to the top level"):
            architecture_of(one, tmp_path)
    assert architecture_of(Own, tmp_path) == {"import": "tests.test_own_student:Own"}


def test_a_class_of_a_module_that_changed_after_its_import_is_refused(own: Own, tmp_path: Path) -> None:
    import importlib

    own.spec()  # makes its folder importable
    module, text = importlib.import_module(own.name), MODELS.format(helper=own.helper)
    assert architecture_of(module.Small, tmp_path) == {"import": f"{own.name}:Small"}
    own.write(own.name, "# a comment\n" + text.replace("NUMBER = 3", "NUMBER = 3\n\ndef more(): return 7\n"))
    assert architecture_of(module.Small, tmp_path), "the same code, on other lines"
    own.write(own.name, text.replace("return self.head(x)", "return self.head(x) * 2"))
    with pytest.raises(UsageError, match=f"{own.name}.py has changed since this process imported .* restart this program"):
        architecture_of(module.Small, tmp_path)


@pytest.mark.slow
@pytest.mark.ray
def test_workers_find_the_modules_beside_the_spec(own: Own, local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.folder.parent)
    study = search(own.spec(search__trials=3), out=own.folder / "out", runner="ray")
    assert [trial.state for trial in study.record.trials] == ["complete"] * 3


@pytest.mark.slow
@pytest.mark.ray
def test_workers_read_files_relative_to_the_working_directory(
    own: Own, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    own.write(f"{own.name}_teacher", "import torch\n\ndef teacher(path):\n    return torch.load(path, weights_only=False)\n")
    own.spec()  # makes its folder importable
    network, data = importlib.import_module(own.name).Small(InputSpec.x((12,)), 4, 32), blobs()
    steps, x, y = torch.optim.Adam(network.parameters(), lr=0.01), torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    for _ in range(50):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        steps.step()
    torch.save(network, own.folder / "teacher.pt")
    monkeypatch.chdir(own.folder)
    spec = own.spec(teacher={"import": f"{own.name}_teacher:teacher", "arguments": {"path": "teacher.pt"}}, search__trials=2)
    study = search(spec, out="out", runner="ray")
    assert [trial.state for trial in study.record.trials] == ["complete"] * 2


CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in (
    "from torch import nn\\nWIDTH = 3",
    "%time 1 + 1",
    "class Mine(nn.Module):\\n    def __init__(self):\\n        super().__init__()\\n        self.one = nn.Linear(WIDTH, 2)",
    "from pathlib import Path\\nfrom autodistill.spec.callables import architecture_of",
    "name = architecture_of(Mine, Path('code'))['import']",
    "import importlib\\nprint(importlib.import_module(name.partition(':')[0]).Mine().one.in_features)",
):
    shell.run_cell(cell, store_history=True).raise_error()
"""


def test_a_class_of_a_notebook_is_copied_from_its_cells(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", CELLS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "3", done.stdout + done.stderr
    (module,) = (tmp_path / "code").glob("notebook_*.py")
    assert "%time" not in module.read_text() and "WIDTH = 3" in module.read_text()
