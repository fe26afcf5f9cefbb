"""The command line as a person and as a program use it."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill.cli import main
from autodistill.spec import Spec, load
from autodistill.study.record.directory import dump
from benchmarks.wordnet_nouns import LABELED, OTHERS, nouns, write

from .minilm import MINILM, NOUNS, needs_minilm, needs_wordnet
from .searching import search

SPACES = sorted((Path(__file__).parent.parent / "search_spaces").glob("*.yaml"))


@pytest.fixture
def path(tiny: Callable[..., Spec], tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(dump(tiny(search__trials=4).document()))
    return path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main([*words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_search_prints_one_json_object_with_all_that_was_promised(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = call(capsys, "search", str(path), "--out", str(tmp_path / "out"), "--runner", "serial")
    assert code == 0 and found["out"] == str(tmp_path / "out") and found["seconds"] > 0
    assert {"accuracy", "params", "seconds"} <= found["teacher"].keys()
    assert found["trials"] == {"complete": 4, "stopped": 0, "failed": 0}
    assert found["stages"]["trained"] >= 5 and found["stages"]["reused"] >= 0
    assert {"stage", "role", "params", "macs", "accuracy", "architecture", "chain"} <= found["frontier"][0].keys()
    assert found["hypervolume"].keys() == {"value", "reference"}


NOISY = """
import atexit, ctypes, os

def data():
    os.write(1, b"written\\n")
    ctypes.CDLL(None).printf(b"printed by C\\n")
    os.system("echo echoed")
    print("printed")
    atexit.register(os.write, 1, b"at the end\\n")
    return 3
"""


@pytest.mark.slow
def test_nothing_else_reaches_standard_output(path: Path, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    command = [sys.executable, "-m", "autodistill", "check", str(path), "--set", "task.dataset={import: noisy:data}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout)["exit_code"] == 2 and done.stdout.count("\n") == 1
    for word in ("written", "printed by C", "echoed", "printed", "at the end"):
        assert f"{word}\n" in done.stderr


def test_tables_and_json_agree(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    _, found, _ = call(capsys, "search", str(path), "--out", str(out), "--runner", "serial")
    written = json.loads((out / "frontier.json").read_text())
    assert written["frontier"] == found["frontier"] and written["hypervolume"] == found["hypervolume"]
    with (out / "frontier.csv").open() as file:
        members = list(csv.DictReader(file))
    assert [row["stage"] for row in members] == [row["stage"] for row in found["frontier"]]
    with (out / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["role"] == "teacher" and sum(row["trial"] != "" for row in rows) == 4
    assert float(rows[-1]["param.architecture.width"]) >= 1


@pytest.mark.slow
def test_report_draws_the_same_again(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    call(capsys, "search", str(path), "--out", str(out), "--runner", "serial")
    names = ("trials.csv", "frontier.csv", "frontier.json", "frontier.png", "frontier.svg")
    before = {name: (out / name).read_bytes() for name in names}
    for name in names:
        (out / name).unlink()
    code, found, _ = call(capsys, "report", str(out))
    assert code == 0 and found["frontier"]
    assert {name: (out / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_the_record_opens_in_optuna_dashboard(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from wsgiref.util import setup_testing_defaults

    from optuna_dashboard import wsgi

    call(capsys, "search", str(path), "--out", str(tmp_path / "out"), "--runner", "serial")
    environment: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(environment)
    statuses: list[str] = []
    body = b"".join(wsgi(f"sqlite:///{tmp_path / 'out' / 'study.db'}")(environment, lambda status, *_: statuses.append(status)))
    assert statuses == ["200 OK"]
    assert [study["study_name"] for study in json.loads(body)["study_summaries"]] == ["tiny"]


@pytest.mark.slow
def test_a_moved_folder_is_still_a_study(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "search", str(path), "--out", str(tmp_path / "out"), "--runner", "serial")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert call(capsys, "report", str(tmp_path / "moved"))[0] == 0
    code, _, errors = call(capsys, "search", str(path), "--out", str(tmp_path / "moved"), "--runner", "serial")
    assert code == 0 and "nothing to do" in errors


@pytest.mark.slow
@pytest.mark.parametrize("role", ["teacher", "assistant", "student"])
def test_the_command_that_explain_gives_makes_the_same_weights(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    study = search(tiny(search={"trials": 8, "limits": {"params": 400}}), out=tmp_path / "out", runner="serial")
    rows = [row for row in study.rows() if row.role == role and (role != "student" or row.chain.count(">") == 2)]
    key = rows[0].stage
    code, found, _ = call(capsys, "explain", str(tmp_path / "out"), key[:10])
    assert code == 0 and found["stage"] == key and found["chain"][-1]["stage"] == key
    words = shlex.split(found["command"])
    assert words[0] == "autodistill"
    assert main([*words[1:], "--runner", "serial"]) == 0
    again = Path(words[words.index("--out") + 1]) / "store" / "stages" / key
    paths = [next(place.glob("*/model.safetensors")) for place in (again, tmp_path / "out" / "store" / "stages" / key)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.slow
def test_explain_says_what_it_does_not_know(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "search", str(path), "--out", str(tmp_path / "out"), "--runner", "serial")
    code, found, _ = call(capsys, "explain", str(tmp_path / "out"), "zzz")
    assert code == 2 and "matches no stored stage" in found["error"]
    code, found, _ = call(capsys, "explain", str(tmp_path / "out"), "")
    assert code == 2 and "stages, such as" in found["error"]


def test_a_folder_without_a_study_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("report", str(tmp_path)), ("explain", str(tmp_path), "k")):
        code, found, errors = call(capsys, *words)
        assert code == 2 and "contains no study" in found["error"] and "contains no study" in errors


@pytest.mark.parametrize("option", ["--out", "--store"])
@pytest.mark.parametrize("place", ["file", "file/store", "loop", "loop/store", "n" * 300, f"{'n' * 300}/store", "/proc/none"])
def test_a_place_that_can_hold_nothing_is_a_wrong_argument(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, place: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    given = {"--out": str(tmp_path / "out")} | {option: str(tmp_path / place)}
    words = [word for pair in given.items() for word in pair]
    code, found, _ = call(capsys, "search", str(path), *words, "--runner", "serial")
    assert code == 2 and "cannot be written to" in found["error"] and given[option] in found["error"]
    assert f"another {option}" in found["error"]


@pytest.mark.parametrize("option", ["--out", "--store"])
def test_a_url_is_not_a_folder(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"--out": str(tmp_path / "out")} | {option: "s3://bucket/stages"}
    words = [word for pair in given.items() for word in pair]
    code, found, _ = call(capsys, "search", str(path), *words, "--runner", "serial")
    assert code == 2 and f"{option} s3://bucket/stages: this is a URL; give a folder" in found["error"]
    assert not (tmp_path / "s3:").exists()


@pytest.mark.parametrize("command", ["search", "chain"])
def test_a_file_in_place_of_the_stages_is_named(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "out" / "store").mkdir(parents=True)
    (tmp_path / "out" / "store" / "stages").touch()
    words = ["--student", "depth=1,width=2"] if command == "chain" else []
    code, found, _ = call(capsys, command, str(path), "--out", str(tmp_path / "out"), "--runner", "serial", *words)
    assert code == 2 and f"{tmp_path / 'out' / 'store' / 'stages'}" in found["error"]
    assert "remove what is in the way" in found["error"]


def test_errors_are_one_object_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found, errors = call(capsys, "search", str(tmp_path / "none.yaml"))
    assert code == 2 == found["exit_code"] and "cannot be read" in found["error"] and "Traceback" not in errors


def test_an_unknown_option_is_exit_code_2() -> None:
    done = subprocess.run([sys.executable, "-m", "autodistill", "search", "--jason", "--json"], capture_output=True, text=True)
    assert done.returncode == 2 and json.loads(done.stdout)["exit_code"] == 2


def test_debug_shows_where(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "autodistill", "check", str(tmp_path / "none.yaml"), "--debug"]
    assert "Traceback" in subprocess.run(command, capture_output=True, text=True).stderr


def test_check_says_what_a_search_would_do(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, _ = call(capsys, "check", str(path))
    assert code == 0
    assert found["architectures"] == {"count": 24, "all": True, "too_large": 0}
    assert found["params"] == [12 + 1 + 4 + 4, 12 * 12 + 12 + 12 * 12 + 12 + 12 * 4 + 4]
    assert found["stages"] == {"most": 1 + 2 + 4, "shared": 3, "baselines": 0}
    assert found["data"]["train"] == 160 and found["data"]["validation"] == 80 and found["data"]["test"] == 80
    assert found["cache_bytes"] == 3 * 160 * 4 * 4
    low, high = found["data"]["test_interval_at_90"]
    assert low < 0.9 < high
    assert found["seconds"]["total"] > 0
    assert main(["check", str(path)]) == 0
    text = capsys.readouterr().out
    assert "24 architectures" in text and "sealed" in text and "trained from labels" in text


def test_set_overrides_any_value(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    changes = ("--set", "search.trials=2", "--set", "assistants.at_most=0")
    _, found, _ = call(capsys, "search", str(path), "--out", out, "--runner", "serial", *changes)
    assert found["trials"]["complete"] == 2
    assert load(Path(out) / "spec.yaml").assistants.at_most == 0


def test_a_resolved_spec_is_a_spec(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "search", str(path), "--out", str(tmp_path / "out"), "--runner", "serial")
    resolved = str(tmp_path / "out" / "spec.yaml")
    code, _, errors = call(capsys, "search", resolved, "--out", str(tmp_path / "out"), "--runner", "serial")
    assert code == 0 and "nothing to do" in errors


@pytest.mark.slow
def test_a_teacher_of_ones_own_is_imported(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = f"{{import: 'tests.own:nearest', arguments: {{path: {tmp_path / 'data.npz'}}}}}"
    code, found, _ = call(
        capsys, "search", str(path), "--out", str(tmp_path / "out"), "--runner", "serial", "--set", f"teacher={teacher}",
        "--set", "assistants.at_most=0",
    )  # fmt: skip
    assert code == 0 and found["teacher"]["accuracy"] > 0.8 and found["teacher"]["seconds"] == 0


@pytest.mark.parametrize("kind", ["tuple", "nan", "few", "exit", "wide", "value", "assert", "leave"])
def test_a_teacher_that_misbehaves_is_refused(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Right on two samples, wrong on more; or wrong from the start."""
    teacher = f"{{import: 'tests.own:odd', arguments: {{kind: {kind}}}}}"
    code, found, _ = call(capsys, "check", str(path), "--set", f"teacher={teacher}", "--set", "assistants.at_most=0")
    assert code == 2 and ": teacher.import: " in found["error"]


def test_a_teacher_with_tied_weights_in_another_order_is_taken(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = "{import: 'tests.own:odd', arguments: {kind: tied}}"
    code, found, errors = call(capsys, "check", str(path), "--set", f"teacher={teacher}", "--set", "assistants.at_most=0")
    assert code == 0, errors


def test_code_of_ones_own_may_print(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = f"{{import: 'tests.own:chatty', arguments: {{path: {tmp_path / 'data.npz'}}}}}"
    code, found, errors = call(capsys, "check", str(path), "--set", f"task.dataset={dataset}")
    assert code == 0 and found["data"]["train"] == 160 and "hello from my loader" in errors


@pytest.mark.slow
def test_a_teacher_from_a_checkpoint(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, first, _ = call(capsys, "search", str(path), "--out", str(tmp_path / "one"), "--runner", "serial")
    weights = next((tmp_path / "one" / "store" / "stages" / first["teacher"]["stage"]).glob("*/model.safetensors"))
    teacher = f"{{checkpoint: {weights}, architecture: {{family: mlp, depth: 1, width: 64}}}}"
    code, found, _ = call(
        capsys, "search", str(path), "--out", str(tmp_path / "two"), "--runner", "serial", "--set", f"teacher={teacher}"
    )
    assert code == 0 and found["teacher"]["accuracy"] == first["teacher"]["accuracy"]
    assert found["teacher"]["stage"] != first["teacher"]["stage"]


@pytest.mark.slow
def test_a_signal_of_shape_n_1_l_works_with_resnet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    t = np.linspace(0, 6.28, 40)
    x = np.sin(t * (y[:, None] + 1)) + rng.normal(size=(300, 40)) * 0.3
    np.savez(tmp_path / "signal.npz", x=x[:, None], y=y)
    recipe = {"epochs": 6, "batch_size": 32, "learning_rate": 0.01}
    document = {
        "study": "signal",
        "task": {"dataset": "signal.npz"},
        "teacher": {"architecture": {"family": "resnet", "depth": 1, "width": 8}, "recipe": recipe},
        "student": {
            "architecture": {"family": "resnet", "depth": 1, "width": {"int": [1, 4]}},
            "loss": {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 1]}, "temperature": 2.0}},
            "recipe": recipe,
        },
        "search": {"trials": 5},
        "resources": {"gpus": 0},
    }
    (tmp_path / "spec.yaml").write_text(dump(document))
    out = str(tmp_path / "out")
    code, found, _ = call(capsys, "search", str(tmp_path / "spec.yaml"), "--out", out, "--runner", "serial")
    assert code == 0 and found["frontier"][-1]["accuracy"] > 0.6


QUICK = ("digits", "vit")
CHECKED = [path if path.stem in QUICK else pytest.param(path, marks=pytest.mark.slow, id=path.stem) for path in SPACES]


def wordnet(folder: Path) -> list[str]:
    """The changes that its search space needs: where its texts and its teacher are. Skips the test if they are not at hand."""
    if MINILM is None or not NOUNS.is_file():
        pytest.skip(" and ".join(mark.kwargs["reason"] for mark in (needs_minilm, needs_wordnet)))
    write(nouns(NOUNS), folder, seed=0)
    texts = {"dataset": LABELED, "unlabeled": OTHERS}
    return [f"teacher.architecture.checkpoint={MINILM}", *(f"task.{key}={folder / name}" for key, name in texts.items())]


@pytest.mark.slow
@pytest.mark.parametrize("space", CHECKED, ids=lambda path: path.stem)
def test_every_space_that_is_shipped_passes_check(space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On data of the right shape where the real ones are not at hand."""
    head = space.read_text().split("study:")[0]
    assert all(word in head for word in ("# Purpose:", "# Command:", "# Time:", "# Expect:"))
    changes = ["resources.gpus=0"]
    if "cifar" in space.stem:
        classes = 100 if "100" in space.stem else 10
        y = np.arange(classes * 12) % classes
        x = np.random.default_rng(0).integers(0, 255, (len(y), 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:classes], y_test=y[:classes])
        changes += [f"task.dataset={tmp_path / 'data.npz'}", "task.split.validation=0.2"]
    elif "dataset: fashion_mnist" in space.read_text() and not Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    elif space.stem == "wordnet_text":
        changes += wordnet(tmp_path)
    code, found, errors = call(capsys, "check", str(space), *(word for change in changes for word in ("--set", change)))
    assert code == 0, errors
    assert found["params"][1] < found["teachers"][0]["params"]


@pytest.mark.parametrize(
    ("task", "overrides", "place", "said"),
    [
        ("{dataset: t.csv, label: nothing}", [], "spec.yaml:3: ", "task.label: there is no column 'nothing'"),
        ("{dataset: t.csv}", [], "spec.yaml:3: ", "task.label is missing"),
        ("{dataset: t.csv, label: a}", ["task.label=b"], "--set task.label=b: ", "task.label: there is no column 'b'"),
    ],
)
def test_an_error_that_only_the_data_show_has_the_line_of_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, overrides: list[str], place: str, said: str
) -> None:
    (tmp_path / "t.csv").write_text("a,c\n1,x\n2,y\n")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "study: t\n\n"
        f"task: {task}\n"
        "teacher: {architecture: {family: mlp, depth: 1, width: 4}, recipe: {epochs: 1}}\n"
        "student: {architecture: {family: mlp, depth: 1, width: {int: [1, 3]}}, recipe: {epochs: 1}}\n"
        "search: {trials: 2}\n"
    )
    words = [word for one in overrides for word in ("--set", one)]
    code, found, _ = call(capsys, "check", str(spec), *words)
    assert code == 2 and found["problems"] == []
    assert f"{place}{said}" in found["error"] and (overrides or found["error"].startswith(str(tmp_path)))
