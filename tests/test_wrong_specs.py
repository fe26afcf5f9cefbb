"""A corpus of wrong specs: each ends in exit code 2, soon, with a message that names the place, the value or the way out."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from autodistill.cli import main
from autodistill.runners import cores
from autodistill.spec import SpecError, load
from autodistill.spec.imports import probe
from autodistill.study.preflight.check import check

BASE = """\
study: tiny
seed: 0
task:
  dataset: data.npz
  split: {validation: 0.2, test: 0.2, seed: 0}
  layout: auto
teacher:
  architecture: {family: mlp, depth: 2, width: 16}
  recipe: {epochs: 1, batch_size: 16, learning_rate: 3e-3}
student:
  architecture: {family: mlp, depth: 1, width: {int: [1, 4]}}
  loss:
    ce: {weight: rest}
    kd: {weight: {uniform: [0, 1]}, temperature: {log: [1, 16]}}
  recipe: {epochs: 2, batch_size: 16}
assistants:
  at_most: 1
  ladder: [{family: mlp, depth: 1, width: 6}, {family: mlp, depth: 1, width: 8}]
  loss: {ce: {weight: 0.1}, kd: {weight: 0.9, temperature: 4}}
  recipe: {epochs: 3, batch_size: 16}
search:
  trials: 2
  objectives: [accuracy, params]
  limits: {params: 1000000}
resources: {cpus: 1, gpus: 0, threads: 1, cache_limit: 1 MB}
"""
STUDENT = "{family: mlp, depth: 1, width: {int: [1, 4]}}"
TEACHER = "{family: mlp, depth: 2, width: 16}"
WIDTH = "{int: [1, 4]}"
TEMPERATURE = "{log: [1, 16]}"
TERMS = "    ce: {weight: rest}\n    kd: {weight: {uniform: [0, 1]}, temperature: {log: [1, 16]}}\n"
OPTIONAL = "loss: {{ce: {{weight: rest}}, kd: {{optional: true, {}}}}}\n"
WHOLE = f"loss:\n{TERMS}"
RECIPE = "  recipe: {epochs: 1, batch_size: 16, learning_rate: 3e-3}\n"
TRAINED = f"  architecture: {TEACHER}\n{RECIPE}"
DATASET = "dataset: data.npz"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
Arrays = Mapping[str, Any]


def good() -> dict[str, NDArray[Any]]:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    return {"x": x, "y": np.arange(60) % 3}


def with_test() -> dict[str, NDArray[Any]]:
    x, y = good().values()
    return {"x_train": x, "y_train": y, "x_test": x[:9], "y_test": y[:9]}


def images() -> dict[str, NDArray[Any]]:
    return {"x": np.zeros((60, 8, 8), np.uint8), "y": np.arange(60) % 3}


def at(array: NDArray[Any], row: int, value: float) -> NDArray[Any]:
    array = array.copy()
    array[row] = value
    return array


# What `import:` finds here.
three = 3


def raises() -> nn.Module:
    raise RuntimeError("no weights")


def gives_three() -> int:
    return 3


def leaves() -> None:
    raise SystemExit(3)


def closes() -> None:
    raise GeneratorExit


class Unprintable(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def unprintable() -> None:
    raise Unprintable


class Closed(dict[str, Any]):
    """As a file of arrays that was closed before it is read."""

    def __getitem__(self, key: str) -> Any:
        raise OSError("the file is closed")


def closed() -> Closed:
    return Closed(x=1, y=2)


class NoArray:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise KeyError("no column")

    def __repr__(self) -> str:
        raise KeyError("no name")


def no_arrays() -> Any:
    return NoArray(), NoArray()


def no_module() -> Any:
    return NoArray()


def five_classes() -> nn.Module:
    return nn.Linear(4, 5)


def ragged() -> Any:
    return [[1, 2], [3]], [0, 1]


def write(folder: Path, text: str | bytes = BASE, arrays: Arrays | None = None, **files: bytes) -> Path:
    np.savez(folder / "data.npz", **(good() if arrays is None else arrays))
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    spec = folder / "spec.yaml"
    spec.write_bytes(text if isinstance(text, bytes) else text.encode())
    return spec


def changed(old: str, new: str) -> tuple[str, int]:
    """BASE with `old` replaced once, and the line where that begins."""
    assert old in BASE, old
    return BASE.replace(old, new, 1), BASE[: BASE.index(old)].count("\n") + 1


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(spec: Path, *overrides: str) -> str:
        code = main(["check", str(spec), *[word for one in overrides for word in ("--set", one)]])
        error = capsys.readouterr().err
        assert code == 2, error
        assert "Traceback" not in error and "--debug" not in error
        return error

    return run


def names(error: str, *words: str) -> None:
    for word in words:
        assert word in error, f"{word!r} is not in:\n{error}"


def test_the_base_is_right(tmp_path: Path) -> None:
    spec = write(tmp_path)
    assert check(load(spec)).architectures.count == 4


FILES: dict[str, tuple[str | bytes, str, tuple[str, ...]]] = {
    "an open bracket": (BASE.replace("auto", "[auto"), ":7: ", ("is not valid YAML", "begins on line 6")),
    "a colon too many": (BASE.replace("study: tiny", "study: ti: ny"), ":1: ", ("is not valid YAML",)),
    "an open quote": (BASE.replace("study: tiny", 'study: "tiny'), ":", ("is not valid YAML", "begins on line 1")),
    "a tab": (BASE.replace("  layout", "\tlayout"), ":6: ", ("is not valid YAML", r"'\t'")),
    "a wrong indent": (BASE.replace("  layout", "   layout"), ":6: ", ("is not valid YAML",)),
    "a duplicate key": (
        BASE.replace("seed: 0\ntask", "seed: 0\nseed: 1\ntask"),
        ":3: ",
        ("'seed'", "already on line 2", "keep only one"),
    ),
    "a list as root": ("- 1\n- 2\n", ":1: ", ("[1, 2]", "study, task, teacher, student, search")),
    "a text as root": ("hello\n", ":1: ", ('"hello"', "study, task, teacher, student, search")),
    "an empty file": ("", ": ", ("is empty", "study, task, teacher, student, search")),
    "a comment alone": ("# later\n", ": ", ("is empty",)),
    "a binary file": (b"study: tiny\n\x89PNG\xff", ":2: ", ("is not UTF-8 text", "0x89", "save the file as UTF-8")),
    "UTF-16": (BASE.encode("utf-16"), ":1: ", ("is not UTF-8 text",)),
    "a control character": ("study: tiny\nseed: \x07\n", ":2: ", ("is not valid YAML", "#x0007")),
    "half a character": ('study: "\\ud800"\n', ":1: ", (r"\ud800",)),
    "two documents": (BASE + "---\na: 1\n", ":26: ", ("another document",)),
    "more than 1 MB": ("a: 1\n" * 300_000, ": ", ("more than 100,000 bytes",)),
    "a bomb of 2 MB": (BOMB + "#" * 2_000_000, ": ", ("more than 100,000 bytes",)),
    "a billion laughs": (BOMB, ":", ("more than 5,000 values", "aliases")),
    "a flat list": (f"a: [{'1,' * 40_000}]", ":1: ", ("more than 5,000 values",)),
    "a deep list": (f"a: {'[' * 1000}{']' * 1000}", ":1: ", ("more than 40 levels deep",)),
    "a deeper list": (f"a: {'[' * 40_000}{']' * 40_000}", ":1: ", ("more than 40 levels deep",)),
    "a list in itself": ("a: &a [*a]\n", ":1: ", ("more than 40 levels deep",)),
    "an unknown alias": ("study: *tiny\n", ":1: ", ("undefined alias 'tiny'",)),
    "a tag of Python": ("seed: 0\nstudy: !!python/object/apply:os.getcwd []\n", ":2: ", ("!!python/object/apply:os.getcwd",)),
    "a tag of your own": ("seed: !mine 3\n", ":1: ", ("!mine", "'3'", "remove the tag")),
    "a number that is none": ("seed: !!int abc\n", ":1: ", ("'abc'", "int")),
    "a number of 5,000 digits": (f"seed: {'9' * 5000}\n", ":1: ", ("'999", "int")),
    "a date": ("study: 2026-01-01\n", ":1: ", ("'2026-01-01'", "!!timestamp", "quote the value")),
    "a number as key": ("study: tiny\n3: 4\n", ":2: ", ("'3' is not a valid key", "quote it")),
    "a list as key": ("study: tiny\n[1, 2]: 3\n", ":2: ", ("a list is not a valid key",)),
    "a merge key": ("study: tiny\n<<: {seed: 3}\n", ":2: ", ("'<<' is not a valid key",)),
    "a directive": (f"%YAML 1.1\n---\n{BASE}", ":1: ", ("'%YAML 1.1'", "remove it")),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    text, place, words = FILES[name]
    spec = write(tmp_path, text)
    names(refused(spec), f"{spec}{place}", *words)


def test_a_missing_file_and_a_folder(tmp_path: Path, refused: Callable[..., str]) -> None:
    names(refused(tmp_path / "none.yaml"), f"{tmp_path / 'none.yaml'}: cannot be read: No such file")
    names(refused(tmp_path), f"{tmp_path} contains no study")


HOMELESS: list[tuple[str, str, str]] = [
    (DATASET, "dataset: ~nosuchuser/data.npz", "task.dataset"),
    (DATASET, "dataset: folder/~nosuchuser/images", "task.dataset"),
    (DATASET, "dataset: folder/images\n  unlabeled: ~nosuchuser/images", "task.unlabeled"),
    (DATASET, f"{DATASET}\n  folder: ~nosuchuser/data", "task.folder"),
    (RECIPE, "  checkpoint: ~nosuchuser/teacher.pth\n", "teacher.checkpoint"),
    ("trials: 2", "incumbent: {checkpoint: ~nosuchuser/own.pth}\n  trials: 2", "search.incumbent.checkpoint"),
]


@pytest.mark.parametrize(("old", "new", "path"), HOMELESS, ids=[case[2] + case[1][:20] for case in HOMELESS])
def test_the_home_of_nobody(old: str, new: str, path: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    text, _ = changed(old, new)
    names(refused(write(tmp_path, text)), "spec.yaml:", f"{path}: ", "'~nosuchuser/", "there is no user 'nosuchuser'")


PATHS = {"a null character": ('"a\\0b.npz"', "null character"), "a name too long": (f"{'a' * 5000}.npz", "is not a file")}


@pytest.mark.parametrize("name", PATHS)
def test_paths_that_no_file_can_have(name: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    written, words = PATHS[name]
    text, _ = changed(DATASET, f"dataset: {written}")
    names(refused(write(tmp_path, text)), "task.dataset", words)


def test_an_unreadable_file(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a patch, as root reads all."""

    def denied(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    spec = write(tmp_path)
    monkeypatch.setattr(Path, "open", denied)
    names(refused(spec), f"{spec}: cannot be read: Permission denied")


CHANGES: list[tuple[str, str, str, tuple[str, ...]]] = [
    # types
    ("trials: 2", "trials: two", "search.trials", ('"two"', "use a whole number")),
    ("trials: 2", 'trials: "2"', "search.trials", ('"2"', "use a whole number")),
    ("trials: 2", "trials: 2.0", "search.trials", ("2.0", "use a whole number")),
    ("trials: 2", "trials: true", "search.trials", ("true", "use a whole number")),
    ("trials: 2", "trials:", "search.trials", ("null", "set search.trials, search.time, or search.stop")),
    ("study: tiny", "study: 7", "study", ("7", "use a string")),
    ("3e-3", "fast", "teacher.recipe.learning_rate", ('"fast"', "use a number")),
    ("3e-3", "true", "teacher.recipe.learning_rate", ("true", "use a number")),
    ("{validation: 0.2, test: 0.2, seed: 0}", "[0.2, 0.2]", "task.split", ("[0.2, 0.2]", "seed, test, validation")),
    ("{params: 1000000}", "1000", "search.limits", ("1000", "bytes, core_params, macs, params")),
    ("[accuracy, params]", "accuracy", "search.objectives", ('"accuracy"', "use a list")),
    (TEACHER, "mlp", "teacher.architecture", ('"mlp"', "a mapping", "family")),
    (STUDENT, "mlp", "student.architecture", ('"mlp"', "a mapping", "family")),
    ("teacher:\n" + TRAINED, "teacher:\n", "teacher", ("null", "architecture, arguments, checkpoint, ensemble")),
    # ranges
    ("trials: 2", "trials: 0", "search.trials", ("0", "use 1 or more")),
    ("trials: 2", "trials: -2", "search.trials", ("-2", "use 1 or more")),
    ("epochs: 1,", "epochs: 0,", "teacher.recipe.epochs", ("0", "use 1 or more")),
    ("3e-3", "-1", "teacher.recipe.learning_rate", ("-1", "use a number above 0")),
    ("3e-3", ".nan", "teacher.recipe.learning_rate", ("NaN", "use a finite number")),
    ("3e-3", ".inf", "teacher.recipe.learning_rate", ("Infinity", "use a finite number")),
    ("3e-3", "1e400", "teacher.recipe.learning_rate", ("Infinity", "use a finite number")),
    ("temperature: 4", "temperature: 0", "assistants.loss.kd.temperature", ("0", "use 0.01 or more")),
    ("width: 16", "width: 1000000000", "teacher.architecture.width", ("1000000000", "use 65536 or less")),
    ("gpus: 0", "gpus: -1", "resources.gpus", ("-1", "use 0 or more, or 'auto'")),
    ("gpus: 0", "gpus: all", "resources.gpus", ('"all"', "use a number, or 'auto'")),
    ("cpus: 1", "cpus: 0", "resources.cpus", ("0", "use 0.1 or more")),
    ("1 MB", "1 XB", "resources.cache_limit", ('"1 XB"', "20 GB")),
    ("study: tiny", "study: a/b", "study", ('"a/b"', "letters, digits")),
    ("test: 0.2", "test: 1.5", "task.split.test", ("1.5", "use a number below 1")),
    ("validation: 0.2, test: 0.2", "validation: 0.5, test: 0.5", "task.split", ("0.5", "leave nothing to train on")),
    ("auto\n", "HCW\n", "task.layout", ('"HCW"', "'auto', 'D', 'CL', 'HW', 'CHW' or 'HWC'")),
    ("[accuracy, params]", "[f1, params]", "search.objectives", ("is f1", "task.metric is accuracy")),
    ("layout: auto", "samples: 0", "task.samples", ("0", "use 1 or more")),
    ("temperature: 4", "temperature: 1e300", "assistants.loss.kd.temperature", ("1e+300", "use 1000 or less")),
    (TEMPERATURE, "{log: [1, 1e308]}", "student.loss.kd.temperature", ("1e+308", "use 1000 or less")),
    (TEMPERATURE, "{log: [1e-320, 1]}", "student.loss.kd.temperature.log", ("too close to 0", "at least 1e-15")),
    (TEMPERATURE, "{log: [1, 1.0000000000001]}", "student.loss.kd.temperature.log", ("too narrow", "a wider range")),
    ("{uniform: [0, 1]}", "{uniform: [0, 5e-324]}", "student.loss.kd.weight.uniform", ("close to 0", "at least 1e-15")),
    ("weight: rest", "weight: 1e308", "student.loss.ce.weight", ("1e+308", "use 1e+06 or less, or 'rest'")),
    ("3e-3", "1e308", "teacher.recipe.learning_rate", ("1e+308", "use 1000 or less")),
    ("epochs: 1,", "epochs: 10000000,", "teacher.recipe.epochs", ("10000000", "use 1000000 or less")),
    ("batch_size: 16", "batch_size: 9223372036854775808", "teacher.recipe.batch_size", ("use 1000000 or less",)),
    ("trials: 2", "trials: 1000000000", "search.trials", ("1000000000", "use 1000000 or less")),
    ("trials: 2", "halving: {first: 5e-324}\n  trials: 2", "search.halving.first", ("5e-324", "use 1e-06 or more")),
    ("trials: 2", "halving: {factor: 1.000000001}\n  trials: 2", "search.halving.factor", ("use 1.01 or more",)),
    ("{params: 1000000}", f"{{params: {10**30}}}", "search.limits.params", ("use 1000000000000000000 or less",)),
    (WIDTH, f"{{int: [1, {10**401}]}}", "student.architecture.width.int", ("1000", "use 1000000000000000000 or less")),
    (WIDTH, f"{{int: [{-(10**401)}, 1]}}", "student.architecture.width.int", ("-1000", "use -1000000000000000000 or more")),
    (TEMPERATURE, f"{{log: [1, {10**401}]}}", "student.loss.kd.temperature.log", ("1000", "number")),
    (
        STUDENT,
        f"{{family: timm, name: resnet18, arguments: {{width: {10**401}}}}}",
        "student.architecture.arguments",
        ("1000", "out of range; use numbers from -65536 to 65536"),
    ),
    ("seed: 0\ntask", f"seed: {10**400}\ntask", "seed", ("1000", "use 1000000000000000000 or less")),
    ("threads: 1", "threads: 2147483648", "resources.threads", ("2147483648", "use 1024 or less")),
    ("cpus: 1", "cpus: 1e-9", "resources.cpus", ("1e-09", "use 0.1 or more")),
    ("gpus: 0", "gpus: 1e-9", "resources.gpus", ("1e-09", "a fraction from 0.01 to 1")),
    ("gpus: 0", "gpus: 1.5", "resources.gpus", ("1.5", "a whole number of GPUs")),
    ("1 MB", f"{10**30}", "resources.cache_limit", ("use 1000000000000000000 or less",)),
    ("1 MB", f"{'9' * 400} GB", "resources.cache_limit", ("20 GB",)),
    (
        STUDENT,
        "{family: timm, name: vit_tiny_patch16_224, arguments: {depth: 1000000000}}",
        "student.architecture.arguments",
        ("1000000000", "from -65536 to 65536"),
    ),
    # unknown names, at every level
    ("study: tiny", "stduy: tiny", "stduy", ("did you mean 'study'?",)),
    (DATASET, "datset: data.npz", "task.datset", ("did you mean 'dataset'?",)),
    ("validation: 0.2", "valid: 0.2", "task.split.valid", ("did you mean 'validation'?",)),
    ("depth: 2", "deph: 2", "teacher.architecture.deph", ("did you mean 'depth'?",)),
    ("learning_rate", "lr", "teacher.recipe.lr", ("batch_size, epochs, learning_rate, momentum",)),
    ("{weight: rest}", "{wieght: rest}", "student.loss.ce.wieght", ("did you mean 'weight'?",)),
    ("temperature: {log", "temprature: {log", "student.loss.kd.temprature", ("did you mean 'temperature'?",)),
    ("epochs: 2", "epoch: 2", "student.recipe.epoch", ("did you mean 'epochs'?",)),
    ("width: {int", "with: {int", "student.architecture.with", ("did you mean 'width'?",)),
    ("at_most", "atmost", "assistants.atmost", ("did you mean 'at_most'?",)),
    ("width: 6", "hidden: 3, width: 6", "assistants.ladder[0].hidden", ("use one of depth, embedding, family, width",)),
    ("{ce: {weight: 0.1}", "{ec: {weight: 0.1}", "assistants.loss.ec", ("did you mean 'ce'?",)),
    ("trials", "trails", "search.trails", ("did you mean 'trials'?",)),
    ("{params", "{parms", "search.limits.parms", ("did you mean 'params'?",)),
    ("cpus", "cpu", "resources.cpu", ("did you mean 'cpus'?",)),
    ("    kd: ", "    xyz: ", "student.loss.xyz", ("attention, balance, ce, cosine, dist, dkd",)),
    ("temperature: {log", "optinal: {log", "student.loss.kd.optinal", ("did you mean 'optional'?",)),
    ("kd: {weight: 0.9,", "kd: {optional: true,", "assistants.loss.kd.optional", ("'optional' is not a key here",)),
    ("mlp, depth: 2", "mpl, depth: 2", "teacher.architecture.family", ('"mpl"', "did you mean 'mlp'?")),
    (STUDENT, "{family: resnt, depth: 1, width: 2}", "student.architecture.family", ('"resnt"', "did you mean 'resnet'?")),
    (STUDENT, "{depth: 1, width: 2}", "student.architecture", ("needs a family", "mlp, convnet, resnet, timm_resnet")),
    (DATASET, "dataset: sklearn/digit", "task.dataset", ("'sklearn/digit'", "did you mean 'sklearn/digits'?")),
    (DATASET, "dataset: fashion-mnist", "task.dataset", ("'fashion-mnist'", "did you mean 'fashion_mnist'?")),
    (DATASET, "dataset: torchvision/CIFAR11", "task.dataset", ("'torchvision/CIFAR11'", "did you mean 'torchvision/CIFAR10'?")),
    (DATASET, "dataset: data.txt", "task.dataset", ("'data.txt'", "sklearn/digits, fashion_mnist", ".npz", "import:")),
    (DATASET, "dataset: [data.npz]", "task.dataset", ('["data.npz"]', "arguments, import")),
    ("[accuracy, params]", "[accuracy, prams]", "search.objectives[1]", ('"prams"', "params, core_params, macs, bytes")),
    ("trials: 2", "sampler: tep\n  trials: 2", "search.sampler", ('"tep"', "'tpe'")),
    # domains
    (WIDTH, "{int: []}", "student.architecture.width.int", ("[] is invalid", "[low, high]")),
    (WIDTH, "{int: [1, 2, 3]}", "student.architecture.width.int", ("[1, 2, 3]", "[low, high]")),
    (WIDTH, "{int: 3}", "student.architecture.width.int", ("3 is invalid", "[low, high]")),
    (WIDTH, "{int: [4, 1]}", "student.architecture.width.int", ("[4, 1] is empty", "put the smaller number first")),
    (WIDTH, "{int: [1.5, 3]}", "student.architecture.width.int", ("1.5", "use a whole number")),
    (WIDTH, "{int: [0, 3]}", "student.architecture.width", ("0 is invalid", "use 1 or more")),
    (WIDTH, "{uniform: [1, 3]}", "student.architecture.width", ("1.0", "use a whole number")),
    (WIDTH, "{choice: []}", "student.architecture.width.choice", ("[]", "at least one option")),
    (WIDTH, "{choice: [1, two]}", "student.architecture.width.choice[1]", ('"two"', "use a whole number")),
    (WIDTH, "{choice: [3, 4, 3]}", "student.architecture.width.choice[2]", ("3 equals option 0", "keep only one")),
    (WIDTH, "{itn: [1, 4]}", "student.architecture.width", ("'itn' is not a known domain", "did you mean 'int'?")),
    (WIDTH, "{foo: [1, 4]}", "student.architecture.width", ("'foo' is not a known domain", "choice, int, log, uniform")),
    (WIDTH, "{int: [1, 4], log: [1, 4]}", "student.architecture.width", ('{"int"', "one domain")),
    (TEMPERATURE, "{log: [0, 16]}", "student.loss.kd.temperature.log", ("0 is invalid", "use a number above 0")),
    (TEMPERATURE, "{log: [16, 1]}", "student.loss.kd.temperature.log", ("[16.0, 1.0] is empty",)),
    (TEMPERATURE, "{uniform: [0, 4]}", "student.loss.kd.temperature", ("0.0 is invalid", "use 0.01 or more")),
    (TEMPERATURE, "{uniform: [1, .inf]}", "student.loss.kd.temperature.uniform", ("Infinity", "a finite number")),
    ("width: 16", "width: {int: [1, 16]}", "teacher.architecture.width", ('{"int": [1, 16]}', "only student is searched")),
    ("trials: 2", "trials: {int: [1, 2]}", "search.trials", ('{"int": [1, 2]}', "only student is searched")),
    ("width: 6", "width: {int: [1, 6]}", "assistants.ladder[0].width", ('{"int": [1, 6]}', "only student is searched")),
    # texts of a form
    ("study: tiny", "study: a/b", "study", ('"a/b"', "at most 100 letters, digits")),
    ("cache_limit: 1 MB", "prices: {per_hour: 1, currency: euro}", "resources.prices.currency", ('"euro"', "such as USD")),
    # names before the first release
    (WHOLE, f"objective:\n{TERMS}", "student.objective", ("it is now called 'loss'",)),
    ("objectives: [accuracy, params]", "guard: false", "search.guard", ("it is now called 'label_baselines'",)),
    ("objectives: [accuracy, params]", "like: {checkpoint: a}", "search.like", ("it is now called 'incumbent'",)),
    ("layout: auto", "labelled: 0.5", "task.labelled", ("it is now called 'labeled'",)),
    ("layout: auto", "unlabelled: more", "task.unlabelled", ("it is now called 'unlabeled'",)),
    ("temperature: 4", "standardised: true", "assistants.loss.kd.standardised", ("it is now called 'standardized'",)),
    ("layout: auto", "guard: true", "task.guard", ("'guard' is not a key here; it belongs at search.label_baselines",)),
    # losses
    ("{uniform: [0, 1]}", "1.5", "student.loss", ("weight of kd can be 1.5", "leaves ce less than 0")),
    ("{uniform: [0, 1]}", "{uniform: [0, 1.5]}", "student.loss", ("weight of kd can be 1.5", "leaves ce less than 0")),
    ("{uniform: [0, 1]}", "rest", "student.loss", ("ce and kd have weight: rest", "only one term can")),
    ("{uniform: [0, 1]}", "-0.1", "student.loss.kd.weight", ("-0.1", "use 0 or more, or 'rest'")),
    ("weight: rest", "weight: resst", "student.loss.ce.weight", ('"resst"', "use a number, or 'rest'")),
    (f"loss:\n{TERMS}", "loss: {ce: {weight: 0}}\n", "student.loss", ("all weights are 0",)),
    (f"loss:\n{TERMS}", "loss: {}\n", "student.loss", ("has no term", "ce: {weight: 1}")),
    (f"loss:\n{TERMS}", "loss:\n", "student.loss", ("null", "attention, balance, ce")),
    (WHOLE, OPTIONAL.format("temperature: 0"), "student.loss.kd.temperature", ("0 is invalid", "use 0.01 or more")),
    (WHOLE, OPTIONAL.format("temprature: 3"), "student.loss.kd.temprature", ("did you mean 'temperature'?",)),
    (WHOLE, OPTIONAL.format("temperature: {log: [4, 1]}"), "student.loss.kd.temperature.log", ("is empty",)),
    (WHOLE, OPTIONAL.format("weight: 1.5"), "student.loss", ("weight of kd can be 1.5", "leaves ce less than 0")),
    (WHOLE, "loss: {ce: {}, kd: {optional: yes}}\n", "student.loss.kd.optional", ("'yes'", "use true or false")),
    (WHOLE, "loss: {kd: {optional: true}}\n", "student.loss", ("has no term",)),
    (WHOLE, "loss: {hint: {layers: []}}\n", "student.loss.hint.layers", ("[] names no layer", "remove layers")),
    (WHOLE, "loss: {hint: {layers: 0.5}}\n", "student.loss.hint.layers", ("0.5 is invalid", "use a list")),
    (WHOLE, "loss: {hint: {layers: [x]}}\n", "student.loss.hint.layers[0]", ('"x" is invalid', "use a number")),
    (WHOLE, "loss: {hint: {layers: [0]}}\n", "student.loss.hint.layers[0]", ("0 is invalid", "a number above 0")),
    (WHOLE, "loss: {hint: {layers: [{student: a}]}}\n", "student.loss.hint.layers[0].teacher", ("is missing",)),
    (
        WHOLE,
        "loss: {hint: {layers: [{student: a, teacher: 3}]}}\n",
        "student.loss.hint.layers[0].teacher",
        ("use a string",),
    ),
    (WHOLE, "loss: {kd: {warm_up: 1}}\n", "student.loss.kd.warm_up", ("1 is invalid", "use a number below 1")),
    (WHOLE, "loss: {attention: {kind: mapz}}\n", "student.loss.attention.kind", ('"mapz"', "'maps' or 'relations'")),
    (
        WHOLE,
        "loss: {attention: {relation_heads: 2}}\n",
        "student.loss.attention",
        ("not activations", "remove it"),
    ),
    (
        WHOLE,
        "loss: {attention: {kind: maps, between: [keys]}}\n",
        "student.loss.attention",
        ("between applies to relations, not maps", "remove it"),
    ),
    (
        WHOLE,
        "loss: {attention: {kind: relations, between: [keys, keys]}}\n",
        "student.loss.attention.between",
        ("['keys', 'keys'] is wrong", "queries, keys, values, each once"),
    ),
    (WHOLE, "loss: {kd: {}, balance: first}\n", "student.loss.balance", ('"first"', "'initial'")),
    (WHOLE, "loss: {kd: {}, drop_teachers: 1}\n", "student.loss.drop_teachers", ("1 is invalid", "a number below 1")),
    # teachers
    (TRAINED, f"{TRAINED}  import: a.b:c\n", "teacher", ("has architecture, import, recipe", "use architecture and recipe")),
    (TRAINED, f"{TRAINED}  arguments: {{a: 1}}\n", "teacher", ("has architecture, arguments, recipe", "import, or")),
    (TRAINED, f"  architecture: {TEACHER}\n", "teacher", ("has architecture;", "use architecture and recipe")),
    (f"teacher:\n{TRAINED}", "teacher: {}\n", "teacher", ("has nothing", "use architecture and recipe")),
    (TRAINED, f"{TRAINED}  loss: {{kd: {{}}}}\n", "teacher", ("no teacher of its own", "only have ce")),
    (TRAINED, "  import: nothing\n", "teacher.import", ("'nothing'", "package.module:function")),
    (TRAINED, "  import: a b:c\n", "teacher.import", ("'a b:c'", "package.module:function")),
    (DATASET, "dataset: {import: os.path}", "task.dataset.import", ("'os.path'", "package.module:function")),
    (DATASET, "dataset: {imprt: a:b}", "task.dataset.imprt", ("did you mean 'import'?",)),
    # assistants
    ("at_most: 1", "at_most: 3", "assistants.at_most", ("3 is more than the 2 sizes", "add sizes")),
    ("at_most: 1", "at_most: -1", "assistants.at_most", ("-1", "use 0 or more")),
    ("at_most: 1", "at_most: 1\n  at_least: 2", "assistants.at_least", ("2 is above at_most", "lower it")),
    ("width: 8", "width: 6", "assistants.ladder[1]", ("mlp depth=1 width=6", "is already ladder[0]", "keep only one")),
    ("{ce: {weight: 0.1}, kd: {weight: 0.9, temperature: 4}}", "{ce: {}}", "assistants.loss", ("learns from", "add kd")),
    ("  recipe: {epochs: 3, batch_size: 16}\n", "", "assistants.recipe", ("is missing",)),
    ("study: tiny\n", "", "study", ("is missing",)),
    # search
    ("[accuracy, params]", "[params, macs]", "search.objectives", ("['params', 'macs']", "the metric first")),
    ("[accuracy, params]", "[accuracy]", "search.objectives", ("['accuracy']", "one or more of params, core_params")),
    ("[accuracy, params]", "[accuracy, params, params]", "search.objectives", ("'params', 'params'", "the metric first")),
]
LINES = {"teacher": 7, "student.loss": 12, "assistants.recipe": 16, "assistants.at_least": 18}
"""Where the change does not begin at the line to be named."""


@pytest.mark.parametrize(("old", "new", "path", "words"), CHANGES, ids=[f"{case[2]} {case[1][:30]!r}" for case in CHANGES])
def test_values(old: str, new: str, path: str, words: tuple[str, ...], tmp_path: Path, refused: Callable[..., str]) -> None:
    text, line = changed(old, new)
    error = refused(write(tmp_path, text))
    names(error, f"spec.yaml:{LINES.get(path, line)}: {path}: ", *words)
    assert error.count("\n") == 1, f"one mistake, one line:\n{error}"


OVERRIDES: dict[str, tuple[str, ...]] = {
    "search.trials": ("does not have the form key.path=value", "search.trials=8"),
    "=3": ("does not have the form",),
    "search..trials=3": ("does not have the form",),
    "assistants.ladder[x].width=4": ("does not have the form",),
    "search.trails=3": ("search.trails: ", "did you mean 'trials'?"),
    "serach.trials=3": ("serach: ", "did you mean 'search'?"),
    "search.trials=x": ("search.trials: ", '"x"', "use a whole number"),
    "search.trials=": ("search.trials: ", "null"),
    "search.trials=[": ("is not valid YAML",),
    "search.trials=!!python/name:os.getcwd": ("!!python/name:os.getcwd",),
    "assistants.ladder[9].width=4": ("assistants.ladder is a list of 2", "[0] to [1]"),
    "assistants.ladder[0].width=0": ("assistants.ladder[0].width: ", "use 1 or more"),
    "study.name.first=3": ('study is "tiny", which has no keys', "'name'"),
    "task[0]=3": ("task is {", "has keys, not positions"),
    "teacher.recipe={epochs: 0}": ("teacher.recipe.epochs: ", "use 1 or more"),
    "teacher.import=a.b:c": ("spec.yaml:7 with ", "teacher: ", "has architecture, import, recipe"),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_overrides(override: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    names(refused(write(tmp_path), override), f"--set {override}: ", *OVERRIDES[override])


def test_an_override_below_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load(write(tmp_path), ["search.enqueue=[]", "search.enqueue[0].x=1"])
    assert str(error.value).endswith("does not exist: search.enqueue is a list of 0"), "it has no items to name"


DATA: dict[str, tuple[Callable[[], Arrays], tuple[str, ...]]] = {
    "NaN": (lambda: good() | {"x": at(good()["x"], 7, np.nan)}, ("x row 7", "NaN", "1 of 60", "drop, fill")),
    "infinity": (lambda: good() | {"x": at(good()["x"], 8, np.inf)}, ("x row 8", "infinity", "drop, fill")),
    "beyond float32": (lambda: good() | {"x": good()["x"].astype(float) * 1e300}, ("x row 0", "beyond float32", "scale")),
    "one class only": (lambda: good() | {"y": np.zeros(60, int)}, ("y has only one class (0)", "needs two")),
    "a negative label": (lambda: good() | {"y": at(good()["y"], 4, -1)}, ("y row 4", "-1", "out of range", "from 0")),
    "a huge label": (lambda: good() | {"y": at(good()["y"], 4, 10**12)}, ("y row 4", "1000000000000", "out of range")),
    "a label above int64": (lambda: good() | {"y": good()["y"].astype("u8") + 2**63}, ("y row 0", "out of range")),
    "a gap in the labels": (lambda: good() | {"y": good()["y"] * 2}, ("y has 3 classes", "no sample has label 1", "0 to 2")),
    "labels from 1": (lambda: good() | {"y": good()["y"] + 1}, ("no sample has label 0", "from 0 to 2")),
    "float labels": (lambda: good() | {"y": good()["y"] * 1.0}, ("y has floats that are only 3", "task.kind: classification")),
    "one-hot labels": (lambda: good() | {"y": np.eye(3)[good()["y"]]}, ("y has shape (60, 3)", "(60,)")),
    "too few labels": (lambda: good() | {"y": good()["y"][:50]}, ("y has shape (50,) for 60 samples",)),
    "x with one axis": (lambda: good() | {"x": good()["x"][:, 0]}, ("x has shape (60,)", "(samples, ...)")),
    "x without numbers": (
        lambda: good() | {"x": good()["x"][:, :0]},
        ("x has shape (60, 0)", "at least one number per sample"),
    ),
    "no samples": (lambda: {key: array[:0] for key, array in good().items()}, ("x has shape (0, 4)",)),
    "objects": (lambda: good() | {"x": good()["x"].astype(object)}, ("Object arrays", "not objects")),
    "texts": (lambda: good() | {"x": good()["x"].astype(str)}, ("x has dtype <U", "give numbers")),
    "complex numbers": (lambda: good() | {"x": good()["x"].astype(complex)}, ("x has dtype complex128", "give numbers")),
    "other names": (lambda: {"X": good()["x"], "labels": good()["y"]}, ("has X, labels", "give x and y, or x_train")),
    "no test labels": (
        lambda: {key: array for key, array in with_test().items() if key != "y_test"},
        ("has x_train, y_train, x_test", "give x and y, or x_train"),
    ),
    "a test split beside a pool": (
        lambda: good() | {"x_test": good()["x"], "y_test": good()["y"]},
        ("has x, y and x_test, y_test", "give either x and y, or x_train, y_train, x_test, and y_test"),
    ),
    "a pool beside a test split": (
        lambda: with_test() | good(),
        ("has x_train, y_train, x_test, y_test and x, y", "give either x and y"),
    ),
    "an unseen test label": (lambda: with_test() | {"y_test": np.full(9, 3)}, ("y_test row 0", "3", "labels up to 2")),
    "another shape of test samples": (
        lambda: with_test() | {"x_test": np.zeros((9, 2))},
        ("x_test has samples of shape (2,)", "x_train of (4,)", "make them equal"),
    ),
    "bytes beside floats": (
        lambda: with_test() | {"x_train": with_test()["x_train"].astype(np.uint8)},
        ("x_test has samples of shape (4,) and dtype float32", "x_train of (4,) and uint8", "make them equal"),
    ),
    "bytes beside unlabeled floats": (
        lambda: good() | {"x": good()["x"].astype(np.uint8), "x_unlabeled": good()["x"]},
        ("x_unlabeled has samples of shape (4,) and dtype float32", "x of (4,) and uint8", "make them equal"),
    ),
    "another scale of test samples": (
        lambda: with_test() | {"x_test": with_test()["x_test"] / 255},
        ("the values of x_test are about ", " times smaller than those of x_train", "scale both the same way"),
    ),
    "another scale of unlabeled samples": (
        lambda: good() | {"x_unlabeled": good()["x"] * 255},
        ("the values of x_unlabeled are about 255 times larger than those of x", "scale both the same way"),
    ),
    "an old name": (lambda: good() | {"x_unlabelled": good()["x"]}, ("x_unlabelled, which is called x_unlabeled now",)),
    "NaN in the test samples": (lambda: with_test() | {"x_test": at(with_test()["x_test"], 2, np.nan)}, ("x_test row 2",)),
}


@pytest.mark.parametrize("name", DATA)
def test_data(name: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    arrays, words = DATA[name]
    names(refused(write(tmp_path, arrays=arrays())), f"task.dataset: {tmp_path / 'data.npz'}", *words)


def zipped(texts: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return stream.getvalue()


def saved(damage: slice | None = None, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **good())
    data = bytearray(stream.getvalue())
    if damage is not None:
        data[damage] = b"\xff" * (damage.stop - damage.start)
    return bytes(data)


def one_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, good()["x"])
    return stream.getvalue()


ARCHIVES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "a text": (b"hello", ("is not a complete .npz file", "numpy.savez")),
    "an empty file": (b"", ("is not a complete .npz file",)),
    "a .npy file": (one_array(), ("is not a complete .npz file",)),
    "half a file": (saved()[:900], ("is not a complete .npz file",)),
    "damaged numbers": (saved(slice(300, 350)), ("is damaged", "numpy.savez")),
    "damaged and compressed": (saved(slice(100, 140), compressed=True), ("is damaged",)),
    "a zip of texts": (zipped({"x": b"hello", "y": b"hello"}), ("x has dtype", "give numbers")),
    "an empty zip": (zipped({}), ("has nothing", "give x and y")),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    data, words = ARCHIVES[name]
    text, _ = changed(DATASET, "dataset: other.npz")
    names(refused(write(tmp_path, text, other_npz=data)), f"task.dataset: {tmp_path / 'other.npz'}", *words)


def test_an_archive_beyond_the_memory(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodistill.data.sources.memory_bytes", lambda: 1_000)
    text, _ = changed(DATASET, f"{DATASET}\n  memory: resident")
    names(
        refused(write(tmp_path, text)),
        "task.memory: resident: ",
        "data.npz has 0.0 GB of arrays, and this machine has",
        "remove this key",
    )


def test_a_missing_archive(tmp_path: Path, refused: Callable[..., str]) -> None:
    text, _ = changed(DATASET, "dataset: none.npz")
    names(refused(write(tmp_path, text)), "task.dataset: ", f"{str(tmp_path / 'none.npz')!r} is not a file", "spec's directory")


def test_an_unreadable_archive(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a patch, as root reads all."""
    opened = Path.open

    def denied(path: Path, *mode: str) -> Any:
        if path.suffix == ".npz":
            raise PermissionError(13, "Permission denied")
        return opened(path, *mode)

    spec = write(tmp_path)
    monkeypatch.setattr(Path, "open", denied)
    names(refused(spec), "task.dataset: ", f"{tmp_path / 'data.npz'} cannot be read: Permission denied", "make it readable")


def few(counts: tuple[int, ...]) -> Arrays:
    y = np.repeat(np.arange(len(counts)), counts)
    return {"x": np.random.default_rng(0).normal(size=(len(y), 4)), "y": y}


SPLITS: list[tuple[str, str, tuple[int, ...], tuple[str, ...]]] = [
    ("test: 0.2", "test: 0.01", (20, 20, 20), ("task.split.test: 0.01 of 60 samples", "1 and 59", "from 3 to 57")),
    ("validation: 0.2", "validation: 0.01", (20, 20, 20), ("task.split.validation: 0.01 of 60 samples", "from 3 to 45")),
    ("test: 0.2", "test: 0.2", (30, 29, 1), ("task.split.test: 0.2 of 60 samples: class 2 has only 1", "add samples")),
    ("test: 0.2", "test: 0.2", (30, 28, 2), ("task.split.test: 0.2 of 60", "no sample of class 2 in the test part")),
    ("layout: auto", "samples: 100", (20, 20, 20), ("task.samples: 100 is more than the 48 samples", "lower or remove it")),
    ("layout: auto", "samples: 1", (20, 20, 20), ("task.samples: 1 of 48", "from 3 to 45")),
    (
        "layout: auto",
        "samples: 3",
        (20, 20, 20),
        ("task.split.validation: 0.2 of 3 samples: class 0 has only 1", "add samples"),
    ),
    ("layout: auto", "layout: CHW", (20, 20, 20), ("task.layout: CHW has 3 axes", "(4,)", "remove it")),
    ("layout: auto", "fingerprint: abcd", (20, 20, 20), ("task.fingerprint: ", "abcd", "use the same data")),
]


@pytest.mark.parametrize(("old", "new", "counts", "words"), SPLITS, ids=[f"{case[1]} {case[2]}" for case in SPLITS])
def test_splits(
    old: str, new: str, counts: tuple[int, ...], words: tuple[str, ...], tmp_path: Path, refused: Callable[..., str]
) -> None:
    text, _ = changed(old, new)
    names(refused(write(tmp_path, text, few(counts))), *words)


IMPORTS: dict[str, tuple[str, ...]] = {
    "no_such_module:function": ("no_such_module", "PYTHONPATH"),
    f"{__name__}:gives_thre": ("has no 'gives_thre'", "did you mean 'gives_three'?"),
    f"{__name__}:three": ("three is of type int", "not callable"),
    f"{__name__}:raises": ("raises called with no arguments failed with RuntimeError: no weights",),
    f"{__name__}:gives_three": ("gives_three", "int", "return"),
    "wrong_syntax:function": ("importing wrong_syntax failed with SyntaxError", "try it alone"),
    "leaves_at_once:function": ("importing leaves_at_once failed with SystemExit", "try it alone"),
    f"{__name__}:closes": ("closes called with no arguments failed with GeneratorExit",),
    f"{__name__}:unprintable": ("failed with Unprintable: its message cannot be printed",),
    "sys:nothing": ("sys (built in) has no 'nothing'",),
    "refuses_names:function": ("refuses_names failed with KeyError: 'function'",),
    "aborts_at_once:function": ("its process was terminated by SIGABRT", "last output: going down", "import aborts_at_once"),
    "aborts:function": ("its process was terminated by SIGABRT", "run it alone"),
    "faults:function": ("its process was terminated by SIGSEGV", "run it alone"),
    "os:abort": ("its process was terminated by SIGABRT", "run it alone"),
    "exits:function": ("its process exited with code 0", "run it alone"),
}
MODULES = {
    "wrong_syntax": "def function(:\n",
    "leaves_at_once": "raise SystemExit(3)\n",
    "refuses_names": "def __getattr__(name):\n    raise KeyError(name)\n",
    "aborts_at_once": "import os\nos.write(2, b'going down\\n')\nos.abort()\n",
    "aborts": "import os\ndef function():\n    os.abort()\n",
    "faults": "import ctypes\ndef function():\n    ctypes.string_at(0)\n",
    "exits": "import os\ndef function():\n    os._exit(0)\n",
}


OF_DATA: dict[str, tuple[str, ...]] = {
    f"{__name__}:leaves": (),
    f"{__name__}:ragged": (),
    f"{__name__}:closed": ("reading the return value of", "closed failed with OSError: the file is closed"),
    f"{__name__}:no_arrays": ("x cannot be converted to an array (KeyError: 'no column')",),
}


@pytest.mark.parametrize("name", [*IMPORTS, *OF_DATA])
def test_imported_data(name: str, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text, _ = changed(DATASET, f"dataset: {{import: '{name}'}}")
    for module, source in MODULES.items():
        (tmp_path / f"{module}.py").write_text(source)
    names(refused(write(tmp_path, text)), "task.dataset", name, *(IMPORTS | OF_DATA)[name])


OF_TEACHERS = {f"{__name__}:no_module": ("returned a value of type NoArray; return a torch.nn.Module",)}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMPORTS, *OF_TEACHERS])
def test_imported_teachers(name: str, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text, _ = changed(TRAINED, f"  import: {name}\n")
    for module, source in MODULES.items():
        (tmp_path / f"{module}.py").write_text(source)
    words = [word.replace(" called with no arguments", "()") for word in (IMPORTS | OF_TEACHERS)[name]]
    names(refused(write(tmp_path, text)), name, *words)


HELPED = """
import os, subprocess
def function(place, text=""):
    child = subprocess.Popen(["sleep", "600"])
    with open(place, "w") as file:
        file.write(f"{child.pid} {len(text)}")
"""


@pytest.mark.parametrize("name", ["helped", "helped_again"])
def test_a_function_whose_helpers_live_on_is_not_waited_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one called with more than a command line holds, or from where sys.path has a Path."""
    (tmp_path / f"{name}.py").write_text(HELPED)
    monkeypatch.syspath_prepend(tmp_path)
    if name == "helped_again":
        monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    place = tmp_path / "pid"
    probe(f"{name}:function", {"place": str(place), "text": "x" * 200_000})
    pid, length = place.read_text().split()
    assert int(length) == 200_000
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def test_a_teacher_of_other_classes(tmp_path: Path, refused: Callable[..., str]) -> None:
    text, _ = changed(TRAINED, f"  import: {__name__}:five_classes\n")
    names(refused(write(tmp_path, text)), "teacher.import: ", "five_classes", "(2, 5)", "(2, 3)")


CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "a text": (b"hello", "is not a readable safetensors file"),
    "an empty file": (b"", "is not a readable safetensors file"),
    "a wrong header": (b'\x08\0\0\0\0\0\0\0{"a": 1}', "is not a readable safetensors file"),
    "other tensors": (save({"weight": torch.zeros(3)}), "does not fit mlp depth=2 width=16"),
    "other shapes": (save({"1.weight": torch.zeros(3)}), "does not fit mlp depth=2 width=16"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(name: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    data, words = CHECKPOINTS[name]
    text, _ = changed(RECIPE, "  checkpoint: teacher.safetensors\n")
    spec = write(tmp_path, text, teacher_safetensors=data)
    names(refused(spec), f"teacher.checkpoint: {tmp_path / 'teacher.safetensors'}", words)


def test_a_missing_checkpoint(tmp_path: Path, refused: Callable[..., str]) -> None:
    text, _ = changed(RECIPE, "  checkpoint: none.safetensors\n")
    names(refused(write(tmp_path, text)), "teacher.checkpoint: ", f"{str(tmp_path / 'none.safetensors')!r} is not a file")


MODELS: list[tuple[str, str, tuple[str, ...]]] = [
    (STUDENT, "{family: timm, name: resnet81}", ("no model 'resnet81'", "resnet18")),
    (STUDENT, "{family: timm, name: {choice: [resnet18, resnet81]}}", ("no model 'resnet81'", "resnet18")),
    (STUDENT, "{family: timm, name: resnet18, arguments: {foo: 3}}", ("timm resnet18", "{'foo': 3}")),
    (STUDENT, "{family: timm, name: resnet18, arguments: {in_chans: 3}}", ("timm resnet18", "in_chans", "sets itself")),
    (STUDENT, "{family: timm, name: vit_tiny_patch16_224}", ("vit_tiny_patch16_224", "(1, 8, 8)")),
    ("{params: 1000000}", "{params: 3}", ("search.limits", "raise the limits")),
    ("width: 8}", "width: 800}", ("assistants.ladder[1]", "mlp depth=1 width=800", "smaller than the teacher")),
    ("1 MB", "100", ("resources.cache_limit", "above the limit of 100", "raise it")),
    (TEACHER, "{family: mlp, depth: 1000, width: 65536}", ("teacher.architecture: ", "the weights of mlp", "this machine has")),
]


@pytest.mark.parametrize(("old", "new", "words"), MODELS, ids=[case[1] for case in MODELS])
def test_models(old: str, new: str, words: tuple[str, ...], tmp_path: Path, refused: Callable[..., str]) -> None:
    text, _ = changed(old, new)
    names(refused(write(tmp_path, text, images())), *words)


def test_students_beyond_the_memory(tmp_path: Path, refused: Callable[..., str]) -> None:
    spec = write(
        tmp_path, BASE.replace("{int: [1, 4]}", "{choice: [4, 65536]}").replace("depth: 1, width: {", "depth: 99, width: {")
    )
    names(refused(spec, "search.limits={}"), "student.architecture: ", "width=65536", "the weights of", "search.limits.params")


def test_no_time_is_taken_of_what_may_not_be_trained_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load(write(tmp_path))
    monkeypatch.setattr("autodistill.study.preflight.check.memory_bytes", lambda: 1_000)
    found = check(spec)
    assert found.seconds is None and "training mlp depth=2 width=16 needs 0.0 GB" in found.cautions[-1]


@pytest.mark.parametrize("old", [STUDENT, TEACHER])
def test_timm_on_vectors(old: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    text, _ = changed(old, "{family: timm, name: resnet18}")
    names(refused(write(tmp_path, text)), "resnet18 takes images", "(4,)", "use family resnet, convnet, or mlp")


@pytest.mark.slow
def test_check_and_search_refuse_more_processors_than_there_are_alike(
    tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = changed("cpus: 1", "cpus: 100000")
    spec = write(tmp_path, text)
    said = refused(spec)
    names(said, "resources.cpus: 100000 is more than any machine has", f"use {cores()} or less")
    for runner in ("serial", "ray"):
        assert main(["search", str(spec), "--runner", runner, "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr().err == said and not (tmp_path / "out" / "study.db").exists()


COMMAND = [sys.executable, "-c", "from autodistill.cli import main; raise SystemExit(main())", "check"]
PROCESSES: dict[str, tuple[str, Arrays | None, tuple[str, ...]]] = {
    "a billion laughs": (BOMB, None, ("spec.yaml", "5,000 values")),
    "two mistakes": (
        BASE.replace("trials: 2", "trials: 0").replace("cpus", "cpu"),
        None,
        ("spec.yaml:22: search.trials", "spec.yaml:25: resources.cpu"),
    ),
    "NaN": (BASE, good() | {"x": at(good()["x"], 7, np.nan)}, ("task.dataset", "x row 7")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_processes(name: str, tmp_path: Path) -> None:
    text, arrays, words = PROCESSES[name]
    spec = write(tmp_path, text, arrays)
    done = subprocess.run([*COMMAND, str(spec), "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    names(done.stderr, *words)
    assert json.loads(done.stdout)["exit_code"] == 2


def test_all_at_once(tmp_path: Path) -> None:
    text = BASE.replace("study: tiny", "study: a/b").replace("depth: 2", "deph: 2").replace("{int: [1, 4]}", "{int: [4, 1]}")
    text = text.replace("at_most: 1", "at_most: 5").replace("trials: 2", "trials: two")
    with pytest.raises(SpecError) as caught:
        load(write(tmp_path, text), ["resources.cpus=0", "=3"])
    found = {problem.path: problem.place.rpartition("spec.yaml:")[2] for problem in caught.value.problems}
    lines = {"study": "1", "teacher.architecture.deph": "8", "student.architecture.width.int": "11"}
    others = {"assistants.at_most": "17", "search.trials": "22", "resources.cpus": "--set resources.cpus=0", "": "--set =3"}
    assert found == lines | others
