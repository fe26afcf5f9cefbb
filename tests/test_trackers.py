"""Trackers with their real local back ends, and trackers that fail, hang, or have no room."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from autodistill import spec
from autodistill.api.tracking import tracked
from autodistill.cli import main
from autodistill.reporting.progress import Progress
from autodistill.reporting.trackers import Run, Tracker, Trackers, channel
from autodistill.reporting.trackers.channel import Channel
from autodistill.reporting.trackers.logged import Logged
from autodistill.reporting.trackers.values import Due
from autodistill.spec import Spec, Stage, StoreError, UsageError, label_only
from autodistill.study import driver
from autodistill.study.driver import Options, Together
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.opened import open_study
from autodistill.study.schedule.scheduler import Study

from . import pages
from .conftest import RECIPE
from .searching import search
from .tracked import Offline, offline_runs

EVERYWHERE = {"tensorboard": {}, "mlflow": {}, "wandb": {"mode": "offline"}}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a study that every tracker logged."""
    return pages.searched(tmp_path_factory.mktemp("logged"), halving={}, region=0.9, log=EVERYWHERE)


@pytest.fixture(scope="module")
def client(logged: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{logged / 'mlflow.db'}")


def mlflow_runs(client: Any, experiment: str = "tiny") -> dict[str, Any]:
    """Runs by name; two of one name are an error."""
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    names = [run.info.run_name for run in found]
    assert len(names) == len(set(names)), names
    return dict(zip(names, found, strict=True))


def numbers(directory: Path) -> list[int]:
    with open_study(StudyDirectory(directory)) as study:
        return [trial.number for trial in study.trials]


def expected(directory: Path, search: str) -> set[str]:
    return {"teacher", search, *(f"trial-{number:04}" for number in numbers(directory)), *baselines(directory)}


def baselines(directory: Path) -> dict[str, set[str]]:
    """The runs of label-only baselines, with the stages of the students that each is compared with."""
    found: dict[str, set[str]] = {}
    with open_study(StudyDirectory(directory)) as study:
        for row in study.rows():
            network = None if row.label_only is None else study.stages.network(row.stage)
            if isinstance(network, Stage):
                found.setdefault(f"label-only-{label_only(network).key()[:8]}", set()).add(row.stage)
    return found


@pytest.mark.slow
def test_mlflow_has_a_run_for_each_trial_below_that_of_the_search(logged: Path, client: Any) -> None:
    found = mlflow_runs(client)
    assert found.keys() == expected(logged, "tiny")
    top = found.pop("tiny").info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {top}
    with open_study(StudyDirectory(logged)) as study:
        for trial in study.trials:
            run = found[f"trial-{trial.number:04}"]
            assert run.data.params["architecture.width"] == str(trial.params["architecture.width"])
            assert run.data.metrics["params"] == trial.facts.params and run.data.metrics["bytes"] == trial.facts.bytes
            assert run.data.tags["chain"] == trial.facts.chain and run.data.tags["stage"] == trial.facts.stage
            assert run.info.status == {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}[trial.state]
            course = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "accuracy")}
            assert dict(trial.facts.rungs).items() <= course.items()
            if trial.values is not None:
                assert course[max(course)] == trial.value == run.data.metrics["accuracy"]
    assert {"complete", "stopped"} <= {run.data.tags["state"] for run in found.values()}


@pytest.mark.slow
def test_mlflow_has_the_picture_and_the_page_of_the_search(logged: Path, client: Any) -> None:
    run = mlflow_runs(client)["tiny"].info
    assert run.status == "FINISHED"
    names = {one.path for one in client.list_artifacts(run.run_id)}
    assert {"frontier.png", "frontier.json", "report.html"} <= names
    page = Path(client.download_artifacts(run.run_id, "report.html")).read_text()
    assert page == (logged / "report.html").read_text() and "tiny" in page


def test_tensorboard_reads_scalars_by_epoch_texts_and_the_picture(logged: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert {one.name for one in (logged / "tensorboard").iterdir()} == expected(logged, "search")
    with open_study(StudyDirectory(logged)) as study:
        for trial in study.trials:
            read = EventAccumulator(str(logged / "tensorboard" / f"trial-{trial.number:04}"))
            read.Reload()
            course = {one.step: one.value for one in read.Scalars("accuracy")}
            for epochs, value in trial.facts.rungs:
                assert course[epochs] == pytest.approx(value)
            assert read.Scalars("final/params")[0].value == trial.facts.params
            chain = read.Tensors("chain/text_summary")[0].tensor_proto.string_val[0]
            assert chain.decode() == trial.facts.chain
    read = EventAccumulator(str(logged / "tensorboard" / "search"))
    read.Reload()
    (image,) = read.Images("frontier")
    assert (image.width, image.height) == (1600, 900)


@pytest.mark.slow
def test_wandb_has_the_same_runs_offline(logged: Path) -> None:
    found = {run.name: run for run in offline_runs(logged)}
    assert found.keys() == expected(logged, "search")
    assert len({run.group for run in found.values()}) == 1
    with open_study(StudyDirectory(logged)) as study:
        for trial in study.trials:
            run = found[f"trial-{trial.number:04}"]
            assert run.config["trial"] == trial.number
            assert run.config["architecture.width"] == trial.params["architecture.width"]
            assert run.summary["params"] == trial.facts.params and run.summary["chain"] == trial.facts.chain
            course = {one["_step"]: one["accuracy"] for one in run.history}
            assert dict(trial.facts.rungs).items() <= course.items()
    assert {"frontier.png", "report.html"} <= set(found["search"].artifacts)


def test_a_search_that_goes_on_logs_only_what_is_new(logged: Path, client: Any) -> None:
    before, offline = mlflow_runs(client), len(offline_runs(logged))
    lines = (logged / "tracked.jsonl").read_text()
    known = StudyDirectory(logged).read()
    search(known, out=logged, runner="serial")
    assert (logged / "tracked.jsonl").read_text() == lines, "a finished search adds nothing"
    more = known.model_copy(update={"search": known.search.model_copy(update={"trials": 10})})
    search(more, out=logged, runner="serial", options=Options(extend=True))
    after = mlflow_runs(client)
    assert after.keys() == expected(logged, "tiny") and len(after) > len(before)
    assert {name: run.info.run_id for name, run in before.items()}.items() <= {
        name: run.info.run_id for name, run in after.items()
    }.items()
    again = [run for run in offline_runs(logged) if run.name == "search"]
    assert len(offline_runs(logged)) == offline + len(after) - len(before) + 1, "the search itself is logged once more"
    assert len({run.key for run in again}) == 1, "as the same run"


def test_a_tracker_that_is_named_later_gets_everything(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    out = tmp_path / "out"
    search(tiny(), out=out, runner="serial")
    assert not (out / "tracked.jsonl").exists()
    search(tiny(), out=out, runner="serial", log=["tensorboard"])
    assert {one.name for one in (out / "tensorboard").iterdir()} == expected(out, "search")


@pytest.mark.slow
def test_a_study_that_starts_over_is_another_one(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    out, log = tmp_path / "out", {"mlflow": {"uri": f"sqlite:///{tmp_path / 'shared.db'}", "experiment": "all"}}
    for options in (Options(), Options(fresh=True)):
        search(tiny(log=log, search__trials=2), out=out, runner="serial", options=options)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'shared.db'}")
    found = client.search_runs([client.get_experiment_by_name("all").experiment_id])
    assert [run.info.run_name for run in found].count("trial-0000") == 2
    assert (tmp_path / "mlflow-artifacts").is_dir(), "artifacts are beside the database, not in the working directory"


def test_label_only_baselines_are_logged_beside_the_trials(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    tracker = Own()
    study, said = followed(tiny(search__label_baselines=True, search__region=0.5), tmp_path / "out", tracker)
    found = {run.name: run for run in tracker.runs if run.kind == "baseline"}
    known = baselines(tmp_path / "out")
    assert found.keys() == known.keys() and found and not said
    for name, run in found.items():
        assert run.facts["role"] == "label-only baseline" and run.facts["chain"].count(">") == 0
        assert set(run.facts["of"].split()) == {stage[:12] for stage in known[name]}
        assert run.finals["accuracy"] == study.stages.measured(run.mark).scores["accuracy"].value
        assert run.steps[-1].epochs == RECIPE["epochs"]


def test_a_log_does_not_change_a_study(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(), out=tmp_path / "out", runner="serial")
    study = search(tiny(log=["tensorboard"]), out=tmp_path / "out", runner="serial")
    assert not study.trained


class Own:
    """A tracker that keeps runs; `fail` and `wait` say what it does first."""

    name, place, way = "own", "here", "mend it"

    def __init__(self, fail: Callable[[Run], bool] = lambda run: False, gate: threading.Event | None = None) -> None:
        self.fail, self.gate = fail, gate
        self.runs: list[Run] = []

    def log(self, run: Run) -> None:
        if self.gate is not None:
            self.gate.wait()
        if self.fail(run):
            raise ConnectionError("refused")
        self.runs.append(run)


def followed(tiny: Spec, out: Path, tracker: Tracker, **limits: float) -> tuple[Study, list[str]]:
    """A search that a tracker follows, and what it said about it."""
    said: list[str] = []
    trackers = Trackers([tracker], said.append, **limits)
    progress = Progress(Console(quiet=True))
    study = driver.search(tiny, out=out, runner="serial", listener=Together(progress, trackers))
    trackers.finish(lambda: None)
    return study, said


def test_a_tracker_that_raises_is_reported_once_and_the_search_goes_on(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    tracker = Own(fail=lambda run: True)
    study, said = followed(tiny(), tmp_path / "out", tracker)
    assert study.finished() and len(said) == 1 and not tracker.runs
    assert said[0].startswith("own: teacher was not logged to here (ConnectionError: refused); mend it. ")
    again = Own()
    followed(tiny(), tmp_path / "out", again)
    assert {run.name for run in again.runs} == expected(tmp_path / "out", "search"), "the same command logs what is missing"


def test_a_metric_of_your_own_is_logged_by_its_name(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tracked_metric.py").write_text("def hits(outputs, labels):\n    return outputs.argmax(1) == labels\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    tracker, metric = Own(), {"import": "tracked_metric:hits", "bounded": [0, 1]}
    followed(tiny(task__metric=metric, search__trials=2, search__halving={}), tmp_path / "out", tracker)
    trials = [run for run in tracker.runs if run.kind == "trial"]
    assert trials and all({"hits", "hits_low", "hits_high", "accuracy"} <= run.finals.keys() for run in trials)
    names = {name for run in tracker.runs for step in run.steps for name in step.values} | {*trials[0].finals}
    assert all(name.isidentifier() for name in names), names


def test_what_failed_once_is_logged_at_the_end(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    asked: list[str] = []

    def first(run: Run) -> bool:
        asked.append(run.name)
        return len(asked) == 1

    tracker = Own(fail=first)
    study, said = followed(tiny(), tmp_path / "out", tracker)
    names = [run.name for run in tracker.runs]
    assert len(said) == 1 and set(names) == expected(tmp_path / "out", "search") and len(names) == len(set(names))


def test_a_tracker_that_hangs_makes_no_search_wait(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    gate = threading.Event()
    study, said = followed(tiny(search__trials=3), tmp_path / "out", Own(gate=gate), patience=0.3)
    assert study.finished()
    assert len(said) == 1 and "runs are not logged to here yet; mend it" in said[0]
    gate.set()


def test_a_run_that_cannot_be_made_is_said_and_the_others_are_logged(tmp_path: Path) -> None:
    """Its stage may have been removed or damaged since it was trained."""

    def gone() -> Run:
        raise StoreError("the weights of 1234abcd are damaged")

    run = Run(
        study="tiny", identity="1", name="trial 2", kind="trial", mark="", state="complete", settings={}, facts={}, finals={}
    )
    tracker, said = Own(), []
    one = Channel(tracker, Logged(tmp_path), said.append)
    one.add([Due("trial 1", "", gone), Due("trial 2", "", lambda: run)])
    one.pump()
    while one.left():
        threading.Event().wait(0.01)
    assert len(said) == 1 and "trial 1 was not logged to here (StoreError: the weights of 1234abcd are damaged)" in said[0]
    assert [found.name for found in tracker.runs] == ["trial 2"]


def test_a_tracker_that_hangs_is_reported_while_the_search_runs(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "STALLED", 0.01)
    gate = threading.Event()
    _, said = followed(tiny(search__trials=3), tmp_path / "out", Own(gate=gate), patience=0.1)
    assert len(said) == 1 and "here has not answered for" in said[0]
    gate.set()


def test_more_runs_than_there_is_room_for_are_all_logged(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "ROOM", 1)
    tracker = Own()
    _, said = followed(tiny(), tmp_path / "out", tracker)
    assert not said and {run.name for run in tracker.runs} == expected(tmp_path / "out", "search")


def command(tiny: Spec, folder: Path, *more: str) -> list[str]:
    path = folder / "spec.yaml"
    path.write_text(json.dumps(tiny.document()))
    return ["search", str(path), "--out", str(folder / "out"), "--runner", "serial", *more]


def test_a_place_that_cannot_be_written_to_is_said_and_the_search_ends_well(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    log = {"tensorboard": {"directory": str(tmp_path / "file")}, "mlflow": {"uri": f"sqlite:///{tmp_path}/file/no.db"}}
    assert main(command(tiny(log=log), tmp_path)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "was not logged" in line]
    assert sorted(line.split(":")[0] for line in lines) == ["mlflow", "tensorboard"]
    assert "log.tensorboard.directory" in "".join(lines) and "log.mlflow.uri" in "".join(lines)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk with no more room."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("nobody may mount a file system here")
    with (place / "rest").open("wb") as file:
        try:
            file.write(b"0" * 2**20)
            file.flush()
        except OSError:
            pass
        yield place
    subprocess.run(["umount", "-l", place], capture_output=True)


@pytest.mark.slow  # it waits a minute for a writer of TensorBoard that hangs
def test_a_full_disk_of_a_tracker_does_not_end_a_search(tiny: Callable[..., Spec], tmp_path: Path, full_disk: Path) -> None:
    """In a process of its own, because TensorBoard's writer goes on in a thread that nobody can end."""
    log = {"tensorboard": {"directory": str(full_disk)}, "mlflow": {"uri": f"sqlite:///{full_disk}/no.db"}}
    words = command(tiny(search__trials=2, log=log), tmp_path)
    done = subprocess.run([sys.executable, "-m", "autodistill", *words], capture_output=True, text=True, timeout=250)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("tensorboard: ", "mlflow: "))]
    assert done.returncode == 0 and sorted(line.split(":")[0] for line in lines) == ["mlflow", "tensorboard"], done
    assert f"report: {tmp_path / 'out'}" in done.stdout


def test_a_missing_library_is_refused_at_the_start(tiny: Callable[..., Spec], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "wandb", "tensorboard"):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "path", [])
            for module in [one for one in sys.modules if one.split(".")[0] == name]:
                patched.delitem(sys.modules, module)
            importlib.invalidate_caches()
            with pytest.raises(
                UsageError, match=rf"log: {name} is not installed; run: pip install 'autodistill-search\[{name}\]'"
            ):
                tracked(tiny(), [name])


def test_a_folder_of_that_name_is_no_library(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for module in [one for one in sys.modules if one.split(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, module)
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match="wandb is not installed"):
        tracked(tiny(), ["wandb"])


def test_wandb_never_asks_for_a_key_while_a_search_runs(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UsageError, match="nobody is logged in to Weights & Biases; run: wandb login, or set log.wandb.mode"):
        tracked(tiny(), ["wandb"])
    tracked(tiny(log={"wandb": {"mode": "offline"}}))


def test_an_unknown_tracker_is_refused_with_its_line() -> None:
    from .conftest import DOCUMENT

    for log, message in (
        (["mlfow"], r"log\[0\]: 'mlfow' is not a tracker; did you mean 'mlflow'\?"),
        ("comet", "log: 'comet' is not a tracker; use tensorboard, mlflow, wandb"),
        ({"mlflow": {"url": "x"}}, r"log\.mlflow\.url: 'url' is not a key here; did you mean 'uri'\?"),
    ):
        with pytest.raises(UsageError, match=message):
            spec.parse(DOCUMENT | {"log": log})


def test_offline_runs_are_read_by_their_names(logged: Path) -> None:
    assert all(isinstance(run, Offline) and run.key for run in offline_runs(logged))
